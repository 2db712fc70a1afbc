//! Which rule drops: named by its counter, or not at all.

use lab::{
    agent::{Agent, words},
    app::{App, Listen},
    nlb::{Check, Node, Speech},
    plan::{Family, Plan},
    topology::Topology,
};

use crate::{row::PATIENCE, turns};

const NAME: &str = "(nft table inet host, chain input)";

/// What is said where no counter tells.
const NOBODY: &str = " (by no rule of nftables that drops and counts)";

/// The summary of `host_firewall` once it is about `drops` SYNs or more, where rules drop the probes of a node.
fn summary(family: Family, rules: &str, drops: u64) -> String {
    let _turn = turns::share();
    let lab = Topology::new(Plan::draw(family));
    let plan = &lab.plan;
    lab.firewall("input", &rules.replace("PORT", &plan.port.to_string()));
    let arguments = format!(
        "--port {} --nlb {} --health-interval {}ms --interval 200ms",
        plan.port,
        plan.node(0),
        plan.interval.as_millis()
    );
    let app = App::start(&lab.task, Listen::on_all(plan.task.address(), plan.port));
    let mut agent = Agent::trace(&lab.task, &words(&arguments));
    let check = Check::every(plan.interval, Speech::Tcp);
    let node = Node::start(&lab.nodes[0], plan.node(0), plan.target(), check);
    let summary = agent.wait_until("a firewall that dropped several SYNs", PATIENCE, |lines| {
        let latest =
            lines.iter().rev().find(|line| line["kind"] == "finding" && line["code"] == "host_firewall")?;
        (latest["syns_dropped"].as_u64() >= Some(drops))
            .then(|| latest["summary"].as_str().unwrap_or_default().to_owned())
    });
    agent.stop();
    drop((node, app));
    summary
}

macro_rules! both_families {
    ($($name:ident => $check:expr;)*) => {
        $(mod $name {
            use super::*;

            #[test]
            fn ipv4() {
                ($check)(Family::V4);
            }

            #[test]
            fn ipv6() {
                ($check)(Family::V6);
            }
        })*
    };
}

both_families! {
    a_rule_that_counts_what_it_drops_is_named => |family| {
        let summary = summary(family, "tcp dport PORT counter drop", 3);
        assert!(summary.ends_with(NAME), "{summary}");
    };
    a_rule_that_does_not_count_is_not_named => |family| {
        let summary = summary(family, "tcp dport PORT drop", 3);
        assert!(summary.ends_with(NOBODY), "{summary}");
    };
    the_policy_of_a_chain_has_no_counter => |family| {
        let rules = "meta l4proto != tcp accept\n\
             add chain inet host input { type filter hook input priority 0; policy drop; }";
        let summary = summary(family, rules, 3);
        assert!(summary.ends_with(NOBODY), "{summary}");
    };
    a_counter_that_does_not_drop_is_not_named => |family| {
        let rules = "tcp dport PORT counter\nadd rule inet host input tcp dport PORT drop";
        let summary = summary(family, rules, 3);
        assert!(summary.ends_with(NOBODY), "{summary}");
    };
}
