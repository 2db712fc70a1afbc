//! What to change on the host, by the kernel's reason for a drop: sysctls, routes, programs of others.

use crate::domain::{
    class::{Role, SourceClass},
    diagnosis::advice::{Facts, Lines, Traffic},
    sample::TallyKey,
    track::Track,
};

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

impl Facts<'_> {
    /// What to change where the host drops, by the reasons of the kernel.
    pub fn remedy(&self, remedy: Remedy, traffic: Traffic, reasons: &str) -> String {
        match remedy {
            Remedy::LetIn => self.let_in(traffic),
            Remedy::LetInBeforeReject => self.let_in_before_reject(traffic),
            Remedy::LoosenReversePath => self.loosen_reverse_path(traffic),
            Remedy::LetInProgram => self.let_in_program(traffic, reasons),
            Remedy::MendChecksum => self.mend_checksum(traffic),
            Remedy::ByReason => self.by_reason(traffic, reasons),
            Remedy::ByAddress => self.by_address(traffic),
            Remedy::RelieveCpu => self.relieve_cpu(traffic),
        }
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
            Lines::new("Add the route back that is missing, or delete the entry or rule that refuses it (ip route, ip rule).").look(&format!("ip route get {example}"));
        self.routes(lines, class).done()
    }

    fn routes(&self, mut lines: Lines, class: SourceClass) -> Lines {
        for subnet in self.subnets(class).destinations() {
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

    /// A BPF program drops what comes.
    fn let_in_program(&self, traffic: Traffic, reasons: &str) -> String {
        self.ask_program(reasons, &format!("tcp/{}", traffic.port), traffic.consequence())
    }

    /// A BPF program drops: `what` is to pass there.
    pub(super) fn ask_program(&self, reasons: &str, what: &str, consequence: &str) -> String {
        let reasons: Vec<_> = reasons.split(", ").collect();
        let suspects = self.history.who_drops_with(&reasons);
        let names: Vec<_> = suspects.iter().map(ToString::to_string).collect();
        let which = match &names[..] {
            [] => "See which program is attached and".to_owned(),
            [only] => format!("Ask whoever attached {only} what it is for, and"),
            many => format!("One of these drops: {}. See which, and", many.join("; ")),
        };
        let lines = Lines::new(format!("{which} let {what} pass there.{consequence}"))
            .look(&format!("bpftool net show dev {}", self.interface()));
        let mut ids: Vec<u32> = suspects.iter().filter_map(|other| other.id).collect();
        let foreign_xdp = self.history.foreign_xdp().and_then(|program| program.strip_prefix("id "));
        if suspects.is_empty() && !reasons.contains(&"TC_EGRESS") {
            ids.extend(foreign_xdp.and_then(|id| id.parse::<u32>().ok()));
        }
        ids.iter().fold(lines, |lines, id| lines.look(&format!("bpftool prog show id {id}"))).done()
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

    /// The kernel drops before routing, and gives no reason. What comes from the target's own address has a tally of its own and
    /// is blamed only where it came.
    fn by_address(&self, traffic: Traffic) -> String {
        let is_own = |(key, track): (TallyKey, &Track)| {
            key.port == traffic.port && self.sources.role(key.slot) == Role::Own && track.total.arrived > 0
        };
        let own = if self.history.tracks().any(is_own) {
            " SYNs with the target's own address as source came, too (client IP preservation with the client on the target \
             itself)."
        } else {
            ""
        };
        Lines::new(format!(
            "This kernel gives no reason. It does so when the source or the destination address makes no sense on this interface: \
             look at the interface's addresses, and where routes to these sources lead.{own}{}",
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
}
