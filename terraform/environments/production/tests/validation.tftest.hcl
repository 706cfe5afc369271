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
    bucket_names           = { exports = "bulkhead-exports" }
    event_queue_urls       = { events = "https://sqs.eu-central-1.amazonaws.com/111122223333/bulkhead-events" }
    replica_address        = null
    identity               = null
    github_provider_arn    = "arn:aws:iam::111122223333:oidc-provider/token.actions.githubusercontent.com"
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

run "refuses_an_issuer_that_is_no_host" {
  command = plan
  variables { oidc_allowed_issuers = ["https://login.example.com"] }
  expect_failures = [var.oidc_allowed_issuers]
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

run "refuses_a_zone_that_is_a_name" {
  command = plan
  variables { zone_id = "example.com" }
  expect_failures = [var.zone_id]
}

run "refuses_ids_that_are_names" {
  command = plan
  variables { github_repository_ids = { owner = "example", repository = "bulkhead" } }
  expect_failures = [var.github_repository_ids]
}

run "refuses_a_provider_that_is_not_githubs" {
  command = plan
  variables { github_provider_arn = "arn:aws:iam::111122223333:oidc-provider/example.com" }
  expect_failures = [var.github_provider_arn]
}

run "refuses_a_state_without_a_bucket" {
  command = plan
  variables { state_bucket = "" }
  expect_failures = [var.state_bucket]
}

run "refuses_a_key_that_is_none" {
  command = plan
  variables { state_kms_key_arn = "alias/state" }
  expect_failures = [var.state_kms_key_arn]
}

run "refuses_readers_that_are_no_roles" {
  command = plan
  variables { event_reader_role_arns = { somebody = "arn:aws:iam::111122223333:user/somebody" } }
  expect_failures = [var.event_reader_role_arns]
}

run "refuses_to_send_users_back_in_plain_text" {
  command = plan
  variables {
    identity = { callback_urls = ["http://app.example.com/callback"], logout_urls = [], domain_prefix = "example-staff" }
  }
  expect_failures = [var.identity]
}

run "refuses_to_send_users_back_to_nowhere" {
  command = plan
  variables {
    identity = { callback_urls = [], logout_urls = [], domain_prefix = "example-staff" }
  }
  expect_failures = [var.identity]
}

run "refuses_log_in_pages_under_a_name_that_is_amazons" {
  command = plan
  variables {
    identity = { callback_urls = ["https://app.example.com/callback"], logout_urls = [], domain_prefix = "amazon-staff" }
  }
  expect_failures = [var.identity]
}

run "refuses_to_write_to_every_workspace" {
  command = plan
  variables {
    prometheus = {
      workspace_arn    = "arn:aws:aps:eu-central-1:111122223333:workspace/*"
      remote_write_url = "https://aps-workspaces.eu-central-1.amazonaws.com/workspaces/ws-1/api/v1/remote_write"
    }
  }
  expect_failures = [var.prometheus]
}

run "refuses_a_workspace_without_its_arn" {
  command = plan
  variables {
    prometheus = {
      workspace_arn    = "ws-1"
      remote_write_url = "https://aps-workspaces.eu-central-1.amazonaws.com/workspaces/ws-1/api/v1/remote_write"
    }
  }
  expect_failures = [var.prometheus]
}

run "refuses_to_write_where_one_asks" {
  command = plan
  variables {
    prometheus = {
      workspace_arn    = "arn:aws:aps:eu-central-1:111122223333:workspace/ws-1"
      remote_write_url = "https://aps-workspaces.eu-central-1.amazonaws.com/workspaces/ws-1/"
    }
  }
  expect_failures = [var.prometheus]
}

run "refuses_to_write_to_a_workspace_that_was_not_named" {
  command = plan
  variables {
    prometheus = {
      workspace_arn    = "arn:aws:aps:eu-central-1:111122223333:workspace/ws-2"
      remote_write_url = "https://aps-workspaces.eu-central-1.amazonaws.com/workspaces/ws-1/api/v1/remote_write"
    }
  }
  expect_failures = [var.prometheus]
}

run "refuses_metrics_in_plain_text" {
  command = plan
  variables {
    prometheus = {
      workspace_arn    = "arn:aws:aps:eu-central-1:111122223333:workspace/ws-1"
      remote_write_url = "http://aps-workspaces.eu-central-1.amazonaws.com/workspaces/ws-1/api/v1/remote_write"
    }
  }
  expect_failures = [var.prometheus]
}

run "takes_a_pool_of_users_and_prometheus" {
  command = plan
  variables {
    identity = { callback_urls = ["https://app.example.com/callback"], logout_urls = ["https://app.example.com/"], domain_prefix = "example-staff" }
    prometheus = {
      workspace_arn    = "arn:aws:aps:eu-central-1:111122223333:workspace/ws-1"
      remote_write_url = "https://aps-workspaces.eu-central-1.amazonaws.com/workspaces/ws-1/api/v1/remote_write"
    }
  }

  assert {
    condition     = var.identity.domain_prefix == "example-staff" && endswith(var.prometheus.workspace_arn, "/ws-1")
    error_message = "What may be asked for must not be refused."
  }
}
