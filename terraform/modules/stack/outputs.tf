output "url" {
  description = "Where clients reach the API."
  value       = module.edge.url
}

output "load_balancer_dns_name" {
  description = "What the host name must point to, when DNS is kept elsewhere."
  value       = module.edge.alb_dns_name
}

output "registry_url" {
  description = "Where images are pushed."
  value       = module.registry.repository_url
}

output "deployment_parameter" {
  description = "The parameter that tells the deployment where everything is; the variable DEPLOYMENT of the repository's environment."
  value       = aws_ssm_parameter.deployment.name
}

output "deploy_role_arn" {
  description = "The role that deploys; the variable AWS_ROLE of the repository's environment."
  value       = module.github_oidc.deploy_role_arn
}

output "plan_role_arn" {
  description = "The role that may only look, for a workflow that plans."
  value       = module.github_oidc.plan_role_arn
}

output "database_address" {
  description = "Where PostgreSQL listens, inside the network."
  value       = module.database.address
}

output "nat_public_ips" {
  description = "Addresses that requests of the product to the outside come from."
  value       = module.network.nat_public_ips
}

output "dashboard_name" {
  description = "The CloudWatch dashboard."
  value       = module.observability.dashboard_name
}

output "bucket_names" {
  description = "Buckets, by purpose: `anchors`, `exports`, `logs`, `statements`."
  value       = module.storage.bucket_names
}

output "event_queue_urls" {
  description = "Queues of the events that leave the platform, for the roles in event_reader_role_arns: `events`, and `dead_letters` for those that could not be delivered."
  value       = { events = module.queue_out.queue_url, dead_letters = module.queue_out.dead_letter_queue_url }
}

output "replica_address" {
  description = "Where the read replica of PostgreSQL listens, inside the network; null without one."
  value       = module.database.replica_address
}

output "identity" {
  description = "What an application needs to log users of the pool in and to check their tokens: `issuer`, `jwks_url`, `client_id` and `domain`, the host of the log-in pages; null without a pool."
  value = one([
    for pool in module.identity : { issuer = pool.issuer, jwks_url = pool.jwks_url, client_id = pool.client_id, domain = pool.domain }
  ])
}

output "github_provider_arn" {
  description = "GitHub's identity provider in this account, for environments that share the account."
  value       = module.github_oidc.provider_arn
}
