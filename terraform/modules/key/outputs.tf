################################################################################
# Key
################################################################################

output "arn" {
  description = "ARN of the key, for every kms_key_arn variable."
  value       = aws_kms_key.this.arn
}

output "key_id" {
  description = "Id of the key."
  value       = aws_kms_key.this.key_id
}
