variable "name" {
  description = "Prefix of every name, such as `bulkhead-production`."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,30}$", var.name))
    error_message = "Set name to 3 to 31 lower-case letters, digits and hyphens that begin with a letter, for example \"bulkhead-production\"."
  }
}

################################################################################
# Network
################################################################################

variable "vpc_id" {
  description = "Network that the subnets are in."
  type        = string
  nullable    = false
}

variable "subnet_ids" {
  description = "Subnets without a way to the internet, in two zones at least."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(var.subnet_ids) >= 2
    error_message = "Set subnet_ids to at least two isolated subnets in different zones: a replica needs another zone than its primary."
  }
}

variable "allowed_security_group_ids" {
  description = "Security groups that may reach Valkey, by a name that does not change, such as `api`."
  type        = map(string)
  nullable    = false

  validation {
    condition     = length(var.allowed_security_group_ids) > 0
    error_message = "Set allowed_security_group_ids to who may reach Valkey, for example { api = module.api.security_group_id }."
  }
}

################################################################################
# Logs
################################################################################

variable "log_kms_key_arn" {
  description = "Key that the slow logs and the engines' logs are encrypted with; it must admit CloudWatch Logs."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^arn:[^:]+:kms:", var.log_kms_key_arn))
    error_message = "Set log_kms_key_arn to the ARN of a key, for example \"arn:aws:kms:eu-central-1:111122223333:key/...\"."
  }
}

################################################################################
# Replication groups
################################################################################

variable "kms_key_arn" {
  description = "Key of what the servers write to disk, snapshots among it. It cannot be changed later."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^arn:[^:]+:kms:", var.kms_key_arn))
    error_message = "Set kms_key_arn to the ARN of a key, for example \"arn:aws:kms:eu-central-1:111122223333:key/...\"."
  }
}

variable "engine_version" {
  description = "Version of Valkey that new groups start with; later ElastiCache goes on to newer minor versions by itself."
  type        = string
  nullable    = false
  default     = "8.2"

  validation {
    condition     = can(regex("^8\\.[0-9]+$", var.engine_version))
    error_message = "Set engine_version to a minor version of Valkey 8, for example \"8.2\"."
  }
}

variable "dedicated_queue" {
  description = "Whether the queue has a group of its own. Sharing one, neither use evicts, and limits that fill it stop the queue."
  type        = bool
  nullable    = false
  default     = true
}

variable "node_type" {
  description = "Class of the nodes. Valkey uses one processor for commands; a read takes 17 µs of it."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^cache\\.[a-z0-9]+\\.[a-z0-9]+$", var.node_type))
    error_message = "Set node_type to a class of ElastiCache, for example \"cache.m7g.large\"."
  }
}

variable "queue_node_type" {
  description = "Class of the queue's nodes, where it differs; null for node_type."
  type        = string
  default     = null

  validation {
    condition     = var.queue_node_type == null || can(regex("^cache\\.[a-z0-9]+\\.[a-z0-9]+$", var.queue_node_type))
    error_message = "Set queue_node_type to a class of ElastiCache, for example \"cache.m7g.large\", or leave it out."
  }
}

variable "replicas" {
  description = "Replicas of each group, in other zones. Without any there is no failover: the product goes on without the group until it is mended."
  type        = number
  nullable    = false
  default     = 1

  validation {
    condition     = contains([0, 1, 2, 3, 4, 5], var.replicas)
    error_message = "Set replicas to a whole number from 1 to 5, or to 0 where nobody minds an outage."
  }
}

variable "snapshot_retention_days" {
  description = "Days that daily snapshots of the queue are kept; 0 for none. Limits are never kept."
  type        = number
  nullable    = false
  default     = 7

  validation {
    # The worker sets usage of more than 30 days aside: it could not be told from what was applied (usage/src/drain.rs).
    condition     = var.snapshot_retention_days >= 0 && var.snapshot_retention_days <= 30 && floor(var.snapshot_retention_days) == var.snapshot_retention_days
    error_message = "Set snapshot_retention_days to a whole number from 0 to 30: older usage is not applied any more."
  }
}

variable "maintenance_window" {
  description = "When nodes may be replaced for upgrades, in UTC, at least an hour; not when the database's are."
  type        = string
  nullable    = false
  default     = "sun:05:00-sun:06:00"

  validation {
    condition     = can(regex("^(mon|tue|wed|thu|fri|sat|sun):([01][0-9]|2[0-3]):[0-5][0-9]-(mon|tue|wed|thu|fri|sat|sun):([01][0-9]|2[0-3]):[0-5][0-9]$", var.maintenance_window))
    error_message = "Set maintenance_window to two days and times in UTC, for example \"sun:05:00-sun:06:00\"."
  }
}

variable "apply_immediately" {
  description = "Whether changes that replace nodes are made at once instead of in the maintenance window."
  type        = bool
  nullable    = false
  default     = false
}

variable "deletion_protection" {
  description = "Whether a last snapshot of the queue is made before it is destroyed. It keeps its name, so what is torn down and built again has none."
  type        = bool
  nullable    = false
  default     = true
}
