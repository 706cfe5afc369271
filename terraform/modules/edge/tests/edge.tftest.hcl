mock_provider "aws" {
  mock_resource "aws_lb" {
    defaults = {
      arn      = "arn:aws:elasticloadbalancing:eu-central-1:111122223333:loadbalancer/app/bulkhead-test/1"
      dns_name = "bulkhead-test-1.eu-central-1.elb.amazonaws.com"
      zone_id  = "Z215JYRZR1TBD5"
    }
  }

  mock_resource "aws_lb_listener" {
    defaults = { arn = "arn:aws:elasticloadbalancing:eu-central-1:111122223333:listener/app/bulkhead-test/1/1" }
  }

  mock_resource "aws_lb_target_group" {
    defaults = { arn = "arn:aws:elasticloadbalancing:eu-central-1:111122223333:targetgroup/bulkhead-test-8080/1" }
  }

  mock_resource "aws_wafv2_web_acl" {
    defaults = { arn = "arn:aws:wafv2:eu-central-1:111122223333:regional/webacl/bulkhead-test/1" }
  }

  mock_resource "aws_acm_certificate" {
    defaults = {
      arn = "arn:aws:acm:eu-central-1:111122223333:certificate/made"
      domain_validation_options = [{
        domain_name           = "api.example.com"
        resource_record_name  = "_1.api.example.com"
        resource_record_type  = "CNAME"
        resource_record_value = "_2.acm-validations.aws"
      }]
    }
  }
}

variables {
  name                      = "bulkhead-test"
  vpc_id                    = "vpc-1"
  public_subnet_ids         = ["subnet-1", "subnet-2", "subnet-3"]
  domain_name               = "api.example.com"
  zone_id                   = "Z0123456789"
  access_log_bucket         = "bulkhead-test-logs"
  target_security_group_ids = { api = "sg-api" }
}

################################################################################
# Load balancer
################################################################################

run "the_load_balancer_is_hardened" {
  command = plan

  assert {
    condition     = aws_lb.this.desync_mitigation_mode == "strictest" && aws_lb.this.drop_invalid_header_fields
    error_message = "Ambiguous requests and headers must not reach the API."
  }

  assert {
    condition     = aws_lb.this.enable_deletion_protection
    error_message = "The load balancer must be protected from deletion unless told otherwise."
  }

  assert {
    condition     = aws_lb.this.xff_header_processing_mode == "append"
    error_message = "The API takes the last entry of X-Forwarded-For for the client's address: it must be added here."
  }

  assert {
    condition     = !aws_lb.this.enable_waf_fail_open
    error_message = "Without its firewall the load balancer must refuse."
  }

  assert {
    condition     = aws_lb.this.access_logs[0].enabled && aws_lb.this.access_logs[0].bucket == "bulkhead-test-logs" && aws_lb.this.access_logs[0].prefix == "alb"
    error_message = "Every request must be recorded where the bucket's policy allows it."
  }

  assert {
    condition     = aws_lb.this.idle_timeout < 75
    error_message = "The load balancer must give up an idle connection before the API does."
  }
}

run "the_load_balancer_can_be_made_deletable" {
  command = plan

  variables {
    deletion_protection = false
  }

  assert {
    condition     = !aws_lb.this.enable_deletion_protection
    error_message = "An environment that is torn down must be able to."
  }
}

run "old_tls_is_refused" {
  command = plan

  assert {
    condition     = aws_lb_listener.https.port == 443 && aws_lb_listener.https.protocol == "HTTPS" && startswith(aws_lb_listener.https.ssl_policy, "ELBSecurityPolicy-TLS13-1-2-Res-")
    error_message = "Clients must speak TLS 1.3, or 1.2 with forward secrecy and authenticated ciphers."
  }

  assert {
    condition     = aws_lb_listener.https.routing_http_response_strict_transport_security_header_value == "max-age=31536000"
    error_message = "Clients must be told to keep to HTTPS."
  }
}

run "plain_http_is_sent_to_https_of_the_same_name" {
  command = plan

  assert {
    condition = (
      aws_lb_listener.http.port == 80
      && aws_lb_listener.http.default_action[0].type == "redirect"
      && aws_lb_listener.http.default_action[0].redirect[0].status_code == "HTTP_301"
      && aws_lb_listener.http.default_action[0].redirect[0].protocol == "HTTPS"
      && aws_lb_listener.http.default_action[0].redirect[0].port == "443"
    )
    error_message = "Plain HTTP must be redirected for good, and never be served."
  }

  assert {
    condition     = aws_lb_listener.http.default_action[0].redirect[0].host == "api.example.com"
    error_message = "A redirect must not lead to a host of the client's choice."
  }
}

run "what_is_meant_for_machines_is_not_found_by_the_public" {
  command = plan

  assert {
    condition     = aws_lb_listener_rule.internal.action[0].type == "fixed-response" && aws_lb_listener_rule.internal.action[0].fixed_response[0].status_code == "404"
    error_message = "The edge must answer 404 by itself."
  }

  assert {
    condition     = one(one(aws_lb_listener_rule.internal.condition).path_pattern).values == toset(["/metrics*", "/internal*"])
    error_message = "Metrics and internal paths must be hidden."
  }

  assert {
    condition     = jsondecode(aws_lb_listener_rule.internal.action[0].fixed_response[0].message_body).code == "unknown-route"
    error_message = "The answer must be the API's own for a path that it does not have."
  }
}

run "refuses_a_name_that_a_load_balancer_cannot_have" {
  command = plan

  variables {
    name = "bulkhead-production-europe-1"
  }

  expect_failures = [var.name]
}

run "refuses_a_name_in_capitals" {
  command = plan

  variables {
    name = "Bulkhead"
  }

  expect_failures = [var.name]
}

run "refuses_two_subnets" {
  command = plan

  variables {
    public_subnet_ids = ["subnet-1", "subnet-2"]
  }

  expect_failures = [var.public_subnet_ids]
}

run "refuses_a_subnet_that_is_named_twice" {
  command = plan

  variables {
    public_subnet_ids = ["subnet-1", "subnet-2", "subnet-2"]
  }

  expect_failures = [var.public_subnet_ids]
}

run "refuses_the_arn_of_a_bucket" {
  command = plan

  variables {
    access_log_bucket = "arn:aws:s3:::bulkhead-test-logs"
  }

  expect_failures = [var.access_log_bucket]
}

run "refuses_to_keep_connections_as_long_as_the_api" {
  command = plan

  variables {
    idle_timeout_seconds = 75
  }

  expect_failures = [var.idle_timeout_seconds]
}

run "refuses_to_give_up_before_a_request_ends" {
  command = plan

  variables {
    idle_timeout_seconds = 10
  }

  expect_failures = [var.idle_timeout_seconds]
}

################################################################################
# Targets
################################################################################

run "a_task_is_asked_whether_it_is_ready_and_not_whether_it_lives" {
  command = plan

  assert {
    condition     = aws_lb_target_group.this.health_check[0].path == "/readyz" && aws_lb_target_group.this.health_check[0].port == "9090" && aws_lb_target_group.this.health_check[0].matcher == "200"
    error_message = "A task that starts, drains or has lost its database must get no requests."
  }

  assert {
    condition = (
      aws_lb_target_group.this.health_check[0].interval * aws_lb_target_group.this.health_check[0].unhealthy_threshold
      + aws_lb_target_group.this.health_check[0].timeout
    ) <= 25
    error_message = "The load balancer must notice a task that drains within the 25 s that the task waits for it."
  }
}

run "requests_go_to_whoever_is_least_busy" {
  command = plan

  assert {
    condition     = aws_lb_target_group.this.load_balancing_algorithm_type == "least_outstanding_requests" && !aws_lb_target_group.this.stickiness[0].enabled
    error_message = "Requests must go to the task with the fewest in hand, and no client may be bound to one."
  }

  assert {
    condition     = aws_lb_target_group.this.target_type == "ip" && aws_lb_target_group.this.port == 8080
    error_message = "Tasks of Fargate are targets by their address, on the API's port."
  }

  assert {
    condition     = aws_lb_target_group.this.deregistration_delay == "20"
    error_message = "A task that leaves must be given twice the time of the longest request."
  }
}

run "a_change_of_the_port_changes_the_groups_name" {
  command = plan

  variables {
    target_port = 8081
  }

  assert {
    condition     = aws_lb_target_group.this.name == "bulkhead-test-8081"
    error_message = "The new group is made beside the old one and needs a name of its own."
  }
}

run "refuses_a_port_that_does_not_exist" {
  command = plan

  variables {
    target_port = 0
  }

  expect_failures = [var.target_port]
}

run "refuses_probes_on_the_port_of_requests" {
  command = plan

  variables {
    health_port = 8080
  }

  expect_failures = [var.health_port]
}

run "refuses_to_cut_off_requests_of_a_task_that_leaves" {
  command = plan

  variables {
    deregistration_delay_seconds = 5
  }

  expect_failures = [var.deregistration_delay_seconds]
}

run "refuses_to_wait_for_a_task_that_was_killed" {
  command = plan

  variables {
    deregistration_delay_seconds = 300
  }

  expect_failures = [var.deregistration_delay_seconds]
}

################################################################################
# Security group
################################################################################

run "clients_reach_https_and_the_redirect_alone" {
  command = plan

  assert {
    condition     = toset(compact(flatten([for rule in aws_vpc_security_group_ingress_rule.https : [rule.cidr_ipv4, rule.cidr_ipv6]]))) == toset(["0.0.0.0/0", "::/0"])
    error_message = "Everybody may call unless told otherwise."
  }

  assert {
    condition = alltrue([
      for rule in concat(values(aws_vpc_security_group_ingress_rule.https), values(aws_vpc_security_group_ingress_rule.http)) :
      rule.from_port == rule.to_port && contains([80, 443], rule.from_port) && rule.ip_protocol == "tcp"
    ])
    error_message = "No other port may be open."
  }
}

run "clients_can_be_restricted" {
  command = plan

  variables {
    allowed_cidrs = ["203.0.113.0/24", "2001:db8::/32"]
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.https["203.0.113.0/24"].cidr_ipv4 == "203.0.113.0/24" && aws_vpc_security_group_ingress_rule.https["203.0.113.0/24"].cidr_ipv6 == null
    error_message = "A network of IPv4 must be admitted as one."
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.http["2001:db8::/32"].cidr_ipv6 == "2001:db8::/32" && aws_vpc_security_group_ingress_rule.http["2001:db8::/32"].cidr_ipv4 == null
    error_message = "A network of IPv6 must be admitted as one."
  }

  assert {
    condition     = length(aws_vpc_security_group_ingress_rule.https) == 2 && length(aws_vpc_security_group_ingress_rule.http) == 2
    error_message = "Nobody else may be let in."
  }
}

run "the_load_balancer_reaches_its_targets_alone" {
  command = plan

  variables {
    target_security_group_ids = { api = "sg-api", canary = "sg-canary" }
  }

  assert {
    condition     = { for name, rule in aws_vpc_security_group_egress_rule.request : name => rule.referenced_security_group_id } == { api = "sg-api", canary = "sg-canary" }
    error_message = "Requests must go to the targets' groups."
  }

  assert {
    condition     = { for name, rule in aws_vpc_security_group_egress_rule.health : name => rule.referenced_security_group_id } == { api = "sg-api", canary = "sg-canary" }
    error_message = "Health checks must go to the targets' groups."
  }

  assert {
    condition = alltrue([
      for rule in values(aws_vpc_security_group_egress_rule.request) : rule.from_port == 8080 && rule.to_port == 8080 && rule.cidr_ipv4 == null && rule.cidr_ipv6 == null
    ])
    error_message = "Requests must go to the API's port, and to no network as such."
  }

  assert {
    condition = alltrue([
      for rule in values(aws_vpc_security_group_egress_rule.health) : rule.from_port == 9090 && rule.to_port == 9090 && rule.cidr_ipv4 == null && rule.cidr_ipv6 == null
    ])
    error_message = "Health checks must go to the probes' port, and to no network as such."
  }
}

run "refuses_a_network_with_bits_behind_its_prefix" {
  command = plan

  variables {
    allowed_cidrs = ["203.0.113.7/24"]
  }

  expect_failures = [var.allowed_cidrs]
}

run "refuses_to_let_nobody_in" {
  command = plan

  variables {
    allowed_cidrs = []
  }

  expect_failures = [var.allowed_cidrs]
}

run "refuses_to_have_no_targets" {
  command = plan

  variables {
    target_security_group_ids = {}
  }

  expect_failures = [var.target_security_group_ids]
}

################################################################################
# Name and certificate
################################################################################

run "a_certificate_is_made_validated_and_used" {
  # ACM tells the record when the certificate is asked for.
  command = apply

  assert {
    condition     = aws_acm_certificate.this[0].domain_name == "api.example.com" && aws_acm_certificate.this[0].validation_method == "DNS"
    error_message = "The certificate must be the API's, and be validated by DNS, which renews it without anybody."
  }

  assert {
    condition     = aws_route53_record.validation[0].name == "_1.api.example.com" && aws_route53_record.validation[0].zone_id == "Z0123456789" && aws_route53_record.validation[0].records == toset(["_2.acm-validations.aws"])
    error_message = "The record that ACM asks for must be in the zone."
  }

  assert {
    condition     = aws_acm_certificate_validation.this[0].certificate_arn == aws_acm_certificate.this[0].arn && aws_lb_listener.https.certificate_arn == aws_acm_certificate.this[0].arn
    error_message = "The listener must use the certificate that was made."
  }
}

run "the_name_leads_to_the_load_balancer" {
  command = apply

  assert {
    condition     = aws_route53_record.alias[0].name == "api.example.com" && aws_route53_record.alias[0].type == "A" && aws_route53_record.alias[0].alias[0].name == output.alb_dns_name
    error_message = "The API's name must lead to the load balancer."
  }

  assert {
    condition     = output.url == "https://api.example.com"
    error_message = "Clients must be told the name and HTTPS."
  }
}

run "a_given_certificate_is_used_and_dns_is_left_alone" {
  command = plan

  variables {
    zone_id         = null
    certificate_arn = "arn:aws:acm:eu-central-1:111122223333:certificate/given"
  }

  assert {
    condition     = aws_lb_listener.https.certificate_arn == "arn:aws:acm:eu-central-1:111122223333:certificate/given"
    error_message = "The given certificate must be used."
  }

  assert {
    condition     = length(aws_acm_certificate.this) + length(aws_acm_certificate_validation.this) + length(aws_route53_record.validation) + length(aws_route53_record.alias) == 0
    error_message = "Nothing must be made in a DNS that is kept elsewhere."
  }
}

run "a_given_certificate_goes_with_a_zone" {
  command = plan

  variables {
    certificate_arn = "arn:aws:acm:eu-central-1:111122223333:certificate/given"
  }

  assert {
    condition     = length(aws_acm_certificate.this) == 0 && length(aws_route53_record.alias) == 1
    error_message = "The name must be made, and no second certificate."
  }
}

run "refuses_neither_a_certificate_nor_a_zone" {
  command = plan

  variables {
    zone_id = null
  }

  expect_failures = [var.certificate_arn]
}

run "refuses_a_certificate_of_iam" {
  command = plan

  variables {
    certificate_arn = "arn:aws:iam::111122223333:server-certificate/api"
  }

  expect_failures = [var.certificate_arn]
}

run "refuses_the_name_of_a_zone" {
  command = plan

  variables {
    zone_id = "example.com"
  }

  expect_failures = [var.zone_id]
}

run "refuses_a_wildcard" {
  command = plan

  variables {
    domain_name = "*.example.com"
  }

  expect_failures = [var.domain_name]
}

run "refuses_a_url" {
  command = plan

  variables {
    domain_name = "https://api.example.com"
  }

  expect_failures = [var.domain_name]
}

################################################################################
# Firewall
################################################################################

run "the_firewall_stands_before_the_load_balancer" {
  command = apply

  assert {
    condition     = aws_wafv2_web_acl_association.this.resource_arn == output.alb_arn && aws_wafv2_web_acl_association.this.web_acl_arn == output.web_acl_arn
    error_message = "The firewall must stand before this load balancer."
  }

  assert {
    condition     = aws_wafv2_web_acl.this.scope == "REGIONAL" && aws_wafv2_web_acl.this.visibility_config[0].metric_name == output.web_acl_name
    error_message = "Alarms must find the firewall's metrics by its name."
  }

  assert {
    condition     = alltrue([for rule in aws_wafv2_web_acl.this.rule : rule.visibility_config[0].cloudwatch_metrics_enabled])
    error_message = "Every rule must be seen at work."
  }

  assert {
    condition     = length(distinct([for rule in aws_wafv2_web_acl.this.rule : rule.priority])) == length(aws_wafv2_web_acl.this.rule)
    error_message = "Two rules cannot have one priority."
  }
}

run "one_address_cannot_flood_the_api" {
  command = plan

  variables {
    rate_limit_per_5_minutes = 1000
  }

  assert {
    condition = (
      one([for rule in aws_wafv2_web_acl.this.rule : rule if rule.name == "rate"]).statement[0].rate_based_statement[0].limit == 1000
      && one([for rule in aws_wafv2_web_acl.this.rule : rule if rule.name == "rate"]).statement[0].rate_based_statement[0].evaluation_window_sec == 300
      && one([for rule in aws_wafv2_web_acl.this.rule : rule if rule.name == "rate"]).statement[0].rate_based_statement[0].aggregate_key_type == "IP"
    )
    error_message = "Each address must be held to the limit over five minutes."
  }

  assert {
    condition     = one([for rule in aws_wafv2_web_acl.this.rule : rule if rule.name == "rate"]).action[0].block[0].custom_response[0].response_code == 429
    error_message = "Who sends too much must be told so."
  }

  assert {
    condition     = jsondecode(one([for body in aws_wafv2_web_acl.this.custom_response_body : body if body.key == "rate-limited"]).content).code == "rate-limited"
    error_message = "The answer must be the API's own for too many requests."
  }
}

run "bodies_are_held_to_the_limit_as_far_as_the_firewall_sees_them" {
  command = plan

  assert {
    condition = (
      one([for rule in aws_wafv2_web_acl.this.rule : rule if rule.name == "body-size"]).statement[0].or_statement[0].statement[0].size_constraint_statement[0].size == 1048576
      && one([for rule in aws_wafv2_web_acl.this.rule : rule if rule.name == "body-size"]).statement[0].or_statement[0].statement[0].size_constraint_statement[0].comparison_operator == "GT"
    )
    error_message = "Bodies over the limit must be refused, and none at the limit."
  }

  assert {
    condition     = one([for rule in aws_wafv2_web_acl.this.rule : rule if rule.name == "body-size"]).statement[0].or_statement[0].statement[0].size_constraint_statement[0].field_to_match[0].body[0].oversize_handling == "CONTINUE"
    error_message = "MATCH would refuse every body over 8 KB."
  }

  assert {
    condition = (
      one([for rule in aws_wafv2_web_acl.this.rule : rule if rule.name == "body-size"]).statement[0].or_statement[0].statement[1].size_constraint_statement[0].size == 7
      && one([for rule in aws_wafv2_web_acl.this.rule : rule if rule.name == "body-size"]).statement[0].or_statement[0].statement[1].size_constraint_statement[0].field_to_match[0].single_header[0].name == "content-length"
    )
    error_message = "A declared length with more digits than the limit must be refused, and none with as many."
  }

  assert {
    condition     = one([for rule in aws_wafv2_web_acl.this.rule : rule if rule.name == "body-size"]).action[0].block[0].custom_response[0].response_code == 413
    error_message = "Who sends too large a body must be told so."
  }
}

run "the_managed_rules_refuse" {
  command = plan

  assert {
    condition = toset(flatten([
      for rule in aws_wafv2_web_acl.this.rule : [for group in rule.statement[0].managed_rule_group_statement : group.name]
      ])) == toset([
      "AWSManagedRulesAmazonIpReputationList",
      "AWSManagedRulesCommonRuleSet",
      "AWSManagedRulesKnownBadInputsRuleSet",
      "AWSManagedRulesSQLiRuleSet",
    ])
    error_message = "All four groups of AWS must be asked."
  }

  assert {
    condition = alltrue([
      for rule in aws_wafv2_web_acl.this.rule : length(rule.override_action[0].none) == 1 && length(rule.override_action[0].count) == 0
      if length(rule.statement[0].managed_rule_group_statement) == 1
    ])
    error_message = "No group may merely count as a whole."
  }
}

run "free_form_bodies_are_counted_and_not_refused" {
  command = plan

  assert {
    condition = toset(flatten([
      for rule in aws_wafv2_web_acl.this.rule : [for override in rule.statement[0].managed_rule_group_statement[0].rule_action_override : override.name]
      if rule.name == "AWSManagedRulesCommonRuleSet"
      ])) == toset([
      "CrossSiteScripting_BODY",
      "EC2MetaDataSSRF_BODY",
      "GenericLFI_BODY",
      "GenericRFI_BODY",
      "NoUserAgent_HEADER",
      "SizeRestrictions_BODY",
    ])
    error_message = "Of the common rules those that guess at bodies must count, and no others."
  }

  assert {
    condition = toset(flatten([
      for rule in aws_wafv2_web_acl.this.rule : [for override in rule.statement[0].managed_rule_group_statement[0].rule_action_override : override.name]
      if rule.name == "AWSManagedRulesSQLiRuleSet"
    ])) == toset(["SQLiExtendedPatterns_BODY", "SQLi_BODY"])
    error_message = "SQL in bodies must count, and be refused everywhere else."
  }

  assert {
    condition = alltrue(flatten([
      for rule in aws_wafv2_web_acl.this.rule : [
        for group in rule.statement[0].managed_rule_group_statement : [for override in group.rule_action_override : length(override.action_to_use[0].count) == 1]
      ]
    ]))
    error_message = "What is overridden must count: anything else would let requests past the rules that follow."
  }

  assert {
    condition     = alltrue([for rule in aws_wafv2_web_acl.this.rule : length(rule.statement[0].managed_rule_group_statement[0].rule_action_override) == 0 if rule.name == "AWSManagedRulesKnownBadInputsRuleSet"])
    error_message = "Known bad inputs, Log4j's among them, must be refused wherever they are."
  }
}

run "samples_hold_no_credentials" {
  command = plan

  assert {
    condition = toset(flatten([
      for protection in aws_wafv2_web_acl.this.data_protection_config[0].data_protection : coalesce(protection.field[0].field_keys, [protection.field[0].field_type])
    ])) == toset(["authorization", "x-api-key", "BODY"])
    error_message = "Tokens, keys and bodies must not be kept."
  }
}

run "refuses_a_rate_that_aws_does_not_take" {
  command = plan

  variables {
    rate_limit_per_5_minutes = 99
  }

  expect_failures = [var.rate_limit_per_5_minutes]
}

run "refuses_a_limit_that_the_api_does_not_take" {
  command = plan

  variables {
    body_limit_bytes = 1073741824
  }

  expect_failures = [var.body_limit_bytes]
}
