//! Each hook, really loaded, hooked up and taken down again, on each target.

use crate::{
    discover::Discovered,
    domain::{
        check::{Check, State, blinded},
        finding::Code,
        sample::BlindSpot,
        sources::SourceTable,
        stage::Stage,
    },
    kernel::{
        namespace::Namespace,
        observer::{Observer, Options, Target},
        privileges::{self, Power},
        sockets,
    },
    run::{Failure, check::home::Home, start},
    settings::Settings,
};

/// What can be said about one target.
pub fn checks(netns: Option<&str>, settings: &Settings, discovered: &Discovered, home: Home) -> Vec<Check> {
    let namespace = match netns.map_or_else(Namespace::own, Namespace::named) {
        Ok(namespace) => namespace,
        Err(error) => {
            let error = error.to_string();
            return vec![Check::lacks(State::Fail, "namespace", error, home.joining()).blinds(&Code::ALL)];
        }
    };
    let of_task: &[_] = if netns.is_none() { &discovered.identity.task_addresses } else { &[] };
    let interface = match start::interface(&namespace, settings, of_task) {
        Ok(interface) => interface,
        Err(failure) => {
            let fix = "name the interface that holds the task's address with --interface";
            return vec![Check::lacks(State::Fail, "interface", failure.to_string(), fix).blinds(&Code::ALL)];
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
            checks.extend(observer.hooks().iter().map(|hook| {
                Check::pass(
                    format!("hook_{}", word(hook)),
                    format!("{hook}: loaded, hooked up, taken down again"),
                )
            }));
            checks.extend(observer.blind_spots().iter().map(|spot| blind(spot, home)));
        }
        Err(error) => {
            let failure = Failure::from(error).to_string();
            checks.push(Check::lacks(State::Fail, "hooks", failure, home.capabilities()).blinds(&Code::ALL));
        }
    }
    checks
}

/// "tcx ingress (openings)" is `ingress_openings`: the id is the same whichever way it is hooked up.
fn word(hook: &str) -> String {
    let hook = hook.trim_start_matches("tcx ").trim_start_matches("clsact ");
    let letters = hook.chars().filter(|letter| !matches!(letter, '(' | ')'));
    letters.map(|letter| if letter == ' ' { '_' } else { letter }).collect()
}

fn blind(spot: &BlindSpot, home: Home) -> Check {
    // Without the programs on the interface neither arrival nor answer is seen; the rest is seen less well.
    let is_needed = spot.stages == [Stage::Arrived] || spot.stages == [Stage::Answered];
    let state = if is_needed { State::Fail } else { State::Warn };
    let id = match spot.id {
        "btf" => "hooks_btf".to_owned(),
        "hct_ingress" => "hook_ingress".to_owned(),
        "hct_egress" => "hook_egress".to_owned(),
        id => format!("hook_{}", id.trim_start_matches("hct_")),
    };
    let fix = match spot.id {
        "btf" | "drop_reasons" => home.btf(),
        _ => home.capabilities(),
    };
    Check::lacks(state, id, spot.text.clone(), fix).blinds(&blinded(&spot.stages))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_do_not_depend_on_how_it_is_hooked_up() {
        assert_eq!(word("tcx ingress"), word("clsact ingress"));
        assert_eq!(word("tcx egress (answers)"), "egress_answers");
        assert_eq!(word("kfree_skb"), "kfree_skb");
    }

    #[test]
    fn a_lost_side_of_the_interface_fails_and_a_lost_tracepoint_warns() {
        let spot = |id, stages: &[Stage]| BlindSpot { id, stages: stages.to_vec(), text: String::new() };
        let lost = blind(&spot("hct_ingress", &[Stage::Arrived]), Home::Shell);
        assert_eq!((lost.id.as_str(), lost.state), ("hook_ingress", State::Fail));
        assert!(lost.blind.contains(&Code::ProbesMissing));
        let lost = blind(&spot("kfree_skb", &[Stage::Admitted]), Home::Shell);
        assert_eq!((lost.id.as_str(), lost.state), ("hook_kfree_skb", State::Warn));
        assert!(lost.blind.contains(&Code::HostFirewall));
    }
}
