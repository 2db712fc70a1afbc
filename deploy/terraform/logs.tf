locals {
  log_group = jsondecode(templatefile("${path.module}/../cloudwatch/log-group.json", local.places))
}

# Class STANDARD: no other extracts metrics from the lines, and a class cannot be changed later.
resource "aws_cloudwatch_log_group" "this" {
  name              = local.log_group.logGroupName
  retention_in_days = local.log_group.retentionInDays
  log_group_class   = "STANDARD"
}
