variable "name" {
  description = "Prefix of every name, such as `bulkhead-production`."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,30}$", var.name))
    error_message = "Set name to 3 to 31 lower-case letters, digits and hyphens that begin with a letter, for example \"bulkhead-production\"."
  }
}

variable "repository" {
  description = "The repository on GitHub that deploys, as `owner/name`."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$", var.repository))
    error_message = "Set repository to \"owner/name\" as GitHub spells it, for example \"example/bulkhead\"."
  }
}

variable "repository_ids" {
  description = "GitHub's numbers of the owner and of the repository, which are part of the subject for repositories that were made, renamed or moved after 15 July 2026, or that have asked for it; null for the older form. `gh api repos/OWNER/NAME --jq '.owner.id, .id'` prints both."
  type        = object({ owner = string, repository = string })
  default     = null

  validation {
    condition     = var.repository_ids == null ? true : alltrue([for id in values(var.repository_ids) : can(regex("^[0-9]+$", id))])
    error_message = "Set repository_ids to the two numbers that `gh api repos/OWNER/NAME --jq '.owner.id, .id'` prints, for example { owner = \"123456\", repository = \"456789\" }."
  }
}

variable "permissions_boundary_arn" {
  description = "Policy that bounds both roles; null for none."
  type        = string
  default     = null

  validation {
    condition     = var.permissions_boundary_arn == null ? true : can(regex("^arn:[^:]+:iam::", var.permissions_boundary_arn))
    error_message = "Set permissions_boundary_arn to the ARN of a policy, for example \"arn:aws:iam::111122223333:policy/boundary\", or to null."
  }
}

################################################################################
# Provider
################################################################################

variable "create_provider" {
  description = "Whether to make GitHub's identity provider. An account can have it once: true in the first environment of the account, false in others."
  type        = bool
  nullable    = false
  default     = true
}

variable "provider_arn" {
  description = "The provider that is there already, when create_provider is false."
  type        = string
  default     = null

  validation {
    condition     = var.create_provider || var.provider_arn != null
    error_message = "Set provider_arn to the provider that the account has (`aws iam list-open-id-connect-providers` shows it), or create_provider to true."
  }

  validation {
    condition     = !var.create_provider || var.provider_arn == null
    error_message = "Set create_provider to false to use the provider of provider_arn, or leave provider_arn out."
  }

  # Another provider's tokens would be believed to be GitHub's.
  validation {
    condition     = var.provider_arn == null ? true : can(regex("^arn:[^:]+:iam::[0-9]{12}:oidc-provider/token\\.actions\\.githubusercontent\\.com$", var.provider_arn))
    error_message = "Set provider_arn to GitHub's provider, for example \"arn:aws:iam::111122223333:oidc-provider/token.actions.githubusercontent.com\"."
  }
}

################################################################################
# Deploy role
################################################################################

variable "deploy_branches" {
  description = "The branches whose workflows may deploy, each taken as it stands."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(var.deploy_branches) > 0 && alltrue([for branch in var.deploy_branches : can(regex("^[A-Za-z0-9][A-Za-z0-9._/-]*$", branch))])
    error_message = "Set deploy_branches to the names of one or more branches, without wildcards and without refs/heads/, for example [\"main\"]."
  }

  validation {
    condition     = alltrue([for branch in var.deploy_branches : !startswith(branch, "refs/")])
    error_message = "Set deploy_branches to names of branches without refs/heads/, for example [\"main\"]."
  }
}

variable "deploy_workflows" {
  description = "The files of the workflows whose jobs deploy; a job counts with the file that it is written in, not with the one that calls it."
  type        = list(string)
  nullable    = false
  default     = ["deploy-environment.yml", "rollback.yml"]

  validation {
    condition     = length(var.deploy_workflows) > 0 && alltrue([for file in var.deploy_workflows : can(regex("^[A-Za-z0-9._-]+\\.ya?ml$", file))])
    error_message = "Set deploy_workflows to names of files in .github/workflows, without wildcards, for example [\"deploy-environment.yml\"]."
  }
}

variable "environment" {
  description = "Environment of the repository whose jobs may deploy, such as `production`. Protect it in the repository's settings."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9._-]*$", var.environment))
    error_message = "Set environment to the name of one environment of the repository, without wildcards, for example \"production\"."
  }
}

variable "repository_arn" {
  description = "The image's repository in ECR."
  type        = string
  nullable    = false
}

variable "deployment_parameter_arn" {
  description = "The parameter that tells the deployment where everything is; null for none."
  type        = string
  default     = null
}

variable "releases_parameter_arn" {
  description = "The parameter in which the deployment keeps what it has released; null for none."
  type        = string
  default     = null

  # A workflow that may write the other one decides what a deployment believes of the whole environment.
  validation {
    condition     = var.releases_parameter_arn == null ? true : can(regex("^arn:[^:]+:ssm:[^:]+:[0-9]{12}:parameter/[^*?]+$", var.releases_parameter_arn)) && var.releases_parameter_arn != var.deployment_parameter_arn
    error_message = "Set releases_parameter_arn to the ARN of one parameter that is not deployment_parameter_arn's, for example \"arn:aws:ssm:eu-central-1:111122223333:parameter/bulkhead-production/releases\", or to null."
  }
}

variable "cluster_arn" {
  description = "The cluster that tasks run in."
  type        = string
  nullable    = false
}

variable "service_arns" {
  description = "Services that are deployed, by command."
  type        = map(string)
  nullable    = false

  validation {
    condition     = length(var.service_arns) > 0
    error_message = "Set service_arns to the services that are deployed, for example { api = ..., worker = ... }."
  }
}

variable "task_definition_families" {
  description = "Families of the tasks that the deployment runs once, such as `bulkhead-production-migrate`."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(var.task_definition_families) > 0 && alltrue([for family in var.task_definition_families : can(regex("^[A-Za-z0-9_-]+$", family))])
    error_message = "Set task_definition_families to at least one family, without revision and wildcards, for example [\"bulkhead-production-migrate\"]."
  }
}

variable "pass_role_arns" {
  description = "Task and execution roles of what is deployed, by any name."
  type        = map(string)
  nullable    = false

  validation {
    condition     = length(var.pass_role_arns) > 0
    error_message = "Set pass_role_arns to the roles of the tasks, for example { api_task = ..., api_execution = ... }: a task definition names them."
  }

  validation {
    condition     = alltrue([for arn in values(var.pass_role_arns) : !strcontains(arn, "*")])
    error_message = "Set pass_role_arns to whole ARNs: a wildcard would let the deployment pass on any role, an administrator's too."
  }
}

variable "secret_arns" {
  description = "Secrets that the deployment may fill, by any name."
  type        = map(string)
  nullable    = false
  default     = {}
}

variable "secret_kms_key_arn" {
  description = "Key that the secrets are encrypted with; null for AWS's own."
  type        = string
  default     = null

  validation {
    condition     = var.secret_kms_key_arn == null ? true : can(regex("^arn:[^:]+:kms:", var.secret_kms_key_arn))
    error_message = "Set secret_kms_key_arn to the ARN of a key, for example \"arn:aws:kms:eu-central-1:111122223333:key/...\", or to null."
  }
}

variable "elasticache_user_arns" {
  description = "Users of the cache that the deployment may give a password, by any name."
  type        = map(string)
  nullable    = false
  default     = {}
}

variable "log_group_arns" {
  description = "Log groups that the deployment reads, such as the migration's, by any name."
  type        = map(string)
  nullable    = false
  default     = {}
}

################################################################################
# Plan role
################################################################################

variable "plan_subjects" {
  description = "What may plan: `pull_request`, `ref:refs/heads/BRANCH`, `ref:refs/tags/TAG` or `environment:NAME`, each taken as it stands."
  type        = list(string)
  nullable    = false
  default     = ["pull_request", "ref:refs/heads/main"]

  validation {
    condition     = length(var.plan_subjects) > 0 && alltrue([for subject in var.plan_subjects : can(regex("^(pull_request|ref:refs/(heads|tags)/[^*?:]+|environment:[^*?:]+)$", subject))])
    error_message = "Set plan_subjects to subjects without wildcards, for example [\"pull_request\", \"ref:refs/heads/main\"]."
  }
}

variable "state_bucket_arn" {
  description = "The bucket that holds Terraform's state."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^arn:[^:]+:s3:::[a-z0-9.-]+$", var.state_bucket_arn))
    error_message = "Set state_bucket_arn to the ARN of the bucket alone, for example \"arn:aws:s3:::example-terraform-state\"."
  }
}

variable "state_key_prefix" {
  description = "How the keys of this environment's state begin, such as `bulkhead/production`."
  type        = string
  nullable    = false

  # The whole bucket would be the states of all stacks that share it.
  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9/._-]*$", var.state_key_prefix))
    error_message = "Set state_key_prefix to how the state's key begins, without a slash in front and without wildcards, for example \"bulkhead/production\"."
  }
}

variable "state_kms_key_arn" {
  description = "Key that the state is encrypted with; null for the bucket's own encryption."
  type        = string
  default     = null

  validation {
    condition     = var.state_kms_key_arn == null ? true : can(regex("^arn:[^:]+:kms:", var.state_kms_key_arn))
    error_message = "Set state_kms_key_arn to the ARN of a key, for example \"arn:aws:kms:eu-central-1:111122223333:key/...\", or to null."
  }
}
