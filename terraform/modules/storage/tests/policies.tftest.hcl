# Policies name buckets, whose ARNs are known after they are made: these runs apply.

variables {
  name        = "bulkhead-test"
  kms_key_arn = "arn:aws:kms:eu-central-1:111122223333:key/00000000-0000-0000-0000-000000000000"
}

run "every_bucket_refuses_plain_text_and_old_tls" {
  assert {
    condition = alltrue([
      for purpose, policy in aws_s3_bucket_policy.this :
      one([for statement in jsondecode(policy.policy).Statement : statement if statement.Sid == "DenyPlainText"]).Condition.Bool["aws:SecureTransport"] == "false" &&
      one([for statement in jsondecode(policy.policy).Statement : statement if statement.Sid == "DenyOldTls"]).Condition.NumericLessThan["s3:TlsVersion"] == "1.2"
    ])
    error_message = "Every bucket must refuse plain HTTP and TLS older than 1.2."
  }

  assert {
    condition = length(aws_s3_bucket_policy.this) == 3 && alltrue(flatten([
      for purpose, policy in aws_s3_bucket_policy.this : [
        for statement in jsondecode(policy.policy).Statement :
        statement.Principal == "*" && statement.Action == "s3:*" && toset(statement.Resource) == toset([aws_s3_bucket.this[purpose].arn, "${aws_s3_bucket.this[purpose].arn}/*"])
        if statement.Effect == "Deny"
      ]
    ]))
    error_message = "The refusal must hold for everybody, every action, the bucket and all that is in it."
  }
}

run "only_log_delivery_of_this_account_is_admitted_to_logs" {
  assert {
    condition = { for statement in jsondecode(aws_s3_bucket_policy.this["logs"].policy).Statement : statement.Principal.Service => statement.Resource if statement.Effect == "Allow" } == {
      "logdelivery.elasticloadbalancing.amazonaws.com" = "${aws_s3_bucket.this["logs"].arn}/alb/AWSLogs/${data.aws_caller_identity.current.account_id}/*"
      "logging.s3.amazonaws.com"                       = "${aws_s3_bucket.this["logs"].arn}/s3/*"
    }
    error_message = "Load balancers and buckets of this account must each have their own place, and nobody else one."
  }

  assert {
    condition     = alltrue([for statement in jsondecode(aws_s3_bucket_policy.this["logs"].policy).Statement : statement.Action == "s3:PutObject" if statement.Effect == "Allow"])
    error_message = "Log delivery must write and do nothing else."
  }

  assert {
    condition = one([for statement in jsondecode(aws_s3_bucket_policy.this["logs"].policy).Statement : statement.Condition if statement.Sid == "BucketsDeliver"]) == {
      ArnEquals    = { "aws:SourceArn" = [for arn in sort([aws_s3_bucket.this["exports"].arn, aws_s3_bucket.this["statements"].arn]) : arn] }
      StringEquals = { "aws:SourceAccount" = data.aws_caller_identity.current.account_id }
    }
    error_message = "S3 must deliver the access logs of our two buckets alone."
  }
}

run "buckets_of_data_admit_nobody_by_policy" {
  assert {
    condition     = alltrue(flatten([for purpose in ["exports", "statements"] : [for statement in jsondecode(aws_s3_bucket_policy.this[purpose].policy).Statement : statement.Effect == "Deny"]]))
    error_message = "The policies of exports and statements must only refuse: IAM admits."
  }
}

run "tasks_delete_exports_and_never_statements" {
  assert {
    condition = { for statement in jsondecode(output.task_policy_json).Statement : statement.Sid => statement.Action } == {
      Exports    = ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:PutObject"]
      Statements = ["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"]
      Key        = ["kms:Decrypt", "kms:GenerateDataKey"]
    }
    error_message = "A task must read and write both, delete exports alone, and use the key for nothing else."
  }

  assert {
    condition = { for statement in jsondecode(output.task_policy_json).Statement : statement.Sid => statement.Resource } == {
      Exports    = "${aws_s3_bucket.this["exports"].arn}/*"
      Statements = "${aws_s3_bucket.this["statements"].arn}/*"
      Key        = var.kms_key_arn
    }
    error_message = "Each statement must name its own bucket or the key, and a task must never touch the logs."
  }

  assert {
    condition     = one([for statement in jsondecode(output.task_policy_json).Statement : statement.Condition if statement.Sid == "Key"]).StringEquals["kms:ViaService"] == "s3.${data.aws_region.current.id}.amazonaws.com"
    error_message = "A task must use the key through S3 alone."
  }
}
