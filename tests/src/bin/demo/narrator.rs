//! Tells what happens, and shows what the agent says to it.

use std::{thread::sleep, time::Duration};

use lab::{
    agent::Agent,
    client::Clients,
    nlb::{Belief, Node},
    topology::Topology,
};

/// Longest wait for what the story needs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Time to read a chapter.
const PAUSE: Duration = Duration::from_secs(4);

/// Who is watched by the storyteller.
pub struct Narrator<'a> {
    /// The NLB.
    pub nodes: &'a [Node; 2],
    /// The clients.
    pub clients: &'a Clients,
}

impl Narrator<'_> {
    /// A heading, and what happens.
    pub fn chapter(&self, title: &str, text: &str) {
        println!("\n=== {title} ===\n{text}\n");
    }

    /// Starts the agent in the task as an operator would.
    pub fn start_agent(&self, lab: &Topology) -> Agent {
        let plan = &lab.plan;
        let line = format!(
            "trace --port {} --nlb {} {} --client {} --client-ip preserved --health-interval 1s --interval 2s",
            plan.port,
            plan.node(0),
            plan.node(1),
            plan.client.subnet,
        );
        println!("$ agent {line}");
        let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Agent::start(&lab.task, &arguments)
    }

    /// Waits for a report in which all these words stand, and shows it.
    pub fn wait_for(&self, agent: &mut Agent, words: &[&str]) {
        let wanted = words.join("... ");
        let block = agent.wait_text(&format!("the agent to say: {wanted}"), PATIENCE, |text| {
            let block = last_block(text)?;
            words.iter().all(|word| block.contains(word)).then(|| block.to_owned())
        });
        print!("{block}");
    }

    /// What the NLB thinks, once it thinks this, and whether clients are served meanwhile.
    pub fn show(&self, beliefs: [Belief; 2]) {
        for (node, belief) in self.nodes.iter().zip(beliefs) {
            node.wait_for(belief, PATIENCE);
        }
        let (sent_before, served_before) = self.clients.counts();
        self.clients.wait_served(1, PATIENCE);
        sleep(PAUSE);
        let (sent, served) = self.clients.counts();
        println!(
            "\nthe NLB's nodes hold the target for: {}, {};  clients meanwhile: {} of {} requests served",
            name(beliefs[0]),
            name(beliefs[1]),
            served - served_before,
            sent - sent_before,
        );
    }

    /// Ends the agent as ECS would.
    pub fn stop_agent(&self, agent: Agent) {
        let ended = agent.stop();
        assert!(ended.status.success(), "the agent failed: {}", ended.errors);
        println!("$ kill -TERM $(pidof agent)\n{}", ended.text.lines().last().unwrap_or_default());
    }
}

fn name(belief: Belief) -> &'static str {
    match belief {
        Belief::Initial => "not yet checked",
        Belief::Healthy => "healthy",
        Belief::Unhealthy => "UNHEALTHY",
    }
}

/// The latest complete block of the agent's report.
fn last_block(text: &str) -> Option<&str> {
    let last_verdict = text.rfind("\nverdict: ")? + 1;
    let end = last_verdict + text[last_verdict..].find('\n')? + 1;
    let start = text[..end].rfind("\nport ").map_or(0, |place| place + 1);
    Some(&text[start..end])
}
