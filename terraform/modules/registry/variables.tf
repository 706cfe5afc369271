variable "name" {
  description = "Name of the repository, such as `bulkhead-production`."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,30}$", var.name))
    error_message = "Set name to 3 to 31 lower-case letters, digits and hyphens that begin with a letter, for example \"bulkhead-production\"."
  }
}

################################################################################
# Repository
################################################################################

variable "kms_key_arn" {
  description = "Key that the images are encrypted with. A repository cannot change its key: another one replaces the repository."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^arn:[^:]+:kms:", var.kms_key_arn))
    error_message = "Set kms_key_arn to the ARN of a key, for example \"arn:aws:kms:eu-central-1:111122223333:key/...\"."
  }
}

################################################################################
# Lifecycle
################################################################################

variable "untagged_expiry_days" {
  description = "Days after which an image without a tag is deleted."
  type        = number
  nullable    = false
  default     = 7

  validation {
    condition     = var.untagged_expiry_days >= 1 && var.untagged_expiry_days <= 90 && floor(var.untagged_expiry_days) == var.untagged_expiry_days
    error_message = "Set untagged_expiry_days to a whole number of days from 1 to 90, for example 7."
  }
}

variable "keep_releases" {
  description = "How many of the newest releases (tag `release-*`) are kept. Far more than lie between the oldest that is still in service and the newest."
  type        = number
  nullable    = false
  default     = 50

  validation {
    condition     = var.keep_releases >= 12 && var.keep_releases <= 1000 && floor(var.keep_releases) == var.keep_releases
    error_message = "Set keep_releases to a whole number from 12 to 1000, for example 50: the deployment remembers 12 releases, and a rollback may go back to any of them."
  }
}

variable "keep_images" {
  description = "How many of the newest builds (tag `sha-*`) are kept. 50 leave room for a busy week of merges that are not deployed."
  type        = number
  nullable    = false
  default     = 50

  validation {
    condition     = var.keep_images >= 10 && var.keep_images <= 1000 && floor(var.keep_images) == var.keep_images
    error_message = "Set keep_images to a whole number from 10 to 1000, for example 50: fewer could expire an image that a running task still needs."
  }
}

variable "deletion_protection" {
  description = "Whether the repository refuses to be destroyed while images are in it."
  type        = bool
  nullable    = false
  default     = true
}
