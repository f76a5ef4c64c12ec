resource "aws_cloudwatch_log_group" "this" {
  #checkov:skip=CKV_AWS_338:a month is enough for an access log; log_retention_days is the owner's choice
  #checkov:skip=CKV_AWS_158:CloudWatch encrypts with a key of its own; no secret is logged
  name              = "/nearbucket/${var.name}"
  retention_in_days = var.log_retention_days
}

# ---- the configuration, where each upload is a change within 10 s

resource "aws_s3_bucket" "configuration" {
  #checkov:skip=CKV_AWS_18:versioning shows who changed what; a log of reads every 10 s does not
  #checkov:skip=CKV_AWS_144:each region has its own configuration
  #checkov:skip=CKV_AWS_145:no secret may be in a configuration; S3 encrypts with a key of its own
  #checkov:skip=CKV2_AWS_62:tasks ask for changes themselves
  count         = local.in_object ? 1 : 0
  bucket_prefix = "${var.name}-configuration-"
  force_destroy = true
}

resource "aws_s3_bucket_public_access_block" "configuration" {
  count                   = local.in_object ? 1 : 0
  bucket                  = aws_s3_bucket.configuration[0].id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_versioning" "configuration" {
  count  = local.in_object ? 1 : 0
  bucket = aws_s3_bucket.configuration[0].id
  versioning_configuration { status = "Enabled" }
}

resource "aws_s3_bucket_lifecycle_configuration" "configuration" {
  count  = local.in_object ? 1 : 0
  bucket = aws_s3_bucket.configuration[0].id

  rule {
    id     = "old-versions"
    status = "Enabled"
    filter {}
    noncurrent_version_expiration { noncurrent_days = 365 }
    abort_incomplete_multipart_upload { days_after_initiation = 7 }
  }
}

# Without `etag`: Terraform then does not look at what is in S3. A kill switch that was uploaded by
# hand holds until var.configuration itself changes.
resource "aws_s3_object" "configuration" {
  count        = local.in_object ? 1 : 0
  bucket       = aws_s3_bucket.configuration[0].id
  key          = local.config_key
  content      = var.configuration
  content_type = "application/yaml"

  depends_on = [aws_s3_bucket_versioning.configuration]
}

# ---- roles

data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.current.account_id]
    }
  }
}

resource "aws_iam_role" "execution" {
  name               = "${var.name}-${local.region}-execution"
  assume_role_policy = data.aws_iam_policy_document.assume.json
}

resource "aws_iam_role_policy_attachment" "execution" {
  role       = aws_iam_role.execution.name
  policy_arn = "arn:${data.aws_partition.current.partition}:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
}

data "aws_iam_policy_document" "origin_secret" {
  count = local.public ? 1 : 0
  statement {
    actions   = ["secretsmanager:GetSecretValue"]
    resources = [var.origin_secret.arn]
  }
  # A secret under a customer's key cannot be read without it.
  dynamic "statement" {
    for_each = var.origin_secret.key_arn == null ? [] : [var.origin_secret.key_arn]
    content {
      actions   = ["kms:Decrypt"]
      resources = [statement.value]
      condition {
        test     = "StringEquals"
        variable = "kms:ViaService"
        values   = ["secretsmanager.${local.region}.amazonaws.com"]
      }
    }
  }
}

resource "aws_iam_role_policy" "origin_secret" {
  count  = local.public ? 1 : 0
  name   = "origin-secret"
  role   = aws_iam_role.execution.id
  policy = data.aws_iam_policy_document.origin_secret[0].json
}

data "aws_iam_policy_document" "task" {
  # GET and HEAD of objects: at the origin to stream them, at both ends to compare copies. The tags of a
  # copy mark it as equal to an object with another ETag.
  statement {
    sid       = "Objects"
    actions   = ["s3:GetObject", "s3:GetObjectTagging"]
    resources = [for arn in var.bucket_arns : "${arn}/*"]
  }
  # HEAD of a target, every few seconds, and its listing. Without it S3 answers 403 for a key that does
  # not exist, instead of 404.
  statement {
    sid       = "Buckets"
    actions   = ["s3:ListBucket"]
    resources = var.bucket_arns
  }
  # S3 asks for it when it reads an object, tells its checksum, or is shown a URL that this role signed.
  dynamic "statement" {
    for_each = length(var.key_arns) > 0 ? [1] : []
    content {
      sid       = "Keys"
      actions   = ["kms:Decrypt"]
      resources = var.key_arns
    }
  }
  # The object in use, and the next one, for a check before it is in use.
  dynamic "statement" {
    for_each = aws_s3_bucket.configuration[*].arn
    content {
      sid       = "Configuration"
      actions   = ["s3:GetObject"]
      resources = [for end in ["", ".next"] : "${statement.value}/${local.config_key}${end}"]
    }
  }
}

resource "aws_iam_role" "task" {
  name               = "${var.name}-${local.region}-task"
  assume_role_policy = data.aws_iam_policy_document.assume.json
}

resource "aws_iam_role_policy" "task" {
  name   = "read-buckets"
  role   = aws_iam_role.task.id
  policy = data.aws_iam_policy_document.task.json
}

# ---- the service

locals {
  leave_timeout = "${var.longest_download + 1800}s"
}

resource "aws_ecs_cluster" "this" {
  #checkov:skip=CKV_AWS_65:Container Insights charges per metric; the load balancer's and the log's tell enough
  name = var.name
}

resource "aws_ecs_task_definition" "this" {
  family                   = var.name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = local.size.cpu
  memory                   = local.size.memory
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = aws_iam_role.task.arn

  runtime_platform {
    cpu_architecture        = "ARM64"
    operating_system_family = "LINUX"
  }

  volume { name = "cache" }

  container_definitions = jsonencode([{
    name         = "nearbucket"
    image        = var.image
    essential    = true
    environment  = [for name in sort(keys(local.environment)) : { name = name, value = local.environment[name] }]
    secrets      = [for name in sort(keys(local.secrets)) : { name = name, valueFrom = local.secrets[name] }]
    portMappings = [for port in [local.values.container.port, local.values.container.admin_port] : { containerPort = port }]
    stopTimeout  = local.values.container.stop_timeout

    readonlyRootFilesystem = true
    linuxParameters        = { capabilities = { drop = ["ALL"] } }
    mountPoints            = [{ sourceVolume = "cache", containerPath = "/var/cache/nearbucket" }]
    ulimits                = [{ name = "nofile", softLimit = local.values.container.open_files, hardLimit = local.values.container.open_files }]

    # ECS does not use the image's own HEALTHCHECK. It replaces a task that fails: ask for life here;
    # readiness is the load balancer's question.
    healthCheck = {
      command     = ["CMD", "python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:${local.values.container.admin_port}/healthz', timeout=3)"]
      interval    = local.times.health_interval
      timeout     = local.times.health_timeout
      retries     = 3
      startPeriod = 30
    }

    logConfiguration = {
      logDriver = "awslogs"
      options = {
        "awslogs-group"         = aws_cloudwatch_log_group.this.name
        "awslogs-region"        = local.region
        "awslogs-stream-prefix" = "nearbucket"
        "mode"                  = local.values.container.log_mode
        "max-buffer-size"       = local.values.container.log_buffer
      }
    }
  }])
}

resource "aws_ecs_service" "this" {
  #checkov:skip=CKV_AWS_333:task_public_ip is for VPCs without a NAT gateway, and the security group lets only the load balancer in
  name            = var.name
  cluster         = aws_ecs_cluster.this.id
  task_definition = aws_ecs_task_definition.this.arn
  launch_type     = "FARGATE"
  desired_count   = var.tasks.min

  health_check_grace_period_seconds  = local.times.health_grace
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  # The distributions come after: they send a new origin secret when all tasks accept it.
  wait_for_steady_state = true

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    assign_public_ip = var.task_public_ip
    security_groups  = [aws_security_group.tasks.id]
    subnets          = var.task_subnet_ids
  }

  load_balancer {
    target_group_arn = aws_lb_target_group.this.arn
    container_name   = "nearbucket"
    container_port   = local.values.container.port
  }

  dynamic "service_registries" {
    for_each = aws_service_discovery_service.tasks
    content { registry_arn = service_registries.value.arn }
  }

  lifecycle { ignore_changes = [desired_count] } # autoscaling has it

  # The service is steady, or gone, when its old tasks are: after their downloads. Else Terraform gives up after 20 minutes.
  timeouts {
    update = local.leave_timeout
    delete = local.leave_timeout
  }

  depends_on = [
    aws_lb_listener.this,
    aws_iam_role_policy.task,
    aws_iam_role_policy.origin_secret,
    aws_iam_role_policy_attachment.execution,
    aws_s3_object.configuration,
  ]
}

# ---- Prometheus finds each task by DNS: tasks.NAME.internal

resource "aws_service_discovery_private_dns_namespace" "this" {
  count = var.monitoring_security_group_id == null ? 0 : 1
  name  = "${var.name}.internal"
  vpc   = var.vpc_id
}

resource "aws_service_discovery_service" "tasks" {
  count = length(aws_service_discovery_private_dns_namespace.this)
  name  = "tasks"

  dns_config {
    namespace_id   = aws_service_discovery_private_dns_namespace.this[0].id
    routing_policy = "MULTIVALUE"

    dns_records {
      type = "A"
      ttl  = 10
    }
  }
}

# ---- autoscaling: tasks are added when one of the three asks for it, removed when all agree

resource "aws_appautoscaling_target" "tasks" {
  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = "service/${aws_ecs_cluster.this.name}/${aws_ecs_service.this.name}"
  min_capacity       = var.tasks.min
  max_capacity       = var.tasks.max
}

# Requests per target would mislead: a redirect and an hour's download are one request each.
resource "aws_appautoscaling_policy" "bytes" {
  name               = "bytes-per-task"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.tasks.service_namespace
  scalable_dimension = aws_appautoscaling_target.tasks.scalable_dimension
  resource_id        = aws_appautoscaling_target.tasks.resource_id

  target_tracking_scaling_policy_configuration {
    target_value       = local.size.bytes_per_second
    scale_in_cooldown  = local.values.autoscaling.scale_in_cooldown
    scale_out_cooldown = local.values.autoscaling.scale_out_cooldown

    customized_metric_specification {
      metrics {
        id          = "bytes"
        return_data = false
        metric_stat {
          stat = "Sum"
          metric {
            namespace   = "AWS/ApplicationELB"
            metric_name = "ProcessedBytes"
            dimensions {
              name  = "LoadBalancer"
              value = aws_lb.this.arn_suffix
            }
          }
        }
      }
      metrics {
        id          = "tasks"
        return_data = false
        metric_stat {
          stat = "Average"
          metric {
            namespace   = "AWS/ApplicationELB"
            metric_name = "HealthyHostCount"
            dimensions {
              name  = "LoadBalancer"
              value = aws_lb.this.arn_suffix
            }
            dimensions {
              name  = "TargetGroup"
              value = aws_lb_target_group.this.arn_suffix
            }
          }
        }
      }
      metrics {
        id          = "bytes_per_second"
        label       = "Bytes per second of a task"
        expression  = "bytes / tasks / 60"
        return_data = true
      }
    }
  }
}

resource "aws_appautoscaling_policy" "load" {
  for_each           = { cpu = "ECSServiceAverageCPUUtilization", memory = "ECSServiceAverageMemoryUtilization" }
  name               = each.key
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.tasks.service_namespace
  scalable_dimension = aws_appautoscaling_target.tasks.scalable_dimension
  resource_id        = aws_appautoscaling_target.tasks.resource_id

  target_tracking_scaling_policy_configuration {
    target_value       = local.values.autoscaling[each.key]
    scale_in_cooldown  = local.values.autoscaling.scale_in_cooldown
    scale_out_cooldown = local.values.autoscaling.scale_out_cooldown
    predefined_metric_specification { predefined_metric_type = each.value }
  }
}
