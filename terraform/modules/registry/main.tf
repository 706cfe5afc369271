# The repository of the product's image: one repository, encrypted, scanned on push, and rid of what no rollback can
# need.
#
# Owns how long an image stays. Refuses tags that move, deletion while images are in it unless told otherwise, and pulls from other accounts:
# there is no repository policy, so IAM of this account alone decides. Leaves enhanced scanning and replication to the
# account: they are settings of all its repositories.

################################################################################
# Repository
################################################################################

# A tag that can be moved is a deployment that changes without a deployment.
resource "aws_ecr_repository" "this" {
  name                 = var.name
  force_delete         = !var.deletion_protection
  image_tag_mutability = "IMMUTABLE"

  encryption_configuration {
    encryption_type = "KMS"
    kms_key         = var.kms_key_arn
  }

  image_scanning_configuration {
    scan_on_push = true
  }

  tags = { Name = var.name }
}

################################################################################
# Lifecycle
################################################################################

# ECR does not know which images run. Fargate pulls the image whenever a task starts, so one that expired too early
# breaks the next restart or scale-out, not the deployment. Images are therefore counted and not aged: a system that is
# not deployed for a year keeps its image, and one is lost only after that many newer ones of its kind have been pushed.
#
# Releases and builds have a rule each, because several patterns in one rule mean "has all of these tags"
# (https://docs.aws.amazon.com/AmazonECR/latest/userguide/lifecycle_policy_parameters.html). What matches an earlier
# rule is never expired by a later one: a build whose smoke test passed is given a second tag by the deployment,
# `release-` and the beginning of its digest, and is counted as a release from then on. Whatever stays in service while
# others are built has to be one, and so has whatever a rollback may go back to.
resource "aws_ecr_lifecycle_policy" "this" {
  repository = aws_ecr_repository.this.name

  policy = jsonencode({
    rules = [
      {
        # The parts of an image for several platforms have no tag either; ECR keeps them while their index exists.
        rulePriority = 1
        description  = "Expire untagged images after ${var.untagged_expiry_days} days"
        selection = {
          tagStatus   = "untagged"
          countType   = "sinceImagePushed"
          countUnit   = "days"
          countNumber = var.untagged_expiry_days
        }
        action = { type = "expire" }
      },
      {
        rulePriority = 2
        description  = "Keep the newest ${var.keep_releases} releases"
        selection = {
          tagStatus      = "tagged"
          tagPatternList = ["release-*"]
          countType      = "imageCountMoreThan"
          countNumber    = var.keep_releases
        }
        action = { type = "expire" }
      },
      {
        rulePriority = 3
        description  = "Keep the newest ${var.keep_images} builds"
        selection = {
          tagStatus      = "tagged"
          tagPatternList = ["sha-*"]
          countType      = "imageCountMoreThan"
          countNumber    = var.keep_images
        }
        action = { type = "expire" }
      },
    ]
  })
}
