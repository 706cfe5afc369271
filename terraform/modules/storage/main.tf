# Four buckets: `exports` (what tenants asked for, gone after a while), `statements` (what was billed, kept), `anchors` (the heads of
# the audit logs' chains, kept, and written by the worker alone) and `logs` (of the load balancer and of the other buckets).
#
# Owns who may write and how long everything stays. Refuses public access, access control lists, plain HTTP and TLS
# older than 1.2; in `anchors` also a second object of one name, whoever writes it. Leaves the names of objects to the product, and copies in another region to products that have to survive the
# loss of one: exports can be made again and statements are in the database too.

data "aws_region" "current" {}
data "aws_partition" "current" {}
data "aws_caller_identity" "current" {}

locals {
  purposes = toset(["anchors", "exports", "logs", "statements"])

  # The buckets of the product's own data; the other one holds what is written about them.
  data_purposes = toset(["anchors", "exports", "statements"])

  # For how long nobody can change or delete what is in a bucket, in days or in years.
  locks = {
    anchors    = { is_on = var.anchor_lock_days != null, days = var.anchor_lock_days, years = null }
    exports    = { is_on = false, days = null, years = null }
    logs       = { is_on = false, days = null, years = null }
    statements = { is_on = var.statement_lock_years != null, days = null, years = var.statement_lock_years }
  }

  # The edge names the first as the prefix of its access log.
  load_balancer_prefix = "alb"
  s3_prefix            = "s3"
}

################################################################################
# Buckets
################################################################################

# The account's id makes the name unique in the world. The longest one has 55 of the 63 characters that S3 allows.
resource "aws_s3_bucket" "this" {
  for_each = local.purposes

  #checkov:skip=CKV_AWS_18: Only `logs` has no access log, because it would log its own deliveries without end.
  #checkov:skip=CKV_AWS_144: Exports can be made again, statements are in the database too, whose backups are what survives, and anchors are proofs about what is there.
  #checkov:skip=CKV_AWS_145: Only `logs` has no customer key, because load balancers deliver to buckets with S3's own key alone.
  #checkov:skip=CKV2_AWS_62: No program waits for events of these buckets: the product knows what it writes.
  bucket        = "${var.name}-${each.key}-${data.aws_caller_identity.current.account_id}"
  force_destroy = !var.deletion_protection

  # COMPLIANCE and not GOVERNANCE: the lock is there against administrators, and those may lift GOVERNANCE. The bucket
  # and its retention are made in one step, so nothing is ever written without it. The provider prefers a resource
  # of its own for the retention; until 7.0 both do the same.
  dynamic "object_lock_configuration" {
    for_each = local.locks[each.key].is_on ? [local.locks[each.key]] : []

    content {
      object_lock_enabled = "Enabled"

      rule {
        default_retention {
          mode  = "COMPLIANCE"
          days  = object_lock_configuration.value.days
          years = object_lock_configuration.value.years
        }
      }
    }
  }

  tags = { Name = "${var.name}-${each.key}" }
}

resource "aws_s3_bucket_public_access_block" "this" {
  for_each = local.purposes

  bucket                  = aws_s3_bucket.this[each.key].id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "this" {
  for_each = local.purposes

  bucket = aws_s3_bucket.this[each.key].id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_versioning" "this" {
  for_each = local.purposes

  bucket = aws_s3_bucket.this[each.key].id

  versioning_configuration {
    status = "Enabled"
  }
}

################################################################################
# Encryption
################################################################################

# An object under a key that its writer brings along (SSE-C) is one that we cannot read, and the way to hold a bucket to
# ransom: both kinds of bucket refuse it.
resource "aws_s3_bucket_server_side_encryption_configuration" "data" {
  for_each = local.data_purposes

  bucket = aws_s3_bucket.this[each.key].id

  rule {
    blocked_encryption_types = ["SSE-C"]
    # One call to KMS for many objects instead of one for each.
    bucket_key_enabled = true

    apply_server_side_encryption_by_default {
      kms_master_key_id = var.kms_key_arn
      sse_algorithm     = "aws:kms"
    }
  }
}

# S3's own key is the only one that load balancers can deliver under
# (https://docs.aws.amazon.com/elasticloadbalancing/latest/application/enable-access-logging.html).
resource "aws_s3_bucket_server_side_encryption_configuration" "logs" {
  bucket = aws_s3_bucket.this["logs"].id

  rule {
    blocked_encryption_types = ["SSE-C"]

    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

################################################################################
# Retention
################################################################################

locals {
  retention = {
    # Small, one a day, and worth more the older they are.
    anchors    = { expiry_days = null, noncurrent_days = 3650 }
    exports    = { expiry_days = var.export_expiry_days, noncurrent_days = var.noncurrent_expiry_days }
    logs       = { expiry_days = var.log_retention_days, noncurrent_days = var.noncurrent_expiry_days }
    statements = { expiry_days = null, noncurrent_days = 3650 }
  }
}

# A statement that is corrected leaves the one that was sent behind. Both are accounting records, which the law of most
# countries wants to be kept for up to ten years.
resource "aws_s3_bucket_lifecycle_configuration" "this" {
  for_each = local.purposes

  bucket = aws_s3_bucket.this[each.key].id

  rule {
    id     = "retention"
    status = "Enabled"

    filter {}

    # The parts of an upload that was never finished are shown nowhere but on the bill.
    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }

    dynamic "expiration" {
      for_each = local.retention[each.key].expiry_days == null ? [] : [local.retention[each.key].expiry_days]

      content {
        days = expiration.value
      }
    }

    noncurrent_version_expiration {
      noncurrent_days = local.retention[each.key].noncurrent_days
    }
  }

  # Without versions there is nothing that could be noncurrent.
  depends_on = [aws_s3_bucket_versioning.this]
}

################################################################################
# Access
################################################################################

data "aws_iam_policy_document" "transport" {
  for_each = local.purposes

  statement {
    sid       = "DenyPlainText"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [aws_s3_bucket.this[each.key].arn, "${aws_s3_bucket.this[each.key].arn}/*"]

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
    sid       = "DenyOldTls"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [aws_s3_bucket.this[each.key].arn, "${aws_s3_bucket.this[each.key].arn}/*"]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "NumericLessThan"
      variable = "s3:TlsVersion"
      values   = ["1.2"]
    }
  }
}

# Who can write there could otherwise put another head in the place of the one that tells of a forgery: the version below it
# would still be there, but nobody reads versions who does not suspect anything.
data "aws_iam_policy_document" "anchors" {
  source_policy_documents = [data.aws_iam_policy_document.transport["anchors"].json]

  statement {
    sid       = "DenyOverwriting"
    effect    = "Deny"
    actions   = ["s3:PutObject"]
    resources = ["${aws_s3_bucket.this["anchors"].arn}/*"]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    # A condition is sent where an object comes to be, and not with the parts of an upload
    # (https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes-enforce.html).
    condition {
      test     = "Null"
      variable = "s3:if-none-match"
      values   = ["true"]
    }

    condition {
      test     = "Bool"
      variable = "s3:ObjectCreationOperation"
      values   = ["true"]
    }
  }
}

data "aws_iam_policy_document" "logs" {
  source_policy_documents = [data.aws_iam_policy_document.transport["logs"].json]

  # A load balancer writes under the id of its own account: the path keeps those of other accounts out.
  statement {
    sid       = "LoadBalancerDelivers"
    actions   = ["s3:PutObject"]
    resources = ["${aws_s3_bucket.this["logs"].arn}/${local.load_balancer_prefix}/AWSLogs/${data.aws_caller_identity.current.account_id}/*"]

    principals {
      type        = "Service"
      identifiers = ["logdelivery.elasticloadbalancing.amazonaws.com"]
    }
  }

  statement {
    sid       = "BucketsDeliver"
    actions   = ["s3:PutObject"]
    resources = ["${aws_s3_bucket.this["logs"].arn}/${local.s3_prefix}/*"]

    principals {
      type        = "Service"
      identifiers = ["logging.s3.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.current.account_id]
    }

    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = [for purpose in local.data_purposes : aws_s3_bucket.this[purpose].arn]
    }
  }
}

locals {
  bucket_policies = {
    anchors    = data.aws_iam_policy_document.anchors.json
    exports    = data.aws_iam_policy_document.transport["exports"].json
    logs       = data.aws_iam_policy_document.logs.json
    statements = data.aws_iam_policy_document.transport["statements"].json
  }
}

resource "aws_s3_bucket_policy" "this" {
  for_each = local.purposes

  bucket = aws_s3_bucket.this[each.key].id
  policy = local.bucket_policies[each.key]

  # S3 refuses to change a bucket's policy and its public access block at the same time.
  depends_on = [aws_s3_bucket_public_access_block.this]
}

# What a task of the product may do. It reads and writes objects that it knows by name: listing is for people.
data "aws_iam_policy_document" "task" {
  statement {
    sid       = "Exports"
    actions   = ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:PutObject"]
    resources = ["${aws_s3_bucket.this["exports"].arn}/*"]
  }

  # No deletion: what was billed stays.
  statement {
    sid       = "Statements"
    actions   = ["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"]
    resources = ["${aws_s3_bucket.this["statements"].arn}/*"]
  }

  # S3 decrypts to put an upload of several parts together.
  statement {
    sid       = "Key"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [var.kms_key_arn]

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["s3.${data.aws_region.current.id}.${data.aws_partition.current.dns_suffix}"]
    }
  }
}

# What the worker may do with anchors: put one more there. It reads none, and who has its role learns nothing from it.
data "aws_iam_policy_document" "anchoring" {
  statement {
    sid       = "Anchors"
    actions   = ["s3:PutObject"]
    resources = ["${aws_s3_bucket.this["anchors"].arn}/*"]
  }

  statement {
    sid       = "Key"
    actions   = ["kms:GenerateDataKey"]
    resources = [var.kms_key_arn]

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["s3.${data.aws_region.current.id}.${data.aws_partition.current.dns_suffix}"]
    }
  }
}

################################################################################
# Access logs
################################################################################

resource "aws_s3_bucket_logging" "this" {
  for_each = local.data_purposes

  bucket        = aws_s3_bucket.this[each.key].id
  target_bucket = aws_s3_bucket.this["logs"].id
  target_prefix = "${local.s3_prefix}/"

  # Account, region, bucket and day of the event in the path: a question about a day reads that day and no other.
  target_object_key_format {
    partitioned_prefix {
      partition_date_source = "EventTime"
    }
  }

  # Deliveries from before the policy would be lost.
  depends_on = [aws_s3_bucket_policy.this]
}
