mock_provider "aws" {}

variables {
  name        = "bulkhead-test"
  kms_key_arn = "arn:aws:kms:eu-central-1:111122223333:key/00000000-0000-0000-0000-000000000000"
}

run "keeps_tags_immutable_and_scans_on_push" {
  command = plan

  assert {
    condition     = aws_ecr_repository.this.image_tag_mutability == "IMMUTABLE"
    error_message = "A tag must never move."
  }

  assert {
    condition     = aws_ecr_repository.this.image_scanning_configuration[0].scan_on_push == true
    error_message = "Every image must be scanned when it is pushed."
  }

  assert {
    condition     = aws_ecr_repository.this.force_delete == false
    error_message = "A repository that holds images must not be deletable by Terraform."
  }
}

run "encrypts_with_the_customer_key" {
  command = plan

  assert {
    condition     = aws_ecr_repository.this.encryption_configuration[0].encryption_type == "KMS" && aws_ecr_repository.this.encryption_configuration[0].kms_key == var.kms_key_arn
    error_message = "The repository must use the key it was given."
  }
}

run "drops_untagged_images_after_a_week" {
  command = plan

  assert {
    condition     = one([for rule in jsondecode(aws_ecr_lifecycle_policy.this.policy).rules : rule.selection if rule.selection.tagStatus == "untagged"]).countNumber == 7
    error_message = "Untagged images must go after 7 days."
  }
}

run "counts_releases_before_builds_and_never_by_age" {
  command = plan

  variables {
    keep_releases = 20
    keep_images   = 30
  }

  assert {
    condition     = [for rule in jsondecode(aws_ecr_lifecycle_policy.this.policy).rules : rule.selection.tagPatternList if rule.selection.tagStatus == "tagged"] == [["release-*"], ["sha-*"]]
    error_message = "Releases must come before builds, one pattern a rule: several patterns in one rule select only images that carry all of them."
  }

  assert {
    condition     = [for rule in jsondecode(aws_ecr_lifecycle_policy.this.policy).rules : rule.selection.countNumber if rule.selection.tagStatus == "tagged"] == [20, 30]
    error_message = "The counts must come from keep_releases and keep_images."
  }

  assert {
    condition     = alltrue([for rule in jsondecode(aws_ecr_lifecycle_policy.this.policy).rules : rule.selection.countType == "imageCountMoreThan" if rule.selection.tagStatus == "tagged"])
    error_message = "A tagged image must never expire by age: it may still be in service."
  }

  assert {
    condition     = alltrue([for rule in jsondecode(aws_ecr_lifecycle_policy.this.policy).rules : rule.selection.tagStatus != "any"])
    error_message = "No rule may select images of every kind."
  }
}

run "refuses_a_name_with_a_slash" {
  command = plan

  variables {
    name = "bulkhead/test"
  }

  expect_failures = [var.name]
}

run "refuses_a_key_that_is_not_an_arn" {
  command = plan

  variables {
    kms_key_arn = "alias/aws/ecr"
  }

  expect_failures = [var.kms_key_arn]
}

run "refuses_to_keep_fewer_builds_than_may_be_in_service" {
  command = plan

  variables {
    keep_images = 9
  }

  expect_failures = [var.keep_images]
}

run "refuses_to_keep_fewer_releases_than_a_rollback_needs" {
  command = plan

  variables {
    keep_releases = 11
  }

  expect_failures = [var.keep_releases]
}

run "refuses_to_drop_untagged_images_at_once" {
  command = plan

  variables {
    untagged_expiry_days = 0
  }

  expect_failures = [var.untagged_expiry_days]
}
