# How GitHub Actions gets into the account without a key: a workflow shows a token that GitHub signed, and gets one to
# three hours as one of two roles.
#
# Owns the provider and the roles. `deploy` brings out images and fills secrets; `plan` reads what `terraform plan` reads.
# Refuses a role that applies Terraform: who may change every policy is a person, not a workflow. Leaves to GitHub who
# may start a deployment: protect the environment there with reviewers, and the branches from being pushed to.

data "aws_region" "current" {}
data "aws_partition" "current" {}
data "aws_caller_identity" "current" {}

locals {
  provider_arn = var.create_provider ? one(aws_iam_openid_connect_provider.this[*].arn) : var.provider_arn

  # GitHub names a repository in one of two ways, and a token of one does not open a role that wants the other:
  # https://github.blog/changelog/2026-04-23-immutable-subject-claims-for-github-actions-oidc-tokens
  owner          = split("/", var.repository)[0]
  repository     = split("/", var.repository)[1]
  subject_prefix = var.repository_ids == null ? "repo:${var.repository}" : "repo:${local.owner}@${var.repository_ids.owner}/${local.repository}@${var.repository_ids.repository}"

  # As GitHub's tokens say them: the branch, and the workflow that the job is written in as it stands on that branch.
  deploy_refs          = [for branch in var.deploy_branches : "refs/heads/${branch}"]
  deploy_workflow_refs = [for pair in setproduct(var.deploy_workflows, local.deploy_refs) : "${var.repository}/.github/workflows/${pair[0]}@${pair[1]}"]

  arn_prefixes = {
    for service in ["acm", "application-autoscaling", "cloudwatch", "cognito-idp", "ecs", "elasticache", "elasticloadbalancing", "kms", "rds", "sns", "wafv2"] :
    service => "arn:${data.aws_partition.current.partition}:${service}:${data.aws_region.current.id}:${data.aws_caller_identity.current.account_id}"
  }
  iam_prefix = "arn:${data.aws_partition.current.partition}:iam::${data.aws_caller_identity.current.account_id}"
  s3_prefix  = "arn:${data.aws_partition.current.partition}:s3:::"

  has_parameters   = var.deployment_parameter_arn != null || var.releases_parameter_arn != null
  cluster_name     = element(split("/", var.cluster_arn), 1)
  log_groups       = [for arn in values(var.log_group_arns) : trimsuffix(arn, ":*")]
  state_keys       = "${var.state_bucket_arn}/${var.state_key_prefix}*"
  secrets_service  = "secretsmanager.${data.aws_region.current.id}.${data.aws_partition.current.dns_suffix}"
  audience         = "sts.amazonaws.com"
  view_only_policy = "arn:${data.aws_partition.current.partition}:iam::aws:policy/job-function/ViewOnlyAccess"
}

################################################################################
# Provider
################################################################################

# Without a thumbprint: AWS trusts GitHub's certificate by the authorities that signed it, and ignores what is pinned here.
resource "aws_iam_openid_connect_provider" "this" {
  count = var.create_provider ? 1 : 0

  url            = "https://token.actions.githubusercontent.com"
  client_id_list = [local.audience]
}

################################################################################
# Deploy role
################################################################################

# All conditions are needed. Every workflow of every repository on GitHub can have a token with this audience: the audience
# alone would open the role to all of them. The subject says which repository and which environment asks, and GitHub puts an
# environment there only after its reviewers have agreed. But which branches may use the environment is a setting at GitHub,
# and what a branch's workflow does is what the branch says: so the branch is compared here too, and the workflow, which may
# be called from a branch other than its own. STS knows both claims of GitHub's tokens since February 2026.
data "aws_iam_policy_document" "deploy_assume" {
  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]

    principals {
      type        = "Federated"
      identifiers = [local.provider_arn]
    }

    condition {
      test     = "StringEquals"
      variable = "token.actions.githubusercontent.com:aud"
      values   = [local.audience]
    }

    condition {
      test     = "StringEquals"
      variable = "token.actions.githubusercontent.com:sub"
      values   = ["${local.subject_prefix}:environment:${var.environment}"]
    }

    condition {
      test     = "StringEquals"
      variable = "token.actions.githubusercontent.com:ref"
      values   = local.deploy_refs
    }

    condition {
      test     = "StringEquals"
      variable = "token.actions.githubusercontent.com:job_workflow_ref"
      values   = local.deploy_workflow_refs
    }
  }
}

data "aws_iam_policy_document" "deploy" {
  statement {
    sid = "LogInToRegistry"
    # ECR offers nothing narrower.
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"]
  }

  statement {
    sid = "PushImage"
    actions = [
      "ecr:BatchCheckLayerAvailability",
      "ecr:BatchGetImage",
      "ecr:CompleteLayerUpload",
      "ecr:DescribeImages",
      "ecr:GetDownloadUrlForLayer",
      "ecr:InitiateLayerUpload",
      "ecr:PutImage",
      "ecr:UploadLayerPart",
    ]
    resources = [var.repository_arn]
  }

  dynamic "statement" {
    for_each = var.deployment_parameter_arn == null ? [] : [var.deployment_parameter_arn]

    content {
      sid       = "FindEverything"
      actions   = ["ssm:GetParameter"]
      resources = [statement.value]
    }
  }

  # What passed its smoke test is written down, and read again by a rollback.
  dynamic "statement" {
    for_each = var.releases_parameter_arn == null ? [] : [var.releases_parameter_arn]

    content {
      sid       = "KeepReleases"
      actions   = ["ssm:GetParameter", "ssm:PutParameter"]
      resources = [statement.value]
    }
  }

  statement {
    sid = "RegisterTaskDefinition"
    # ECS offers nothing narrower: neither knows resources or has a condition that names a family. What a definition can do
    # is bounded by the roles that may be passed on, below.
    actions   = ["ecs:DescribeTaskDefinition", "ecs:RegisterTaskDefinition"]
    resources = ["*"]
  }

  statement {
    sid = "TagTaskDefinition"
    # A new revision carries the tags of the one before it.
    actions   = ["ecs:TagResource"]
    resources = ["${local.arn_prefixes.ecs}:task-definition/${var.name}-*:*"]

    condition {
      test     = "StringEquals"
      variable = "ecs:CreateAction"
      values   = ["RegisterTaskDefinition"]
    }
  }

  statement {
    sid = "TagTasks"
    # A task that is run once carries the tags of its definition.
    actions   = ["ecs:TagResource"]
    resources = ["${local.arn_prefixes.ecs}:task/${local.cluster_name}/*"]

    condition {
      test     = "StringEquals"
      variable = "ecs:CreateAction"
      values   = ["RunTask"]
    }
  }

  statement {
    sid       = "UpdateServices"
    actions   = ["ecs:DescribeServices", "ecs:UpdateService"]
    resources = values(var.service_arns)
  }

  statement {
    sid       = "RunOnce"
    actions   = ["ecs:RunTask"]
    resources = [for family in var.task_definition_families : "${local.arn_prefixes.ecs}:task-definition/${family}:*"]

    condition {
      test     = "ArnEquals"
      variable = "ecs:cluster"
      values   = [var.cluster_arn]
    }
  }

  statement {
    sid       = "FollowTasks"
    actions   = ["ecs:DescribeTasks"]
    resources = ["${local.arn_prefixes.ecs}:task/${local.cluster_name}/*"]

    condition {
      test     = "ArnEquals"
      variable = "ecs:cluster"
      values   = [var.cluster_arn]
    }
  }

  # Passed on to tasks alone: with any other service the deployment could take these roles for itself.
  statement {
    sid       = "PassRoles"
    actions   = ["iam:PassRole"]
    resources = values(var.pass_role_arns)

    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["ecs-tasks.amazonaws.com"]
    }
  }

  dynamic "statement" {
    for_each = length(var.log_group_arns) > 0 ? [1] : []

    content {
      sid     = "ReadLogs"
      actions = ["logs:DescribeLogStreams", "logs:FilterLogEvents", "logs:GetLogEvents"]
      # The group, and its streams.
      resources = flatten([for arn in local.log_groups : [arn, "${arn}:*"]])
    }
  }

  dynamic "statement" {
    for_each = length(var.secret_arns) > 0 ? [1] : []

    content {
      sid = "FillSecrets"
      # The description says whether there is a value. What it is, the deployment need not know.
      actions   = ["secretsmanager:DescribeSecret", "secretsmanager:PutSecretValue"]
      resources = values(var.secret_arns)
    }
  }

  dynamic "statement" {
    for_each = var.secret_kms_key_arn == null ? [] : [var.secret_kms_key_arn]

    content {
      sid       = "SealSecrets"
      actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
      resources = [statement.value]

      condition {
        test     = "StringEquals"
        variable = "kms:ViaService"
        values   = [local.secrets_service]
      }
    }
  }

  # A password cannot be given without the right to change what the user may do: ModifyUser is one action.
  dynamic "statement" {
    for_each = length(var.elasticache_user_arns) > 0 ? [1] : []

    content {
      sid       = "GivePasswords"
      actions   = ["elasticache:DescribeUsers", "elasticache:ModifyUser"]
      resources = values(var.elasticache_user_arns)
    }
  }
}

resource "aws_iam_role" "deploy" {
  name                 = "${var.name}-deploy"
  description          = "Deployments of ${var.name} from ${var.repository}"
  assume_role_policy   = data.aws_iam_policy_document.deploy_assume.json
  permissions_boundary = var.permissions_boundary_arn
  # A deployment is given up by its workflow after 150 minutes, the longest of all. The session has to outlast it: one that
  # ended in a rollout could neither put it back nor tell how it went.
  max_session_duration = 10800
}

resource "aws_iam_role_policy" "deploy" {
  name   = "deploy"
  role   = aws_iam_role.deploy.id
  policy = data.aws_iam_policy_document.deploy.json
}

################################################################################
# Plan role
################################################################################

# A person who may push a branch may open a pull request whose workflow is what the branch says, and take this role in it. So it
# can read how things are set up, and nothing that is kept in them. Workflows of forks get no token unless the repository's
# settings give them one; leave that off.
data "aws_iam_policy_document" "plan_assume" {
  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]

    principals {
      type        = "Federated"
      identifiers = [local.provider_arn]
    }

    condition {
      test     = "StringEquals"
      variable = "token.actions.githubusercontent.com:aud"
      values   = [local.audience]
    }

    condition {
      test     = "StringEquals"
      variable = "token.actions.githubusercontent.com:sub"
      values   = [for subject in var.plan_subjects : "${local.subject_prefix}:${subject}"]
    }
  }
}

# What a refresh reads of the services that are used, beyond ViewOnlyAccess (its version 46). Names begin with var.name, by
# which most of it is told from what else is in the account; certificates, keys and pools have ids instead.
data "aws_iam_policy_document" "plan" {
  statement {
    sid = "ReadLists"
    # None of these actions knows resources.
    actions = [
      "application-autoscaling:DescribeScalableTargets",
      "application-autoscaling:DescribeScalingPolicies",
      "cognito-idp:DescribeUserPoolDomain",
      "ec2:DescribeAddressesAttribute",
      "elasticloadbalancing:DescribeCapacityReservation",
      "elasticloadbalancing:DescribeListenerAttributes",
      "elasticloadbalancing:DescribeListenerCertificates",
      "elasticloadbalancing:DescribeRules",
      "elasticloadbalancing:DescribeTags",
      "elasticloadbalancing:DescribeTargetGroupAttributes",
      "kms:ListAliases",
      "ssm:DescribeParameters",
    ]
    resources = ["*"]
  }

  statement {
    sid       = "ReadScaling"
    actions   = ["application-autoscaling:ListTagsForResource"]
    resources = ["${local.arn_prefixes["application-autoscaling"]}:scalable-target/*"]
  }

  statement {
    sid       = "ReadCertificates"
    actions   = ["acm:DescribeCertificate", "acm:ListTagsForCertificate"]
    resources = ["${local.arn_prefixes.acm}:certificate/*"]
  }

  statement {
    sid     = "ReadFirewall"
    actions = ["wafv2:GetLoggingConfiguration", "wafv2:GetWebACL", "wafv2:GetWebACLForResource"]
    resources = [
      "${local.arn_prefixes.elasticloadbalancing}:loadbalancer/app/${var.name}*",
      "${local.arn_prefixes.wafv2}:regional/webacl/${var.name}*",
    ]
  }

  statement {
    sid       = "ReadDatabase"
    actions   = ["rds:ListTagsForResource"]
    resources = ["${local.arn_prefixes.rds}:*:${var.name}*"]
  }

  statement {
    sid       = "ReadCache"
    actions   = ["elasticache:ListTagsForResource"]
    resources = ["${local.arn_prefixes.elasticache}:*:${var.name}*"]
  }

  statement {
    sid       = "ReadRegistry"
    actions   = ["ecr:GetLifecyclePolicy", "ecr:GetRepositoryPolicy", "ecr:ListTagsForResource"]
    resources = [var.repository_arn]
  }

  # How buckets are set up; what is in them needs s3:GetObject.
  statement {
    sid = "ReadBuckets"
    actions = [
      "s3:GetAccelerateConfiguration",
      "s3:GetBucketAcl",
      "s3:GetBucketCORS",
      "s3:GetBucketLocation",
      "s3:GetBucketLogging",
      "s3:GetBucketObjectLockConfiguration",
      "s3:GetBucketOwnershipControls",
      "s3:GetBucketPolicy",
      "s3:GetBucketPublicAccessBlock",
      "s3:GetBucketRequestPayment",
      "s3:GetBucketTagging",
      "s3:GetBucketVersioning",
      "s3:GetBucketWebsite",
      "s3:GetEncryptionConfiguration",
      "s3:GetLifecycleConfiguration",
      "s3:GetReplicationConfiguration",
      "s3:ListTagsForResource",
    ]
    resources = ["${local.s3_prefix}${var.name}*"]
  }

  # A client of a pool is shown with its secret, which the state has as well: keep to clients that have none.
  statement {
    sid = "ReadPools"
    actions = [
      "cognito-idp:DescribeIdentityProvider",
      "cognito-idp:DescribeResourceServer",
      "cognito-idp:DescribeUserPool",
      "cognito-idp:DescribeUserPoolClient",
      "cognito-idp:GetUserPoolMfaConfig",
    ]
    resources = ["${local.arn_prefixes["cognito-idp"]}:userpool/*"]
  }

  statement {
    sid       = "ReadAlarms"
    actions   = ["cloudwatch:DescribeAlarms"]
    resources = ["${local.arn_prefixes.cloudwatch}:alarm:*"]
  }

  statement {
    sid       = "ReadTopics"
    actions   = ["sns:GetSubscriptionAttributes", "sns:GetTopicAttributes"]
    resources = ["${local.arn_prefixes.sns}:${var.name}*"]
  }

  statement {
    sid       = "ReadKeys"
    actions   = ["kms:DescribeKey", "kms:GetKeyPolicy", "kms:GetKeyRotationStatus"]
    resources = ["${local.arn_prefixes.kms}:key/*"]
  }

  statement {
    sid     = "ReadRoles"
    actions = ["iam:GetOpenIDConnectProvider", "iam:GetPolicy", "iam:GetPolicyVersion", "iam:GetRole", "iam:GetRolePolicy"]
    resources = [
      "${local.iam_prefix}:oidc-provider/token.actions.githubusercontent.com",
      "${local.iam_prefix}:policy/${var.name}*",
      "${local.iam_prefix}:role/${var.name}*",
    ]
  }

  dynamic "statement" {
    for_each = local.has_parameters ? [1] : []

    content {
      sid       = "ReadParameters"
      actions   = ["ssm:GetParameter", "ssm:GetParameters", "ssm:ListTagsForResource"]
      resources = [for arn in [var.deployment_parameter_arn, var.releases_parameter_arn] : arn if arn != null]
    }
  }

  dynamic "statement" {
    for_each = length(var.secret_arns) > 0 ? [1] : []

    content {
      sid       = "ReadSecretsWithoutValues"
      actions   = ["secretsmanager:DescribeSecret", "secretsmanager:GetResourcePolicy"]
      resources = values(var.secret_arns)
    }
  }

  # Said as well as not granted: it holds whatever is attached to the role later.
  statement {
    sid       = "RefuseSecrets"
    effect    = "Deny"
    actions   = ["secretsmanager:BatchGetSecretValue", "secretsmanager:GetSecretValue"]
    resources = ["*"]
  }

  # Names of objects; the backend lists workspaces, which lie outside the prefix.
  statement {
    sid       = "FindState"
    actions   = ["s3:ListBucket"]
    resources = [var.state_bucket_arn]
  }

  statement {
    sid       = "ReadState"
    actions   = ["s3:GetObject"]
    resources = [local.state_keys]
  }

  # The lock is a file beside the state (use_lockfile). The state itself cannot be written.
  statement {
    sid       = "LockState"
    actions   = ["s3:DeleteObject", "s3:PutObject"]
    resources = ["${local.state_keys}.tflock"]
  }

  dynamic "statement" {
    for_each = var.state_kms_key_arn == null ? [] : [var.state_kms_key_arn]

    content {
      sid       = "UnsealState"
      actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
      resources = [statement.value]

      condition {
        test     = "StringEquals"
        variable = "kms:ViaService"
        # The bucket, and so its key, may be in another region.
        values = ["s3.${split(":", statement.value)[3]}.${data.aws_partition.current.dns_suffix}"]
      }
    }
  }
}

resource "aws_iam_role" "plan" {
  name                 = "${var.name}-plan"
  description          = "Plans of ${var.name} from ${var.repository}: reads how it is set up, no data and no secrets"
  assume_role_policy   = data.aws_iam_policy_document.plan_assume.json
  permissions_boundary = var.permissions_boundary_arn
  # The least that IAM takes.
  max_session_duration = 3600
}

# Not ReadOnlyAccess, which reads objects, messages and items: ViewOnlyAccess lists and describes.
resource "aws_iam_role_policy_attachment" "plan" {
  role       = aws_iam_role.plan.name
  policy_arn = local.view_only_policy
}

resource "aws_iam_role_policy" "plan" {
  name   = "plan"
  role   = aws_iam_role.plan.id
  policy = data.aws_iam_policy_document.plan.json
}
