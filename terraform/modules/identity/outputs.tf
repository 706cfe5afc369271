################################################################################
# User pool
################################################################################

output "user_pool_id" {
  description = "Id of the pool."
  value       = aws_cognito_user_pool.this.id
}

output "issuer" {
  description = "Issuer of the pool's tokens (`iss`)."
  value       = "https://${aws_cognito_user_pool.this.endpoint}"
}

output "jwks_url" {
  description = "Keys that the pool's tokens are signed with. Only the ID token carries `custom:tenant_id` and `custom:role`."
  value       = "https://${aws_cognito_user_pool.this.endpoint}/.well-known/jwks.json"
}

################################################################################
# Client
################################################################################

output "client_id" {
  description = "Id of the client: `aud` of ID tokens, `client_id` of access tokens."
  value       = aws_cognito_user_pool_client.this.id
}

################################################################################
# Domain
################################################################################

output "domain" {
  description = "Host name of the log-in pages."
  value       = "${aws_cognito_user_pool_domain.this.domain}.auth.${data.aws_region.current.id}.amazoncognito.com"
}

################################################################################
# Access
################################################################################

output "people_policy_json" {
  description = "What a task may do that makes people in the pool and removes them: those of this pool, and nothing else."
  value       = data.aws_iam_policy_document.people.json
}
