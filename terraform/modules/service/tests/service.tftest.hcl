mock_provider "aws" {
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{\"Version\":\"2012-10-17\",\"Statement\":[]}" }
  }

  mock_data "aws_region" {
    defaults = { id = "eu-central-1" }
  }

  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }

  mock_data "aws_caller_identity" {
    defaults = { account_id = "111122223333" }
  }

  mock_resource "aws_ecs_task_definition" {
    defaults = { arn = "arn:aws:ecs:eu-central-1:111122223333:task-definition/bulkhead-test-api:1" }
  }

  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:eu-central-1:111122223333:log-group:/bulkhead/bulkhead-test/api" }
  }

  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::111122223333:role/bulkhead-test-api-task" }
  }
}

variables {
  name            = "bulkhead-test"
  command         = "api"
  image           = "111122223333.dkr.ecr.eu-central-1.amazonaws.com/bulkhead@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  cpu             = 1024
  memory_mb       = 2048
  environment     = { BULKHEAD_LOG = "info" }
  secrets         = { BULKHEAD_MASTER_KEY = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:bulkhead-test/master-key-AbCdEf" }
  repository_arn  = "arn:aws:ecr:eu-central-1:111122223333:repository/bulkhead"
  log_kms_key_arn = "arn:aws:kms:eu-central-1:111122223333:key/00000000-0000-0000-0000-000000000000"
  cluster_arn     = "arn:aws:ecs:eu-central-1:111122223333:cluster/bulkhead-test"
  cluster_name    = "bulkhead-test"
  vpc_id          = "vpc-1"
  subnet_ids      = ["subnet-1", "subnet-2", "subnet-3"]

  scaling                         = { min = 2, max = 6 }
  port                            = 8080
  target_group_arn                = "arn:aws:elasticloadbalancing:eu-central-1:111122223333:targetgroup/api/1"
  load_balancer_security_group_id = "sg-alb"
  stop_timeout_seconds            = 60
  drain_seconds                   = 15
  servers                         = { database = { security_group_id = "sg-db", port = 5432 } }
}

run "a_task_may_nothing_that_it_need_not" {
  # The definition of the containers names the log group, which is made by the apply.
  command = apply

  assert {
    condition     = jsondecode(aws_ecs_task_definition.this.container_definitions)[0].readonlyRootFilesystem
    error_message = "The root file system must be read-only."
  }

  assert {
    condition     = jsondecode(aws_ecs_task_definition.this.container_definitions)[0].user == "65532:65532"
    error_message = "The task must not run as root."
  }

  assert {
    condition     = jsondecode(aws_ecs_task_definition.this.container_definitions)[0].linuxParameters.capabilities.drop == ["ALL"]
    error_message = "The task must drop all capabilities."
  }

  assert {
    condition     = !aws_ecs_service.this[0].enable_execute_command && !aws_ecs_service.this[0].network_configuration[0].assign_public_ip
    error_message = "Nobody may open a shell in a task, and tasks have no public address."
  }

  assert {
    condition     = length(aws_iam_role_policy.task) == 0
    error_message = "A task may nothing at AWS unless it is listed."
  }
}

run "a_task_ends_its_work_before_it_is_killed" {
  command = apply

  assert {
    condition     = jsondecode(aws_ecs_task_definition.this.container_definitions)[0].stopTimeout == 60
    error_message = "The orchestrator must wait as long as was asked for."
  }

  assert {
    condition = contains(
      jsondecode(aws_ecs_task_definition.this.container_definitions)[0].environment,
      { name = "BULKHEAD_SHUTDOWN_SECS", value = "40" },
    )
    error_message = "Drain, shutdown and a margin of 5 s must fit into the stop time-out."
  }
}

run "secrets_are_named_and_never_told" {
  command = apply

  assert {
    condition = jsondecode(aws_ecs_task_definition.this.container_definitions)[0].secrets == [
      { name = "BULKHEAD_MASTER_KEY", valueFrom = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:bulkhead-test/master-key-AbCdEf" },
    ]
    error_message = "Secrets must be references."
  }

  assert {
    condition     = !contains([for setting in jsondecode(aws_ecs_task_definition.this.container_definitions)[0].environment : setting.name], "BULKHEAD_MASTER_KEY")
    error_message = "A secret must not be in environment."
  }
}

run "a_bad_deployment_is_rolled_back" {
  command = plan

  assert {
    condition     = aws_ecs_service.this[0].deployment_circuit_breaker[0].enable && aws_ecs_service.this[0].deployment_circuit_breaker[0].rollback
    error_message = "The circuit breaker must be on, with rollback."
  }

  assert {
    condition     = aws_ecs_service.this[0].deployment_minimum_healthy_percent == 100
    error_message = "A deployment must never run fewer tasks than wanted."
  }
}

run "only_the_load_balancer_reaches_the_port_and_the_probes" {
  command = plan

  assert {
    condition     = toset([for rule in aws_vpc_security_group_ingress_rule.load_balancer : rule.from_port]) == toset([8080, 9090])
    error_message = "Requests and probes must be let in, and nothing else."
  }

  assert {
    condition     = alltrue([for rule in aws_vpc_security_group_ingress_rule.load_balancer : rule.referenced_security_group_id == "sg-alb"])
    error_message = "Nobody but the load balancer may be let in."
  }

  assert {
    condition     = aws_vpc_security_group_egress_rule.server["database"].to_port == 5432
    error_message = "The task must be let out to its servers."
  }
}

run "a_worker_has_no_port_and_scales_on_waiting_work" {
  command = apply

  variables {
    command                         = "worker"
    port                            = null
    target_group_arn                = null
    load_balancer_security_group_id = null
    drain_seconds                   = 0
    published_metrics               = { bulkhead_jobs_due = {}, bulkhead_jobs_oldest_due_seconds = {} }
    backlog_targets                 = { bulkhead_jobs_due = 200, bulkhead_jobs_oldest_due_seconds = 30 }
  }

  assert {
    condition     = length(aws_vpc_security_group_ingress_rule.load_balancer) == 0
    error_message = "Nobody may reach a worker."
  }

  assert {
    condition     = keys(aws_appautoscaling_policy.backlog) == ["bulkhead_jobs_due", "bulkhead_jobs_oldest_due_seconds"]
    error_message = "A worker must scale on the jobs that are due and on how long the oldest has waited."
  }

  assert {
    condition     = [for container in jsondecode(aws_ecs_task_definition.this.container_definitions) : container.name] == ["worker", "collector"]
    error_message = "Metrics are published by a collector beside the worker."
  }

  assert {
    condition     = !jsondecode(aws_ecs_task_definition.this.container_definitions)[1].essential
    error_message = "A collector that ends must not end the worker."
  }
}

run "what_does_not_count_is_not_published" {
  command = apply

  variables {
    published_metrics = {
      bulkhead_jobs_due            = {}
      bulkhead_jobs_total          = { outcome = "failed" }
      bulkhead_redis_errors_total  = { use = "queue|usage" }
      bulkhead_usage_batches_total = {}
    }
  }

  assert {
    condition = local.collector_configuration.receivers["prometheus/cloudwatch"].config.scrape_configs[0].metric_relabel_configs == [{
      source_labels = ["__name__", "outcome", "use"]
      regex         = local.published_series
      action        = "keep"
    }]
    error_message = "One rule must keep, over the name and every label that something is chosen by: a second one would drop what the first keeps."
  }

  # As Prometheus compares: the values of the labels with a semicolon between them, from beginning to end.
  assert {
    condition = alltrue([
      for series in [
        "bulkhead_jobs_due;;", "bulkhead_jobs_total;failed;", "bulkhead_redis_errors_total;;queue", "bulkhead_redis_errors_total;;usage", "bulkhead_usage_batches_total;;",
      ] : can(regex("^(?:${local.published_series})$", series))
    ])
    error_message = "What counts must be published, and metrics that nothing is chosen of as a whole."
  }

  assert {
    condition = !anytrue([
      for series in [
        "bulkhead_jobs_total;succeeded;", "bulkhead_jobs_total;retried;", "bulkhead_jobs_total;;", "bulkhead_jobs_total;not_failed;", "bulkhead_redis_errors_total;;limiter",
        "bulkhead_jobs_outstanding;;", "bulkhead_jobs_due_total;;", "a_bulkhead_jobs_due;;",
      ] : can(regex("^(?:${local.published_series})$", series))
    ])
    error_message = "A sum of what counts and what does not says nothing."
  }
}

run "the_first_time_that_something_counts_is_published" {
  command = apply

  variables {
    published_metrics = { bulkhead_jobs_total = { outcome = "failed" } }
  }

  assert {
    condition     = jsonencode(local.collector_configuration.exporters.awsemf.metric_declarations) == jsonencode([{ dimensions = [["environment", "command"]], metric_name_selectors = ["bulkhead_jobs_total"] }])
    error_message = "Alarms and scaling look for what is published under these dimensions."
  }

  assert {
    condition     = local.collector_configuration.exporters.awsemf.retain_initial_value_of_delta_metric
    error_message = "What a counter has counted before it is first looked at must be heard of too."
  }

  assert {
    condition     = length(local.collector_configuration.extensions) == 0 && length(local.collector_configuration.service.extensions) == 0
    error_message = "Nothing is signed for Prometheus without a workspace."
  }

  assert {
    condition = jsonencode(yamldecode(one([
      for setting in jsondecode(aws_ecs_task_definition.this.container_definitions)[1].environment : setting.value if setting.name == "AOT_CONFIG_CONTENT"
    ]))) == jsonencode(local.collector_configuration)
    error_message = "The collector must be given its configuration."
  }
}

run "nothing_is_collected_for_nobody" {
  command = apply

  assert {
    condition     = length(jsondecode(aws_ecs_task_definition.this.container_definitions)) == 1 && length(aws_iam_role_policy.collector) == 0
    error_message = "Without metrics to publish and a workspace to write to there must be no collector and no right for it."
  }
}

run "a_workspace_is_written_everything" {
  command = apply

  variables {
    prometheus = {
      workspace_arn    = "arn:aws:aps:eu-central-1:111122223333:workspace/ws-1"
      remote_write_url = "https://aps-workspaces.eu-central-1.amazonaws.com/workspaces/ws-1/api/v1/remote_write"
    }
  }

  assert {
    condition     = [for container in jsondecode(aws_ecs_task_definition.this.container_definitions) : container.name] == ["api", "collector"] && length(aws_iam_role_policy.collector) == 1
    error_message = "A workspace alone is reason enough for a collector."
  }

  assert {
    condition     = [for pipeline in values(local.collector_configuration.service.pipelines) : pipeline.exporters] == [["prometheusremotewrite"]]
    error_message = "Nothing may be published to CloudWatch that was not asked for."
  }

  assert {
    condition     = !can(local.collector_configuration.receivers["prometheus/all"].config.scrape_configs[0].metric_relabel_configs)
    error_message = "Prometheus must be given all that the task says."
  }

  assert {
    condition = local.collector_configuration.exporters.prometheusremotewrite == {
      endpoint            = "https://aps-workspaces.eu-central-1.amazonaws.com/workspaces/ws-1/api/v1/remote_write"
      auth                = { authenticator = "sigv4auth" }
      add_metric_suffixes = false
      external_labels     = { environment = "bulkhead-test", command = "api" }
    }
    error_message = "Series must be signed, keep their names, and say whose they are."
  }

  assert {
    condition     = local.collector_configuration.extensions == { sigv4auth = { region = "eu-central-1", service = "aps" } } && local.collector_configuration.service.extensions == ["sigv4auth"]
    error_message = "Whoever signs must be there and be started."
  }

  assert {
    condition     = contains(local.collector_configuration.processors.resource.attributes, { key = "service.instance.id", from_attribute = "aws.ecs.task.id", action = "upsert" }) && local.collector_configuration.service.pipelines["metrics/all"].processors == ["resourcedetection", "resource", "batch"]
    error_message = "Tasks must be told apart: by address all of them are the same."
  }
}

run "a_workspace_does_not_change_what_is_published" {
  command = apply

  variables {
    published_metrics = { bulkhead_usage_buffer_bytes = {} }
    prometheus = {
      workspace_arn    = "arn:aws:aps:eu-central-1:111122223333:workspace/ws-1"
      remote_write_url = "https://aps-workspaces.eu-central-1.amazonaws.com/workspaces/ws-1/api/v1/remote_write"
    }
  }

  assert {
    condition     = { for name, pipeline in local.collector_configuration.service.pipelines : name => [pipeline.receivers, pipeline.exporters] } == { "metrics/all" = [["prometheus/all"], ["prometheusremotewrite"]], "metrics/cloudwatch" = [["prometheus/cloudwatch"], ["awsemf"]] }
    error_message = "Each way must have a receiver of its own: CloudWatch must not be sent everything."
  }
}

run "a_workspace_is_signed_for_where_it_is" {
  command = apply

  variables {
    prometheus = {
      workspace_arn    = "arn:aws:aps:eu-west-1:111122223333:workspace/ws-1"
      remote_write_url = "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-1/api/v1/remote_write"
    }
  }

  assert {
    condition     = local.collector_configuration.extensions.sigv4auth == { region = "eu-west-1", service = "aps" }
    error_message = "A workspace in another region would refuse what was signed for the task's."
  }
}

run "a_task_that_is_run_once_is_no_service" {
  command = plan

  variables {
    command                         = "migrate"
    scaling                         = null
    port                            = null
    target_group_arn                = null
    load_balancer_security_group_id = null
    drain_seconds                   = 0
  }

  assert {
    condition     = length(aws_ecs_service.this) == 0 && length(aws_appautoscaling_target.this) == 0
    error_message = "Nothing may keep a task running that is run once."
  }

  assert {
    condition     = output.service_name == null
    error_message = "There is no service to name."
  }
}

run "refuses_an_image_without_a_digest" {
  command = plan
  variables { image = "111122223333.dkr.ecr.eu-central-1.amazonaws.com/bulkhead:latest" }
  expect_failures = [var.image]
}

run "refuses_an_image_with_an_empty_digest" {
  command = plan
  variables { image = "111122223333.dkr.ecr.eu-central-1.amazonaws.com/bulkhead@sha256:" }
  expect_failures = [var.image]
}

run "refuses_passwords_in_the_environment" {
  command = plan
  variables { environment = { BULKHEAD_DATABASE_TENANT_URL = "postgres://bulkhead_tenant:secret@db/bulkhead" } }
  expect_failures = [var.environment]
}

run "refuses_to_publish_by_an_expression" {
  command = plan
  variables { published_metrics = { "bulkhead_.*" = {} } }
  expect_failures = [var.published_metrics]
}

run "refuses_labels_that_no_series_carries" {
  command = plan
  variables { published_metrics = { bulkhead_jobs_total = { "__name__" = "failed" } } }
  expect_failures = [var.published_metrics]
}

run "refuses_values_that_are_no_expression" {
  command = plan
  variables { published_metrics = { bulkhead_jobs_total = { outcome = "(failed" } } }
  expect_failures = [var.published_metrics]
}

run "refuses_values_that_the_collector_would_take_for_its_own" {
  command = plan
  variables { published_metrics = { bulkhead_jobs_total = { outcome = "failed$" } } }
  expect_failures = [var.published_metrics]
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

run "refuses_to_collect_from_a_task_that_serves_no_metrics" {
  command = plan
  variables {
    command                         = "migrate"
    scaling                         = null
    port                            = null
    target_group_arn                = null
    load_balancer_security_group_id = null
    drain_seconds                   = 0
    prometheus = {
      workspace_arn    = "arn:aws:aps:eu-central-1:111122223333:workspace/ws-1"
      remote_write_url = "https://aps-workspaces.eu-central-1.amazonaws.com/workspaces/ws-1/api/v1/remote_write"
    }
  }
  expect_failures = [var.prometheus]
}

run "refuses_to_scale_on_what_is_not_published" {
  command = plan
  variables { backlog_targets = { bulkhead_jobs_due = 200 } }
  expect_failures = [var.backlog_targets]
}

run "refuses_a_stop_time_out_that_leaves_no_time" {
  command = plan
  variables {
    stop_timeout_seconds = 20
    drain_seconds        = 15
  }
  expect_failures = [var.stop_timeout_seconds]
}

run "refuses_fewer_than_one_task" {
  command = plan
  variables { scaling = { min = 0, max = 3 } }
  expect_failures = [var.scaling]
}

run "refuses_a_port_without_a_load_balancer" {
  command = plan
  variables { target_group_arn = null }
  expect_failures = [aws_ecs_service.this]
}

# A setting beyond what the product takes is refused at its start: crates/config/src/http.rs.
run "asks_the_product_for_no_more_time_than_it_takes" {
  command = apply

  variables {
    stop_timeout_seconds = 120
    drain_seconds        = 0
  }

  assert {
    condition     = one([for variable in jsondecode(aws_ecs_task_definition.this.container_definitions)[0].environment : variable.value if variable.name == "BULKHEAD_SHUTDOWN_SECS"]) == "110"
    error_message = "The product gives work in flight 110 seconds at most."
  }
}
