//! Who makes which of the connections that ended: of a shared address, each kind of its connections belongs to its class.

use std::collections::BTreeMap;

use crate::domain::{
    answers::Answers,
    class::SourceClass,
    diagnosis::{Case, Group, Hit, served::BAD_REQUEST},
    history::Trouble,
    sample::TallyKey,
    tally::Tally,
    track::Track,
};

/// Which of a source's connections are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Share {
    /// All: they are of one kind, or nothing tells which they are.
    All,
    /// Those that behaved like a health check.
    Probes,
    /// The others.
    Others,
}

impl Share {
    /// What is counted of them, as far as it is counted by kind: how they ended, and how they were answered.
    fn of(self, tally: &Tally) -> Tally {
        let Answers { probes_bad_status, probes_given_up, probes_cut, bad_status, wait, .. } = tally.answers;
        let Answers { proxy_openings, clients_cut, bad_requests, .. } = tally.answers;
        let of_probes = if bad_status == BAD_REQUEST { probes_bad_status } else { 0 };
        match self {
            Self::All => tally.clone(),
            Self::Probes => Tally {
                served: tally.probes_served,
                unserved: tally.probes_unserved,
                probes_served: tally.probes_served,
                probes_unserved: tally.probes_unserved,
                answers: Answers {
                    proxy_openings,
                    probes_bad_status,
                    probes_given_up,
                    probes_cut,
                    bad_status,
                    wait,
                    ..Answers::default()
                },
                ..Tally::default()
            },
            Self::Others => Tally {
                served: tally.served.saturating_sub(tally.probes_served),
                unserved: tally.unserved.saturating_sub(tally.probes_unserved),
                clients: tally.clients,
                tls_openings: tally.tls_openings,
                answers: Answers {
                    proxy_openings,
                    clients_cut,
                    bad_requests: bad_requests.saturating_sub(of_probes),
                    ..Answers::default()
                },
                ..Tally::default()
            },
        }
    }
}

/// A source, and which of its connections are meant.
type Member<'a> = (TallyKey, &'a Track, Share);

/// The connections of one class on one port that ended.
pub struct Part<'a> {
    /// Class.
    pub class: SourceClass,
    /// Port.
    pub port: u16,
    members: Vec<Member<'a>>,
}

impl Part<'_> {
    /// What was counted within the window of the sources that were hit, all together: what the others do says nothing of
    /// the trouble.
    pub fn recent_of(&self, case: &Case<'_>, hit: &Hit) -> Tally {
        let mut sum = Tally::default();
        let members = self.members.iter().filter(|(key, ..)| hit.includes(case, *key));
        members.for_each(|(_, track, share)| sum.add(&share.of(&case.recent(track))));
        sum
    }

    /// The sources that were hit, whole: their other connections, too.
    pub fn those_hit(&self, case: &Case<'_>, hit: &Hit) -> impl Iterator<Item = (TallyKey, &Track)> {
        let members = self.members.iter().filter(|(key, ..)| hit.includes(case, *key));
        members.map(|(key, track, _)| (*key, *track))
    }

    /// The sources with trouble of one kind.
    pub fn hit(
        &self,
        case: &Case<'_>,
        failing: impl Fn(&Tally) -> u64,
        passing: impl Fn(&Tally) -> u64,
    ) -> Option<Hit> {
        let mut hit = Hit::default();
        for (key, track, share) in &self.members {
            let (failing, passing) =
                (|step: &Tally| failing(&share.of(step)), |step: &Tally| passing(&share.of(step)));
            if let Some(Trouble { failed, of }) = case.history.trouble(track, case.now, failing, passing) {
                hit.add(case.sources.label(key.slot), failed, of);
            }
        }
        (!hit.sources.is_empty()).then_some(hit)
    }
}

/// The connections of these groups, by whose they are.
pub fn of<'a: 'g, 'g>(case: &Case<'_>, groups: impl Iterator<Item = &'g Group<'a>>) -> Vec<Part<'a>> {
    let mut parts: BTreeMap<(u16, SourceClass), Vec<Member<'a>>> = BTreeMap::new();
    for group in groups {
        for (key, track) in &group.members {
            for (class, share) in shares(case, group.class, track) {
                parts.entry((group.port, class)).or_default().push((*key, *track, share));
            }
        }
    }
    parts.into_iter().map(|((port, class), members)| Part { class, port, members }).collect()
}

fn shares(case: &Case<'_>, class: SourceClass, track: &Track) -> Vec<(SourceClass, Share)> {
    if class != SourceClass::NlbUndecided || track.manner().is_encrypted() {
        return vec![(class, Share::All)];
    }
    // Health checks over HTTPS end like clients: where handshakes may be half of what was cut, it may be they.
    let recent = case.recent(track);
    let may_be_checks = recent.tls_openings > 0 && 2 * recent.tls_openings >= recent.answers.clients_cut;
    let others = if may_be_checks { SourceClass::NlbUndecided } else { SourceClass::ClientViaNlb };
    vec![(SourceClass::NlbProbe, Share::Probes), (others, Share::Others)]
}
