mock_provider "aws" {
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{\"Version\":\"2012-10-17\",\"Statement\":[]}" }
  }

  mock_data "aws_region" {
    defaults = { id = "eu-central-1" }
  }

  mock_data "aws_partition" {
    defaults = { partition = "aws", reverse_dns_prefix = "com.amazonaws" }
  }

  mock_data "aws_caller_identity" {
    defaults = { account_id = "111122223333" }
  }

  mock_data "aws_availability_zones" {
    defaults = { names = ["eu-central-1a", "eu-central-1b", "eu-central-1c", "eu-central-1d"] }
  }

  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:eu-central-1:111122223333:log-group:/bulkhead/bulkhead-test/flow" }
  }

  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::111122223333:role/bulkhead-test-flow-log" }
  }
}

variables {
  name            = "bulkhead-test"
  cidr            = "10.0.0.0/16"
  log_kms_key_arn = "arn:aws:kms:eu-central-1:111122223333:key/00000000-0000-0000-0000-000000000000"
}

################################################################################
# VPC and subnets
################################################################################

run "takes_the_first_three_zones_of_the_region" {
  command = plan

  assert {
    condition     = output.availability_zones == tolist(["eu-central-1a", "eu-central-1b", "eu-central-1c"])
    error_message = "Without a choice the first three zones must be taken."
  }

  assert {
    condition     = length(output.public_subnet_ids) == 3 && length(output.private_subnet_ids) == 3 && length(output.isolated_subnet_ids) == 3
    error_message = "Every kind of subnet must be in all three zones."
  }
}

run "takes_the_zones_that_are_named_in_their_order" {
  command = plan

  variables {
    availability_zones = ["eu-central-1d", "eu-central-1a", "eu-central-1b"]
  }

  assert {
    condition     = output.availability_zones == tolist(["eu-central-1d", "eu-central-1a", "eu-central-1b"])
    error_message = "The zones must be those that were named, in their order."
  }

  assert {
    condition     = aws_subnet.private["eu-central-1d"].cidr_block == "10.0.0.0/18" && output.private_cidrs[0] == "10.0.0.0/18"
    error_message = "The zone that is named first must get the first block."
  }
}

run "cuts_the_largest_vpc_as_documented" {
  command = plan

  assert {
    condition     = [for zone in output.availability_zones : aws_subnet.private[zone].cidr_block] == ["10.0.0.0/18", "10.0.64.0/18", "10.0.128.0/18"]
    error_message = "The private subnets of a /16 have moved: they would be replaced, with everything in them."
  }

  assert {
    condition     = [for zone in output.availability_zones : aws_subnet.public[zone].cidr_block] == ["10.0.192.0/21", "10.0.200.0/21", "10.0.208.0/21"]
    error_message = "The public subnets of a /16 have moved: they would be replaced, with everything in them."
  }

  assert {
    condition     = [for zone in output.availability_zones : aws_subnet.isolated[zone].cidr_block] == ["10.0.224.0/21", "10.0.232.0/21", "10.0.240.0/21"]
    error_message = "The isolated subnets of a /16 have moved: they would be replaced, with everything in them."
  }
}

run "cuts_the_smallest_vpc_as_documented" {
  command = plan

  variables {
    cidr = "192.168.16.0/20"
  }

  assert {
    condition     = [for zone in output.availability_zones : aws_subnet.private[zone].cidr_block] == ["192.168.16.0/22", "192.168.20.0/22", "192.168.24.0/22"]
    error_message = "The private subnets of a /20 have moved."
  }

  assert {
    condition     = [for zone in output.availability_zones : aws_subnet.public[zone].cidr_block] == ["192.168.28.0/25", "192.168.28.128/25", "192.168.29.0/25"]
    error_message = "The public subnets of a /20 have moved."
  }

  assert {
    condition     = [for zone in output.availability_zones : aws_subnet.isolated[zone].cidr_block] == ["192.168.30.0/25", "192.168.30.128/25", "192.168.31.0/25"]
    error_message = "The isolated subnets of a /20 have moved."
  }
}

run "gives_nobody_a_public_address_unasked" {
  command = plan

  assert {
    condition = alltrue([
      for subnet in concat(values(aws_subnet.public), values(aws_subnet.private), values(aws_subnet.isolated)) : !subnet.map_public_ip_on_launch
    ])
    error_message = "What starts in a subnet must not get a public address by itself."
  }
}

run "refuses_a_name_that_begins_with_a_digit" {
  command = plan

  variables {
    name = "1-bulkhead"
  }

  expect_failures = [var.name]
}

run "refuses_what_is_no_network" {
  command = plan

  variables {
    cidr = "10.0.0.0"
  }

  expect_failures = [var.cidr]
}

run "refuses_a_network_of_ipv6" {
  command = plan

  variables {
    cidr = "fd00::/20"
  }

  expect_failures = [var.cidr]
}

run "refuses_an_address_inside_a_network" {
  command = plan

  variables {
    cidr = "10.0.0.1/16"
  }

  expect_failures = [var.cidr]
}

run "refuses_a_cidr_that_is_too_large" {
  command = plan

  variables {
    cidr = "10.0.0.0/15"
  }

  expect_failures = [var.cidr]
}

run "refuses_a_cidr_that_is_too_small" {
  command = plan

  variables {
    cidr = "10.0.0.0/21"
  }

  expect_failures = [var.cidr]
}

run "refuses_addresses_that_belong_to_somebody" {
  command = plan

  variables {
    cidr = "172.32.0.0/16"
  }

  expect_failures = [var.cidr]
}

run "takes_the_last_private_network_of_172" {
  command = plan

  variables {
    cidr = "172.31.0.0/16"
  }

  assert {
    condition     = output.cidr == "172.31.0.0/16"
    error_message = "172.16.0.0/12 is private to its end."
  }
}

run "refuses_two_zones" {
  command = plan

  variables {
    availability_zones = ["eu-central-1a", "eu-central-1b"]
  }

  expect_failures = [var.availability_zones]
}

run "refuses_a_zone_that_is_named_twice" {
  command = plan

  variables {
    availability_zones = ["eu-central-1a", "eu-central-1b", "eu-central-1b"]
  }

  expect_failures = [var.availability_zones]
}

run "refuses_a_region_of_two_zones" {
  command = plan

  override_data {
    target = data.aws_availability_zones.current
    values = { names = ["us-west-1a", "us-west-1c"] }
  }

  expect_failures = [data.aws_availability_zones.current]
}

################################################################################
# Ways out
################################################################################

run "each_zone_goes_out_by_its_own_gateway" {
  # Routes are told apart by ids, which the apply makes.
  command = apply

  assert {
    condition     = alltrue([for zone in output.availability_zones : aws_route.private[zone].nat_gateway_id == aws_nat_gateway.this[zone].id])
    error_message = "A zone must not lose its way out by the fault of another zone."
  }

  assert {
    condition     = alltrue([for zone in output.availability_zones : aws_nat_gateway.this[zone].subnet_id == aws_subnet.public[zone].id])
    error_message = "A NAT gateway must be in the public subnet of its zone."
  }

  assert {
    condition     = length(output.nat_public_ips) == 3
    error_message = "Each of the three gateways must have an address."
  }
}

run "all_zones_go_out_by_a_single_gateway" {
  command = apply

  variables {
    nat = "single"
  }

  assert {
    condition     = keys(aws_nat_gateway.this) == ["eu-central-1a"] && length(output.nat_public_ips) == 1
    error_message = "There must be one gateway, with one address."
  }

  assert {
    condition     = alltrue([for route in aws_route.private : route.nat_gateway_id == aws_nat_gateway.this["eu-central-1a"].id]) && length(aws_route.private) == 3
    error_message = "All three zones must go out by the one gateway."
  }
}

run "without_nat_there_is_no_way_out" {
  command = plan

  variables {
    nat = "none"
  }

  assert {
    condition     = length(aws_nat_gateway.this) + length(aws_eip.this) + length(aws_route.private) + length(output.nat_public_ips) == 0
    error_message = "Without NAT there must be no gateway, no address and no route."
  }

  assert {
    condition     = length(aws_route_table.private) == 3 && length(aws_route_table_association.private) == 3
    error_message = "The private subnets must keep their tables: a subnet without one falls back on the VPC's."
  }
}

run "isolated_subnets_have_no_route_out" {
  command = apply

  assert {
    condition = alltrue([
      for zone in output.availability_zones :
      aws_route_table_association.isolated[zone].subnet_id == aws_subnet.isolated[zone].id
      && aws_route_table_association.isolated[zone].route_table_id == aws_route_table.isolated.id
    ])
    error_message = "Every isolated subnet must use the table without routes."
  }

  assert {
    condition     = alltrue([for route in concat(values(aws_route.private), [aws_route.public]) : route.route_table_id != aws_route_table.isolated.id])
    error_message = "The isolated table must have no route."
  }

  assert {
    condition     = length(aws_route_table.isolated.route) == 0
    error_message = "The isolated table must have no route of its own either."
  }
}

run "private_subnets_are_not_reached_from_the_internet" {
  command = apply

  assert {
    condition     = aws_route.public.route_table_id == aws_route_table.public.id && alltrue([for route in aws_route.private : route.gateway_id == null])
    error_message = "Only the public table may lead to the internet gateway."
  }

  assert {
    condition = alltrue([
      for zone in output.availability_zones :
      aws_route_table_association.private[zone].subnet_id == aws_subnet.private[zone].id
      && aws_route_table_association.private[zone].route_table_id == aws_route_table.private[zone].id
    ])
    error_message = "Every private subnet must use the table of its zone."
  }
}

run "refuses_an_unknown_kind_of_nat" {
  command = plan

  variables {
    nat = "instance"
  }

  expect_failures = [var.nat]
}

################################################################################
# Endpoints
################################################################################

run "tasks_find_what_they_need_without_the_internet" {
  command = plan

  assert {
    condition     = toset(keys(aws_vpc_endpoint.interface)) == toset(["ecr.api", "ecr.dkr", "kms", "logs", "monitoring", "secretsmanager", "sqs", "ssm", "sts"])
    error_message = "The endpoints must be those that tasks need without NAT."
  }

  assert {
    condition     = alltrue([for endpoint in aws_vpc_endpoint.interface : endpoint.private_dns_enabled && endpoint.vpc_endpoint_type == "Interface"])
    error_message = "Endpoints must answer to the services' usual names."
  }

  assert {
    condition     = aws_vpc_endpoint.interface["ecr.api"].service_name == "com.amazonaws.eu-central-1.ecr.api"
    error_message = "The endpoint must be that of the provider's region."
  }

  assert {
    condition     = aws_vpc.this.enable_dns_support && aws_vpc.this.enable_dns_hostnames
    error_message = "Without both kinds of DNS the private names do not resolve."
  }
}

run "endpoints_are_reached_from_the_private_subnets_alone" {
  command = apply

  assert {
    condition     = toset([for rule in aws_vpc_security_group_ingress_rule.this : rule.cidr_ipv4]) == toset(output.private_cidrs)
    error_message = "Nobody but the private subnets may be let in."
  }

  assert {
    condition     = alltrue([for rule in aws_vpc_security_group_ingress_rule.this : rule.from_port == 443 && rule.to_port == 443 && rule.ip_protocol == "tcp"])
    error_message = "Nothing but HTTPS may be let in."
  }

  assert {
    condition     = alltrue([for endpoint in aws_vpc_endpoint.interface : endpoint.security_group_ids == toset([output.endpoint_security_group_id])])
    error_message = "Every endpoint must be protected by the group, and by nothing wider."
  }

  assert {
    condition     = alltrue([for endpoint in aws_vpc_endpoint.interface : endpoint.subnet_ids == toset(output.private_subnet_ids)])
    error_message = "Every endpoint must be in all three private subnets."
  }
}

run "s3_is_reached_from_the_private_subnets_alone" {
  command = apply

  assert {
    condition     = aws_vpc_endpoint.s3.route_table_ids == toset([for table in aws_route_table.private : table.id])
    error_message = "The private tables must lead to S3, and no other table."
  }

  assert {
    condition     = aws_vpc_endpoint.s3.vpc_endpoint_type == "Gateway" && aws_vpc_endpoint.s3.service_name == "com.amazonaws.eu-central-1.s3"
    error_message = "S3 must have the endpoint that costs nothing."
  }
}

run "needs_no_endpoints_where_there_is_nat" {
  command = plan

  variables {
    nat                 = "single"
    interface_endpoints = []
  }

  assert {
    condition     = length(aws_vpc_endpoint.interface) == 0
    error_message = "Endpoints that are not asked for must not be paid for."
  }
}

run "refuses_neither_nat_nor_endpoints" {
  command = plan

  variables {
    nat                 = "none"
    interface_endpoints = ["ecr.api", "ecr.dkr", "secretsmanager"]
  }

  expect_failures = [var.interface_endpoints]
}

run "refuses_the_long_name_of_a_service" {
  command = plan

  variables {
    interface_endpoints = ["com.amazonaws.eu-central-1.logs"]
  }

  expect_failures = [var.interface_endpoints]
}

run "refuses_a_second_endpoint_of_s3" {
  command = plan

  variables {
    interface_endpoints = ["s3"]
  }

  expect_failures = [var.interface_endpoints]
}

################################################################################
# Flow log
################################################################################

run "all_traffic_is_recorded_and_encrypted" {
  command = apply

  assert {
    condition     = aws_flow_log.this.traffic_type == "ALL" && aws_flow_log.this.vpc_id == output.vpc_id
    error_message = "Accepted and refused traffic of the whole VPC must be recorded."
  }

  assert {
    condition     = aws_cloudwatch_log_group.this.kms_key_id == var.log_kms_key_arn
    error_message = "The record must be encrypted with the given key."
  }

  assert {
    condition     = aws_cloudwatch_log_group.this.retention_in_days == 365 && aws_flow_log.this.log_destination == aws_cloudwatch_log_group.this.arn
    error_message = "The record must be kept for a year unless told otherwise."
  }
}

run "refuses_a_retention_that_cloudwatch_does_not_offer" {
  command = plan

  variables {
    flow_log_retention_days = 100
  }

  expect_failures = [var.flow_log_retention_days]
}

run "refuses_an_alias_of_a_key" {
  command = plan

  variables {
    log_kms_key_arn = "arn:aws:kms:eu-central-1:111122223333:alias/log"
  }

  expect_failures = [var.log_kms_key_arn]
}
