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

/// Waits until the summary of `host_firewall` ends with this, where rules drop the probes of a node, and holds that no rule was
/// named before that is not named then. Rules are read seldom, so it may take some drops.
fn wait_summary(family: Family, rules: &str, end: &str) {
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
    let summaries = agent.wait_until(end, PATIENCE, |lines| {
        let found = lines.iter().filter(|line| line["kind"] == "finding" && line["code"] == "host_firewall");
        let told: Vec<_> =
            found.map(|line| line["summary"].as_str().unwrap_or_default().to_owned()).collect();
        told.last().is_some_and(|latest| latest.ends_with(end)).then_some(told)
    });
    agent.stop();
    drop((node, app));
    assert!(end == NAME || !summaries.iter().any(|summary| summary.contains(NAME)), "{summaries:?}");
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
    a_rule_that_counts_what_it_drops_is_named => |family| wait_summary(family, "tcp dport PORT counter drop", NAME);
    a_rule_that_does_not_count_is_not_named => |family| wait_summary(family, "tcp dport PORT drop", NOBODY);
    the_policy_of_a_chain_has_no_counter => |family| wait_summary(
        family,
        "meta l4proto != tcp accept\n\
         add chain inet host input { type filter hook input priority 0; policy drop; }",
        NOBODY
    );
    a_counter_that_does_not_drop_is_not_named => |family| wait_summary(
        family,
        "tcp dport PORT counter\nadd rule inet host input tcp dport PORT drop",
        NOBODY
    );
}
