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
# VPC and subnets
################################################################################

# Each rule is silent about what another one refuses, so that a mistake is told once.
variable "cidr" {
  description = "Addresses of the VPC, from a private range (RFC 1918): a /16 to a /20. Must not overlap networks that are to be peered with."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[0-9.]+/[0-9]+$", var.cidr)) && can(cidrhost(var.cidr, 0))
    error_message = "Set cidr to an IPv4 network, for example \"10.0.0.0/16\"."
  }

  validation {
    condition     = try(cidrsubnet(var.cidr, 0, 0) == var.cidr, true)
    error_message = "Set cidr to the address of the network itself, with nothing but zeros behind the prefix: \"10.0.0.0/16\", not \"10.0.0.1/16\"."
  }

  validation {
    condition     = try(contains(range(16, 21), tonumber(split("/", var.cidr)[1])), true)
    error_message = "Set cidr to a network with a prefix of /16 (the largest that AWS allows) to /20 (1,024 addresses for the tasks of each zone), for example \"10.0.0.0/16\"."
  }

  validation {
    condition = try(anytrue([
      cidrsubnet("${split("/", var.cidr)[0]}/8", 0, 0) == "10.0.0.0/8",
      cidrsubnet("${split("/", var.cidr)[0]}/12", 0, 0) == "172.16.0.0/12",
      cidrsubnet("${split("/", var.cidr)[0]}/16", 0, 0) == "192.168.0.0/16",
    ]), true)
    error_message = "Set cidr to a network in 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16, for example \"10.0.0.0/16\": other addresses belong to somebody."
  }
}

variable "availability_zones" {
  description = "The three zones, in the order in which they get their addresses; null takes the first three of the region. Name them wherever data lives: a zone that AWS adds may come before them, and subnets would be replaced."
  type        = list(string)
  default     = null

  validation {
    condition     = var.availability_zones == null ? true : length(var.availability_zones) == 3 && length(distinct(var.availability_zones)) == 3
    error_message = "Set availability_zones to three different zones, for example [\"eu-central-1a\", \"eu-central-1b\", \"eu-central-1c\"]."
  }
}

################################################################################
# Ways out
################################################################################

# List prices in us-east-1: a NAT gateway is 33 USD a month and 0.045 USD a GB. "per_zone" (99 USD) loses no zone to the
# fault of another. "single" (33 USD) takes every zone's way out along when its own fails, and traffic between zones
# costs 0.01 USD a GB in each direction. With "none" tasks reach the services that have an endpoint and no other address: no
# identity provider outside, no webhook of a customer, no public registry.
variable "nat" {
  description = "How the private subnets reach the internet: \"none\", by a \"single\" NAT gateway, or by one \"per_zone\"."
  type        = string
  nullable    = false
  default     = "per_zone"

  validation {
    condition     = contains(["none", "single", "per_zone"], var.nat)
    error_message = "Set nat to \"none\", \"single\" or \"per_zone\"."
  }
}

################################################################################
# Endpoints
################################################################################

# List price in us-east-1: 22 USD a month for each over three zones, and 0.01 USD a GB. The default is what tasks need
# when there is no NAT, and keeps credentials, secrets and logs off the internet when there is.
variable "interface_endpoints" {
  description = "Services of AWS that are reached inside the VPC, by their short names. S3 always is."
  type        = set(string)
  nullable    = false
  default     = ["ecr.api", "ecr.dkr", "kms", "logs", "monitoring", "secretsmanager", "sqs", "ssm", "sts"]

  validation {
    condition     = alltrue([for service in var.interface_endpoints : can(regex("^[a-z][a-z0-9.-]*$", service)) && !strcontains(service, "amazonaws") && service != "s3"])
    error_message = "Set interface_endpoints to short names of services, for example [\"ecr.api\", \"logs\"]: without com.amazonaws and the region, and without s3, which has an endpoint of its own."
  }

  validation {
    condition     = var.nat != "none" || length(setsubtract(["ecr.api", "ecr.dkr", "logs", "secretsmanager"], var.interface_endpoints)) == 0
    error_message = "Set interface_endpoints to include ecr.api, ecr.dkr, logs and secretsmanager, or nat to \"single\": with neither no task can start."
  }
}

################################################################################
# Flow log
################################################################################

variable "flow_log_retention_days" {
  description = "How long the flow log is kept, in days. A break-in is often found only after months."
  type        = number
  nullable    = false
  default     = 365

  validation {
    condition     = contains([30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.flow_log_retention_days)
    error_message = "Set flow_log_retention_days to a period that CloudWatch offers, for example 90 or 365."
  }
}

variable "log_kms_key_arn" {
  description = "Key that the flow log is encrypted with; it must admit CloudWatch Logs."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", var.log_kms_key_arn))
    error_message = "Set log_kms_key_arn to the ARN of a key, \"arn:aws:kms:<region>:<account>:key/<id>\": CloudWatch Logs takes no alias."
  }
}
