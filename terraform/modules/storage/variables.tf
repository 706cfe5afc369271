variable "name" {
  description = "Prefix of every name, such as `bulkhead-production`. Buckets are called after it, their purpose and the account."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,30}$", var.name))
    error_message = "Set name to 3 to 31 lower-case letters, digits and hyphens that begin with a letter, for example \"bulkhead-production\"."
  }
}

################################################################################
# Buckets
################################################################################

variable "deletion_protection" {
  description = "Whether a bucket refuses to be destroyed while anything is in it."
  type        = bool
  nullable    = false
  default     = true
}

variable "statement_lock_years" {
  description = "How many years a billing statement cannot be changed or deleted by anybody; null for no lock. To be decided before the first apply: S3 locks a bucket from its creation, so that setting it later replaces the bucket. A lock can be made longer and never be lifted."
  type        = number
  default     = null

  validation {
    condition     = var.statement_lock_years == null ? true : contains(range(1, 11), var.statement_lock_years)
    error_message = "Set statement_lock_years to a whole number of years from 1 to 10, or to null for no lock: nobody, AWS included, can lift a lock that is too long."
  }
}

variable "anchor_lock_days" {
  description = "How many days an anchor of the audit logs cannot be changed or deleted by anybody; null for no lock. To be decided before the first apply, like statement_lock_years."
  type        = number
  default     = null

  validation {
    condition     = var.anchor_lock_days == null ? true : var.anchor_lock_days >= 1 && var.anchor_lock_days <= 3650 && floor(var.anchor_lock_days) == var.anchor_lock_days
    error_message = "Set anchor_lock_days to a whole number of days from 1 to 3650, or to null for no lock: nobody, AWS included, can lift a lock that is too long."
  }
}

################################################################################
# Encryption
################################################################################

variable "kms_key_arn" {
  description = "Key that anchors, exports and statements are encrypted with."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^arn:[^:]+:kms:", var.kms_key_arn))
    error_message = "Set kms_key_arn to the ARN of a key, for example \"arn:aws:kms:eu-central-1:111122223333:key/...\"."
  }
}

################################################################################
# Retention
################################################################################

variable "export_expiry_days" {
  description = "Days after which an export is deleted. An export is a copy of a tenant's data: the shorter it lives, the less can leak."
  type        = number
  nullable    = false
  default     = 30

  validation {
    condition     = var.export_expiry_days >= 1 && var.export_expiry_days <= 365 && floor(var.export_expiry_days) == var.export_expiry_days
    error_message = "Set export_expiry_days to a whole number of days from 1 to 365, for example 30."
  }
}

variable "log_retention_days" {
  description = "Days after which an access log is deleted."
  type        = number
  nullable    = false
  default     = 365

  validation {
    condition     = var.log_retention_days >= 30 && var.log_retention_days <= 3650 && floor(var.log_retention_days) == var.log_retention_days
    error_message = "Set log_retention_days to a whole number of days from 30 to 3650, for example 365."
  }
}

variable "noncurrent_expiry_days" {
  description = "Days for which an export or a log that was deleted or overwritten can be had back. Statements: ten years."
  type        = number
  nullable    = false
  default     = 7

  validation {
    condition     = var.noncurrent_expiry_days >= 1 && var.noncurrent_expiry_days <= 90 && floor(var.noncurrent_expiry_days) == var.noncurrent_expiry_days
    error_message = "Set noncurrent_expiry_days to a whole number of days from 1 to 90, for example 7."
  }
}
