# ---- metrics from the log: what the proxy decided

resource "aws_cloudwatch_log_metric_filter" "this" {
  for_each       = local.table.metrics
  name           = each.key
  log_group_name = aws_cloudwatch_log_group.this.name
  pattern        = each.value.pattern

  metric_transformation {
    name      = each.key
    namespace = local.namespace
    value     = each.value.value
  }
}

locals {
  namespace = "nearbucket/${var.name}"
  limits    = local.values.alarms

  balancer = { LoadBalancer = aws_lb.this.arn_suffix }
  # What alarms and panels of values.yaml are of.
  of = {
    tasks    = { namespace = "AWS/ApplicationELB", dimensions = merge(local.balancer, { TargetGroup = aws_lb_target_group.this.arn_suffix }) }
    balancer = { namespace = "AWS/ApplicationELB", dimensions = local.balancer }
    service  = { namespace = "AWS/ECS", dimensions = { ClusterName = aws_ecs_cluster.this.name, ServiceName = aws_ecs_service.this.name } }
    log      = { namespace = local.namespace, dimensions = {} }
  }
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each            = { for name, each in local.table.alarms : name => each if each.threshold != "most" || var.tasks.max > var.tasks.min }
  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.text
  namespace           = local.of[each.value.of].namespace
  metric_name         = each.value.metric
  dimensions          = local.of[each.value.of].dimensions
  statistic           = each.value.statistic
  comparison_operator = each.value.compare
  threshold           = each.value.threshold == "most" ? var.tasks.max : each.value.threshold
  period              = each.value.minutes * 60
  evaluation_periods  = each.value.periods
  treat_missing_data  = each.value.missing
  alarm_actions       = var.alarm_actions
  ok_actions          = var.alarm_actions
}

resource "aws_cloudwatch_metric_alarm" "target_5xx" {
  alarm_name          = "${var.name}-target-5xx"
  alarm_description   = "Over ${local.limits.target_5xx} % of requests end in a 5xx of nearbucket: S3 fails, or is slow. See docs/operations.md#nearbucketoriginerrors"
  comparison_operator = "GreaterThanThreshold"
  threshold           = local.limits.target_5xx
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_actions
  ok_actions          = var.alarm_actions

  metric_query {
    id          = "percent"
    expression  = "IF(FILL(errors, 0) >= ${local.limits.least_5xx}, 100 * FILL(errors, 0) / requests, 0)"
    label       = "5xx, percent"
    return_data = true
  }
  dynamic "metric_query" {
    for_each = { errors = "HTTPCode_Target_5XX_Count", requests = "RequestCount" }
    content {
      id = metric_query.key
      metric {
        namespace   = "AWS/ApplicationELB"
        metric_name = metric_query.value
        dimensions  = local.balancer
        stat        = "Sum"
        period      = 300
      }
    }
  }
}

# Not one chosen for a redirect, in shadow mode neither: the savings have stopped.
resource "aws_cloudwatch_metric_alarm" "no_redirects" {
  alarm_name          = "${var.name}-no-redirects"
  alarm_description   = "Over ${local.limits.requests_without_redirect} requests in half an hour, and none was redirected, or would have been: the mode, the targets' health, the address of clients. See docs/operations.md#nearbucketnoredirects"
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_actions
  ok_actions          = var.alarm_actions

  metric_query {
    id          = "stopped"
    expression  = "IF(requests > ${local.limits.requests_without_redirect} AND FILL(chosen, 0) < 1, 1, 0)"
    label       = "Requests, and no redirect"
    return_data = true
  }
  metric_query {
    id = "requests"
    metric {
      namespace   = "AWS/ApplicationELB"
      metric_name = "RequestCount"
      dimensions  = local.balancer
      stat        = "Sum"
      period      = 1800
    }
  }
  metric_query {
    id = "chosen"
    metric {
      namespace   = local.namespace
      metric_name = "ChosenForRedirect"
      stat        = "Sum"
      period      = 1800
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "distribution_5xx" {
  for_each            = { for key, each in merge(aws_cloudfront_distribution.this, { for each in aws_cloudfront_distribution.cached : "cached" => each }) : key => each.id }
  provider            = aws.us_east_1
  alarm_name          = "${var.name}-${each.key}-5xx"
  alarm_description   = "Over ${local.limits.distribution_5xx} % of the distribution's requests end in a 5xx. See docs/operations.md#troubleshooting"
  comparison_operator = "GreaterThanThreshold"
  threshold           = local.limits.distribution_5xx
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_actions_us_east_1
  ok_actions          = var.alarm_actions_us_east_1

  metric_query {
    id          = "percent"
    expression  = "IF(share * requests / 100 >= ${local.limits.least_5xx}, share, 0)"
    label       = "5xx, percent"
    return_data = true
  }
  dynamic "metric_query" {
    for_each = { share = ["5xxErrorRate", "Average"], requests = ["Requests", "Sum"] }
    content {
      id = metric_query.key
      metric {
        namespace   = "AWS/CloudFront"
        metric_name = metric_query.value[0]
        dimensions  = { DistributionId = each.value, Region = "Global" }
        stat        = metric_query.value[1]
        period      = 300
      }
    }
  }
}

# ---- dashboard

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = "${var.name}-${local.region}"
  dashboard_body = jsonencode({
    widgets = [for i, panel in local.table.panels : {
      type   = "metric"
      x      = 12 * (i % 2)
      y      = 6 * floor(i / 2)
      width  = 12
      height = 6
      properties = {
        title   = panel.title
        region  = local.region
        stacked = panel.stacked
        period  = 300
        metrics = [for line in panel.lines : concat(
          [local.of[line[0]].namespace, line[1]],
          flatten([for name, value in local.of[line[0]].dimensions : [name, value]]),
          [{ stat = line[2], color = line[3] }],
        )]
      }
    }]
  })
}
