//! Several ports, several namespaces: each is told apart.

use lab::{
    Netns,
    agent::{Agent, words},
    app::{App, Listen},
    client::ask,
    plan::{Family, Plan},
    topology::Topology,
    witness::attached,
};

use crate::{expected::arrived, row::PATIENCE, turns};

fn ask_times(lab: &Topology, port: u16, times: u64) {
    let target = (lab.plan.task.address(), port).into();
    for _ in 0..times {
        lab.client.run(|| ask(lab.plan.client.address(), target)).expect("an answer");
    }
}

#[test]
fn ports_are_counted_apart() {
    let _turn = turns::share();
    let lab = Topology::new(Plan::draw(Family::V6));
    let (plan, other) = (&lab.plan, lab.plan.other_port);
    let apps =
        [plan.port, other].map(|port| App::start(&lab.task, Listen::on_all(plan.task.address(), port)));
    let arguments = format!("--port {},{other} --client {} --interval 200ms", plan.port, plan.client.subnet);
    let mut agent = Agent::trace(&lab.task, &words(&arguments));
    ask_times(&lab, plan.port, 3);
    ask_times(&lab, other, 5);
    let label = plan.client.subnet.to_string();
    agent.wait_until("both ports to be counted", PATIENCE, |lines| {
        let on = |port| arrived(lines, port).get(&label).copied().unwrap_or(0);
        ((on(plan.port), on(other)) == (3, 5)).then_some(())
    });
    drop((agent, apps));
}

/// Their interfaces have the same index and may have the same name.
#[test]
fn namespaces_are_watched_by_one_agent_and_told_apart() {
    let _turn = turns::share();
    let labs = [Topology::new(Plan::draw(Family::V4)), Topology::new(Plan::draw(Family::V4))];
    let port = labs[0].plan.port;
    let apps: Vec<App> =
        labs.iter().map(|lab| App::start(&lab.task, Listen::on_all(lab.plan.task.address(), port))).collect();
    let paths = labs.each_ref().map(|lab| lab.task.path().display().to_string());
    let home = Netns::new();
    let arguments = format!("--port {port} --netns {} --netns {} --interval 200ms", paths[0], paths[1]);
    let mut agent = Agent::trace(&home, &words(&arguments));
    agent.wait_until("both to be watched", PATIENCE, |lines| {
        (lines.iter().filter(|line| line["kind"] == "start").count() == 2).then_some(())
    });
    ask_times(&labs[0], port, 4);
    ask_times(&labs[1], port, 7);
    agent.wait_until("both to be counted", PATIENCE, |lines| {
        let in_namespace = |path: &String| {
            let lines: Vec<_> = lines.iter().filter(|line| line["netns"] == path.as_str()).cloned().collect();
            arrived(&lines, port).values().sum::<u64>()
        };
        (paths.each_ref().map(in_namespace) == [4, 7]).then_some(())
    });
    assert_eq!(agent.stop().status.code(), Some(0));
    for lab in &labs {
        assert_eq!(attached(&lab.task), [""; 0]);
    }
    drop(apps);
}
