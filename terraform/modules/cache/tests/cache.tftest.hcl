mock_provider "aws" {}

variables {
  name       = "bulkhead-test"
  vpc_id     = "vpc-1"
  subnet_ids = ["subnet-1", "subnet-2"]
  allowed_security_group_ids = {
    api    = "sg-api"
    worker = "sg-worker"
  }
  kms_key_arn     = "arn:aws:kms:eu-central-1:111122223333:key/data"
  log_kms_key_arn = "arn:aws:kms:eu-central-1:111122223333:key/log"
  node_type       = "cache.m7g.large"
}

################################################################################
# Network
################################################################################

run "only_who_is_allowed_reaches_the_servers" {
  command = plan

  assert {
    condition     = { for peer, rule in aws_vpc_security_group_ingress_rule.this : peer => rule.referenced_security_group_id } == { api = "sg-api", worker = "sg-worker" }
    error_message = "There must be one rule for each peer, and none for anybody else."
  }

  assert {
    condition = alltrue([
      for rule in aws_vpc_security_group_ingress_rule.this :
      rule.from_port == 6379 && rule.to_port == 6379 && rule.ip_protocol == "tcp" && rule.cidr_ipv4 == null && rule.cidr_ipv6 == null
    ])
    error_message = "Rules must open Valkey's port alone, and to no addresses."
  }

  assert {
    condition     = alltrue([for group in aws_elasticache_replication_group.this : group.port == 6379]) && output.cache_port == 6379 && output.queue_port == 6379
    error_message = "The port must be the one that is open."
  }
}

################################################################################
# Users
################################################################################

run "users_are_made_without_passwords" {
  command = plan

  assert {
    condition     = alltrue([for user in aws_elasticache_user.this : user.authentication_mode[0].type == "iam" && user.authentication_mode[0].passwords == null && user.passwords == null && user.no_password_required != true])
    error_message = "Terraform must not know a password, and nobody may do without one."
  }

  assert {
    condition     = alltrue([for user in aws_elasticache_user.this : user.user_id == user.user_name])
    error_message = "ElastiCache wants the id of such a user to be its name."
  }

  assert {
    condition     = alltrue([for group in aws_elasticache_replication_group.this : group.auth_token == null])
    error_message = "A token that everybody shares would go past the users."
  }

  assert {
    condition     = output.user_names == { api = "bulkhead-test-api", worker = "bulkhead-test-worker" }
    error_message = "Each command must have a user of its own."
  }
}

run "users_may_only_what_is_named" {
  command = plan

  assert {
    condition     = alltrue([for user in aws_elasticache_user.this : can(regex("^on (~[^ ]+ )+-@all( \\+[a-z|]+)+$", user.access_string))])
    error_message = "An access string must take everything away and give back commands by name, without categories and channels."
  }

  assert {
    condition     = alltrue([for user in aws_elasticache_user.this : !can(regex("~[^ ]?\\*|~bh:\\*", user.access_string))])
    error_message = "No key pattern may cover more than one use."
  }

  assert {
    condition = alltrue([
      for user in aws_elasticache_user.this :
      length(setintersection(split(" ", user.access_string), ["+keys", "+scan", "+config", "+flushall", "+flushdb", "+eval", "+monitor", "+acl", "+client", "+script", "+publish", "+subscribe"])) == 0
    ])
    error_message = "Nobody may list or flush keys, read the configuration, listen, or run a script that is not the product's by name."
  }
}

run "each_command_has_its_own_keys" {
  command = plan

  assert {
    condition     = [for word in split(" ", aws_elasticache_user.this["api"].access_string) : word if startswith(word, "~")] == ["~bh:{*}:tb*", "~bh:usage"]
    error_message = "The API must reach buckets and the usage stream, and no jobs."
  }

  assert {
    condition     = [for word in split(" ", aws_elasticache_user.this["worker"].access_string) : word if startswith(word, "~")] == ["~bh:jobs:*", "~bh:usage", "~core:apalis:queues:list"]
    error_message = "The worker must reach jobs and the usage stream, and no buckets."
  }

  assert {
    condition     = !contains(split(" ", aws_elasticache_user.this["worker"].access_string), "+xadd")
    error_message = "Only the API may write usage."
  }
}

run "the_worker_has_no_business_with_limits" {
  # Whom a group admits is known when users are made.
  command = apply

  assert {
    condition     = aws_elasticache_user_group.this["queue"].user_ids == toset(["bulkhead-test-api", "bulkhead-test-worker"])
    error_message = "Both must be admitted to the queue."
  }

  assert {
    condition     = aws_elasticache_user_group.this["cache"].user_ids == toset(["bulkhead-test-api"])
    error_message = "Only the API must be admitted to limits."
  }

  assert {
    condition     = alltrue([for use, group in aws_elasticache_replication_group.this : group.user_group_ids == toset(["bulkhead-test-${use}"])])
    error_message = "A replication group must admit its own users."
  }
}

################################################################################
# Logs
################################################################################

run "logs_are_encrypted_delivered_and_end" {
  command = plan

  assert {
    condition     = toset(keys(aws_cloudwatch_log_group.this)) == toset(["queue/engine-log", "queue/slow-log", "cache/engine-log", "cache/slow-log"])
    error_message = "There must be a log group for each log of each replication group."
  }

  assert {
    condition     = alltrue([for group in aws_cloudwatch_log_group.this : group.kms_key_id == var.log_kms_key_arn && group.retention_in_days == 365])
    error_message = "Logs must be encrypted with the log key and kept for a year."
  }

  assert {
    condition = alltrue([
      for use, group in aws_elasticache_replication_group.this :
      { for delivery in group.log_delivery_configuration : delivery.log_type => delivery.destination } == {
        engine-log = "/aws/elasticache/bulkhead-test-${use}/engine-log"
        slow-log   = "/aws/elasticache/bulkhead-test-${use}/slow-log"
      }
    ])
    error_message = "Each log must be delivered to the group that was made for it."
  }
}

################################################################################
# Replication groups
################################################################################

run "data_is_encrypted_on_the_way_and_at_rest" {
  command = plan

  assert {
    condition     = alltrue([for group in aws_elasticache_replication_group.this : group.transit_encryption_enabled && group.transit_encryption_mode == "required"])
    error_message = "Connections without TLS must be refused."
  }

  assert {
    condition     = alltrue([for group in aws_elasticache_replication_group.this : tobool(group.at_rest_encryption_enabled) && group.kms_key_id == var.kms_key_arn])
    error_message = "Data must be encrypted with the key."
  }
}

run "the_queue_never_evicts_and_limits_may" {
  command = plan

  assert {
    condition     = { for use, group in aws_elasticache_parameter_group.this : use => one(group.parameter).value } == { queue = "noeviction", cache = "volatile-ttl" }
    error_message = "The queue must refuse when it is full; limits must lose the fullest buckets."
  }

  assert {
    condition     = alltrue([for use, group in aws_elasticache_replication_group.this : group.parameter_group_name == aws_elasticache_parameter_group.this[use].name])
    error_message = "A replication group must have its own parameters."
  }

  assert {
    condition     = alltrue([for group in aws_elasticache_replication_group.this : group.engine == "valkey" && group.cluster_mode == "disabled"])
    error_message = "The queue's scripts use keys that a cluster would spread."
  }
}

run "the_queue_is_kept_and_limits_are_not" {
  command = plan

  assert {
    condition     = aws_elasticache_replication_group.this["queue"].snapshot_retention_limit == 7 && aws_elasticache_replication_group.this["queue"].final_snapshot_identifier == "bulkhead-test-queue-final"
    error_message = "The queue must have snapshots, and leave one."
  }

  assert {
    condition     = aws_elasticache_replication_group.this["cache"].snapshot_retention_limit == 0 && aws_elasticache_replication_group.this["cache"].final_snapshot_identifier == null
    error_message = "Buckets of yesterday are of no use."
  }
}

run "a_replica_takes_over_in_another_zone" {
  command = plan

  assert {
    condition     = alltrue([for group in aws_elasticache_replication_group.this : group.num_cache_clusters == 2 && group.automatic_failover_enabled && group.multi_az_enabled])
    error_message = "Each group must have a replica that takes over unless it is refused."
  }
}

run "without_replicas_nothing_takes_over" {
  command = plan

  variables {
    replicas = 0
  }

  assert {
    condition     = alltrue([for group in aws_elasticache_replication_group.this : group.num_cache_clusters == 1 && !group.automatic_failover_enabled && !group.multi_az_enabled])
    error_message = "ElastiCache refuses failover of a single node."
  }
}

run "the_queue_may_have_nodes_of_its_own_class" {
  command = plan

  variables {
    queue_node_type = "cache.r7g.large"
  }

  assert {
    condition     = { for use, group in aws_elasticache_replication_group.this : use => group.node_type } == { queue = "cache.r7g.large", cache = "cache.m7g.large" }
    error_message = "Only the queue's nodes must differ."
  }
}

run "changes_wait_for_the_maintenance_window" {
  command = plan

  assert {
    condition     = alltrue([for group in aws_elasticache_replication_group.this : !group.apply_immediately && tobool(group.auto_minor_version_upgrade) && group.maintenance_window == "sun:05:00-sun:06:00"])
    error_message = "Changes that replace nodes must wait unless it is said otherwise."
  }
}

run "groups_are_made_with_a_version" {
  variables {
    engine_version = "8.1"
  }

  assert {
    condition     = output.cache_address != output.queue_address
    error_message = "Limits and queue must be different servers."
  }
}

# Goes on with the groups of the run before.
run "a_version_is_left_to_elasticache_afterwards" {
  command = plan

  variables {
    engine_version = "8.0"
  }

  assert {
    condition     = alltrue([for group in aws_elasticache_replication_group.this : group.engine_version != "8.0"])
    error_message = "Terraform must not change the version of groups that ElastiCache upgrades by itself."
  }
}

run "both_uses_may_share_a_group_that_never_evicts" {
  variables {
    dedicated_queue = false
  }

  assert {
    condition     = output.replication_group_ids == { queue = "bulkhead-test-queue" } && output.cache_address == output.queue_address
    error_message = "There must be one group, and both addresses must be its."
  }

  assert {
    condition     = one(aws_elasticache_parameter_group.this["queue"].parameter).value == "noeviction"
    error_message = "What holds the queue must never evict."
  }

  assert {
    condition     = aws_elasticache_parameter_group.this["queue"].description == "Valkey 8 of bulkhead-test-queue"
    error_message = "Another description would replace the parameters by a group of the same name, which cannot be made."
  }

  assert {
    condition     = aws_elasticache_user_group.this["queue"].user_ids == toset(["bulkhead-test-api", "bulkhead-test-worker"])
    error_message = "Both must be admitted."
  }

  assert {
    condition     = length(aws_cloudwatch_log_group.this) == 2
    error_message = "There must be no log group of a replication group that is not there."
  }
}

################################################################################
# What is refused
################################################################################

run "refuses_a_name_that_aws_would_refuse" {
  command = plan

  variables {
    name = "Bulkhead_Test"
  }

  expect_failures = [var.name]
}

run "refuses_a_single_subnet" {
  command = plan

  variables {
    subnet_ids = ["subnet-1"]
  }

  expect_failures = [var.subnet_ids]
}

run "refuses_servers_that_nobody_may_reach" {
  command = plan

  variables {
    allowed_security_group_ids = {}
  }

  expect_failures = [var.allowed_security_group_ids]
}

run "refuses_keys_that_are_none" {
  command = plan

  variables {
    kms_key_arn     = "alias/aws/elasticache"
    log_kms_key_arn = "alias/aws/logs"
  }

  expect_failures = [var.kms_key_arn, var.log_kms_key_arn]
}

run "refuses_another_major_version" {
  command = plan

  variables {
    engine_version = "9.0"
  }

  expect_failures = [var.engine_version]
}

run "refuses_classes_of_another_service" {
  command = plan

  variables {
    node_type       = "db.r7g.large"
    queue_node_type = "large"
  }

  expect_failures = [var.node_type, var.queue_node_type]
}

run "refuses_more_replicas_than_there_can_be" {
  command = plan

  variables {
    replicas = 6
  }

  expect_failures = [var.replicas]
}

run "refuses_snapshots_whose_usage_would_not_count" {
  command = plan

  variables {
    snapshot_retention_days = 31
  }

  expect_failures = [var.snapshot_retention_days]
}

run "refuses_a_window_that_is_none" {
  command = plan

  variables {
    maintenance_window = "05:00-06:00"
  }

  expect_failures = [var.maintenance_window]
}
