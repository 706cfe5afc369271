# All of Bulkhead in one account and region: every module, wired together. An environment is this with its sizes.
#
# Owns what belongs to no module alone: the keys, the cluster, the secrets' names and who may read them, the one parameter
# that tells the deployment where everything is, and the one in which it keeps its releases. Refuses to hold the value of a
# secret: the deployment makes those, so neither the state nor a plan ever has one.

data "aws_region" "current" {}
data "aws_caller_identity" "current" {}

locals {
  image = "${module.registry.repository_url}@${var.image_digest}"

  # What every command is told. The rest are the product's defaults.
  settings = merge({
    BULKHEAD_ENVIRONMENT      = var.api_key_environment
    BULKHEAD_PUBLIC_URL       = module.edge.url
    BULKHEAD_DATABASE_TLS     = "verify-full"
    BULKHEAD_DATABASE_CA_FILE = "/etc/ssl/certs/rds-global-bundle.pem"
    },
    length(var.oidc_allowed_issuers) == 0 ? {} : { BULKHEAD_OIDC_ALLOWED_ISSUERS = join(",", var.oidc_allowed_issuers) },
  )

  # The load balancer appends the client's address; no other proxy stands in front of the API.
  api_settings = merge(local.settings, {
    BULKHEAD_TRUSTED_PROXY_HOPS = "1"
  })

  worker_settings = merge(local.settings, {
    AWS_REGION            = data.aws_region.current.id
    BULKHEAD_AUDIT_ANCHOR = "s3://${module.storage.bucket_names["anchors"]}/heads"
  })

  worker_policies = merge(
    {
      anchoring = module.storage.anchoring_policy_json
      queue_out = module.queue_out.sender_policy_json
      storage   = module.storage.task_policy_json
    },
    { for pool in module.identity : "people" => pool.people_policy_json },
  )

  servers = {
    database = { security_group_id = module.database.security_group_id, port = module.database.port }
    cache    = { security_group_id = module.cache.security_group_id, port = module.cache.cache_port }
  }

  # While the master key is changed, what it was before: the value that Secrets Manager has kept.
  master_keys = merge(
    { BULKHEAD_MASTER_KEY = "${aws_secretsmanager_secret.this["master-key"].arn}:key::" },
    var.previous_master_key ? { BULKHEAD_MASTER_KEY_PREVIOUS = "${aws_secretsmanager_secret.this["master-key"].arn}:key:AWSPREVIOUS:" } : {},
  )

  # Each reader of a secret, and under which variables.
  serving_secrets = merge(local.master_keys, {
    BULKHEAD_DATABASE_TENANT_URL   = "${aws_secretsmanager_secret.this["database-tenant"].arn}:url::"
    BULKHEAD_DATABASE_PLATFORM_URL = "${aws_secretsmanager_secret.this["database-platform"].arn}:url::"
  })

  api_secrets = merge(local.serving_secrets, {
    BULKHEAD_REDIS_CACHE_URL = "${aws_secretsmanager_secret.this["redis-api"].arn}:cache_url::"
    BULKHEAD_REDIS_QUEUE_URL = "${aws_secretsmanager_secret.this["redis-api"].arn}:queue_url::"
  })

  worker_secrets = merge(local.serving_secrets, {
    BULKHEAD_DATABASE_PROVISIONER_URL = "${aws_secretsmanager_secret.this["database-provisioner"].arn}:url::"
    BULKHEAD_REDIS_QUEUE_URL          = "${aws_secretsmanager_secret.this["redis-worker"].arn}:queue_url::"
  })

  # The only task that ever sees the master user's password, and only while it runs. It also adds operators.
  migrate_secrets = merge(local.master_keys, {
    BULKHEAD_OPERATOR_PASSWORD        = "${aws_secretsmanager_secret.this["operator"].arn}:password::"
    BULKHEAD_DATABASE_ADMIN_PASSWORD  = "${module.database.master_user_secret_arn}:password::"
    BULKHEAD_DATABASE_TENANT_URL      = "${aws_secretsmanager_secret.this["database-tenant"].arn}:url::"
    BULKHEAD_DATABASE_PLATFORM_URL    = "${aws_secretsmanager_secret.this["database-platform"].arn}:url::"
    BULKHEAD_DATABASE_PROVISIONER_URL = "${aws_secretsmanager_secret.this["database-provisioner"].arn}:url::"
  })

  # What the deployment fills each secret with, once.
  secrets = merge(
    { operator = { description = "The password of the operator that the deployment adds: read it once, log in, and keep it in your password manager", recipe = { kind = "password" } } },
    { master-key = { description = "Seals the key that all others are derived from: lost, every key has to be made anew", recipe = { kind = "key", bytes = 32 } } },
    {
      for login in ["tenant", "platform", "provisioner"] : "database-${login}" => {
        description = "How bulkhead_${login} logs in to PostgreSQL"
        recipe = {
          kind     = "postgres"
          user     = "bulkhead_${login}"
          host     = module.database.address
          port     = module.database.port
          database = module.database.database_name
        }
      }
    },
    {
      for user in ["api", "worker"] : "redis-${user}" => {
        description = "How ${user} logs in to Redis"
        recipe = {
          kind       = "redis"
          user       = module.cache.user_names[user]
          cache_host = module.cache.cache_address
          cache_port = module.cache.cache_port
          queue_host = module.cache.queue_address
          queue_port = module.cache.queue_port
        }
      }
    },
  )

  secret_keys = { secrets = module.secret_key.arn }

  # Why PostgreSQL may refuse although it is there: a person has to look at it, and no time-out mends it.
  refusals = { reason = "read_only|disk_full|out_of_memory|too_many_connections|limit|io_error" }

  # Published by each task, for scaling and alarms, with the values of labels that count where not all of them do.
  worker_metrics = {
    bulkhead_db_failures_total       = local.refusals
    bulkhead_jobs_due                = {}
    bulkhead_jobs_oldest_due_seconds = {}
    bulkhead_jobs_total              = { outcome = "failed" }
    bulkhead_redis_up                = {}
    bulkhead_usage_rejected_total    = {}
  }
  api_metrics = {
    bulkhead_db_failures_total          = local.refusals
    bulkhead_redis_up                   = {}
    bulkhead_usage_buffer_bytes         = {}
    bulkhead_usage_late_answers_total   = {}
    bulkhead_usage_unsafe_answers_total = {}
  }
}

################################################################################
# Keys: one for each class of what they protect
################################################################################

module "data_key" {
  source = "../key"

  name        = "${var.name}-data"
  description = "Databases, caches, buckets, queues and images of ${var.name}"
}

module "secret_key" {
  source = "../key"

  name        = "${var.name}-secret"
  description = "Secrets of ${var.name}"
}

module "log_key" {
  source = "../key"

  name        = "${var.name}-log"
  description = "Logs and alarms of ${var.name}"
  services    = ["logs", "cloudwatch"]
}

################################################################################
# Network and edge
################################################################################

module "network" {
  source = "../network"

  name               = var.name
  cidr               = var.cidr
  availability_zones = var.availability_zones
  nat                = var.nat
  log_kms_key_arn    = module.log_key.arn
}

module "edge" {
  source = "../edge"

  name                      = var.name
  vpc_id                    = module.network.vpc_id
  public_subnet_ids         = module.network.public_subnet_ids
  domain_name               = var.domain_name
  zone_id                   = var.zone_id
  certificate_arn           = var.certificate_arn
  access_log_bucket         = module.storage.bucket_names["logs"]
  target_security_group_ids = { api = module.api.security_group_id }
  deletion_protection       = var.deletion_protection
}

################################################################################
# Data
################################################################################

module "database" {
  source = "../database"

  name       = var.name
  vpc_id     = module.network.vpc_id
  subnet_ids = module.network.isolated_subnet_ids
  allowed_security_group_ids = {
    api     = module.api.security_group_id
    worker  = module.worker.security_group_id
    migrate = module.migrate.security_group_id
  }
  kms_key_arn              = module.data_key.arn
  log_kms_key_arn          = module.log_key.arn
  instance_class           = var.database.instance_class
  allocated_storage_gb     = var.database.allocated_storage_gb
  max_allocated_storage_gb = var.database.max_allocated_storage_gb
  multi_az                 = var.database.multi_az
  backup_retention_days    = var.database.backup_retention_days
  read_replica             = var.database.read_replica
  deletion_protection      = var.deletion_protection
}

module "cache" {
  source = "../cache"

  name       = var.name
  vpc_id     = module.network.vpc_id
  subnet_ids = module.network.isolated_subnet_ids
  allowed_security_group_ids = {
    api    = module.api.security_group_id
    worker = module.worker.security_group_id
  }
  kms_key_arn         = module.data_key.arn
  log_kms_key_arn     = module.log_key.arn
  node_type           = var.cache.node_type
  replicas            = var.cache.replicas
  dedicated_queue     = var.cache.dedicated_queue
  deletion_protection = var.deletion_protection
}

module "storage" {
  source = "../storage"

  name                 = var.name
  kms_key_arn          = module.data_key.arn
  statement_lock_years = var.statement_lock_years
  anchor_lock_days     = var.anchor_lock_days
  deletion_protection  = var.deletion_protection
}

module "queue_out" {
  source = "../queue_out"

  name             = var.name
  kms_key_arn      = module.data_key.arn
  sender_role_arns = { worker = module.worker.role_arns.task }
  # Who consumes events also looks at those that could not be delivered, and sends them on again.
  receiver_role_arns = var.event_reader_role_arns
  redrive_role_arns  = var.event_reader_role_arns
}

module "identity" {
  count = var.identity == null ? 0 : 1

  source = "../identity"

  name                = var.name
  callback_urls       = var.identity.callback_urls
  logout_urls         = var.identity.logout_urls
  domain_prefix       = var.identity.domain_prefix
  deletion_protection = var.deletion_protection
}

################################################################################
# Secrets, without their values
################################################################################

resource "aws_secretsmanager_secret" "this" {
  for_each = local.secrets

  #checkov:skip=CKV2_AWS_57: Rotation needs the product's help (a role's password and the URL change together); terraform/README.md says how it is done with one deployment.
  name        = "${var.name}/${each.key}"
  description = each.value.description
  kms_key_id  = module.secret_key.arn
  # A secret that was deleted by mistake can be had back for this long. Until then its name is taken, so what is torn down
  # and built again has none.
  recovery_window_in_days = var.deletion_protection ? 30 : 0
}

################################################################################
# Commands
################################################################################

resource "aws_ecs_cluster" "this" {
  name = var.name

  setting {
    name  = "containerInsights"
    value = "enabled"
  }

  tags = { Name = var.name }
}

module "registry" {
  source = "../registry"

  name                = var.name
  kms_key_arn         = module.data_key.arn
  deletion_protection = var.deletion_protection
}

module "api" {
  source = "../service"

  name              = var.name
  command           = "api"
  image             = local.image
  cpu               = var.api.cpu
  memory_mb         = var.api.memory_mb
  environment       = local.api_settings
  secrets           = local.api_secrets
  published_metrics = local.api_metrics
  prometheus        = var.prometheus
  scaling           = { min = var.api.min, max = var.api.max }

  port                            = 8080
  target_group_arn                = module.edge.target_group_arn
  load_balancer_security_group_id = module.edge.security_group_id
  # The load balancer asks every 10 s and believes the second answer; then the task may stop.
  drain_seconds        = 25
  stop_timeout_seconds = 60

  secret_kms_key_arns = local.secret_keys
  repository_arn      = module.registry.repository_arn
  task_policies       = { storage = module.storage.task_policy_json }
  log_kms_key_arn     = module.log_key.arn
  cluster_arn         = aws_ecs_cluster.this.arn
  cluster_name        = aws_ecs_cluster.this.name
  vpc_id              = module.network.vpc_id
  subnet_ids          = module.network.private_subnet_ids
  servers             = local.servers
}

module "worker" {
  source = "../service"

  name              = var.name
  command           = "worker"
  image             = local.image
  cpu               = var.worker.cpu
  memory_mb         = var.worker.memory_mb
  environment       = local.worker_settings
  secrets           = local.worker_secrets
  published_metrics = local.worker_metrics
  prometheus        = var.prometheus
  scaling           = { min = var.worker.min, max = var.worker.max }
  # A worker runs 16 jobs at once, most of them for less than a second: 200 waiting are seconds of work, and none should
  # wait for longer than half a minute.
  backlog_targets      = { bulkhead_jobs_due = 200, bulkhead_jobs_oldest_due_seconds = 30 }
  stop_timeout_seconds = 60

  secret_kms_key_arns = local.secret_keys
  repository_arn      = module.registry.repository_arn
  task_policies       = local.worker_policies
  log_kms_key_arn     = module.log_key.arn
  cluster_arn         = aws_ecs_cluster.this.arn
  cluster_name        = aws_ecs_cluster.this.name
  vpc_id              = module.network.vpc_id
  subnet_ids          = module.network.private_subnet_ids
  servers             = local.servers
}

module "migrate" {
  source = "../service"

  name      = var.name
  command   = "migrate"
  image     = local.image
  cpu       = 512
  memory_mb = 1024
  environment = merge(local.settings, {
    # The password is a secret of its own, which RDS rotates.
    BULKHEAD_DATABASE_ADMIN_URL = "postgres://${module.database.master_username}@${module.database.address}:${module.database.port}/${module.database.database_name}"
  })
  secrets = local.migrate_secrets
  # A migration that is asked to stop ends the batch that it is in.
  stop_timeout_seconds = 120

  secret_kms_key_arns = merge(local.secret_keys, { database = module.data_key.arn })
  repository_arn      = module.registry.repository_arn
  log_kms_key_arn     = module.log_key.arn
  cluster_arn         = aws_ecs_cluster.this.arn
  cluster_name        = aws_ecs_cluster.this.name
  vpc_id              = module.network.vpc_id
  subnet_ids          = module.network.private_subnet_ids
  servers             = { database = local.servers.database }
}

################################################################################
# Watching
################################################################################

module "observability" {
  source = "../observability"

  name                          = var.name
  kms_key_arn                   = module.log_key.arn
  alarm_emails                  = var.alarm_emails
  runbook_url                   = var.runbook_url
  alb_arn_suffix                = module.edge.alb_arn_suffix
  target_group_arn_suffix       = module.edge.target_group_arn_suffix
  web_acl_name                  = module.edge.web_acl_name
  database_identifier           = module.database.instance_identifier
  database_allocated_storage_gb = var.database.allocated_storage_gb
  database_memory_gb            = var.database.memory_gb
  # RDS allows about 105 for each GB.
  database_connections_high = min(3500, floor(75 * var.database.memory_gb))
  minimum_healthy           = var.api.min
  has_replica               = var.database.read_replica
  cache_group_ids           = module.cache.replication_group_ids
  cache_nodes_per_group     = 1 + var.cache.replicas
  cluster_name              = aws_ecs_cluster.this.name
  service_names             = { api = module.api.service_name, worker = module.worker.service_name }
  log_group_names           = { api = module.api.log_group_name, worker = module.worker.log_group_name }
  dead_letter_queue_name    = module.queue_out.dead_letter_queue_name
}

################################################################################
# Deployment
################################################################################

# Where everything is, for the deployment: it asks for this one parameter and is told nothing by hand.
resource "aws_ssm_parameter" "deployment" {
  #checkov:skip=CKV2_AWS_34: It holds names, no secrets.
  name        = "/${var.name}/deployment"
  description = "Where the deployment finds everything of ${var.name}"
  type        = "String"
  # Room for more than 4 kB.
  tier = "Advanced"
  value = jsonencode({
    name              = var.name
    approval_required = var.approval_required
    url               = module.edge.url
    registry          = module.registry.repository_url
    cluster           = aws_ecs_cluster.this.name
    services = { for command, service in { worker = module.worker, api = module.api } : command => {
      service = service.service_name
      family  = service.family
    } }
    migrate = {
      family          = module.migrate.family
      subnets         = module.network.private_subnet_ids
      security_groups = [module.migrate.security_group_id]
      log_group       = module.migrate.log_group_name
    }
    releases = aws_ssm_parameter.releases.name
    secrets  = { for name, secret in local.secrets : aws_secretsmanager_secret.this[name].name => secret.recipe }
  })
}

# What has been released here, and so what a rollback may go back to.
resource "aws_ssm_parameter" "releases" {
  #checkov:skip=CKV2_AWS_34: It holds digests and revisions, no secrets.
  name        = "/${var.name}/releases"
  description = "Releases of ${var.name} that passed their smoke test, the oldest first"
  type        = "String"
  # Room for more than 4 kB, and the deployment writes it as such: a parameter of this tier never gets smaller.
  tier  = "Advanced"
  value = "[]"

  lifecycle {
    # The deployment writes each release there that passed its smoke test, and a rollback goes to one of them: an apply that
    # emptied it would leave none.
    ignore_changes = [value]
  }
}

module "github_oidc" {
  source = "../github_oidc"

  name            = var.name
  repository      = var.github.repository
  repository_ids  = var.github.repository_ids
  environment     = var.github.environment
  deploy_branches = var.github.deploy_branches
  create_provider = var.github.create_provider
  provider_arn    = var.github.provider_arn

  state_bucket_arn         = var.github.state_bucket_arn
  state_key_prefix         = var.github.state_key_prefix
  state_kms_key_arn        = var.github.state_kms_key_arn
  repository_arn           = module.registry.repository_arn
  deployment_parameter_arn = aws_ssm_parameter.deployment.arn
  releases_parameter_arn   = aws_ssm_parameter.releases.arn
  cluster_arn              = aws_ecs_cluster.this.arn
  service_arns             = { api = module.api.service_arn, worker = module.worker.service_arn }
  task_definition_families = [module.migrate.family]
  pass_role_arns           = merge([for command, service in { api = module.api, worker = module.worker, migrate = module.migrate } : { for purpose, arn in service.role_arns : "${command}_${purpose}" => arn }]...)
  secret_arns              = { for name, secret in aws_secretsmanager_secret.this : name => secret.arn }
  secret_kms_key_arn       = module.secret_key.arn
  elasticache_user_arns    = module.cache.user_arns
  log_group_arns           = { migrate = module.migrate.log_group_arn }
}
