variable "name" {
  description = "Prefix of every name, such as `bulkhead-production`."
  type        = string
  nullable    = false

  validation {
    # The longest of all names, a KMS alias or a bucket's with the account behind it, has to fit too.
    condition     = can(regex("^[a-z][a-z0-9-]{2,22}$", var.name))
    error_message = "Set name to 3 to 23 lower-case letters, digits and hyphens that begin with a letter, for example \"bulkhead-production\"."
  }
}

variable "api_key_environment" {
  description = "What API keys say they are for: `test` or `live`."
  type        = string
  nullable    = false

  validation {
    condition     = contains(["test", "live"], var.api_key_environment)
    error_message = "Set api_key_environment to \"test\" or \"live\"; \"dev\" is for machines of developers."
  }
}

variable "image_digest" {
  description = "Digest of the image that the first revision of every task runs; later the deployment decides."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^sha256:[0-9a-f]{64}$", var.image_digest))
    error_message = "Set image_digest to the digest that `docker push` or the deployment printed: \"sha256:\" and 64 hexadecimal digits."
  }
}

variable "previous_master_key" {
  description = "Whether tasks are given the master key before the current one, too: while it is being changed."
  type        = bool
  nullable    = false
  default     = false
}

variable "deletion_protection" {
  description = "Whether the database and the load balancer refuse to be destroyed."
  type        = bool
  nullable    = false
  default     = true
}

################################################################################
# Network and edge
################################################################################

variable "cidr" {
  description = "Private addresses of the VPC, a /16 to /20 that overlaps with no network it will ever be joined with."
  type        = string
  nullable    = false
}

variable "availability_zones" {
  description = "The three zones; null for the region's first three."
  type        = list(string)
  default     = null
}

variable "nat" {
  description = "Ways out for tasks: `single` or `per_zone`."
  type        = string
  nullable    = false

  validation {
    condition     = contains(["single", "per_zone"], var.nat)
    error_message = "Set nat to \"single\" or \"per_zone\": without a way out no task could fetch the collector's image, which lies in a public registry."
  }
}

variable "domain_name" {
  description = "The API's host name."
  type        = string
  nullable    = false
}

variable "zone_id" {
  description = "Route 53 zone of the host name; null when DNS is kept elsewhere."
  type        = string
  default     = null
}

variable "certificate_arn" {
  description = "Certificate for the host name; null to have one made and validated in the zone."
  type        = string
  default     = null
}

################################################################################
# Sizes
################################################################################

variable "database" {
  description = "Size of the database: class and its memory in GB, storage in GB, availability, days of backups, a replica to read from."
  type = object({
    instance_class           = string
    memory_gb                = number
    allocated_storage_gb     = number
    max_allocated_storage_gb = number
    multi_az                 = bool
    backup_retention_days    = number
    read_replica             = optional(bool, false)
  })
  nullable = false
}

variable "cache" {
  description = "Size of the cache: class, replicas of each group, whether the queue has a group of its own."
  type = object({
    node_type       = string
    replicas        = number
    dedicated_queue = bool
  })
  nullable = false
}

variable "api" {
  description = "Size of an API task, in 1/1024 of a processor and MiB, and tasks at least and at most. Few large tasks need fewer connections and less of the database's memory than many small ones."
  type        = object({ cpu = number, memory_mb = number, min = number, max = number })
  nullable    = false
}

variable "worker" {
  description = "Size of a worker task, in 1/1024 of a processor and MiB, and tasks at least and at most."
  type        = object({ cpu = number, memory_mb = number, min = number, max = number })
  nullable    = false
}

variable "event_reader_role_arns" {
  description = "Roles that read the events leaving the platform and those that could not be delivered, each named; nobody else may, administrators included."
  type        = map(string)
  nullable    = false
  default     = {}
}

variable "statement_lock_years" {
  description = "How many years billing statements cannot be changed or deleted by anybody; null for no lock."
  type        = number
  default     = null
}

variable "anchor_lock_days" {
  description = "How many days an anchor of the audit logs cannot be changed or deleted by anybody; null for no lock."
  type        = number
  default     = null
}

################################################################################
# People
################################################################################

variable "alarm_emails" {
  description = "Who is told of alarms."
  type        = set(string)
  nullable    = false

  validation {
    condition     = length(var.alarm_emails) > 0
    error_message = "Set alarm_emails to at least one address: an alarm that nobody hears is none."
  }
}

variable "runbook_url" {
  description = "Page that says what to do about each alarm."
  type        = string
  nullable    = false
}

variable "prometheus" {
  description = "A workspace of Amazon Managed Service for Prometheus that all tasks write all their metrics to as well; null for none."
  type        = object({ workspace_arn = string, remote_write_url = string })
  default     = null

  validation {
    condition     = var.prometheus == null ? true : can(regex("^arn:[^:]+:aps:[^:]+:[0-9]{12}:workspace/ws-[A-Za-z0-9-]+$", var.prometheus.workspace_arn))
    error_message = "Set prometheus.workspace_arn to the ARN of one workspace, for example \"arn:aws:aps:eu-central-1:111122223333:workspace/ws-00000000-0000-0000-0000-000000000000\"."
  }

  # Of the same workspace: tasks may write to no other, and would be refused there without a message to a person.
  validation {
    condition     = var.prometheus == null ? true : can(regex("^https://[A-Za-z0-9.-]+/workspaces/${basename(var.prometheus.workspace_arn)}/api/v1/remote_write$", var.prometheus.remote_write_url))
    error_message = "Set prometheus.remote_write_url to the address of the workspace in workspace_arn with api/v1/remote_write behind it, for example \"https://aps-workspaces.eu-central-1.amazonaws.com/workspaces/ws-00000000-0000-0000-0000-000000000000/api/v1/remote_write\"."
  }
}

variable "identity" {
  description = "A pool of users that log in to the customer's own pages; null for none. The product has its own accounts."
  type = object({
    callback_urls = list(string)
    logout_urls   = list(string)
    domain_prefix = string
  })
  default = null
}

variable "oidc_allowed_issuers" {
  description = "Hosts that identity providers may have (BULKHEAD_OIDC_ALLOWED_ISSUERS); none means that there are none. Of a pool of users: `cognito-idp.<region>.amazonaws.com`."
  type        = list(string)
  nullable    = false
  default     = []

  validation {
    condition     = alltrue([for host in var.oidc_allowed_issuers : can(regex("^(\\*\\.)?([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z]{2,}(:[0-9]+)?$", host))])
    error_message = "Set oidc_allowed_issuers to names of hosts, for example [\"login.example.com\"], or [\"*.example.org\"] for all below a domain."
  }
}

variable "approval_required" {
  description = "Whether a person has to approve each deployment: the deployment refuses to run when the repository's environment asks nobody."
  type        = bool
  nullable    = false

  validation {
    condition     = var.approval_required || var.api_key_environment != "live"
    error_message = "Set approval_required to true, and reviewers in the settings of the repository's environment: what customers use is not deployed without a person's word."
  }
}

variable "github" {
  description = "The repository that deploys, its environment there, the branches that deploy to it, and where the state lies. The provider is made once an account: create_provider in the first environment, provider_arn in others."
  type = object({
    repository        = string
    repository_ids    = optional(object({ owner = string, repository = string }))
    environment       = string
    deploy_branches   = list(string)
    create_provider   = bool
    provider_arn      = optional(string)
    state_bucket_arn  = string
    state_key_prefix  = string
    state_kms_key_arn = optional(string)
  })
  nullable = false
}
