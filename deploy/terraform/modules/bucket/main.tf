# A bucket of downloads: the origin, or a target in its own region.

terraform {
  required_version = ">= 1.9"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 7.0"
    }
  }
}

variable "name" {
  description = "Name of the bucket. Without dots: TLS certificates of S3 do not cover them."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.name))
    error_message = "name has 3 to 63 lower-case letters, digits and hyphens."
  }
}

variable "task_role_arns" {
  description = "Roles of nearbucket's tasks in other accounts; those of this account have their own policy."
  type        = list(string)
  default     = []
}

variable "clients" {
  description = "Who reads objects without a signature: all (the bucket is public), endpoints (the VPCs of vpc_endpoint_ids), or none (CloudFront, nearbucket, and with redirect.presign who has a signed URL)."
  type        = string
  default     = "none"

  validation {
    condition     = contains(["all", "endpoints", "none"], var.clients)
    error_message = "clients is all, endpoints or none."
  }
}

variable "vpc_endpoint_ids" {
  description = "With clients endpoints: gateway endpoints of the clients' VPCs."
  type        = list(string)
  default     = []

  validation {
    condition     = (length(var.vpc_endpoint_ids) > 0) == (var.clients == "endpoints")
    error_message = "vpc_endpoint_ids is given with clients endpoints, and only then."
  }
}

variable "distribution_arns" {
  description = "Distributions that read the bucket with OAC."
  type        = list(string)
  default     = []
}

variable "noncurrent_days" {
  description = "Days that replaced and deleted objects are kept; replication needs versioning."
  type        = number
  default     = 7
}

resource "aws_s3_bucket" "this" {
  #checkov:skip=CKV_AWS_18:the logs of CloudFront and nearbucket tell who reads what; direct readers cost nothing
  #checkov:skip=CKV_AWS_144:replication is the module beside this one, and a target has none
  #checkov:skip=CKV_AWS_145:no client can read an object under a key of KMS without a signature
  #checkov:skip=CKV2_AWS_62:nothing waits for uploads
  #checkov:skip=CKV2_AWS_6:has one, which clients all opens for the policy alone
  bucket = var.name
}

resource "aws_s3_bucket_versioning" "this" {
  bucket = aws_s3_bucket.this.id
  versioning_configuration { status = "Enabled" }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  bucket = aws_s3_bucket.this.id
  rule {
    apply_server_side_encryption_by_default { sse_algorithm = "AES256" }
  }
}

resource "aws_s3_bucket_ownership_controls" "this" {
  bucket = aws_s3_bucket.this.id
  rule { object_ownership = "BucketOwnerEnforced" }
}

resource "aws_s3_bucket_public_access_block" "this" {
  #checkov:skip=CKV_AWS_54:a bucket with clients all is public on purpose, by its policy alone
  #checkov:skip=CKV_AWS_56:as CKV_AWS_54
  bucket                  = aws_s3_bucket.this.id
  block_public_acls       = true
  ignore_public_acls      = true
  block_public_policy     = var.clients != "all"
  restrict_public_buckets = var.clients != "all"
}

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  bucket = aws_s3_bucket.this.id
  rule {
    id     = "old-versions"
    status = "Enabled"
    filter {}
    noncurrent_version_expiration { noncurrent_days = var.noncurrent_days }
    abort_incomplete_multipart_upload { days_after_initiation = 7 }
  }
  depends_on = [aws_s3_bucket_versioning.this]
}

data "aws_iam_policy_document" "this" {
  #checkov:skip=CKV_AWS_283:clients all is a public bucket, on purpose
  statement {
    sid       = "OnlyTls"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [aws_s3_bucket.this.arn, "${aws_s3_bucket.this.arn}/*"]
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

  dynamic "statement" {
    for_each = var.clients == "none" ? [] : [1]
    content {
      sid       = "Clients"
      actions   = ["s3:GetObject"]
      resources = ["${aws_s3_bucket.this.arn}/*"]
      principals {
        type        = "*"
        identifiers = ["*"]
      }
      dynamic "condition" {
        for_each = var.clients == "endpoints" ? [1] : []
        content {
          test     = "StringEquals"
          variable = "aws:SourceVpce"
          values   = var.vpc_endpoint_ids
        }
      }
    }
  }

  dynamic "statement" {
    for_each = length(var.task_role_arns) > 0 ? [1] : []
    content {
      sid       = "NearbucketOfAnotherAccount"
      actions   = ["s3:GetObject", "s3:GetObjectTagging", "s3:ListBucket"]
      resources = [aws_s3_bucket.this.arn, "${aws_s3_bucket.this.arn}/*"]
      principals {
        type        = "AWS"
        identifiers = var.task_role_arns
      }
    }
  }

  # With ListBucket a missing object is a 404 at CloudFront too, not a 403.
  dynamic "statement" {
    for_each = length(var.distribution_arns) > 0 ? [1] : []
    content {
      sid       = "CloudFront"
      actions   = ["s3:GetObject", "s3:ListBucket"]
      resources = [aws_s3_bucket.this.arn, "${aws_s3_bucket.this.arn}/*"]
      principals {
        type        = "Service"
        identifiers = ["cloudfront.amazonaws.com"]
      }
      condition {
        test     = "StringEquals"
        variable = "aws:SourceArn"
        values   = var.distribution_arns
      }
    }
  }
}

resource "aws_s3_bucket_policy" "this" {
  bucket     = aws_s3_bucket.this.id
  policy     = data.aws_iam_policy_document.this.json
  depends_on = [aws_s3_bucket_public_access_block.this]
}

output "name" {
  description = "Name of the bucket, when it is versioned."
  value       = aws_s3_bucket_versioning.this.bucket
}

output "arn" {
  description = "ARN of the bucket."
  value       = aws_s3_bucket.this.arn
}

output "regional_domain_name" {
  description = "For origin_bucket."
  value       = aws_s3_bucket.this.bucket_regional_domain_name
}
