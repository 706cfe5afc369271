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
# Task
################################################################################

variable "command" {
  description = "The product's command that the task runs."
  type        = string
  nullable    = false

  validation {
    condition     = contains(["api", "worker", "migrate"], var.command)
    error_message = "Set command to \"api\", \"worker\" or \"migrate\"."
  }
}

variable "image" {
  description = "The image, named by its digest: a tag may come to mean something else."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[^@\\s]+@sha256:[0-9a-f]{64}$", var.image))
    error_message = "Set image to a repository's URL with a digest: \"<account>.dkr.ecr.<region>.amazonaws.com/bulkhead@sha256:<64 hexadecimal digits>\"."
  }
}

variable "collector_image" {
  description = "The OpenTelemetry collector that publishes metrics, named by tag and digest or by tag."
  type        = string
  nullable    = false
  default     = "public.ecr.aws/aws-observability/aws-otel-collector:v0.43.3"
}

variable "cpu" {
  description = "Processor of a task, in 1/1024 of one."
  type        = number
  nullable    = false

  validation {
    condition     = contains([256, 512, 1024, 2048, 4096, 8192, 16384], var.cpu)
    error_message = "Set cpu to what Fargate offers: 256, 512, 1024, 2048, 4096, 8192 or 16384."
  }
}

variable "memory_mb" {
  description = "Memory of a task, in MiB; Fargate offers steps that depend on cpu."
  type        = number
  nullable    = false

  validation {
    condition     = var.memory_mb >= var.cpu * 2 || (var.cpu == 256 && var.memory_mb == 512)
    error_message = "Set memory_mb to at least twice cpu, which is the least that Fargate offers."
  }
}

variable "cpu_architecture" {
  description = "What the image was built for."
  type        = string
  nullable    = false
  default     = "X86_64"

  validation {
    condition     = contains(["X86_64", "ARM64"], var.cpu_architecture)
    error_message = "Set cpu_architecture to \"X86_64\" or \"ARM64\", as the image was built."
  }
}

variable "environment" {
  description = "Settings that are no secrets, by the name of their variable."
  type        = map(string)
  nullable    = false
  default     = {}

  validation {
    condition = alltrue([
      for key in keys(var.environment) :
      !can(regex("(PASSWORD|MASTER_KEY|_URL$)", key)) || key == "BULKHEAD_PUBLIC_URL" || key == "BULKHEAD_DATABASE_ADMIN_URL"
    ])
    error_message = "Set keys and URLs with passwords in secrets: whoever may read a task definition can read environment."
  }
}

variable "secrets" {
  description = "ARNs of secrets, by the name of the variable that gets the value; `<arn>:<key>::` names one key of a JSON secret."
  type        = map(string)
  nullable    = false
  default     = {}
}

variable "secret_kms_key_arns" {
  description = "Keys that the secrets are encrypted with, by a name that is known when planning."
  type        = map(string)
  nullable    = false
  default     = {}
}

variable "repository_arn" {
  description = "The ECR repository that the image is fetched from."
  type        = string
  nullable    = false
}

variable "task_policies" {
  description = "What the task may do at AWS: policy documents by name. Nothing unless listed."
  type        = map(string)
  nullable    = false
  default     = {}
}

variable "permissions_boundary_arn" {
  description = "Boundary of the roles' permissions, where the account demands one."
  type        = string
  default     = null
}

variable "stop_timeout_seconds" {
  description = "How long a task that is asked to stop may take before it is killed; Fargate allows 120."
  type        = number
  nullable    = false
  default     = 60

  validation {
    condition     = var.stop_timeout_seconds <= 120 && var.stop_timeout_seconds >= var.drain_seconds + 10
    error_message = "Set stop_timeout_seconds to at most 120 and at least drain_seconds + 10, so that work in flight can end."
  }
}

variable "drain_seconds" {
  description = "How long a task that is asked to stop still accepts requests while its readiness fails: as long as the load balancer needs to notice."
  type        = number
  nullable    = false
  default     = 0

  validation {
    condition     = var.drain_seconds >= 0 && var.drain_seconds <= 60
    error_message = "Set drain_seconds to 0 to 60."
  }
}

variable "published_metrics" {
  description = "Metrics of the task that are published to CloudWatch, for scaling and alarms: each by its name, with a regular expression for each label of which not every value counts; none for all of it."
  type        = map(map(string))
  nullable    = false
  default     = {}

  validation {
    condition     = alltrue([for metric in keys(var.published_metrics) : can(regex("^[a-zA-Z_:][a-zA-Z0-9_:]*$", metric))])
    error_message = "Set published_metrics by names of metrics as the product exposes them, for example { bulkhead_jobs_due = {} }: an expression would publish what nobody has counted."
  }

  # Labels that begin with two underscores are gone before anything is chosen.
  validation {
    condition     = alltrue(flatten([for labels in values(var.published_metrics) : [for label in keys(labels) : can(regex("^(_?[a-zA-Z][a-zA-Z0-9_]*|_)$", label))]]))
    error_message = "Set the labels in published_metrics to names that the metric's series carry, in letters, digits and underscores, for example { bulkhead_jobs_total = { outcome = \"failed\" } }."
  }

  # The collector takes a dollar sign for one of its variables; Prometheus compares from beginning to end without being told.
  validation {
    condition     = alltrue(flatten([for labels in values(var.published_metrics) : [for values in values(labels) : values != "" && can(regexall(values, "")) && !can(regex("[$;]", values))]]))
    error_message = "Set the labels' values in published_metrics to regular expressions of RE2 without \"$\" and \";\", for example \"failed\" or \"failed|retried\": the whole value is compared."
  }
}

variable "prometheus" {
  description = "Workspace of Amazon Managed Service for Prometheus that is written all metrics of the task, and the address to write to; null for none."
  type        = object({ workspace_arn = string, remote_write_url = string })
  default     = null

  validation {
    condition     = var.prometheus == null ? true : can(regex("^arn:[^:]+:aps:[^:]+:[0-9]{12}:workspace/[^*/]+$", var.prometheus.workspace_arn))
    error_message = "Set prometheus.workspace_arn to the ARN of one workspace, for example \"arn:aws:aps:eu-central-1:111122223333:workspace/ws-00000000-0000-0000-0000-000000000000\"."
  }

  validation {
    condition     = var.prometheus == null ? true : can(regex("^https://[^$[:space:]]+/api/v1/remote_write$", var.prometheus.remote_write_url))
    error_message = "Set prometheus.remote_write_url to the workspace's address with /api/v1/remote_write behind it, for example \"https://aps-workspaces.eu-central-1.amazonaws.com/workspaces/ws-00000000-0000-0000-0000-000000000000/api/v1/remote_write\"."
  }

  validation {
    condition     = var.prometheus == null || var.scaling != null
    error_message = "Set prometheus for commands that stay up, which have scaling: a task that is run once serves no metrics."
  }
}

variable "log_retention_days" {
  description = "How long logs are kept."
  type        = number
  nullable    = false
  default     = 365

  validation {
    condition     = contains([30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "Set log_retention_days to a period that CloudWatch offers, for example 90 or 365."
  }
}

variable "log_kms_key_arn" {
  description = "Key that the log is encrypted with; it must admit CloudWatch Logs."
  type        = string
  nullable    = false
}

################################################################################
# Service
################################################################################

variable "cluster_arn" {
  description = "The ECS cluster."
  type        = string
  nullable    = false
}

variable "cluster_name" {
  description = "The ECS cluster's name, by which scaling knows it."
  type        = string
  nullable    = false
}

variable "scaling" {
  description = "Tasks at least and at most, and the processor use that scaling aims at, in percent; null for a task that is run once."
  type = object({
    min         = number
    max         = number
    cpu_percent = optional(number, 60)
  })
  default = null

  validation {
    condition     = var.scaling == null ? true : var.scaling.min >= 1 && var.scaling.max >= var.scaling.min && var.scaling.max <= 200
    error_message = "Set scaling.min to at least 1 and scaling.max to at least as much and at most 200."
  }

  validation {
    condition     = var.scaling == null ? true : var.scaling.cpu_percent >= 20 && var.scaling.cpu_percent <= 80
    error_message = "Set scaling.cpu_percent to 20 to 80: beyond it answers wait for each other."
  }
}

variable "backlog_targets" {
  description = "Published metrics of waiting work, each with the value that scaling aims at."
  type        = map(number)
  nullable    = false
  default     = {}

  validation {
    condition     = alltrue([for metric in keys(var.backlog_targets) : contains(keys(var.published_metrics), metric)])
    error_message = "Set published_metrics to include every metric of backlog_targets: scaling would never hear of the others."
  }
}

################################################################################
# Network
################################################################################

variable "vpc_id" {
  description = "The VPC."
  type        = string
  nullable    = false
}

variable "subnet_ids" {
  description = "Private subnets that tasks run in."
  type        = list(string)
  nullable    = false
}

variable "port" {
  description = "Port that the load balancer brings requests to; null for a command without one."
  type        = number
  default     = null
}

variable "target_group_arn" {
  description = "Where tasks register for requests; null for a command without a port."
  type        = string
  default     = null
}

variable "load_balancer_security_group_id" {
  description = "Who may reach the port; null for a command without one."
  type        = string
  default     = null
}

variable "servers" {
  description = "Servers that tasks may reach besides HTTPS, by name: their security group and port."
  type = map(object({
    security_group_id = string
    port              = number
  }))
  nullable = false
  default  = {}
}
