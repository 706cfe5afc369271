# Production: for up to 10,000 tenants in one database (crates/bench/README.md says what that needs and why).
# What is the same in every environment is in the other files of this directory, to which those of staging are links.

locals {
  environment = "production"
}

# Bucket and region come from `terraform init -backend-config=backend.hcl`: terraform/README.md says how they are made. The
# key is written out because Terraform reads it before any value of ours.
terraform {
  backend "s3" {
    key          = "bulkhead/production.tfstate"
    encrypt      = true
    use_lockfile = true
  }
}

module "bulkhead" {
  source = "../../modules/stack"

  name                = "bulkhead-${local.environment}"
  api_key_environment = "live"
  approval_required   = true
  image_digest        = var.image_digest

  cidr            = coalesce(var.cidr, "10.41.0.0/16")
  nat             = "per_zone"
  domain_name     = var.domain_name
  zone_id         = var.zone_id
  certificate_arn = var.certificate_arn

  # Backends keep 45 kB for each tenant that they have read: 8 connections for each of 8 threads and 10,000 tenants are
  # 3.5 GB, and half of the memory is left to shared buffers and the system.
  database = {
    instance_class           = "db.r7g.large"
    memory_gb                = 16
    allocated_storage_gb     = 100
    max_allocated_storage_gb = 1000
    multi_az                 = true
    backup_retention_days    = 35
  }

  # The queue must never evict, limits may: so each has a group of its own.
  cache = {
    node_type       = "cache.m7g.large"
    replicas        = 1
    dedicated_queue = true
  }

  api    = { cpu = 2048, memory_mb = 4096, min = 3, max = 8 }
  worker = { cpu = 1024, memory_mb = 2048, min = 2, max = 8 }

  statement_lock_years = 10
  anchor_lock_days     = 365

  alarm_emails           = var.alarm_emails
  event_reader_role_arns = var.event_reader_role_arns
  identity               = var.identity
  oidc_allowed_issuers   = var.oidc_allowed_issuers
  previous_master_key    = var.previous_master_key
  prometheus             = var.prometheus
  runbook_url            = "https://github.com/${var.github_repository}/blob/main/terraform/README.md"

  github = {
    repository        = var.github_repository
    repository_ids    = var.github_repository_ids
    environment       = local.environment
    deploy_branches   = ["main"]
    create_provider   = var.github_provider_arn == null
    provider_arn      = var.github_provider_arn
    state_bucket_arn  = "arn:aws:s3:::${var.state_bucket}"
    state_key_prefix  = "bulkhead/${local.environment}"
    state_kms_key_arn = var.state_kms_key_arn
  }
}
