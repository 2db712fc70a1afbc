//! The NLB's names and every address they ever resolved to.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::spawn_blocking,
};

use crate::{
    discover::names::{ResolveError, resolve},
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
}

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
        Ok(Self { known, answers, answer, under_way: BTreeSet::new() })
    }

    /// Asks again, in the background. A question that was not answered yet is not asked twice.
    pub fn refresh(&mut self) {
        for name in self.known.keys() {
            if self.under_way.insert(name.clone()) {
                let (name, answer) = (name.clone(), self.answer.clone());
                spawn_blocking(move || {
                    let resolved = resolve(&name);
                    // Nobody waits for it any more when the agent ends.
                    let _ = answer.send((name, resolved));
                });
            }
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
            Err(error) => {
                log::warn!("{error}; going on with the addresses known");
                false
            }
        }
    }

    /// Every name with every address known.
    pub fn iter(&self) -> impl Iterator<Item = (&str, IpAddr)> {
        self.known
            .iter()
            .flat_map(|(name, addresses)| addresses.iter().map(|address| (name.as_str(), *address)))
    }
}
