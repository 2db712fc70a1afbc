//! What `--all-netns` would find on this node.

use crate::{
    domain::{
        check::{Check, State},
        finding::Code,
    },
    kernel::{
        namespace::Namespace,
        node::{self, Census},
        sockets,
    },
    run::check::home::Home,
    settings::Settings,
};

/// In how many namespaces the hooks are tried: what works in one works in the next.
const TRIED: usize = 3;

/// Whether there is something to follow, and paths of the namespaces where the hooks are to be tried.
pub fn targets(settings: &Settings, home: Home) -> (Check, Vec<String>) {
    let id = "targets";
    let census = match Census::take() {
        Ok(census) => census,
        Err(error) => {
            let found = format!("listing the processes in /proc: {error}");
            return (Check::lacks(State::Fail, id, found, home.joining()).blinds(&Code::ALL), Vec::new());
        }
    };
    let all = census.namespaces.len();
    let found: Vec<String> = census
        .namespaces
        .values()
        .filter_map(|processes| {
            let (process, _) = node::representative(processes)?;
            let path = node::path_of(process).display().to_string();
            is_target(&path, settings).then_some(path)
        })
        .collect();
    let text = format!("{} of {all} network namespaces have a listener on a named port", found.len());
    let check = if found.is_empty() {
        let fix = "start a task that listens on --port, and make sure that the agent shares the host's process ids (pidMode host, hostPID)";
        Check::lacks(State::Warn, id, text, fix)
    } else {
        Check::pass(id, text)
    };
    (check, found.into_iter().take(TRIED).collect())
}

/// Whether somebody there listens on a named port, for others than itself.
fn is_target(path: &str, settings: &Settings) -> bool {
    let Ok(namespace) = Namespace::named(path) else { return false };
    let Ok(Ok(listeners)) = namespace.run(sockets::listeners) else { return false };
    !sockets::listened(&listeners, &settings.ports).is_empty()
}
