# What is refused before anything is asked of AWS.
mock_provider "aws" {}

override_module {
  target = module.bulkhead
  outputs = {
    url                    = "https://api.example.com"
    load_balancer_dns_name = "lb.example.com"
    registry_url           = "111122223333.dkr.ecr.eu-central-1.amazonaws.com/bulkhead"
    deployment_parameter   = "/bulkhead/deployment"
    deploy_role_arn        = "arn:aws:iam::111122223333:role/deploy"
    plan_role_arn          = "arn:aws:iam::111122223333:role/plan"
    dashboard_name         = "bulkhead"
  }
}

variables {
  region            = "eu-central-1"
  account_id        = "111122223333"
  image_digest      = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
  domain_name       = "api.example.com"
  zone_id           = "Z0000000000000000000"
  alarm_emails      = ["oncall@example.com"]
  github_repository = "example/bulkhead"
  state_bucket      = "example-bulkhead-state"
}

run "tells_what_the_repository_needs" {
  command = plan

  assert {
    condition     = keys(output.deployment) == ["AWS_REGION", "AWS_ROLE", "DEPLOYMENT"] && output.deployment.AWS_REGION == "eu-central-1"
    error_message = "The variables of the repository's environment must be printed by their names."
  }
}

run "refuses_an_empty_digest" {
  command = plan
  variables { image_digest = "" }
  expect_failures = [var.image_digest]
}

run "refuses_a_tag_for_a_digest" {
  command = plan
  variables { image_digest = "latest" }
  expect_failures = [var.image_digest]
}

run "refuses_an_account_that_is_no_account" {
  command = plan
  variables { account_id = "12345" }
  expect_failures = [var.account_id]
}

run "refuses_addresses_without_room" {
  command = plan
  variables { cidr = "10.0.0.0/24" }
  expect_failures = [var.cidr]
}

run "refuses_what_is_no_range_of_addresses" {
  command = plan
  variables { cidr = "10.0.0/16" }
  expect_failures = [var.cidr]
}

run "refuses_to_be_without_a_certificate" {
  command = plan
  variables { zone_id = null }
  expect_failures = [var.certificate_arn]
}

run "refuses_alarms_that_nobody_hears" {
  command = plan
  variables { alarm_emails = [] }
  expect_failures = [var.alarm_emails]
}

run "refuses_a_repository_without_an_owner" {
  command = plan
  variables { github_repository = "bulkhead" }
  expect_failures = [var.github_repository]
}

run "refuses_a_region_that_is_a_zone" {
  command = plan
  variables { region = "eu-central-1a" }
  expect_failures = [var.region]
}
