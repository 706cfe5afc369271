# A VPC over three availability zones, with every way into it and out of it.
#
# Owns addresses, subnets, routes, NAT, the endpoints of AWS's services and the record of all traffic. Refuses a route
# out of the isolated subnets: databases and caches are reached from inside the VPC and reach no address outside. Leaves security
# groups to the modules whose members they protect, but for the one of the endpoints.

data "aws_region" "current" {}
data "aws_partition" "current" {}
data "aws_caller_identity" "current" {}

# Zones that an account has to ask for first, local zones among them, lack services that are needed here.
data "aws_availability_zones" "current" {
  #checkov:skip=CKV_AWS_394: Only the default of availability_zones, whose description asks to name the zones wherever data lives.
  state = "available"

  filter {
    name   = "opt-in-status"
    values = ["opt-in-not-required"]
  }

  lifecycle {
    postcondition {
      condition     = var.availability_zones != null || length(self.names) >= 3
      error_message = "Set the provider's region to one with three availability zones: this one has fewer."
    }
  }
}

locals {
  zones = var.availability_zones == null ? slice(data.aws_availability_zones.current.names, 0, 3) : var.availability_zones

  # Each private subnet gets a quarter of the VPC (2 more bits: blocks 0 to 2 of 4), as every task and every endpoint
  # takes an address there. The last quarter is cut into eighths (5 more bits: blocks 24 to 31 of 32): three for the
  # public subnets, three for the isolated ones, and after each three a spare. The largest VPC and the smallest:
  #
  #   10.0.0.0/16   private 10.0.0.0/18, 10.0.64.0/18, 10.0.128.0/18       16,384 addresses each
  #                 public 10.0.192.0/21, 10.0.200.0/21, 10.0.208.0/21      2,048
  #                 isolated 10.0.224.0/21, 10.0.232.0/21, 10.0.240.0/21    2,048
  #   10.0.0.0/20   private 10.0.0.0/22, 10.0.4.0/22, 10.0.8.0/22           1,024
  #                 public 10.0.12.0/25, 10.0.12.128/25, 10.0.13.0/25         128
  #                 isolated 10.0.14.0/25, 10.0.14.128/25, 10.0.15.0/25       128
  #
  # AWS keeps five of each subnet; a load balancer wants a /27 with eight free.
  private_cidrs  = { for i, zone in local.zones : zone => cidrsubnet(var.cidr, 2, i) }
  public_cidrs   = { for i, zone in local.zones : zone => cidrsubnet(var.cidr, 5, 24 + i) }
  isolated_cidrs = { for i, zone in local.zones : zone => cidrsubnet(var.cidr, 5, 28 + i) }

  nat_zones = slice(local.zones, 0, { none = 0, single = 1, per_zone = 3 }[var.nat])

  flow_log_group_name = "/bulkhead/${var.name}/flow"
  # Put together here instead of asked of the group, so that a plan shows what the role may do.
  flow_log_groups    = "arn:${data.aws_partition.current.partition}:logs:${data.aws_region.current.id}:${data.aws_caller_identity.current.account_id}:log-group"
  flow_log_group_arn = "${local.flow_log_groups}:${local.flow_log_group_name}"
}

################################################################################
# VPC and subnets
################################################################################

resource "aws_vpc" "this" {
  #checkov:skip=CKV2_AWS_12: The default group keeps the rules that AWS gives it, which admit its own members alone, and it has none: everything here names its groups.
  cidr_block = var.cidr
  # The endpoints' private names need both.
  enable_dns_support   = true
  enable_dns_hostnames = true

  tags = { Name = var.name }
}

resource "aws_subnet" "public" {
  for_each = local.public_cidrs

  vpc_id            = aws_vpc.this.id
  availability_zone = each.key
  cidr_block        = each.value
  # The load balancer and NAT get addresses of their own; nothing else belongs here.
  map_public_ip_on_launch = false

  tags = { Name = "${var.name}-public-${each.key}" }
}

resource "aws_subnet" "private" {
  for_each = local.private_cidrs

  vpc_id                  = aws_vpc.this.id
  availability_zone       = each.key
  cidr_block              = each.value
  map_public_ip_on_launch = false

  tags = { Name = "${var.name}-private-${each.key}" }
}

resource "aws_subnet" "isolated" {
  for_each = local.isolated_cidrs

  vpc_id                  = aws_vpc.this.id
  availability_zone       = each.key
  cidr_block              = each.value
  map_public_ip_on_launch = false

  tags = { Name = "${var.name}-isolated-${each.key}" }
}

################################################################################
# Ways out
################################################################################

resource "aws_internet_gateway" "this" {
  vpc_id = aws_vpc.this.id

  tags = { Name = var.name }
}

resource "aws_eip" "this" {
  for_each = toset(local.nat_zones)

  domain = "vpc"

  tags = { Name = "${var.name}-nat-${each.key}" }

  # An address without a gateway to the internet cannot be associated.
  depends_on = [aws_internet_gateway.this]
}

resource "aws_nat_gateway" "this" {
  for_each = toset(local.nat_zones)

  subnet_id     = aws_subnet.public[each.key].id
  allocation_id = aws_eip.this[each.key].allocation_id

  tags = { Name = "${var.name}-${each.key}" }

  depends_on = [aws_internet_gateway.this]
}

resource "aws_route_table" "public" {
  vpc_id = aws_vpc.this.id

  tags = { Name = "${var.name}-public" }
}

resource "aws_route" "public" {
  route_table_id         = aws_route_table.public.id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = aws_internet_gateway.this.id
}

resource "aws_route_table_association" "public" {
  for_each = aws_subnet.public

  subnet_id      = each.value.id
  route_table_id = aws_route_table.public.id
}

# A table for each zone even where one would do, so that a change of nat moves routes and nothing else.
resource "aws_route_table" "private" {
  for_each = local.private_cidrs

  vpc_id = aws_vpc.this.id

  tags = { Name = "${var.name}-private-${each.key}" }
}

resource "aws_route" "private" {
  for_each = var.nat == "none" ? toset([]) : toset(local.zones)

  route_table_id         = aws_route_table.private[each.key].id
  destination_cidr_block = "0.0.0.0/0"
  nat_gateway_id         = aws_nat_gateway.this[var.nat == "per_zone" ? each.key : local.zones[0]].id
}

resource "aws_route_table_association" "private" {
  for_each = aws_subnet.private

  subnet_id      = each.value.id
  route_table_id = aws_route_table.private[each.key].id
}

# It has no route but the VPC's own, and must never get one.
resource "aws_route_table" "isolated" {
  vpc_id = aws_vpc.this.id

  tags = { Name = "${var.name}-isolated" }
}

resource "aws_route_table_association" "isolated" {
  for_each = aws_subnet.isolated

  subnet_id      = each.value.id
  route_table_id = aws_route_table.isolated.id
}

################################################################################
# Endpoints
################################################################################

# What may pass to S3. It is a ceiling and no grant: what a role may do there is said by its own policy.
data "aws_iam_policy_document" "s3" {
  # No task carries data out to a bucket of another account.
  statement {
    sid       = "OwnBuckets"
    actions   = ["s3:*"]
    resources = ["arn:${data.aws_partition.current.partition}:s3:::*"]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:ResourceAccount"
      values   = [data.aws_caller_identity.current.account_id]
    }
  }

  # ECR keeps the layers of images in this bucket of its own.
  statement {
    sid       = "ImageLayers"
    actions   = ["s3:GetObject"]
    resources = ["arn:${data.aws_partition.current.partition}:s3:::prod-${data.aws_region.current.id}-starport-layer-bucket/*"]

    principals {
      type        = "*"
      identifiers = ["*"]
    }
  }
}

# It costs nothing, and layers of images and exports are spared NAT's price by the gigabyte. Databases and caches need
# no bucket, so the isolated subnets have no way to it.
resource "aws_vpc_endpoint" "s3" {
  vpc_id            = aws_vpc.this.id
  vpc_endpoint_type = "Gateway"
  service_name      = "${data.aws_partition.current.reverse_dns_prefix}.${data.aws_region.current.id}.s3"
  route_table_ids   = [for zone in local.zones : aws_route_table.private[zone].id]
  policy            = data.aws_iam_policy_document.s3.json

  tags = { Name = "${var.name}-s3" }
}

resource "aws_vpc_endpoint" "interface" {
  for_each = var.interface_endpoints

  vpc_id              = aws_vpc.this.id
  vpc_endpoint_type   = "Interface"
  service_name        = "${data.aws_partition.current.reverse_dns_prefix}.${data.aws_region.current.id}.${each.key}"
  subnet_ids          = [for zone in local.zones : aws_subnet.private[zone].id]
  security_group_ids  = [aws_security_group.this.id]
  private_dns_enabled = true

  tags = { Name = "${var.name}-${each.key}" }
}

# No way out: an endpoint answers and never calls.
resource "aws_security_group" "this" {
  name        = "${var.name}-endpoint"
  description = "Endpoints of the services of AWS"
  vpc_id      = aws_vpc.this.id

  tags = { Name = "${var.name}-endpoint" }
}

resource "aws_vpc_security_group_ingress_rule" "this" {
  for_each = local.private_cidrs

  security_group_id = aws_security_group.this.id
  description       = "HTTPS from the private subnet in ${each.key}"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  cidr_ipv4         = each.value
}

################################################################################
# Flow log
################################################################################

resource "aws_flow_log" "this" {
  vpc_id          = aws_vpc.this.id
  traffic_type    = "ALL"
  log_destination = aws_cloudwatch_log_group.this.arn
  iam_role_arn    = aws_iam_role.this.arn

  tags = { Name = var.name }
}

resource "aws_cloudwatch_log_group" "this" {
  name              = local.flow_log_group_name
  retention_in_days = var.flow_log_retention_days
  kms_key_id        = var.log_kms_key_arn
}

data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["vpc-flow-logs.amazonaws.com"]
    }

    # Only flow logs of this account and region: the service could otherwise be made to act for those of another account.
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.current.account_id]
    }

    condition {
      test     = "ArnLike"
      variable = "aws:SourceArn"
      values   = ["arn:${data.aws_partition.current.partition}:ec2:${data.aws_region.current.id}:${data.aws_caller_identity.current.account_id}:vpc-flow-log/*"]
    }
  }
}

data "aws_iam_policy_document" "flow_log" {
  statement {
    sid       = "WriteLog"
    actions   = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
    resources = [local.flow_log_group_arn, "${local.flow_log_group_arn}:*"]
  }

  statement {
    sid = "FindLog"
    # A list cannot be narrowed to one group.
    actions   = ["logs:DescribeLogGroups"]
    resources = ["${local.flow_log_groups}:*"]
  }
}

resource "aws_iam_role" "this" {
  name               = "${var.name}-flow-log"
  description        = "How the flow log of ${var.name} is written"
  assume_role_policy = data.aws_iam_policy_document.assume.json
}

resource "aws_iam_role_policy" "this" {
  name   = "write"
  role   = aws_iam_role.this.id
  policy = data.aws_iam_policy_document.flow_log.json
}
