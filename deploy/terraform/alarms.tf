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
  group    = merge(local.balancer, { TargetGroup = aws_lb_target_group.this.arn_suffix })
  service  = { ClusterName = aws_ecs_cluster.this.name, ServiceName = aws_ecs_service.this.name }

  # Missing data: a load balancer without tasks has no HealthyHostCount, and without errors no count of them.
  alarms = {
    no-task-is-ready = {
      text      = "No task is ready: every download fails."
      namespace = "AWS/ApplicationELB", metric = "HealthyHostCount", dimensions = local.group
      statistic = "Minimum", compare = "LessThanThreshold", threshold = 1, minutes = 1, periods = 2, missing = "breaching"
    }
    all-tasks-used = {
      text      = "As many tasks run as tasks.max allows: raise it, or size."
      namespace = "AWS/ApplicationELB", metric = "HealthyHostCount", dimensions = local.group
      statistic = "Minimum", compare = "GreaterThanOrEqualToThreshold", threshold = var.tasks.max, minutes = 5, periods = 3, missing = "notBreaching"
    }
    tasks-are-not-ready = {
      text      = "A task does not become ready: its log, and /readyz, say why."
      namespace = "AWS/ApplicationELB", metric = "UnHealthyHostCount", dimensions = local.group
      statistic = "Minimum", compare = "GreaterThanThreshold", threshold = 0, minutes = 5, periods = 2, missing = "notBreaching"
    }
    load-balancer-5xx = {
      text      = "The load balancer answers 5xx itself: no task, or connections that tasks broke off."
      namespace = "AWS/ApplicationELB", metric = "HTTPCode_ELB_5XX_Count", dimensions = local.balancer
      statistic = "Sum", compare = "GreaterThanThreshold", threshold = local.limits.load_balancer_5xx, minutes = 5, periods = 1, missing = "notBreaching"
    }
    memory = {
      text      = "Tasks are about to be killed for want of memory: raise size."
      namespace = "AWS/ECS", metric = "MemoryUtilization", dimensions = local.service
      statistic = "Maximum", compare = "GreaterThanThreshold", threshold = local.limits.memory, minutes = 5, periods = 2, missing = "notBreaching"
    }
    errors = {
      text      = "The process log has errors: a refused configuration, crashed workers, an unreadable bucket."
      namespace = local.namespace, metric = "Errors", dimensions = {}
      statistic = "Sum", compare = "GreaterThanOrEqualToThreshold", threshold = local.limits.errors, minutes = 5, periods = 1, missing = "notBreaching"
    }
    client-unknown = {
      text      = "Requests without the client's address: a behaviour lacks the origin request policy."
      namespace = local.namespace, metric = "ClientUnknown", dimensions = {}
      statistic = "Sum", compare = "GreaterThanThreshold", threshold = local.limits.client_unknown, minutes = 5, periods = 1, missing = "notBreaching"
    }
    wrong-secret = {
      text      = "Requests with a wrong origin secret: a rotation that went wrong, or a stranger's distribution."
      namespace = local.namespace, metric = "WrongSecret", dimensions = {}
      statistic = "Sum", compare = "GreaterThanThreshold", threshold = local.limits.wrong_secret, minutes = 5, periods = 1, missing = "notBreaching"
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each            = local.alarms
  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.text
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  comparison_operator = each.value.compare
  threshold           = each.value.threshold
  period              = each.value.minutes * 60
  evaluation_periods  = each.value.periods
  treat_missing_data  = each.value.missing
  alarm_actions       = var.alarm_actions
  ok_actions          = var.alarm_actions
}

resource "aws_cloudwatch_metric_alarm" "target_5xx" {
  alarm_name          = "${var.name}-target-5xx"
  alarm_description   = "Over ${local.limits.target_5xx} % of requests end in a 5xx of nearbucket: S3 fails, or is slow."
  comparison_operator = "GreaterThanThreshold"
  threshold           = local.limits.target_5xx
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_actions
  ok_actions          = var.alarm_actions

  metric_query {
    id          = "percent"
    expression  = "100 * FILL(errors, 0) / requests"
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
  alarm_description   = "Over ${local.limits.requests_without_redirect} requests in half an hour, and none was redirected, or would have been: the mode, the targets' health, the address of clients."
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
  alarm_description   = "Over ${local.limits.distribution_5xx} % of the distribution's requests end in a 5xx."
  namespace           = "AWS/CloudFront"
  metric_name         = "5xxErrorRate"
  dimensions          = { DistributionId = each.value, Region = "Global" }
  statistic           = "Average"
  comparison_operator = "GreaterThanThreshold"
  threshold           = local.limits.distribution_5xx
  period              = 300
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_actions_us_east_1
  ok_actions          = var.alarm_actions_us_east_1
}

# ---- dashboard

locals {
  red    = "#d62728"
  green  = "#2ca02c"
  orange = "#ff7f0e"
  blue   = "#1f77b4"

  # Title, and its lines: namespace, metric, dimensions, statistic, options.
  panels = [
    { title = "Requests: redirected, not redirected though in AWS, outside AWS", stacked = true, lines = [
      [local.namespace, "Redirects", {}, "Sum", { color = local.green }],
      [local.namespace, "NotRedirectedInAws", {}, "Sum", { color = local.orange }],
      [local.namespace, "OutsideAws", {}, "Sum", { color = local.blue }],
    ] },
    { title = "Streamed bytes", stacked = false, lines = [
      [local.namespace, "StreamedBytes", {}, "Sum", { color = local.orange }],
      ["AWS/ApplicationELB", "ProcessedBytes", local.balancer, "Sum", {}],
    ] },
    { title = "Errors", stacked = false, lines = [
      ["AWS/ApplicationELB", "HTTPCode_Target_5XX_Count", local.balancer, "Sum", { color = local.red }],
      ["AWS/ApplicationELB", "HTTPCode_ELB_5XX_Count", local.balancer, "Sum", {}],
      ["AWS/ApplicationELB", "HTTPCode_Target_4XX_Count", local.balancer, "Sum", {}],
      [local.namespace, "Errors", {}, "Sum", {}],
    ] },
    { title = "Tasks", stacked = false, lines = [
      ["AWS/ApplicationELB", "HealthyHostCount", local.group, "Minimum", { color = local.green }],
      ["AWS/ApplicationELB", "UnHealthyHostCount", local.group, "Maximum", { color = local.red }],
    ] },
    { title = "CPU and memory, percent", stacked = false, lines = [
      ["AWS/ECS", "CPUUtilization", local.service, "Average", {}],
      ["AWS/ECS", "MemoryUtilization", local.service, "Maximum", {}],
    ] },
    { title = "Seconds until the answer begins", stacked = false, lines = [
      ["AWS/ApplicationELB", "TargetResponseTime", local.balancer, "p50", {}],
      ["AWS/ApplicationELB", "TargetResponseTime", local.balancer, "p99", {}],
    ] },
  ]
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = "${var.name}-${local.region}"
  dashboard_body = jsonencode({
    widgets = [for i, panel in local.panels : {
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
          [line[0], line[1]],
          flatten([for name, value in line[2] : [name, value]]),
          [merge({ stat = line[3] }, line[4])],
        )]
      }
    }]
  })
}
