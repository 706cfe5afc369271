# What the wiring promises, whatever the modules do inside: who is given which secret, one image for every command, and
# what the deployment is told. Every module is really planned and applied, against a provider that makes nothing.
mock_provider "aws" {
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{\"Version\":\"2012-10-17\",\"Statement\":[]}" }
  }

  mock_data "aws_region" {
    defaults = { id = "eu-central-1", region = "eu-central-1" }
  }

  mock_data "aws_partition" {
    defaults = { partition = "aws", dns_suffix = "amazonaws.com" }
  }

  mock_data "aws_caller_identity" {
    defaults = { account_id = "111122223333" }
  }

  mock_data "aws_availability_zones" {
    defaults = { names = ["eu-central-1a", "eu-central-1b", "eu-central-1c"] }
  }

  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-central-1:111122223333:key/00000000-0000-0000-0000-000000000000" }
  }

  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::111122223333:role/bulkhead-test" }
  }

  mock_resource "aws_iam_openid_connect_provider" {
    defaults = { arn = "arn:aws:iam::111122223333:oidc-provider/token.actions.githubusercontent.com" }
  }

  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:eu-central-1:111122223333:log-group:/bulkhead/test" }
  }

  mock_resource "aws_sns_topic" {
    defaults = { arn = "arn:aws:sns:eu-central-1:111122223333:bulkhead-test" }
  }

  mock_resource "aws_sqs_queue" {
    defaults = { arn = "arn:aws:sqs:eu-central-1:111122223333:bulkhead-test" }
  }

  mock_resource "aws_ecr_repository" {
    defaults = {
      arn            = "arn:aws:ecr:eu-central-1:111122223333:repository/bulkhead-test"
      repository_url = "111122223333.dkr.ecr.eu-central-1.amazonaws.com/bulkhead-test"
    }
  }

  mock_resource "aws_ecs_cluster" {
    defaults = { arn = "arn:aws:ecs:eu-central-1:111122223333:cluster/bulkhead-test" }
  }

  mock_resource "aws_ecs_task_definition" {
    defaults = { arn = "arn:aws:ecs:eu-central-1:111122223333:task-definition/bulkhead-test:1" }
  }

  mock_resource "aws_secretsmanager_secret" {
    defaults = { arn = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:bulkhead-test/a-secret-AbCdEf" }
  }

  mock_resource "aws_ssm_parameter" {
    defaults = { arn = "arn:aws:ssm:eu-central-1:111122223333:parameter/bulkhead-test/deployment" }
  }

  mock_resource "aws_lb" {
    defaults = {
      arn        = "arn:aws:elasticloadbalancing:eu-central-1:111122223333:loadbalancer/app/bulkhead-test/1"
      arn_suffix = "app/bulkhead-test/1"
      dns_name   = "bulkhead-test-1.eu-central-1.elb.amazonaws.com"
      zone_id    = "Z215JYRZR1TBD5"
    }
  }

  mock_resource "aws_lb_listener" {
    defaults = { arn = "arn:aws:elasticloadbalancing:eu-central-1:111122223333:listener/app/bulkhead-test/1/1" }
  }

  mock_resource "aws_lb_target_group" {
    defaults = {
      arn        = "arn:aws:elasticloadbalancing:eu-central-1:111122223333:targetgroup/bulkhead-test-8080/1"
      arn_suffix = "targetgroup/bulkhead-test-8080/1"
    }
  }

  mock_resource "aws_wafv2_web_acl" {
    defaults = { arn = "arn:aws:wafv2:eu-central-1:111122223333:regional/webacl/bulkhead-test/1" }
  }

  mock_resource "aws_acm_certificate" {
    defaults = {
      arn = "arn:aws:acm:eu-central-1:111122223333:certificate/made"
      domain_validation_options = [{
        domain_name           = "api.example.com"
        resource_record_name  = "_1.api.example.com"
        resource_record_type  = "CNAME"
        resource_record_value = "_2.acm-validations.aws"
      }]
    }
  }

  mock_resource "aws_db_instance" {
    defaults = {
      arn                = "arn:aws:rds:eu-central-1:111122223333:db:bulkhead-test"
      address            = "bulkhead-test.1.eu-central-1.rds.amazonaws.com"
      master_user_secret = [{ secret_arn = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:rds!db-1-AbCdEf", kms_key_id = "", secret_status = "active" }]
    }
  }

  mock_resource "aws_cognito_user_pool" {
    defaults = { endpoint = "cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Abc123" }
  }

  mock_resource "aws_elasticache_replication_group" {
    defaults = { primary_endpoint_address = "master.bulkhead-test.1.euc1.cache.amazonaws.com" }
  }
}

# Beside the other parameter, whose ARN is the mock's.
override_resource {
  target = aws_ssm_parameter.releases
  values = { arn = "arn:aws:ssm:eu-central-1:111122223333:parameter/bulkhead-test/releases" }
}

variables {
  name                = "bulkhead-test"
  api_key_environment = "live"
  approval_required   = true
  image_digest        = "sha256:0000000000000000000000000000000000000000000000000000000000000000"

  cidr        = "10.40.0.0/16"
  nat         = "single"
  domain_name = "api.example.com"
  zone_id     = "Z0000000000000000000"

  database = {
    instance_class           = "db.t4g.medium"
    memory_gb                = 4
    allocated_storage_gb     = 50
    max_allocated_storage_gb = 200
    multi_az                 = false
    backup_retention_days    = 14
  }
  cache  = { node_type = "cache.t4g.small", replicas = 1, dedicated_queue = true }
  api    = { cpu = 512, memory_mb = 1024, min = 2, max = 4 }
  worker = { cpu = 512, memory_mb = 1024, min = 1, max = 4 }

  alarm_emails = ["oncall@example.com"]
  runbook_url  = "https://github.com/example/bulkhead/blob/main/terraform/README.md"

  github = {
    repository       = "example/bulkhead"
    environment      = "test"
    deploy_branches  = ["main"]
    create_provider  = true
    state_bucket_arn = "arn:aws:s3:::example-bulkhead-state"
    state_key_prefix = "bulkhead/test"
  }
}

run "wires_one_installation" {
  command = apply

  # Who reads which secret.
  assert {
    condition     = [for variable, secret in local.migrate_secrets : variable if startswith(secret, module.database.master_user_secret_arn)] == ["BULKHEAD_DATABASE_ADMIN_PASSWORD"]
    error_message = "The migration must be given the password of the master user, and only its password."
  }

  assert {
    condition     = !anytrue([for secret in concat(values(local.api_secrets), values(local.worker_secrets)) : startswith(secret, module.database.master_user_secret_arn)])
    error_message = "A service that runs all day must never be given the master user's secret."
  }

  assert {
    condition     = toset(keys(local.api_secrets)) == toset(["BULKHEAD_DATABASE_PLATFORM_URL", "BULKHEAD_DATABASE_TENANT_URL", "BULKHEAD_MASTER_KEY", "BULKHEAD_REDIS_CACHE_URL", "BULKHEAD_REDIS_QUEUE_URL"])
    error_message = "The API must log in as the tenants' role and the platform's, and never as the one that owns schemas."
  }

  assert {
    condition     = toset(keys(local.worker_secrets)) == toset(["BULKHEAD_DATABASE_PLATFORM_URL", "BULKHEAD_DATABASE_PROVISIONER_URL", "BULKHEAD_DATABASE_TENANT_URL", "BULKHEAD_MASTER_KEY", "BULKHEAD_REDIS_QUEUE_URL"])
    error_message = "The worker builds schemas, and has no business with the limits."
  }

  assert {
    condition     = !contains(keys(merge(local.api_secrets, local.worker_secrets)), "BULKHEAD_OPERATOR_PASSWORD")
    error_message = "Only the task that adds an operator must be given an operator's password."
  }

  # A value in the environment would be in the state, and in whatever shows a task definition.
  assert {
    condition     = !anytrue([for variable in keys(local.api_settings) : endswith(variable, "_KEY") || endswith(variable, "_PASSWORD") || endswith(variable, "_DATABASE_TENANT_URL")])
    error_message = "What is secret must come from a secret."
  }

  # A secret of its own for each login.
  assert {
    condition     = toset(keys(local.secrets)) == toset(["database-platform", "database-provisioner", "database-tenant", "master-key", "operator", "redis-api", "redis-worker"])
    error_message = "Each login must have a secret of its own."
  }

  assert {
    condition     = [for login in ["platform", "provisioner", "tenant"] : local.secrets["database-${login}"].recipe.user] == ["bulkhead_platform", "bulkhead_provisioner", "bulkhead_tenant"]
    error_message = "Each database login must be the role of that name."
  }

  assert {
    condition     = alltrue([for secret in aws_secretsmanager_secret.this : secret.recovery_window_in_days == 30])
    error_message = "A secret that was deleted by mistake must be there for a month."
  }

  # One image, and a database that is known to be ours.
  assert {
    condition     = local.image == "111122223333.dkr.ecr.eu-central-1.amazonaws.com/bulkhead-test@sha256:0000000000000000000000000000000000000000000000000000000000000000"
    error_message = "Every command must run the image of the environment's own registry, by its digest."
  }

  assert {
    condition     = local.settings.BULKHEAD_DATABASE_TLS == "verify-full" && local.settings.BULKHEAD_DATABASE_CA_FILE == "/etc/ssl/certs/rds-global-bundle.pem"
    error_message = "The product must know that it speaks to its database and to nobody else."
  }

  assert {
    condition     = local.api_settings.BULKHEAD_TRUSTED_PROXY_HOPS == "1" && local.api_settings.BULKHEAD_PUBLIC_URL == "https://api.example.com"
    error_message = "The API must believe the load balancer, and nobody else, about who its client is."
  }

  # What the worker is told of AWS, and nobody else.
  assert {
    condition = {
      for variable, value in local.worker_settings : variable => value if !contains(keys(local.settings), variable)
      } == {
      AWS_REGION            = "eu-central-1"
      BULKHEAD_AUDIT_ANCHOR = "s3://bulkhead-test-anchors-111122223333/heads"
    }
    error_message = "The worker must write the heads of the audit logs into their bucket."
  }

  assert {
    condition     = keys(local.worker_policies) == ["anchoring", "queue_out", "storage"]
    error_message = "Without a pool of users the worker must have no right on one."
  }

  assert {
    condition     = !contains(keys(local.settings), "BULKHEAD_OIDC_ALLOWED_ISSUERS")
    error_message = "Unless hosts are named, there must be no identity providers."
  }

  # What the deployment is told.
  assert {
    condition     = toset(keys(jsondecode(aws_ssm_parameter.deployment.value))) == toset(["approval_required", "cluster", "migrate", "name", "registry", "releases", "secrets", "services", "url"])
    error_message = "The deployment asks for these and nothing else (terraform/deploy)."
  }

  assert {
    condition     = keys(jsondecode(aws_ssm_parameter.deployment.value).services) == ["api", "worker"] && jsondecode(aws_ssm_parameter.deployment.value).approval_required
    error_message = "The deployment must be told both services, and whether somebody has to approve."
  }

  assert {
    condition     = jsondecode(aws_ssm_parameter.deployment.value).secrets["bulkhead-test/master-key"].kind == "key" && jsondecode(aws_ssm_parameter.deployment.value).secrets["bulkhead-test/redis-api"].kind == "redis"
    error_message = "The deployment must be told how each secret is made."
  }

  assert {
    condition     = jsondecode(aws_ssm_parameter.deployment.value).releases == "/bulkhead-test/releases" && aws_ssm_parameter.releases.name == "/bulkhead-test/releases"
    error_message = "The deployment must be told where it keeps its releases."
  }

  assert {
    condition     = jsondecode(aws_ssm_parameter.releases.value) == [] && aws_ssm_parameter.releases.tier == "Advanced"
    error_message = "Before the first deployment there is no release; twelve of them take more than the 4 kB of the standard tier in the end."
  }

  # What tasks publish.
  assert {
    condition = keys(local.worker_metrics) == [
      "bulkhead_db_failures_total", "bulkhead_jobs_due", "bulkhead_jobs_oldest_due_seconds", "bulkhead_jobs_total", "bulkhead_redis_up", "bulkhead_usage_rejected_total",
    ] && keys(local.api_metrics) == ["bulkhead_db_failures_total", "bulkhead_redis_up", "bulkhead_usage_buffer_bytes", "bulkhead_usage_late_answers_total", "bulkhead_usage_unsafe_answers_total"]
    error_message = "An alarm on what no task publishes is quiet for ever, and each metric that nothing looks at costs."
  }

  assert {
    condition     = local.worker_metrics.bulkhead_db_failures_total == local.api_metrics.bulkhead_db_failures_total && toset(split("|", local.refusals.reason)) == toset(["read_only", "disk_full", "out_of_memory", "too_many_connections", "limit", "io_error"])
    error_message = "Of what PostgreSQL fails to do only refusals may be published: time-outs come and go."
  }

  assert {
    condition     = local.worker_metrics.bulkhead_jobs_total == { outcome = "failed" }
    error_message = "Of jobs only those that failed for good may be published: the alarm takes the sum."
  }

  # What others are told.
  assert {
    condition     = keys(output.bucket_names) == ["anchors", "exports", "logs", "statements"] && keys(output.event_queue_urls) == ["dead_letters", "events"]
    error_message = "Buckets and queues must be found by what they are for."
  }

  assert {
    condition     = output.github_provider_arn == "arn:aws:iam::111122223333:oidc-provider/token.actions.githubusercontent.com"
    error_message = "An environment that shares the account must be able to name GitHub's provider."
  }

  # What costs, or lets people in, only where it is asked for.
  assert {
    condition     = length(module.identity) == 0 && output.identity == null
    error_message = "There must be no pool of users unless one is asked for."
  }

  assert {
    condition     = output.replica_address == null
    error_message = "There is no replica to name."
  }
}

run "wires_what_is_asked_for" {
  command = apply

  variables {
    prometheus = {
      workspace_arn    = "arn:aws:aps:eu-central-1:111122223333:workspace/ws-1"
      remote_write_url = "https://aps-workspaces.eu-central-1.amazonaws.com/workspaces/ws-1/api/v1/remote_write"
    }
    identity = {
      callback_urls = ["https://app.example.com/callback"]
      logout_urls   = ["https://app.example.com/"]
      domain_prefix = "example-staff"
    }
    oidc_allowed_issuers = ["cognito-idp.eu-central-1.amazonaws.com", "*.example.org"]
    database = {
      instance_class           = "db.t4g.medium"
      memory_gb                = 4
      allocated_storage_gb     = 50
      max_allocated_storage_gb = 200
      multi_az                 = false
      backup_retention_days    = 14
      read_replica             = true
    }
  }

  assert {
    condition = output.identity == {
      issuer    = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Abc123"
      jwks_url  = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Abc123/.well-known/jwks.json"
      client_id = module.identity[0].client_id
      domain    = "example-staff.auth.eu-central-1.amazoncognito.com"
    }
    error_message = "An application must be told all that it needs to log users in and to check their tokens."
  }

  assert {
    condition     = keys(local.worker_policies) == ["anchoring", "people", "queue_out", "storage"]
    error_message = "The worker makes and removes people in the pool."
  }

  assert {
    condition     = alltrue([for settings in [local.api_settings, local.worker_settings] : settings.BULKHEAD_OIDC_ALLOWED_ISSUERS == "cognito-idp.eu-central-1.amazonaws.com,*.example.org"])
    error_message = "Whoever speaks to identity providers must know which there may be."
  }

  assert {
    condition     = output.replica_address == "bulkhead-test.1.eu-central-1.rds.amazonaws.com"
    error_message = "The replica must be found by who reads from it."
  }
}

run "refuses_production_without_an_approval" {
  command = plan
  variables { approval_required = false }
  expect_failures = [var.approval_required]
}

run "refuses_an_environment_that_it_does_not_know" {
  command = plan
  variables { api_key_environment = "dev" }
  expect_failures = [var.api_key_environment]
}

run "refuses_an_empty_digest" {
  command = plan
  variables { image_digest = "" }
  expect_failures = [var.image_digest]
}

run "refuses_a_name_that_would_not_fit" {
  command = plan
  variables { name = "bulkhead-production-of-example" }
  expect_failures = [var.name]
}

run "refuses_an_issuer_that_is_no_host" {
  command = plan
  variables { oidc_allowed_issuers = ["https://login.example.com"] }
  expect_failures = [var.oidc_allowed_issuers]
}

run "refuses_alarms_that_nobody_hears" {
  command = plan
  variables { alarm_emails = [] }
  expect_failures = [var.alarm_emails]
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

# The master key before, while it is changed, from where Secrets Manager keeps it; and never otherwise.
run "gives_the_master_key_before_while_it_is_changed" {
  variables { previous_master_key = true }

  assert {
    condition     = alltrue([for secrets in [local.api_secrets, local.worker_secrets, local.migrate_secrets] : endswith(secrets["BULKHEAD_MASTER_KEY_PREVIOUS"], ":key:AWSPREVIOUS:")])
    error_message = "Whatever opens the root key must be given the master key before, while it is changed."
  }
}
