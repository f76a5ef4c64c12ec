# ---- the service

variable "name" {
  description = "Prefix of all names. Unique in the account, as roles and policies of CloudFront belong to no region."
  type        = string
  default     = "nearbucket"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,19}$", var.name))
    error_message = "name has 2 to 20 lower-case letters, digits and hyphens, and begins with a letter."
  }
}

variable "image" {
  description = "The image of nearbucket for linux/arm64, by digest or by a tag that is never moved."
  type        = string

  validation {
    condition     = can(regex("(@sha256:[0-9a-f]{64}|:[^/@]+)$", var.image)) && !endswith(var.image, ":latest")
    error_message = "image ends in a digest or a tag, and the tag is not latest: else two tasks may run two versions."
  }
}

variable "size" {
  description = "CPU, memory, worker processes and bytes per second of a task: small, medium, large or xlarge (1, 2, 4 or 8 vCPUs)."
  type        = string
  default     = "small"

  validation {
    condition     = contains(["small", "medium", "large", "xlarge"], var.size)
    error_message = "size is small, medium, large or xlarge."
  }
}

variable "tasks" {
  description = "Fewest and most tasks. At least 2, for two availability zones."
  type        = object({ min = number, max = number })
  default     = { min = 2, max = 10 }

  validation {
    condition     = var.tasks.min >= 1 && var.tasks.max >= var.tasks.min
    error_message = "tasks.min is at least 1, and tasks.max at least tasks.min."
  }
}

variable "longest_download" {
  description = "Seconds that the load balancer lets running downloads of a leaving task go on. The rest is cut."
  type        = number
  default     = 900

  validation {
    condition     = var.longest_download >= 0 && var.longest_download <= 3600
    error_message = "longest_download is between 0 and 3600 seconds."
  }
}

variable "log_retention_days" {
  description = "Days that the log group and the bucket of CloudFront's logs keep their content."
  type        = number
  default     = 30
}

# ---- the configuration

variable "configuration" {
  description = "The configuration as YAML: sites, and prices, catalog and others as wanted. What the module sets itself (client_address, workers, admin, regions.cache, log formats, timeouts) has precedence."
  type        = string

  validation {
    condition     = can(length(yamldecode(var.configuration).sites))
    error_message = "configuration is YAML with the key sites."
  }
}

variable "configuration_in" {
  description = "object: an object in S3, which tasks ask for every 10 s, so that a change needs no deployment. environment: variables of the container; small configurations only, and each change is a deployment."
  type        = string
  default     = "object"

  validation {
    condition     = contains(["object", "environment"], var.configuration_in)
    error_message = "configuration_in is object or environment."
  }
}

variable "bucket_arns" {
  description = "ARNs of all buckets that the configuration names: origins, targets, failover buckets, and those with reports for inventory."
  type        = list(string)

  validation {
    condition     = length(var.bucket_arns) > 0 && alltrue([for arn in var.bucket_arns : can(regex("^arn:[a-z-]+:s3:::[^/*]+$", arn))])
    error_message = "bucket_arns are ARNs of buckets, without /* at the end."
  }
}

variable "key_arns" {
  description = "ARNs of the KMS keys with which these buckets are encrypted (SSE-KMS), if they are. Aliases do not count."
  type        = list(string)
  default     = []
}

# ---- the network

variable "vpc_id" {
  description = "VPC of the load balancer and the tasks. For vpc-origin it has an internet gateway, even if nothing is routed there: else CloudFront makes no VPC origin."
  type        = string
}

variable "load_balancer_subnet_ids" {
  description = "Subnets of the load balancer, in two or more zones: private ones for vpc-origin, public ones for public-alb."
  type        = list(string)

  validation {
    condition     = length(var.load_balancer_subnet_ids) >= 2
    error_message = "A load balancer needs subnets in two zones."
  }
}

variable "task_subnet_ids" {
  description = "Subnets of the tasks. They need a way to S3 in the region of every bucket, to the image registry, CloudWatch Logs and ip-ranges.amazonaws.com."
  type        = list(string)
}

variable "task_route_table_ids" {
  description = "Route tables of the tasks' subnets, to create the S3 gateway endpoint in. Without it a NAT gateway charges for every streamed byte. Empty where the VPC has one."
  type        = list(string)
  default     = []
}

variable "task_public_ip" {
  description = "Whether tasks have public addresses: for public subnets without a NAT gateway."
  type        = bool
  default     = false
}

variable "monitoring_security_group_id" {
  description = "Security group of Prometheus, created before (Terraform counts by it), which is then let in to the admin port, and finds the tasks by DNS as tasks.NAME.internal."
  type        = string
  default     = null
}

# ---- between CloudFront and the load balancer

variable "origin_access" {
  description = "vpc-origin: an internal load balancer, which only this account's CloudFront reaches; no certificate, no secret. public-alb: an internet-facing one, with certificate and origin_secret."
  type        = string
  default     = "vpc-origin"

  validation {
    condition     = contains(["vpc-origin", "public-alb"], var.origin_access)
    error_message = "origin_access is vpc-origin or public-alb."
  }
}

variable "public_alb" {
  description = "With origin_access public-alb: the name that CloudFront connects to (an alias of the load balancer), and the ARN of a certificate for it in this region."
  type        = object({ name = string, certificate_arn = string })
  default     = null

  validation {
    condition     = (var.public_alb != null) == (var.origin_access == "public-alb")
    error_message = "public_alb is given with origin_access public-alb, and only then."
  }
}

variable "origin_secret" {
  description = "With origin_access public-alb: ARN of a Secrets Manager secret with the JSON keys current and previous, the version's id, and the ARN of its KMS key if that is a customer's."
  type        = object({ arn = string, version_id = string, key_arn = optional(string) })
  default     = null

  validation {
    condition     = (var.origin_secret != null) == (var.origin_access == "public-alb")
    error_message = "origin_secret is given with origin_access public-alb, and only then."
  }
}

# ---- CloudFront

variable "distributions" {
  description = "Distributions through which clients come, by a short name: host names, and the ARN of a certificate for them in us-east-1. Empty: give an existing distribution the policies and origins of the outputs."
  type        = map(object({ aliases = list(string), certificate_arn = string }))
  default     = {}

  validation {
    condition     = alltrue([for name, each in var.distributions : length(each.aliases) > 0 && name != "cached" && can(regex("^[a-z][a-z0-9-]*$", name))])
    error_message = "Each distribution has at least one alias and a lower-case name, which is not cached: that is cached_distribution."
  }
}

variable "design" {
  description = "suffixes: redirectable_paths ask nearbucket, uncached, and all else is cached from the origin bucket. redirect: everything asks nearbucket, uncached, and bypass.mode redirect sends other clients to cached_distribution."
  type        = string
  default     = "suffixes"

  validation {
    condition     = contains(["suffixes", "redirect"], var.design)
    error_message = "design is suffixes or redirect."
  }
}

variable "redirectable_paths" {
  description = "CloudFront path patterns of what the configuration may redirect: * and ? only, case counts. A path that redirect.paths matches and no pattern here does is never redirected."
  type        = list(string)
  default     = ["*.tar.*z*"]

  validation {
    condition     = length(var.redirectable_paths) > 0 && length(var.redirectable_paths) < 75 && alltrue([for path in var.redirectable_paths : can(regex("^[^\\[\\]{}]+$", path))])
    error_message = "redirectable_paths are 1 to 74 patterns; CloudFront knows only * and ?."
  }
}

variable "origin_bucket" {
  description = "Regional domain name of the origin bucket, which CloudFront reads with OAC (see the bucket module's distribution_arns). Needed for design suffixes, and for cached_distribution."
  type        = string
  default     = null

  validation {
    condition     = var.origin_bucket != null || (var.cached_distribution == null && (var.design == "redirect" || length(var.distributions) == 0))
    error_message = "origin_bucket is needed where CloudFront caches from the bucket."
  }
}

variable "cached_distribution" {
  description = "For design redirect: the second distribution, which caches the origin bucket and never asks nearbucket. bypass.to of each site is https:// and one of its aliases."
  type        = object({ aliases = list(string), certificate_arn = string })
  default     = null

  validation {
    condition     = var.cached_distribution == null || var.design == "redirect"
    error_message = "cached_distribution belongs to design redirect."
  }
}

variable "cached_ttl" {
  description = "Seconds that CloudFront keeps an object that says nothing of caching. Within them it may answer with the version before an overwrite, while the target bucket has the next."
  type        = number
  default     = 3600

  validation {
    condition     = var.cached_ttl >= 0 && var.cached_ttl <= 31536000
    error_message = "cached_ttl is between 0 and 31536000 seconds."
  }
}

variable "price_class" {
  description = "Price class of the distributions."
  type        = string
  default     = "PriceClass_All"

  validation {
    condition     = contains(["PriceClass_All", "PriceClass_200", "PriceClass_100"], var.price_class)
    error_message = "price_class is PriceClass_All, PriceClass_200 or PriceClass_100."
  }
}

variable "web_acl_arn" {
  description = "ARN of a WAF web ACL (scope CLOUDFRONT) for the distributions."
  type        = string
  default     = null
}

# ---- alarms

variable "alarm_actions" {
  description = "ARNs that are told of alarms, such as an SNS topic of this region. Empty: alarms tell nobody."
  type        = list(string)
  default     = []
}

variable "alarm_actions_us_east_1" {
  description = "The same for alarms of CloudFront, which are in us-east-1."
  type        = list(string)
  default     = []
}
