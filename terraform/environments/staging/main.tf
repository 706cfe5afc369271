# Staging: the same as production in kind, the least of it in size, and no approval before a deployment. What is refused
# there is refused here: the other files of this directory are links to those of production.

locals {
  environment = "staging"
}

# Bucket and region come from `terraform init -backend-config=backend.hcl`: terraform/README.md says how they are made. The
# key is written out because Terraform reads it before any value of ours.
terraform {
  backend "s3" {
    key          = "bulkhead/staging.tfstate"
    encrypt      = true
    use_lockfile = true
  }
}

module "bulkhead" {
  source = "../../modules/stack"

  name                = "bulkhead-${local.environment}"
  api_key_environment = "test"
  approval_required   = false
  image_digest        = var.image_digest
  # Staging is torn down and built again to practise it.
  deletion_protection = false

  cidr            = coalesce(var.cidr, "10.40.0.0/16")
  nat             = "single"
  domain_name     = var.domain_name
  zone_id         = var.zone_id
  certificate_arn = var.certificate_arn

  database = {
    instance_class           = "db.t4g.medium"
    memory_gb                = 4
    allocated_storage_gb     = 50
    max_allocated_storage_gb = 200
    multi_az                 = false
    backup_retention_days    = 14
  }

  # One group for both uses: what is mixed up there is noticed here.
  cache = {
    node_type       = "cache.t4g.small"
    replicas        = 1
    dedicated_queue = false
  }

  api    = { cpu = 512, memory_mb = 1024, min = 2, max = 4 }
  worker = { cpu = 512, memory_mb = 1024, min = 1, max = 4 }

  alarm_emails           = var.alarm_emails
  event_reader_role_arns = var.event_reader_role_arns
  identity               = var.identity
  oidc_allowed_issuers   = var.oidc_allowed_issuers
  previous_master_key    = var.previous_master_key
  prometheus             = var.prometheus
  runbook_url            = "https://github.com/${var.github_repository}/blob/develop/terraform/README.md"

  github = {
    repository        = var.github_repository
    repository_ids    = var.github_repository_ids
    environment       = local.environment
    deploy_branches   = ["develop", "main"]
    create_provider   = var.github_provider_arn == null
    provider_arn      = var.github_provider_arn
    state_bucket_arn  = "arn:aws:s3:::${var.state_bucket}"
    state_key_prefix  = "bulkhead/${local.environment}"
    state_kms_key_arn = var.state_kms_key_arn
  }
}
