variable "region" {
  description = "The AWS region."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "Set region to an AWS region, for example \"eu-central-1\"."
  }
}

variable "account_id" {
  description = "The AWS account; nothing is done in any other."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "Set account_id to the twelve digits of this environment's AWS account."
  }
}

variable "image_digest" {
  description = "Digest of the image for the first revision of every task; later the deployment decides."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^sha256:[0-9a-f]{64}$", var.image_digest))
    error_message = "Set image_digest to the digest that `docker push` printed: \"sha256:\" and 64 hexadecimal digits."
  }
}

variable "domain_name" {
  description = "The API's host name."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z]{2,}$", var.domain_name))
    error_message = "Set domain_name to the API's host name, for example \"api.example.com\"."
  }
}

variable "zone_id" {
  description = "Route 53 zone of the host name; null when DNS is kept elsewhere."
  type        = string
  default     = null

  validation {
    condition     = var.zone_id == null ? true : can(regex("^Z[A-Z0-9]{1,31}$", var.zone_id))
    error_message = "Set zone_id to the id of the Route 53 zone, for example \"Z0123456789ABCDEFGHIJ\"."
  }
}

variable "certificate_arn" {
  description = "Certificate for the host name; null to have one made and validated in the zone."
  type        = string
  default     = null

  validation {
    condition     = var.certificate_arn != null || var.zone_id != null
    error_message = "Set certificate_arn, or zone_id so that a certificate can be made and validated."
  }
}

variable "cidr" {
  description = "Private addresses of the VPC, which overlap with no network that it will ever be joined with; null for those in main.tf."
  type        = string
  default     = null

  validation {
    condition     = var.cidr == null ? true : can(cidrhost(var.cidr, 0)) && can(regex("/(1[6-9]|20)$", var.cidr))
    error_message = "Set cidr to a private IPv4 range of /16 to /20, for example \"10.40.0.0/16\"."
  }
}

variable "alarm_emails" {
  description = "Who is told of alarms."
  type        = set(string)
  nullable    = false

  validation {
    condition     = length(var.alarm_emails) > 0
    error_message = "Set alarm_emails to at least one address: an alarm that nobody hears is none."
  }
}

variable "github_repository" {
  description = "The repository that deploys, as `owner/name`."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$", var.github_repository))
    error_message = "Set github_repository to \"owner/name\" as GitHub spells it."
  }
}

variable "github_repository_ids" {
  description = "Numbers of the owner and the repository at GitHub, which its tokens carry for repositories made after July 2026; null for older ones."
  type        = object({ owner = string, repository = string })
  default     = null

  validation {
    condition     = var.github_repository_ids == null ? true : alltrue([for id in values(var.github_repository_ids) : can(regex("^[0-9]+$", id))])
    error_message = "Set github_repository_ids to the two numbers that `gh api repos/OWNER/NAME --jq '.owner.id, .id'` prints."
  }
}

variable "github_provider_arn" {
  description = "GitHub's identity provider in this account, when it is there already; null to have it made."
  type        = string
  default     = null

  validation {
    condition     = var.github_provider_arn == null ? true : can(regex("^arn:[^:]+:iam::[0-9]{12}:oidc-provider/token\\.actions\\.githubusercontent\\.com$", var.github_provider_arn))
    error_message = "Set github_provider_arn to the ARN of token.actions.githubusercontent.com in this account, or leave it out to have it made."
  }
}

variable "previous_master_key" {
  description = "Whether tasks are given the master key before the current one, too: true while it is being changed (terraform/README.md)."
  type        = bool
  nullable    = false
  default     = false
}

variable "state_bucket" {
  description = "The bucket that holds this state."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.state_bucket))
    error_message = "Set state_bucket to the name of the bucket in backend.hcl, without \"arn:\"."
  }
}

variable "state_kms_key_arn" {
  description = "The key that the state is encrypted with; null for the bucket's own."
  type        = string
  default     = null

  validation {
    condition     = var.state_kms_key_arn == null ? true : can(regex("^arn:[^:]+:kms:", var.state_kms_key_arn))
    error_message = "Set state_kms_key_arn to the ARN of a KMS key, or leave it out."
  }
}

variable "event_reader_role_arns" {
  description = "Roles that read the events leaving the platform, each named; nobody else may, administrators included."
  type        = map(string)
  nullable    = false
  default     = {}

  validation {
    condition     = alltrue([for arn in values(var.event_reader_role_arns) : can(regex("^arn:[^:]+:iam::[0-9]{12}:role/", arn))])
    error_message = "Set event_reader_role_arns to ARNs of roles, each under a name, for example { billing = \"arn:aws:iam::111122223333:role/billing\" }."
  }
}

variable "identity" {
  description = "A pool of users that log in to the customer's own pages, with where they may be sent after that and the first part of the log-in pages' host name; null for none. The product has its own accounts."
  type = object({
    callback_urls = list(string)
    logout_urls   = list(string)
    domain_prefix = string
  })
  default = null

  validation {
    condition     = var.identity == null ? true : length(var.identity.callback_urls) > 0 && alltrue([for url in concat(var.identity.callback_urls, var.identity.logout_urls) : can(regex("^https://[A-Za-z0-9.-]+(:[0-9]+)?(/[^#*\\s]*)?$", url))])
    error_message = "Set identity.callback_urls to at least one, and identity.logout_urls to any https addresses without a fragment or a wildcard, for example [\"https://app.example.com/callback\"]; a code must never travel in plain text."
  }

  validation {
    condition     = var.identity == null ? true : can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", var.identity.domain_prefix)) && !can(regex("aws|amazon|cognito", var.identity.domain_prefix))
    error_message = "Set identity.domain_prefix to 1 to 63 lower-case letters, digits and inner hyphens without \"aws\", \"amazon\" or \"cognito\" in them, for example \"example-staff\"."
  }
}

variable "oidc_allowed_issuers" {
  description = "Hosts that identity providers may have; none means that there are none. Of a pool of users: `cognito-idp.<region>.amazonaws.com`."
  type        = list(string)
  nullable    = false
  default     = []

  validation {
    condition     = alltrue([for host in var.oidc_allowed_issuers : can(regex("^(\\*\\.)?([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z]{2,}(:[0-9]+)?$", host))])
    error_message = "Set oidc_allowed_issuers to names of hosts, for example [\"login.example.com\"], or [\"*.example.org\"] for all below a domain."
  }
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
