//! How a target comes into sight, and goes out of it.

use std::time::Instant;

use crate::{
    domain::{
        history::{History, Watch},
        learning::Learning,
    },
    kernel::{namespace::Namespace, observer},
    output::view::TargetLabel,
    run::{
        Failure,
        hooking::{Hooked, Prepared},
        names::Names,
        recorder::Recorder,
        retry::Retry,
        say,
        sink::Sink,
        start,
        target::Target,
        watching::Watching,
    },
    settings::{OnBlind, Settings},
};

impl Target {
    /// Hooks up and says so. With `--on-blind stay` a failure is remembered instead.
    ///
    /// # Errors
    ///
    /// When it cannot be watched, or nothing can be written.
    pub fn try_start(&mut self, settings: &Settings, names: &Names, sink: &mut Sink) -> Result<(), Failure> {
        let Some(prepared) = self.prepare(settings, names)? else { return Ok(()) };
        self.begin(prepared.hook_up(settings), settings, sink)
    }

    /// Finds what is to be hooked up. With `--on-blind stay` a failure is remembered instead.
    ///
    /// # Errors
    ///
    /// When it cannot be watched.
    pub fn prepare(&mut self, settings: &Settings, names: &Names) -> Result<Option<Prepared>, Failure> {
        match self.find(settings, names) {
            Ok(prepared) => Ok(Some(prepared)),
            Err(failure) => self.lose_sight(failure, settings).map(|()| None),
        }
    }

    fn find(&mut self, settings: &Settings, names: &Names) -> Result<Prepared, Failure> {
        let namespace = self.namespace.as_deref().map_or_else(Namespace::own, Namespace::named)?;
        let interface = start::interface(&namespace, settings, &self.discovered.identity.task_addresses)?;
        let own = settings.listen.filter(|_| self.namespace.is_none());
        let (ports, why) = match &self.followed {
            Some(followed) => (followed.ports.clone(), None),
            None => start::ports(&namespace, settings, own)?,
        };
        let sources = start::sources(settings, names, &interface)?;
        let choice = format!("interface {}: {}", interface.name, interface.chosen_because);
        self.label = TargetLabel {
            netns: self.namespace.clone(),
            interface: interface.name.clone(),
            address: interface.addresses.first().map(ToString::to_string),
            ports: ports.clone(),
            workload: self.label.workload.clone(),
        };
        // Before anything is hooked up: a bad path is the operator's to mend.
        let recorder = Recorder::begin(settings.record_evidence.as_deref())?;
        let target = observer::Target { namespace, interface, ports };
        let choices = [choice].into_iter().chain(why).collect();
        Ok(Prepared { target, sources, choices, recorder })
    }

    /// Begins to watch what was hooked up, and says so. With `--on-blind stay` a failure is remembered instead.
    ///
    /// # Errors
    ///
    /// When it cannot be watched, or nothing can be written.
    pub fn begin(&mut self, hooked: Hooked, settings: &Settings, sink: &mut Sink) -> Result<(), Failure> {
        match self.watch(hooked, settings) {
            Ok((watching, choices)) => {
                say::introduction(&self.label, &watching, &choices, &self.discovered, sink)?;
                self.watching = Some(watching);
                self.retry = None;
                Ok(())
            }
            Err(failure) => self.lose_sight(failure, settings),
        }
    }

    fn watch(&mut self, hooked: Hooked, settings: &Settings) -> Result<(Watching, Vec<String>), Failure> {
        let Hooked { observer, sources, choices, recorder } = hooked;
        let observer = observer?;
        if observer.is_blind() {
            let causes: Vec<_> = observer.blind_spots().iter().map(|spot| spot.text.as_str()).collect();
            return Err(Failure::CannotObserve(causes.join("; ")));
        }
        let target = observer.target();
        let addresses = target.interface.addresses.clone();
        let vpc = self.discovered.identity.vpc_networks.clone();
        let learning = settings.nlbs.is_empty().then(|| Learning::new(vpc, addresses.clone()));
        let watch = settings.watch(addresses, target.ports.clone());
        let site = self.site();
        let history = History::new(Watch { task_age: self.discovered.task_age(), site, ..watch });
        let mut watching = Watching::new(observer, sources, history, learning, recorder);
        if settings.listen.is_some() {
            watching.keep_totals();
        }
        // Times count from now on.
        self.thrift.begin();
        Ok((watching, choices))
    }

    pub(super) fn lose_sight(&mut self, failure: Failure, settings: &Settings) -> Result<(), Failure> {
        self.watching = None;
        match settings.on_blind {
            OnBlind::Exit if self.followed.is_none() => Err(failure),
            // One blind target of a node is no reason to leave the others.
            OnBlind::Exit | OnBlind::Stay => {
                self.trouble = failure.to_string();
                self.retry.get_or_insert_with(|| Retry::after(Instant::now()));
                Ok(())
            }
        }
    }

    /// Looks for what is out of sight, where it is time for that.
    ///
    /// # Errors
    ///
    /// When it cannot be watched, or nothing can be written.
    pub fn look_again(&mut self, settings: &Settings, names: &Names, sink: &mut Sink) -> Result<(), Failure> {
        let is_due = self.retry.as_mut().is_some_and(|retry| retry.is_due(Instant::now()));
        if is_due { self.try_start(settings, names, sink) } else { Ok(()) }
    }
}
