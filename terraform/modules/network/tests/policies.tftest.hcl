variables {
  name            = "bulkhead-test"
  cidr            = "10.0.0.0/16"
  log_kms_key_arn = "arn:aws:kms:eu-central-1:111122223333:key/00000000-0000-0000-0000-000000000000"
}

run "the_flow_log_writes_to_its_own_group_alone" {
  command = plan

  assert {
    condition     = jsondecode(data.aws_iam_policy_document.flow_log.json).Statement[0].Action == ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
    error_message = "The role must write streams and nothing else: it must not make, delete or read groups."
  }

  assert {
    condition     = alltrue([for arn in jsondecode(data.aws_iam_policy_document.flow_log.json).Statement[0].Resource : endswith(trimsuffix(arn, ":*"), ":log-group:/bulkhead/bulkhead-test/flow")])
    error_message = "The role must write to the flow log's own group alone."
  }

  assert {
    condition     = [for statement in jsondecode(data.aws_iam_policy_document.flow_log.json).Statement : statement.Action if strcontains(jsonencode(statement.Resource), "log-group:*")] == ["logs:DescribeLogGroups"]
    error_message = "Of other groups the role may see a list and nothing else."
  }

  assert {
    condition     = aws_cloudwatch_log_group.this.name == "/bulkhead/bulkhead-test/flow"
    error_message = "The group must be the one that the role may write to."
  }
}

run "only_flow_logs_of_this_account_take_the_role" {
  command = plan

  assert {
    condition     = jsondecode(data.aws_iam_policy_document.assume.json).Statement[0].Principal == { Service = "vpc-flow-logs.amazonaws.com" }
    error_message = "Nobody but the flow logs' service may take the role."
  }

  assert {
    condition = (
      jsondecode(data.aws_iam_policy_document.assume.json).Statement[0].Condition.StringEquals["aws:SourceAccount"] == data.aws_caller_identity.current.account_id
      && endswith(jsondecode(data.aws_iam_policy_document.assume.json).Statement[0].Condition.ArnLike["aws:SourceArn"], ":${data.aws_caller_identity.current.account_id}:vpc-flow-log/*")
    )
    error_message = "The service must act for this account's flow logs alone."
  }
}

run "nothing_is_carried_to_a_bucket_of_another_account" {
  command = plan

  assert {
    condition = alltrue([
      for statement in jsondecode(data.aws_iam_policy_document.s3.json).Statement :
      try(statement.Condition.StringEquals["aws:ResourceAccount"] == data.aws_caller_identity.current.account_id, false)
      || (statement.Action == "s3:GetObject" && endswith(statement.Resource, "-starport-layer-bucket/*"))
    ])
    error_message = "Beyond the account's own buckets the endpoint may only read the layers of images."
  }

  assert {
    condition     = length(jsondecode(data.aws_iam_policy_document.s3.json).Statement) == 2
    error_message = "Own buckets and layers of images must pass, and nothing else."
  }
}
