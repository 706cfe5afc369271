variable "name" {
  description = "Alias of the key without `alias/`, such as `bulkhead-production-data`."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,30}$", var.name))
    error_message = "Set name to 3 to 31 lower-case letters, digits and hyphens that begin with a letter, without alias/ in front, for example \"bulkhead-production-data\"."
  }
}

################################################################################
# Key policy
################################################################################

variable "services" {
  description = "Services of AWS that may use the key by themselves: `logs` (groups of CloudWatch Logs), `cloudwatch` (alarms that tell an encrypted SNS topic), `delivery.logs` (logs that AWS delivers to an encrypted bucket)."
  type        = set(string)
  nullable    = false
  default     = []

  validation {
    condition     = length(setsubtract(var.services, ["cloudwatch", "delivery.logs", "logs"])) == 0
    error_message = "Set services to any of \"logs\", \"cloudwatch\" and \"delivery.logs\", for example [\"logs\"]."
  }
}

################################################################################
# Key
################################################################################

variable "description" {
  description = "What the key encrypts; the console shows it."
  type        = string
  nullable    = false

  validation {
    condition     = length(trimspace(var.description)) >= 5 && length(var.description) <= 8192
    error_message = "Set description to a sentence that says what the key encrypts, for example \"Tenant data of production\"."
  }
}

variable "deletion_window_days" {
  description = "Days between the order to delete the key and its end; until then the order can be taken back."
  type        = number
  nullable    = false
  default     = 30

  validation {
    condition     = var.deletion_window_days >= 7 && var.deletion_window_days <= 30 && floor(var.deletion_window_days) == var.deletion_window_days
    error_message = "Set deletion_window_days to a whole number of days from 7 to 30, for example 30."
  }
}

variable "rotation_period_days" {
  description = "Days between two rotations of the key's material. What older material encrypted stays readable."
  type        = number
  nullable    = false
  default     = 365

  validation {
    condition     = var.rotation_period_days >= 90 && var.rotation_period_days <= 2560 && floor(var.rotation_period_days) == var.rotation_period_days
    error_message = "Set rotation_period_days to a whole number of days from 90 to 2560, for example 365."
  }
}
