################################################################################
# Task
################################################################################

output "family" {
  description = "Family of the task definition, by which the deployment finds the newest revision."
  value       = aws_ecs_task_definition.this.family
}

output "task_definition_arn" {
  description = "The revision that was made here."
  value       = aws_ecs_task_definition.this.arn
}

output "log_group_name" {
  description = "Where the command logs."
  value       = aws_cloudwatch_log_group.this.name
}

output "log_group_arn" {
  description = "The same, for policies."
  value       = aws_cloudwatch_log_group.this.arn
}

################################################################################
# Service
################################################################################

output "service_name" {
  description = "The service's name; null for a task that is run once."
  value       = one(aws_ecs_service.this[*].name)
}

output "service_arn" {
  description = "The service, for policies; null for a task that is run once."
  value       = one(aws_ecs_service.this[*].id)
}

################################################################################
# Roles
################################################################################

output "role_arns" {
  description = "The roles that whoever starts the task must be able to pass on."
  value       = { task = aws_iam_role.task.arn, execution = aws_iam_role.execution.arn }
}

################################################################################
# Network
################################################################################

output "security_group_id" {
  description = "Security group of the tasks."
  value       = aws_security_group.this.id
}
