# ---- which connections are allowed

resource "aws_security_group" "load_balancer" {
  name_prefix = "${var.name}-load-balancer-"
  description = "nearbucket load balancer, from CloudFront only"
  vpc_id      = var.vpc_id

  lifecycle { create_before_destroy = true }
}

# For vpc-origin these addresses reach the internal load balancer through VPC origins of this account
# only. A public one is reached by every customer's distribution: the origin secret tells ours.
resource "aws_vpc_security_group_ingress_rule" "from_cloudfront" {
  security_group_id = aws_security_group.load_balancer.id
  description       = "CloudFront"
  ip_protocol       = "tcp"
  from_port         = local.public ? 443 : 80
  to_port           = local.public ? 443 : 80
  prefix_list_id    = data.aws_ec2_managed_prefix_list.cloudfront.id
}

resource "aws_vpc_security_group_egress_rule" "to_tasks" {
  for_each                     = { downloads = local.values.container.port, health = local.values.container.admin_port }
  security_group_id            = aws_security_group.load_balancer.id
  description                  = each.key
  ip_protocol                  = "tcp"
  from_port                    = each.value
  to_port                      = each.value
  referenced_security_group_id = aws_security_group.tasks.id
}

resource "aws_security_group" "tasks" {
  name_prefix = "${var.name}-tasks-"
  description = "nearbucket tasks, from the load balancer and monitoring only"
  vpc_id      = var.vpc_id

  lifecycle { create_before_destroy = true }
}

resource "aws_vpc_security_group_ingress_rule" "from_load_balancer" {
  for_each                     = { downloads = local.values.container.port, health = local.values.container.admin_port }
  security_group_id            = aws_security_group.tasks.id
  description                  = each.key
  ip_protocol                  = "tcp"
  from_port                    = each.value
  to_port                      = each.value
  referenced_security_group_id = aws_security_group.load_balancer.id
}

resource "aws_vpc_security_group_ingress_rule" "from_monitoring" {
  count                        = var.monitoring_security_group_id == null ? 0 : 1
  security_group_id            = aws_security_group.tasks.id
  description                  = "Prometheus, which scrapes each task by itself"
  ip_protocol                  = "tcp"
  from_port                    = local.values.container.admin_port
  to_port                      = local.values.container.admin_port
  referenced_security_group_id = var.monitoring_security_group_id
}

# S3 in the regions of all buckets, the registry, CloudWatch Logs and AWS's list are all HTTPS.
resource "aws_vpc_security_group_egress_rule" "https" {
  for_each          = { v4 = "0.0.0.0/0", v6 = "::/0" }
  security_group_id = aws_security_group.tasks.id
  description       = "S3, the image registry, logs, AWS's list of prefixes"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  cidr_ipv4         = each.key == "v4" ? each.value : null
  cidr_ipv6         = each.key == "v6" ? each.value : null
}

# It leads to buckets of this region only, without a charge per GB.
resource "aws_vpc_endpoint" "s3" {
  count             = length(var.task_route_table_ids) > 0 ? 1 : 0
  vpc_id            = var.vpc_id
  service_name      = "com.amazonaws.${local.region}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = var.task_route_table_ids
}

# ---- load balancer

resource "aws_lb" "this" {
  #checkov:skip=CKV_AWS_91:the proxy logs each request, with what it decided; this log would repeat it
  #checkov:skip=CKV_AWS_150:the load balancer holds no data; a destroy must not stop half-way
  #checkov:skip=CKV2_AWS_20:an internal listener has no certificate; CloudFront redirects viewers to HTTPS
  #checkov:skip=CKV2_AWS_28:a web ACL belongs to the distributions (web_acl_arn), which are the only way here
  name                       = var.name
  internal                   = !local.public
  load_balancer_type         = "application"
  subnets                    = var.load_balancer_subnet_ids
  security_groups            = [aws_security_group.load_balancer.id]
  idle_timeout               = local.times.load_balancer_idle
  drop_invalid_header_fields = true
}

resource "aws_lb_target_group" "this" {
  #checkov:skip=CKV_AWS_378:tasks speak HTTP inside the VPC, to the load balancer's security group alone
  name_prefix = "near-"
  vpc_id      = var.vpc_id
  target_type = "ip"
  protocol    = "HTTP"
  port        = local.values.container.port

  deregistration_delay = var.longest_download
  # Downloads differ in length by orders of magnitude; taking turns would pile them up.
  load_balancing_algorithm_type = "least_outstanding_requests"

  # The admin port, so that a check passes no site, secret or redirect rule.
  health_check {
    protocol            = "HTTP"
    port                = tostring(local.values.container.admin_port)
    path                = "/readyz"
    matcher             = "200"
    interval            = local.times.health_interval
    timeout             = local.times.health_timeout
    healthy_threshold   = 2
    unhealthy_threshold = 3
  }

  lifecycle { create_before_destroy = true }
}

resource "aws_lb_listener" "this" {
  #checkov:skip=CKV_AWS_2:with vpc-origin the connection from CloudFront stays in AWS's network and the VPC
  #checkov:skip=CKV_AWS_103:as CKV_AWS_2; public-alb has TLS 1.2 and 1.3 alone
  load_balancer_arn = aws_lb.this.arn
  protocol          = local.public ? "HTTPS" : "HTTP"
  port              = local.public ? 443 : 80
  certificate_arn   = local.public ? var.public_alb.certificate_arn : null
  ssl_policy        = local.public ? "ELBSecurityPolicy-TLS13-1-2-2021-06" : null

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.this.arn
  }
}
