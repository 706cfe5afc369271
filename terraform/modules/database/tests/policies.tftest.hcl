# Without a mock: policies are rendered as they will be.
variables {
  name                       = "bulkhead-test"
  vpc_id                     = "vpc-1"
  subnet_ids                 = ["subnet-1", "subnet-2"]
  allowed_security_group_ids = { api = "sg-api" }
  kms_key_arn                = "arn:aws:kms:eu-central-1:111122223333:key/data"
  log_kms_key_arn            = "arn:aws:kms:eu-central-1:111122223333:key/log"
  instance_class             = "db.r7g.large"
  allocated_storage_gb       = 100
  max_allocated_storage_gb   = 1000
}

run "monitoring_acts_for_this_instance_alone" {
  command = plan

  assert {
    condition = jsondecode(data.aws_iam_policy_document.monitoring_assume.json).Statement == [{
      Action    = "sts:AssumeRole"
      Effect    = "Allow"
      Principal = { Service = "monitoring.rds.amazonaws.com" }
      Condition = {
        StringEquals = { "aws:SourceAccount" = data.aws_caller_identity.current.account_id }
        ArnEquals = {
          "aws:SourceArn" = "arn:${data.aws_partition.current.partition}:rds:${data.aws_region.current.id}:${data.aws_caller_identity.current.account_id}:db:bulkhead-test"
        }
      }
    }]
    error_message = "Only RDS may take the role, and only for this account's instance of this name."
  }
}

run "monitoring_acts_for_the_replica_too" {
  command = plan

  variables {
    read_replica = true
  }

  assert {
    condition     = [for arn in jsondecode(data.aws_iam_policy_document.monitoring_assume.json).Statement[0].Condition.ArnEquals["aws:SourceArn"] : split(":", arn)[6]] == ["bulkhead-test", "bulkhead-test-replica"]
    error_message = "The role must serve both instances, and no others."
  }
}
