variable "name" {
  description = "Begins the names of everything this module makes."
  type        = string
}

variable "cluster_name" {
  description = "Name of the ECS cluster: a dimension of the metrics."
  type        = string
}

variable "service_name" {
  description = "Name of the ECS service: a dimension of the metrics."
  type        = string
}

variable "image" {
  description = "Image of the agent, with its tag or digest. `cargo xtask dist` builds it."
  type        = string
}

variable "ports" {
  description = "Ports of the service that the NLB sends to."
  type        = list(number)
}

variable "nlb" {
  description = "DNS name of the NLB, or its nodes' addresses or subnets."
  type        = list(string)
}

variable "arguments" {
  description = "Further arguments of `agent trace`, such as [\"--health-interval\", \"10s\"]."
  type        = list(string)
  default     = []
}

variable "log_group_name" {
  description = "Log group that this module makes; by default /health-check-tracer/CLUSTER/SERVICE."
  type        = string
  default     = null
}

variable "retention_days" {
  description = "Days for which the log group keeps its events."
  type        = number
  default     = 30
}

variable "expected_agents" {
  description = "The heartbeat alarm fires below this many watched targets of the service."
  type        = number
  default     = 1
}

variable "alarm_topic_arns" {
  description = "SNS topics, or other actions, of both alarms."
  type        = list(string)
  default     = []
}

variable "shipping_role_names" {
  description = "Roles that may write to the log group: the task execution role for the awslogs driver, the task role or the instance role for --cloudwatch-log-group. A map, because its keys have to be known when the plan is made and the names of roles that are made with it are not: { execution = aws_iam_role.task_execution.name }."
  type        = map(string)
  default     = {}
}

variable "discovery_role_names" {
  description = "Roles of people that look up what findings ask for, by keys of your choice. The agent itself needs none of it."
  type        = map(string)
  default     = {}
}
