mock_provider "aws" {
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{\"Version\":\"2012-10-17\",\"Statement\":[]}" }
  }

  mock_data "aws_region" {
    defaults = { id = "eu-central-1" }
  }

  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }

  mock_data "aws_caller_identity" {
    defaults = { account_id = "111122223333" }
  }

  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::111122223333:role/bulkhead-test-database-monitoring" }
  }
}

variables {
  name       = "bulkhead-test"
  vpc_id     = "vpc-1"
  subnet_ids = ["subnet-1", "subnet-2"]
  allowed_security_group_ids = {
    api    = "sg-api"
    worker = "sg-worker"
  }
  kms_key_arn              = "arn:aws:kms:eu-central-1:111122223333:key/data"
  log_kms_key_arn          = "arn:aws:kms:eu-central-1:111122223333:key/log"
  instance_class           = "db.r7g.large"
  allocated_storage_gb     = 100
  max_allocated_storage_gb = 1000
}

################################################################################
# Network
################################################################################

run "only_who_is_allowed_reaches_the_server" {
  command = plan

  assert {
    condition     = { for peer, rule in aws_vpc_security_group_ingress_rule.this : peer => rule.referenced_security_group_id } == { api = "sg-api", worker = "sg-worker" }
    error_message = "There must be one rule for each peer, and none for anybody else."
  }

  assert {
    condition = alltrue([
      for rule in aws_vpc_security_group_ingress_rule.this :
      rule.from_port == 5432 && rule.to_port == 5432 && rule.ip_protocol == "tcp" && rule.cidr_ipv4 == null && rule.cidr_ipv6 == null
    ])
    error_message = "Rules must open PostgreSQL's port alone, and to no addresses."
  }

  assert {
    condition     = !aws_db_instance.this.publicly_accessible && aws_db_instance.this.port == 5432 && output.port == 5432
    error_message = "The server must have no public address, and its port must be the one that is open."
  }
}

################################################################################
# Parameters
################################################################################

run "logins_need_tls_and_scram" {
  command = plan

  assert {
    condition = alltrue([
      for name, value in { "rds.force_ssl" = "1", "password_encryption" = "scram-sha-256", "rds.accepted_password_auth_method" = "scram" } :
      contains([for parameter in aws_db_parameter_group.this.parameter : "${parameter.name}=${parameter.value}"], "${name}=${value}")
    ])
    error_message = "Connections must be encrypted and passwords must be SCRAM."
  }
}

run "parameters_are_those_that_the_product_relies_on" {
  command = plan

  assert {
    condition     = aws_db_parameter_group.this.family == "postgres17"
    error_message = "The family must be that of the version."
  }

  assert {
    condition = length(setsubtract(
      ["lc_messages=C", "max_locks_per_transaction=256", "client_connection_check_interval=2000", "idle_in_transaction_session_timeout=60000"],
      [for parameter in aws_db_parameter_group.this.parameter : "${parameter.name}=${parameter.value}"],
    )) == 0
    error_message = "Messages in English, locks for migrations, and an end for what nobody waits for are needed."
  }

  assert {
    condition     = length(setintersection(["statement_timeout", "max_connections", "lock_timeout"], [for parameter in aws_db_parameter_group.this.parameter : parameter.name])) == 0
    error_message = "Migrations need time, and connections follow the class."
  }
}

run "values_of_statements_are_not_logged" {
  command = plan

  assert {
    condition = length(setsubtract(
      ["log_parameter_max_length=0", "log_statement=none"],
      [for parameter in aws_db_parameter_group.this.parameter : "${parameter.name}=${parameter.value}"],
    )) == 0
    error_message = "Tenants' data and verifiers must not get into the log."
  }
}

# RDS refuses `immediate` for them, when it is applied.
run "static_parameters_wait_for_a_reboot" {
  command = plan

  assert {
    condition = toset([for parameter in aws_db_parameter_group.this.parameter : parameter.name if parameter.apply_method == "pending-reboot"]) == toset([
      "autovacuum_max_workers",
      "max_locks_per_transaction",
      "pg_stat_statements.max",
      "shared_preload_libraries",
    ])
    error_message = "Static parameters, and no others, must have the apply method pending-reboot."
  }
}

################################################################################
# Logs and monitoring
################################################################################

run "logs_are_where_rds_writes_them_encrypted_and_end" {
  command = plan

  assert {
    condition = toset([for group in aws_cloudwatch_log_group.this : group.name]) == toset([
      "/aws/rds/instance/bulkhead-test/postgresql",
      "/aws/rds/instance/bulkhead-test/upgrade",
    ])
    error_message = "RDS makes groups of other names by itself, without a key and for ever."
  }

  assert {
    condition     = alltrue([for group in aws_cloudwatch_log_group.this : group.kms_key_id == var.log_kms_key_arn && group.retention_in_days == 365])
    error_message = "Logs must be encrypted with the log key and kept for a year."
  }

  assert {
    condition     = toset([for group in aws_cloudwatch_log_group.this : basename(group.name)]) == aws_db_instance.this.enabled_cloudwatch_logs_exports
    error_message = "There must be a group for each log that is exported."
  }
}

run "the_server_is_watched" {
  command = plan

  assert {
    condition     = aws_db_instance.this.monitoring_interval == 60
    error_message = "The operating system must be measured each minute."
  }

  assert {
    condition     = aws_db_instance.this.performance_insights_enabled && aws_db_instance.this.performance_insights_kms_key_id == var.kms_key_arn
    error_message = "Performance Insights must be on, and encrypted with the key."
  }

  assert {
    condition     = aws_iam_role_policy_attachment.monitoring.policy_arn == "arn:aws:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole"
    error_message = "Monitoring needs its policy, which only lets it write its log."
  }
}

################################################################################
# Instance
################################################################################

run "data_is_encrypted_and_survives_a_zone" {
  command = plan

  assert {
    condition     = aws_db_instance.this.storage_encrypted && aws_db_instance.this.kms_key_id == var.kms_key_arn
    error_message = "Storage must be encrypted with the key."
  }

  assert {
    condition     = aws_db_instance.this.multi_az
    error_message = "There must be a standby unless it is refused."
  }

  assert {
    condition     = aws_db_instance.this.max_allocated_storage == 1000 && aws_db_instance.this.storage_type == "gp3"
    error_message = "Storage must be able to grow."
  }
}

run "what_was_deleted_can_be_restored" {
  command = plan

  assert {
    condition     = aws_db_instance.this.backup_retention_period == 14 && !aws_db_instance.this.delete_automated_backups
    error_message = "Backups must reach back two weeks and outlive the instance."
  }

  assert {
    condition     = aws_db_instance.this.deletion_protection && !aws_db_instance.this.skip_final_snapshot && aws_db_instance.this.final_snapshot_identifier == "bulkhead-test-final"
    error_message = "The instance must be protected from deletion, and leave a snapshot."
  }
}

run "the_master_password_is_left_to_rds" {
  command = plan

  assert {
    condition     = aws_db_instance.this.manage_master_user_password && aws_db_instance.this.password == null && aws_db_instance.this.password_wo == null
    error_message = "Terraform must not know the master user's password."
  }

  assert {
    condition     = aws_db_instance.this.master_user_secret_kms_key_id == var.kms_key_arn
    error_message = "The password must be encrypted with the key."
  }

  assert {
    condition     = !startswith(output.master_username, "bulkhead_") && output.master_username != "postgres"
    error_message = "The master user must not be mistaken for a role of the product, nor be guessed first."
  }
}

run "changes_wait_for_the_maintenance_window" {
  command = plan

  assert {
    condition     = !aws_db_instance.this.apply_immediately && aws_db_instance.this.maintenance_window == "sun:03:30-sun:04:30"
    error_message = "Changes that restart the server must wait unless it is said otherwise."
  }
}

run "a_database_is_made_with_a_version" {
  variables {
    engine_version = "17.6"
  }

  assert {
    condition     = aws_db_instance.this.engine_version == "17.6"
    error_message = "A new instance must have the version that was asked for."
  }
}

# Goes on with the instance of the run before.
run "a_version_is_left_to_rds_afterwards" {
  command = plan

  variables {
    engine_version = "17.9"
  }

  assert {
    condition     = aws_db_instance.this.engine_version == "17.6"
    error_message = "Terraform must not change the version of an instance that RDS upgrades by itself."
  }
}

################################################################################
# Replica
################################################################################

run "there_is_no_replica_unless_it_is_wanted" {
  command = plan

  assert {
    condition     = length(aws_db_instance.replica) == 0 && output.replica_address == null
    error_message = "A replica costs as much as the instance and must be asked for."
  }
}

run "a_replica_is_as_safe_as_its_source" {
  command = plan

  variables {
    read_replica = true
  }

  assert {
    condition     = aws_db_instance.replica[0].replicate_source_db == "bulkhead-test" && aws_db_instance.replica[0].identifier == "bulkhead-test-replica"
    error_message = "The replica must follow the instance."
  }

  assert {
    condition     = aws_db_instance.replica[0].storage_encrypted && aws_db_instance.replica[0].kms_key_id == var.kms_key_arn && !aws_db_instance.replica[0].publicly_accessible
    error_message = "The replica must be encrypted with the key and have no public address."
  }

  assert {
    condition     = aws_db_instance.replica[0].deletion_protection && aws_db_instance.replica[0].performance_insights_kms_key_id == var.kms_key_arn
    error_message = "The replica must be protected and watched like its source."
  }

  assert {
    condition = toset(keys(output.log_group_names)) == toset([
      "bulkhead-test/postgresql",
      "bulkhead-test/upgrade",
      "bulkhead-test-replica/postgresql",
      "bulkhead-test-replica/upgrade",
    ])
    error_message = "The replica's logs need groups as well."
  }
}

################################################################################
# What is refused
################################################################################

run "refuses_a_name_that_aws_would_refuse" {
  command = plan

  variables {
    name = "Bulkhead_Test"
  }

  expect_failures = [var.name]
}

run "refuses_a_single_subnet" {
  command = plan

  variables {
    subnet_ids = ["subnet-1"]
  }

  expect_failures = [var.subnet_ids]
}

run "refuses_a_server_that_nobody_may_reach" {
  command = plan

  variables {
    allowed_security_group_ids = {}
  }

  expect_failures = [var.allowed_security_group_ids]
}

run "refuses_keys_that_are_none" {
  command = plan

  variables {
    kms_key_arn     = "alias/aws/rds"
    log_kms_key_arn = "alias/aws/logs"
  }

  expect_failures = [var.kms_key_arn, var.log_kms_key_arn]
}

run "refuses_another_major_version" {
  command = plan

  variables {
    engine_version = "18.1"
  }

  expect_failures = [var.engine_version]
}

run "refuses_a_version_with_known_holes" {
  command = plan

  variables {
    engine_version = "17.5"
  }

  expect_failures = [var.engine_version]
}

run "refuses_a_class_of_another_service" {
  command = plan

  variables {
    instance_class = "cache.m7g.large"
  }

  expect_failures = [var.instance_class]
}

run "refuses_less_storage_than_rds_offers" {
  command = plan

  variables {
    allocated_storage_gb = 10
  }

  expect_failures = [var.allocated_storage_gb]
}

run "refuses_storage_that_would_have_to_shrink" {
  command = plan

  variables {
    max_allocated_storage_gb = 99
  }

  expect_failures = [var.max_allocated_storage_gb]
}

run "refuses_backups_of_less_than_a_week" {
  command = plan

  variables {
    backup_retention_days = 6
  }

  expect_failures = [var.backup_retention_days]
}

run "refuses_backups_for_longer_than_rds_keeps_them" {
  command = plan

  variables {
    backup_retention_days = 36
  }

  expect_failures = [var.backup_retention_days]
}

run "refuses_windows_that_are_none" {
  command = plan

  variables {
    backup_window      = "2am-3am"
    maintenance_window = "03:30-04:30"
  }

  expect_failures = [var.backup_window, var.maintenance_window]
}

run "refuses_the_database_that_every_server_has" {
  command = plan

  variables {
    database_name = "postgres"
  }

  expect_failures = [var.database_name]
}
