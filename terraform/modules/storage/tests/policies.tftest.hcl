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
    condition = length(aws_s3_bucket_policy.this) == 4 && alltrue(flatten([
      for purpose, policy in aws_s3_bucket_policy.this : [
        for statement in jsondecode(policy.policy).Statement :
        statement.Principal == "*" && statement.Action == "s3:*" && toset(statement.Resource) == toset([aws_s3_bucket.this[purpose].arn, "${aws_s3_bucket.this[purpose].arn}/*"])
        if contains(["DenyPlainText", "DenyOldTls"], statement.Sid)
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
      ArnEquals    = { "aws:SourceArn" = [for arn in sort([for purpose in ["anchors", "exports", "statements"] : aws_s3_bucket.this[purpose].arn]) : arn] }
      StringEquals = { "aws:SourceAccount" = data.aws_caller_identity.current.account_id }
    }
    error_message = "S3 must deliver the access logs of our three buckets alone."
  }
}

run "buckets_of_data_admit_nobody_by_policy" {
  assert {
    condition     = alltrue(flatten([for purpose in ["anchors", "exports", "statements"] : [for statement in jsondecode(aws_s3_bucket_policy.this[purpose].policy).Statement : statement.Effect == "Deny"]]))
    error_message = "The policies of anchors, exports and statements must only refuse: IAM admits."
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

run "nobody_writes_a_second_anchor_of_one_name" {
  assert {
    condition = one([for statement in jsondecode(aws_s3_bucket_policy.this["anchors"].policy).Statement : statement if statement.Sid == "DenyOverwriting"]) == {
      Sid       = "DenyOverwriting"
      Effect    = "Deny"
      Action    = "s3:PutObject"
      Principal = "*"
      Resource  = "${aws_s3_bucket.this["anchors"].arn}/*"
      Condition = {
        Bool = { "s3:ObjectCreationOperation" = "true" }
        Null = { "s3:if-none-match" = "true" }
      }
    }
    error_message = "An anchor must only be written where there is none, whoever writes it."
  }
}

run "the_worker_puts_anchors_and_reads_none" {
  assert {
    condition = { for statement in jsondecode(output.anchoring_policy_json).Statement : statement.Sid => [statement.Action, statement.Resource] } == {
      Anchors = ["s3:PutObject", "${aws_s3_bucket.this["anchors"].arn}/*"]
      Key     = ["kms:GenerateDataKey", var.kms_key_arn]
    }
    error_message = "The worker must put anchors there, with the key that they are encrypted with, and do nothing else."
  }

  assert {
    condition     = !anytrue([for statement in jsondecode(output.task_policy_json).Statement : strcontains(jsonencode(statement.Resource), aws_s3_bucket.this["anchors"].arn)])
    error_message = "What every task may do must not reach anchors."
  }
}
