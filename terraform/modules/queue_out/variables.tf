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
# Queues
################################################################################

variable "kms_key_arn" {
  description = "Key that messages are encrypted with. Receivers in other accounts need to be admitted by its policy too."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^arn:[^:]+:kms:", var.kms_key_arn))
    error_message = "Set kms_key_arn to the ARN of a key, for example \"arn:aws:kms:eu-central-1:111122223333:key/...\"."
  }
}

variable "max_receive_count" {
  description = "How many times a message is received before it goes to the dead letter queue."
  type        = number
  nullable    = false
  default     = 5

  validation {
    condition     = var.max_receive_count >= 2 && var.max_receive_count <= 20 && floor(var.max_receive_count) == var.max_receive_count
    error_message = "Set max_receive_count to a whole number from 2 to 20, for example 5: with 1 a receiver that is restarted loses what it held."
  }
}

variable "message_retention_days" {
  description = "Days for which a message waits to be received. Must be less than the 14 days of the dead letter queue, where its age counts on."
  type        = number
  nullable    = false
  default     = 4

  validation {
    condition     = var.message_retention_days >= 1 && var.message_retention_days <= 13 && floor(var.message_retention_days) == var.message_retention_days
    error_message = "Set message_retention_days to a whole number of days from 1 to 13, for example 4."
  }
}

variable "visibility_timeout_seconds" {
  description = "How long a message is hidden from others once it was received, in seconds. Longer than a receiver takes for all that it fetches at once."
  type        = number
  nullable    = false
  default     = 60

  validation {
    condition     = var.visibility_timeout_seconds >= 10 && var.visibility_timeout_seconds <= 43200 && floor(var.visibility_timeout_seconds) == var.visibility_timeout_seconds
    error_message = "Set visibility_timeout_seconds to a whole number of seconds from 10 to 43200 (12 hours), for example 60."
  }
}

################################################################################
# Access
################################################################################

variable "sender_role_arns" {
  description = "Roles that may send, by a name that does not change, such as `worker`."
  type        = map(string)
  nullable    = false

  validation {
    condition     = length(var.sender_role_arns) > 0 && alltrue([for arn in values(var.sender_role_arns) : can(regex("^arn:[^:]+:iam::[0-9]{12}:role/", arn))])
    error_message = "Set sender_role_arns to the ARNs of who sends, for example { worker = \"arn:aws:iam::111122223333:role/bulkhead-production-worker\" }."
  }
}

variable "receiver_role_arns" {
  description = "Roles that may receive, by a name that does not change. Empty until there is a receiver: messages then wait for message_retention_days."
  type        = map(string)
  nullable    = false
  default     = {}

  validation {
    condition     = alltrue([for arn in values(var.receiver_role_arns) : can(regex("^arn:[^:]+:iam::[0-9]{12}:role/", arn))])
    error_message = "Set receiver_role_arns to the ARNs of who receives, for example { billing = \"arn:aws:iam::111122223333:role/billing\" }."
  }
}

variable "redrive_role_arns" {
  description = "Roles of people who may look into the dead letter queue and move its messages back, by a name that does not change."
  type        = map(string)
  nullable    = false
  default     = {}

  validation {
    condition     = alltrue([for arn in values(var.redrive_role_arns) : can(regex("^arn:[^:]+:iam::[0-9]{12}:role/", arn))])
    error_message = "Set redrive_role_arns to the ARNs of roles, for example { on_call = \"arn:aws:iam::111122223333:role/on-call\" }."
  }
}

################################################################################
# Kafka
################################################################################

variable "kafka" {
  description = "Kafka cluster that events go to as well: brokers (`host:port`, separated by commas), topic, and `SASL_SSL` or `SSL`; null for none."
  type = object({
    bootstrap_brokers = string
    topic             = string
    security_protocol = string
  })
  default = null

  validation {
    condition     = var.kafka == null ? true : can(regex("^[A-Za-z0-9.-]+:[0-9]{1,5}(,[A-Za-z0-9.-]+:[0-9]{1,5})*$", var.kafka.bootstrap_brokers))
    error_message = "Set bootstrap_brokers to host:port pairs that are separated by commas, for example \"b-1.example.com:9096,b-2.example.com:9096\"."
  }

  validation {
    condition     = var.kafka == null ? true : can(regex("^[A-Za-z0-9._-]{1,249}$", var.kafka.topic)) && !contains([".", ".."], var.kafka.topic)
    error_message = "Set topic to 1 to 249 letters, digits, dots, underscores and hyphens, for example \"bulkhead.events\"."
  }

  validation {
    condition     = var.kafka == null ? true : contains(["SASL_SSL", "SSL"], var.kafka.security_protocol)
    error_message = "Set security_protocol to SASL_SSL or SSL; plain text is not allowed."
  }
}
