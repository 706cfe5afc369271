# What wakes the person on call, and where that person looks then: alarms, the topic they are told to, and a dashboard.
#
# Owns thresholds and their reasons. Each alarm names the place in the runbook that says what to do. Refuses to make log
# groups and metrics: services write both, and are watched by the names they have. Leaves to people who is woken when: the
# topic tells all subscribers everything, and a pager can subscribe to it.

data "aws_region" "current" {}
data "aws_partition" "current" {}
data "aws_caller_identity" "current" {}

# How an alarm is written below:
#   description   what is wrong, for the person who is woken; the place in the runbook is put behind it
#   runbook       the anchor there without "alarm-", where it is not the alarm's own name
#   metric        what is watched; or `metrics` and an `expression` of them
#   above, below  the threshold
#   period        seconds of a datapoint
#   datapoints    how many of how many must be beyond the threshold, so that a single one wakes no person
#   missing       what no datapoint means: `breaching` where silence is the fault, `notBreaching` where nothing happened
#
# Of what falls silent together one alarm is `breaching`: a database that is gone wakes the person on call once, not seven times.
locals {
  gib = pow(1024, 3)

  alarms = merge(local.load_balancer_alarms, local.database_alarms, local.cache_alarms, local.service_alarms, local.product_alarms, local.log_alarms)
}

################################################################################
# Notification
################################################################################

locals {
  topic_name = "${var.name}-alarms"
  # Put together here instead of asked of the topic, so that a plan shows who may publish to it.
  topic_arn = "arn:${data.aws_partition.current.partition}:sns:${data.aws_region.current.id}:${data.aws_caller_identity.current.account_id}:${local.topic_name}"
}

# The key must admit CloudWatch (kms:Decrypt and kms:GenerateDataKey for cloudwatch.amazonaws.com), or alarms change
# their state and no message is sent.
resource "aws_sns_topic" "this" {
  name              = local.topic_name
  kms_master_key_id = var.kms_key_arn
}

data "aws_iam_policy_document" "topic" {
  # CloudWatch acts for the alarms of every account: without the conditions those of any account could be sent here.
  statement {
    sid       = "TellAlarms"
    actions   = ["sns:Publish"]
    resources = [local.topic_arn]

    principals {
      type        = "Service"
      identifiers = ["cloudwatch.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.current.account_id]
    }

    condition {
      test     = "ArnLike"
      variable = "aws:SourceArn"
      values   = ["arn:${data.aws_partition.current.partition}:cloudwatch:${data.aws_region.current.id}:${data.aws_caller_identity.current.account_id}:alarm:${var.name}-*"]
    }
  }

  statement {
    sid       = "RefusePlaintext"
    effect    = "Deny"
    actions   = ["sns:Publish"]
    resources = [local.topic_arn]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

resource "aws_sns_topic_policy" "this" {
  arn    = aws_sns_topic.this.arn
  policy = data.aws_iam_policy_document.topic.json
}

# A subscriber gets no alarm before following the link in the first message.
resource "aws_sns_topic_subscription" "this" {
  for_each = var.alarm_emails

  topic_arn = aws_sns_topic.this.arn
  protocol  = "email"
  endpoint  = each.key
}

################################################################################
# Load balancer
################################################################################

locals {
  load_balancer = { LoadBalancer = var.alb_arn_suffix }
  target_group  = { LoadBalancer = var.alb_arn_suffix, TargetGroup = var.target_group_arn_suffix }

  load_balancer_alarms = {
    # At 1 % the errors that 99.9 % allows in a month are used up in three days. Below 20 requests a minute a share says
    # little: one bad request would be 5 %.
    api-errors = {
      description = "More than 1 % of all requests are answered by the API with a 5xx."
      expression  = "IF(requests >= 20, 100 * FILL(errors, 0) / requests, 0)"
      metrics = {
        errors   = { namespace = "AWS/ApplicationELB", name = "HTTPCode_Target_5XX_Count", dimensions = local.target_group, statistic = "Sum" }
        requests = { namespace = "AWS/ApplicationELB", name = "RequestCount", dimensions = local.target_group, statistic = "Sum" }
      }
      above      = 1
      period     = 60
      datapoints = [3, 5]
      # No requests, no errors.
      missing = "notBreaching"
    }

    # The load balancer's own: no task took the request, or one hung up. A task that is replaced may cost a few.
    load-balancer-errors = {
      description = "The load balancer answers with 5xx itself: it finds no task that takes requests."
      metric      = { namespace = "AWS/ApplicationELB", name = "HTTPCode_ELB_5XX_Count", dimensions = local.load_balancer, statistic = "Sum" }
      above       = 10
      period      = 60
      datapoints  = [3, 5]
      # Counted only when there are any.
      missing = "notBreaching"
    }

    # Customers feel the slowest one of a hundred long before the average moves.
    api-latency = {
      description = "One request in a hundred takes longer than ${var.api_p99_seconds} s."
      metric      = { namespace = "AWS/ApplicationELB", name = "TargetResponseTime", dimensions = local.target_group, percentile = "p99" }
      above       = var.api_p99_seconds
      period      = 300
      datapoints  = [2, 3]
      # No request waits.
      missing = "notBreaching"
    }

    # Replacing tasks keeps at least as many as are wanted, so two minutes below are no deployment.
    api-healthy = {
      description = "Fewer than ${var.minimum_healthy} API tasks are healthy."
      metric      = { namespace = "AWS/ApplicationELB", name = "HealthyHostCount", dimensions = local.target_group, statistic = "Minimum" }
      below       = var.minimum_healthy
      period      = 60
      datapoints  = [2, 3]
      # Reported as long as there are tasks at all.
      missing = "breaching"
    }
  }
}

################################################################################
# Database
################################################################################

locals {
  database = { DBInstanceIdentifier = var.database_identifier }

  database_alarms = merge(
    {
      # A cell is full at 60 % (crates/bench/README.md); beyond 80 % waiting grows faster than work. A quarter of an hour
      # is longer than a migration of all tenants or a vacuum of one large table.
      database-cpu = {
        description = "The database's processors have been over 80 % busy for 15 minutes, or it reports nothing at all."
        metric      = { namespace = "AWS/RDS", name = "CPUUtilization", dimensions = local.database, statistic = "Average" }
        above       = 80
        period      = 300
        datapoints  = [3, 3]
        # The one alarm that tells of a database which is gone.
        missing = "breaching"
      }

      # RDS adds storage when 10 % are left, then not again for six hours: this is before it, in time to ask why. It counts from
      # the size at first; when storage has grown, raise allocated_storage_gb to it.
      database-storage = {
        description = "Less than 15 % of the database's storage is free."
        metric      = { namespace = "AWS/RDS", name = "FreeStorageSpace", dimensions = local.database, statistic = "Minimum" }
        below       = 15 * var.database_allocated_storage_gb * local.gib / 100
        period      = 300
        datapoints  = [3, 3]
        missing     = "notBreaching"
      }

      # Each backend learns the tables of every tenant that it serves, and keeps them: 45 kB for each. A cell is full when
      # they have half of the memory (crates/bench/README.md). Shared buffers have a quarter: a quarter is left.
      database-memory = {
        description = "Less than a quarter of the database's memory is free: its backends hold more than half, and the cell is full."
        metric      = { namespace = "AWS/RDS", name = "FreeableMemory", dimensions = local.database, statistic = "Average" }
        below       = var.database_memory_gb * local.gib / 4
        period      = 300
        datapoints  = [3, 3]
        missing     = "notBreaching"
      }

      database-connections = {
        description = "More than ${var.database_connections_high} connections to the database are open."
        metric      = { namespace = "AWS/RDS", name = "DatabaseConnections", dimensions = local.database, statistic = "Maximum" }
        above       = var.database_connections_high
        period      = 60
        datapoints  = [5, 10]
        missing     = "notBreaching"
      }

      # gp3 answers in less than 10 ms (https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/CHAP_Storage.html): at twice
      # that the volume is out of operations or of throughput.
      database-latency = {
        description = "The database's storage takes more than 20 ms for an operation."
        expression  = "MAX([reads, writes])"
        metrics = {
          reads  = { namespace = "AWS/RDS", name = "ReadLatency", dimensions = local.database, statistic = "Average" }
          writes = { namespace = "AWS/RDS", name = "WriteLatency", dimensions = local.database, statistic = "Average" }
        }
        above      = 0.02
        period     = 60
        datapoints = [10, 15]
        missing    = "notBreaching"
      }

      # Autovacuum freezes tables from 200 million on, and has to get round 10,000 schemas. At 1,000 million it does not
      # keep up; at 2,147 million PostgreSQL refuses to write. A thousand writes a second get there in 13 days.
      database-transaction-ids = {
        description = "The oldest transaction id is 1,000 million back: autovacuum does not keep up with the schemas, and at 2,147 million the database stops writing."
        metric      = { namespace = "AWS/RDS", name = "MaximumUsedTransactionIDs", dimensions = local.database, statistic = "Maximum" }
        above       = 1000000000
        period      = 300
        datapoints  = [3, 3]
        missing     = "notBreaching"
      }
    },
    # The database module gives the replica this name.
    { for suffix in var.has_replica ? ["replica"] : [] : "database-replica-lag" => {
      # Reports may be a little old; a replica that falls behind for a quarter of an hour does not catch up by itself.
      description = "The database's replica is more than a minute behind, or replication has stopped."
      metric      = { namespace = "AWS/RDS", name = "ReplicaLag", dimensions = { DBInstanceIdentifier = "${var.database_identifier}-${suffix}" }, statistic = "Average" }
      above       = 60
      period      = 60
      datapoints  = [10, 15]
      # A replica that is gone says nothing, and nothing else tells of it.
      missing = "breaching"
    } },
  )
}

################################################################################
# Cache
################################################################################

locals {
  # ElastiCache reports by node, and numbers the nodes of a group that is no cluster.
  cache_nodes = {
    for use, id in var.cache_group_ids : use => {
      for number in range(1, var.cache_nodes_per_group + 1) : "node${number}" => { CacheClusterId = format("%s-%03d", id, number) }
    }
  }

  cache_metrics = {
    for use, nodes in local.cache_nodes : use => {
      for name, statistic in { DatabaseMemoryUsagePercentage = "Maximum", EngineCPUUtilization = "Average", CurrConnections = "Maximum", Evictions = "Sum" } : name => {
        for node, dimensions in nodes : node => { namespace = "AWS/ElastiCache", name = name, dimensions = dimensions, statistic = statistic }
      }
    }
  }

  cache_alarms = merge(concat(
    [
      for use, metrics in local.cache_metrics : {
        # A full queue refuses, and usage goes to PostgreSQL directly; full limits evict. A quarter is left to find out what
        # grows.
        "cache-memory-${use}" = {
          runbook     = "cache-memory"
          description = "More than 75 % of the memory of the cache group ${use} is used."
          expression  = "MAX(METRICS())"
          metrics     = metrics.DatabaseMemoryUsagePercentage
          above       = 75
          period      = 60
          datapoints  = [5, 10]
          missing     = "notBreaching"
        }

        # The engine runs commands on one thread: near 100 % every request waits for it.
        "cache-cpu-${use}" = {
          runbook     = "cache-cpu"
          description = "The engine of the cache group ${use} has been over 80 % busy, or the group reports nothing at all."
          expression  = "MAX(METRICS())"
          metrics     = metrics.EngineCPUUtilization
          above       = 80
          period      = 60
          datapoints  = [5, 10]
          # The one alarm that tells of a group which is gone.
          missing = "breaching"
        }

        # Each thread keeps a few. Thousands are a leak, long before the engine's limit of 65,000.
        "cache-connections-${use}" = {
          runbook     = "cache-connections"
          description = "More than 5,000 connections to the cache group ${use} are open."
          expression  = "MAX(METRICS())"
          metrics     = metrics.CurrConnections
          above       = 5000
          period      = 60
          datapoints  = [5, 10]
          missing     = "notBreaching"
        }
      }
    ],
    [{
      # One is enough: an entry that was evicted is a job or usage that only PostgreSQL still knows of. With `noeviction`
      # there can be none, so a person has changed the policy.
      cache-evictions-queue = {
        runbook     = "cache-evictions"
        description = "The cache group of the queue has evicted entries, which it must never do: its maxmemory-policy is not noeviction."
        expression  = "SUM(METRICS())"
        metrics     = local.cache_metrics.queue.Evictions
        above       = 0
        period      = 300
        datapoints  = [1, 1]
        missing     = "notBreaching"
      }
    }],
  )...)
}

################################################################################
# Services
################################################################################

locals {
  services = { for command, service in var.service_names : command => { ClusterName = var.cluster_name, ServiceName = service } }

  service_alarms = merge([
    for command, service in local.services : {
      # A task takes a minute or two to start, a service that scales out several; ten minutes mean that tasks do not start,
      # or do not stay.
      "service-tasks-${command}" = {
        runbook     = "service-tasks"
        description = "The service ${command} has had fewer tasks than it should for ten minutes."
        expression  = "desired - running"
        metrics = {
          desired = { namespace = "ECS/ContainerInsights", name = "DesiredTaskCount", dimensions = service, statistic = "Maximum" }
          running = { namespace = "ECS/ContainerInsights", name = "RunningTaskCount", dimensions = service, statistic = "Minimum" }
        }
        above      = 0
        period     = 60
        datapoints = [10, 12]
        # Both are reported whatever runs: silence is a service, or Container Insights, that is gone.
        missing = "breaching"
      }

      # Scaling adds tasks from 60 % on: this is where it has come to its end.
      "service-cpu-${command}" = {
        runbook     = "service-cpu"
        description = "The tasks of ${command} have been over 85 % busy for 15 minutes: scaling has come to its end."
        metric      = { namespace = "AWS/ECS", name = "CPUUtilization", dimensions = service, statistic = "Average" }
        above       = 85
        period      = 60
        datapoints  = [12, 15]
        missing     = "notBreaching"
      }

      # The fullest task, not the average: it is the one that is killed, with the requests that it has.
      "service-memory-${command}" = {
        runbook     = "service-memory"
        description = "A task of ${command} uses more than 85 % of its memory, and is killed at 100 %."
        metric      = { namespace = "AWS/ECS", name = "MemoryUtilization", dimensions = service, statistic = "Maximum" }
        above       = 85
        period      = 60
        datapoints  = [5, 10]
        missing     = "notBreaching"
      }
    }
  ]...)
}

################################################################################
# Jobs and usage
################################################################################

locals {
  # As the collector beside each command publishes them: every task of a command under the same dimensions, counters as what
  # has been added since the last time.
  product = { for command in ["api", "worker"] : command => { environment = var.name, command = command } }

  product_alarms = merge(
    {
      # Scaling wants no job to wait for longer than 30 s. At ten times that jobs do not wait, they are stuck.
      jobs-stuck = {
        description = "A job that is due has waited for more than five minutes, or no worker says anything."
        metric      = { namespace = "Bulkhead", name = "bulkhead_jobs_oldest_due_seconds", dimensions = local.product.worker, statistic = "Maximum" }
        above       = 300
        period      = 60
        datapoints  = [3, 5]
        # Without workers no process counts, and every job is stuck.
        missing = "breaching"
      }

      # A process holds usage until PostgreSQL confirms it, 16 MiB at most (BULKHEAD_USAGE_BUFFER_BYTES), and then writes
      # to PostgreSQL itself while requests wait. At three quarters nothing is slow yet.
      usage-buffer = {
        description = "An API process holds more than 12 MiB of usage that PostgreSQL has not confirmed: the workers or Redis do not take it."
        metric      = { namespace = "Bulkhead", name = "bulkhead_usage_buffer_bytes", dimensions = local.product.api, statistic = "Maximum" }
        above       = 0.75 * 16777216
        period      = 60
        datapoints  = [3, 5]
        missing     = "notBreaching"
      }

      # One is enough: what it held is on no tenant's bill until a person has looked.
      usage-rejected = {
        description = "A batch of usage could not be read and was set aside: billing is incomplete until a person looks at it."
        metric      = { namespace = "Bulkhead", name = "bulkhead_usage_rejected_total", dimensions = local.product.worker, statistic = "Sum" }
        above       = 0
        period      = 300
        datapoints  = [1, 1]
        missing     = "notBreaching"
      }

      # Two in a row: a lock that is held for a moment while Redis fails over passes by itself.
      usage-late = {
        description = "Requests are answered before their usage is stored: Redis is away, and PostgreSQL answers but is slow."
        metric      = { namespace = "Bulkhead", name = "bulkhead_usage_late_answers_total", dimensions = local.product.api, statistic = "Sum" }
        above       = 0
        period      = 300
        datapoints  = [2, 2]
        missing     = "notBreaching"
      }

      # One is enough: an answer was given, and its usage is lost should the process die before one of the two is back.
      usage-unsafe = {
        description = "Requests are answered whose usage is in one process only: neither Redis nor PostgreSQL takes it."
        metric      = { namespace = "Bulkhead", name = "bulkhead_usage_unsafe_answers_total", dimensions = local.product.api, statistic = "Sum" }
        above       = 0
        period      = 300
        datapoints  = [1, 1]
        missing     = "notBreaching"
      }

      # Only failures are published of these. Nothing tries such a job again, so one is enough; the alarm lasts for an hour
      # after the last, and the next failure in it wakes no person twice.
      jobs-fail = {
        description = "Jobs have failed for good: they were tried as often as they may be, or cannot succeed."
        metric      = { namespace = "Bulkhead", name = "bulkhead_jobs_total", dimensions = local.product.worker, statistic = "Sum" }
        above       = 0
        period      = 3600
        datapoints  = [1, 1]
        # No job has ever failed.
        missing = "notBreaching"
      }
    },
    # Each process tries again every few seconds and says 1 as soon as it has been answered. When ElastiCache puts a replica
    # in the primary's place, it does so within these minutes; what starts says 0 for a moment.
    { for command, dimensions in local.product : "redis-away-${command}" => {
      runbook     = "redis-away"
      description = "A process of ${command} has not reached Redis for five minutes. Nothing is lost, and PostgreSQL bears more."
      metric      = { namespace = "Bulkhead", name = "bulkhead_redis_up", dimensions = dimensions, statistic = "Minimum" }
      below       = 1
      period      = 60
      datapoints  = [5, 5]
      # Tasks that are gone are told of by service-tasks.
      missing = "notBreaching"
    } },
    # Only refusals are published of these. The first minute of a fail-over may have some; what lasts needs a person.
    { for command, dimensions in local.product : "database-refuses-${command}" => {
      runbook     = "database-refuses"
      description = "PostgreSQL answers ${command} and refuses: it takes no writes, or a disk, its memory or its connections are used up."
      metric      = { namespace = "Bulkhead", name = "bulkhead_db_failures_total", dimensions = dimensions, statistic = "Sum" }
      above       = 0
      period      = 60
      datapoints  = [2, 5]
      # It has never refused.
      missing = "notBreaching"
    } },
    # A message comes here after it has failed as often as it may, and stays: there are no blips.
    { for queue in var.dead_letter_queue_name[*] : "dead-letters" => {
      description = "Messages that could not be delivered lie in the queue ${queue}."
      metric      = { namespace = "AWS/SQS", name = "ApproximateNumberOfMessagesVisible", dimensions = { QueueName = queue }, statistic = "Maximum" }
      above       = 0
      period      = 300
      datapoints  = [1, 1]
      # SQS says nothing about a queue that has been empty for hours.
      missing = "notBreaching"
    } },
  )
}

################################################################################
# Logs
################################################################################

locals {
  log_metrics = {
    for command in keys(var.log_group_names) : command => { namespace = "Bulkhead", name = "${var.name}-${command}-log-errors", dimensions = {}, statistic = "Sum" }
  }

  log_alarms = {
    for command, metric in local.log_metrics : "log-errors-${command}" => {
      runbook = "log-errors"
      # A line at this level is a request or a job that failed for good: a single one can wait until the morning, five in
      # each of two times five minutes are a fault that goes on.
      description = "${command} keeps logging errors."
      metric      = metric
      above       = 4
      period      = 300
      datapoints  = [2, 3]
      # Nothing runs, or nothing is said.
      missing = "notBreaching"
    }
  }
}

resource "aws_cloudwatch_log_metric_filter" "this" {
  for_each = var.log_group_names

  name           = "${var.name}-${each.key}-errors"
  log_group_name = each.value
  pattern        = "{ $.level = \"ERROR\" }"

  # Without dimensions: those of a filter come from the line, and exclude a default. The name tells the environment instead.
  metric_transformation {
    namespace     = local.log_metrics[each.key].namespace
    name          = local.log_metrics[each.key].name
    value         = "1"
    default_value = "0"
    unit          = "Count"
  }
}

################################################################################
# Alarms
################################################################################

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name        = "${var.name}-${each.key}"
  alarm_description = "${each.value.description} What to do: ${var.runbook_url}#alarm-${try(each.value.runbook, each.key)}"

  comparison_operator = can(each.value.above) ? "GreaterThanThreshold" : "LessThanThreshold"
  threshold           = try(each.value.above, each.value.below)
  datapoints_to_alarm = each.value.datapoints[0]
  evaluation_periods  = each.value.datapoints[1]
  treat_missing_data  = each.value.missing

  namespace          = try(each.value.metric.namespace, null)
  metric_name        = try(each.value.metric.name, null)
  dimensions         = try(each.value.metric.dimensions, null)
  statistic          = try(each.value.metric.statistic, null)
  extended_statistic = try(each.value.metric.percentile, null)
  period             = can(each.value.metric) ? each.value.period : null
  # Of fewer than a thousand requests CloudWatch has no 99th percentile worth waking for: the state stays as it is.
  evaluate_low_sample_count_percentiles = can(each.value.metric.percentile) ? "ignore" : null

  dynamic "metric_query" {
    for_each = try([each.value.expression], [])

    content {
      id          = "result"
      expression  = metric_query.value
      label       = each.key
      return_data = true
    }
  }

  dynamic "metric_query" {
    for_each = try(each.value.metrics, {})

    content {
      id = metric_query.key

      metric {
        namespace   = metric_query.value.namespace
        metric_name = metric_query.value.name
        dimensions  = metric_query.value.dimensions
        stat        = metric_query.value.statistic
        period      = each.value.period
      }
    }
  }

  # Told when it ends as well: the person who was woken may go back to sleep.
  alarm_actions = [aws_sns_topic.this.arn]
  ok_actions    = [aws_sns_topic.this.arn]
}

################################################################################
# Dashboard
################################################################################

# Rows from the customer inwards; a row's graphs share its width. A line is a metric with the label it is shown under, and
# `limit` is where its alarm is.
locals {
  dashboard_rows = [
    [
      { title = "Requests a minute", statistic = "Sum", lines = {
        "all"              = { namespace = "AWS/ApplicationELB", name = "RequestCount", dimensions = local.target_group }
        "refused (4xx)"    = { namespace = "AWS/ApplicationELB", name = "HTTPCode_Target_4XX_Count", dimensions = local.target_group }
        "blocked by rules" = { namespace = "AWS/WAFV2", name = "BlockedRequests", dimensions = { Region = data.aws_region.current.id, Rule = "ALL", WebACL = var.web_acl_name } }
      } },
      { title = "Errors a minute", statistic = "Sum", lines = {
        "API (5xx)"           = { namespace = "AWS/ApplicationELB", name = "HTTPCode_Target_5XX_Count", dimensions = local.target_group }
        "load balancer (5xx)" = { namespace = "AWS/ApplicationELB", name = "HTTPCode_ELB_5XX_Count", dimensions = local.load_balancer }
      } },
    ],
    [
      { title = "Time to answer, seconds", statistic = "Average", limit = var.api_p99_seconds, lines = {
        for percentile in ["p50", "p99"] : percentile => { namespace = "AWS/ApplicationELB", name = "TargetResponseTime", dimensions = local.target_group, percentile = percentile }
      } },
      { title = "Healthy API tasks", statistic = "Minimum", limit = var.minimum_healthy, lines = {
        "healthy" = { namespace = "AWS/ApplicationELB", name = "HealthyHostCount", dimensions = local.target_group }
      } },
    ],
    [
      { title = "Tasks: processor, %", statistic = "Average", limit = 85, lines = {
        for command, service in local.services : command => { namespace = "AWS/ECS", name = "CPUUtilization", dimensions = service }
      } },
      { title = "Tasks: memory of the fullest, %", statistic = "Maximum", limit = 85, lines = {
        for command, service in local.services : command => { namespace = "AWS/ECS", name = "MemoryUtilization", dimensions = service }
      } },
      { title = "Tasks that run", statistic = "Average", lines = {
        for command, service in local.services : command => { namespace = "ECS/ContainerInsights", name = "RunningTaskCount", dimensions = service }
      } },
    ],
    [
      { title = "Database: processors, %", statistic = "Average", limit = 80, lines = {
        "busy" = { namespace = "AWS/RDS", name = "CPUUtilization", dimensions = local.database }
      } },
      { title = "Database: connections", statistic = "Maximum", limit = var.database_connections_high, lines = {
        "open" = { namespace = "AWS/RDS", name = "DatabaseConnections", dimensions = local.database }
      } },
      { title = "Database: free memory, bytes", statistic = "Average", limit = local.alarms.database-memory.below, lines = {
        "free" = { namespace = "AWS/RDS", name = "FreeableMemory", dimensions = local.database }
      } },
      { title = "Database: free storage, bytes", statistic = "Minimum", limit = local.alarms.database-storage.below, lines = {
        "free" = { namespace = "AWS/RDS", name = "FreeStorageSpace", dimensions = local.database }
      } },
    ],
    [
      { title = "Cache: memory, %", statistic = "Maximum", limit = 75, lines = local.cache_lines.DatabaseMemoryUsagePercentage },
      { title = "Cache: engine, %", statistic = "Average", limit = 80, lines = local.cache_lines.EngineCPUUtilization },
      { title = "Cache: evictions a minute", statistic = "Sum", lines = local.cache_lines.Evictions },
    ],
    [
      { title = "Longest wait of a job that is due, seconds", statistic = "Maximum", limit = 300, lines = {
        "wait" = { namespace = "Bulkhead", name = "bulkhead_jobs_oldest_due_seconds", dimensions = local.product.worker }
      } },
      { title = "Jobs that failed for good", statistic = "Sum", lines = {
        "jobs" = local.alarms.jobs-fail.metric
      } },
      { title = "Redis, where every process reaches it: 1", statistic = "Minimum", limit = 1, lines = {
        for command, dimensions in local.product : command => { namespace = "Bulkhead", name = "bulkhead_redis_up", dimensions = dimensions }
      } },
      { title = "Refused by PostgreSQL", statistic = "Sum", lines = {
        for command, dimensions in local.product : command => { namespace = "Bulkhead", name = "bulkhead_db_failures_total", dimensions = dimensions }
      } },
    ],
    [
      { title = "Usage not yet confirmed, bytes", statistic = "Maximum", limit = local.alarms.usage-buffer.above, lines = {
        "fullest process" = { namespace = "Bulkhead", name = "bulkhead_usage_buffer_bytes", dimensions = local.product.api }
      } },
      { title = "Answers whose usage is not stored", statistic = "Sum", lines = {
        "stored late"         = local.alarms.usage-late.metric
        "in one process only" = local.alarms.usage-unsafe.metric
      } },
      { title = "Set aside", statistic = "Maximum", lines = merge(
        { "batches of usage" = { namespace = "Bulkhead", name = "bulkhead_usage_rejected_total", dimensions = local.product.worker } },
        { for queue in var.dead_letter_queue_name[*] : "dead letters" => { namespace = "AWS/SQS", name = "ApproximateNumberOfMessagesVisible", dimensions = { QueueName = queue } } },
      ) },
      { title = "Errors logged a minute", statistic = "Sum", lines = local.log_metrics },
    ],
  ]

  cache_lines = {
    for name in ["DatabaseMemoryUsagePercentage", "EngineCPUUtilization", "Evictions"] : name => merge([
      for use, metrics in local.cache_metrics : { for node, metric in metrics[name] : "${use} ${node}" => metric }
    ]...)
  }

  # A dashboard is 24 columns wide.
  row_height = 6

  alarm_widget = {
    type   = "alarm"
    x      = 0
    y      = 0
    width  = 24
    height = local.row_height
    properties = {
      title  = "Alarms"
      sortBy = "stateUpdatedTimestamp"
      alarms = [for alarm in aws_cloudwatch_metric_alarm.this : alarm.arn]
    }
  }

  graph_widgets = flatten([
    for row, graphs in local.dashboard_rows : [
      for column, graph in graphs : {
        type   = "metric"
        x      = column * floor(24 / length(graphs))
        y      = (row + 1) * local.row_height
        width  = floor(24 / length(graphs))
        height = local.row_height
        properties = merge(
          {
            title   = graph.title
            region  = data.aws_region.current.id
            view    = "timeSeries"
            stacked = false
            stat    = graph.statistic
            period  = 60
            yAxis   = { left = { min = 0, showUnits = false } }
            metrics = [
              for label, line in graph.lines : concat(
                [line.namespace, line.name],
                flatten([for dimension, value in line.dimensions : [dimension, value]]),
                [merge({ label = label }, { for percentile in try([line.percentile], []) : "stat" => percentile })],
              )
            ]
          },
          { for limit in try([graph.limit], []) : "annotations" => { horizontal = [{ label = "alarm", value = limit }] } },
        )
      }
    ]
  ])
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.name
  dashboard_body = jsonencode({ widgets = concat([local.alarm_widget], local.graph_widgets) })
}
