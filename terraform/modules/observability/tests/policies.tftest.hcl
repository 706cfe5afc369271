variables {
  name         = "bulkhead-test"
  kms_key_arn  = "arn:aws:kms:eu-central-1:111122223333:key/00000000-0000-0000-0000-000000000000"
  alarm_emails = ["on-call@example.com"]
  runbook_url  = "https://example.com/runbook"

  alb_arn_suffix          = "app/bulkhead-test/0123456789abcdef"
  target_group_arn_suffix = "targetgroup/bulkhead-test/fedcba9876543210"
  web_acl_name            = "bulkhead-test"

  database_identifier           = "bulkhead-test"
  database_allocated_storage_gb = 100
  database_memory_gb            = 16

  cache_group_ids = { queue = "bulkhead-test-queue" }

  cluster_name  = "bulkhead-test"
  service_names = { api = "bulkhead-test-api", worker = "bulkhead-test-worker" }

  log_group_names = { api = "/bulkhead/bulkhead-test/api" }
}

run "only_alarms_of_this_environment_are_published" {
  command = plan

  assert {
    condition = [for statement in jsondecode(data.aws_iam_policy_document.topic.json).Statement : statement if statement.Effect == "Allow"] == [{
      Sid       = "TellAlarms"
      Effect    = "Allow"
      Action    = "sns:Publish"
      Resource  = "arn:aws:sns:${data.aws_region.current.id}:${data.aws_caller_identity.current.account_id}:bulkhead-test-alarms"
      Principal = { Service = "cloudwatch.amazonaws.com" }
      Condition = {
        StringEquals = { "aws:SourceAccount" = data.aws_caller_identity.current.account_id }
        ArnLike      = { "aws:SourceArn" = "arn:aws:cloudwatch:${data.aws_region.current.id}:${data.aws_caller_identity.current.account_id}:alarm:bulkhead-test-*" }
      }
    }]
    error_message = "Nobody but CloudWatch may publish, and only alarms of this account, region and environment."
  }
}

run "nothing_is_published_in_the_clear" {
  command = plan

  assert {
    condition = [
      for statement in jsondecode(data.aws_iam_policy_document.topic.json).Statement : statement.Condition if statement.Effect == "Deny" && statement.Principal == "*" && statement.Action == "sns:Publish"
    ] == [{ Bool = { "aws:SecureTransport" = "false" } }]
    error_message = "Whatever is not encrypted on its way must be refused, whoever sends it."
  }

  assert {
    condition     = aws_sns_topic_policy.this.policy == data.aws_iam_policy_document.topic.json
    error_message = "The topic must have this policy."
  }

  assert {
    condition     = aws_sns_topic.this.name == "bulkhead-test-alarms"
    error_message = "The topic must be the one that the policy is about."
  }
}

# Every alarm's name must be one that the topic's policy lets through.
run "the_policy_lets_every_alarm_through" {
  command = plan

  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.this : startswith(alarm.alarm_name, "bulkhead-test-")])
    error_message = "An alarm with another name would be refused by the topic, and nobody would hear of it."
  }
}
