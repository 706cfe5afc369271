################################################################################
# VPC and subnets
################################################################################

output "vpc_id" {
  description = "The VPC."
  value       = aws_vpc.this.id
}

output "cidr" {
  description = "Addresses of the VPC."
  value       = aws_vpc.this.cidr_block
}

output "availability_zones" {
  description = "The three zones; lists of subnets and their addresses are in the same order."
  value       = local.zones
}

output "public_subnet_ids" {
  description = "Subnets of the load balancer."
  value       = [for zone in local.zones : aws_subnet.public[zone].id]
}

output "private_subnet_ids" {
  description = "Subnets of tasks."
  value       = [for zone in local.zones : aws_subnet.private[zone].id]
}

output "isolated_subnet_ids" {
  description = "Subnets of databases and caches, which have no way out."
  value       = [for zone in local.zones : aws_subnet.isolated[zone].id]
}

output "private_cidrs" {
  description = "Addresses of the private subnets."
  value       = [for zone in local.zones : local.private_cidrs[zone]]
}

################################################################################
# Ways out
################################################################################

output "nat_public_ips" {
  description = "Addresses that tasks call from, for the allow-lists of others; none without NAT."
  value       = [for zone in local.nat_zones : aws_eip.this[zone].public_ip]
}

################################################################################
# Endpoints
################################################################################

output "endpoint_security_group_id" {
  description = "Security group of the endpoints, for rules that let tasks out to them."
  value       = aws_security_group.this.id
}
