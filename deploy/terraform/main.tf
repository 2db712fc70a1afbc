data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_region" "current" {}

locals {
  places = {
    account        = data.aws_caller_identity.current.account_id
    agents         = var.expected_agents
    cluster        = var.cluster_name
    log_group      = var.log_group_name
    name           = var.name
    partition      = data.aws_partition.current.partition
    region         = data.aws_region.current.id
    retention_days = var.retention_days
    service        = var.service_name
  }
}
