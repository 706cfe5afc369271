variable "name" {
  description = "Prefix of every name, such as `bulkhead-production`; what services publish in the namespace `Bulkhead` has it as dimension `environment`."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,30}$", var.name))
    error_message = "Set name to 3 to 31 lower-case letters, digits and hyphens that begin with a letter, for example \"bulkhead-production\"."
  }
}

################################################################################
# Notification
################################################################################

variable "kms_key_arn" {
  description = "Key of the topic; it must admit CloudWatch."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^arn:[^:]+:kms:", var.kms_key_arn))
    error_message = "Set kms_key_arn to the ARN of a key, for example \"arn:aws:kms:eu-central-1:111122223333:key/...\"."
  }
}

variable "alarm_emails" {
  description = "Who is told of alarms; each address gets a message first, with a link to follow."
  type        = set(string)
  nullable    = false

  validation {
    condition     = length(var.alarm_emails) > 0
    error_message = "Set alarm_emails to at least one address: an alarm that nobody hears is none."
  }

  validation {
    condition     = alltrue([for email in var.alarm_emails : can(regex("^[^@[:space:]]+@[^@[:space:]]+\\.[^@.[:space:]]+$", email))])
    error_message = "Set alarm_emails to addresses of e-mail, for example [\"on-call@example.com\"]."
  }
}

variable "runbook_url" {
  description = "Page that says what to do about each alarm, under anchors such as `#alarm-api-errors`."
  type        = string
  nullable    = false

  # CloudWatch takes 1,024 characters of a description; the longest text and anchor have fewer than 300.
  validation {
    condition     = can(regex("^https://[^#[:space:]]+$", var.runbook_url)) && length(var.runbook_url) <= 700
    error_message = "Set runbook_url to a page that begins with https:// and has no anchor yet, for example \"https://example.com/runbook\"."
  }
}

################################################################################
# Load balancer
################################################################################

variable "alb_arn_suffix" {
  description = "The load balancer as CloudWatch names it, such as `app/bulkhead-production/0123456789abcdef`."
  type        = string
  nullable    = false

  validation {
    condition     = !startswith(var.alb_arn_suffix, "arn:")
    error_message = "Set alb_arn_suffix to the arn_suffix of the load balancer, for example \"app/bulkhead-production/0123456789abcdef\": CloudWatch knows no metrics under the whole ARN."
  }
}

variable "target_group_arn_suffix" {
  description = "The API's target group as CloudWatch names it, such as `targetgroup/bulkhead-production/0123456789abcdef`."
  type        = string
  nullable    = false

  validation {
    condition     = !startswith(var.target_group_arn_suffix, "arn:")
    error_message = "Set target_group_arn_suffix to the arn_suffix of the target group, for example \"targetgroup/bulkhead-production/0123456789abcdef\": CloudWatch knows no metrics under the whole ARN."
  }
}

variable "web_acl_name" {
  description = "The web ACL as CloudWatch names it: the metric_name of its visibility_config."
  type        = string
  nullable    = false
}

variable "api_p99_seconds" {
  description = "Seconds within which 99 of 100 requests must be answered."
  type        = number
  nullable    = false
  default     = 1

  # The load balancer gives up after 60 s.
  validation {
    condition     = var.api_p99_seconds > 0 && var.api_p99_seconds < 60
    error_message = "Set api_p99_seconds to a number of seconds above 0 and below 60, for example 1."
  }
}

variable "minimum_healthy" {
  description = "API tasks that must be healthy."
  type        = number
  nullable    = false
  default     = 1

  validation {
    condition     = var.minimum_healthy >= 1 && floor(var.minimum_healthy) == var.minimum_healthy
    error_message = "Set minimum_healthy to a whole number of tasks, at least 1 and at most as many as the service always has."
  }
}

################################################################################
# Database
################################################################################

variable "database_identifier" {
  description = "The database instance."
  type        = string
  nullable    = false
}

variable "database_allocated_storage_gb" {
  description = "Storage that the instance starts with, in GiB."
  type        = number
  nullable    = false

  validation {
    condition     = var.database_allocated_storage_gb >= 20
    error_message = "Set database_allocated_storage_gb to the allocated storage in GiB, 20 or more, for example 100."
  }
}

variable "database_memory_gb" {
  description = "Memory of the instance's class, in GiB."
  type        = number
  nullable    = false

  validation {
    condition     = var.database_memory_gb >= 1 && var.database_memory_gb <= 4096
    error_message = "Set database_memory_gb to the memory of the class in GiB, for example 16 for db.r7g.large."
  }
}

variable "database_connections_high" {
  description = "Connections that are too many. A task may open 12 for each of its threads and one thread more, and an API task 3 beside; the default is twenty API tasks of two threads."
  type        = number
  nullable    = false
  default     = 800

  validation {
    condition     = var.database_connections_high >= 10 && var.database_connections_high <= 5000
    error_message = "Set database_connections_high to a number from 10 to 5000 that is below the instance's max_connections, for example 800."
  }
}

variable "has_replica" {
  description = "Whether the instance has a replica, which is named like it with `-replica` behind."
  type        = bool
  nullable    = false
  default     = false
}

################################################################################
# Cache
################################################################################

variable "cache_group_ids" {
  description = "Replication groups by use; `queue` is the one that must never evict."
  type        = map(string)
  nullable    = false

  validation {
    condition     = contains(keys(var.cache_group_ids), "queue")
    error_message = "Set cache_group_ids to the replication groups by use, the queue's among them, for example { queue = \"bulkhead-production-queue\" }."
  }
}

variable "cache_nodes_per_group" {
  description = "Nodes of each replication group: the primary and its replicas."
  type        = number
  nullable    = false
  default     = 2

  # A group that is no cluster has at most five replicas.
  validation {
    condition     = contains([1, 2, 3, 4, 5, 6], var.cache_nodes_per_group)
    error_message = "Set cache_nodes_per_group to the number of nodes, the primary included: 1 to 6."
  }
}

################################################################################
# Services
################################################################################

variable "cluster_name" {
  description = "The cluster that the services run in; Container Insights must be on."
  type        = string
  nullable    = false
}

variable "service_names" {
  description = "Services by command, such as `api` and `worker`."
  type        = map(string)
  nullable    = false

  validation {
    condition     = length(var.service_names) > 0 && alltrue([for command in keys(var.service_names) : can(regex("^[a-z][a-z0-9-]*$", command))])
    error_message = "Set service_names to at least one service, by a command in lower-case letters, digits and hyphens, for example { api = \"bulkhead-production-api\" }."
  }
}

################################################################################
# Jobs and usage
################################################################################

variable "dead_letter_queue_name" {
  description = "Queue of messages that could not be delivered; null for none."
  type        = string
  default     = null
}

################################################################################
# Logs
################################################################################

variable "log_group_names" {
  description = "Log groups that are searched for errors, by command. They must be there already, with lines in JSON."
  type        = map(string)
  nullable    = false

  validation {
    condition     = alltrue([for command in keys(var.log_group_names) : can(regex("^[a-z][a-z0-9-]*$", command))])
    error_message = "Set log_group_names to log groups by a command in lower-case letters, digits and hyphens, for example { api = \"/bulkhead/bulkhead-production/api\" }."
  }
}
