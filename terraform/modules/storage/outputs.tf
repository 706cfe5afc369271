################################################################################
# Buckets
################################################################################

output "bucket_names" {
  description = "Buckets, by purpose: `anchors`, `exports`, `logs`, `statements`."
  value       = { for purpose, bucket in aws_s3_bucket.this : purpose => bucket.bucket }

  # A load balancer tries to write when its access log is switched on: the policy has to be there before.
  depends_on = [aws_s3_bucket_policy.this]
}

output "bucket_arns" {
  description = "ARNs of the buckets, by purpose."
  value       = { for purpose, bucket in aws_s3_bucket.this : purpose => bucket.arn }
}

################################################################################
# Access
################################################################################

output "load_balancer_log_prefix" {
  description = "Prefix under which the load balancer may write its access log to `logs`."
  value       = local.load_balancer_prefix
}

output "task_policy_json" {
  description = "What a task of the product may do: read, write and delete exports, read and write statements, use the key through S3."
  value       = data.aws_iam_policy_document.task.json
}

output "anchoring_policy_json" {
  description = "What the worker may do beside that: put anchors of the audit logs into their bucket."
  value       = data.aws_iam_policy_document.anchoring.json
}
