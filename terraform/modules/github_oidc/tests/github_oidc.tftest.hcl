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

  mock_resource "aws_iam_openid_connect_provider" {
    override_during = plan
    defaults        = { arn = "arn:aws:iam::111122223333:oidc-provider/token.actions.githubusercontent.com" }
  }

  mock_resource "aws_iam_role" {
    override_during = plan
    defaults        = { arn = "arn:aws:iam::111122223333:role/bulkhead-test" }
  }
}

variables {
  name       = "bulkhead-test"
  repository = "example/bulkhead"

  environment              = "test"
  deploy_branches          = ["main"]
  repository_arn           = "arn:aws:ecr:eu-central-1:111122223333:repository/bulkhead-test"
  cluster_arn              = "arn:aws:ecs:eu-central-1:111122223333:cluster/bulkhead-test"
  service_arns             = { api = "arn:aws:ecs:eu-central-1:111122223333:service/bulkhead-test/api" }
  task_definition_families = ["bulkhead-test-migrate"]
  pass_role_arns           = { api_task = "arn:aws:iam::111122223333:role/bulkhead-test-api-task" }

  state_bucket_arn = "arn:aws:s3:::example-terraform-state"
  state_key_prefix = "bulkhead/test"
}

################################################################################
# Provider
################################################################################

run "makes_the_provider_for_aws_alone" {
  command = plan

  assert {
    condition     = aws_iam_openid_connect_provider.this[0].url == "https://token.actions.githubusercontent.com"
    error_message = "The provider must be GitHub's: another issuer would be believed to be GitHub."
  }

  assert {
    condition     = aws_iam_openid_connect_provider.this[0].client_id_list == toset(["sts.amazonaws.com"])
    error_message = "The provider must take tokens that were made for AWS and no others."
  }

  assert {
    condition     = output.provider_arn == aws_iam_openid_connect_provider.this[0].arn
    error_message = "The provider that was made must be told to others."
  }
}

run "uses_the_provider_that_is_there" {
  command = plan

  variables {
    create_provider = false
    provider_arn    = "arn:aws:iam::444455556666:oidc-provider/token.actions.githubusercontent.com"
  }

  assert {
    condition     = length(aws_iam_openid_connect_provider.this) == 0
    error_message = "An account can have the provider once: a second one must not be made."
  }

  assert {
    condition     = output.provider_arn == "arn:aws:iam::444455556666:oidc-provider/token.actions.githubusercontent.com"
    error_message = "The provider that is there must be told to others."
  }
}

run "refuses_to_be_without_a_provider" {
  command = plan

  variables {
    create_provider = false
  }

  expect_failures = [var.provider_arn]
}

run "refuses_to_make_a_provider_beside_the_one_that_is_named" {
  command = plan

  variables {
    provider_arn = "arn:aws:iam::111122223333:oidc-provider/token.actions.githubusercontent.com"
  }

  expect_failures = [var.provider_arn]
}

run "refuses_the_provider_of_somebody_else" {
  command = plan

  variables {
    create_provider = false
    provider_arn    = "arn:aws:iam::111122223333:oidc-provider/tokens.example.com"
  }

  expect_failures = [var.provider_arn]
}

################################################################################
# Roles
################################################################################

run "roles_last_as_long_as_they_must" {
  command = plan

  assert {
    condition     = aws_iam_role.deploy.max_session_duration == 10800 && aws_iam_role.plan.max_session_duration == 3600
    error_message = "A role that leaked must be worthless soon: after an hour, or the three that a deployment of 150 minutes fits into."
  }

  assert {
    condition     = aws_iam_role.deploy.name == "bulkhead-test-deploy" && aws_iam_role.plan.name == "bulkhead-test-plan"
    error_message = "The roles must be told apart by their names, which workflows may have in them."
  }

  assert {
    condition     = aws_iam_role.deploy.permissions_boundary == null && aws_iam_role.plan.permissions_boundary == null
    error_message = "Without a boundary none must be set."
  }
}

run "a_boundary_bounds_both_roles" {
  command = plan

  variables {
    permissions_boundary_arn = "arn:aws:iam::111122223333:policy/boundary"
  }

  assert {
    condition     = aws_iam_role.deploy.permissions_boundary == "arn:aws:iam::111122223333:policy/boundary" && aws_iam_role.plan.permissions_boundary == "arn:aws:iam::111122223333:policy/boundary"
    error_message = "A role without the boundary would be the way around it."
  }
}

run "the_plan_role_views_and_does_not_read" {
  command = plan

  assert {
    condition     = aws_iam_role_policy_attachment.plan.policy_arn == "arn:aws:iam::aws:policy/job-function/ViewOnlyAccess"
    error_message = "ReadOnlyAccess reads data; the plan role must have ViewOnlyAccess."
  }

  assert {
    condition     = aws_iam_role_policy_attachment.plan.role == "bulkhead-test-plan"
    error_message = "The managed policy must be the plan role's, not the deployment's."
  }
}

################################################################################
# Refusals
################################################################################

run "refuses_a_name_with_capitals" {
  command = plan

  variables {
    name = "Bulkhead"
  }

  expect_failures = [var.name]
}

run "refuses_every_repository_of_an_owner" {
  command = plan

  variables {
    repository = "example/*"
  }

  expect_failures = [var.repository]
}

run "refuses_a_repository_without_its_owner" {
  command = plan

  variables {
    repository = "bulkhead"
  }

  expect_failures = [var.repository]
}

run "refuses_ids_that_are_no_numbers" {
  command = plan

  variables {
    repository_ids = { owner = "*", repository = "456789" }
  }

  expect_failures = [var.repository_ids]
}

run "refuses_to_let_no_branch_deploy" {
  command = plan

  variables {
    deploy_branches = []
  }

  expect_failures = [var.deploy_branches]
}

run "refuses_to_let_every_branch_deploy" {
  command = plan

  variables {
    deploy_branches = ["main", "*"]
  }

  expect_failures = [var.deploy_branches]
}

run "refuses_a_branch_as_tokens_write_it" {
  command = plan

  variables {
    deploy_branches = ["refs/heads/main"]
  }

  expect_failures = [var.deploy_branches]
}

run "refuses_to_let_every_workflow_deploy" {
  command = plan

  variables {
    deploy_workflows = ["*.yml"]
  }

  expect_failures = [var.deploy_workflows]
}

run "refuses_every_environment" {
  command = plan

  variables {
    environment = "*"
  }

  expect_failures = [var.environment]
}

run "refuses_an_environment_that_reads_like_another_subject" {
  command = plan

  variables {
    environment = "test:ref:refs/heads/main"
  }

  expect_failures = [var.environment]
}

run "refuses_plans_from_every_branch" {
  command = plan

  variables {
    plan_subjects = ["ref:refs/heads/*"]
  }

  expect_failures = [var.plan_subjects]
}

run "refuses_plans_from_everything" {
  command = plan

  variables {
    plan_subjects = ["*"]
  }

  expect_failures = [var.plan_subjects]
}

run "refuses_plans_from_nowhere" {
  command = plan

  variables {
    plan_subjects = []
  }

  expect_failures = [var.plan_subjects]
}

run "refuses_no_services" {
  command = plan

  variables {
    service_arns = {}
  }

  expect_failures = [var.service_arns]
}

run "refuses_to_run_every_family" {
  command = plan

  variables {
    task_definition_families = ["bulkhead-test-*"]
  }

  expect_failures = [var.task_definition_families]
}

run "refuses_to_run_no_family" {
  command = plan

  variables {
    task_definition_families = []
  }

  expect_failures = [var.task_definition_families]
}

run "refuses_to_pass_on_every_role" {
  command = plan

  variables {
    pass_role_arns = { all = "arn:aws:iam::111122223333:role/*" }
  }

  expect_failures = [var.pass_role_arns]
}

run "refuses_to_pass_on_no_role" {
  command = plan

  variables {
    pass_role_arns = {}
  }

  expect_failures = [var.pass_role_arns]
}

run "refuses_a_boundary_that_is_no_arn" {
  command = plan

  variables {
    permissions_boundary_arn = "boundary"
  }

  expect_failures = [var.permissions_boundary_arn]
}

run "refuses_a_key_of_secrets_that_is_no_arn" {
  command = plan

  variables {
    secret_kms_key_arn = "alias/secret"
  }

  expect_failures = [var.secret_kms_key_arn]
}

run "refuses_to_write_every_parameter" {
  command = plan

  variables {
    releases_parameter_arn = "arn:aws:ssm:eu-central-1:111122223333:parameter/*"
  }

  expect_failures = [var.releases_parameter_arn]
}

run "refuses_to_write_where_everything_is_found" {
  command = plan

  variables {
    deployment_parameter_arn = "arn:aws:ssm:eu-central-1:111122223333:parameter/bulkhead-test/deployment"
    releases_parameter_arn   = "arn:aws:ssm:eu-central-1:111122223333:parameter/bulkhead-test/deployment"
  }

  expect_failures = [var.releases_parameter_arn]
}

run "refuses_a_bucket_with_a_path" {
  command = plan

  variables {
    state_bucket_arn = "arn:aws:s3:::example-terraform-state/*"
  }

  expect_failures = [var.state_bucket_arn]
}

run "refuses_everybodys_state" {
  command = plan

  variables {
    state_key_prefix = ""
  }

  expect_failures = [var.state_key_prefix]
}

run "refuses_a_prefix_with_a_wildcard" {
  command = plan

  variables {
    state_key_prefix = "*/production"
  }

  expect_failures = [var.state_key_prefix]
}

run "refuses_a_key_of_the_state_that_is_no_arn" {
  command = plan

  variables {
    state_kms_key_arn = "alias/state"
  }

  expect_failures = [var.state_kms_key_arn]
}
