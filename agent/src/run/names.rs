//! The NLB's names and every address they ever resolved to.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::spawn_blocking,
};

use crate::{
    discover::names::{ResolveError, resolve, zonal},
    domain::sources::Origin,
    run::Failure,
    settings::OnBlind,
};

type Answer = (String, Result<BTreeSet<IpAddr>, ResolveError>);

/// Names with all addresses seen so far. None is ever forgotten: DNS withdraws exactly the failing zone.
pub struct Names {
    known: BTreeMap<String, BTreeSet<IpAddr>>,
    answers: UnboundedReceiver<Answer>,
    answer: UnboundedSender<Answer>,
    under_way: BTreeSet<String>,
    /// Those of the names that are the NLB's in the task's own zone.
    own_zone: BTreeSet<String>,
}

/// Time for the names of the own zone; later answers still count.
const OWN_ZONE_TIMEOUT: Duration = Duration::from_secs(1);

impl Names {
    /// Resolves all names once.
    ///
    /// # Errors
    ///
    /// When one of them has no address now: a mistyped name is best found at the start. With `--on-blind stay` it is
    /// asked for again later instead, because a name server may come up after the agent.
    pub async fn resolve(names: Vec<String>, on_blind: OnBlind) -> Result<Self, Failure> {
        let (answer, answers) = unbounded_channel();
        let mut known = BTreeMap::new();
        for name in names {
            let wanted = name.clone();
            let resolved = spawn_blocking(move || resolve(&wanted)).await.map_err(Failure::internal)?;
            let addresses = match (resolved, on_blind) {
                (Ok(addresses), _) => addresses,
                (Err(error), OnBlind::Exit) => return Err(Failure::Usage(error.to_string())),
                (Err(error), OnBlind::Stay) => {
                    log::warn!("{error}; asking again later");
                    BTreeSet::new()
                }
            };
            known.insert(name, addresses);
        }
        Ok(Self { known, answers, answer, under_way: BTreeSet::new(), own_zone: BTreeSet::new() })
    }

    /// Asks for the NLBs' names in this zone, too, and waits a moment for the answers. An NLB without a node there has none.
    pub async fn add_zone(&mut self, zone: &str) {
        let zonal: BTreeSet<_> = self.known.keys().filter_map(|name| zonal(name, zone)).collect();
        let wanted = zonal.len();
        self.known.extend(zonal.iter().map(|name| (name.clone(), BTreeSet::new())));
        self.own_zone = zonal;
        for name in self.own_zone.clone() {
            self.ask(name);
        }
        let answered = async {
            for _ in 0..wanted {
                self.changed().await;
            }
        };
        if tokio::time::timeout(OWN_ZONE_TIMEOUT, answered).await.is_err() {
            log::debug!("the name server takes its time for the names in {zone}");
        }
    }

    fn ask(&mut self, name: String) {
        if self.under_way.insert(name.clone()) {
            let answer = self.answer.clone();
            spawn_blocking(move || {
                let resolved = resolve(&name);
                // Nobody waits for it any more when the agent ends.
                let _ = answer.send((name, resolved));
            });
        }
    }

    /// Asks again, in the background. A question that was not answered yet is not asked twice.
    pub fn refresh(&mut self) {
        for name in self.known.keys().cloned().collect::<Vec<_>>() {
            self.ask(name);
        }
    }

    /// Waits for the next answer, and says whether it held a new address.
    pub async fn changed(&mut self) -> bool {
        // Never closed: this struct holds a sender itself.
        let Some((name, resolved)) = self.answers.recv().await else { return false };
        self.under_way.remove(&name);
        match resolved {
            Ok(addresses) => {
                let known = self.known.entry(name).or_default();
                let before = known.len();
                known.extend(addresses);
                known.len() > before
            }
            Err(error) if self.own_zone.contains(&error.name) => {
                log::debug!("{error}; the NLB may have no node in this zone");
                false
            }
            Err(error) => {
                log::warn!("{error}; going on with the addresses known");
                false
            }
        }
    }

    /// Every address known, with where it comes from: the own zone's first, because an address keeps its first origin.
    pub fn iter(&self) -> impl Iterator<Item = (IpAddr, Origin)> {
        let mut all = Vec::new();
        for (name, addresses) in &self.known {
            let is_own = self.own_zone.contains(name);
            let origin = if is_own { Origin::OwnZone(name.clone()) } else { Origin::Dns(name.clone()) };
            all.extend(addresses.iter().map(|address| (*address, origin.clone())));
        }
        all.sort_by_key(|(_, origin)| !matches!(origin, Origin::OwnZone(_)));
        all.into_iter()
    }
}
