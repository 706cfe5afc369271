################################################################################
# Network
################################################################################

output "security_group_id" {
  description = "Security group of the server, for the other side's rules."
  value       = aws_security_group.this.id
}

################################################################################
# Parameters
################################################################################

output "parameter_group_name" {
  description = "Parameter group that instance and replica share."
  value       = aws_db_parameter_group.this.name
}

################################################################################
# Logs and monitoring
################################################################################

output "log_group_names" {
  description = "Log groups, by instance and kind of log, such as `bulkhead-production/postgresql`."
  value       = { for key, group in aws_cloudwatch_log_group.this : key => group.name }
}

################################################################################
# Instance
################################################################################

output "instance_identifier" {
  description = "Name of the instance, for alarms."
  value       = aws_db_instance.this.identifier
}

output "resource_id" {
  description = "Name that the instance keeps when it is renamed, for IAM policies that allow to connect (rds-db:connect)."
  value       = aws_db_instance.this.resource_id
}

output "address" {
  description = "Host name of the primary; it stays when the standby takes over."
  value       = aws_db_instance.this.address
}

output "port" {
  description = "Port of the primary and of the replica."
  # Not the resource's: who opens a way to it must know it before there is an instance.
  value = local.port
}

output "database_name" {
  description = "Database that `bulkhead migrate` makes and all URLs name."
  value       = var.database_name
}

output "master_username" {
  description = "The user that `bulkhead migrate` makes databases and roles with."
  value       = aws_db_instance.this.username
}

output "master_user_secret_arn" {
  description = "Secret in which RDS keeps the master user's name and password; its key is kms_key_arn."
  value       = one(aws_db_instance.this.master_user_secret[*].secret_arn)
}

################################################################################
# Replica
################################################################################

output "replica_address" {
  description = "Host name of the replica; null without one."
  value       = one(aws_db_instance.replica[*].address)
}
