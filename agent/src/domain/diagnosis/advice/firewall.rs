//! Rules of nftables and iptables, and the table of connections that they keep.

use crate::domain::{
    diagnosis::advice::{Facts, Lines, Subnets, Traffic},
    rules::Rule,
    site::word,
};

/// Chains that iptables makes with its tables.
const IPTABLES: [&str; 5] = ["filter", "nat", "mangle", "raw", "security"];

impl Facts<'_> {
    /// A rule that is known drops.
    pub fn let_in_by(&self, rule: &Rule, Traffic { port, class }: Traffic) -> String {
        let Rule { family, table, chain, handle } = rule;
        let (table, chain) = (plain(table, "<table>"), plain(chain, "<chain>"));
        let subnets = self.subnets(class);
        let mut lines = Lines::new(format!(
            "Let tcp/{port} in from {}{} in that chain, in front of the rule with handle {handle}.{}",
            class.whom(),
            subnets.in_brackets(),
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
    pub(super) fn let_in(&self, traffic: Traffic) -> String {
        let text = format!(
            "Let tcp/{} in from {}{} in this namespace's nftables or iptables rules.{}",
            traffic.port,
            traffic.class.whom(),
            self.subnets(traffic.class).in_brackets(),
            traffic.consequence()
        );
        self.in_some_chain(Lines::new(text), traffic)
    }

    /// Some rule refuses aloud.
    pub(super) fn let_in_before_reject(&self, traffic: Traffic) -> String {
        let text = format!(
            "A rule in this namespace refuses them (`reject` in the list, REJECT in `iptables-save`): let tcp/{} in from {}{} in \
             front of it.{}",
            traffic.port,
            traffic.class.whom(),
            self.subnets(traffic.class).in_brackets(),
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

    /// This host drops its own replies.
    pub fn let_out(&self, port: u16, by_netfilter: bool, reasons: &str) -> String {
        if reasons.split(", ").any(|reason| reason == "TC_EGRESS") {
            return self.ask_program(reasons, &format!("replies from tcp/{port}"), "");
        }
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
}

fn plain(name: &str, unknown: &str) -> String {
    word(name).unwrap_or_else(|| unknown.to_owned())
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
