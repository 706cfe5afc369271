terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.25.0, < 7.0.0"
    }
  }

  # Bucket and region come from `terraform init -backend-config=backend.hcl`: terraform/README.md says how they are made.
  backend "s3" {
    key          = "bulkhead/production.tfstate"
    encrypt      = true
    use_lockfile = true
  }
}

provider "aws" {
  region              = var.region
  allowed_account_ids = [var.account_id]

  default_tags {
    tags = {
      Project     = "bulkhead"
      Environment = "production"
      ManagedBy   = "terraform"
      Repository  = var.github_repository
    }
  }
}
