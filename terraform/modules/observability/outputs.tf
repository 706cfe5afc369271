################################################################################
# Notification
################################################################################

output "topic_arn" {
  description = "Topic that is told of every alarm, for a pager or a chat to subscribe to."
  value       = aws_sns_topic.this.arn
}

################################################################################
# Alarms
################################################################################

output "alarm_arns" {
  description = "Alarms, by name without prefix, such as `api-errors`."
  value       = { for name, alarm in aws_cloudwatch_metric_alarm.this : name => alarm.arn }
}

################################################################################
# Dashboard
################################################################################

output "dashboard_name" {
  description = "Dashboard in CloudWatch."
  value       = aws_cloudwatch_dashboard.this.dashboard_name
}
