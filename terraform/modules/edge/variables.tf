variable "name" {
  description = "Prefix of every name, such as `bulkhead-production`."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,30}$", var.name))
    error_message = "Set name to 3 to 31 lower-case letters, digits and hyphens that begin with a letter, for example \"bulkhead-production\"."
  }

  # Load balancers and target groups have names of 32 characters at most; the port takes six of them.
  validation {
    condition     = length(var.name) <= 26 && !endswith(var.name, "-") && !startswith(var.name, "internal-")
    error_message = "Set name to at most 26 characters that do not end with a hyphen or begin with \"internal-\", for example \"bulkhead-production\": AWS takes no other for a load balancer."
  }
}

################################################################################
# Load balancer
################################################################################

variable "vpc_id" {
  description = "The VPC."
  type        = string
  nullable    = false
}

variable "public_subnet_ids" {
  description = "Public subnets of the load balancer, one in each of three zones."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(var.public_subnet_ids) == 3 && length(distinct(var.public_subnet_ids)) == 3
    error_message = "Set public_subnet_ids to three different subnets, one in each zone: the zones of the tasks must all be served."
  }
}

variable "access_log_bucket" {
  description = "Name of the bucket of the access log. Its policy must let the load balancer write under the prefix `alb`."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.access_log_bucket))
    error_message = "Set access_log_bucket to the name of a bucket, for example \"bulkhead-production-logs\", not to its ARN."
  }
}

variable "deletion_protection" {
  description = "Whether the load balancer refuses to be deleted."
  type        = bool
  nullable    = false
  default     = true
}

variable "idle_timeout_seconds" {
  description = "How long a connection may be idle, in seconds. Shorter than the API keeps one (BULKHEAD_KEEP_ALIVE_SECS, 75), or requests are sent into connections that it has just closed; longer than a request may take (BULKHEAD_REQUEST_TIMEOUT_MS, 10 s)."
  type        = number
  nullable    = false
  default     = 60

  validation {
    condition     = var.idle_timeout_seconds > 10 && var.idle_timeout_seconds < 75 && floor(var.idle_timeout_seconds) == var.idle_timeout_seconds
    error_message = "Set idle_timeout_seconds to 11 to 74, for example 60: longer than a request, shorter than the API keeps a connection."
  }
}

################################################################################
# Targets
################################################################################

variable "target_port" {
  description = "Port of the API (BULKHEAD_PORT)."
  type        = number
  nullable    = false
  default     = 8080

  validation {
    condition     = var.target_port >= 1 && var.target_port <= 65535 && floor(var.target_port) == var.target_port
    error_message = "Set target_port to 1 to 65535, for example 8080."
  }
}

variable "health_port" {
  description = "Port of the probes (BULKHEAD_METRICS_PORT)."
  type        = number
  nullable    = false
  default     = 9090

  validation {
    condition     = var.health_port >= 1 && var.health_port <= 65535 && floor(var.health_port) == var.health_port && var.health_port != var.target_port
    error_message = "Set health_port to 1 to 65535 and not to target_port, for example 9090: probes have a port of their own."
  }
}

variable "deregistration_delay_seconds" {
  description = "How long a task that leaves may go on answering, in seconds: twice what the longest request takes (BULKHEAD_REQUEST_TIMEOUT_MS, 10 s), and less than the stop time-out of the task."
  type        = number
  nullable    = false
  default     = 20

  validation {
    condition     = var.deregistration_delay_seconds >= 10 && var.deregistration_delay_seconds < 120 && floor(var.deregistration_delay_seconds) == var.deregistration_delay_seconds
    error_message = "Set deregistration_delay_seconds to 10 to 119, for example 20: as long as a request at least, and less than the 120 s after which Fargate kills a task at the latest."
  }
}

################################################################################
# Security group
################################################################################

variable "allowed_cidrs" {
  description = "Networks that clients may call from. Those of IPv6 matter only once the VPC has it."
  type        = set(string)
  nullable    = false
  default     = ["0.0.0.0/0", "::/0"]

  validation {
    condition     = length(var.allowed_cidrs) > 0 && alltrue([for cidr in var.allowed_cidrs : try(cidrsubnet(cidr, 0, 0) == cidr, false)])
    error_message = "Set allowed_cidrs to one or more networks with nothing but zeros behind the prefix, for example [\"203.0.113.0/24\", \"2001:db8::/32\"]."
  }
}

variable "target_security_group_ids" {
  description = "Security groups of the tasks that requests and health checks go to, by name."
  type        = map(string)
  nullable    = false

  validation {
    condition     = length(var.target_security_group_ids) > 0
    error_message = "Set target_security_group_ids to at least one group, for example { api = \"sg-0123456789abcdef0\" }: the load balancer reaches nobody else."
  }
}

################################################################################
# Name and certificate
################################################################################

variable "domain_name" {
  description = "Host name of the API."
  type        = string
  nullable    = false

  # ACM takes 64 characters at most.
  validation {
    condition     = length(var.domain_name) <= 64 && can(regex("^([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z]([a-z0-9-]*[a-z0-9])?$", var.domain_name))
    error_message = "Set domain_name to a host name of at most 64 lower-case characters without a wildcard or a dot at the end, for example \"api.example.com\"."
  }
}

variable "zone_id" {
  description = "Route 53 zone of the name; null when its DNS is kept elsewhere."
  type        = string
  default     = null

  validation {
    condition     = var.zone_id == null ? true : can(regex("^Z[A-Z0-9]{1,31}$", var.zone_id))
    error_message = "Set zone_id to the id of a hosted zone, for example \"Z0123456789ABCDEFGHIJ\", or to null."
  }
}

variable "certificate_arn" {
  description = "Certificate of the name, from ACM in this region; null to have one made and validated in zone_id."
  type        = string
  default     = null

  validation {
    condition     = var.certificate_arn != null || var.zone_id != null
    error_message = "Set certificate_arn, or zone_id so that a certificate can be validated."
  }

  validation {
    condition     = var.certificate_arn == null ? true : can(regex("^arn:[a-z-]+:acm:[a-z0-9-]+:[0-9]{12}:certificate/.+$", var.certificate_arn))
    error_message = "Set certificate_arn to the ARN of a certificate, \"arn:aws:acm:<region>:<account>:certificate/<id>\", or to null."
  }
}

################################################################################
# Firewall
################################################################################

# The default is what the largest plan allows one address, 10,000 requests a minute, and a fifth more for bursts.
variable "rate_limit_per_5_minutes" {
  description = "Requests from one address within five minutes beyond which it is refused."
  type        = number
  nullable    = false
  default     = 60000

  validation {
    condition     = var.rate_limit_per_5_minutes >= 100 && var.rate_limit_per_5_minutes <= 2000000000 && floor(var.rate_limit_per_5_minutes) == var.rate_limit_per_5_minutes
    error_message = "Set rate_limit_per_5_minutes to 100 to 2,000,000,000, for example 60000."
  }
}

variable "body_limit_bytes" {
  description = "Largest request body, in bytes. Must equal BULKHEAD_BODY_LIMIT_BYTES, which is the exact limit."
  type        = number
  nullable    = false
  default     = 1048576

  validation {
    condition     = var.body_limit_bytes >= 1024 && var.body_limit_bytes <= 67108864 && floor(var.body_limit_bytes) == var.body_limit_bytes
    error_message = "Set body_limit_bytes to 1024 to 67108864, as BULKHEAD_BODY_LIMIT_BYTES, for example 1048576."
  }
}
