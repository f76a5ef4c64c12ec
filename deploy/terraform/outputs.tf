output "cluster" {
  description = "Name of the ECS cluster."
  value       = aws_ecs_cluster.this.name
}

output "service" {
  description = "Name of the ECS service."
  value       = aws_ecs_service.this.name
}

output "task_family" {
  description = "Family of the task definition."
  value       = aws_ecs_task_definition.this.family
}

output "task_role_arn" {
  description = "For bucket policies and KMS key policies."
  value       = aws_iam_role.task.arn
}

output "target_group_arn" {
  description = "The tasks that the load balancer knows, and their health."
  value       = aws_lb_target_group.this.arn
}

output "load_balancer" {
  description = "Name and hosted zone id of the load balancer: with public-alb, make public_alb.name an alias of it."
  value       = { name = aws_lb.this.dns_name, zone_id = aws_lb.this.zone_id }
}

output "log_group" {
  description = "The access log and the process log."
  value       = aws_cloudwatch_log_group.this.name
}

output "logs" {
  description = "CloudFront's logs, for nearbucket analyze."
  value       = "s3://${aws_s3_bucket.logs.bucket}/cloudfront/"
}

output "configuration" {
  description = "The configuration's object. An upload is a change within 10 s: a step of a roll-out, or the kill switch."
  value       = local.in_object ? local.environment.NEARBUCKET_CONFIG : null
}

output "distributions" {
  description = "Of each distribution: id, ARN (for the origin bucket's policy), and name and hosted zone id, of which the aliases are made aliases."
  value = {
    for key, each in merge(aws_cloudfront_distribution.this, { for each in aws_cloudfront_distribution.cached : "cached" => each }) :
    key => { id = each.id, arn = each.arn, name = each.domain_name, zone_id = each.hosted_zone_id }
  }
}

output "existing_distribution" {
  description = "For a behaviour of a distribution that is not made here: the policies, and the VPC origin."
  value = {
    cache_policy_id          = local.values.policies.caching_disabled
    origin_request_policy_id = local.viewer_policy_id
    vpc_origin_id            = one(aws_cloudfront_vpc_origin.this[*].id)
  }
}

output "check_command" {
  description = "Runs nearbucket check as the service runs: with its role, from its network. With configuration_in object it checks the object whose key ends in .next: upload that first. The findings are in the log group."
  value       = "aws ecs run-task --region ${local.region} --cluster ${aws_ecs_cluster.this.name} --task-definition ${aws_ecs_task_definition.this.family} --launch-type FARGATE --network-configuration ${local.network_argument} --overrides '{\"containerOverrides\": [{\"name\": \"nearbucket\", \"command\": ${local.check}}]}'"
}

locals {
  check            = jsonencode(concat(["check"], local.in_object ? ["--config", "${local.environment.NEARBUCKET_CONFIG}.next"] : []))
  network_argument = "'awsvpcConfiguration={subnets=[${join(",", var.task_subnet_ids)}],securityGroups=[${aws_security_group.tasks.id}],assignPublicIp=${var.task_public_ip ? "ENABLED" : "DISABLED"}}'"
}
