output "container_definition" {
  description = "The agent as a sidecar, for the container_definitions of the service's task definition (EC2 launch type, network mode awsvpc)."
  value = {
    name      = "health-check-tracer"
    image     = var.image
    essential = false
    # A sidecar that ended comes back by itself, and never takes the service down.
    restartPolicy = { enabled = true, restartAttemptPeriod = 60 }
    stopTimeout   = 15
    user          = "0"
    command = concat(
      ["trace", "--output", "emf", "--on-blind", "stay", "--port", join(",", var.ports)],
      length(var.nlb) > 0 ? ["--nlb", join(",", var.nlb)] : [],
      var.arguments,
    )
    cpu         = 16
    memory      = 64
    environment = [{ name = "AGENT_READY_FILE", value = "/tmp/agent.ready" }]
    healthCheck = {
      command     = ["CMD", "/agent", "check", "--live"]
      interval    = 30
      timeout     = 5
      retries     = 3
      startPeriod = 30
    }
    linuxParameters = {
      capabilities = { drop = ["ALL"], add = ["SYS_ADMIN", "NET_ADMIN", "SYS_RESOURCE"] }
      tmpfs        = [{ containerPath = "/tmp", size = 1, mountOptions = ["nosuid", "nodev", "noexec"] }]
    }
    readonlyRootFilesystem = true
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.this.name
        awslogs-region        = data.aws_region.current.id
        awslogs-stream-prefix = "agent"
        mode                  = "non-blocking"
      }
    }
  }
}

output "log_group_name" {
  description = "For --cloudwatch-log-group, where no log driver takes the lines."
  value       = aws_cloudwatch_log_group.this.name
}

output "shipping_policy_arn" {
  description = "Allows to write to the log group."
  value       = aws_iam_policy.shipping.arn
}

output "discovery_policy_arn" {
  description = "Allows to look up what findings ask for."
  value       = aws_iam_policy.discovery.arn
}
