//! `--all-netns`: every network namespace of the node that has a listener on a watched port is a target, from when it is
//! found until it is gone.

use std::{collections::BTreeSet, rc::Rc, time::Duration, time::Instant};

use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::spawn_blocking,
};

use crate::{
    discover::{
        Discovered,
        introspection::{self, CONTAINER_AGENT, Containers},
        workload,
    },
    kernel::{
        memory,
        namespace::{self, Namespace, NamespaceError},
        node::{self, Census},
        privileges, sockets,
    },
    run::{Failure, hooking::hook_up_all, names::Names, sink::Sink, target::Target},
    settings::{OnBlind, Settings},
};

/// How often to look for namespaces. The promise is that a new one is joined within two seconds, and joining a dozen takes
/// one of them.
pub const EVERY: Duration = Duration::from_millis(500);

/// How many are joined before anything else is looked after, such as a signal to end.
const AT_A_TIME: usize = 16;

/// How often targets that lack a wanted port are asked whether it is listened on by now.
const LOOK_FOR_PORTS: Duration = Duration::from_secs(1);

/// How often the container agent is asked about containers it did not name yet; a task may be younger than its answer.
const ASK_AGAIN: Duration = Duration::from_secs(10);

/// Follows the namespaces of the node.
pub struct Follower {
    /// What is known of the host that they are all on.
    of_host: Rc<Discovered>,
    containers: Containers,
    answers: UnboundedReceiver<Containers>,
    answer: UnboundedSender<Containers>,
    asked: Option<Instant>,
    /// When targets were last asked for further ports.
    widened: Instant,
    /// What was complained about already.
    said: BTreeSet<&'static str>,
}

impl Follower {
    /// Follows nothing yet.
    pub fn new(of_host: Rc<Discovered>) -> Self {
        let (answer, answers) = unbounded_channel();
        let containers = Containers::default();
        Self {
            of_host,
            containers,
            answers,
            answer,
            asked: None,
            widened: Instant::now(),
            said: BTreeSet::new(),
        }
    }

    /// Leaves what is gone and joins what is new, so many at a time: whether all is joined.
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
    ) -> Result<bool, Failure> {
        let census = match Census::take() {
            Ok(census) => census,
            Err(error) => {
                let text = format!("listing the processes in /proc: {error}");
                if settings.on_blind == OnBlind::Exit {
                    return Err(Failure::CannotObserve(text));
                }
                self.complain("census", &text);
                return Ok(true);
            }
        };
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
        self.leave_wider(targets, settings, sink)?;
        let followed: BTreeSet<u32> = targets.iter().filter_map(Target::followed_inode).collect();
        let strangers = census.namespaces.iter().filter(|(inode, _)| !followed.contains(inode));
        let newcomers: Vec<Target> = strangers
            .filter_map(|(inode, processes)| self.candidate(*inode, processes, settings))
            .take(AT_A_TIME)
            .collect();
        let is_all = newcomers.len() < AT_A_TIME;
        join(newcomers, targets, settings, names, sink)?;
        self.name_workloads(targets);
        Ok(is_all)
    }

    /// Leaves those in which another wanted port was opened, to be found anew with all of them: how many ports a target has
    /// is built into its programs.
    fn leave_wider(
        &mut self,
        targets: &mut Vec<Target>,
        settings: &Settings,
        sink: &mut Sink,
    ) -> Result<(), Failure> {
        if settings.ports.len() <= 1 || self.widened.elapsed() < LOOK_FOR_PORTS {
            return Ok(());
        }
        self.widened = Instant::now();
        let mut said = Ok(());
        targets.retain_mut(|target| {
            let Some(port) = target.opened_since(settings) else { return true };
            let words = target.leave(settings, &format!("port {port} is listened on, too"), sink);
            said = std::mem::replace(&mut said, Ok(())).and(words);
            false
        });
        said
    }

    /// A target, if a wanted port is listened on in this namespace.
    fn candidate(&mut self, inode: u32, processes: &[u32], settings: &Settings) -> Option<Target> {
        // A process that just ended: the next look finds another one, or none.
        let namespace = processes.iter().find_map(|process| {
            let path = node::path_of(*process);
            Namespace::named(&path.display().to_string()).ok().filter(|found| found.inode() == inode)
        })?;
        let (listeners, cookie) = match namespace.run(|| (sockets::listeners(), namespace::cookie())) {
            Ok((listeners, cookie)) => (listeners.unwrap_or_default(), cookie),
            Err(error @ NamespaceError::Enter { .. }) => {
                self.complain("enter", &error.to_string());
                return None;
            }
            Err(_gone_meanwhile) => return None,
        };
        let listened = sockets::listened(&listeners, &settings.ports);
        if listened.is_empty() {
            return None;
        }
        let (process, cgroup) = node::representative(processes)?;
        let workload = self.containers.name(&workload::of_cgroup(&cgroup));
        let ports = settings.all_ports(&listened.into_iter().collect::<Vec<_>>());
        Some(Target::followed((inode, cookie), process, workload, ports, settings, self.of_host.clone()))
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

/// Hooks up all of these at the same time.
fn join(
    newcomers: Vec<Target>,
    targets: &mut Vec<Target>,
    settings: &Settings,
    names: &Names,
    sink: &mut Sink,
) -> Result<(), Failure> {
    let (mut found, mut prepared) = (Vec::new(), Vec::new());
    for mut target in newcomers {
        match target.prepare(settings, names)? {
            Some(one) => {
                prepared.push(one);
                found.push(target);
            }
            // It stays to be looked for again.
            None => targets.push(target),
        }
    }
    for (mut target, hooked) in found.into_iter().zip(hook_up_all(prepared, settings)) {
        target.begin(hooked, settings, sink)?;
        targets.push(target);
    }
    Ok(())
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
    let before = targets.len();
    targets.retain_mut(|target| {
        let Some(inode) = target.followed_inode() else { return true };
        let processes = census.namespaces.get(&inode).filter(|processes| target.is_still_in(processes));
        match processes.and_then(|processes| node::representative(processes)) {
            Some((process, _)) => {
                target.reach_by(process, settings);
                true
            }
            None => {
                let words = target.leave(settings, "namespace gone", sink);
                said = std::mem::replace(&mut said, Ok(())).and(words);
                false
            }
        }
    });
    // Nobody else would before the next one joins, which may be tomorrow.
    if targets.len() < before {
        memory::give_back();
    }
    said
}
