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
