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

  mock_resource "aws_sns_topic" {
    override_during = plan
    defaults        = { arn = "arn:aws:sns:eu-central-1:111122223333:bulkhead-test-alarms" }
  }

  mock_resource "aws_cloudwatch_metric_alarm" {
    override_during = plan
    defaults        = { arn = "arn:aws:cloudwatch:eu-central-1:111122223333:alarm:bulkhead-test" }
  }
}

variables {
  name         = "bulkhead-test"
  kms_key_arn  = "arn:aws:kms:eu-central-1:111122223333:key/00000000-0000-0000-0000-000000000000"
  alarm_emails = ["on-call@example.com", "platform@example.com"]
  runbook_url  = "https://example.com/runbook"

  alb_arn_suffix          = "app/bulkhead-test/0123456789abcdef"
  target_group_arn_suffix = "targetgroup/bulkhead-test/fedcba9876543210"
  web_acl_name            = "bulkhead-test"

  database_identifier           = "bulkhead-test"
  database_allocated_storage_gb = 100
  database_memory_gb            = 16

  cache_group_ids = { queue = "bulkhead-test-queue", cache = "bulkhead-test-cache" }

  cluster_name  = "bulkhead-test"
  service_names = { api = "bulkhead-test-api", worker = "bulkhead-test-worker" }

  dead_letter_queue_name = "bulkhead-test-out-dead"
  log_group_names        = { api = "/bulkhead/bulkhead-test/api", migrate = "/bulkhead/bulkhead-test/migrate" }
}

################################################################################
# Notification
################################################################################

run "the_topic_is_encrypted_with_the_given_key" {
  command = plan

  assert {
    condition     = aws_sns_topic.this.kms_master_key_id == var.kms_key_arn
    error_message = "The topic must be encrypted with the key that was given."
  }
}

run "everybody_is_told" {
  command = plan

  assert {
    condition     = toset([for subscription in aws_sns_topic_subscription.this : "${subscription.protocol} ${subscription.endpoint}"]) == toset(["email on-call@example.com", "email platform@example.com"])
    error_message = "Every address must be subscribed, by e-mail."
  }

  assert {
    condition     = alltrue([for subscription in aws_sns_topic_subscription.this : subscription.topic_arn == aws_sns_topic.this.arn])
    error_message = "Every address must be subscribed to the topic of the alarms."
  }
}

################################################################################
# Alarms
################################################################################

run "everything_is_watched" {
  command = plan

  variables {
    has_replica = true
  }

  assert {
    condition = toset(keys(aws_cloudwatch_metric_alarm.this)) == toset([
      "api-errors", "api-healthy", "api-latency", "load-balancer-errors",
      "cache-connections-cache", "cache-connections-queue", "cache-cpu-cache", "cache-cpu-queue", "cache-evictions-queue", "cache-memory-cache", "cache-memory-queue",
      "database-connections", "database-cpu", "database-latency", "database-memory", "database-refuses-api", "database-refuses-worker", "database-replica-lag", "database-storage", "database-transaction-ids",
      "dead-letters", "jobs-fail", "jobs-stuck", "redis-away-api", "redis-away-worker", "usage-buffer", "usage-late", "usage-rejected", "usage-unsafe",
      "log-errors-api", "log-errors-migrate",
      "service-cpu-api", "service-cpu-worker", "service-memory-api", "service-memory-worker", "service-tasks-api", "service-tasks-worker",
    ])
    error_message = "An alarm is gone, or there is one that the runbook may not know: every alarm has its place there."
  }

  assert {
    condition     = output.alarm_arns == { for name, alarm in aws_cloudwatch_metric_alarm.this : name => alarm.arn }
    error_message = "Every alarm must be told to others."
  }
}

run "every_alarm_tells_the_topic_when_it_begins_and_when_it_ends" {
  command = plan

  assert {
    condition = alltrue([
      for alarm in aws_cloudwatch_metric_alarm.this :
      alarm.alarm_actions == toset([aws_sns_topic.this.arn]) && alarm.ok_actions == toset([aws_sns_topic.this.arn]) && alarm.actions_enabled != false
    ])
    error_message = "An alarm that tells nobody is none."
  }
}

run "every_alarm_says_what_to_do" {
  command = plan

  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.this : can(regex("^[A-Za-z].+\\. What to do: https://example\\.com/runbook#alarm-[a-z-]+$", alarm.alarm_description))])
    error_message = "Whoever is woken must be told what is wrong and where it says what to do."
  }

  assert {
    condition     = endswith(aws_cloudwatch_metric_alarm.this["api-errors"].alarm_description, "#alarm-api-errors")
    error_message = "An alarm's place in the runbook must be under its own name."
  }

  assert {
    condition     = endswith(aws_cloudwatch_metric_alarm.this["service-cpu-api"].alarm_description, "#alarm-service-cpu") && endswith(aws_cloudwatch_metric_alarm.this["service-cpu-worker"].alarm_description, "#alarm-service-cpu")
    error_message = "Alarms of the same kind must share one place in the runbook."
  }
}

run "a_single_datapoint_wakes_somebody_only_where_one_is_enough" {
  command = plan

  assert {
    condition = toset([for name, alarm in aws_cloudwatch_metric_alarm.this : name if alarm.datapoints_to_alarm == 1]) == toset([
      "cache-evictions-queue", "dead-letters", "jobs-fail", "usage-rejected", "usage-unsafe",
    ])
    error_message = "Only what does not come and go by itself may wake somebody with one datapoint."
  }

  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.this : alarm.datapoints_to_alarm <= alarm.evaluation_periods])
    error_message = "An alarm cannot want more datapoints than it looks at."
  }
}

run "silence_is_a_fault_once_for_each_part" {
  command = plan

  variables {
    has_replica = true
  }

  assert {
    condition = toset([for name, alarm in aws_cloudwatch_metric_alarm.this : name if alarm.treat_missing_data == "breaching"]) == toset([
      "api-healthy", "cache-cpu-cache", "cache-cpu-queue", "database-cpu", "database-replica-lag", "jobs-stuck", "service-tasks-api", "service-tasks-worker",
    ])
    error_message = "Each part must have one alarm that tells of its silence, and one alone."
  }

  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.this : contains(["breaching", "notBreaching"], alarm.treat_missing_data)])
    error_message = "What silence means must be decided for every alarm."
  }
}

run "every_alarm_watches_something" {
  command = plan

  # Either a metric of its own, or an expression over metrics, one of which is returned: CloudWatch refuses both and neither.
  assert {
    condition = alltrue([
      for alarm in aws_cloudwatch_metric_alarm.this :
      alarm.metric_name == null
      ? alarm.period == null && length([for query in alarm.metric_query : query if query.return_data == true]) == 1 && length(alarm.metric_query) >= 2
      : alarm.period != null && length(alarm.metric_query) == 0 && (alarm.statistic == null) != (alarm.extended_statistic == null)
    ])
    error_message = "An alarm must have one metric with one statistic, or one expression over others."
  }

  # CloudWatch takes ten.
  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.this : length(alarm.metric_query) <= 11])
    error_message = "An alarm may look at ten metrics."
  }
}

run "errors_are_a_share_of_at_least_some_requests" {
  command = plan

  assert {
    condition = one([
      for query in aws_cloudwatch_metric_alarm.this["api-errors"].metric_query : query.expression if query.id == "result"
    ]) == "IF(requests >= 20, 100 * FILL(errors, 0) / requests, 0)"
    error_message = "The share of errors must be of all requests, and silent when there are hardly any."
  }

  assert {
    condition = alltrue([
      for query in aws_cloudwatch_metric_alarm.this["api-errors"].metric_query :
      one(query.metric).stat == "Sum" && one(query.metric).dimensions == tomap({ LoadBalancer = "app/bulkhead-test/0123456789abcdef", TargetGroup = "targetgroup/bulkhead-test/fedcba9876543210" })
      if query.id != "result"
    ])
    error_message = "Errors and requests must be counted, both of the API's target group."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["api-errors"].threshold == 1 && aws_cloudwatch_metric_alarm.this["api-errors"].comparison_operator == "GreaterThanThreshold"
    error_message = "More than 1 % of errors must wake somebody."
  }
}

run "slow_answers_are_a_percentile" {
  command = plan

  variables {
    api_p99_seconds = 0.25
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["api-latency"].extended_statistic == "p99" && aws_cloudwatch_metric_alarm.this["api-latency"].threshold == 0.25
    error_message = "The 99th percentile must be watched, not the average, against the threshold that was given."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["api-latency"].evaluate_low_sample_count_percentiles == "ignore"
    error_message = "The 99th percentile of a handful of requests must wake nobody."
  }
}

run "healthy_tasks_are_watched_from_below" {
  command = plan

  variables {
    minimum_healthy = 2
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["api-healthy"].comparison_operator == "LessThanThreshold" && aws_cloudwatch_metric_alarm.this["api-healthy"].threshold == 2 && aws_cloudwatch_metric_alarm.this["api-healthy"].statistic == "Minimum"
    error_message = "Fewer healthy tasks than the given number must wake somebody."
  }
}

run "the_database_is_watched_in_its_own_size" {
  command = plan

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["database-storage"].threshold == 15 * pow(1024, 3) && aws_cloudwatch_metric_alarm.this["database-storage"].comparison_operator == "LessThanThreshold"
    error_message = "Less than 15 % of the storage, in bytes, must wake somebody."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["database-memory"].threshold == 4 * pow(1024, 3) && aws_cloudwatch_metric_alarm.this["database-memory"].comparison_operator == "LessThanThreshold"
    error_message = "Less than a quarter of the memory, in bytes, must wake somebody."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["database-transaction-ids"].threshold == 1000000000
    error_message = "PostgreSQL stops writing at 2,147 million transactions: 1,000 million must wake somebody."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["database-cpu"].period * aws_cloudwatch_metric_alarm.this["database-cpu"].datapoints_to_alarm == 900
    error_message = "Busy processors must wake somebody after 15 minutes, not before."
  }
}

run "connections_are_watched_against_the_given_number" {
  command = plan

  variables {
    database_connections_high = 1200
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["database-connections"].threshold == 1200
    error_message = "More connections than the given number must wake somebody."
  }
}

run "without_a_replica_none_is_missed" {
  command = plan

  assert {
    condition     = !contains(keys(aws_cloudwatch_metric_alarm.this), "database-replica-lag")
    error_message = "A replica that is not there would be missed for ever."
  }
}

run "a_replica_is_asked_for_its_lag" {
  command = plan

  variables {
    has_replica = true
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["database-replica-lag"].dimensions == tomap({ DBInstanceIdentifier = "bulkhead-test-replica" })
    error_message = "The replica reports its lag, not the primary."
  }
}

run "every_node_of_a_cache_group_is_watched" {
  command = plan

  variables {
    cache_nodes_per_group = 3
  }

  assert {
    condition = toset([
      for query in aws_cloudwatch_metric_alarm.this["cache-memory-queue"].metric_query : one(query.metric).dimensions["CacheClusterId"] if query.id != "result"
    ]) == toset(["bulkhead-test-queue-001", "bulkhead-test-queue-002", "bulkhead-test-queue-003"])
    error_message = "ElastiCache reports by node: a node that is not named is not watched."
  }
}

run "only_the_queue_may_not_evict" {
  command = plan

  assert {
    condition = toset([
      for query in aws_cloudwatch_metric_alarm.this["cache-evictions-queue"].metric_query : one(query.metric).dimensions["CacheClusterId"] if query.id != "result"
    ]) == toset(["bulkhead-test-queue-001", "bulkhead-test-queue-002"])
    error_message = "Limits may be evicted, entries of the queue never."
  }

  assert {
    condition = alltrue([
      for query in aws_cloudwatch_metric_alarm.this["cache-evictions-queue"].metric_query : one(query.metric).metric_name == "Evictions" && one(query.metric).stat == "Sum" if query.id != "result"
    ])
    error_message = "Evictions must be counted, of all nodes."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["cache-evictions-queue"].threshold == 0
    error_message = "A single entry that was evicted must wake somebody."
  }
}

run "a_shared_cache_is_watched_as_the_queue" {
  command = plan

  variables {
    cache_group_ids = { queue = "bulkhead-test-queue" }
  }

  assert {
    condition = toset([for name in keys(aws_cloudwatch_metric_alarm.this) : name if startswith(name, "cache-")]) == toset([
      "cache-connections-queue", "cache-cpu-queue", "cache-evictions-queue", "cache-memory-queue",
    ])
    error_message = "The group that holds both uses must be watched, and no other."
  }
}

run "tasks_that_should_run_and_do_not_are_counted" {
  command = plan

  assert {
    condition     = one([for query in aws_cloudwatch_metric_alarm.this["service-tasks-worker"].metric_query : query.expression if query.id == "result"]) == "desired - running"
    error_message = "Tasks must be missed by how many there should be: scaling changes that number."
  }

  assert {
    condition = alltrue([
      for query in aws_cloudwatch_metric_alarm.this["service-tasks-worker"].metric_query :
      one(query.metric).namespace == "ECS/ContainerInsights" && one(query.metric).dimensions == tomap({ ClusterName = "bulkhead-test", ServiceName = "bulkhead-test-worker" })
      if query.id != "result"
    ])
    error_message = "Only Container Insights counts tasks, by cluster and service."
  }
}

run "the_products_own_metrics_are_found_where_they_are_published" {
  command = plan

  # CloudWatch finds a metric only under all of its dimensions: environment, and the command that publishes it.
  assert {
    condition = {
      for name, alarm in aws_cloudwatch_metric_alarm.this : name => join(" ", [alarm.dimensions["environment"], alarm.dimensions["command"], alarm.metric_name, alarm.statistic])
      if alarm.namespace == "Bulkhead" && !startswith(name, "log-errors-")
      } == {
      database-refuses-api    = "bulkhead-test api bulkhead_db_failures_total Sum"
      database-refuses-worker = "bulkhead-test worker bulkhead_db_failures_total Sum"
      jobs-fail               = "bulkhead-test worker bulkhead_jobs_total Sum"
      jobs-stuck              = "bulkhead-test worker bulkhead_jobs_oldest_due_seconds Maximum"
      redis-away-api          = "bulkhead-test api bulkhead_redis_up Minimum"
      redis-away-worker       = "bulkhead-test worker bulkhead_redis_up Minimum"
      usage-buffer            = "bulkhead-test api bulkhead_usage_buffer_bytes Maximum"
      usage-late              = "bulkhead-test api bulkhead_usage_late_answers_total Sum"
      usage-rejected          = "bulkhead-test worker bulkhead_usage_rejected_total Sum"
      usage-unsafe            = "bulkhead-test api bulkhead_usage_unsafe_answers_total Sum"
    }
    error_message = "The product's metrics must be watched under the names they have, where they are published, by the worst process; what is counted, by its sum."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["jobs-stuck"].threshold == 300 && aws_cloudwatch_metric_alarm.this["usage-buffer"].threshold == 12582912
    error_message = "Five minutes of waiting and 12 MiB of usage must wake somebody."
  }

  assert {
    condition = alltrue([
      for name in ["database-refuses-api", "database-refuses-worker", "jobs-fail", "usage-rejected", "usage-unsafe"] :
      aws_cloudwatch_metric_alarm.this[name].threshold == 0 && aws_cloudwatch_metric_alarm.this[name].comparison_operator == "GreaterThanThreshold"
    ])
    error_message = "A single refusal of the database, job that failed for good, batch that was set aside or answer whose usage is in one place must wake somebody."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["jobs-fail"].period == 3600
    error_message = "A job that failed must be seen for an hour: nothing tries it again."
  }
}

run "one_process_without_redis_is_enough" {
  command = plan

  assert {
    condition = alltrue([
      for command in ["api", "worker"] :
      aws_cloudwatch_metric_alarm.this["redis-away-${command}"].threshold == 1 && aws_cloudwatch_metric_alarm.this["redis-away-${command}"].comparison_operator == "LessThanThreshold"
      && endswith(aws_cloudwatch_metric_alarm.this["redis-away-${command}"].alarm_description, "#alarm-redis-away")
    ])
    error_message = "The least of what the processes say must be watched, and both commands must share one place in the runbook."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["redis-away-api"].period * aws_cloudwatch_metric_alarm.this["redis-away-api"].datapoints_to_alarm == 300
    error_message = "A replica that takes over must wake nobody: five minutes are longer than that."
  }
}

run "dead_letters_are_watched_by_their_queue" {
  command = plan

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["dead-letters"].dimensions == tomap({ QueueName = "bulkhead-test-out-dead" }) && aws_cloudwatch_metric_alarm.this["dead-letters"].threshold == 0
    error_message = "Any message in the queue of dead letters must wake somebody."
  }
}

run "without_a_queue_of_dead_letters_none_is_watched" {
  command = plan

  variables {
    dead_letter_queue_name = null
  }

  assert {
    condition     = !contains(keys(aws_cloudwatch_metric_alarm.this), "dead-letters")
    error_message = "There is no queue to watch."
  }

  assert {
    condition     = !strcontains(aws_cloudwatch_dashboard.this.dashboard_body, "AWS/SQS")
    error_message = "There is no queue to show."
  }
}

run "errors_in_logs_are_counted_by_group" {
  command = plan

  assert {
    condition     = tomap({ for command, filter in aws_cloudwatch_log_metric_filter.this : command => filter.log_group_name }) == var.log_group_names
    error_message = "Every log group must be searched."
  }

  assert {
    condition     = alltrue([for filter in aws_cloudwatch_log_metric_filter.this : filter.pattern == "{ $.level = \"ERROR\" }"])
    error_message = "Lines are JSON with the level in capitals: another pattern finds nothing."
  }

  assert {
    condition = alltrue([
      for command, filter in aws_cloudwatch_log_metric_filter.this :
      one(filter.metric_transformation).name == aws_cloudwatch_metric_alarm.this["log-errors-${command}"].metric_name
      && one(filter.metric_transformation).namespace == aws_cloudwatch_metric_alarm.this["log-errors-${command}"].namespace
      && one(filter.metric_transformation).default_value == "0"
    ])
    error_message = "What the filter counts must be what the alarm watches, with zeros while there is nothing to count."
  }
}

################################################################################
# Dashboard
################################################################################

run "the_dashboard_shows_every_alarm" {
  command = plan

  assert {
    condition     = length(one([for widget in jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets : widget.properties.alarms if widget.type == "alarm"])) == length(aws_cloudwatch_metric_alarm.this)
    error_message = "An alarm is not on the dashboard."
  }

  assert {
    condition     = output.dashboard_name == "bulkhead-test"
    error_message = "The dashboard must be found under the environment's name."
  }
}

run "the_dashboards_rows_are_full_and_do_not_overlap" {
  command = plan

  assert {
    condition = alltrue([
      for y in distinct([for widget in jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets : widget.y]) :
      sum([for widget in jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets : widget.width if widget.y == y]) == 24
      && max([for widget in jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets : widget.x + widget.width if widget.y == y]...) == 24
    ])
    error_message = "The graphs of a row must share its 24 columns."
  }

  assert {
    condition     = distinct([for widget in jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets : widget.y]) == tolist([0, 6, 12, 18, 24, 30, 36, 42])
    error_message = "The rows must stand below each other: alarms, requests, answers, tasks, database, cache, jobs, usage."
  }
}

run "the_dashboard_shows_both_percentiles" {
  command = plan

  assert {
    condition = toset(flatten([
      for widget in jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets : [
        for metric in widget.properties.metrics : metric[length(metric) - 1].stat if metric[1] == "TargetResponseTime"
      ] if widget.type == "metric"
    ])) == toset(["p50", "p99"])
    error_message = "The average hides whom the API keeps waiting: half of the requests and the slowest must be shown."
  }
}

run "the_dashboard_shows_what_the_alarms_of_the_product_watch" {
  command = plan

  assert {
    condition = length(setsubtract(
      [for name, alarm in aws_cloudwatch_metric_alarm.this : alarm.metric_name if alarm.namespace == "Bulkhead"],
      flatten([for widget in jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets : [for metric in widget.properties.metrics : metric[1]] if widget.type == "metric"]),
    )) == 0
    error_message = "Whoever is woken must see since when: a metric that an alarm watches is on no graph."
  }
}

run "every_graph_has_a_region_and_lines" {
  command = plan

  assert {
    condition = alltrue([
      for widget in jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets :
      widget.properties.region == "eu-central-1" && length(widget.properties.metrics) > 0 if widget.type == "metric"
    ])
    error_message = "CloudWatch refuses a graph without a region, and one without lines shows nothing."
  }

  # A line is namespace, name, pairs of dimension and value, and how it is shown.
  assert {
    condition = alltrue(flatten([
      for widget in jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets : [
        for metric in widget.properties.metrics : length(metric) % 2 == 1 && can(metric[length(metric) - 1].label)
      ] if widget.type == "metric"
    ]))
    error_message = "A dimension without its value is refused by CloudWatch."
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

run "refuses_a_key_that_is_no_arn" {
  command = plan

  variables {
    kms_key_arn = "alias/alarms"
  }

  expect_failures = [var.kms_key_arn]
}

run "refuses_to_tell_nobody" {
  command = plan

  variables {
    alarm_emails = []
  }

  expect_failures = [var.alarm_emails]
}

run "refuses_an_address_that_is_none" {
  command = plan

  variables {
    alarm_emails = ["on-call@example.com", "platform at example.com"]
  }

  expect_failures = [var.alarm_emails]
}

run "refuses_a_runbook_that_anybody_could_change_on_the_way" {
  command = plan

  variables {
    runbook_url = "http://example.com/runbook"
  }

  expect_failures = [var.runbook_url]
}

run "refuses_a_runbook_with_an_anchor" {
  command = plan

  variables {
    runbook_url = "https://example.com/runbook#alarms"
  }

  expect_failures = [var.runbook_url]
}

run "refuses_the_whole_arn_of_a_load_balancer" {
  command = plan

  variables {
    alb_arn_suffix = "arn:aws:elasticloadbalancing:eu-central-1:111122223333:loadbalancer/app/bulkhead-test/0123456789abcdef"
  }

  expect_failures = [var.alb_arn_suffix]
}

run "refuses_the_whole_arn_of_a_target_group" {
  command = plan

  variables {
    target_group_arn_suffix = "arn:aws:elasticloadbalancing:eu-central-1:111122223333:targetgroup/bulkhead-test/fedcba9876543210"
  }

  expect_failures = [var.target_group_arn_suffix]
}

run "refuses_a_time_that_the_load_balancer_does_not_wait" {
  command = plan

  variables {
    api_p99_seconds = 60
  }

  expect_failures = [var.api_p99_seconds]
}

run "refuses_to_do_without_healthy_tasks" {
  command = plan

  variables {
    minimum_healthy = 0
  }

  expect_failures = [var.minimum_healthy]
}

run "refuses_less_storage_than_rds_has" {
  command = plan

  variables {
    database_allocated_storage_gb = 10
  }

  expect_failures = [var.database_allocated_storage_gb]
}

run "refuses_memory_in_megabytes" {
  command = plan

  variables {
    database_memory_gb = 16384
  }

  expect_failures = [var.database_memory_gb]
}

run "refuses_more_connections_than_rds_has" {
  command = plan

  variables {
    database_connections_high = 10000
  }

  expect_failures = [var.database_connections_high]
}

run "refuses_caches_without_a_queue" {
  command = plan

  variables {
    cache_group_ids = { cache = "bulkhead-test-cache" }
  }

  expect_failures = [var.cache_group_ids]
}

run "refuses_more_nodes_than_a_group_has" {
  command = plan

  variables {
    cache_nodes_per_group = 7
  }

  expect_failures = [var.cache_nodes_per_group]
}

run "refuses_no_services" {
  command = plan

  variables {
    service_names = {}
  }

  expect_failures = [var.service_names]
}

run "refuses_log_groups_without_a_command" {
  command = plan

  variables {
    log_group_names = { "/bulkhead/bulkhead-test/api" = "/bulkhead/bulkhead-test/api" }
  }

  expect_failures = [var.log_group_names]
}
