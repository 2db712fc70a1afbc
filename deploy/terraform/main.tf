data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_region" "current" {}

locals {
  # Of this service alone: two of them in one account do not make the same group twice.
  log_group_name = coalesce(var.log_group_name, "/health-check-tracer/${var.cluster_name}/${var.service_name}")

  places = {
    account        = data.aws_caller_identity.current.account_id
    agents         = var.expected_agents
    cluster        = var.cluster_name
    log_group      = local.log_group_name
    name           = var.name
    partition      = data.aws_partition.current.partition
    region         = data.aws_region.current.id
    retention_days = var.retention_days
    service        = var.service_name
  }
}
