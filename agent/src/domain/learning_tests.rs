use super::*;
use crate::domain::{
    history::Watch,
    sample::{Sample, TallyKey},
    tally::Tally,
};

const PORT: u16 = 8080;

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn learning(vpc: &[&str]) -> Learning {
    let vpc = vpc.iter().map(|network| network.parse().expect("a prefix")).collect();
    Learning::new(vpc, vec![address("10.0.32.10"), address("2600:1f14:fff:f801::10")])
}

/// Nobody is named; someone closes without a word.
struct Scene {
    sources: SourceTable,
    history: History,
    sample: Sample,
}

impl Scene {
    fn new() -> Self {
        let history = History::new(Watch { ports: vec![PORT], ..Watch::default() });
        Self { sources: SourceTable::new(100), history, sample: Sample::default() }
    }

    /// Seconds at which it connects; whether it sends something then.
    fn pass(&mut self, who: IpAddr, seconds: u64, comes: impl Fn(u64) -> bool, speaks: bool) {
        for _ in 0..seconds {
            self.sample.at += Duration::from_secs(1);
            let second = self.sample.at.as_secs();
            if let (true, Some(source)) = (comes(second), self.sources.of_address(who)) {
                let key = TallyKey { slot: source.slot, port: PORT };
                let tally: &mut Tally = self.sample.tallies.entry(key).or_default();
                tally.arrived += 1;
                tally.served += 1;
                if speaks {
                    tally.clients += 1;
                } else {
                    tally.probes_served += 1;
                }
            }
            self.history.observe(self.sample.clone(), &self.sources);
            learning(&[]).take_in(&mut self.sources, &self.history, (&[], &[who]), self.sample.at);
        }
    }

    fn origin(&self, who: IpAddr) -> Option<(Role, Origin)> {
        self.sources.of_address(who).map(|source| (source.role, source.origin.clone()))
    }
}

#[test]
fn who_calls_itself_a_health_check_is_a_node_at_once() {
    let mut scene = Scene::new();
    let node = address("10.0.1.23");
    let take_in = |scene: &mut Scene| {
        learning(&[]).take_in(&mut scene.sources, &scene.history, (&[node], &[node]), Duration::ZERO)
    };
    assert!(take_in(&mut scene));
    assert_eq!(scene.origin(node), Some((Role::Node, Origin::Said)));
    assert!(!take_in(&mut scene), "once is enough");
    assert!(scene.sources.is_unnamed(), "nobody named it");
}

#[test]
fn who_closes_without_a_word_is_suspected_once_its_rhythm_held() {
    let mut scene = Scene::new();
    let node = address("fd00:5e1f::17");
    scene.pass(node, 50, |second| second % 10 == 3, false);
    assert_eq!(scene.origin(node), Some((Role::Other, Origin::Lookalike)), "not yet");
    scene.pass(node, 40, |second| second % 10 == 3, false);
    assert_eq!(scene.origin(node), Some((Role::Node, Origin::Lookalike)));
    // And surer when it says so.
    learning(&[]).take_in(&mut scene.sources, &scene.history, (&[node], &[]), Duration::ZERO);
    assert_eq!(scene.origin(node), Some((Role::Node, Origin::Said)));
}

#[test]
fn scanners_and_clients_with_a_rhythm_are_no_nodes() {
    let stranger = address("10.0.9.9");
    let mut scanner = Scene::new();
    let mut draw = fastrand::Rng::with_seed(2);
    let at_times: Vec<bool> = (0..700).map(|_| draw.u8(0..10) == 0).collect();
    scanner.pass(stranger, 600, |second| at_times[second as usize], false);
    assert_eq!(scanner.origin(stranger), Some((Role::Other, Origin::Lookalike)));
    let mut client = Scene::new();
    client.pass(stranger, 600, |second| second % 10 == 0, true);
    assert_eq!(client.origin(stranger), Some((Role::Other, Origin::Lookalike)));
}

#[test]
fn nodes_live_in_the_vpc() {
    let may = |learning: &Learning, text: &str| learning.may_be_node(address(text));
    let known = learning(&["10.0.0.0/16", "100.64.0.0/16"]);
    assert!(may(&known, "10.0.1.1") && may(&known, "100.64.9.1"));
    assert!(!may(&known, "10.1.0.1") && !may(&known, "8.8.8.8") && !may(&known, "10.0.32.10"));
    let unknown = learning(&[]);
    assert!(may(&unknown, "172.16.0.1") && may(&unknown, "100.100.0.1") && may(&unknown, "fd00::1"));
    assert!(may(&unknown, "2600:1f14:fff:f8ff::1") && !may(&unknown, "2600:1f14:fff:f901::1"));
    assert!(!may(&unknown, "203.0.113.7") && !may(&unknown, "100.128.0.1"));
}

#[test]
fn no_flood_of_senders_takes_all_tallies() {
    let mut scene = Scene::new();
    let many: Vec<IpAddr> = (0..200).map(|number| address(&format!("10.0.5.{number}"))).collect();
    learning(&[]).take_in(&mut scene.sources, &scene.history, (&[], &many[100..]), Duration::ZERO);
    assert_eq!(scene.sources.iter().count(), MOST / 2, "there is room for who says more");
    learning(&[]).take_in(&mut scene.sources, &scene.history, (&many[..100], &[]), Duration::ZERO);
    assert_eq!(scene.sources.iter().count(), MOST);
}
