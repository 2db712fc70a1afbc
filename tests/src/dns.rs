//! A name server: names and their addresses, which a test may change at any time.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use simple_dns::{
    CLASS, Packet, PacketFlag, QTYPE, RCODE, ResourceRecord, TYPE,
    rdata::{A, AAAA, RData},
};

use crate::Netns;

/// Where resolvers look for it: they name no port.
const ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 53);

/// How long the server waits before it looks whether it is to stop.
const PATIENCE: Duration = Duration::from_millis(50);

/// The time to live of an NLB's records.
const TTL_SECONDS: u32 = 60;

/// Points the resolver of a program to this server, in a mount namespace of its own: whatever else the machine asks (a cache,
/// a service behind a socket) knows nothing of the lab. `/mnt` only is a place where files can be written for that.
const SCRIPT: &str = r#"
set -e
mount -t tmpfs tmpfs /mnt
printf 'nameserver 127.0.0.1\noptions timeout:2 attempts:5\n' >/mnt/resolv.conf
mount --bind /mnt/resolv.conf /etc/resolv.conf
if [ -e /etc/nsswitch.conf ]; then
    printf 'hosts: files dns\n' >/mnt/nsswitch.conf
    mount --bind /mnt/nsswitch.conf /etc/nsswitch.conf
fi
umount -l /mnt
exec "$@"
"#;

type Table = BTreeMap<String, Vec<IpAddr>>;

/// A name server in a namespace, until dropped.
pub struct Dns {
    table: Arc<Mutex<Table>>,
    questions: Arc<Mutex<Vec<String>>>,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Dns {
    /// One that knows no name yet, on loopback.
    ///
    /// # Panics
    ///
    /// When its port is taken.
    pub fn start(namespace: &Netns) -> Self {
        let socket = namespace.run(|| UdpSocket::bind(ADDRESS)).expect("a port for names");
        socket.set_read_timeout(Some(PATIENCE)).expect("a time limit for questions");
        let (table, questions) = (Arc::new(Mutex::new(Table::new())), Arc::new(Mutex::new(Vec::new())));
        let stopped = Arc::new(AtomicBool::new(false));
        let (names, log, is_stopped) = (Arc::clone(&table), Arc::clone(&questions), Arc::clone(&stopped));
        let thread = thread::spawn(move || {
            let mut bytes = [0; 1500];
            while !is_stopped.load(Ordering::Relaxed) {
                let Ok((count, from)) = socket.recv_from(&mut bytes) else { continue };
                let Some((name, reply)) = answer(&bytes[..count], &names.lock().expect("whole")) else {
                    continue;
                };
                log.lock().expect("whole").push(name);
                // Whoever asked may be gone.
                let _ = socket.send_to(&reply, from);
            }
        });
        Self { table, questions, stopped, thread: Some(thread) }
    }

    /// From now on this name has these addresses and no others.
    ///
    /// # Panics
    ///
    /// When the server panicked.
    pub fn set(&self, name: &str, addresses: &[IpAddr]) {
        self.table.lock().expect("the server does not panic").insert(name.to_owned(), addresses.to_vec());
    }

    /// Names that were asked for so far, each as often as it was.
    ///
    /// # Panics
    ///
    /// When the server panicked.
    pub fn questions(&self) -> Vec<String> {
        self.questions.lock().expect("the server does not panic").clone()
    }

    /// A command whose resolver asks the server of the namespace that it is started in. Needs root.
    pub fn asked_by(program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", SCRIPT, "sh"]).arg(program);
        command
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            eprintln!("the name server panicked");
        }
    }
}

/// The name that is asked for and the reply; `None` for what is no question.
fn answer(question: &[u8], table: &Table) -> Option<(String, Vec<u8>)> {
    let query = Packet::parse(question).ok()?;
    let asked = query.questions.first()?.clone();
    let name = asked.qname.to_string().to_ascii_lowercase();
    let mut reply = Packet::new_reply(query.id());
    reply.set_flags(PacketFlag::RECURSION_DESIRED | PacketFlag::RECURSION_AVAILABLE);
    match table.get(&name) {
        None => *reply.rcode_mut() = RCODE::NameError,
        Some(addresses) => {
            let wanted = addresses.iter().filter_map(|address| match (address, asked.qtype) {
                (IpAddr::V4(address), QTYPE::TYPE(TYPE::A)) => Some(RData::A(A::from(*address))),
                (IpAddr::V6(address), QTYPE::TYPE(TYPE::AAAA)) => Some(RData::AAAA(AAAA::from(*address))),
                // A name without an address of the family is no error.
                _ => None,
            });
            let record = |data| ResourceRecord::new(asked.qname.clone(), CLASS::IN, TTL_SECONDS, data);
            reply.answers = wanted.map(record).collect();
        }
    }
    reply.questions.push(asked);
    Some((name, reply.build_bytes_vec().ok()?))
}

#[cfg(test)]
mod tests {
    use simple_dns::{Name, Question};

    use super::*;

    #[test]
    fn a_name_has_the_addresses_of_the_family_asked_for_and_an_unknown_one_does_not_exist() {
        let table = Table::from([(
            "nlb.example".to_owned(),
            vec!["10.0.0.7".parse().expect("an address"), "fd00::7".parse().expect("an address")],
        )]);
        for (name, kind, code, data) in [
            ("NLB.example", TYPE::A, RCODE::NoError, Some(RData::A(A { address: 0x0a00_0007 }))),
            (
                "nlb.example",
                TYPE::AAAA,
                RCODE::NoError,
                Some(RData::AAAA(AAAA { address: (0xfd00 << 112) + 7 })),
            ),
            ("nlb.example", TYPE::TXT, RCODE::NoError, None),
            ("a.nlb.example", TYPE::A, RCODE::NameError, None),
        ] {
            let mut query = Packet::new_query(7);
            query.questions.push(Question::new(
                Name::new_unchecked(name),
                kind.into(),
                CLASS::IN.into(),
                false,
            ));
            let bytes = query.build_bytes_vec().expect("a query");
            let (asked, reply) = answer(&bytes, &table).expect("an answer");
            assert_eq!(asked, name.to_ascii_lowercase());
            let reply = Packet::parse(&reply).expect("a reply");
            assert_eq!((reply.id(), reply.rcode(), reply.questions.len()), (7, code, 1), "{name}");
            let answers: Vec<_> = reply.answers.into_iter().map(|record| record.rdata).collect();
            assert_eq!(answers, data.into_iter().collect::<Vec<_>>(), "{name}");
        }
        assert!(answer(b"no question", &table).is_none());
    }
}
