//! Settings of the target group, the service and the load balancer.

use std::collections::BTreeMap;

use crate::domain::{
    class::SourceClass,
    diagnosis::advice::{Facts, Lines, aws::ENFORCEMENT, candidates::ARN},
};

impl Facts<'_> {
    /// Health checks are answered with a status that does not pass.
    pub fn bad_status(&self, status: u64) -> String {
        // Without the inner quotes the comma would part two values.
        let accepted = format!("--matcher 'HttpCode=\"200-399,{status}\"'");
        let lines = Lines::new(format!(
            "Let the path of the health check answer 200 to 399, or change what is asked or expected. The check's Host header is \
             the NLB node's address and the listener's port: a 400, 404 or 421 often is a virtual host or an allow-list that does \
             not know it, a 400 also a port that wants TLS; a 401 or 403, authentication on that path; here it is {status}."
        ))
        .look(&self.health_check("HealthCheckProtocol,HealthCheckPath,HealthCheckPort,Matcher"))
        .change(&self.modify_health_check("--health-check-path <path>"));
        // That a request cannot be read is nothing to pass a health check with.
        let lines = if status == 400 {
            lines.or(&self.modify_health_check("--health-check-protocol HTTPS"))
        } else {
            lines.or(&self.modify_health_check(&accepted))
        };
        lines.command(ARN, &self.target_groups()).done()
    }

    /// The application does not answer health checks in time.
    pub fn slow_answer(&self) -> String {
        let watch = &self.history.watch;
        let given = watch.health_timeout.map(|timeout| format!("{} s here", timeout.as_secs()));
        let default = "6 s for HTTP and 10 s for TCP and HTTPS where nobody set it".to_owned();
        Lines::new(format!(
            "The application takes the connection and does not answer in time. Look for what the health check's path waits for (a \
             database, a lock, a pool of workers that is used up), let it answer without that, or give it longer ({}).",
            given.unwrap_or(default)
        ))
        .change(&self.modify_health_check("--health-check-timeout-seconds <seconds>"))
        .command(ARN, &self.target_groups())
        .done()
    }

    /// The target group sends a proxy protocol header that the application does not take.
    pub fn proxy_header(&self, port: u16) -> String {
        Lines::new(format!(
            "The NLB sends a proxy protocol v2 header in front of every connection and the application does not take it. Turn it \
             on in the application (nginx: `listen {port} proxy_protocol`), or off in the target group."
        ))
        .change(&self.modify_attribute("proxy_protocol_v2.enabled", "false"))
        .command(ARN, &self.target_groups())
        .done()
    }

    /// Health check and application do not agree on TLS.
    pub fn tls(&self, port: u16) -> String {
        let given = self.history.watch.health_protocol;
        let given = given.map(|protocol| format!(" (--health-protocol {} was given)", protocol.name()));
        Lines::new(format!(
            "Health check and application do not agree on TLS. Compare the health check's protocol{} with what the application \
             speaks on port {port}. An HTTPS health check needs TLS 1.2: an application that offers 1.3 only fails it.",
            given.unwrap_or_default()
        ))
        .look(&self.health_check("HealthCheckProtocol,HealthCheckPort"))
        .change(&self.modify_health_check("--health-check-protocol <TCP, HTTP or HTTPS>"))
        .command(ARN, &self.target_groups())
        .done()
    }

    /// The application ends connections without an answer.
    pub fn reset(&self, port: u16) -> String {
        Lines::new(format!(
            "The application takes the connection and closes or resets it once the first bytes came. In this order: it may expect \
             another opening on port {port} than it gets (a proxy protocol header that the target group does not send, TLS where \
             the health check speaks plain HTTP), it may turn this peer or this Host header away, or its worker dies (read its \
             log)."
        ))
        .look(&self.attributes())
        .look(&self.health_check("HealthCheckProtocol,HealthCheckPort,HealthCheckPath"))
        .command(ARN, &self.target_groups())
        .done()
    }

    /// Health checks came before the application listened.
    pub fn grace_period(&self) -> String {
        let name =
            |known: &Option<String>, unknown: &str| known.clone().unwrap_or_else(|| unknown.to_owned());
        let (cluster, service) =
            (name(&self.site().cluster, "<cluster>"), name(&self.site().service, "<service>"));
        let arguments = format!(
            "--cluster {cluster} --service {service} --health-check-grace-period-seconds <seconds the start takes>"
        );
        Lines::new(
            "Give the service a grace period longer than its start (it is 0 where nobody set it), or let the application listen \
             earlier. Without it ECS replaces the task before it can serve.",
        )
        .change(&self.aws("ecs update-service", &arguments))
        .done()
    }

    /// Clients keep an address with which nothing can work.
    pub fn hairpin(&self) -> String {
        Lines::new(
            "No such connection ever works. Switch client IP preservation off, or let the client on this target ask the service \
             directly, not through its own load balancer.",
        )
        .change(&self.modify_attribute("preserve_client_ip.enabled", "false"))
        .command(ARN, &self.target_groups())
        .done()
    }

    /// Two connections of a client look like one.
    pub fn duplicate_tuple(&self) -> String {
        Lines::new(
            "A client that uses one port for two connections, through two nodes, listeners or load balancers that keep its \
             address, has one connection here. Switch client IP preservation off, or see that each client reaches this target one \
             way only: one listener, cross-zone load balancing off, no NAT in front that shares ports.",
        )
        .change(&self.modify_attribute("preserve_client_ip.enabled", "false"))
        .command(ARN, &self.target_groups())
        .done()
    }

    /// Health checks and clients share addresses on `port`.
    pub fn shared_source(&self, port: u16) -> String {
        Lines::new(
            "Nothing has to change. A rule of the task by address lets in both or neither, and so does one that names the NLB's \
             security group, but for clients of PrivateLink (VPC link v1): while the NLB does not enforce its inbound rules on \
             them, a rule that names only its group lets in health checks and no such client, and the NLB's private addresses \
             need a rule, too. To treat the two apart, give the health check a port of its own, or use the inbound rules of the \
             NLB's own group, which health checks ignore.",
        )
        .look(&self.describe_nlb(ENFORCEMENT))
        .command(
            "for PrivateLink without enforcement",
            &self.authorize_subnets(&port.to_string(), &self.subnets(SourceClass::ClientViaNlb)),
        )
        .command("to treat them apart", &self.modify_health_check("--health-check-port <port of its own>"))
        .command(ARN, &self.target_groups())
        .done()
    }

    /// Health checks come to the port `seen`, although it was said that they come to `given`.
    pub fn health_port(&self, given: u16, seen: u16) -> String {
        Lines::new(format!(
            "A rule of the task for port {seen} concerns health checks as well as clients. If a check of port {given} is meant, \
             change the target group; else leave --health-port out."
        ))
        .look(&self.health_check("Port,HealthCheckPort,HealthCheckProtocol"))
        .change(&self.modify_health_check(&format!("--health-check-port {given}")))
        .command(ARN, &self.target_groups())
        .done()
    }

    /// Health checks go to another port. `deaf`: those of the ports on which nothing listens.
    pub fn other_port(&self, ports: &BTreeMap<u16, u64>, deaf: &[u16]) -> String {
        let port = ports.iter().max_by_key(|(_, attempts)| **attempts).map_or(0, |(port, _)| *port);
        let watched = self.history.watch.ports.first().copied().unwrap_or(0);
        let text = if deaf.contains(&port) {
            format!(
                "Look where the target group checks and where its targets are registered. Check the port that is served, {watched} \
                 (or `traffic-port` for the port of each target), or make the application listen on {port}."
            )
        } else {
            format!(
                "Look where the target group checks and where its targets are registered. If checks of port {port} are meant, watch \
                 it (--health-port {port}); if not, check {watched}, or `traffic-port` for the port of each target."
            )
        };
        Lines::new(text)
            .look(&self.health_check("Port,HealthCheckPort,HealthCheckProtocol"))
            .look(&self.target_health())
            .change(&self.modify_health_check(&format!("--health-check-port {watched}")))
            .command(ARN, &self.target_groups())
            .done()
    }

    /// More than the instance's network is allowed.
    pub fn allowance(&self, by_tracking: bool, are_missing: bool) -> String {
        let kind = match &self.site().instance_id {
            Some(instance) => format!(
                "$({} --output text)",
                self.aws(
                    "ec2 describe-instances",
                    &format!("--instance-ids {instance} --query 'Reservations[].Instances[].InstanceType'"),
                )
            ),
            None => "<instance type>".to_owned(),
        };
        let types = format!("--instance-types {kind} --query 'InstanceTypes[].NetworkInfo'");
        let mut lines = Lines::new(
            "The allowance is the whole instance's: look at the neighbours on it, too, then spread the tasks or take a larger \
             instance type.",
        )
        .look(&self.aws("ec2 describe-instance-types", &types));
        if by_tracking {
            lines = lines
                .say("Tracked connections: fewer idle ones, by keep-alive and a shorter time-out of the interface.")
                .look(&self.describe_interface("NetworkInterfaces[].NetworkInterfaceId"))
                .change(&self.aws(
                    "ec2 modify-network-interface-attribute",
                    "--network-interface-id <network interface> --connection-tracking-specification \
                     TcpEstablishedTimeout=<seconds>",
                ));
        }
        if are_missing {
            lines = lines.say(
                "A few packets do not silence a node: when their number stays small beside the SYNs that are missing, settle the \
                 other finding first.",
            );
        }
        lines.done()
    }

    /// Replies leave and do not arrive.
    pub fn lost_replies(&self, class: SourceClass) -> String {
        let subnets = self.subnets(class);
        Lines::new(format!(
            "The reply leaves this host and does not reach {}{}: NACLs are stateless, so the task subnet's outbound rules must \
             admit 1024-65535 to them; then look at route tables and appliances on the way back.",
            class.whom(),
            subnets.in_brackets()
        ))
        .look(&self.network_acls())
        .change(&self.admit_replies(&subnets))
        .done()
    }
}
