//! Who else is attached to the interface. Looked up when watching begins, and again when a program dropped something: whoever did
//! may have come later.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use aya::programs::loaded_programs;

use crate::{
    domain::{
        other_programs::{Hook, OtherProgram},
        reason::{Meaning, Reason},
        tally::Dropped,
    },
    kernel::{
        clsact::{self, Neighbour},
        privileges::{self, Power},
        programs::is_ours,
        tallies::Tallies,
        tcx::{self, Side},
    },
};

/// Between two looks passes this many times what the earlier one took: a hundredth of a processor at most.
const REST: u32 = 100;

/// Everybody else's at an interface.
#[derive(Default)]
pub struct Attached {
    found: Vec<OtherProgram>,
    /// Names of programs by id, as far as they could be known when each was first seen.
    names: BTreeMap<u32, Option<String>>,
    /// Ids of the XDP programs of the latest reading without a new drop, and of all since.
    xdp: BTreeSet<u32>,
    /// Drops that a program may have made when they were last looked up.
    known_drops: u64,
    rests_until: Option<Instant>,
}

impl Attached {
    /// As last seen, in the order in which an arriving packet meets them, then those on its way out.
    pub fn found(&self) -> &[OtherProgram] {
        &self.found
    }

    /// Takes in which XDP programs a reading saw: who dropped between two readings may be gone with the second.
    pub fn note(&mut self, xdp: &[u32], drops: u64) {
        if drops == self.known_drops {
            self.xdp.clear();
        }
        self.xdp.extend(xdp);
    }

    /// Whether to look again: something was dropped, and not only a moment ago since the latest look.
    pub fn is_due(&self, drops: u64, now: Instant) -> bool {
        drops != self.known_drops && self.rests_until.is_none_or(|until| now >= until)
    }

    /// Looks them up. `own`: ids of the agent's programs; `drops`: what was dropped so far. Runs in the target's namespace.
    pub fn look(&mut self, interface_index: u32, own: &[u32], drops: u64) {
        let began = Instant::now();
        self.found = self.all(interface_index, own);
        self.rest(drops, began, began.elapsed());
    }

    fn rest(&mut self, drops: u64, began: Instant, spent: Duration) {
        self.known_drops = drops;
        self.rests_until = Some(began + spent * (REST + 1));
    }

    fn all(&mut self, index: u32, own: &[u32]) -> Vec<OtherProgram> {
        let xdp = self.xdp.clone().into_iter().map(|id| (Hook::Xdp, id));
        let on = |side, hook| {
            let ids = tcx::programs(index, side).unwrap_or_default().into_iter();
            // Another agent lets every packet pass.
            ids.filter(|id| !own.contains(id) && !tcx::is_signed(*id)).map(move |id| (hook, id))
        };
        let programs: Vec<_> =
            xdp.chain(on(Side::Ingress, Hook::TcxIngress)).chain(on(Side::Egress, Hook::TcxEgress)).collect();
        let mut found: Vec<_> = programs
            .into_iter()
            .map(|(hook, id)| OtherProgram { hook, id: Some(id), name: self.name(id) })
            .filter(|one| !one.name.as_deref().is_some_and(is_ours))
            .collect();
        found.extend(clsact::neighbours(index).unwrap_or_default().into_iter().map(of_filter));
        found.sort_by_key(|one| one.hook);
        self.names.retain(|id, _| found.iter().any(|one| one.id == Some(*id)));
        found
    }

    /// What a program is called: known while there is SYS_ADMIN, and of those that were seen then.
    fn name(&mut self, id: u32) -> Option<String> {
        let name = || {
            privileges::with(Power::Load, || {
                let program = loaded_programs().filter_map(Result::ok).find(|program| program.id() == id)?;
                program.name_as_str().map(str::to_owned)
            })
        };
        self.names.entry(id).or_insert_with(name).clone()
    }
}

fn of_filter(filter: Neighbour) -> OtherProgram {
    let hook = if filter.is_ingress { Hook::ClsactIngress } else { Hook::ClsactEgress };
    let name = if filter.program.is_some() { filter.name } else { Some(filter.kind) };
    OtherProgram { hook, id: filter.program, name }
}

/// Packets that somebody's program may have dropped, of everybody: by the kernel's word, or in front of the agent's hook and not
/// because a CPU was overrun.
pub fn drops(tallies: &Tallies) -> u64 {
    let may_be = |(what, reason): &(Dropped, Reason)| {
        let is_in_front = matches!(what, Dropped::SynBeforeHook | Dropped::SynUnplaced);
        reason.meaning() == Meaning::Bpf || (is_in_front && *reason != Reason("CPU_BACKLOG"))
    };
    let counts = tallies.values().flat_map(|tally| &tally.drops);
    counts.filter(|(kind, _)| may_be(kind)).map(|(_, count)| count).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{sample::TallyKey, tally::Tally};

    #[test]
    fn a_filter_goes_by_its_program_or_its_kind() {
        let mut filter = Neighbour { is_ingress: true, kind: "flower".to_owned(), program: None, name: None };
        assert_eq!(of_filter(filter.clone()).to_string(), "clsact ingress filter flower");
        (filter.program, filter.is_ingress) = (Some(4), false);
        assert_eq!(of_filter(filter).to_string(), "clsact egress id 4");
    }

    #[test]
    fn they_are_looked_up_again_only_when_a_program_may_have_dropped_something() {
        let mut attached = Attached::default();
        let began = Instant::now();
        assert!(!attached.is_due(0, began), "nothing was dropped");
        assert!(attached.is_due(3, began));
        attached.rest(3, began, Duration::from_millis(2));
        assert!(!attached.is_due(3, began + Duration::from_secs(60)), "nothing new");
        assert!(!attached.is_due(4, began + Duration::from_millis(100)), "a look costs what it costs");
        assert!(attached.is_due(4, began + Duration::from_millis(203)));
    }

    #[test]
    fn an_xdp_program_that_goes_after_it_dropped_is_remembered_until_they_were_looked_up() {
        let mut attached = Attached::default();
        let seen = |attached: &Attached| attached.xdp.iter().copied().collect::<Vec<_>>();
        attached.note(&[6], 0);
        attached.note(&[7], 0);
        assert_eq!(seen(&attached), [7], "one that left before anything was dropped is none");
        attached.note(&[8], 3);
        attached.note(&[], 4);
        assert_eq!(seen(&attached), [7, 8]);
        attached.rest(4, Instant::now(), Duration::ZERO);
        attached.note(&[], 4);
        assert_eq!(seen(&attached), [0; 0]);
    }

    #[test]
    fn drops_of_others_are_no_reason_to_look() {
        let of = |what, reason| {
            let mut tally = Tally::default();
            tally.drops.insert((what, Reason(reason)), 5);
            drops(&Tallies::from([(TallyKey { slot: 0, port: 80 }, tally)]))
        };
        assert_eq!(of(Dropped::Syn, "TC_INGRESS"), 5);
        assert_eq!(of(Dropped::SynAck, "TC_EGRESS"), 5);
        assert_eq!(of(Dropped::SynBeforeHook, "XDP"), 5);
        assert_eq!(of(Dropped::SynUnplaced, "NOT_SPECIFIED"), 5);
        assert_eq!(of(Dropped::SynBeforeHook, "CPU_BACKLOG"), 0);
        assert_eq!(of(Dropped::Syn, "NETFILTER_DROP"), 0);
        assert_eq!(of(Dropped::DuplicateSyn, "NOT_SPECIFIED"), 0);
    }
}
