# A pool of users for a customer's staff, for those who want to log in through Cognito: the pool, the pages to log in
# on, and one client for a web application. The product has its own accounts and needs none of this.
#
# Owns who may become a user and what users may change about themselves. Refuses sign-up, passwords that are sent
# anywhere but to Cognito's own pages, and second factors by SMS. Leaves users, federation and the rules of threat
# protection to the customer, and encryption to AWS: the provider knows no key of ours for a pool.

data "aws_region" "current" {}

################################################################################
# User pool
################################################################################

resource "aws_cognito_user_pool" "this" {
  name                = var.name
  deletion_protection = var.deletion_protection ? "ACTIVE" : "INACTIVE"

  # Threat protection comes with PLUS only, which costs by the number of users: staff are few.
  user_pool_tier = var.threat_protection == "OFF" ? "ESSENTIALS" : "PLUS"

  # Staff are known by their address. Case makes no second user out of one.
  username_attributes      = ["email"]
  auto_verified_attributes = ["email"]

  username_configuration {
    case_sensitive = false
  }

  # A new address counts only once it is proven: otherwise the way back into an account could be turned into a way in.
  user_attribute_update_settings {
    attributes_require_verification_before_update = ["email"]
  }

  # Users are made by an administrator, who says which tenant they belong to.
  admin_create_user_config {
    allow_admin_create_user_only = true
  }

  password_policy {
    minimum_length                   = var.password_min_length
    require_lowercase                = true
    require_numbers                  = true
    require_symbols                  = true
    require_uppercase                = true
    temporary_password_validity_days = 3
  }

  # An application makes the second factor: numbers of telephones can be taken over.
  mfa_configuration = var.mfa

  software_token_mfa_configuration {
    enabled = true
  }

  account_recovery_setting {
    recovery_mechanism {
      name     = "verified_email"
      priority = 1
    }
  }

  # Passwords that have leaked are refused, and odd log-ins noticed: a password that a person uses twice is the
  # likeliest way in. What is done about each risk is Cognito's default until an aws_cognito_risk_configuration says
  # otherwise.
  user_pool_add_ons {
    advanced_security_mode = var.threat_protection
  }

  # Which tenant a user belongs to is said once, when an administrator makes the user. `developer_only_attribute` is not
  # what protects it: it is an older way, under another name (`dev:`), which AWS advises against. Attributes can be
  # added to a pool and never changed or taken away.
  schema {
    name                     = "tenant_id"
    attribute_data_type      = "String"
    developer_only_attribute = false
    mutable                  = false
    required                 = false

    string_attribute_constraints {
      min_length = "1"
      max_length = "64"
    }
  }

  # A role changes with the work that a person does, by an administrator's hand.
  schema {
    name                     = "role"
    attribute_data_type      = "String"
    developer_only_attribute = false
    mutable                  = true
    required                 = false

    string_attribute_constraints {
      min_length = "1"
      max_length = "64"
    }
  }

  dynamic "email_configuration" {
    for_each = var.email == null ? [] : [var.email]

    content {
      email_sending_account = "DEVELOPER"
      from_email_address    = email_configuration.value.from
      source_arn            = email_configuration.value.identity_arn
    }
  }

  tags = { Name = var.name }
}

################################################################################
# Client
################################################################################

locals {
  # What users may say about themselves.
  own_attributes = ["family_name", "given_name", "locale", "name", "zoneinfo"]
}

# For an application in the browser, which could keep no secret. Cognito checks a PKCE challenge that is sent and cannot
# insist on one: the application has to send it (S256).
resource "aws_cognito_user_pool_client" "this" {
  name         = "${var.name}-web"
  user_pool_id = aws_cognito_user_pool.this.id

  generate_secret                      = false
  allowed_oauth_flows_user_pool_client = true
  allowed_oauth_flows                  = ["code"]
  allowed_oauth_scopes                 = ["email", "openid", "profile"]
  callback_urls                        = var.callback_urls
  logout_urls                          = var.logout_urls
  supported_identity_providers         = ["COGNITO"]

  # Nothing but renewal works without the log-in pages. An empty list would mean Cognito's defaults, which have more.
  explicit_auth_flows = ["ALLOW_REFRESH_TOKEN_AUTH"]

  # What a client may write, every user may write with a token of that client. custom:tenant_id and custom:role are what
  # tenants are told apart by: they must never be here. Nor is the address, which an administrator answers for. An empty
  # list would mean all of them.
  read_attributes  = concat(local.own_attributes, ["email", "email_verified", "custom:role", "custom:tenant_id"])
  write_attributes = local.own_attributes

  # "No such user" and "wrong password" must read the same.
  prevent_user_existence_errors = "ENABLED"
  enable_token_revocation       = true

  access_token_validity  = var.access_token_minutes
  id_token_validity      = var.access_token_minutes
  refresh_token_validity = var.refresh_token_days

  token_validity_units {
    access_token  = "minutes"
    id_token      = "minutes"
    refresh_token = "days"
  }
}

################################################################################
# Domain
################################################################################

# Version 1 are the classic pages: those of version 2 are not shown until they are given a style.
resource "aws_cognito_user_pool_domain" "this" {
  domain                = var.domain_prefix
  user_pool_id          = aws_cognito_user_pool.this.id
  managed_login_version = 1
}

################################################################################
# Access
################################################################################

# What a task may do that makes the product's people in the pool, too. It sets no passwords, and lists nobody.
data "aws_iam_policy_document" "people" {
  statement {
    sid       = "People"
    actions   = ["cognito-idp:AdminCreateUser", "cognito-idp:AdminDeleteUser", "cognito-idp:AdminGetUser"]
    resources = [aws_cognito_user_pool.this.arn]
  }
}
