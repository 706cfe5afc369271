# The way in: name, certificate, load balancer and firewall.
#
# Owns everything between a client and the tasks of the API. Refuses plain HTTP but for sending it to HTTPS, TLS older
# than 1.2, and the paths that are meant for machines. Leaves exact limits to the API, which knows tenants and sees
# whole bodies: the firewall only keeps away what no tenant would send. Leaves the bucket of the access log and its
# policy to the module that owns it, and the tasks' own rules to them: they admit the security group that is given out here.

locals {
  # A certificate that is made here is used once it is validated.
  certificate_arn = var.certificate_arn == null ? aws_acm_certificate_validation.this[0].certificate_arn : var.certificate_arn

  # What the edge answers by itself looks like the API's own problems (RFC 9457), so that clients need one way to read
  # them. It has no request_id, as the request has none yet.
  problems = {
    unknown-route = jsonencode({
      type   = "urn:bulkhead:problem:unknown-route"
      title  = "Not Found"
      status = 404
      detail = "There is no such path. The API is described at /openapi.json."
      code   = "unknown-route"
    })
    body-too-large = jsonencode({
      type   = "urn:bulkhead:problem:body-too-large"
      title  = "Payload Too Large"
      status = 413
      detail = "The request body is larger than the ${var.body_limit_bytes} bytes allowed."
      code   = "body-too-large"
    })
    rate-limited = jsonencode({
      type   = "https://iana.org/assignments/http-problem-types#quota-exceeded"
      title  = "Too Many Requests"
      status = 429
      detail = "The request limit is used up. Wait as long as Retry-After says."
      code   = "rate-limited"
    })
  }

  # AWS's rules, in the order in which they are asked: the cheapest first. With the two rules of our own they use about
  # 1,150 of the 1,500 capacity units that the price includes. What is listed under `counted` only counts and does not
  # refuse.
  #
  # The rules that guess at a body's meaning count: bodies are free-form JSON of customers, in which SQL, HTML, paths
  # and URLs are data, and a wrong guess is a request refused that was paid for. The API binds every value and never
  # builds SQL from one. The same rules do refuse in paths, queries and cookies, where such data has no business.
  managed_rule_groups = {
    # Addresses that AWS has seen attack others.
    AWSManagedRulesAmazonIpReputationList = { priority = 30, counted = [] }
    # Requests that exploit known holes. They are exact enough to refuse in bodies too.
    AWSManagedRulesKnownBadInputsRuleSet = { priority = 40, counted = [] }
    AWSManagedRulesCommonRuleSet = {
      priority = 50
      counted = [
        "CrossSiteScripting_BODY",
        "EC2MetaDataSSRF_BODY",
        "GenericLFI_BODY",
        "GenericRFI_BODY",
        # Programs call the API, and many HTTP libraries send no User-Agent unless told to.
        "NoUserAgent_HEADER",
        # It refuses bodies over 8 KB; the API takes 1 MB.
        "SizeRestrictions_BODY",
      ]
    }
    AWSManagedRulesSQLiRuleSet = {
      priority = 60
      counted  = ["SQLiExtendedPatterns_BODY", "SQLi_BODY"]
    }
  }
}

################################################################################
# Load balancer
################################################################################

resource "aws_lb" "this" {
  #checkov:skip=CKV2_AWS_76: Log4j look-ups are refused by the known bad inputs; the anonymous addresses that are asked for beside them include every hosting provider, which is where customers' programs run.
  name               = var.name
  load_balancer_type = "application"
  internal           = false
  # The VPC has no IPv6.
  ip_address_type = "ipv4"
  subnets         = var.public_subnet_ids
  security_groups = [aws_security_group.this.id]

  enable_deletion_protection = var.deletion_protection
  enable_http2               = true
  idle_timeout               = var.idle_timeout_seconds

  # A request that two servers could read in two ways is not passed on: that is how requests are smuggled.
  desync_mitigation_mode     = "strictest"
  drop_invalid_header_fields = true
  # The API takes the last entry for the client's address, which is the one added here (BULKHEAD_TRUSTED_PROXY_HOPS =
  # 1).
  xff_header_processing_mode = "append"
  # No failure turns limits off: without its firewall the load balancer refuses.
  enable_waf_fail_open = false

  access_logs {
    enabled = true
    bucket  = var.access_log_bucket
    prefix  = "alb"
  }

  tags = { Name = var.name }
}

resource "aws_lb_listener" "https" {
  load_balancer_arn = aws_lb.this.arn
  port              = 443
  protocol          = "HTTPS"
  # TLS 1.3 and 1.2, forward secrecy and authenticated ciphers alone, and a hybrid post-quantum key exchange for clients
  # that offer one. AWS recommends it, and its console takes it by default.
  ssl_policy      = "ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09"
  certificate_arn = local.certificate_arn

  # TLS ends here, so clients are told here to keep to it, for a year.
  routing_http_response_strict_transport_security_header_value = "max-age=31536000"
  routing_http_response_server_enabled                         = false

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.this.arn
  }
}

# The API serves these on its other port alone, which no listener leads to. Should it ever serve them on this one, the
# public still does not see them.
resource "aws_lb_listener_rule" "internal" {
  listener_arn = aws_lb_listener.https.arn
  priority     = 1

  condition {
    path_pattern {
      values = ["/metrics*", "/internal*"]
    }
  }

  action {
    type = "fixed-response"

    fixed_response {
      content_type = "application/json"
      status_code  = "404"
      message_body = local.problems["unknown-route"]
    }
  }

  tags = { Name = "${var.name}-internal" }
}

resource "aws_lb_listener" "http" {
  load_balancer_arn = aws_lb.this.arn
  port              = 80
  protocol          = "HTTP"

  default_action {
    type = "redirect"

    redirect {
      status_code = "HTTP_301"
      protocol    = "HTTPS"
      port        = "443"
      # Not the host that was asked for: no client is sent to another host from here.
      host = var.domain_name
    }
  }
}

################################################################################
# Targets
################################################################################

resource "aws_lb_target_group" "this" {
  #checkov:skip=CKV_AWS_378: TLS ends at the load balancer; behind it requests stay in the VPC, on a port that admits the load balancer alone.
  # A change of the port makes a new group beside the old one, which a listener still needs: they cannot have one name.
  name        = "${var.name}-${var.target_port}"
  vpc_id      = var.vpc_id
  target_type = "ip"
  protocol    = "HTTP"
  port        = var.target_port

  # Requests differ in cost by orders of magnitude: what counts is how many a task has in hand, not how many it was
  # given.
  load_balancing_algorithm_type = "least_outstanding_requests"
  deregistration_delay          = var.deregistration_delay_seconds

  # Asked every 10 s, and the second equal answer counts: a task that drains or has lost its database is left alone
  # within 25 s (two rounds and a time-out), and a single late answer changes nothing. Probes are answered from memory,
  # so that 5 s without one is a fault and no slow database.
  health_check {
    protocol            = "HTTP"
    port                = tostring(var.health_port)
    path                = "/readyz"
    matcher             = "200"
    interval            = 10
    timeout             = 5
    healthy_threshold   = 2
    unhealthy_threshold = 2
  }

  # Any task serves any tenant.
  stickiness {
    enabled = false
    type    = "lb_cookie"
  }

  tags = { Name = "${var.name}-${var.target_port}" }

  lifecycle {
    create_before_destroy = true
  }
}

################################################################################
# Security group
################################################################################

resource "aws_security_group" "this" {
  name        = "${var.name}-alb"
  description = "The load balancer"
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-alb" }
}

resource "aws_vpc_security_group_ingress_rule" "https" {
  for_each = var.allowed_cidrs

  security_group_id = aws_security_group.this.id
  description       = "HTTPS from clients"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  cidr_ipv4         = strcontains(each.key, ":") ? null : each.key
  cidr_ipv6         = strcontains(each.key, ":") ? each.key : null
}

resource "aws_vpc_security_group_ingress_rule" "http" {
  for_each = var.allowed_cidrs

  #checkov:skip=CKV_AWS_260: Port 80 only sends clients to HTTPS.
  security_group_id = aws_security_group.this.id
  description       = "HTTP from clients, to be sent to HTTPS"
  ip_protocol       = "tcp"
  from_port         = 80
  to_port           = 80
  cidr_ipv4         = strcontains(each.key, ":") ? null : each.key
  cidr_ipv6         = strcontains(each.key, ":") ? each.key : null
}

resource "aws_vpc_security_group_egress_rule" "request" {
  for_each = var.target_security_group_ids

  security_group_id            = aws_security_group.this.id
  description                  = "Requests to ${each.key}"
  ip_protocol                  = "tcp"
  from_port                    = var.target_port
  to_port                      = var.target_port
  referenced_security_group_id = each.value
}

resource "aws_vpc_security_group_egress_rule" "health" {
  for_each = var.target_security_group_ids

  security_group_id            = aws_security_group.this.id
  description                  = "Health checks of ${each.key}"
  ip_protocol                  = "tcp"
  from_port                    = var.health_port
  to_port                      = var.health_port
  referenced_security_group_id = each.value
}

################################################################################
# Name and certificate
################################################################################

resource "aws_acm_certificate" "this" {
  count = var.certificate_arn == null ? 1 : 0

  domain_name       = var.domain_name
  validation_method = "DNS"
  # A smaller and faster handshake than with RSA; clients that know the listener's ciphers know it too.
  key_algorithm = "EC_prime256v1"

  tags = { Name = var.domain_name }

  lifecycle {
    # A listener needs the old one until it has the new one.
    create_before_destroy = true
  }
}

# It stays for as long as the certificate: ACM asks for it again at every renewal.
resource "aws_route53_record" "validation" {
  count = var.certificate_arn == null ? 1 : 0

  zone_id = var.zone_id
  # One name is asked for, so there is one record.
  name    = one(aws_acm_certificate.this[0].domain_validation_options).resource_record_name
  type    = one(aws_acm_certificate.this[0].domain_validation_options).resource_record_type
  records = [one(aws_acm_certificate.this[0].domain_validation_options).resource_record_value]
  ttl     = 60
  # Certificates of one name share their record within an account.
  allow_overwrite = true
}

resource "aws_acm_certificate_validation" "this" {
  count = var.certificate_arn == null ? 1 : 0

  certificate_arn         = aws_acm_certificate.this[0].arn
  validation_record_fqdns = [aws_route53_record.validation[0].fqdn]
}

resource "aws_route53_record" "alias" {
  count = var.zone_id == null ? 0 : 1

  zone_id = var.zone_id
  name    = var.domain_name
  type    = "A"

  alias {
    name                   = aws_lb.this.dns_name
    zone_id                = aws_lb.this.zone_id
    evaluate_target_health = true
  }
}

################################################################################
# Firewall
################################################################################

resource "aws_wafv2_web_acl" "this" {
  #checkov:skip=CKV_AWS_192: The known bad inputs, Log4j's among them, are refused by a rule that is made from managed_rule_groups, where this check does not look; a test does.
  #checkov:skip=CKV2_AWS_31: The load balancer's access log names every request and says which the firewall refused; a second log would only add its headers.
  name        = var.name
  description = "In front of ${var.domain_name}"
  scope       = "REGIONAL"

  default_action {
    allow {}
  }

  # From one address more than any plan allows. The blocked address is let in again when its last five minutes are under
  # the limit, which AWS looks at every few seconds.
  rule {
    name     = "rate"
    priority = 10

    action {
      block {
        custom_response {
          response_code            = 429
          custom_response_body_key = "rate-limited"

          response_header {
            name  = "retry-after"
            value = "300"
          }
        }
      }
    }

    statement {
      rate_based_statement {
        aggregate_key_type    = "IP"
        evaluation_window_sec = 300
        limit                 = var.rate_limit_per_5_minutes
      }
    }

    visibility_config {
      cloudwatch_metrics_enabled = true
      metric_name                = "rate"
      sampled_requests_enabled   = true
    }
  }

  # A load balancer shows the firewall the first 8 KB of a body, whatever its size. So the first statement is exact up
  # to a limit of 8,192 bytes and never true above: CONTINUE judges by what is seen, while MATCH would refuse everything
  # over 8 KB. The second one asks the length that the client declares: one with more digits than the limit has is too
  # large for certain. A body that is nearer to the limit, or declares no length, is cut off by the API, which enforces
  # the exact limit (BULKHEAD_BODY_LIMIT_BYTES).
  rule {
    name     = "body-size"
    priority = 20

    action {
      block {
        custom_response {
          response_code            = 413
          custom_response_body_key = "body-too-large"
        }
      }
    }

    statement {
      or_statement {
        statement {
          size_constraint_statement {
            comparison_operator = "GT"
            size                = var.body_limit_bytes

            field_to_match {
              body {
                oversize_handling = "CONTINUE"
              }
            }

            text_transformation {
              priority = 0
              type     = "NONE"
            }
          }
        }

        statement {
          size_constraint_statement {
            comparison_operator = "GT"
            size                = length(tostring(var.body_limit_bytes))

            field_to_match {
              single_header {
                name = "content-length"
              }
            }

            text_transformation {
              priority = 0
              type     = "NONE"
            }
          }
        }
      }
    }

    visibility_config {
      cloudwatch_metrics_enabled = true
      metric_name                = "body-size"
      sampled_requests_enabled   = true
    }
  }

  dynamic "rule" {
    for_each = local.managed_rule_groups

    content {
      name     = rule.key
      priority = rule.value.priority

      override_action {
        none {}
      }

      statement {
        managed_rule_group_statement {
          vendor_name = "AWS"
          name        = rule.key

          dynamic "rule_action_override" {
            for_each = rule.value.counted

            content {
              name = rule_action_override.value

              action_to_use {
                count {}
              }
            }
          }
        }
      }

      visibility_config {
        cloudwatch_metrics_enabled = true
        metric_name                = rule.key
        sampled_requests_enabled   = true
      }
    }
  }

  dynamic "custom_response_body" {
    for_each = { for code in ["body-too-large", "rate-limited"] : code => local.problems[code] }

    content {
      key          = custom_response_body.key
      content      = custom_response_body.value
      content_type = "APPLICATION_JSON"
    }
  }

  # Samples of requests are kept for three hours and shown to people who may read metrics: without credentials, and without
  # the passwords in the bodies of logins.
  data_protection_config {
    data_protection {
      action = "SUBSTITUTION"

      field {
        field_type = "SINGLE_HEADER"
        field_keys = ["authorization", "x-api-key"]
      }
    }

    data_protection {
      action = "SUBSTITUTION"

      field {
        field_type = "BODY"
      }
    }
  }

  # Metrics and alarms know the firewall by this name.
  visibility_config {
    cloudwatch_metrics_enabled = true
    metric_name                = var.name
    sampled_requests_enabled   = true
  }

  tags = { Name = var.name }
}

resource "aws_wafv2_web_acl_association" "this" {
  resource_arn = aws_lb.this.arn
  web_acl_arn  = aws_wafv2_web_acl.this.arn
}
