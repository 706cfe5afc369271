# The way out for events of the platform: a queue of SQS with a dead letter queue and, for teams that have Kafka, what
# the product has to know about theirs.
#
# Owns who may send, who may receive and how often a message is tried. Refuses plain HTTP and all who are not named.
# Leaves a Kafka cluster to its owner: who wants Kafka has one, and a cluster of MSK is a life of its own. Leaves order
# and duplicates to receivers: events carry ids, and in a standard queue no tenant can hold up the others.

data "aws_region" "current" {}
data "aws_partition" "current" {}

locals {
  readers   = concat(values(var.receiver_role_arns), values(var.redrive_role_arns))
  redrivers = values(var.redrive_role_arns)
}

################################################################################
# Queues
################################################################################

resource "aws_sqs_queue" "outbound" {
  name                       = "${var.name}-events"
  kms_master_key_id          = var.kms_key_arn
  message_retention_seconds  = var.message_retention_days * 24 * 60 * 60
  visibility_timeout_seconds = var.visibility_timeout_seconds
  # The longest that SQS offers: an idle receiver asks three times a minute.
  receive_wait_time_seconds = 20

  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead_letter.arn
    maxReceiveCount     = var.max_receive_count
  })

  tags = { Name = "${var.name}-events" }
}

# The longest that SQS offers. A message does not get younger on its way here: what it has left is 14 days less those
# that it spent in the queue before.
resource "aws_sqs_queue" "dead_letter" {
  name                      = "${var.name}-events-dead-letter"
  kms_master_key_id         = var.kms_key_arn
  message_retention_seconds = 14 * 24 * 60 * 60

  tags = { Name = "${var.name}-events-dead-letter" }
}

resource "aws_sqs_queue_redrive_allow_policy" "this" {
  queue_url = aws_sqs_queue.dead_letter.id

  redrive_allow_policy = jsonencode({
    redrivePermission = "byQueue"
    sourceQueueArns   = [aws_sqs_queue.outbound.arn]
  })
}

################################################################################
# Access
################################################################################

# Within an account a queue's policy and IAM add up: a principal with sqs:* would get in. What refuses every other one is
# therefore a denial with exceptions. For a role the key aws:PrincipalArn is the role's ARN and not that of a session.
data "aws_iam_policy_document" "outbound" {
  statement {
    sid       = "DenyPlainText"
    effect    = "Deny"
    actions   = ["sqs:*"]
    resources = [aws_sqs_queue.outbound.arn]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }

  statement {
    sid       = "DenyOtherSenders"
    effect    = "Deny"
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.outbound.arn]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "ArnNotEquals"
      variable = "aws:PrincipalArn"
      values   = concat(values(var.sender_role_arns), local.redrivers)
    }
  }

  statement {
    sid       = "DenyOtherReceivers"
    effect    = "Deny"
    actions   = ["sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:PurgeQueue", "sqs:ReceiveMessage"]
    resources = [aws_sqs_queue.outbound.arn]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    # Without a principal to except, the denial holds for all.
    dynamic "condition" {
      for_each = length(local.readers) > 0 ? [local.readers] : []

      content {
        test     = "ArnNotEquals"
        variable = "aws:PrincipalArn"
        values   = condition.value
      }
    }
  }

  statement {
    sid       = "SendersSend"
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.outbound.arn]

    principals {
      type        = "AWS"
      identifiers = values(var.sender_role_arns)
    }
  }

  dynamic "statement" {
    for_each = length(var.receiver_role_arns) > 0 ? [values(var.receiver_role_arns)] : []

    content {
      sid       = "ReceiversReceive"
      actions   = ["sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"]
      resources = [aws_sqs_queue.outbound.arn]

      principals {
        type        = "AWS"
        identifiers = statement.value
      }
    }
  }
}

resource "aws_sqs_queue_policy" "outbound" {
  queue_url = aws_sqs_queue.outbound.id
  policy    = data.aws_iam_policy_document.outbound.json
}

# Sending is not denied here: it is SQS itself that moves messages in, from the one queue that the redrive policy
# admits.
data "aws_iam_policy_document" "dead_letter" {
  statement {
    sid       = "DenyPlainText"
    effect    = "Deny"
    actions   = ["sqs:*"]
    resources = [aws_sqs_queue.dead_letter.arn]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }

  statement {
    sid       = "DenyOtherReceivers"
    effect    = "Deny"
    actions   = ["sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:PurgeQueue", "sqs:ReceiveMessage", "sqs:StartMessageMoveTask"]
    resources = [aws_sqs_queue.dead_letter.arn]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    dynamic "condition" {
      for_each = length(local.readers) > 0 ? [local.readers] : []

      content {
        test     = "ArnNotEquals"
        variable = "aws:PrincipalArn"
        values   = condition.value
      }
    }
  }
}

resource "aws_sqs_queue_policy" "dead_letter" {
  queue_url = aws_sqs_queue.dead_letter.id
  policy    = data.aws_iam_policy_document.dead_letter.json
}

# What a sender's role has to be allowed. SQS needs kms:Decrypt of a sender too, to check the data key that it reuses.
data "aws_iam_policy_document" "sender" {
  statement {
    sid       = "Send"
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.outbound.arn]
  }

  statement {
    sid       = "Key"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [var.kms_key_arn]

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["sqs.${data.aws_region.current.id}.${data.aws_partition.current.dns_suffix}"]
    }
  }
}
