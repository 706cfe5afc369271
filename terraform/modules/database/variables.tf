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
    error_message = "Set subnet_ids to at least two isolated subnets in different zones: the standby needs another zone than the primary."
  }
}

variable "allowed_security_group_ids" {
  description = "Security groups that may reach PostgreSQL, by a name that does not change, such as `api`."
  type        = map(string)
  nullable    = false

  validation {
    condition     = length(var.allowed_security_group_ids) > 0
    error_message = "Set allowed_security_group_ids to who may reach PostgreSQL, for example { api = module.api.security_group_id }."
  }
}

################################################################################
# Logs and monitoring
################################################################################

variable "log_kms_key_arn" {
  description = "Key that the exported logs are encrypted with; it must admit CloudWatch Logs."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^arn:[^:]+:kms:", var.log_kms_key_arn))
    error_message = "Set log_kms_key_arn to the ARN of a key, for example \"arn:aws:kms:eu-central-1:111122223333:key/...\"."
  }
}

################################################################################
# Instance
################################################################################

variable "kms_key_arn" {
  description = "Key of the storage, the backups, Performance Insights and the master user's password. It cannot be changed later."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^arn:[^:]+:kms:", var.kms_key_arn))
    error_message = "Set kms_key_arn to the ARN of a key, for example \"arn:aws:kms:eu-central-1:111122223333:key/...\"."
  }
}

variable "engine_version" {
  description = "Version that a new instance starts with; later RDS goes on to newer minor versions by itself. Older ones leave its list: `aws rds describe-db-engine-versions --engine postgres`."
  type        = string
  nullable    = false
  default     = "17.9"

  validation {
    # 17.6 closes what a dump can run while it is restored (CVE-2025-8714, CVE-2025-8715).
    condition     = can(regex("^17\\.([6-9]|[1-9][0-9])$", var.engine_version))
    error_message = "Set engine_version to a minor version of 17 from 17.6 on, for example \"17.9\"."
  }
}

variable "instance_class" {
  description = "Class of the instance; crates/bench/README.md says how much tenants and requests need. Up to 10,000 quiet tenants it is `db.r7g.large`."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^db\\.[a-z0-9-]+\\.[a-z0-9]+$", var.instance_class))
    error_message = "Set instance_class to a class of RDS, for example \"db.r7g.large\"."
  }
}

variable "multi_az" {
  description = "Whether a standby in another zone takes over when the primary or its zone is lost."
  type        = bool
  nullable    = false
  default     = true
}

variable "allocated_storage_gb" {
  description = "Storage that a new instance starts with, in GB. A tenant without rows takes 0.42 MB."
  type        = number
  nullable    = false

  validation {
    condition     = var.allocated_storage_gb >= 20 && var.allocated_storage_gb <= 65536 && floor(var.allocated_storage_gb) == var.allocated_storage_gb
    error_message = "Set allocated_storage_gb to a whole number from 20 to 65536, for example 100."
  }
}

variable "max_allocated_storage_gb" {
  description = "Size up to which RDS lets the storage grow by itself, in GB. Storage never shrinks."
  type        = number
  nullable    = false

  validation {
    condition     = var.max_allocated_storage_gb >= var.allocated_storage_gb && var.max_allocated_storage_gb <= 65536
    error_message = "Set max_allocated_storage_gb to at least allocated_storage_gb and at most 65536, for example ten times allocated_storage_gb."
  }
}

variable "database_name" {
  description = "Database that `bulkhead migrate` makes and all URLs name."
  type        = string
  nullable    = false
  default     = "bulkhead"

  validation {
    condition     = can(regex("^[a-z][a-z0-9_]{0,62}$", var.database_name)) && !contains(["postgres", "rdsadmin", "template0", "template1"], var.database_name)
    error_message = "Set database_name to lower-case letters, digits and underscores that begin with a letter, and to no database that every server has, for example \"bulkhead\"."
  }
}

variable "backup_retention_days" {
  description = "Days back to which the database can be restored to any second. A deleted tenant is in backups for as long."
  type        = number
  nullable    = false
  default     = 14

  validation {
    condition     = var.backup_retention_days >= 7 && var.backup_retention_days <= 35
    error_message = "Set backup_retention_days to 7 to 35, 14 or more where customers' data is."
  }
}

variable "backup_window" {
  description = "When the daily snapshot is taken, in UTC, at least half an hour; not in the maintenance window."
  type        = string
  nullable    = false
  default     = "02:00-03:00"

  validation {
    condition     = can(regex("^([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]$", var.backup_window))
    error_message = "Set backup_window to two times in UTC, for example \"02:00-03:00\"."
  }
}

variable "maintenance_window" {
  description = "When the server may be restarted for upgrades, in UTC, at least half an hour; not in the backup window."
  type        = string
  nullable    = false
  default     = "sun:03:30-sun:04:30"

  validation {
    condition     = can(regex("^(mon|tue|wed|thu|fri|sat|sun):([01][0-9]|2[0-3]):[0-5][0-9]-(mon|tue|wed|thu|fri|sat|sun):([01][0-9]|2[0-3]):[0-5][0-9]$", var.maintenance_window))
    error_message = "Set maintenance_window to two days and times in UTC, for example \"sun:03:30-sun:04:30\"."
  }
}

variable "deletion_protection" {
  description = "Whether RDS refuses to delete the instance."
  type        = bool
  nullable    = false
  default     = true
}

variable "apply_immediately" {
  description = "Whether changes that restart the server are made at once instead of in the maintenance window."
  type        = bool
  nullable    = false
  default     = false
}

################################################################################
# Replica
################################################################################

variable "read_replica" {
  description = "Whether there is a replica to read from, for people and reports."
  type        = bool
  nullable    = false
  default     = false
}
