# nearbucket on ECS Fargate (ARM64) behind a load balancer, and CloudFront in front of it.
# deploy/README.md says how to roll it out and back.

data "aws_region" "current" {}
data "aws_partition" "current" {}
data "aws_caller_identity" "current" {}

data "aws_ec2_managed_prefix_list" "cloudfront" {
  name = "com.amazonaws.global.cloudfront.origin-facing"
}

locals {
  table  = yamldecode(file("${path.module}/values.yaml"))
  values = local.table.values
  size   = local.table.sizes[var.size]
  times  = local.values.times
  region = data.aws_region.current.name
  public = var.origin_access == "public-alb"
}

locals {
  # ---- the configuration: an object in S3, or variables
  in_object     = var.configuration_in == "object"
  configuration = yamldecode(var.configuration)
  config_key    = "nearbucket.yaml"

  # A section that is a list or a mapping is given whole, as JSON, which is YAML.
  inline = { for section, value in local.configuration : "NEARBUCKET_${upper(section)}" => jsonencode(value) }
  source = local.in_object ? {
    NEARBUCKET_CONFIG = "s3://${aws_s3_bucket.configuration[0].bucket}/${local.config_key}"
  } : local.inline

  secret_variables = local.public ? {
    NEARBUCKET_CLIENT_ADDRESS__ORIGIN_SECRET__HEADER = "x-origin-verify"
    NEARBUCKET_CLIENT_ADDRESS__ORIGIN_SECRET__VALUES = jsonencode(["env:ORIGIN_SECRET", "env:ORIGIN_SECRET_PREVIOUS"])
  } : {}
  # The version's id is part of the reference: a new version is a new task definition, so tasks are replaced.
  secrets = local.public ? {
    ORIGIN_SECRET          = "${var.origin_secret.arn}:current::${var.origin_secret.version_id}"
    ORIGIN_SECRET_PREVIOUS = "${var.origin_secret.arn}:previous::${var.origin_secret.version_id}"
  } : {}

  environment = merge(
    local.table.environment,
    { NEARBUCKET_LISTEN__WORKERS = tostring(local.size.workers) },
    local.secret_variables,
    local.source,
  )
}
