################################################################################
# Queues
################################################################################

output "queue_url" {
  description = "URL of the queue, for senders and receivers."
  value       = aws_sqs_queue.outbound.url
}

output "queue_arn" {
  description = "ARN of the queue, for the policies of receivers."
  value       = aws_sqs_queue.outbound.arn
}

output "queue_name" {
  description = "Name of the queue, for alarms."
  value       = aws_sqs_queue.outbound.name
}

output "dead_letter_queue_url" {
  description = "URL of the dead letter queue, for who looks into it."
  value       = aws_sqs_queue.dead_letter.url
}

output "dead_letter_queue_arn" {
  description = "ARN of the dead letter queue, for the policies of who looks into it."
  value       = aws_sqs_queue.dead_letter.arn
}

output "dead_letter_queue_name" {
  description = "Name of the dead letter queue, for alarms: anything in it is an event that nobody took."
  value       = aws_sqs_queue.dead_letter.name
}

################################################################################
# Access
################################################################################

output "sender_policy_json" {
  description = "What a sender's role has to be allowed: send, and use the key through SQS."
  value       = data.aws_iam_policy_document.sender.json
}

################################################################################
# Kafka
################################################################################

output "kafka_environment" {
  description = "Environment variables that tell the product about Kafka; empty when there is none. Credentials are a secret and not among them."
  value = var.kafka == null ? {} : {
    BULKHEAD_KAFKA_BOOTSTRAP_BROKERS = var.kafka.bootstrap_brokers
    BULKHEAD_KAFKA_SECURITY_PROTOCOL = var.kafka.security_protocol
    BULKHEAD_KAFKA_TOPIC             = var.kafka.topic
  }
}
