//! What to change on the host: rules, sysctls, routes, the listener.

use std::net::IpAddr;

use crate::domain::{
    class::SourceClass,
    diagnosis::advice::{Facts, Lines, Subnets, Traffic},
    rules::Rule,
    sample::Listener,
    site::word,
};

impl Traffic {
    /// What it means for the target when health checks are hit.
    fn consequence(self) -> &'static str {
        if self.class.may_probe() {
            " The NLB may mark this target unhealthy while clients are still served."
        } else {
            ""
        }
    }
}

/// What mends the drops of one kind.
#[derive(Clone, Copy, Debug)]
pub enum Remedy {
    /// A rule lets them in.
    LetIn,
    /// The same, where a rule refuses them aloud.
    LetInBeforeReject,
    /// The reverse path filter drops less, or the route back is the way they came.
    LoosenReversePath,
    /// Somebody's BPF program lets them in.
    LetInProgram,
    /// Whoever rewrites packets mends their checksums.
    MendChecksum,
    /// The kernel's reason tells.
    ByReason,
    /// Their addresses tell.
    ByAddress,
    /// More CPUs, or more packets that wait.
    RelieveCpu,
}

/// Chains that iptables makes with its tables.
const IPTABLES: [&str; 5] = ["filter", "nat", "mangle", "raw", "security"];

impl Facts<'_> {
    /// What to change where the host drops, by the reasons of the kernel.
    pub fn remedy(&self, remedy: Remedy, traffic: Traffic, reasons: &str) -> String {
        match remedy {
            Remedy::LetIn => self.let_in(traffic),
            Remedy::LetInBeforeReject => self.let_in_before_reject(traffic),
            Remedy::LoosenReversePath => self.loosen_reverse_path(traffic),
            Remedy::LetInProgram => self.let_in_program(traffic),
            Remedy::MendChecksum => self.mend_checksum(traffic),
            Remedy::ByReason => self.by_reason(traffic, reasons),
            Remedy::ByAddress => self.by_address(traffic),
            Remedy::RelieveCpu => self.relieve_cpu(traffic),
        }
    }

    /// A rule that is known drops.
    pub fn let_in_by(&self, rule: &Rule, Traffic { port, class }: Traffic) -> String {
        let Rule { family, table, chain, handle } = rule;
        let (table, chain) = (plain(table, "<table>"), plain(chain, "<chain>"));
        let subnets = self.subnets(class);
        let mut lines = Lines::new(format!(
            "Let tcp/{port} in from {} ({}) in that chain, in front of the rule with handle {handle}.{}",
            class.whom(),
            subnets.spoken(),
            Traffic { port, class }.consequence()
        ))
        .look(&format!("nft -a list chain {family} {table} {chain}"));
        for source in sources_of(&subnets, Some(family)) {
            lines = lines.change(&format!(
                "nft insert rule {family} {table} {chain} handle {handle} {source} tcp dport {port} accept"
            ));
        }
        let is_iptables =
            IPTABLES.contains(&table.as_str()) && chain.chars().all(|c| !c.is_ascii_lowercase());
        if is_iptables && matches!(*family, "ip" | "ip6") {
            let (program, v6) = if *family == "ip6" { ("ip6tables", true) } else { ("iptables", false) };
            lines = lines.or(&format!(
                "{program} -t {table} -I {chain} -s {} -p tcp --dport {port} -j ACCEPT",
                subnets.of_family(v6).join(",")
            ));
        }
        lines.or(&format!("nft delete rule {family} {table} {chain} handle {handle}")).done()
    }

    /// Some rule drops.
    fn let_in(&self, traffic: Traffic) -> String {
        let text = format!(
            "Let tcp/{} in from {} ({}) in this namespace's nftables or iptables rules.{}",
            traffic.port,
            traffic.class.whom(),
            self.subnets(traffic.class).spoken(),
            traffic.consequence()
        );
        self.in_some_chain(Lines::new(text), traffic)
    }

    /// Some rule refuses aloud.
    fn let_in_before_reject(&self, traffic: Traffic) -> String {
        let text = format!(
            "A rule in this namespace refuses them (`reject` in the list, REJECT in `iptables-save`): let tcp/{} in from {} ({}) in \
             front of it.{}",
            traffic.port,
            traffic.class.whom(),
            self.subnets(traffic.class).spoken(),
            traffic.consequence()
        );
        self.in_some_chain(Lines::new(text), traffic)
    }

    fn in_some_chain(&self, lines: Lines, Traffic { port, class }: Traffic) -> String {
        let mut lines = lines.look("nft -a list ruleset");
        for source in sources_of(&self.subnets(class), None) {
            lines = lines.change(&format!(
                "nft insert rule <family> <table> <chain> {source} tcp dport {port} accept"
            ));
        }
        lines.done()
    }

    /// The reverse path filter drops.
    fn loosen_reverse_path(&self, traffic: Traffic) -> String {
        let interface = self.interface();
        // A dot in a name would end it.
        let setting = match interface.contains('.') {
            true => format!("net/ipv4/conf/{interface}/rp_filter"),
            false => format!("net.ipv4.conf.{interface}.rp_filter"),
        };
        self.routes(
            Lines::new(format!(
                "The route back to the sender leaves by another interface than {interface}: add a route, or loosen the filter.{}",
                traffic.consequence()
            )),
            traffic.class,
        )
        .or(&format!("sysctl -w {setting}=2"))
        .done()
    }

    /// There is no route back. `example`: a sender, or a prefix of senders.
    pub fn add_route(&self, class: SourceClass, example: &str) -> String {
        let lines =
            Lines::new("Add the route back that is missing.").look(&format!("ip route get {example}"));
        self.routes(lines, class).done()
    }

    fn routes(&self, mut lines: Lines, class: SourceClass) -> Lines {
        for subnet in self.subnets(class).texts() {
            let (gateway, interface) = (self.gateway(), self.interface());
            lines = lines.change(&format!("ip route add {subnet} via {gateway} dev {interface}"));
        }
        lines
    }

    /// The VPC's router: the second address of the subnet (Amazon VPC, subnet sizing).
    fn gateway(&self) -> String {
        let own = self.own_address();
        let subnet = self.site().subnets.iter().find(|subnet| own.is_some_and(|own| subnet.contains(&own)));
        let router = subnet.filter(|subnet| subnet.addr().is_ipv4()).and_then(|subnet| subnet.hosts().next());
        router.map_or_else(|| "<gateway>".to_owned(), |router| router.to_string())
    }

    /// A BPF program drops.
    fn let_in_program(&self, Traffic { port, class }: Traffic) -> String {
        let text = format!(
            "See which program is attached and let tcp/{port} pass there.{}",
            Traffic { port, class }.consequence()
        );
        let lines = Lines::new(text).look(&format!("bpftool net show dev {}", self.interface()));
        let id = self.history.foreign_xdp().and_then(|program| program.strip_prefix("id "));
        let id: String = id.unwrap_or_default().chars().take_while(char::is_ascii_digit).collect();
        if id.is_empty() { lines.done() } else { lines.look(&format!("bpftool prog show id {id}")).done() }
    }

    /// Checksums are wrong.
    fn mend_checksum(&self, traffic: Traffic) -> String {
        Lines::new(format!(
            "Something on the way rewrites packets without mending the checksum: look at checksum offload, and at what sits in \
             front of this interface.{}",
            traffic.consequence()
        ))
        .look(&format!("ethtool -k {}", self.interface()))
        .change("ethtool -K <interface that sends them> tx off")
        .done()
    }

    /// The kernel drops for a reason of its own.
    fn by_reason(&self, traffic: Traffic, reasons: &str) -> String {
        Lines::new(format!(
            "The drop reason, {reasons}, is the kernel's own (include/net/dropreason-core.h): it tells what to change.{}",
            traffic.consequence()
        ))
        .look(&format!("ip -s address show dev {}", self.interface()))
        .done()
    }

    /// The kernel drops before routing, and gives no reason.
    fn by_address(&self, traffic: Traffic) -> String {
        Lines::new(format!(
            "This kernel gives no reason. It does so when the source or the destination address makes no sense on this interface: \
             look for the target's own address as source (client IP preservation with the client on the target itself) and at the \
             interface's addresses.{}",
            traffic.consequence()
        ))
        .look(&format!("ip address show dev {}", self.interface()))
        .done()
    }

    /// A CPU is overrun by packets.
    fn relieve_cpu(&self, traffic: Traffic) -> String {
        Lines::new(format!(
            "A CPU cannot keep up with its packets: spread them (RPS), or let more of them wait.{}",
            traffic.consequence()
        ))
        .look("sysctl net.core.netdev_max_backlog")
        .change(&format!("echo <CPU mask> > /sys/class/net/{}/queues/rx-0/rps_cpus", self.interface()))
        .or("sysctl -w net.core.netdev_max_backlog=<twice as many>")
        .done()
    }

    /// The connection tracking table is full.
    pub fn enlarge_tracking(&self, limit: u64, traffic: Traffic) -> String {
        Lines::new(format!(
            "Raise the limit in the host's own network namespace, or take tcp/{} out of tracking; then see what fills the table, and \
             how long it is kept (net.netfilter.nf_conntrack_*_timeout*).{}",
            traffic.port,
            traffic.consequence()
        ))
        .look("conntrack -L")
        .change(&format!("sysctl -w net.netfilter.nf_conntrack_max={}", limit.saturating_mul(2)))
        .or(&format!("nft add rule <family> <table> <raw chain> tcp dport {} notrack", traffic.port))
        .done()
    }

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
            "Replies leave and no final ACK is taken; a cookie is never sent again by itself. Look at the way back to {} ({}) first: \
             network ACLs are stateless, so the task subnet's outbound rules must admit 1024-65535 to them. Then see why cookies \
             are sent.",
            traffic.class.whom(),
            subnets.spoken()
        ))
        .look(&self.network_acls())
        .change(&self.admit_replies(&subnets))
        .look(&format!("ss -tn state syn-recv 'sport = :{}'", traffic.port))
        .look("sysctl net.ipv4.tcp_syncookies")
        .done()
    }

    /// This host drops its own replies.
    pub fn let_out(&self, port: u16, by_netfilter: bool, reasons: &str) -> String {
        if !by_netfilter {
            return Lines::new(format!(
                "The drop reason, {reasons}, is the kernel's own (include/net/dropreason-core.h): it tells what to change."
            ))
            .look(&format!("ip -s link show dev {}", self.interface()))
            .done();
        }
        Lines::new(format!("Let replies from tcp/{port} out in this namespace's output rules."))
            .look("nft -a list ruleset")
            .change(&format!("nft insert rule <family> <table> <output chain> tcp sport {port} accept"))
            .done()
    }
}

/// net.core.somaxconn since Linux 5.4 (Documentation/networking/ip-sysctl.rst).
const COMMON_BACKLOG: u32 = 4096;

fn plain(name: &str, unknown: &str) -> String {
    word(name).unwrap_or_else(|| unknown.to_owned())
}

fn socket(address: IpAddr, port: u16) -> String {
    std::net::SocketAddr::new(address, port).to_string()
}

/// How nftables names the senders, once for each address family that a table of `family` can see.
fn sources_of(subnets: &Subnets, family: Option<&str>) -> Vec<String> {
    let can_see = |v6: bool| match family {
        Some("ip") => !v6,
        Some("ip6") => v6,
        _ => subnets.has_family(v6),
    };
    let families = [(false, "ip"), (true, "ip6")].into_iter().filter(|(v6, _)| can_see(*v6));
    families
        .map(|(v6, keyword)| match &subnets.of_family(v6)[..] {
            [one] => format!("{keyword} saddr {one}"),
            several => format!("{keyword} saddr {{ {} }}", several.join(", ")),
        })
        .collect()
}
