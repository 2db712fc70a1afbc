//! Each hook by one id, whatever became of it.

use crate::{
    domain::{
        check::{Check, State, blinded},
        sample::BlindSpot,
        stage::Stage,
    },
    kernel::{
        attach::{ANSWERS, OPENINGS},
        programs::{EGRESS, INGRESS},
    },
    run::check::home::Home,
};

/// One hook: how the kernel's side calls it, and what `check` calls it.
struct Hook {
    /// Stable: scripts rest on it.
    id: &'static str,
    /// Its name where it is hooked up, without the way in which it is.
    word: &'static str,
    /// Blind spots that say why it is not. The first that is there tells.
    spots: &'static [&'static str],
    /// What is not seen, or less well, without it.
    stages: &'static [Stage],
    /// Without the programs on the interface neither arrival nor answer is seen; the rest is seen less well.
    is_needed: bool,
}

const HOOKS: [Hook; 8] = [
    Hook {
        id: "hook_ingress",
        word: "ingress",
        spots: &[INGRESS],
        stages: &[Stage::Arrived],
        is_needed: true,
    },
    Hook { id: "hook_egress", word: "egress", spots: &[EGRESS], stages: &[Stage::Answered], is_needed: true },
    Hook {
        id: "hook_ingress_openings",
        word: "ingress (openings)",
        spots: &[OPENINGS],
        stages: &[Stage::Served],
        is_needed: false,
    },
    Hook {
        id: "hook_egress_answers",
        word: "egress (answers)",
        spots: &[ANSWERS],
        stages: &[Stage::Served],
        is_needed: false,
    },
    Hook {
        id: "hook_kfree_skb",
        word: "kfree_skb",
        spots: &["kfree_skb", BTF],
        stages: &[Stage::Admitted],
        is_needed: false,
    },
    Hook {
        id: "hook_drop_reasons",
        // They come with that tracepoint, from Linux 5.17 on.
        word: "kfree_skb",
        spots: &[DROP_REASONS, "kfree_skb", BTF],
        stages: &[Stage::Admitted],
        is_needed: false,
    },
    Hook {
        id: "hook_inet_sock_set_state",
        word: "inet_sock_set_state",
        spots: &["inet_sock_set_state", BTF],
        stages: &[Stage::Established, Stage::Served],
        is_needed: false,
    },
    Hook {
        id: "hook_tcp_retransmit_synack",
        word: "tcp_retransmit_synack",
        spots: &["tcp_retransmit_synack", BTF],
        stages: &[Stage::Established],
        is_needed: false,
    },
];

/// Without type information no tracepoint is hooked up, and this one blind spot says so for all.
const BTF: &str = "btf";

const DROP_REASONS: &str = "drop_reasons";

/// What became of each hook: `hooked_up` and `blind_spots` as the observer tells.
pub fn tried(hooked_up: &[String], blind_spots: &[BlindSpot], home: Home) -> Vec<Check> {
    let one = |hook: &Hook| {
        let why = hook.spots.iter().find_map(|id| blind_spots.iter().find(|spot| spot.id == *id));
        let up = hooked_up.iter().find(|name| without_way(name) == hook.word);
        match (why, up) {
            (None, Some(name)) => {
                Check::pass(hook.id, format!("{name}: loaded, hooked up, taken down again"))
            }
            (Some(spot), _) => {
                let fix =
                    if [BTF, DROP_REASONS].contains(&spot.id) { home.btf() } else { home.capabilities() };
                hook.lacks(spot.text.clone(), fix)
            }
            (None, None) => hook.lacks("it was not hooked up".to_owned(), home.capabilities()),
        }
    };
    HOOKS.iter().map(one).collect()
}

/// The same of hooks that could not even be tried; `what` says what to mend first.
pub fn untried(what: &str) -> Vec<Check> {
    let one = |hook: &Hook| Check {
        state: State::Fail,
        ..hook.lacks("it could not be tried".to_owned(), format!("mend first what {what} says"))
    };
    HOOKS.iter().map(one).collect()
}

impl Hook {
    fn lacks(&self, found: String, fix: impl Into<String>) -> Check {
        let state = if self.is_needed { State::Fail } else { State::Warn };
        Check::lacks(state, self.id, found, fix).blinds(&blinded(self.stages))
    }
}

/// "tcx ingress" and "clsact ingress" are one hook.
fn without_way(name: &str) -> &str {
    let name = name.strip_prefix("tcx ").unwrap_or(name);
    name.strip_prefix("clsact ").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::finding::Code;

    const UP: [&str; 7] = [
        "tcx ingress",
        "clsact egress",
        "tcx ingress (openings)",
        "tcx egress (answers)",
        "kfree_skb",
        "inet_sock_set_state",
        "tcp_retransmit_synack",
    ];

    fn up(without: &[&str]) -> Vec<String> {
        UP.iter().filter(|name| !without.contains(name)).map(|&name| name.to_owned()).collect()
    }

    fn spot(id: &'static str) -> BlindSpot {
        BlindSpot { id, stages: Vec::new(), text: format!("{id} is lost") }
    }

    fn ids(checks: &[Check]) -> Vec<&str> {
        checks.iter().map(|check| check.id.as_str()).collect()
    }

    fn one<'a>(checks: &'a [Check], id: &str) -> &'a Check {
        checks.iter().find(|check| check.id == id).expect("each hook is there")
    }

    #[test]
    fn ids_are_the_same_whatever_becomes_of_the_hooks() {
        let all = tried(&up(&[]), &[], Home::Shell);
        assert!(all.iter().all(|check| check.state == State::Pass), "{all:?}");
        for (name, id) in UP.into_iter().zip([
            INGRESS,
            EGRESS,
            OPENINGS,
            ANSWERS,
            "kfree_skb",
            "inet_sock_set_state",
            "tcp_retransmit_synack",
        ]) {
            let without = tried(&up(&[name]), &[spot(id)], Home::Shell);
            assert_eq!(ids(&without), ids(&all), "{name}");
            assert!(
                without.iter().any(|check| check.found == format!("{id} is lost")),
                "{name}: {without:?}"
            );
        }
        assert_eq!(ids(&untried("hooks")), ids(&all));
    }

    #[test]
    fn a_lost_side_of_the_interface_fails_and_a_lost_tracepoint_warns() {
        let checks =
            tried(&up(&["tcx ingress", "kfree_skb"]), &[spot(INGRESS), spot("kfree_skb")], Home::Shell);
        let lost = one(&checks, "hook_ingress");
        assert!(lost.state == State::Fail && lost.blind.contains(&Code::ProbesMissing), "{lost:?}");
        for id in ["hook_kfree_skb", "hook_drop_reasons"] {
            let lost = one(&checks, id);
            assert!(lost.state == State::Warn && lost.blind.contains(&Code::HostFirewall), "{lost:?}");
        }
    }

    #[test]
    fn without_type_information_each_tracepoint_says_so() {
        let checks = tried(&up(&UP[4..]), &[spot(BTF)], Home::Systemd);
        let lost: Vec<_> = checks.iter().filter(|check| check.state == State::Warn).collect();
        assert_eq!(lost.len(), 4, "{checks:?}");
        assert!(lost.iter().all(|check| check.fix.as_deref() == Some(Home::Systemd.btf())), "{lost:?}");
        // On an older kernel the tracepoint is there and its reasons are not.
        let checks = tried(&up(&[]), &[spot(DROP_REASONS)], Home::Systemd);
        assert_eq!(one(&checks, "hook_kfree_skb").state, State::Pass);
        assert_eq!(one(&checks, "hook_drop_reasons").state, State::Warn);
    }

    #[test]
    fn every_loss_says_what_it_costs() {
        for check in untried("hooks") {
            assert!(check.state == State::Fail && !check.blind.is_empty(), "{check:?}");
        }
    }

    #[test]
    fn each_id_is_in_the_documents() {
        let page = include_str!("../../../../docs/deployment.md");
        for hook in &HOOKS {
            assert!(page.contains(&format!("`{}`", hook.id)), "{} is not in docs/deployment.md", hook.id);
        }
    }
}
