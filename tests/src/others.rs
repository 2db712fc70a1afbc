//! Programs of somebody else on the same interface.

use std::net::IpAddr;

use anyhow::{Context as _, Result};
use aya::{
    Ebpf, EbpfLoader,
    maps::{
        HashMap, PerCpuArray, PerCpuHashMap,
        lpm_trie::{Key, LpmTrie},
    },
    programs::{
        LinkOrder, Program, RawTracePoint, SchedClassifier, TcAttachType, Xdp, XdpMode,
        tc::{self, NlOptions, TcAttachOptions},
    },
};
use ipnet::Ipv4Net;

use crate::{Netns, witness};

pub(crate) static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/lab-programs"));

/// One of the tc programs, and where it belongs.
#[derive(Clone, Copy)]
struct Classifier {
    name: &'static str,
    side: TcAttachType,
}

const COUNTER: Classifier = Classifier { name: "other_tc", side: TcAttachType::Ingress };
const REPLIES: Classifier = Classifier { name: "drop_replies", side: TcAttachType::Egress };

/// Somebody else's programs. What is attached is detached when this is dropped.
pub struct Others {
    object: Ebpf,
}

impl Others {
    /// Loads them, attached to nothing.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn load() -> Result<Self> {
        Self::load_dropping(0)
    }

    fn load_dropping(source: u32) -> Result<Self> {
        let object = EbpfLoader::new()
            .override_global("DROPPED_SOURCE", &source, true)
            .load(OBJECT)
            .context("loading the lab's own programs")?;
        Ok(Self { object })
    }

    /// A tc program in front of whoever is there, or behind; it counts SYNs and ends the chain.
    ///
    /// # Errors
    ///
    /// When the kernel refuses, for example because it has no tcx.
    pub fn tc(namespace: &Netns, interface: &str, order: LinkOrder) -> Result<Self> {
        let mut others = Self::load()?;
        namespace.run(|| {
            let program = others.classifier("other_tc")?;
            let options = TcAttachOptions::TcxOrder(order);
            program.attach_with_options(interface, TcAttachType::Ingress, options)?;
            anyhow::Ok(())
        })?;
        Ok(others)
    }

    /// A tc program behind whoever is there, on tcx or, where the kernel has none, on clsact; it drops the SYNs of one
    /// source.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn tc_dropping(namespace: &Netns, interface: &str, source: IpAddr) -> Result<Self> {
        Self::behind(namespace, interface, source, COUNTER)
    }

    /// The same on the way out: it drops the SYN-ACKs for one address.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn tc_dropping_replies(namespace: &Netns, interface: &str, to: IpAddr) -> Result<Self> {
        Self::behind(namespace, interface, to, REPLIES)
    }

    fn behind(namespace: &Netns, interface: &str, address: IpAddr, what: Classifier) -> Result<Self> {
        let mut others = Self::load_dropping(last_bits(address))?;
        let attached = namespace.run(|| {
            let options = TcAttachOptions::TcxOrder(LinkOrder::last());
            others.classifier(what.name)?.attach_with_options(interface, what.side, options)?;
            anyhow::Ok(())
        });
        if attached.is_ok() {
            return Ok(others);
        }
        Self::on_clsact(others, namespace, interface, 10, what)
    }

    /// A tc program on clsact, at this priority; it counts SYNs and ends the chain. It goes with the interface.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn clsact(namespace: &Netns, interface: &str, priority: u16) -> Result<Self> {
        Self::on_clsact(Self::load()?, namespace, interface, priority, COUNTER)
    }

    fn on_clsact(
        mut others: Self,
        namespace: &Netns,
        interface: &str,
        priority: u16,
        what: Classifier,
    ) -> Result<Self> {
        namespace.run(|| {
            if let Err(error) = tc::qdisc_add_clsact(interface) {
                // The agent may have one there already.
                anyhow::ensure!(
                    !witness::disciplines(namespace).is_empty(),
                    "clsact on {interface}: {error}"
                );
            }
            let program = others.classifier(what.name)?;
            let options = NlOptions { priority, ..NlOptions::default() };
            let id = program.attach_with_options(interface, what.side, TcAttachOptions::Netlink(options))?;
            // Detaching would have to happen in the namespace; the namespace ends soon enough.
            std::mem::forget(program.take_link(id)?);
            anyhow::Ok(())
        })?;
        Ok(others)
    }

    /// The same, and it drops the SYNs of one source.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn clsact_dropping(
        namespace: &Netns,
        interface: &str,
        priority: u16,
        source: IpAddr,
    ) -> Result<Self> {
        Self::on_clsact(Self::load_dropping(last_bits(source))?, namespace, interface, priority, COUNTER)
    }

    /// An XDP program that drops the SYNs of one source, given by the last 32 bits of its address.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn xdp(namespace: &Netns, interface: &str, source: IpAddr) -> Result<Self> {
        let mut others = Self::load_dropping(last_bits(source))?;
        namespace.run(|| {
            let program: &mut Xdp =
                others.object.program_mut("drop_in_front").context("no program drop_in_front")?.try_into()?;
            program.load()?;
            program.attach(interface, XdpMode::Skb)?;
            anyhow::Ok(())
        })?;
        Ok(others)
    }

    /// Id of one of them, once it is loaded: `drop_in_front`, `other_tc` or `drop_replies`.
    ///
    /// # Errors
    ///
    /// When it is not.
    pub fn id(&self, name: &str) -> Result<u32> {
        let program = self.object.program(name).with_context(|| format!("no program {name}"))?;
        let info = match program {
            Program::Xdp(program) => program.info(),
            Program::SchedClassifier(program) => program.info(),
            _ => anyhow::bail!("{name} is of another kind"),
        };
        Ok(info?.id())
    }

    /// The program that does nothing.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn empty(&mut self) -> Result<&mut SchedClassifier> {
        self.classifier("empty_tc")
    }

    /// Programs that do nothing wherever the agent has one on the way of a SYN that is answered or dropped.
    ///
    /// # Errors
    ///
    /// When the kernel refuses, for example because it has no tcx.
    pub fn empties(namespace: &Netns, interface: &str) -> Result<Self> {
        let mut others = Self::load()?;
        namespace.run(|| {
            let program = others.empty()?;
            for side in [TcAttachType::Ingress, TcAttachType::Egress] {
                program.attach_with_options(
                    interface,
                    side,
                    TcAttachOptions::TcxOrder(LinkOrder::first()),
                )?;
            }
            anyhow::Ok(())
        })?;
        let drops: &mut RawTracePoint =
            others.object.program_mut("empty_drop").context("no program empty_drop")?.try_into()?;
        drops.load()?;
        drops.attach("kfree_skb")?;
        Ok(others)
    }

    /// The program that counts the customary way, told these sources, each a class of its own, and this port.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn trie_and_hash(&mut self, sources: &[Ipv4Net], port: u16) -> Result<&mut SchedClassifier> {
        let map = self.object.map_mut("CUSTOMARY_SOURCES").context("no map CUSTOMARY_SOURCES")?;
        let mut trie: LpmTrie<_, [u8; 4], u32> = map.try_into()?;
        for (number, network) in (1..).zip(sources) {
            let key = Key::new(u32::from(network.prefix_len()), network.network().octets());
            trie.insert(&key, number, 0)?;
        }
        let map = self.object.map_mut("CUSTOMARY_PORTS").context("no map CUSTOMARY_PORTS")?;
        let mut ports: HashMap<_, u16, u32> = map.try_into()?;
        ports.insert(port, 0, 0)?;
        self.classifier("trie_and_hash")
    }

    /// What the program counted that counts the customary way.
    ///
    /// # Errors
    ///
    /// When its map cannot be read.
    pub fn counted_customarily(&self) -> Result<u64> {
        let map = self.object.map("CUSTOMARY_COUNTS").context("no map CUSTOMARY_COUNTS")?;
        let counts: PerCpuHashMap<_, u64, u64> = map.try_into()?;
        let mut sum = 0;
        for entry in counts.iter() {
            sum += entry?.1.iter().sum::<u64>();
        }
        Ok(sum)
    }

    fn classifier(&mut self, name: &str) -> Result<&mut SchedClassifier> {
        let program = self.object.program_mut(name).with_context(|| format!("no program {name}"))?;
        let program: &mut SchedClassifier = program.try_into()?;
        if program.fd().is_err() {
            program.load()?;
        }
        Ok(program)
    }

    /// SYNs that the tc program saw.
    ///
    /// # Errors
    ///
    /// When its map cannot be read.
    pub fn seen(&self) -> Result<u64> {
        let map = self.object.map("OTHER_SEEN").context("no map OTHER_SEEN")?;
        let counts: PerCpuArray<_, u64> = map.try_into()?;
        Ok(counts.get(&0, 0)?.iter().sum())
    }
}

fn last_bits(source: IpAddr) -> u32 {
    match source {
        IpAddr::V4(address) => address.to_bits(),
        IpAddr::V6(address) => address.to_bits() as u32,
    }
}
