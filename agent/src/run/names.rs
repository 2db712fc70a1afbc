//! The NLB's names and every address they ever resolved to.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::mpsc::channel,
    thread,
    time::{Duration, Instant},
};

use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::spawn_blocking,
};

use crate::{
    discover::names::{ResolveError, resolve, zonal},
    domain::sources::Origin,
    kernel::privileges,
    run::Failure,
    settings::OnBlind,
};

type Answer = (String, Result<BTreeSet<IpAddr>, ResolveError>);

/// What finds the addresses of a name. Blocks.
type Resolver = fn(&str) -> Result<BTreeSet<IpAddr>, ResolveError>;

/// Names with all addresses seen so far. None is ever forgotten: DNS withdraws exactly the failing zone.
pub struct Names {
    resolver: Resolver,
    known: BTreeMap<String, BTreeSet<IpAddr>>,
    answers: UnboundedReceiver<Answer>,
    answer: UnboundedSender<Answer>,
    under_way: BTreeSet<String>,
    /// Those of the names that are the NLB's in the task's own zone.
    own_zone: BTreeSet<String>,
}

/// Time for the first answers; later ones still count.
const START_TIMEOUT: Duration = Duration::from_secs(3);

/// The same for the names of the own zone.
const OWN_ZONE_TIMEOUT: Duration = Duration::from_secs(1);

impl Names {
    /// Resolves all names once, all at the same time.
    ///
    /// # Errors
    ///
    /// When one of them has no address now: a mistyped name is best found at the start. With `--on-blind stay` it is
    /// asked for again later instead. A name server that does not answer is no error: it may come up after the agent.
    pub async fn resolve(names: Vec<String>, on_blind: OnBlind) -> Result<Self, Failure> {
        Self::resolve_with(resolve, names, on_blind).await
    }

    async fn resolve_with(
        resolver: Resolver,
        names: Vec<String>,
        on_blind: OnBlind,
    ) -> Result<Self, Failure> {
        let (answer, answers) = unbounded_channel();
        let known = names.iter().map(|name| (name.clone(), BTreeSet::new())).collect();
        let (under_way, own_zone) = (BTreeSet::new(), BTreeSet::new());
        let mut all = Self { resolver, known, answers, answer, under_way, own_zone };
        all.refresh();
        let deadline = tokio::time::Instant::now() + START_TIMEOUT;
        while !all.under_way.is_empty() {
            let Ok(Some((name, resolved))) = tokio::time::timeout_at(deadline, all.answers.recv()).await
            else {
                let late: Vec<&str> = all.under_way.iter().map(String::as_str).collect();
                log::warn!(
                    "resolving --nlb {}: no name server answers; going on without for now",
                    late.join(", ")
                );
                break;
            };
            all.under_way.remove(&name);
            match resolved {
                Ok(addresses) => drop(all.known.insert(name, addresses)),
                Err(error) if ends(&error, on_blind) => {
                    return Err(Failure::Usage(error.to_string()));
                }
                Err(error) => log::warn!("{error}; asking again later"),
            }
        }
        Ok(all)
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
            let (answer, resolver) = (self.answer.clone(), self.resolver);
            spawn_blocking(move || {
                let resolved = resolver(&name);
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

/// Whether `trace` would end for this answer at its start: a mistyped name is best found then.
fn ends(error: &ResolveError, on_blind: OnBlind) -> bool {
    on_blind == OnBlind::Exit && !error.is_passing()
}

/// What asking once for a name gave.
#[derive(Debug)]
pub enum Asked {
    /// These addresses.
    Found(BTreeSet<IpAddr>),
    /// No address, and `trace` would end for it.
    Ends(ResolveError),
    /// No address now; `trace` would ask again later.
    Later(ResolveError),
    /// No answer in the time that `trace` waits for one; it would go on without.
    Silence,
}

/// Asks once for all names at the same time, for no longer than `trace` waits at its start.
pub fn ask_once(names: &[String], on_blind: OnBlind) -> Vec<(String, Asked)> {
    ask_once_with(resolve, names, on_blind)
}

fn ask_once_with(resolver: Resolver, names: &[String], on_blind: OnBlind) -> Vec<(String, Asked)> {
    let (answer, answers) = channel();
    for name in names {
        let (name, answer) = (name.clone(), answer.clone());
        // A resolver cannot be stopped. It is not waited for at the end of the process either.
        thread::spawn(move || {
            privileges::none();
            let resolved = resolver(&name);
            let _nobody_waits_any_more = answer.send((name, resolved));
        });
    }
    drop(answer);
    let deadline = Instant::now() + START_TIMEOUT;
    let mut answered = BTreeMap::new();
    while let Ok((name, resolved)) = answers.recv_timeout(deadline.saturating_duration_since(Instant::now()))
    {
        let asked = match resolved {
            Ok(addresses) => Asked::Found(addresses),
            Err(error) if ends(&error, on_blind) => Asked::Ends(error),
            Err(error) => Asked::Later(error),
        };
        answered.insert(name, asked);
    }
    names.iter().map(|name| (name.clone(), answered.remove(name).unwrap_or(Asked::Silence))).collect()
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    const NLB: &str = "my-nlb-0123456789abcdef.elb.eu-west-1.amazonaws.com";

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let value = runtime.block_on(future);
        // As the agent does: nobody waits for a resolver that takes its time.
        runtime.shutdown_background();
        value
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 1, last])
    }

    fn failed(name: &str, text: &'static str) -> ResolveError {
        ResolveError { name: name.to_owned(), source: io::Error::other(text) }
    }

    fn addresses(names: &Names) -> Vec<(IpAddr, bool)> {
        names.iter().map(|(address, origin)| (address, matches!(origin, Origin::OwnZone(_)))).collect()
    }

    #[test]
    fn an_address_that_dns_withdraws_is_not_forgotten_nor_one_that_fails_later() {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        let resolver: Resolver = |name| match ASKED.fetch_add(1, Ordering::SeqCst) {
            0 => Ok([address(1), address(2)].into()),
            1 => Ok([address(2)].into()),
            2 => Err(failed(name, "Name or service not known")),
            _ => Ok([address(3)].into()),
        };
        block_on(async {
            let mut names =
                Names::resolve_with(resolver, vec![NLB.to_owned()], OnBlind::Exit).await.expect("names");
            for (is_new, known) in [(false, 2), (false, 2), (true, 3)] {
                names.refresh();
                assert_eq!((names.changed().await, names.iter().count()), (is_new, known));
            }
        });
    }

    #[test]
    fn the_nodes_of_the_own_zone_are_told_apart_and_need_not_be_there() {
        let resolver: Resolver = |name| match name.strip_suffix(NLB) {
            Some("") => Ok([address(1), address(2)].into()),
            Some("eu-west-1b.") => Ok([address(2)].into()),
            _ => Err(failed(name, "Name or service not known")),
        };
        block_on(async {
            for (zone, own) in [("eu-west-1b", Some(address(2))), ("eu-west-1c", None)] {
                let mut names =
                    Names::resolve_with(resolver, vec![NLB.to_owned()], OnBlind::Exit).await.expect("names");
                names.add_zone(zone).await;
                let of_zone: Vec<_> = addresses(&names).into_iter().filter(|(_, is_own)| *is_own).collect();
                assert_eq!(of_zone.first().map(|(address, _)| *address), own, "{zone}");
                assert!(addresses(&names).iter().any(|(found, _)| *found == address(1)));
            }
        });
    }

    #[test]
    fn a_name_server_that_stalls_holds_the_start_up_for_three_seconds_and_ends_nothing() {
        let resolver: Resolver = |name| match name {
            "slow.example" => {
                std::thread::sleep(START_TIMEOUT + Duration::from_millis(1500));
                Ok([address(7)].into())
            }
            _ => Err(failed(name, "Temporary failure in name resolution")),
        };
        block_on(async {
            let began = Instant::now();
            let wanted = ["slow.example", "down.example"].map(str::to_owned).to_vec();
            let mut names = Names::resolve_with(resolver, wanted, OnBlind::Exit).await.expect("no failure");
            assert!(began.elapsed() < START_TIMEOUT + Duration::from_secs(1), "{:?}", began.elapsed());
            assert_eq!(names.iter().count(), 0);
            assert!(names.changed().await, "its answer counts when it comes");
            assert_eq!(addresses(&names), [(address(7), false)]);
        });
    }

    #[test]
    fn a_name_that_does_not_exist_is_an_error_unless_the_agent_has_to_stay() {
        let resolver: Resolver = |name| Err(failed(name, "Name or service not known"));
        block_on(async {
            let wanted = || vec!["mistyped.example".to_owned()];
            let refused = Names::resolve_with(resolver, wanted(), OnBlind::Exit).await;
            assert!(matches!(refused, Err(Failure::Usage(text)) if text.contains("mistyped.example")));
            assert!(Names::resolve_with(resolver, wanted(), OnBlind::Stay).await.is_ok());
        });
    }

    #[test]
    fn a_single_question_waits_no_longer_than_the_start_and_says_what_the_start_would_do() {
        let resolver: Resolver = |name| match name {
            "slow.example" => {
                std::thread::sleep(START_TIMEOUT + Duration::from_secs(60));
                Ok([address(7)].into())
            }
            "good.example" => Ok([address(1)].into()),
            "down.example" => Err(failed(name, "Temporary failure in name resolution")),
            _ => Err(failed(name, "Name or service not known")),
        };
        let wanted = ["slow.example", "good.example", "down.example", "mistyped.example"].map(str::to_owned);
        let began = Instant::now();
        let asked = ask_once_with(resolver, &wanted, OnBlind::Exit);
        assert!(began.elapsed() < START_TIMEOUT + Duration::from_secs(1), "{:?}", began.elapsed());
        let [(_, slow), (_, good), (_, down), (_, mistyped)] = &asked[..] else { panic!("{asked:?}") };
        assert!(matches!(slow, Asked::Silence) && matches!(good, Asked::Found(found) if found.len() == 1));
        assert!(matches!(down, Asked::Later(_)) && matches!(mistyped, Asked::Ends(_)));
        let asked = ask_once_with(resolver, &wanted[3..], OnBlind::Stay);
        assert!(matches!(asked[..], [(_, Asked::Later(_))]), "{asked:?}");
    }
}
