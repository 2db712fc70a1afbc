//! What holds for every story, whatever happens in it: stories drawn at random, each from a seed that a failure names.

mod counters;
mod evidence;
mod health;
mod order;
mod precedence;

use super::*;

const STORIES: u64 = 150;
const SECONDS: u64 = 60;

/// The target's own address.
const OWN: TallyKey = TallyKey { slot: 4, port: PORT };

const KEYS: [TallyKey; 5] = [NODE_A, NODE_B, CLIENTS, STRANGERS, OWN];

type Fate = fn(&mut Story, TallyKey);

/// A connection attempt that ends in a good way.
const GOOD: [Fate; 2] = [serve_check, serve_client];

/// What may happen to one connection attempt besides.
const BAD: [Fate; 22] = [
    Story::arrive,
    |story, key| story.drop(key, "NETFILTER_DROP"),
    |story, key| {
        story.drop(key, "NETFILTER_DROP");
        story.tally(key).refused += 1;
    },
    |story, key| story.drop(key, "IP_RPFILTER"),
    |story, key| story.drop(key, "TC_INGRESS"),
    |story, key| story.drop(key, "TCP_CSUM"),
    |story, key| story.drop(key, "XFRM_POLICY"),
    |story, key| story.note_drop(key, Dropped::SynBeforeHook, "XDP"),
    |story, key| story.note_drop(key, Dropped::SynBeforeHook, "CPU_BACKLOG"),
    refuse,
    |story, key| story.drop(key, "TCP_INVALID_SYN"),
    |story, key| {
        story.arrive(key);
        let tally = story.tally(key);
        tally.synacks += 3;
        tally.synack_retransmits += 2;
    },
    |story, key| {
        story.arrive(key);
        story.note_drop(key, Dropped::SynAck, "NETFILTER_DROP");
    },
    |story, key| {
        story.arrive(key);
        let tally = story.tally(key);
        (tally.synacks, tally.cookies) = (tally.synacks + 1, tally.cookies + 1);
        story.count(|host| &mut host.syncookies_sent, 1);
    },
    |story, key| {
        // Answered by a socket of another port.
        story.arrive(key);
        story.tally(key).synacks += 1;
        *story.sample.elsewhere.entry((key.slot, PORT + 2)).or_default() += 1;
    },
    establish,
    |story, key| {
        answer_badly(story, key, |tally| {
            (tally.answers.probes_bad_status, tally.answers.bad_status) =
                (tally.answers.probes_bad_status + 1, 503)
        })
    },
    |story, key| answer_badly(story, key, |tally| tally.answers.probes_given_up += 1),
    |story, key| answer_badly(story, key, |tally| tally.answers.probes_cut += 1),
    |story, key| {
        answer_badly(story, key, |tally| {
            (tally.tls_openings, tally.answers.tls_alerts) =
                (tally.tls_openings + 1, tally.answers.tls_alerts + 1)
        })
    },
    |story, key| {
        answer_badly(story, key, |tally| {
            (tally.answers.proxy_openings, tally.answers.probes_cut) =
                (tally.answers.proxy_openings + 1, tally.answers.probes_cut + 1)
        })
    },
    |story, key| *story.sample.strays.entry((key.slot, PORT + 1)).or_default() += 1,
];

/// Nothing listens there.
fn refuse(story: &mut Story, key: TallyKey) {
    story.drop(key, "NO_SOCKET");
    story.tally(key).refused += 1;
}

/// A health check that passes.
fn serve_check(story: &mut Story, key: TallyKey) {
    story.serve(key);
    story.tally(key).probes_served += 1;
}

/// A client that is served.
fn serve_client(story: &mut Story, key: TallyKey) {
    story.serve(key);
    story.tally(key).clients += 1;
}

fn establish(story: &mut Story, key: TallyKey) {
    let tally = story.tally(key);
    tally.arrived += 1;
    tally.synacks += 1;
    tally.established += 1;
}

/// A health check that is taken and does not pass, in the way that `how` counts.
fn answer_badly(story: &mut Story, key: TallyKey, how: impl Fn(&mut Tally)) {
    establish(story, key);
    let tally = story.tally(key);
    tally.unserved += 1;
    tally.probes_unserved += 1;
    how(tally);
}

type Circumstance = fn(&mut Story);

/// What may be so in every second of a while, whoever comes.
const CIRCUMSTANCES: [Circumstance; 9] = [
    |_| {},
    |story| story.sample.listeners = Some(Vec::new()),
    |story| story.sample.listeners = Some(vec![listener(Ipv4Addr::LOCALHOST.into())]),
    |story| {
        let full = Listener { backlog: 129, ..listener(Ipv4Addr::UNSPECIFIED.into()) };
        story.sample.listeners = Some(vec![full]);
        story.count(|host| &mut host.listen_overflows, 1);
        story.count(|host| &mut host.listen_drops, 1);
    },
    |story| {
        let established: u64 = story.sample.tallies.values().map(|tally| tally.established).sum();
        let waiting = Listener {
            backlog_limit: 1 << 20,
            backlog: established as u32,
            ..listener(Ipv4Addr::UNSPECIFIED.into())
        };
        story.sample.listeners = Some(vec![waiting]);
    },
    |story| {
        story.count(|host| &mut host.out_no_routes, 1);
        story.count(|host| &mut host.listen_drops, 1);
    },
    |story| {
        let drops = story.sample.conntrack.map_or(0, |table| table.drops);
        story.sample.conntrack = Some(Conntrack { entries: 10, limit: 10, drops: drops + 20 });
    },
    |story| {
        let allowance = &mut story.sample.host.allowances.packet_rate;
        *allowance = Some(allowance.unwrap_or(0) + 7);
    },
    |story| story.sample.foreign_xdp = Some("somebody's".to_owned()),
];

/// Who comes, how each fares, and how often; and what is so meanwhile.
#[derive(Clone)]
struct While {
    fates: Vec<(TallyKey, Fate, u64)>,
    circumstance: Circumstance,
}

impl While {
    fn draw(draw: &mut fastrand::Rng) -> Self {
        let coming: Vec<_> =
            KEYS.iter().filter(|key| draw.u8(0..5) > if **key == OWN { 3 } else { 0 }).collect();
        let mut fates = Vec::new();
        for key in coming {
            // Some come in two ways.
            for _ in 0..draw.u8(1..3) {
                let fate = match draw.u8(0..5) {
                    0 => GOOD[0],
                    1 => GOOD[1],
                    _ => BAD[draw.usize(..BAD.len())],
                };
                fates.push((*key, fate, draw.u64(1..15)));
            }
        }
        let is_usual = draw.bool();
        let circumstance =
            if is_usual { CIRCUMSTANCES[0] } else { CIRCUMSTANCES[draw.usize(..CIRCUMSTANCES.len())] };
        Self { fates, circumstance }
    }

    /// Nobody listens yet, and everybody comes.
    fn before_the_start() -> Self {
        Self {
            fates: KEYS.iter().map(|key| (*key, refuse as Fate, 3)).collect(),
            circumstance: |story| story.sample.listeners = Some(Vec::new()),
        }
    }

    fn happen(&self, story: &mut Story, second: u64) {
        for (key, fate, every) in &self.fates {
            if second.is_multiple_of(*every) {
                fate(story, *key);
            }
        }
        (self.circumstance)(story);
    }
}

/// A story in which the target itself has a tally, and all readings of it.
struct Told {
    story: Story,
    readings: Vec<Sample>,
}

impl Told {
    fn new() -> Self {
        let mut story = Story::new();
        story.sources.add(TASK.into(), Role::Own, Origin::Interface, Duration::ZERO).expect("room");
        story.sample.host.allowances.packet_rate = Some(0);
        let mut told = Self { readings: vec![story.sample.clone()], story };
        // The baseline, once more, with what was just added.
        told.story.after(Duration::from_millis(1));
        told.readings.push(told.story.sample.clone());
        told
    }

    fn expecting_clients() -> Self {
        let mut told = Self::new();
        told.story.history.watch.expect_clients = true;
        told
    }

    fn tell(&mut self, seconds: u64, what: &While) {
        self.story.sample.listeners = Some(vec![listener(Ipv4Addr::UNSPECIFIED.into())]);
        (self.story.sample.conntrack, self.story.sample.foreign_xdp) = (None, None);
        let readings = &mut self.readings;
        self.story.pass(seconds, |story, second| {
            what.happen(story, second);
            readings.push(story.sample.clone());
        });
    }
}

fn for_every_story(mut check: impl FnMut(u64, &mut fastrand::Rng)) {
    for seed in 0..STORIES {
        check(seed, &mut fastrand::Rng::with_seed(seed));
    }
}

/// Faults, the suspected ones included.
fn faults(story: &Story) -> Vec<Finding> {
    story.findings().into_iter().filter(|finding| finding.severity == Severity::Fault).collect()
}

#[test]
fn time_that_stands_still_changes_nothing() {
    for_every_story(|seed, draw| {
        let mut told = Told::new();
        told.tell(SECONDS, &While::draw(draw));
        let before = told.story.conclusions();
        // The same reading once more.
        told.story.history.observe(told.story.sample.clone(), &told.story.sources);
        assert_eq!(told.story.conclusions(), before, "seed {seed}");
    });
}
