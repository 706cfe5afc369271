variables {
  name        = "bulkhead-test-data"
  description = "Tenant data of the test"
}

run "admits_only_the_account_when_no_service_is_named" {
  command = plan

  assert {
    condition     = length(jsondecode(aws_kms_key.this.policy).Statement) == 1
    error_message = "Without services the policy must hold the account's statement alone."
  }

  assert {
    condition     = jsondecode(aws_kms_key.this.policy).Statement[0].Principal.AWS == "arn:${data.aws_partition.current.partition}:iam::${data.aws_caller_identity.current.account_id}:root"
    error_message = "The account's root must administer the key."
  }
}

run "ties_cloudwatch_logs_to_the_log_groups_of_this_account" {
  command = plan

  variables {
    services = ["logs"]
  }

  assert {
    condition     = jsondecode(aws_kms_key.this.policy).Statement[1].Principal.Service == "logs.${data.aws_region.current.id}.amazonaws.com"
    error_message = "The principal must be CloudWatch Logs of this region."
  }

  assert {
    condition     = jsondecode(aws_kms_key.this.policy).Statement[1].Condition.ArnLike["kms:EncryptionContext:aws:logs:arn"] == "arn:${data.aws_partition.current.partition}:logs:${data.aws_region.current.id}:${data.aws_caller_identity.current.account_id}:log-group:*"
    error_message = "The encryption context must name the log groups of this account and region."
  }
}

run "lets_alarms_of_this_account_use_the_key_and_no_more" {
  command = plan

  variables {
    services = ["cloudwatch"]
  }

  assert {
    condition     = jsondecode(aws_kms_key.this.policy).Statement[1].Principal.Service == "cloudwatch.amazonaws.com"
    error_message = "The principal must be CloudWatch."
  }

  assert {
    condition     = toset(jsondecode(aws_kms_key.this.policy).Statement[1].Action) == toset(["kms:Decrypt", "kms:GenerateDataKey*"])
    error_message = "An alarm needs to make and read data keys, nothing else."
  }

  assert {
    condition     = jsondecode(aws_kms_key.this.policy).Statement[1].Condition.StringEquals["aws:SourceAccount"] == data.aws_caller_identity.current.account_id
    error_message = "Alarms of other accounts must not use the key."
  }
}

run "lets_log_delivery_of_this_account_use_the_key" {
  command = plan

  variables {
    services = ["delivery.logs"]
  }

  assert {
    condition     = jsondecode(aws_kms_key.this.policy).Statement[1].Sid == "DeliveryLogs" && jsondecode(aws_kms_key.this.policy).Statement[1].Principal.Service == "delivery.logs.amazonaws.com"
    error_message = "The statement must be that of log delivery."
  }

  assert {
    condition     = jsondecode(aws_kms_key.this.policy).Statement[1].Condition.StringEquals["aws:SourceAccount"] == data.aws_caller_identity.current.account_id && endswith(jsondecode(aws_kms_key.this.policy).Statement[1].Condition.ArnLike["aws:SourceArn"], ":${data.aws_caller_identity.current.account_id}:*")
    error_message = "Deliveries of other accounts must not use the key."
  }
}

run "admits_no_service_without_a_condition" {
  command = plan

  variables {
    services = ["cloudwatch", "delivery.logs", "logs"]
  }

  assert {
    condition     = length(jsondecode(aws_kms_key.this.policy).Statement) == 4
    error_message = "Every service named must have its statement."
  }

  assert {
    condition     = alltrue([for statement in jsondecode(aws_kms_key.this.policy).Statement : can(statement.Condition) if can(statement.Principal.Service)])
    error_message = "A service principal without a condition could be driven from another account."
  }
}
