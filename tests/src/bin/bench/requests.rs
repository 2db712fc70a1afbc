//! Requests a second with the agent over without it: wrk against nginx, from the address of an NLB node that probes, too,
//! so that every connection is followed to its end.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use lab::{
    Netns,
    agent::Agent,
    nginx::{Nginx, Site},
    nlb::{Check, Node, Speech},
    plan::{Family, Plan},
    ratio::Ratio,
    shell,
    topology::Topology,
};

use crate::{
    page::Page,
    row::{Bound, Row},
};

/// Pairs that are compared. The first run after a start is not among them.
const PAIRS: usize = 15;

/// One run of wrk, as it is told.
const RUN: &str = "2s";

/// Lower end of the interval that is aimed at.
const GOAL: f64 = 0.98;

const WHY: &str = "Every connection is followed from its SYN to its end, with its opening and its answer: several programs run \
    for a request that is a connection of its own.";

/// Measures.
///
/// # Errors
///
/// When wrk cannot be run or fails.
pub fn measure(page: &mut Page) -> Result<()> {
    let lab = Topology::new(Plan::draw(Family::V4));
    let plan = &lab.plan;
    let _nginx = Nginx::start(&lab.task, &Site::on(plan.task.address(), plan.port));
    lab.translate_at_node(0);
    let check = Check::every(Duration::from_secs(1), Speech::Http);
    let _probers =
        [0, 1].map(|number| Node::start(&lab.nodes[number], plan.node(number), plan.target(), check));
    let url = format!("http://{}:{}/page", plan.node(0), plan.port);
    let flags = format!("--port {} --nlb {} {}", plan.port, plan.node(0), plan.node(1));
    for (what, header) in [
        ("a connection for each request", &["--header", "Connection: close"][..]),
        ("connections that stay", &[]),
    ] {
        let without = || wrk(&lab.client, &url, header);
        let with = || -> Result<f64> {
            let agent = Agent::trace(&lab.task, &lab::agent::words(&flags));
            let rate = wrk(&lab.client, &url, header)?;
            let ended = agent.stop();
            ensure!(ended.status.success(), "the agent failed: {}", ended.errors);
            Ok(rate)
        };
        without()?;
        let (mut pairs, mut control) = (Vec::new(), Vec::new());
        for _ in 0..PAIRS {
            let (before, watched, after) = (without()?, with()?, without()?);
            // The machine's drift is the same before and after.
            pairs.push((watched, (before + after) / 2.0));
            control.push((after, before));
        }
        page.add(Row {
            measure: format!("requests a second with the agent over without it, {what}"),
            bench: "requests",
            unit: "",
            digits: 3,
            target: Some((Bound::AtLeast, GOAL)),
            figure: Ratio::of(&pairs).context("too few pairs")?,
            control: Some((Ratio::of(&control).context("too few pairs")?, 1.0 - GOAL)),
            why: WHY,
        });
    }
    Ok(())
}

/// One run; requests a second.
fn wrk(from: &Netns, url: &str, header: &[&str]) -> Result<f64> {
    let began = Instant::now();
    let words = [&["--threads", "1", "--connections", "16", "--duration", RUN][..], header, &[url]].concat();
    let text = shell::run(from, "wrk", &words, "");
    let bad = text.lines().find(|line| line.contains("Non-2xx") || line.contains("Socket errors"));
    // A peer that closes after its answer is counted as a read error.
    let is_bad = bad.is_some_and(|line| line.contains("Non-2xx") || !header.contains(&"Connection: close"));
    ensure!(!is_bad, "not every request was served: {text}");
    let rate = text.lines().find_map(|line| line.trim().strip_prefix("Requests/sec:"));
    let rate: f64 = rate.context("wrk told no rate")?.trim().parse()?;
    ensure!(rate > 0.0, "nothing was served in {:.1?}: {text}", began.elapsed());
    Ok(rate)
}
