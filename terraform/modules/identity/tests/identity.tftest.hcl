mock_provider "aws" {
  mock_data "aws_region" {
    defaults = { id = "eu-central-1" }
  }

  mock_data "aws_iam_policy_document" {
    defaults = { json = "{\"Version\":\"2012-10-17\",\"Statement\":[]}" }
  }

  mock_resource "aws_cognito_user_pool" {
    defaults = {
      id       = "eu-central-1_AbCdEfGhI"
      endpoint = "cognito-idp.eu-central-1.amazonaws.com/eu-central-1_AbCdEfGhI"
    }
  }
}

variables {
  name          = "bulkhead-test"
  callback_urls = ["https://app.example.com/callback"]
  logout_urls   = ["https://app.example.com/"]
  domain_prefix = "example-staff"
}

run "lets_only_administrators_make_users" {
  command = plan

  assert {
    condition     = aws_cognito_user_pool.this.admin_create_user_config[0].allow_admin_create_user_only == true
    error_message = "Nobody may sign up: a user could then choose a tenant."
  }
}

run "never_lets_a_tenant_be_changed" {
  command = plan

  assert {
    condition     = { for schema in aws_cognito_user_pool.this.schema : schema.name => schema.mutable } == { tenant_id = false, role = true }
    error_message = "The tenant must be said once and for all; the role may change."
  }
}

run "lets_users_write_nothing_that_tells_tenants_apart" {
  command = plan

  assert {
    condition     = length(aws_cognito_user_pool_client.this.write_attributes) > 0 && alltrue([for attribute in aws_cognito_user_pool_client.this.write_attributes : !startswith(attribute, "custom:")])
    error_message = "The client must write standard attributes alone; an empty list would mean all of them."
  }

  assert {
    condition     = !contains(aws_cognito_user_pool_client.this.write_attributes, "email")
    error_message = "Users must not change their address: an administrator answers for it."
  }

  assert {
    condition     = length(setintersection(aws_cognito_user_pool_client.this.read_attributes, ["custom:role", "custom:tenant_id"])) == 2
    error_message = "The ID token must carry tenant and role."
  }
}

run "asks_everybody_for_a_second_factor" {
  command = plan

  assert {
    condition     = aws_cognito_user_pool.this.mfa_configuration == "ON" && aws_cognito_user_pool.this.software_token_mfa_configuration[0].enabled == true
    error_message = "A second factor from an application must be needed by default."
  }

  assert {
    condition     = length(aws_cognito_user_pool.this.sms_configuration) == 0
    error_message = "There must be no second factor by SMS."
  }
}

run "asks_for_long_passwords" {
  command = plan

  assert {
    condition     = aws_cognito_user_pool.this.password_policy[0].minimum_length == 14
    error_message = "A password must have 14 characters by default."
  }
}

run "recovers_accounts_by_verified_address_alone" {
  command = plan

  assert {
    condition     = [for mechanism in aws_cognito_user_pool.this.account_recovery_setting[0].recovery_mechanism : mechanism.name] == ["verified_email"]
    error_message = "An account must be recovered by its verified address and in no other way."
  }

  assert {
    condition     = toset(aws_cognito_user_pool.this.user_attribute_update_settings[0].attributes_require_verification_before_update) == toset(["email"])
    error_message = "A new address must be verified before it counts."
  }
}

run "acts_on_threats" {
  command = plan

  assert {
    condition     = aws_cognito_user_pool.this.user_pool_add_ons[0].advanced_security_mode == "ENFORCED" && aws_cognito_user_pool.this.user_pool_tier == "PLUS"
    error_message = "Threat protection must act by default, and needs the plan PLUS."
  }
}

run "pays_for_no_plan_that_it_does_not_use" {
  command = plan

  variables {
    threat_protection = "OFF"
  }

  assert {
    condition     = aws_cognito_user_pool.this.user_pool_add_ons[0].advanced_security_mode == "OFF" && aws_cognito_user_pool.this.user_pool_tier == "ESSENTIALS"
    error_message = "Without threat protection the plan must be ESSENTIALS: PLUS costs more."
  }
}

run "protects_the_pool_unless_told_otherwise" {
  command = plan

  assert {
    condition     = aws_cognito_user_pool.this.deletion_protection == "ACTIVE"
    error_message = "The pool must refuse to be deleted by default."
  }
}

run "gives_the_pool_up_when_protection_is_off" {
  command = plan

  variables {
    deletion_protection = false
  }

  assert {
    condition     = aws_cognito_user_pool.this.deletion_protection == "INACTIVE"
    error_message = "Without protection the pool must be deletable."
  }
}

run "knows_no_way_to_log_in_but_the_code_flow" {
  command = plan

  assert {
    condition     = toset(aws_cognito_user_pool_client.this.allowed_oauth_flows) == toset(["code"]) && aws_cognito_user_pool_client.this.generate_secret == false
    error_message = "A public client must use the code flow alone."
  }

  assert {
    condition     = toset(aws_cognito_user_pool_client.this.explicit_auth_flows) == toset(["ALLOW_REFRESH_TOKEN_AUTH"])
    error_message = "No password may reach Cognito but through its own pages."
  }

  assert {
    condition     = !contains(aws_cognito_user_pool_client.this.allowed_oauth_scopes, "aws.cognito.signin.user.admin")
    error_message = "An access token must not be good for changing the user."
  }
}

run "tells_nobody_who_has_an_account" {
  command = plan

  assert {
    condition     = aws_cognito_user_pool_client.this.prevent_user_existence_errors == "ENABLED"
    error_message = "Errors must not tell whether a user exists."
  }
}

run "lets_tokens_live_shortly_and_be_revoked" {
  command = plan

  assert {
    condition     = aws_cognito_user_pool_client.this.access_token_validity == 10 && aws_cognito_user_pool_client.this.id_token_validity == 10 && aws_cognito_user_pool_client.this.refresh_token_validity == 30
    error_message = "Access and ID tokens must be good for 10, refresh tokens for 30 units."
  }

  assert {
    condition     = aws_cognito_user_pool_client.this.token_validity_units[0].access_token == "minutes" && aws_cognito_user_pool_client.this.token_validity_units[0].id_token == "minutes" && aws_cognito_user_pool_client.this.token_validity_units[0].refresh_token == "days"
    error_message = "The units must be minutes, minutes and days."
  }

  assert {
    condition     = aws_cognito_user_pool_client.this.enable_token_revocation == true
    error_message = "A refresh token must be revocable."
  }
}

run "sends_invitations_by_itself_unless_told_otherwise" {
  command = plan

  assert {
    condition     = length(aws_cognito_user_pool.this.email_configuration) == 0
    error_message = "Without an identity of SES, Cognito must send by itself."
  }
}

run "sends_invitations_from_the_customers_domain" {
  command = plan

  variables {
    email = { identity_arn = "arn:aws:ses:eu-central-1:111122223333:identity/example.com", from = "Example <no-reply@example.com>" }
  }

  assert {
    condition     = aws_cognito_user_pool.this.email_configuration[0].email_sending_account == "DEVELOPER" && aws_cognito_user_pool.this.email_configuration[0].source_arn == var.email.identity_arn
    error_message = "Invitations must be sent from the identity that was given."
  }
}

run "says_where_tokens_come_from_and_where_to_log_in" {
  assert {
    condition     = output.issuer == "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_AbCdEfGhI"
    error_message = "The issuer must be the pool's address."
  }

  assert {
    condition     = output.jwks_url == "${output.issuer}/.well-known/jwks.json"
    error_message = "The keys must be found under the issuer."
  }

  assert {
    condition     = output.domain == "example-staff.auth.eu-central-1.amazoncognito.com"
    error_message = "The log-in pages must be on the prefix's host."
  }
}

run "refuses_to_do_without_a_second_factor" {
  command = plan

  variables {
    mfa = "OFF"
  }

  expect_failures = [var.mfa]
}

run "refuses_short_passwords" {
  command = plan

  variables {
    password_min_length = 13
  }

  expect_failures = [var.password_min_length]
}

run "refuses_a_threat_protection_it_does_not_know" {
  command = plan

  variables {
    threat_protection = "ON"
  }

  expect_failures = [var.threat_protection]
}

run "refuses_an_identity_that_is_not_of_ses" {
  command = plan

  variables {
    email = { identity_arn = "example.com", from = "no-reply@example.com" }
  }

  expect_failures = [var.email]
}

run "refuses_codes_in_plain_text" {
  command = plan

  variables {
    callback_urls = ["https://app.example.com/callback", "http://localhost:3000/callback"]
  }

  expect_failures = [var.callback_urls]
}

run "refuses_a_client_without_a_callback" {
  command = plan

  variables {
    callback_urls = []
  }

  expect_failures = [var.callback_urls]
}

run "refuses_a_callback_with_a_wildcard" {
  command = plan

  variables {
    callback_urls = ["https://app.example.com/*"]
  }

  expect_failures = [var.callback_urls]
}

run "refuses_to_log_out_to_plain_http" {
  command = plan

  variables {
    logout_urls = ["http://app.example.com/"]
  }

  expect_failures = [var.logout_urls]
}

run "refuses_access_tokens_that_live_for_hours" {
  command = plan

  variables {
    access_token_minutes = 61
  }

  expect_failures = [var.access_token_minutes]
}

run "refuses_refresh_tokens_that_live_for_a_season" {
  command = plan

  variables {
    refresh_token_days = 91
  }

  expect_failures = [var.refresh_token_days]
}

run "refuses_a_prefix_that_cognito_reserves" {
  command = plan

  variables {
    domain_prefix = "my-cognito"
  }

  expect_failures = [var.domain_prefix]
}

run "refuses_a_prefix_that_ends_with_a_hyphen" {
  command = plan

  variables {
    domain_prefix = "example-"
  }

  expect_failures = [var.domain_prefix]
}

run "refuses_a_name_with_an_underscore" {
  command = plan

  variables {
    name = "bulkhead_test"
  }

  expect_failures = [var.name]
}
