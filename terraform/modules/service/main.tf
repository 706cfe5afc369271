# One command of the product's image on Fargate: its task definition, its roles, its security group, its log group and,
# unless it is a task that is run once, its service with scaling.
#
# Owns what the task may do and how it is replaced. Refuses to own the cluster, the load balancer and the values of
# secrets: it names them. After the first apply the deployment decides which image runs; changes of everything else in
# a task definition come with the next deployment, which copies the newest revision of the family and swaps the image.

data "aws_region" "current" {}
data "aws_partition" "current" {}
data "aws_caller_identity" "current" {}

locals {
  family  = "${var.name}-${var.command}"
  runs_on = var.scaling != null

  log_group_name = "/bulkhead/${var.name}/${var.command}"
  # Put together here instead of asked of the group, so that a plan shows who may write to it.
  log_group_arn = "arn:${data.aws_partition.current.partition}:logs:${data.aws_region.current.id}:${data.aws_caller_identity.current.account_id}:log-group:${local.log_group_name}"

  # Probes and metrics; every command that stays up serves them.
  probe_port = 9090

  environment = merge(var.environment, {
    # The orchestrator kills a task `stop_timeout_seconds` after asking it to stop; work in flight is given up before that.
    # The product takes 110 at most.
    BULKHEAD_SHUTDOWN_SECS = tostring(min(110, var.stop_timeout_seconds - var.drain_seconds - 5))
    # For this long readiness fails and requests are still answered: the load balancer has to notice.
    BULKHEAD_DRAIN_DELAY_MS = tostring(var.drain_seconds * 1000)
  })

  container = {
    name                   = var.command
    image                  = var.image
    command                = [var.command]
    essential              = true
    user                   = "65532:65532"
    readonlyRootFilesystem = true
    privileged             = false
    stopTimeout            = var.stop_timeout_seconds
    linuxParameters        = { capabilities = { drop = ["ALL"] }, initProcessEnabled = false }
    ulimits                = [{ name = "nofile", softLimit = 65536, hardLimit = 65536 }]

    # Sorted, so that a plan shows what has changed and nothing else.
    environment = [for key in sort(keys(local.environment)) : { name = key, value = local.environment[key] }]
    secrets     = [for key in sort(keys(var.secrets)) : { name = key, valueFrom = var.secrets[key] }]

    portMappings = local.runs_on ? concat(
      [{ containerPort = local.probe_port, hostPort = local.probe_port, protocol = "tcp" }],
      var.port == null ? [] : [{ containerPort = var.port, hostPort = var.port, protocol = "tcp" }],
    ) : []

    # Liveness alone: a task that cannot reach its database is not cured by being replaced.
    healthCheck = local.runs_on ? {
      command     = ["CMD", "/usr/local/bin/bulkhead", "doctor", "--live"]
      interval    = 10
      timeout     = 5
      retries     = 3
      startPeriod = 30
    } : null

    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.this.name
        awslogs-region        = data.aws_region.current.id
        awslogs-stream-prefix = var.command
        # A log that cannot be delivered must not stop a request; what does not fit is lost.
        mode            = "non-blocking"
        max-buffer-size = "4m"
      }
    }
  }

  # Two ways on for the task's own metrics, which no other task shares: to CloudWatch what scaling and alarms need, and to
  # Prometheus, where there is one, all of them. Without either there is no collector.
  publishes = length(var.published_metrics) > 0
  collects  = local.publishes || var.prometheus != null

  collector = {
    name                   = "collector"
    image                  = var.collector_image
    essential              = false
    user                   = "65532:65532"
    readonlyRootFilesystem = true
    privileged             = false
    cpu                    = 32
    # It holds a batch of series and its own configuration: about 60 MiB, more while it starts. For Prometheus it also holds
    # all that the task has, some 1,500 in an API task, and what could not be sent yet.
    memory          = var.prometheus == null ? 192 : 256
    restartPolicy   = { enabled = true }
    linuxParameters = { capabilities = { drop = ["ALL"] }, initProcessEnabled = false }
    environment = [
      { name = "AOT_CONFIG_CONTENT", value = yamlencode(local.collector_configuration) },
      { name = "GOMEMLIMIT", value = var.prometheus == null ? "150MiB" : "200MiB" },
    ]
    logConfiguration = merge(local.container.logConfiguration, { options = merge(local.container.logConfiguration.options, { awslogs-stream-prefix = "collector" }) })
  }

  # Labels by which something of a metric is chosen, of all metrics together.
  published_labels = sort(distinct(flatten([for labels in values(var.published_metrics) : keys(labels)])))

  # A relabeling that keeps drops all that it does not match, whatever metric that is of: rules one behind the other would
  # each drop what the other keeps. So there is one, over the name and all of these labels together: each metric with what
  # its own labels must be, and anything in those of others. Prometheus compares the whole of it.
  published_series = join("|", [
    for metric, labels in var.published_metrics : join(";", concat([metric], [for label in local.published_labels : "(?:${lookup(labels, label, ".*")})"]))
  ])

  scrape = {
    job_name        = "bulkhead"
    scrape_interval = "30s"
    static_configs  = [{ targets = ["127.0.0.1:${local.probe_port}"] }]
  }

  # The order matters: who this is has to be known before it is written on what is sent.
  collector_processors = ["resourcedetection", "resource", "batch"]

  collector_ways = concat(
    [for way in local.publishes ? ["cloudwatch"] : [] : {
      extensions = {}
      receivers = {
        "prometheus/${way}" = { config = { scrape_configs = [merge(local.scrape, {
          metric_relabel_configs = [{
            source_labels = concat(["__name__"], local.published_labels)
            regex         = local.published_series
            action        = "keep"
          }]
        })] } }
      }
      exporters = {
        awsemf = {
          namespace               = "Bulkhead"
          region                  = data.aws_region.current.id
          log_group_name          = aws_cloudwatch_log_group.this.name
          log_stream_name         = "metrics/{TaskId}"
          dimension_rollup_option = "NoDimensionRollup"
          # A counter is published as what was added since the last time. What it has counted before the first time is news
          # too, such as jobs that a worker gives up when it starts, and would by default be where counting begins. A
          # collector that is started again tells it twice, which is better than not at all.
          retain_initial_value_of_delta_metric = true
          resource_to_telemetry_conversion     = { enabled = true }
          metric_declarations                  = [{ dimensions = [["environment", "command"]], metric_name_selectors = keys(var.published_metrics) }]
        }
      }
      pipelines = {
        "metrics/${way}" = { receivers = ["prometheus/${way}"], processors = local.collector_processors, exporters = ["awsemf"] }
      }
    }],
    [for workspace in var.prometheus[*] : {
      extensions = {
        # Signed for where the workspace is, which may be another region than the task's.
        sigv4auth = { region = split(":", workspace.workspace_arn)[3], service = "aps" }
      }
      receivers = {
        "prometheus/all" = { config = { scrape_configs = [local.scrape] } }
      }
      exporters = {
        prometheusremotewrite = {
          endpoint = workspace.remote_write_url
          auth     = { authenticator = "sigv4auth" }
          # Names are Prometheus' already; alerts and dashboards know them as the product gives them.
          add_metric_suffixes = false
          external_labels     = { environment = var.name, command = var.command }
        }
      }
      pipelines = {
        "metrics/all" = { receivers = ["prometheus/all"], processors = local.collector_processors, exporters = ["prometheusremotewrite"] }
      }
    }],
  )

  collector_configuration = {
    extensions = merge(local.collector_ways[*].extensions...)
    receivers  = merge(local.collector_ways[*].receivers...)
    processors = {
      batch = { timeout = "30s" }
      # Asks ECS which task this is: the log stream of what is published is named after it.
      resourcedetection = { detectors = ["ecs"] }
      resource = {
        attributes = [
          { key = "environment", value = var.name, action = "upsert" },
          { key = "command", value = var.command, action = "upsert" },
          # What becomes Prometheus' label `instance`. The address is the same in every task: their series would be one.
          { key = "service.instance.id", from_attribute = "aws.ecs.task.id", action = "upsert" },
        ]
      }
    }
    exporters = merge(local.collector_ways[*].exporters...)
    service = {
      extensions = keys(merge(local.collector_ways[*].extensions...))
      pipelines  = merge(local.collector_ways[*].pipelines...)
    }
  }
}

################################################################################
# Task
################################################################################

resource "aws_ecs_task_definition" "this" {
  family                   = local.family
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.cpu
  memory                   = var.memory_mb
  task_role_arn            = aws_iam_role.task.arn
  execution_role_arn       = aws_iam_role.execution.arn
  container_definitions = jsonencode(concat(
    [{ for key, value in local.container : key => value if value != null }],
    local.collects ? [local.collector] : [],
  ))

  runtime_platform {
    cpu_architecture        = var.cpu_architecture
    operating_system_family = "LINUX"
  }

  # The deployment registers revisions of its own; the older ones are what it rolls back to.
  skip_destroy = true

  tags = { Name = local.family }
}

resource "aws_cloudwatch_log_group" "this" {
  name              = local.log_group_name
  retention_in_days = var.log_retention_days
  kms_key_id        = var.log_kms_key_arn
}

################################################################################
# Service
################################################################################

resource "aws_ecs_service" "this" {
  count = local.runs_on ? 1 : 0

  name                   = var.command
  cluster                = var.cluster_arn
  task_definition        = aws_ecs_task_definition.this.arn
  desired_count          = var.scaling.min
  launch_type            = "FARGATE"
  platform_version       = "LATEST"
  enable_execute_command = false
  propagate_tags         = "SERVICE"
  # Twice the tasks while rolling, never fewer than wanted.
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  health_check_grace_period_seconds  = var.target_group_arn == null ? null : 60

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = [aws_security_group.this.id]
    assign_public_ip = false
  }

  dynamic "load_balancer" {
    for_each = var.target_group_arn == null ? [] : [var.target_group_arn]

    content {
      target_group_arn = load_balancer.value
      container_name   = var.command
      container_port   = var.port
    }
  }

  lifecycle {
    # The deployment rolls the image, scaling sets the count.
    ignore_changes = [task_definition, desired_count]

    precondition {
      condition     = (var.target_group_arn == null) == (var.port == null)
      error_message = "Set port and target_group_arn together, or neither: a load balancer needs a port, and a port that nobody reaches is open for nothing."
    }
  }
}

################################################################################
# Scaling
################################################################################

resource "aws_appautoscaling_target" "this" {
  count = local.runs_on ? 1 : 0

  service_namespace  = "ecs"
  resource_id        = "service/${var.cluster_name}/${aws_ecs_service.this[0].name}"
  scalable_dimension = "ecs:service:DesiredCount"
  min_capacity       = var.scaling.min
  max_capacity       = var.scaling.max
}

resource "aws_appautoscaling_policy" "cpu" {
  count = local.runs_on ? 1 : 0

  name               = "${local.family}-cpu"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.this[0].service_namespace
  resource_id        = aws_appautoscaling_target.this[0].resource_id
  scalable_dimension = aws_appautoscaling_target.this[0].scalable_dimension

  target_tracking_scaling_policy_configuration {
    target_value = var.scaling.cpu_percent
    # Out at once, in slowly: what is taken away has to be warmed again.
    scale_out_cooldown = 60
    scale_in_cooldown  = 300

    predefined_metric_specification {
      predefined_metric_type = "ECSServiceAverageCPUUtilization"
    }
  }
}

# One policy for each measure of waiting work; the one that wants the most tasks wins.
resource "aws_appautoscaling_policy" "backlog" {
  for_each = local.runs_on ? var.backlog_targets : {}

  name               = "${local.family}-${each.key}"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.this[0].service_namespace
  resource_id        = aws_appautoscaling_target.this[0].resource_id
  scalable_dimension = aws_appautoscaling_target.this[0].scalable_dimension

  target_tracking_scaling_policy_configuration {
    target_value       = each.value
    scale_out_cooldown = 60
    scale_in_cooldown  = 300

    customized_metric_specification {
      namespace   = "Bulkhead"
      metric_name = each.key
      # Every task reports the same queue.
      statistic = "Maximum"

      dimensions {
        name  = "environment"
        value = var.name
      }

      dimensions {
        name  = "command"
        value = var.command
      }
    }
  }
}

################################################################################
# Roles
################################################################################

data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }

    # Only tasks of this account: the service could otherwise be made to act for those of another account.
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.current.account_id]
    }

    condition {
      test     = "ArnLike"
      variable = "aws:SourceArn"
      values   = ["arn:${data.aws_partition.current.partition}:ecs:${data.aws_region.current.id}:${data.aws_caller_identity.current.account_id}:*"]
    }
  }
}

# What ECS does before the product starts: fetch the image and the secrets, open the log.
data "aws_iam_policy_document" "execution" {
  statement {
    sid = "FetchImage"
    actions = [
      "ecr:BatchCheckLayerAvailability",
      "ecr:BatchGetImage",
      "ecr:GetDownloadUrlForLayer",
    ]
    resources = [var.repository_arn]
  }

  statement {
    sid = "LogInToRegistry"
    # ECR offers nothing narrower.
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"]
  }

  statement {
    sid       = "WriteLog"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${local.log_group_arn}:*"]
  }

  dynamic "statement" {
    for_each = length(var.secrets) > 0 ? [1] : []

    content {
      sid     = "ReadSecrets"
      actions = ["secretsmanager:GetSecretValue"]
      # A reference may name one key of a secret behind its ARN, which has seven parts.
      resources = distinct([for reference in values(var.secrets) : join(":", slice(split(":", reference), 0, 7))])
    }
  }

  dynamic "statement" {
    for_each = length(var.secret_kms_key_arns) > 0 ? [1] : []

    content {
      sid       = "DecryptSecrets"
      actions   = ["kms:Decrypt"]
      resources = values(var.secret_kms_key_arns)

      condition {
        test     = "StringEquals"
        variable = "kms:ViaService"
        values   = ["secretsmanager.${data.aws_region.current.id}.amazonaws.com"]
      }
    }
  }
}

data "aws_iam_policy_document" "collector" {
  dynamic "statement" {
    for_each = local.publishes ? [1] : []

    content {
      sid       = "PublishMetrics"
      actions   = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
      resources = ["${local.log_group_arn}:*"]
    }
  }

  # To write is not to read: a task learns nothing of the others.
  dynamic "statement" {
    for_each = var.prometheus[*]

    content {
      sid       = "WriteSeries"
      actions   = ["aps:RemoteWrite"]
      resources = [statement.value.workspace_arn]
    }
  }
}

resource "aws_iam_role" "execution" {
  name                 = "${local.family}-execution"
  description          = "What ECS does before ${local.family} starts"
  assume_role_policy   = data.aws_iam_policy_document.assume.json
  permissions_boundary = var.permissions_boundary_arn
}

resource "aws_iam_role_policy" "execution" {
  name   = "start"
  role   = aws_iam_role.execution.id
  policy = data.aws_iam_policy_document.execution.json
}

# What the product itself may do: nothing of AWS, unless it is listed.
resource "aws_iam_role" "task" {
  name                 = "${local.family}-task"
  description          = "What ${local.family} may do while it runs"
  assume_role_policy   = data.aws_iam_policy_document.assume.json
  permissions_boundary = var.permissions_boundary_arn
}

resource "aws_iam_role_policy" "task" {
  for_each = var.task_policies

  name   = each.key
  role   = aws_iam_role.task.id
  policy = each.value
}

resource "aws_iam_role_policy" "collector" {
  count = local.collects ? 1 : 0

  name   = "collector"
  role   = aws_iam_role.task.id
  policy = data.aws_iam_policy_document.collector.json
}

################################################################################
# Network
################################################################################

resource "aws_security_group" "this" {
  name        = local.family
  description = "Tasks of ${local.family}"
  vpc_id      = var.vpc_id

  tags = { Name = local.family }
}

# The load balancer brings requests to one port and asks the other whether the task is ready.
resource "aws_vpc_security_group_ingress_rule" "load_balancer" {
  for_each = var.port == null ? {} : { requests = var.port, probes = local.probe_port }

  security_group_id            = aws_security_group.this.id
  description                  = "Load balancer: ${each.key}"
  referenced_security_group_id = var.load_balancer_security_group_id
  ip_protocol                  = "tcp"
  from_port                    = each.value
  to_port                      = each.value
}

resource "aws_vpc_security_group_egress_rule" "https" {
  security_group_id = aws_security_group.this.id
  description       = "AWS APIs and, where there is a way out, webhooks of customers"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_security_group_egress_rule" "server" {
  for_each = var.servers

  security_group_id            = aws_security_group.this.id
  description                  = "To ${each.key}"
  referenced_security_group_id = each.value.security_group_id
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
}
