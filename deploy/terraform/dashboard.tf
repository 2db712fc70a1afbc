resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = "${var.name}-health-checks"
  dashboard_body = templatefile("${path.module}/../cloudwatch/dashboard.json", local.places)
}
