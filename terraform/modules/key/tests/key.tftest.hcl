mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "111122223333" }
  }

  mock_data "aws_partition" {
    defaults = { partition = "aws", dns_suffix = "amazonaws.com" }
  }

  mock_data "aws_region" {
    defaults = { id = "eu-central-1" }
  }

  mock_data "aws_iam_policy_document" {
    defaults = { json = "{\"Version\":\"2012-10-17\",\"Statement\":[]}" }
  }
}

variables {
  name        = "bulkhead-test-data"
  description = "Tenant data of the test"
}

run "rotates_yearly_and_waits_a_month_before_it_dies" {
  command = plan

  assert {
    condition     = aws_kms_key.this.enable_key_rotation == true
    error_message = "Rotation must be on."
  }

  assert {
    condition     = aws_kms_key.this.rotation_period_in_days == 365
    error_message = "The material must rotate every 365 days by default."
  }

  assert {
    condition     = aws_kms_key.this.deletion_window_in_days == 30
    error_message = "The deletion window must be the longest that AWS offers by default."
  }
}

run "names_the_alias_after_the_module" {
  command = plan

  assert {
    condition     = aws_kms_alias.this.name == "alias/bulkhead-test-data"
    error_message = "The alias must be alias/ and the name."
  }
}

run "takes_a_shorter_window_and_rotation" {
  command = plan

  variables {
    deletion_window_days = 7
    rotation_period_days = 90
  }

  assert {
    condition     = aws_kms_key.this.deletion_window_in_days == 7 && aws_kms_key.this.rotation_period_in_days == 90
    error_message = "The window and the rotation period must come from the variables."
  }
}

run "refuses_a_name_that_carries_the_alias_prefix" {
  command = plan

  variables {
    name = "alias/bulkhead-test-data"
  }

  expect_failures = [var.name]
}

run "refuses_a_description_that_says_nothing" {
  command = plan

  variables {
    description = "  "
  }

  expect_failures = [var.description]
}

run "refuses_a_service_it_does_not_know" {
  command = plan

  variables {
    services = ["logs", "events"]
  }

  expect_failures = [var.services]
}

run "refuses_a_deletion_window_of_less_than_a_week" {
  command = plan

  variables {
    deletion_window_days = 6
  }

  expect_failures = [var.deletion_window_days]
}

run "refuses_a_deletion_window_of_more_than_a_month" {
  command = plan

  variables {
    deletion_window_days = 31
  }

  expect_failures = [var.deletion_window_days]
}

run "refuses_a_rotation_period_that_aws_does_not_offer" {
  command = plan

  variables {
    rotation_period_days = 89
  }

  expect_failures = [var.rotation_period_days]
}
