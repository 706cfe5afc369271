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
# User pool
################################################################################

variable "deletion_protection" {
  description = "Whether the pool refuses to be deleted. Its users cannot be had back."
  type        = bool
  nullable    = false
  default     = true
}

variable "mfa" {
  description = "Whether users need a second factor: `ON` for all, `OPTIONAL` for those who set one up."
  type        = string
  nullable    = false
  default     = "ON"

  validation {
    condition     = contains(["ON", "OPTIONAL"], var.mfa)
    error_message = "Set mfa to \"ON\" or \"OPTIONAL\": staff see the data of whole tenants, and a password alone does not protect that."
  }
}

variable "password_min_length" {
  description = "Characters that a password has at least."
  type        = number
  nullable    = false
  default     = 14

  validation {
    condition     = var.password_min_length >= 14 && var.password_min_length <= 99 && floor(var.password_min_length) == var.password_min_length
    error_message = "Set password_min_length to a whole number from 14 to 99, for example 14."
  }
}

variable "threat_protection" {
  description = "What Cognito does about leaked passwords and odd log-ins: `ENFORCED` acts, `AUDIT` only takes notes (AWS advises two weeks of it for a pool that has many users already), `OFF` does nothing and costs less."
  type        = string
  nullable    = false
  default     = "ENFORCED"

  validation {
    condition     = contains(["AUDIT", "ENFORCED", "OFF"], var.threat_protection)
    error_message = "Set threat_protection to \"ENFORCED\", \"AUDIT\" or \"OFF\"."
  }
}

variable "email" {
  description = "Verified identity of SES that invitations are sent from, and the sender they show; null for Cognito's own, which sends 50 a day at most."
  type        = object({ identity_arn = string, from = string })
  default     = null

  validation {
    condition     = var.email == null ? true : can(regex("^arn:[^:]+:ses:[^:]+:[0-9]{12}:identity/.+$", var.email.identity_arn)) && can(regex("^[^@]+@[^@]+\\.[^@]+$", var.email.from))
    error_message = "Set email to the ARN of an identity and a sender, for example { identity_arn = \"arn:aws:ses:eu-central-1:111122223333:identity/example.com\", from = \"Example <no-reply@example.com>\" }."
  }
}

################################################################################
# Client
################################################################################

variable "callback_urls" {
  description = "Where users may be sent after they have logged in, with a code."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(var.callback_urls) > 0 && alltrue([for url in var.callback_urls : can(regex("^https://[A-Za-z0-9.-]+(:[0-9]+)?(/[^#*\\s]*)?$", url))])
    error_message = "Set callback_urls to at least one https address without a fragment or a wildcard, for example [\"https://app.example.com/callback\"]; a code must never travel in plain text, not to localhost either."
  }
}

variable "logout_urls" {
  description = "Where users may be sent after they have logged out."
  type        = list(string)
  nullable    = false

  validation {
    condition     = alltrue([for url in var.logout_urls : can(regex("^https://[A-Za-z0-9.-]+(:[0-9]+)?(/[^#*\\s]*)?$", url))])
    error_message = "Set logout_urls to https addresses without a fragment or a wildcard, for example [\"https://app.example.com/\"]."
  }
}

variable "access_token_minutes" {
  description = "Minutes for which an access or ID token is good. A token cannot be called back from who checks it by its signature alone: this is how long that can last."
  type        = number
  nullable    = false
  default     = 10

  validation {
    condition     = var.access_token_minutes >= 5 && var.access_token_minutes <= 60 && floor(var.access_token_minutes) == var.access_token_minutes
    error_message = "Set access_token_minutes to a whole number of minutes from 5 to 60, for example 10."
  }
}

variable "refresh_token_days" {
  description = "Days after which users have to log in again."
  type        = number
  nullable    = false
  default     = 30

  validation {
    condition     = var.refresh_token_days >= 1 && var.refresh_token_days <= 90 && floor(var.refresh_token_days) == var.refresh_token_days
    error_message = "Set refresh_token_days to a whole number of days from 1 to 90, for example 30."
  }
}

################################################################################
# Domain
################################################################################

variable "domain_prefix" {
  description = "First part of the host name of the log-in pages; nobody else in the region may have it."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", var.domain_prefix)) && !can(regex("aws|amazon|cognito", var.domain_prefix))
    error_message = "Set domain_prefix to 1 to 63 lower-case letters, digits and inner hyphens without \"aws\", \"amazon\" or \"cognito\" in them, for example \"example-staff\"."
  }
}
