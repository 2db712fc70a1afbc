//! What the application has to do: listen where it is asked, and accept.

use std::net::{IpAddr, SocketAddr};

use crate::domain::{
    diagnosis::advice::{Facts, Lines, Traffic},
    sample::Listener,
};

/// net.core.somaxconn since Linux 5.4 (Documentation/networking/ip-sysctl.rst).
const COMMON_BACKLOG: u32 = 4096;

impl Facts<'_> {
    /// Nothing listens on the port.
    pub fn start_listening(&self, port: u16) -> String {
        let others: Vec<_> =
            self.history.reachable_ports().into_iter().take(4).map(|port| port.to_string()).collect();
        let others = if others.is_empty() {
            String::new()
        } else {
            format!(" What others can reach here is {}.", others.join(", "))
        };
        let lines = Lines::new(format!(
            "Start the application, or make it listen on {port}; compare with the container port of the task definition and the \
             port of the target group.{others}"
        ))
        .look("ss -ltn");
        match &self.site().task_definition {
            Some(definition) => lines.look(&self.aws(
                "ecs describe-task-definition",
                &format!(
                    "--task-definition {definition} --query 'taskDefinition.containerDefinitions[].portMappings'"
                ),
            )),
            None => lines,
        }
        .look(&self.health_check("Port,HealthCheckPort"))
        .done()
    }

    /// Something listens, but not for these senders.
    pub fn listen_elsewhere(&self, port: u16, listeners: &[&Listener], v6: bool) -> String {
        let bound: Vec<_> = listeners.iter().map(|listener| socket(listener.address, port)).collect();
        let dual = listeners.iter().any(|listener| listener.v6_only && listener.address.is_unspecified());
        let text = match (v6, dual) {
            (false, true) => format!(
                "Bind 0.0.0.0:{port} as well, or switch IPV6_V6ONLY off (net.ipv6.bindv6only); it listens on {} for IPv6 only.",
                bound.join(", ")
            ),
            (false, false) => format!(
                "Bind 0.0.0.0:{port} (or [::]:{port} for both families); it listens on {}.",
                bound.join(", ")
            ),
            (true, _) => {
                format!("Bind [::]:{port}, which takes IPv4, too; it listens on {}.", bound.join(", "))
            }
        };
        Lines::new(text).look(&format!("ss -ltnp 'sport = :{port}'")).done()
    }

    /// The accept queue is full.
    pub fn accept_faster(&self, port: u16, limit: u32) -> String {
        let more = limit.saturating_mul(2).max(COMMON_BACKLOG);
        Lines::new(format!(
            "The application does not accept fast enough: look for a blocked or missing accept loop first. Then raise what makes the \
             limit of {limit}, the smaller of its own listen backlog (nginx: `listen {port} backlog={more}`) and net.core.somaxconn \
             (ECS: systemControls of the task definition), and start it anew."
        ))
        .look(&format!("ss -ltnp 'sport = :{port}'"))
        .look("sysctl net.core.somaxconn")
        .change(&format!("sysctl -w net.core.somaxconn={more}"))
        .done()
    }

    /// Nobody accepts.
    pub fn accept(&self, port: u16) -> String {
        Lines::new(
            "The application does not call accept: it is stopped, blocked, or every worker is busy. Look at the process (`ps`, a \
             thread dump) before you raise its backlog.",
        )
        .look(&format!("ss -ltnp 'sport = :{port}'"))
        .done()
    }

    /// SYN cookies are sent, and their handshakes are finished.
    pub fn many_open(&self, port: u16) -> String {
        Lines::new(
            "More handshakes are open than the listener's backlog and net.ipv4.tcp_max_syn_backlog hold (or net.ipv4.tcp_syncookies \
             is 2): see who opens them before you raise either. Connections are served meanwhile.",
        )
        .look(&format!("ss -tn state syn-recv 'sport = :{port}'"))
        .look("sysctl net.ipv4.tcp_syncookies net.ipv4.tcp_max_syn_backlog net.core.somaxconn")
        .done()
    }

    /// SYN cookies are sent, and nothing comes back.
    pub fn cookies_in_vain(&self, traffic: Traffic) -> String {
        let subnets = self.subnets(traffic.class);
        Lines::new(format!(
            "Replies leave and no final ACK is taken; a cookie is never sent again by itself. Look at the way back to {}{} first: \
             network ACLs are stateless, so the task subnet's outbound rules must admit 1024-65535 to them. Then see why cookies \
             are sent.",
            traffic.class.whom(),
            subnets.in_brackets()
        ))
        .look(&self.network_acls())
        .change(&self.admit_replies(&subnets))
        .look(&format!("ss -tn state syn-recv 'sport = :{}'", traffic.port))
        .look("sysctl net.ipv4.tcp_syncookies")
        .done()
    }
}

fn socket(address: IpAddr, port: u16) -> String {
    SocketAddr::new(address, port).to_string()
}
