################################################################################
# Load balancer
################################################################################

output "alb_arn" {
  description = "The load balancer."
  value       = aws_lb.this.arn
}

output "alb_arn_suffix" {
  description = "The same as metrics name it."
  value       = aws_lb.this.arn_suffix
}

output "alb_dns_name" {
  description = "AWS's name of the load balancer, to point to when DNS is kept elsewhere."
  value       = aws_lb.this.dns_name
}

output "alb_zone_id" {
  description = "Zone of that name, for alias records elsewhere."
  value       = aws_lb.this.zone_id
}

################################################################################
# Targets
################################################################################

output "target_group_arn" {
  description = "Where tasks register for requests."
  value       = aws_lb_target_group.this.arn

  # ECS takes no target group that no listener leads to.
  depends_on = [aws_lb_listener.https]
}

output "target_group_arn_suffix" {
  description = "The same as metrics name it."
  value       = aws_lb_target_group.this.arn_suffix
}

################################################################################
# Security group
################################################################################

output "security_group_id" {
  description = "Security group of the load balancer, for the rule that lets it in to the tasks."
  value       = aws_security_group.this.id
}

################################################################################
# Name and certificate
################################################################################

output "url" {
  description = "Where clients reach the API (BULKHEAD_PUBLIC_URL)."
  value       = "https://${var.domain_name}"
}

################################################################################
# Firewall
################################################################################

output "web_acl_arn" {
  description = "The firewall."
  value       = aws_wafv2_web_acl.this.arn
}

output "web_acl_name" {
  description = "The same as metrics name it."
  value       = aws_wafv2_web_acl.this.name
}
