//! `--all-netns`: every network namespace of the node that has a listener on a watched port is a target, from when it is
//! found until it is gone.

use std::{collections::BTreeSet, time::Duration, time::Instant};

use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::spawn_blocking,
};

use crate::{
    discover::{
        introspection::{self, CONTAINER_AGENT, Containers},
        workload,
    },
    kernel::{
        namespace::{Namespace, NamespaceError},
        node::{self, Census},
        privileges, sockets,
    },
    run::{Failure, names::Names, sink::Sink, target::Target},
    settings::Settings,
};

/// How often to look for namespaces: a new one is joined within two seconds.
pub const EVERY: Duration = Duration::from_secs(1);

/// How often the container agent is asked about containers it did not name yet; a task may be younger than its answer.
const ASK_AGAIN: Duration = Duration::from_secs(10);

/// Follows the namespaces of the node.
pub struct Follower {
    containers: Containers,
    answers: UnboundedReceiver<Containers>,
    answer: UnboundedSender<Containers>,
    asked: Option<Instant>,
    /// What was complained about already.
    said: BTreeSet<&'static str>,
}

impl Follower {
    /// Knows nothing yet.
    pub fn new() -> Self {
        let (answer, answers) = unbounded_channel();
        Self { containers: Containers::default(), answers, answer, asked: None, said: BTreeSet::new() }
    }

    /// Leaves what is gone and joins what is new.
    ///
    /// # Errors
    ///
    /// When `/proc` cannot be listed, or nothing can be written. A target that cannot be watched is no error here.
    pub fn look(
        &mut self,
        targets: &mut Vec<Target>,
        settings: &Settings,
        names: &Names,
        sink: &mut Sink,
    ) -> Result<(), Failure> {
        let census = Census::take()
            .map_err(|error| Failure::CannotObserve(format!("listing the processes in /proc: {error}")))?;
        // With it, those that are left run outside of what this agent may see, and no task does.
        if census.hidden > 0 && !privileges::sees_others() {
            self.complain(
                "hidden",
                &format!(
                    "the network namespaces of {} processes may not be known: add CAP_SYS_PTRACE to see all of the node",
                    census.hidden
                ),
            );
        }
        leave_gone(&census, targets, settings, sink)?;
        let followed: BTreeSet<u32> = targets.iter().filter_map(Target::followed_inode).collect();
        for (inode, processes) in census.namespaces.iter().filter(|(inode, _)| !followed.contains(inode)) {
            if let Some(mut target) = self.candidate(*inode, processes, settings) {
                target.try_start(settings, names, sink)?;
                targets.push(target);
            }
        }
        self.name_workloads(targets);
        Ok(())
    }

    /// A target, if a wanted port is listened on in this namespace.
    fn candidate(&mut self, inode: u32, processes: &[u32], settings: &Settings) -> Option<Target> {
        // A process that just ended: the next look finds another one, or none.
        let namespace = processes.iter().find_map(|process| {
            let path = node::path_of(*process);
            Namespace::named(&path.display().to_string()).ok().filter(|found| found.inode() == inode)
        })?;
        let listeners = match namespace.run(sockets::listeners) {
            Ok(listeners) => listeners.unwrap_or_default(),
            Err(error @ NamespaceError::Enter { .. }) => {
                self.complain("enter", &error.to_string());
                return None;
            }
            Err(_gone_meanwhile) => return None,
        };
        let listened: BTreeSet<u16> = listeners
            .iter()
            .filter(|listener| !listener.address.is_loopback())
            .map(|listener| listener.port)
            .filter(|port| settings.ports.contains(port))
            .collect();
        if listened.is_empty() {
            return None;
        }
        let (process, cgroup) = node::representative(processes)?;
        let workload = self.containers.name(&workload::of_cgroup(&cgroup));
        let ports = settings.all_ports(&listened.into_iter().collect::<Vec<_>>());
        Some(Target::followed(inode, process, workload, ports, settings))
    }

    /// Takes in what the container agent answered, and asks it where a target has no name yet.
    fn name_workloads(&mut self, targets: &mut [Target]) {
        while let Ok(containers) = self.answers.try_recv() {
            self.containers = containers;
        }
        let mut is_one_unnamed = false;
        for target in targets {
            target.name_workload(&self.containers);
            is_one_unnamed |= target.is_task_unnamed();
        }
        let may_ask = self.asked.is_none_or(|asked| asked.elapsed() >= ASK_AGAIN);
        if is_one_unnamed && may_ask {
            self.asked = Some(Instant::now());
            let answer = self.answer.clone();
            spawn_blocking(move || match introspection::containers(CONTAINER_AGENT) {
                // Nobody waits for it any more when the agent ends.
                Ok(containers) => drop(answer.send(containers)),
                Err(error) => log::debug!("asking the ECS container agent for names: {error}"),
            });
        }
    }

    fn complain(&mut self, about: &'static str, text: &str) {
        if self.said.insert(about) {
            log::warn!("{text}");
        }
    }
}

/// Says the last words about namespaces that nobody lives in any more. One that lost the process it was reached by is
/// reached by another.
fn leave_gone(
    census: &Census,
    targets: &mut Vec<Target>,
    settings: &Settings,
    sink: &mut Sink,
) -> Result<(), Failure> {
    let mut said = Ok(());
    targets.retain_mut(|target| {
        let Some(inode) = target.followed_inode() else { return true };
        match census.namespaces.get(&inode).and_then(|processes| node::representative(processes)) {
            Some((process, _)) => {
                target.reach_by(process, settings);
                true
            }
            None => {
                let words = target.leave(settings, sink);
                said = std::mem::replace(&mut said, Ok(())).and(words);
                false
            }
        }
    });
    said
}
