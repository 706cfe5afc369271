################################################################################
# Provider
################################################################################

output "provider_arn" {
  description = "GitHub's identity provider in this account, for environments that share the account."
  value       = local.provider_arn
}

################################################################################
# Deploy role
################################################################################

output "deploy_role_arn" {
  description = "Role that the deployment takes (`role-to-assume` of aws-actions/configure-aws-credentials)."
  value       = aws_iam_role.deploy.arn
}

################################################################################
# Plan role
################################################################################

output "plan_role_arn" {
  description = "Role that `terraform plan` takes on pull requests."
  value       = aws_iam_role.plan.arn
}
