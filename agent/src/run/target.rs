//! One thing to watch, whether it can be watched at the moment or not.

use std::rc::Rc;

use crate::{
    discover::Discovered,
    domain::{
        history::{History, Watch},
        verdict::State,
    },
    kernel::{
        namespace::Namespace,
        observer::{self, Observer, Options},
        privileges::{self, Power},
    },
    output::view::TargetLabel,
    run::{Failure, names::Names, say, sink::Sink, start, thrift::Thrift, watching::Watching},
    settings::{OnBlind, Settings},
};

/// One thing to watch.
pub struct Target {
    namespace: Option<String>,
    label: TargetLabel,
    watching: Option<Watching>,
    /// Why it is not watched.
    trouble: String,
    /// What is known of the task. Nothing for another namespace: metadata is about the agent's own task.
    discovered: Rc<Discovered>,
    /// What was said of it, where every line costs.
    thrift: Thrift,
}

impl Target {
    /// All that the settings name.
    pub fn all(settings: &Settings, discovered: Discovered) -> Vec<Self> {
        let (own_task, unknown) = (Rc::new(discovered), Rc::new(Discovered::nothing()));
        let namespaces = settings.namespaces.iter().cloned().map(Some);
        let own = settings.namespaces.is_empty().then_some(None);
        let discovered = |namespace: &Option<String>| {
            if namespace.is_some() { unknown.clone() } else { own_task.clone() }
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
        };
        let thrift = Thrift::of(discovered.identity.clone());
        Self { namespace, label, watching: None, trouble: String::new(), discovered, thrift }
    }

    /// Whether it is watched at the moment.
    pub const fn is_watched(&self) -> bool {
        self.watching.is_some()
    }

    /// Hooks up and says so. With `--on-blind stay` a failure is remembered instead.
    ///
    /// # Errors
    ///
    /// When it cannot be watched, or nothing can be written.
    pub fn try_start(&mut self, settings: &Settings, names: &Names, sink: &mut Sink) -> Result<(), Failure> {
        match self.start(settings, names) {
            Ok((watching, choices)) => {
                say::introduction(&self.label, &watching, &choices, &self.discovered, sink)?;
                self.watching = Some(watching);
                Ok(())
            }
            Err(failure) => self.lose_sight(failure, settings),
        }
    }

    fn start(&mut self, settings: &Settings, names: &Names) -> Result<(Watching, Vec<String>), Failure> {
        let namespace = self.namespace.as_deref().map_or_else(Namespace::own, Namespace::named)?;
        let interface = start::interface(&namespace, settings, &self.discovered.identity.task_addresses)?;
        let own = settings.listen.filter(|_| self.namespace.is_none());
        let (ports, why) = start::ports(&namespace, settings, own)?;
        let sources = start::sources(settings, names, &interface)?;
        let choices = [format!("interface {}: {}", interface.name, interface.chosen_because)];
        self.label = TargetLabel {
            netns: self.namespace.clone(),
            interface: interface.name.clone(),
            address: interface.addresses.first().map(ToString::to_string),
            ports: ports.clone(),
        };
        let addresses = interface.addresses.clone();
        let target = observer::Target { namespace, interface, ports: ports.clone() };
        let options = Options {
            btf: &settings.btf,
            attach: settings.attach,
            with_openings: !settings.nlbs.is_empty(),
            drop_entries: settings.drop_entries,
        };
        let observer = privileges::with(Power::Load, || Observer::start(target, &sources, &options))?;
        if observer.is_blind() {
            let causes: Vec<_> = observer.blind_spots().iter().map(|spot| spot.text.as_str()).collect();
            return Err(Failure::CannotObserve(causes.join("; ")));
        }
        let watch = Watch { task_age: self.discovered.task_age(), ..settings.watch(addresses, ports) };
        let history = History::new(watch);
        let mut watching = Watching::new(observer, sources, history, !settings.nlbs.is_empty());
        if settings.listen.is_some() {
            watching.keep_totals();
        }
        // Times count from now on.
        self.thrift.begin();
        Ok((watching, choices.into_iter().chain(why).collect()))
    }

    fn lose_sight(&mut self, failure: Failure, settings: &Settings) -> Result<(), Failure> {
        self.watching = None;
        match settings.on_blind {
            OnBlind::Exit => Err(failure),
            OnBlind::Stay => {
                self.trouble = failure.to_string();
                Ok(())
            }
        }
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

    /// Looks once, and says at once what changed.
    ///
    /// # Errors
    ///
    /// When the target is gone, or nothing can be written.
    pub fn step(&mut self, settings: &Settings, sink: &mut Sink) -> Result<(), Failure> {
        let Some(watching) = &mut self.watching else { return Ok(()) };
        match watching.step() {
            Ok(changes) => say::changes(&self.label, watching, &changes, &mut self.thrift, sink),
            Err(error) => self.lose_sight(error.into(), settings),
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
