//! One thing to watch, whether it can be watched at the moment or not.

mod sight;

use std::{rc::Rc, time::Duration};

use crate::{
    discover::{Discovered, introspection::Containers},
    domain::{finding::Finding, identity::Identity, site::Site, verdict::State, workload::Workload},
    kernel::{
        namespace::{self, Namespace},
        node,
        observer::ObserveError,
        sockets,
    },
    output::view::TargetLabel,
    run::{Failure, names::Names, retry::Retry, say, sink::Sink, start, thrift::Thrift, watching::Watching},
    settings::Settings,
};

/// One thing to watch.
pub struct Target {
    namespace: Option<String>,
    /// Found on the node rather than named by the operator.
    followed: Option<Followed>,
    label: TargetLabel,
    watching: Option<Watching>,
    /// Why it is not watched.
    trouble: String,
    /// When to try again.
    retry: Option<Retry>,
    /// What is known of the task. Of another namespace only what holds of the host: metadata is about the agent's own task.
    discovered: Rc<Discovered>,
    /// What was said of it, where every line costs.
    thrift: Thrift,
}

/// A namespace that was found.
struct Followed {
    inode: u32,
    /// What no later namespace with the same number has, where the kernel tells it.
    cookie: Option<u64>,
    process: u32,
    /// Those of the wanted ports that were listened on when it was found.
    ports: Vec<u16>,
    /// What its control group tells.
    workload: Workload,
    /// What went wrong since the last look at the node. It may be over: then there are last words to say.
    ails: Option<ObserveError>,
}

impl Target {
    /// All that the settings name.
    pub fn all(settings: &Settings, discovered: Discovered) -> Vec<Self> {
        let (of_host, own_task) = (Rc::new(discovered.of_host()), Rc::new(discovered));
        let namespaces = settings.namespaces.iter().cloned().map(Some);
        let own = (settings.namespaces.is_empty() && !settings.all_namespaces).then_some(None);
        let discovered = |namespace: &Option<String>| {
            if namespace.is_some() { of_host.clone() } else { own_task.clone() }
        };
        let all = namespaces.chain(own);
        all.map(|namespace| {
            let discovered = discovered(&namespace);
            Self::new(namespace, settings, discovered)
        })
        .collect()
    }

    fn new(namespace: Option<String>, settings: &Settings, discovered: Rc<Discovered>) -> Self {
        let label = TargetLabel {
            netns: namespace.clone(),
            interface: settings.interface.clone().unwrap_or_default(),
            address: None,
            ports: settings.all_ports(&settings.ports),
            workload: Workload::default(),
        };
        let thrift = Thrift::of(settings.naming.clone(), discovered.identity.clone());
        Self {
            namespace,
            followed: None,
            label,
            watching: None,
            trouble: String::new(),
            retry: None,
            discovered,
            thrift,
        }
    }

    /// A namespace that was found on the node, reached by a process in it.
    pub fn followed(
        (inode, cookie): (u32, Option<u64>),
        process: u32,
        workload: Workload,
        ports: Vec<u16>,
        settings: &Settings,
        of_host: Rc<Discovered>,
    ) -> Self {
        let path = node::path_of(process).display().to_string();
        let mut target = Self::new(Some(path), settings, of_host);
        (target.label.ports, target.label.workload) = (ports.clone(), workload.clone());
        target.followed = Some(Followed { inode, cookie, process, ports, workload, ails: None });
        target
    }

    /// The number of the namespace, of a target that was found.
    pub fn followed_inode(&self) -> Option<u32> {
        self.followed.as_ref().map(|followed| followed.inode)
    }

    /// Whether the namespace in which these processes are, which has its number, is the one that was found. The number of one that
    /// is gone may be given to the next at once.
    pub fn is_still_in(&self, processes: &[u32]) -> bool {
        let Some(followed) = &self.followed else { return true };
        if processes.contains(&followed.process) {
            return true;
        }
        let now = processes.iter().find_map(|process| {
            let namespace = Namespace::named(&node::path_of(*process).display().to_string()).ok()?;
            namespace.run(namespace::cookie).ok()
        });
        // Where the kernel does not tell, it is left and found again: better that than to look where nothing is any more.
        followed.cookie.is_some() && followed.cookie == now.flatten()
    }

    /// The namespace still lives: what ailed the target was no end. From now on it is reached by this process.
    pub fn reach_by(&mut self, process: u32, settings: &Settings) {
        let Some(followed) = &mut self.followed else { return };
        let ails = followed.ails.take();
        // Then only the way in was gone.
        let is_way_only = matches!(ails, Some(ObserveError::Namespace(_)));
        if followed.process != process || is_way_only {
            followed.process = process;
            let path = node::path_of(process).display().to_string();
            if let (Some(watching), Ok(namespace)) = (&mut self.watching, Namespace::named(&path)) {
                watching.observer.reach_by(namespace);
            }
            self.label.netns = Some(path.clone());
            self.namespace = Some(path);
        }
        if let Some(error) = ails.filter(|_| !is_way_only) {
            // Looked for again with the next report.
            let _never_ends_a_followed_one = self.lose_sight(error.into(), settings);
        }
    }

    /// Takes the names that the container agent has for it.
    pub fn name_workload(&mut self, containers: &Containers) {
        if let Some(followed) = &self.followed {
            self.label.workload = containers.name(&followed.workload);
            let site = self.site();
            if let Some(watching) = &mut self.watching {
                watching.place(site);
            }
        }
    }

    /// What advice about it is filled in from.
    fn site(&self) -> Site {
        Site::new(&self.discovered.identity, &self.label.workload, &self.label.interface)
    }

    /// Whether it is an ECS task of which only the id is known.
    pub fn is_task_unnamed(&self) -> bool {
        self.label.workload.task.is_some() && self.label.workload.family.is_none()
    }

    /// A wanted port that is listened on by now, and was not when the target was found.
    pub fn opened_since(&self, settings: &Settings) -> Option<u16> {
        let followed = self.followed.as_ref()?;
        let is_missing = |port: &&u16| !followed.ports.contains(port);
        let missing: Vec<u16> = settings.ports.iter().filter(is_missing).copied().collect();
        if missing.is_empty() {
            return None;
        }
        let namespace = Namespace::named(self.namespace.as_deref()?).ok()?;
        let listeners = namespace.run(sockets::listeners).ok()?.ok()?;
        sockets::listened(&listeners, &missing).into_iter().next()
    }

    /// The last words about a namespace, and why they are the last.
    ///
    /// # Errors
    ///
    /// When nothing can be written.
    pub fn leave(&mut self, settings: &Settings, reason: &str, sink: &mut Sink) -> Result<(), Failure> {
        sink.begin();
        self.finish(settings, reason, sink)?;
        sink.end()
    }

    /// Its label and what is open there.
    pub fn open(&self) -> (&TargetLabel, Vec<&Finding>) {
        let open = self.watching.as_ref().map(Watching::open).unwrap_or_default();
        (&self.label, open)
    }

    /// Whether it is watched at the moment.
    pub const fn is_watched(&self) -> bool {
        self.watching.is_some()
    }

    /// Hands on newly resolved addresses.
    ///
    /// # Errors
    ///
    /// When the target is gone.
    pub fn name_nodes(&mut self, settings: &Settings, names: &Names) -> Result<(), Failure> {
        let Some(watching) = &mut self.watching else { return Ok(()) };
        let nodes = start::resolved(names, &watching.observer.target().interface);
        match watching.name_nodes(nodes.into_iter()) {
            Ok(()) => Ok(()),
            Err(error) => self.lose_sight(error.into(), settings),
        }
    }

    /// How soon another look would tell what is wrong.
    pub fn next_look(&self) -> Option<Duration> {
        self.watching.as_ref().and_then(Watching::next_look)
    }

    /// Looks once, and says at once what changed.
    ///
    /// # Errors
    ///
    /// When the target is gone, or nothing can be written.
    pub fn step(&mut self, settings: &Settings, sink: &mut Sink) -> Result<(), Failure> {
        let Some(watching) = &mut self.watching else { return Ok(()) };
        match (watching.step(), &mut self.followed) {
            (Ok(changes), _) => say::changes(&self.label, watching, &changes, &mut self.thrift, sink),
            // The next look at the node tells whether it is over, or out of sight only.
            (Err(error), Some(followed)) => {
                followed.ails = Some(error);
                Ok(())
            }
            (Err(error), None) => self.lose_sight(error.into(), settings),
        }
    }

    /// Says what happened since the report before. A target that is out of sight is looked for again first.
    ///
    /// # Errors
    ///
    /// When it cannot be watched, or nothing can be written.
    pub fn report(&mut self, settings: &Settings, names: &Names, sink: &mut Sink) -> Result<(), Failure> {
        if self.watching.is_none() {
            self.try_start(settings, names, sink)?;
        }
        self.say_report(settings, sink)
    }

    fn say_report(&mut self, settings: &Settings, sink: &mut Sink) -> Result<(), Failure> {
        let Some(watching) = &mut self.watching else {
            return say::blind(&self.label, &self.trouble, &mut self.thrift, sink);
        };
        watching.begin_report(sink.draws().then_some(settings.interval));
        say::report(&self.label, watching, &mut self.thrift, sink)?;
        watching.end_report();
        Ok(())
    }

    /// The agent is told to stop as a task is.
    pub fn stop(&mut self) {
        if let Some(watching) = &mut self.watching {
            watching.stop();
        }
    }

    /// The last words.
    ///
    /// # Errors
    ///
    /// When nothing can be written.
    pub fn finish(&mut self, settings: &Settings, reason: &str, sink: &mut Sink) -> Result<State, Failure> {
        self.say_report(settings, sink)?;
        say::end(&self.label, self.watching.as_ref(), reason, sink)
    }

    /// What it is called where there are several.
    pub fn name(&self) -> &str {
        self.label.netns.as_deref().unwrap_or(&self.label.interface)
    }

    /// How outputs name it, and who lives there.
    pub const fn label(&self) -> &TargetLabel {
        &self.label
    }

    /// What the platform says of it.
    pub fn identity(&self) -> &Identity {
        &self.discovered.identity
    }

    /// What is watched; why it is not.
    pub fn watching(&self) -> Result<&Watching, &str> {
        self.watching.as_ref().ok_or(&self.trouble)
    }

    /// Whether the verdict is sure enough to end.
    pub fn is_sure(&self) -> bool {
        self.watching.as_ref().is_some_and(Watching::is_sure)
    }

    /// Whether it was watched as long as any conclusion takes.
    pub fn has_waited(&self) -> bool {
        self.watching.as_ref().is_some_and(Watching::has_waited)
    }
}
