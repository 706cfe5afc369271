# PostgreSQL 17 on RDS: one instance with a standby in another zone, its parameters, its logs and, where it is wanted, a
# replica to read from.
#
# Owns where and how the server runs. Refuses to make databases, roles and passwords: `bulkhead migrate` makes the first
# two with the master user, whose password RDS makes, keeps and rotates. Refuses a Multi-AZ cluster: its readers violate
# snapshot isolation (https://jepsen.io/analyses/amazon-rds-for-postgresql-17.4).

data "aws_region" "current" {}
data "aws_partition" "current" {}
data "aws_caller_identity" "current" {}

locals {
  port       = 5432
  replica    = "${var.name}-replica"
  instances  = var.read_replica ? [var.name, local.replica] : [var.name]
  log_types  = ["postgresql", "upgrade"]
  arn_prefix = "arn:${data.aws_partition.current.partition}:rds:${data.aws_region.current.id}:${data.aws_caller_identity.current.account_id}:db"
}

################################################################################
# Network
################################################################################

resource "aws_db_subnet_group" "this" {
  name        = "${var.name}-database"
  description = "Where PostgreSQL of ${var.name} may run"
  subnet_ids  = var.subnet_ids

  tags = { Name = "${var.name}-database" }
}

# No rule lets anything out: a server that is asked has no reason to ask.
resource "aws_security_group" "this" {
  name        = "${var.name}-database"
  description = "PostgreSQL of ${var.name}"
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-database" }
}

resource "aws_vpc_security_group_ingress_rule" "this" {
  for_each = var.allowed_security_group_ids

  security_group_id            = aws_security_group.this.id
  referenced_security_group_id = each.value
  description                  = "PostgreSQL from ${each.key}"
  ip_protocol                  = "tcp"
  from_port                    = local.port
  to_port                      = local.port
}

################################################################################
# Parameters
################################################################################

# For 10,000 schemas of 28 relations each: 6 tables, 10 indexes, and a TOAST table with its index behind each table.
#
# What is static waits for the next reboot (`pending-reboot`); a new instance starts with it. Not set:
# - max_connections: RDS derives it from the class, about 1,700 for 16 GB, and the product may open 12 for
#   each thread of a task and one thread more, and 3 beside for the API: 39 for an API task of two threads, 25 for a
#   worker of one. A number of our own would be wrong after a change of class.
# - statement_timeout: the product sets its own in each transaction, and a migration may take longer.
resource "aws_db_parameter_group" "this" {
  name_prefix = "${var.name}-postgres17-"
  description = "PostgreSQL 17 of ${var.name}"
  family      = "postgres17"

  # The default, said here so that it stays: the server takes no connection without TLS.
  parameter {
    name  = "rds.force_ssl"
    value = "1"
  }

  # Verifiers that cannot be replayed. The product's own logins never tell the server a password at all.
  parameter {
    name  = "password_encryption"
    value = "scram-sha-256"
  }

  # RDS takes MD5 as well unless it is told not to.
  parameter {
    name  = "rds.accepted_password_auth_method"
    value = "scram"
  }

  # The product tells some errors apart by their English text; `bulkhead doctor` checks it.
  parameter {
    name  = "lc_messages"
    value = "C"
  }

  # The lock table has this many places for each connection that may be. A migration takes 4 transactions x 20 tenants x
  # 28 relations = 2,240. What locks every table at once needs more: a pg_dump of everything, and the pg_upgrade behind
  # a new major version, 10,000 tenants x 6 tables = 60,000. On a class with 4 GB (about 400 connections) the default of
  # 64 is 25,600 places, 256 is 102,400; with 16 GB (1,700 connections) it is 435,000, for 0.12 GB more than the default
  # takes.
  parameter {
    name         = "max_locks_per_transaction"
    value        = "256"
    apply_method = "pending-reboot"
  }

  # Milliseconds. A statement whose client has gone (a task that was killed, a time-out of the driver) would otherwise
  # run to its end for nothing.
  parameter {
    name  = "client_connection_check_interval"
    value = "2000"
  }

  # Milliseconds. A backstop for logins that are not the product's: its own transactions set 10 s. It is as long as the
  # migrator's, the most patient of them.
  parameter {
    name  = "idle_in_transaction_session_timeout"
    value = "60000"
  }

  # A long vacuum of one large table (usage, jobs) must not hold up 60,000 small ones; 3 is the default.
  parameter {
    name         = "autovacuum_max_workers"
    value        = "6"
    apply_method = "pending-reboot"
  }

  # Workers share the limit, so twice the workers get twice of it, and each keeps its pace. At most 20 dirtied pages of
  # 8 kB every 2 ms: 80 MB/s, of the 125 MB/s that gp3 gives any size.
  parameter {
    name  = "autovacuum_vacuum_cost_limit"
    value = "400"
  }

  # Seconds. Everything is in one database, and each round reads the catalog and the statistics of all 280,000 relations
  # before it finds what to clean: once a minute, and no default may make it more often.
  parameter {
    name  = "autovacuum_naptime"
    value = "60"
  }

  # What the time goes to, by statement. pgaudit is not loaded: the product keeps an audit log of its own.
  parameter {
    name         = "shared_preload_libraries"
    value        = "pg_stat_statements"
    apply_method = "pending-reboot"
  }

  # PostgreSQL 17 counts the same statement in two schemas as two, and making room in a full table stops every statement. Ten
  # times the default: fewer such stops, for the tenants that ask most.
  parameter {
    name         = "pg_stat_statements.max"
    value        = "50000"
    apply_method = "pending-reboot"
  }

  # Tells waiting for storage from working; reading the clock costs nanoseconds on these machines.
  parameter {
    name  = "track_io_timing"
    value = "1"
  }

  # Milliseconds. The product's reads take less than one and are given up after 5,000: a second wants a look.
  parameter {
    name  = "log_min_duration_statement"
    value = "1000"
  }

  # Of values in statements nothing is logged: they are tenants' data and digests of secrets.
  parameter {
    name  = "log_parameter_max_length"
    value = "0"
  }

  # Statements are not logged by kind: a migration would write each of its own 10,000 times, and ALTER ROLE carries
  # verifiers.
  parameter {
    name  = "log_statement"
    value = "none"
  }

  # Who waits for whom, after a second (deadlock_timeout): before the product's lock time-out of 2 s ends the wait.
  parameter {
    name  = "log_lock_waits"
    value = "1"
  }

  # Who came from where. Connections live for a quarter of an hour and longer, so these are few lines.
  parameter {
    name  = "log_connections"
    value = "1"
  }

  lifecycle {
    # A group that is in use cannot be deleted.
    create_before_destroy = true
  }
}

################################################################################
# Logs and monitoring
################################################################################

# Made here because RDS would make them without a key and keep them for ever.
resource "aws_cloudwatch_log_group" "this" {
  for_each = toset([for pair in setproduct(local.instances, local.log_types) : "${pair[0]}/${pair[1]}"])

  name              = "/aws/rds/instance/${each.key}"
  retention_in_days = 365
  kms_key_id        = var.log_kms_key_arn
}

data "aws_iam_policy_document" "monitoring_assume" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["monitoring.rds.amazonaws.com"]
    }

    # Only for these instances: the service could otherwise be made to act for those of another account.
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.current.account_id]
    }

    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = [for instance in local.instances : "${local.arn_prefix}:${instance}"]
    }
  }
}

resource "aws_iam_role" "monitoring" {
  name               = "${var.name}-database-monitoring"
  description        = "Writes what the operating systems of PostgreSQL of ${var.name} measure"
  assume_role_policy = data.aws_iam_policy_document.monitoring_assume.json
}

resource "aws_iam_role_policy_attachment" "monitoring" {
  role       = aws_iam_role.monitoring.name
  policy_arn = "arn:${data.aws_partition.current.partition}:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole"
}

################################################################################
# Instance
################################################################################

resource "aws_db_instance" "this" {
  identifier           = var.name
  engine               = "postgres"
  engine_version       = var.engine_version
  instance_class       = var.instance_class
  multi_az             = var.multi_az
  parameter_group_name = aws_db_parameter_group.this.name
  ca_cert_identifier   = "rds-ca-rsa2048-g1"

  # There is no db_name: `bulkhead migrate` makes the database with the C locale, which sorts the same on every version.
  # RDS would make it with en_US.UTF-8, whose order changes with the system and breaks indexes.
  #
  # The product's roles begin with "bulkhead_", and "postgres" is what is guessed first.
  username                      = "master"
  manage_master_user_password   = true
  master_user_secret_kms_key_id = var.kms_key_arn
  # For people: a login that is granted rds_iam takes tokens of 15 minutes instead of a password that a person keeps.
  # The product's logins are not granted it; RDS takes fewer than 200 such connections a second.
  iam_database_authentication_enabled = true

  storage_type      = "gp3"
  storage_encrypted = true
  kms_key_id        = var.kms_key_arn
  # Only what a new instance starts with: storage that has grown by itself is no difference to Terraform.
  allocated_storage     = var.allocated_storage_gb
  max_allocated_storage = var.max_allocated_storage_gb

  db_subnet_group_name   = aws_db_subnet_group.this.name
  vpc_security_group_ids = [aws_security_group.this.id]
  publicly_accessible    = false
  port                   = local.port

  # Any second of these days can be restored. They stay when the instance goes, and so does a last snapshot: a second
  # instance of this name cannot be destroyed before the first one's snapshot is copied and deleted.
  backup_retention_period  = var.backup_retention_days
  backup_window            = var.backup_window
  copy_tags_to_snapshot    = true
  delete_automated_backups = false
  # It keeps its name, so what is torn down and built again has none.
  skip_final_snapshot       = !var.deletion_protection
  final_snapshot_identifier = "${var.name}-final"
  deletion_protection       = var.deletion_protection

  maintenance_window         = var.maintenance_window
  auto_minor_version_upgrade = true
  apply_immediately          = var.apply_immediately

  enabled_cloudwatch_logs_exports = local.log_types
  monitoring_interval             = 60
  monitoring_role_arn             = aws_iam_role.monitoring.arn
  # Seven days is what costs nothing.
  database_insights_mode                = "standard"
  performance_insights_enabled          = true
  performance_insights_kms_key_id       = var.kms_key_arn
  performance_insights_retention_period = 7

  lifecycle {
    # RDS goes on to newer minor versions by itself. Terraform would ask for the older one again, which RDS refuses, and
    # nothing else could be applied.
    ignore_changes = [engine_version]
  }

  depends_on = [aws_cloudwatch_log_group.this, aws_iam_role_policy_attachment.monitoring]

  tags = { Name = var.name }
}

################################################################################
# Replica
################################################################################

# For people and reports. Nothing of the product reads here: what is billed, limited or revoked is read where it is
# written.
resource "aws_db_instance" "replica" {
  #checkov:skip=CKV_AWS_157: A replica that is lost is made anew; nothing waits for it.
  count = var.read_replica ? 1 : 0

  identifier          = local.replica
  replicate_source_db = aws_db_instance.this.identifier
  instance_class      = var.instance_class
  multi_az            = false
  # The same group: a replica with a smaller lock table than its source does not start.
  parameter_group_name = aws_db_parameter_group.this.name
  ca_cert_identifier   = aws_db_instance.this.ca_cert_identifier

  iam_database_authentication_enabled = true

  storage_type          = "gp3"
  storage_encrypted     = true
  kms_key_id            = var.kms_key_arn
  max_allocated_storage = var.max_allocated_storage_gb

  vpc_security_group_ids = [aws_security_group.this.id]
  publicly_accessible    = false
  port                   = local.port

  # RDS takes no last snapshot of a replica; its data is its source's.
  skip_final_snapshot   = true
  copy_tags_to_snapshot = true
  deletion_protection   = var.deletion_protection

  maintenance_window         = var.maintenance_window
  auto_minor_version_upgrade = true
  apply_immediately          = var.apply_immediately

  enabled_cloudwatch_logs_exports       = local.log_types
  monitoring_interval                   = 60
  monitoring_role_arn                   = aws_iam_role.monitoring.arn
  database_insights_mode                = "standard"
  performance_insights_enabled          = true
  performance_insights_kms_key_id       = var.kms_key_arn
  performance_insights_retention_period = 7

  depends_on = [aws_cloudwatch_log_group.this, aws_iam_role_policy_attachment.monitoring]

  tags = { Name = local.replica }
}
