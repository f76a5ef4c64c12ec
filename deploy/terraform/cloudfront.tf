# ---- the way to the load balancer

resource "aws_cloudfront_vpc_origin" "this" {
  count = local.public ? 0 : 1
  vpc_origin_endpoint_config {
    name                   = "${var.name}-${local.region}"
    arn                    = aws_lb.this.arn
    http_port              = 80
    https_port             = 443
    origin_protocol_policy = "http-only"
    origin_ssl_protocols {
      items    = ["TLSv1.2"]
      quantity = 1
    }
  }
  depends_on = [aws_lb_listener.this]
}

# In the state, as CloudFront's own configuration has it in plain text too: keep both private.
data "aws_secretsmanager_secret_version" "origin" {
  count      = local.public ? 1 : 0
  secret_id  = var.origin_secret.arn
  version_id = var.origin_secret.version_id
}

# ---- what is sent to nearbucket, and what is kept

# All of the viewer's headers, with Host, which chooses the site, and opt-outs; its address; its query.
# No cookies: with one, a request counts as one with credentials and is not redirected.
resource "aws_cloudfront_origin_request_policy" "viewer" {
  name    = "${var.name}-${local.region}-viewer"
  comment = "What the viewer sent, without cookies, and its address, for nearbucket"
  headers_config {
    header_behavior = "allViewerAndWhitelistCloudFront"
    headers { items = ["CloudFront-Viewer-Address"] }
  }
  cookies_config { cookie_behavior = "none" }
  query_strings_config { query_string_behavior = "all" }
}

# For what comes from the bucket alone. With a minimum of 0 an object's own Cache-Control decides. The headers are those that the
# bucket's CORS rules look at; without Origin S3 answers as to a client that is no browser, and so would the cache to all.
resource "aws_cloudfront_cache_policy" "bucket" {
  name        = "${var.name}-${local.region}-bucket"
  comment     = "Objects straight from the origin bucket"
  min_ttl     = 0
  default_ttl = var.cached_ttl
  max_ttl     = 31536000
  parameters_in_cache_key_and_forwarded_to_origin {
    headers_config {
      header_behavior = "whitelist"
      headers { items = ["Origin", "Access-Control-Request-Headers", "Access-Control-Request-Method"] }
    }
    cookies_config { cookie_behavior = "none" }
    query_strings_config { query_string_behavior = "none" }
  }
}

resource "aws_cloudfront_origin_access_control" "bucket" {
  name                              = "${var.name}-${local.region}-bucket"
  origin_access_control_origin_type = "s3"
  signing_behavior                  = "always"
  signing_protocol                  = "sigv4"
}

locals {
  viewer_policy_id = aws_cloudfront_origin_request_policy.viewer.id
  bucket_policy_id = aws_cloudfront_cache_policy.bucket.id
  # Errors are kept for 10 s by default, caching disabled or not: one client's 503 for everybody, and a
  # 404 after the upload. The time belongs to a distribution, not to a behaviour.
  errors = [400, 403, 404, 405, 414, 416, 500, 501, 502, 503, 504]
}

resource "aws_cloudfront_distribution" "this" {
  #checkov:skip=CKV_AWS_68:web_acl_arn takes one; downloads have no forms or logins to protect
  #checkov:skip=CKV2_AWS_47:as CKV_AWS_68
  #checkov:skip=CKV_AWS_305:there is no page at /; a site's index is nearbucket's setting
  #checkov:skip=CKV_AWS_310:nearbucket fails over to other buckets itself (failover)
  #checkov:skip=CKV_AWS_374:downloads are for all countries
  #checkov:skip=CKV2_AWS_32:the objects' own headers are passed on; browsers do not render archives
  for_each            = var.distributions
  enabled             = true
  comment             = "${var.name}: ${each.key}"
  aliases             = each.value.aliases
  http_version        = "http2and3"
  is_ipv6_enabled     = true
  price_class         = var.price_class
  web_acl_id          = var.web_acl_arn
  wait_for_deployment = true

  origin {
    origin_id   = "nearbucket"
    domain_name = local.public ? var.public_alb.name : aws_lb.this.dns_name

    dynamic "vpc_origin_config" {
      for_each = aws_cloudfront_vpc_origin.this[*].id
      content {
        vpc_origin_id            = vpc_origin_config.value
        origin_read_timeout      = local.times.origin_read
        origin_keepalive_timeout = local.times.origin_keepalive
      }
    }

    dynamic "custom_origin_config" {
      for_each = local.public ? [1] : []
      content {
        http_port                = 80
        https_port               = 443
        origin_protocol_policy   = "https-only"
        origin_ssl_protocols     = ["TLSv1.2"]
        origin_read_timeout      = local.times.origin_read
        origin_keepalive_timeout = local.times.origin_keepalive
      }
    }

    dynamic "custom_header" {
      for_each = local.public ? [1] : []
      content {
        name  = "x-origin-verify"
        value = jsondecode(data.aws_secretsmanager_secret_version.origin[0].secret_string).current
      }
    }
  }

  dynamic "origin" {
    for_each = var.design == "suffixes" ? [1] : []
    content {
      origin_id                = "bucket"
      domain_name              = var.origin_bucket
      origin_access_control_id = aws_cloudfront_origin_access_control.bucket.id
    }
  }

  # The answer depends on the client, so nothing of it may be kept.
  dynamic "ordered_cache_behavior" {
    for_each = var.design == "suffixes" ? concat(var.redirectable_paths, ["/.well-known/nearbucket-hosts.json"]) : []
    content {
      path_pattern             = ordered_cache_behavior.value
      target_origin_id         = "nearbucket"
      viewer_protocol_policy   = "redirect-to-https"
      allowed_methods          = ["GET", "HEAD", "OPTIONS"]
      cached_methods           = ["GET", "HEAD"]
      compress                 = false # would weaken the ETag
      cache_policy_id          = local.values.policies.caching_disabled
      origin_request_policy_id = local.viewer_policy_id
    }
  }

  default_cache_behavior {
    target_origin_id         = var.design == "suffixes" ? "bucket" : "nearbucket"
    viewer_protocol_policy   = "redirect-to-https"
    allowed_methods          = ["GET", "HEAD", "OPTIONS"]
    cached_methods           = ["GET", "HEAD"]
    compress                 = false
    cache_policy_id          = var.design == "suffixes" ? local.bucket_policy_id : local.values.policies.caching_disabled
    origin_request_policy_id = var.design == "suffixes" ? null : local.viewer_policy_id
  }

  dynamic "custom_error_response" {
    for_each = local.errors
    content {
      error_code            = custom_error_response.value
      error_caching_min_ttl = 0
    }
  }

  logging_config {
    bucket = aws_s3_bucket.logs.bucket_domain_name
    prefix = "cloudfront/${each.key}/"
  }

  restrictions {
    geo_restriction { restriction_type = "none" }
  }

  viewer_certificate {
    acm_certificate_arn      = each.value.certificate_arn
    ssl_support_method       = "sni-only"
    minimum_protocol_version = "TLSv1.2_2021"
  }

  # A new secret is sent when all tasks accept it: the service waits until it is steady.
  depends_on = [aws_ecs_service.this, aws_s3_bucket_acl.logs]
}

# Design redirect: where clients go that are not redirected to a bucket. It never asks nearbucket, or
# the redirects would form a loop.
resource "aws_cloudfront_distribution" "cached" {
  #checkov:skip=CKV_AWS_68:as the first distribution
  #checkov:skip=CKV2_AWS_47:as the first distribution
  #checkov:skip=CKV_AWS_305:as the first distribution
  #checkov:skip=CKV_AWS_310:objects are kept at the edges; a second origin would need a copy of the bucket
  #checkov:skip=CKV_AWS_374:as the first distribution
  #checkov:skip=CKV2_AWS_32:as the first distribution
  count           = var.cached_distribution == null ? 0 : 1
  enabled         = true
  comment         = "${var.name}: cached"
  aliases         = var.cached_distribution.aliases
  http_version    = "http2and3"
  is_ipv6_enabled = true
  price_class     = var.price_class
  web_acl_id      = var.web_acl_arn

  origin {
    origin_id                = "bucket"
    domain_name              = var.origin_bucket
    origin_access_control_id = aws_cloudfront_origin_access_control.bucket.id
  }

  default_cache_behavior {
    target_origin_id       = "bucket"
    viewer_protocol_policy = "redirect-to-https"
    allowed_methods        = ["GET", "HEAD", "OPTIONS"]
    cached_methods         = ["GET", "HEAD"]
    compress               = false
    cache_policy_id        = local.bucket_policy_id
  }

  dynamic "custom_error_response" {
    for_each = local.errors
    content {
      error_code            = custom_error_response.value
      error_caching_min_ttl = 0
    }
  }

  logging_config {
    bucket = aws_s3_bucket.logs.bucket_domain_name
    prefix = "cloudfront/cached/"
  }

  restrictions {
    geo_restriction { restriction_type = "none" }
  }

  viewer_certificate {
    acm_certificate_arn      = var.cached_distribution.certificate_arn
    ssl_support_method       = "sni-only"
    minimum_protocol_version = "TLSv1.2_2021"
  }

  lifecycle {
    precondition {
      condition = alltrue([
        for site in local.configuration.sites :
        try(site.bypass.mode, "") == "redirect" && contains([for alias in var.cached_distribution.aliases : "https://${alias}"], try(site.bypass.to, ""))
      ])
      error_message = "With cached_distribution, each site of the configuration has bypass: {mode: redirect, to: https://<one of its aliases>}."
    }
  }

  depends_on = [aws_s3_bucket_acl.logs]
}
