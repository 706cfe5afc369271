output "url" {
  description = "Where clients reach the API."
  value       = module.bulkhead.url
}

output "load_balancer_dns_name" {
  description = "What the host name must point to, when DNS is kept elsewhere."
  value       = module.bulkhead.load_balancer_dns_name
}

output "registry_url" {
  description = "Where images are pushed."
  value       = module.bulkhead.registry_url
}

output "deployment" {
  description = "Variables of the repository's environment, by name."
  value = {
    AWS_REGION = var.region
    AWS_ROLE   = module.bulkhead.deploy_role_arn
    DEPLOYMENT = module.bulkhead.deployment_parameter
  }
}

output "plan_role_arn" {
  description = "The role that may only look, for a workflow that plans."
  value       = module.bulkhead.plan_role_arn
}

output "dashboard_name" {
  description = "The CloudWatch dashboard."
  value       = module.bulkhead.dashboard_name
}

output "bucket_names" {
  description = "Buckets, by purpose."
  value       = module.bulkhead.bucket_names
}

output "event_queue_urls" {
  description = "Queues of the events that leave the platform and of those that could not be delivered, for event_reader_role_arns."
  value       = module.bulkhead.event_queue_urls
}

output "replica_address" {
  description = "Where the read replica of PostgreSQL listens, inside the network; null without one."
  value       = module.bulkhead.replica_address
}

output "identity" {
  description = "What an application needs to log users of the pool in and to check their tokens; null without a pool."
  value       = module.bulkhead.identity
}

output "github_provider_arn" {
  description = "GitHub's identity provider: what github_provider_arn is set to in another environment of this account."
  value       = module.bulkhead.github_provider_arn
}
