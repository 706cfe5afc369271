# Valkey on ElastiCache, for two uses: the queue (usage stream, job queue), which must never evict, and limits (token
# buckets), which may. Each has a replication group of its own, or both share the one of the queue.
#
# Owns where and how the servers run, and what each command of the product may do there. Refuses to know passwords:
# users are made without one, and the deployment gives them theirs. PostgreSQL keeps the truth, and nodes send again
# what it has not confirmed, so a group that is lost costs latency; ElastiCache offers no append-only file here.

locals {
  port   = 6379
  family = "valkey8"

  # The group of the queue is the one that is always there: it is not replaced when limits move out or in.
  groups = merge(
    {
      queue = {
        description = var.dedicated_queue ? "Queue of ${var.name}" : "Queue and limits of ${var.name}"
        node_type   = coalesce(var.queue_node_type, var.node_type)
        users       = ["api", "worker"]
        # A full queue refuses, and the product writes to PostgreSQL instead. Eviction would take a whole key: the usage
        # stream, or what all waiting jobs are.
        maxmemory_policy        = "noeviction"
        snapshot_retention_days = var.snapshot_retention_days
        final_snapshot          = var.deletion_protection ? "${var.name}-queue-final" : null
      }
    },
    var.dedicated_queue ? {
      cache = {
        description = "Limits of ${var.name}"
        node_type   = var.node_type
        users       = ["api"]
        # Every bucket expires when it is full again: those that expire next are the fullest, and lose the least.
        maxmemory_policy = "volatile-ttl"
        # A bucket lives for minutes; yesterday's would be wrong.
        snapshot_retention_days = 0
        final_snapshot          = null
      }
    } : {},
  )

  log_types = ["engine-log", "slow-log"]
  logs = {
    for pair in setproduct(keys(local.groups), local.log_types) :
    "${pair[0]}/${pair[1]}" => "/aws/elasticache/${var.name}-${pair[0]}/${pair[1]}"
  }

  # What every connection does, and what calls a script.
  common_commands = ["ping", "client|setinfo", "script|load", "evalsha"]

  # Key patterns and commands, each named: what crates/limits, crates/usage and crates/worker send, and what their
  # scripts and those of apalis-redis call. Nothing lists keys, reads the configuration, subscribes or publishes.
  access = {
    api = {
      keys = ["bh:{*}:tb*", "bh:usage"]
      commands = concat(local.common_commands, [
        # limits/src/bucket.lua
        "time", "get", "set",
        # The usage stream.
        "xadd", "xlen", "xrange", "xdel",
      ])
    }
    worker = {
      # apalis-redis keeps a list of all queues under a key of its own.
      keys = ["bh:jobs:*", "bh:usage", "core:apalis:queues:list"]
      commands = concat(local.common_commands, [
        # The usage stream, which only the API writes.
        "xlen", "xrange", "xdel",
        # Tasks that wait.
        "del", "llen", "lpush", "lrange", "ltrim", "rpush", "zadd", "zcard", "zrangebyscore", "zrem", "zscore",
        # Tasks that are held or finished.
        "sadd", "smembers", "srandmember", "srem",
        # What tasks and workers are.
        "hdel", "hgetall", "hmget", "hmset", "hset", "hsetnx", "unlink",
        # Idempotency keys of tasks.
        "expire", "setnx",
      ])
    }
  }

  # Keys, `-@all`, commands: the form that ElastiCache keeps. It adds a missing `-@all`, which every plan would take
  # away.
  access_strings = {
    for user, access in local.access : user => join(" ", concat(
      ["on"],
      [for key in access.keys : "~${key}"],
      ["-@all"],
      [for command in access.commands : "+${command}"],
    ))
  }
}

################################################################################
# Network
################################################################################

resource "aws_elasticache_subnet_group" "this" {
  name        = "${var.name}-cache"
  description = "Where Valkey of ${var.name} may run"
  subnet_ids  = var.subnet_ids

  tags = { Name = "${var.name}-cache" }
}

# No rule lets anything out: a server that is asked has no reason to ask.
resource "aws_security_group" "this" {
  name        = "${var.name}-cache"
  description = "Valkey of ${var.name}"
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-cache" }
}

resource "aws_vpc_security_group_ingress_rule" "this" {
  for_each = var.allowed_security_group_ids

  security_group_id            = aws_security_group.this.id
  referenced_security_group_id = each.value
  description                  = "Valkey from ${each.key}"
  ip_protocol                  = "tcp"
  from_port                    = local.port
  to_port                      = local.port
}

################################################################################
# Users
################################################################################

# There is no user `default`: a group of users for Valkey turns it off, and takes no user without a password.
#
# A user of type `iam` has no password, and no role is granted elasticache:Connect, so no client can log in until the
# deployment has given the user a password that Terraform never sees. This type wants the id to be the name.
resource "aws_elasticache_user" "this" {
  for_each = local.access_strings

  user_id       = "${var.name}-${each.key}"
  user_name     = "${var.name}-${each.key}"
  engine        = "valkey"
  access_string = each.value

  authentication_mode {
    type = "iam"
  }

  lifecycle {
    # The password that the deployment has given stays.
    ignore_changes = [authentication_mode]
  }
}

# The worker takes no tokens, so it has no business in a group that holds limits alone.
resource "aws_elasticache_user_group" "this" {
  for_each = local.groups

  user_group_id = "${var.name}-${each.key}"
  engine        = "valkey"
  user_ids      = [for user in each.value.users : aws_elasticache_user.this[user].user_id]
}

################################################################################
# Logs
################################################################################

# The slow log has arguments of commands in it, tenants' ids among them.
resource "aws_cloudwatch_log_group" "this" {
  for_each = local.logs

  name              = each.value
  retention_in_days = 365
  kms_key_id        = var.log_kms_key_arn
}

################################################################################
# Replication groups
################################################################################

# The family is in the name, so that a group of the next one can be made beside this.
resource "aws_elasticache_parameter_group" "this" {
  for_each = local.groups

  name = "${var.name}-${each.key}-${local.family}"
  # The same whether it is shared or not: another description is another group, of the same name.
  description = "Valkey 8 of ${var.name}-${each.key}"
  family      = local.family

  parameter {
    name  = "maxmemory-policy"
    value = each.value.maxmemory_policy
  }

  lifecycle {
    # A group that is in use cannot be deleted.
    create_before_destroy = true
  }
}

resource "aws_elasticache_replication_group" "this" {
  #checkov:skip=CKV2_AWS_50: Failover is on wherever there is a replica, and there is one by default.
  for_each = local.groups

  replication_group_id = "${var.name}-${each.key}"
  description          = each.value.description
  engine               = "valkey"
  engine_version       = var.engine_version
  node_type            = each.value.node_type
  parameter_group_name = aws_elasticache_parameter_group.this[each.key].name
  port                 = local.port

  # One primary. A bucket's keys have a hash tag and could be spread, but those of apalis-redis have none: its scripts
  # use several at once, which a cluster refuses.
  cluster_mode       = "disabled"
  num_cache_clusters = 1 + var.replicas
  # ElastiCache has neither without a replica.
  automatic_failover_enabled = var.replicas > 0
  multi_az_enabled           = var.replicas > 0

  subnet_group_name          = aws_elasticache_subnet_group.this.name
  security_group_ids         = [aws_security_group.this.id]
  user_group_ids             = [aws_elasticache_user_group.this[each.key].user_group_id]
  transit_encryption_enabled = true
  transit_encryption_mode    = "required"
  at_rest_encryption_enabled = true
  kms_key_id                 = var.kms_key_arn

  # A snapshot of the queue can be gone on with: batches of usage that were applied since are known to PostgreSQL. A
  # last one is taken when the group goes, for ElastiCache has no protection from deletion.
  snapshot_retention_limit  = each.value.snapshot_retention_days
  final_snapshot_identifier = each.value.final_snapshot

  maintenance_window         = var.maintenance_window
  auto_minor_version_upgrade = true
  apply_immediately          = var.apply_immediately

  dynamic "log_delivery_configuration" {
    for_each = toset(local.log_types)

    content {
      log_type         = log_delivery_configuration.value
      destination_type = "cloudwatch-logs"
      destination      = aws_cloudwatch_log_group.this["${each.key}/${log_delivery_configuration.value}"].name
      log_format       = "json"
    }
  }

  lifecycle {
    # ElastiCache goes on to newer minor versions by itself. For the older one Terraform would replace the group.
    ignore_changes = [engine_version]
  }

  tags = { Name = "${var.name}-${each.key}" }
}
