//! SYNs a second that get through beside the agent, over those that get through beside others that count SYNs: to a listener
//! that answers each, and to a rule of the host's firewall that drops each behind everybody who looks.

use anyhow::{Context as _, Result, ensure};
use lab::{
    Netns, live_frames,
    ratio::Ratio,
    shell::{self, nft},
    wire::{TARGET, Wire},
};

use crate::{
    delivered::{agent, answered, generator, listen, rate},
    page::Page,
    row::{Bound, Row},
    tools::{self, Tool},
};

/// Rounds, each with all of them.
const ROUNDS: usize = 15;

/// SYNs of one run.
const ANSWERED: u64 = 500_000;
const DROPPED: u64 = 1_000_000;

const WHY: &str = "The agent counts answers, too, which the others do not.";

/// Measures.
///
/// # Errors
///
/// When the kernel refuses, or one of them fails or sees nothing.
pub fn measure(page: &mut Page) -> Result<()> {
    let wire = Wire::new()?;
    let generator = generator(&wire)?;
    let (mut others, absent): (Vec<_>, Vec<_>) = tools::all().into_iter().partition(|tool| tool.is_here());
    for tool in absent {
        println!("  {}: not measured, because it is not installed here", tool.name());
    }

    let listener = listen(&wire)?;
    compare(page, &wire, &mut others, ("answered with SYN cookies", Some((Bound::AtLeast, 1.0))), || {
        rate(&generator, live_frames::size(ANSWERED), || answered(&wire))
    })?;
    drop(listener);

    nft(
        &wire.task,
        &format!(
            "add table ip end
             add counter ip end syns
             add chain ip end input {{ type filter hook input priority 10; }}
             add rule ip end input tcp dport {} counter name syns drop",
            TARGET.port()
        ),
    );
    // The agent alone finds out for each of them why it was dropped: that is no like for like.
    compare(page, &wire, &mut others, ("dropped by a rule", None), || {
        rate(&generator, live_frames::size(DROPPED), || dropped(&wire.task))
    })
}

fn compare(
    page: &mut Page,
    wire: &Wire,
    others: &mut [Box<dyn Tool>],
    (end, target): (&str, Option<(Bound, f64)>),
    run: impl Fn() -> Result<f64>,
) -> Result<()> {
    run()?;
    let (mut control, mut without) = (Vec::new(), Vec::new());
    let mut pairs = vec![Vec::new(); others.len()];
    for _ in 0..ROUNDS {
        let alone = run()?;
        let before = beside_agent(wire, &run)?;
        let mut beside = Vec::new();
        for tool in others.iter_mut() {
            beside.push(beside_tool(tool.as_mut(), wire, &run)?);
        }
        let after = beside_agent(wire, &run)?;
        control.push((after, before));
        // The machine's drift is the same before and after.
        let agent = f64::midpoint(before, after);
        without.push((agent, alone));
        pairs.iter_mut().zip(beside).for_each(|(pairs, other)| pairs.push((agent, other)));
    }
    let control = Ratio::of(&control).context("too few rounds")?;
    let names = others.iter().map(|tool| (tool.name(), target));
    for ((name, target), pairs) in names.chain([("nobody", None)]).zip(pairs.iter().chain([&without])) {
        let figure = Ratio::of(pairs).context("too few rounds")?;
        page.add(Row {
            measure: format!("SYNs a second, {end}, beside the agent over those beside {name}"),
            bench: "others",
            unit: "",
            digits: 2,
            target,
            figure,
            // Who is far ahead is so on a restless machine, too.
            control: Some((control, (figure.median - 1.0).abs())),
            why: WHY,
        });
    }
    Ok(())
}

fn beside_agent(wire: &Wire, run: &impl Fn() -> Result<f64>) -> Result<f64> {
    let agent = agent(wire);
    let rate = run()?;
    let ended = agent.stop();
    ensure!(ended.status.success(), "the agent failed: {}", ended.errors);
    Ok(rate)
}

fn beside_tool(tool: &mut dyn Tool, wire: &Wire, run: &impl Fn() -> Result<f64>) -> Result<f64> {
    tool.start(wire)?;
    let rate = run();
    tool.stop(wire)?;
    rate
}

/// SYNs that came as far as the rule that drops them.
fn dropped(task: &Netns) -> Result<u64> {
    let text = shell::run(task, "nft", &["-j", "list", "counter", "ip", "end", "syns"], "");
    let answer: serde_json::Value = serde_json::from_str(&text).context("nft answers in JSON")?;
    let counters = answer["nftables"].as_array().into_iter().flatten();
    counters.filter_map(|one| one["counter"]["packets"].as_u64()).next().context("the counter of the rule")
}
