################################################################################
# Network
################################################################################

output "security_group_id" {
  description = "Security group of the servers, for the other side's rules."
  value       = aws_security_group.this.id
}

################################################################################
# Users
################################################################################

output "user_names" {
  description = "Whom `api` and `worker` log in as, by command."
  value       = { for command, user in aws_elasticache_user.this : command => user.user_name }
}

output "user_arns" {
  description = "Users whom the deployment gives passwords (elasticache:ModifyUser), by command. A password has 16 to 128 characters, none of them a comma, a quotation mark, a slash or an @."
  value       = { for command, user in aws_elasticache_user.this : command => user.arn }
}

################################################################################
# Logs
################################################################################

output "log_group_names" {
  description = "Log groups, by replication group and kind of log, such as `queue/slow-log`."
  value       = { for key, group in aws_cloudwatch_log_group.this : key => group.name }
}

################################################################################
# Replication groups
################################################################################

output "replication_group_ids" {
  description = "Replication groups, by use, for alarms; only `queue` when both uses share it."
  value       = { for use, group in aws_elasticache_replication_group.this : use => group.replication_group_id }
}

output "parameter_group_names" {
  description = "Parameter groups, by use, as there are replication groups."
  value       = { for use, group in aws_elasticache_parameter_group.this : use => group.name }
}

output "cache_address" {
  description = "Host name of the primary for limits; the queue's when it is shared."
  value       = aws_elasticache_replication_group.this[var.dedicated_queue ? "cache" : "queue"].primary_endpoint_address
}

output "cache_port" {
  description = "Port of the primary for limits."
  value       = local.port
}

output "queue_address" {
  description = "Host name of the primary for the usage stream and the job queue."
  value       = aws_elasticache_replication_group.this["queue"].primary_endpoint_address
}

output "queue_port" {
  description = "Port of the primary for the usage stream and the job queue."
  value       = local.port
}
