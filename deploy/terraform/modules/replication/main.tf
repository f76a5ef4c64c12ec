# Replication of the origin bucket to each target, with the role for it. In the region of the origin.
# It copies what is uploaded from now on: `nearbucket sync` copies what was there before.

terraform {
  required_version = ">= 1.9"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 7.0"
    }
  }
}

variable "origin" {
  description = "Name of the origin bucket, which is versioned."
  type        = string
}

variable "targets" {
  description = "Target buckets, which are versioned, by region: names, and the prefix of the keys that are copied (the part before the first pattern character of redirect.paths; empty: all)."
  type        = map(object({ bucket = string, prefix = optional(string, "") }))

  validation {
    condition     = length(var.targets) > 0
    error_message = "There is at least one target."
  }
}

data "aws_partition" "current" {}

locals {
  regions = sort(keys(var.targets))
  origin  = "arn:${data.aws_partition.current.partition}:s3:::${var.origin}"
  arns    = { for region, each in var.targets : region => "arn:${data.aws_partition.current.partition}:s3:::${each.bucket}" }
}

data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["s3.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "replicate" {
  statement {
    actions   = ["s3:GetReplicationConfiguration", "s3:ListBucket"]
    resources = [local.origin]
  }
  statement {
    actions   = ["s3:GetObjectVersionForReplication", "s3:GetObjectVersionAcl", "s3:GetObjectVersionTagging"]
    resources = ["${local.origin}/*"]
  }
  statement {
    actions   = ["s3:ReplicateObject", "s3:ReplicateDelete", "s3:ReplicateTags"]
    resources = [for arn in values(local.arns) : "${arn}/*"]
  }
}

resource "aws_iam_role" "this" {
  name_prefix        = "nearbucket-replication-"
  assume_role_policy = data.aws_iam_policy_document.assume.json
}

resource "aws_iam_role_policy" "this" {
  name   = "replicate"
  role   = aws_iam_role.this.id
  policy = data.aws_iam_policy_document.replicate.json
}

resource "aws_s3_bucket_replication_configuration" "this" {
  bucket = var.origin
  role   = aws_iam_role.this.arn

  dynamic "rule" {
    for_each = local.regions
    content {
      id       = rule.value
      priority = rule.key
      status   = "Enabled"
      filter { prefix = var.targets[rule.value].prefix }
      # A deleted object is soon gone at the target as well: nearbucket would find out only after verify_ttl.
      delete_marker_replication { status = "Enabled" }
      destination {
        bucket        = local.arns[rule.value]
        storage_class = "STANDARD" # archived copies cannot be read by clients
        # Minutes until an object is at the target, as a metric; charged per GB.
        replication_time {
          status = "Enabled"
          time { minutes = 15 }
        }
        metrics {
          status = "Enabled"
          event_threshold { minutes = 15 }
        }
      }
    }
  }
  depends_on = [aws_iam_role_policy.this]
}

output "role_arn" {
  description = "For policies of target buckets in other accounts."
  value       = aws_iam_role.this.arn
}
