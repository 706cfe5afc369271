mock_provider "aws" {
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{\"Version\":\"2012-10-17\",\"Statement\":[]}" }
  }

  mock_data "aws_region" {
    defaults = { id = "eu-central-1" }
  }

  mock_data "aws_partition" {
    defaults = { partition = "aws", dns_suffix = "amazonaws.com" }
  }

  mock_data "aws_caller_identity" {
    defaults = { account_id = "111122223333" }
  }
}

variables {
  name        = "bulkhead-test"
  kms_key_arn = "arn:aws:kms:eu-central-1:111122223333:key/00000000-0000-0000-0000-000000000000"
}

run "names_buckets_after_purpose_and_account" {
  command = plan

  assert {
    condition = { for purpose, bucket in aws_s3_bucket.this : purpose => bucket.bucket } == {
      anchors    = "bulkhead-test-anchors-111122223333"
      exports    = "bulkhead-test-exports-111122223333"
      logs       = "bulkhead-test-logs-111122223333"
      statements = "bulkhead-test-statements-111122223333"
    }
    error_message = "There must be four buckets, whose names end with the account's id."
  }
}

run "fits_the_longest_name_into_what_s3_allows" {
  command = plan

  variables {
    name = "bulkhead-a-name-of-thirty-one-c"
  }

  assert {
    condition     = length(var.name) == 31 && alltrue([for bucket in aws_s3_bucket.this : length(bucket.bucket) <= 63])
    error_message = "A bucket's name has 63 characters at most."
  }
}

run "shuts_every_bucket_to_the_public_and_to_access_control_lists" {
  command = plan

  assert {
    condition = length(aws_s3_bucket_public_access_block.this) == 4 && alltrue([
      for block in aws_s3_bucket_public_access_block.this :
      block.block_public_acls && block.block_public_policy && block.ignore_public_acls && block.restrict_public_buckets
    ])
    error_message = "Every bucket must block public access in all four ways."
  }

  assert {
    condition     = length(aws_s3_bucket_ownership_controls.this) == 4 && alltrue([for controls in aws_s3_bucket_ownership_controls.this : controls.rule[0].object_ownership == "BucketOwnerEnforced"])
    error_message = "Every bucket must own its objects, without access control lists."
  }
}

run "keeps_versions_of_everything" {
  command = plan

  assert {
    condition     = length(aws_s3_bucket_versioning.this) == 4 && alltrue([for versioning in aws_s3_bucket_versioning.this : versioning.versioning_configuration[0].status == "Enabled"])
    error_message = "Every bucket must keep versions."
  }
}

run "encrypts_data_with_the_customer_key_and_logs_with_that_of_s3" {
  command = plan

  assert {
    condition = toset(keys(aws_s3_bucket_server_side_encryption_configuration.data)) == toset(["anchors", "exports", "statements"]) && alltrue([
      for configuration in aws_s3_bucket_server_side_encryption_configuration.data :
      one(one(configuration.rule).apply_server_side_encryption_by_default).kms_master_key_id == var.kms_key_arn &&
      one(one(configuration.rule).apply_server_side_encryption_by_default).sse_algorithm == "aws:kms" &&
      one(configuration.rule).bucket_key_enabled
    ])
    error_message = "Anchors, exports and statements must be encrypted with the key that was given, through a bucket key."
  }

  assert {
    condition     = one(one(aws_s3_bucket_server_side_encryption_configuration.logs.rule).apply_server_side_encryption_by_default).sse_algorithm == "AES256"
    error_message = "Load balancers can deliver to a bucket with S3's own key alone."
  }
}

run "lets_nobody_bring_their_own_key" {
  command = plan

  assert {
    condition = alltrue([
      for configuration in concat(values(aws_s3_bucket_server_side_encryption_configuration.data), [aws_s3_bucket_server_side_encryption_configuration.logs]) :
      contains(one(configuration.rule).blocked_encryption_types, "SSE-C")
    ])
    error_message = "Every bucket must refuse objects under keys that we do not have."
  }
}

run "deletes_exports_and_logs_in_time_and_statements_never" {
  command = plan

  assert {
    condition     = aws_s3_bucket_lifecycle_configuration.this["exports"].rule[0].expiration[0].days == 30
    error_message = "Exports must be deleted after 30 days."
  }

  assert {
    condition     = aws_s3_bucket_lifecycle_configuration.this["logs"].rule[0].expiration[0].days == 365
    error_message = "Logs must be deleted after a year."
  }

  assert {
    condition     = alltrue([for purpose in ["anchors", "statements"] : length(aws_s3_bucket_lifecycle_configuration.this[purpose].rule[0].expiration) == 0])
    error_message = "Anchors and statements must never be deleted."
  }

  assert {
    condition     = aws_s3_bucket_lifecycle_configuration.this["statements"].rule[0].noncurrent_version_expiration[0].noncurrent_days == 3650
    error_message = "A statement that was corrected must be kept for ten years."
  }
}

run "cleans_up_old_versions_and_broken_uploads" {
  command = plan

  variables {
    export_expiry_days     = 14
    log_retention_days     = 90
    noncurrent_expiry_days = 3
  }

  assert {
    condition     = aws_s3_bucket_lifecycle_configuration.this["exports"].rule[0].expiration[0].days == 14 && aws_s3_bucket_lifecycle_configuration.this["logs"].rule[0].expiration[0].days == 90
    error_message = "The days must come from the variables."
  }

  assert {
    condition     = alltrue([for purpose in ["exports", "logs"] : aws_s3_bucket_lifecycle_configuration.this[purpose].rule[0].noncurrent_version_expiration[0].noncurrent_days == 3])
    error_message = "Old versions of exports and logs must be deleted after noncurrent_expiry_days."
  }

  assert {
    condition     = length(aws_s3_bucket_lifecycle_configuration.this) == 4 && alltrue([for configuration in aws_s3_bucket_lifecycle_configuration.this : configuration.rule[0].abort_incomplete_multipart_upload[0].days_after_initiation == 7 && configuration.rule[0].status == "Enabled"])
    error_message = "Every bucket must delete the parts of uploads that were never finished."
  }
}

run "logs_access_to_data_but_not_to_logs" {
  command = plan

  assert {
    condition     = toset(keys(aws_s3_bucket_logging.this)) == toset(["anchors", "exports", "statements"])
    error_message = "Anchors, exports and statements must have an access log; that of `logs` would never end."
  }

  assert {
    condition     = alltrue([for logging in aws_s3_bucket_logging.this : logging.target_prefix == "s3/"])
    error_message = "Access logs must go where the policy admits them."
  }
}

run "protects_what_is_in_the_buckets_unless_told_otherwise" {
  command = plan

  assert {
    condition     = alltrue([for bucket in aws_s3_bucket.this : bucket.force_destroy == false])
    error_message = "A bucket with something in it must not be destroyed by default."
  }
}

run "gives_the_buckets_up_when_protection_is_off" {
  command = plan

  variables {
    deletion_protection = false
  }

  assert {
    condition     = alltrue([for bucket in aws_s3_bucket.this : bucket.force_destroy == true])
    error_message = "Without protection the buckets must be destroyed with what is in them."
  }
}

run "locks_statements_and_nothing_else_when_asked" {
  command = plan

  variables {
    statement_lock_years = 10
  }

  assert {
    condition     = aws_s3_bucket.this["statements"].object_lock_configuration[0].object_lock_enabled == "Enabled"
    error_message = "Statements must be locked."
  }

  assert {
    condition     = one(aws_s3_bucket.this["statements"].object_lock_configuration[0].rule[0].default_retention).mode == "COMPLIANCE" && one(aws_s3_bucket.this["statements"].object_lock_configuration[0].rule[0].default_retention).years == 10
    error_message = "The lock must hold against administrators for as long as was asked."
  }

  assert {
    condition     = alltrue([for purpose in ["anchors", "exports", "logs"] : length(aws_s3_bucket.this[purpose].object_lock_configuration) == 0])
    error_message = "Exports and logs have to expire: they must not be locked. Anchors have a lock of their own."
  }
}

run "locks_anchors_for_days_when_asked" {
  command = plan

  variables {
    anchor_lock_days = 365
  }

  assert {
    condition     = one(aws_s3_bucket.this["anchors"].object_lock_configuration[0].rule[0].default_retention).mode == "COMPLIANCE" && one(aws_s3_bucket.this["anchors"].object_lock_configuration[0].rule[0].default_retention).days == 365
    error_message = "The lock must hold against administrators for as long as was asked."
  }

  assert {
    condition     = alltrue([for purpose in ["exports", "logs", "statements"] : length(aws_s3_bucket.this[purpose].object_lock_configuration) == 0])
    error_message = "The lock of anchors must be theirs alone."
  }
}

run "locks_nothing_unless_asked" {
  command = plan

  assert {
    condition     = alltrue([for bucket in aws_s3_bucket.this : length(bucket.object_lock_configuration) == 0])
    error_message = "A lock cannot be taken back: it must not come by default."
  }
}

run "refuses_a_name_that_s3_does_not_take" {
  command = plan

  variables {
    name = "Bulkhead_test"
  }

  expect_failures = [var.name]
}

run "refuses_a_key_that_is_not_an_arn" {
  command = plan

  variables {
    kms_key_arn = "alias/aws/s3"
  }

  expect_failures = [var.kms_key_arn]
}

run "refuses_a_lock_for_longer_than_any_law_asks" {
  command = plan

  variables {
    statement_lock_years = 11
  }

  expect_failures = [var.statement_lock_years]
}

run "refuses_a_lock_for_no_time" {
  command = plan

  variables {
    statement_lock_years = 0
  }

  expect_failures = [var.statement_lock_years]
}

run "refuses_a_lock_of_anchors_for_part_of_a_day" {
  command = plan

  variables {
    anchor_lock_days = 0.5
  }

  expect_failures = [var.anchor_lock_days]
}

run "refuses_exports_that_outlive_a_year" {
  command = plan

  variables {
    export_expiry_days = 366
  }

  expect_failures = [var.export_expiry_days]
}

run "refuses_logs_that_are_gone_before_anybody_looks" {
  command = plan

  variables {
    log_retention_days = 29
  }

  expect_failures = [var.log_retention_days]
}

run "refuses_old_versions_that_are_kept_for_half_a_day" {
  command = plan

  variables {
    noncurrent_expiry_days = 0.5
  }

  expect_failures = [var.noncurrent_expiry_days]
}
