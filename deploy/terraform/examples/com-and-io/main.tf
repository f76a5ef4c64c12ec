# Downloads under downloads.example.com and downloads.example.io, from a bucket in us-east-1 with copies in
# us-west-2 and eu-west-1. Copy this folder, and set `source` of the modules to where they are.

terraform {
  required_version = ">= 1.9"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 7.0"
    }
  }
}

provider "aws" {
  region = "us-east-1"
}

provider "aws" {
  alias  = "us_west_2"
  region = "us-west-2"
}

provider "aws" {
  alias  = "eu_west_1"
  region = "eu-west-1"
}

variable "image" {
  description = "The image of nearbucket for linux/arm64."
  type        = string
}

variable "buckets" {
  description = "Prefix of the buckets' names, which are unique in the world."
  type        = string
}

variable "network" {
  description = "VPC, private subnets in two zones, and their route tables."
  type        = object({ vpc_id = string, subnet_ids = list(string), route_table_ids = list(string) })
}

variable "certificates" {
  description = "ARNs in us-east-1 of the certificates for downloads.example.com and downloads.example.io."
  type        = object({ com = string, io = string })
}

variable "alarm_topic" {
  description = "ARN of an SNS topic in us-east-1 that is told of alarms."
  type        = string
}

module "origin" {
  source            = "../../modules/bucket"
  name              = "${var.buckets}-downloads"
  distribution_arns = [for each in module.nearbucket.distributions : each.arn]
}

module "us_west_2" {
  source    = "../../modules/bucket"
  providers = { aws = aws.us_west_2 }
  name      = "${var.buckets}-downloads-us-west-2"
}

module "eu_west_1" {
  source    = "../../modules/bucket"
  providers = { aws = aws.eu_west_1 }
  name      = "${var.buckets}-downloads-eu-west-1"
}

module "replication" {
  source = "../../modules/replication"
  origin = module.origin.name
  targets = {
    us-west-2 = { bucket = module.us_west_2.name }
    eu-west-1 = { bucket = module.eu_west_1.name }
  }
}

module "nearbucket" {
  source    = "../.."
  providers = { aws = aws, aws.us_east_1 = aws }

  image       = var.image
  bucket_arns = [module.origin.arn, module.us_west_2.arn, module.eu_west_1.arn]
  configuration = templatefile("${path.module}/nearbucket.yaml", {
    origin    = module.origin.name
    us_west_2 = module.us_west_2.name
    eu_west_1 = module.eu_west_1.name
  })

  vpc_id                   = var.network.vpc_id
  load_balancer_subnet_ids = var.network.subnet_ids
  task_subnet_ids          = var.network.subnet_ids
  task_route_table_ids     = var.network.route_table_ids

  origin_bucket = module.origin.regional_domain_name
  distributions = {
    com = { aliases = ["downloads.example.com"], certificate_arn = var.certificates.com }
    io  = { aliases = ["downloads.example.io"], certificate_arn = var.certificates.io }
  }

  alarm_actions           = [var.alarm_topic]
  alarm_actions_us_east_1 = [var.alarm_topic]
}

output "nearbucket" {
  description = "What the steps in deploy/README.md need."
  value       = module.nearbucket
}
