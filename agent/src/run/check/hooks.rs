//! Each hook, really loaded, hooked up and taken down again, on each target.

use crate::{
    discover::Discovered,
    domain::{
        check::{Check, State},
        finding::Code,
        sources::SourceTable,
    },
    kernel::{
        namespace::Namespace,
        observer::{Observer, Options, Target},
        privileges::{self, Power},
        sockets,
    },
    run::{
        Failure,
        check::{
            home::Home,
            tried::{tried, untried},
        },
        start,
    },
    settings::Settings,
};

/// What can be said about one target.
pub fn checks(netns: Option<&str>, settings: &Settings, discovered: &Discovered, home: Home) -> Vec<Check> {
    let namespace = match netns.map_or_else(Namespace::own, Namespace::named) {
        Ok(namespace) => namespace,
        Err(error) => {
            let error = error.to_string();
            let check = Check::lacks(State::Fail, "namespace", error, home.joining()).blinds(&Code::ALL);
            return with_untried(check);
        }
    };
    let of_task: &[_] = if netns.is_none() { &discovered.identity.task_addresses } else { &[] };
    let interface = match start::interface(&namespace, settings, of_task) {
        Ok(interface) => interface,
        Err(failure) => {
            let fix = "name the interface that holds the task's address with --interface";
            let check = Check::lacks(State::Fail, "interface", failure.to_string(), fix).blinds(&Code::ALL);
            return with_untried(check);
        }
    };
    let found = format!("{}: {}", interface.name, interface.chosen_because);
    let mut checks = vec![Check::pass("interface", found)];
    checks.extend(listeners(&namespace, settings));
    // Without a listener there is no port to watch by itself; any will do to try the hooks.
    let ports = start::ports(&namespace, settings, None).map_or_else(|_| vec![1], |(ports, _)| ports);
    let target = Target { namespace, interface, ports };
    let options = Options {
        btf: &settings.btf,
        attach: settings.attach,
        learns: false,
        shares: false,
        drop_entries: settings.drop_entries,
        probe_entries: settings.probe_entries,
    };
    let started = privileges::with(Power::Load, || Observer::start(target, &SourceTable::new(2), &options));
    match started {
        Ok(observer) => {
            checks.push(Check::pass("hooks", "maps can be made, and programs be loaded"));
            checks.extend(tried(&observer.hooks(), observer.blind_spots(), home));
        }
        Err(error) => {
            let failure = Failure::from(error).to_string();
            let check = Check::lacks(State::Fail, "hooks", failure, home.capabilities()).blinds(&Code::ALL);
            checks.extend(with_untried(check));
        }
    }
    checks
}

/// What stands in the way of the hooks, and each of them: what a script looks for is always there.
fn with_untried(check: Check) -> Vec<Check> {
    let hooks = untried(&check.id);
    [check].into_iter().chain(hooks).collect()
}

fn listeners(namespace: &Namespace, settings: &Settings) -> Vec<Check> {
    let listeners = match namespace.run(sockets::listeners) {
        Ok(Ok(listeners)) => listeners,
        Ok(Err(error)) => {
            let found = format!("the socket table cannot be read: {error}");
            let fix = "load the kernel's tcp_diag module on the host: modprobe tcp_diag";
            let blind = [Code::NoListener, Code::ListenerElsewhere, Code::AcceptQueueFull];
            return vec![Check::lacks(State::Warn, "listener", found, fix).blinds(&blind)];
        }
        Err(error) => {
            return vec![Check::lacks(State::Fail, "listener", error.to_string(), "name another --netns")];
        }
    };
    let ports = settings.all_ports(&settings.ports);
    if ports.is_empty() {
        let open = listeners.iter().filter(|listener| !listener.address.is_loopback()).count();
        return vec![if open > 0 {
            Check::pass("listener", format!("{open} sockets listen; their ports would be watched"))
        } else {
            let found = "nothing listens here, and no port is named: trace would end";
            Check::lacks(State::Fail, "listener", found, "name the port with --port, or AGENT_PORT")
        }];
    }
    let one = |port: &u16| {
        let on_port: Vec<_> = listeners.iter().filter(|listener| listener.port == *port).collect();
        if on_port.is_empty() {
            let fix = "start the application, or name the port it listens on with --port";
            return Check::lacks(
                State::Warn,
                "listener",
                format!("port {port}: nothing listens on it now"),
                fix,
            );
        }
        let on: Vec<_> = on_port.iter().map(|listener| listener.address.to_string()).collect();
        if on_port.iter().all(|listener| listener.address.is_loopback()) {
            let found =
                format!("port {port}: listened on at {} only: nobody outside reaches it", on.join(", "));
            return Check::lacks(
                State::Warn,
                "listener",
                found,
                "let the application listen on 0.0.0.0 or ::",
            );
        }
        Check::pass("listener", format!("port {port}: listened on at {}", on.join(", ")))
    };
    ports.iter().map(one).collect()
}
