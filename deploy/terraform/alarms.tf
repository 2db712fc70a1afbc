locals {
  alarms = {
    fault     = jsondecode(templatefile("${path.module}/../cloudwatch/alarm-fault.json", local.places))
    heartbeat = jsondecode(templatefile("${path.module}/../cloudwatch/alarm-heartbeat.json", local.places))
  }
}

# Never on dropped or refused SYNs: scanners cause those.
resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name          = each.value.AlarmName
  alarm_description   = each.value.AlarmDescription
  namespace           = each.value.Namespace
  metric_name         = each.value.MetricName
  dimensions          = { for dimension in each.value.Dimensions : dimension.Name => dimension.Value }
  statistic           = each.value.Statistic
  period              = each.value.Period
  evaluation_periods  = each.value.EvaluationPeriods
  datapoints_to_alarm = each.value.DatapointsToAlarm
  threshold           = each.value.Threshold
  comparison_operator = each.value.ComparisonOperator
  treat_missing_data  = each.value.TreatMissingData
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
}
