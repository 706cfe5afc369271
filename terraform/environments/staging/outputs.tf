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
