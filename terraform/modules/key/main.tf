# One customer-managed key, its policy and its alias.
#
# Owns who may use the key: IAM of this account decides about people and roles, the key's own policy about the services
# of AWS that are named, each as narrowly as it can be told apart. Refuses principals of other accounts, asymmetric keys
# and keys of several regions. Leaves to its callers how many keys there are: what shares a key shares its users.

data "aws_region" "current" {}
data "aws_partition" "current" {}
data "aws_caller_identity" "current" {}

################################################################################
# Key policy
################################################################################

locals {
  logs_arn = "arn:${data.aws_partition.current.partition}:logs:${data.aws_region.current.id}:${data.aws_caller_identity.current.account_id}"

  # The actions are those that each service's documentation asks for. What the account's IAM allows does not cover
  # services.
  service_grants = {
    # CloudWatch Logs encrypts under the ARN of the log group: the encryption context ties the grant to this account's
    # groups (https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html).
    logs = {
      principal = "logs.${data.aws_region.current.id}.amazonaws.com"
      actions   = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"]
      conditions = [
        { test = "ArnLike", variable = "kms:EncryptionContext:aws:logs:arn", value = "${local.logs_arn}:log-group:*" },
      ]
    }
    # An alarm calls KMS itself when its SNS topic is encrypted. Without this grant the alarm is raised and no message is sent.
    cloudwatch = {
      principal = "cloudwatch.amazonaws.com"
      actions   = ["kms:Decrypt", "kms:GenerateDataKey*"]
      conditions = [
        { test = "StringEquals", variable = "aws:SourceAccount", value = data.aws_caller_identity.current.account_id },
      ]
    }
    # Vended logs (VPC flow logs, WAF) on their way to an encrypted bucket.
    "delivery.logs" = {
      principal = "delivery.logs.amazonaws.com"
      actions   = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"]
      conditions = [
        { test = "StringEquals", variable = "aws:SourceAccount", value = data.aws_caller_identity.current.account_id },
        { test = "ArnLike", variable = "aws:SourceArn", value = "${local.logs_arn}:*" },
      ]
    }
  }
}

data "aws_iam_policy_document" "this" {
  #checkov:skip=CKV_AWS_109: In a key policy the resource * means the key that carries the policy.
  #checkov:skip=CKV_AWS_111: In a key policy the resource * means the key that carries the policy.
  #checkov:skip=CKV_AWS_356: In a key policy the resource * means the key that carries the policy.

  # Without this statement no IAM policy has any effect on the key, and only AWS's support can save a key that nobody
  # administers.
  statement {
    sid       = "AccountAdministers"
    actions   = ["kms:*"]
    resources = ["*"]

    principals {
      type        = "AWS"
      identifiers = ["arn:${data.aws_partition.current.partition}:iam::${data.aws_caller_identity.current.account_id}:root"]
    }
  }

  dynamic "statement" {
    for_each = { for service, grant in local.service_grants : service => grant if contains(var.services, service) }

    content {
      sid       = join("", [for word in split(".", statement.key) : title(word)])
      actions   = statement.value.actions
      resources = ["*"]

      principals {
        type        = "Service"
        identifiers = [statement.value.principal]
      }

      dynamic "condition" {
        for_each = statement.value.conditions

        content {
          test     = condition.value.test
          variable = condition.value.variable
          values   = [condition.value.value]
        }
      }
    }
  }
}

################################################################################
# Key
################################################################################

# A key that is gone takes all that it encrypted with it. The waiting period is its deletion protection: until it ends,
# CancelKeyDeletion brings the key back unharmed.
resource "aws_kms_key" "this" {
  description             = var.description
  deletion_window_in_days = var.deletion_window_days
  enable_key_rotation     = true
  rotation_period_in_days = var.rotation_period_days
  policy                  = data.aws_iam_policy_document.this.json

  tags = { Name = var.name }
}

resource "aws_kms_alias" "this" {
  name          = "alias/${var.name}"
  target_key_id = aws_kms_key.this.key_id
}
