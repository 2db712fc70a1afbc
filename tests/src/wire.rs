//! Two namespaces and a link between them that carries as many packets as the machine can make: a queue for each CPU, and
//! frames of XDP taken in at both ends.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::fd::AsRawFd as _,
};

use aya::{
    Ebpf, EbpfLoader,
    maps::PerCpuArray,
    programs::{
        LinkOrder, SchedClassifier, TcAttachType,
        tc::{self, NlOptions, TcAttachOptions},
    },
};

use anyhow::{Context as _, Result};

use crate::{
    Netns, flood,
    others::OBJECT,
    shell::{ip, sysctl},
};

/// The interface of the receiver.
pub const INTERFACE: &str = "eth0";

/// The interface of the sender.
pub const SENDER: &str = "out";

/// Where SYNs are sent to.
pub const TARGET: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 168, 77, 2)), 8080);

/// The two namespaces.
pub struct Wire {
    /// Who sends.
    pub sender: Netns,
    /// Who receives, at [`TARGET`].
    pub task: Netns,
    /// Takes what is answered, in the sender's namespace.
    _swallow: Ebpf,
}

impl Wire {
    /// Makes them.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn new() -> Result<Self> {
        let (sender, task) = (Netns::new(), Netns::new());
        let queues = std::thread::available_parallelism().map_or(1, usize::from);
        let queues = format!("numtxqueues {queues} numrxqueues {queues}");
        let path = task.path();
        ip(
            &sender,
            &format!(
                "link add {SENDER} {queues} type veth peer name {INTERFACE} netns {} {queues}
                 address add 192.168.77.1/24 dev {SENDER}
                 link set {SENDER} up",
                path.display()
            ),
        );
        // Every source is taken in, wherever an answer to it would go.
        for name in ["ipv4/conf/all/rp_filter", "ipv4/conf/default/rp_filter", "ipv4/conf/eth0/rp_filter"] {
            sysctl(&task, name, "0");
        }
        let gateway = flood::hardware_address(&sender, SENDER).map(|byte| format!("{byte:02x}")).join(":");
        ip(
            &task,
            &format!(
                "address add {}/24 dev {INTERFACE}
                 link set {INTERFACE} up
                 neighbor add 192.168.77.1 lladdr {gateway} dev {INTERFACE}
                 route add default via 192.168.77.1",
                TARGET.ip()
            ),
        );
        // An end that has GRO takes in frames of XDP.
        for (namespace, interface) in [(&sender, SENDER), (&task, INTERFACE)] {
            namespace.run(|| receive_together(interface)).with_context(|| format!("GRO on {interface}"))?;
        }
        let swallow = swallow(&sender)?;
        Ok(Self { sender, task, _swallow: swallow })
    }
}

/// Where all SYNs end, right behind whoever else is attached.
pub struct Sink {
    object: Ebpf,
}

impl Sink {
    /// Drops SYNs at the receiver from now on.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn new(wire: &Wire) -> Result<Self> {
        Ok(Self { object: sink(&wire.task)? })
    }

    /// SYNs so far, by the lower 14 bits of the upper 24 of their source.
    ///
    /// # Errors
    ///
    /// When its map cannot be read.
    pub fn counts(&self) -> Result<Vec<u64>> {
        let map = self.object.map("SUNK").context("no map SUNK")?;
        let counts: PerCpuArray<_, u64> = map.try_into()?;
        (0..counts.len()).map(|index| Ok(counts.get(&index, 0)?.iter().sum())).collect()
    }

    /// SYNs so far.
    ///
    /// # Errors
    ///
    /// When its map cannot be read.
    pub fn count(&self) -> Result<u64> {
        Ok(self.counts()?.iter().sum())
    }
}

/// Attaches the lab's sink behind whoever is there.
fn sink(namespace: &Netns) -> Result<Ebpf> {
    let mut object = load()?;
    let program = classifier(&mut object, "sink")?;
    let options = TcAttachOptions::TcxOrder(LinkOrder::last());
    namespace.run(|| program.attach_with_options(INTERFACE, TcAttachType::Ingress, options))?;
    Ok(object)
}

/// Makes the sender take all that comes without a word: what it dropped instead, the kernel would tell to the agent, too. On
/// clsact, because a program on tcx may drop packets but not take them.
fn swallow(namespace: &Netns) -> Result<Ebpf> {
    let mut object = load()?;
    let program = classifier(&mut object, "swallow")?;
    namespace.run(|| {
        tc::qdisc_add_clsact(SENDER)?;
        let options = TcAttachOptions::Netlink(NlOptions::default());
        let id = program.attach_with_options(SENDER, TcAttachType::Ingress, options)?;
        // Detaching would have to happen in the namespace; the namespace ends soon enough.
        std::mem::forget(program.take_link(id)?);
        anyhow::Ok(())
    })?;
    Ok(object)
}

fn load() -> Result<Ebpf> {
    EbpfLoader::new().load(OBJECT).context("loading the lab's own programs")
}

fn classifier<'a>(object: &'a mut Ebpf, name: &str) -> Result<&'a mut SchedClassifier> {
    let program = object.program_mut(name).with_context(|| format!("no program {name}"))?;
    let program: &mut SchedClassifier = program.try_into()?;
    program.load()?;
    Ok(program)
}

/// Turns GRO on, as `ethtool -K` does.
fn receive_together(interface: &str) -> io::Result<()> {
    const SIOCETHTOOL: libc::Ioctl = 0x8946;
    const SET_GRO: u32 = 0x2c;
    let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    // `struct ethtool_value`: command and value.
    let mut request = [SET_GRO, 1];
    // SAFETY: zero is a value of every member, and of the union a null pointer.
    let mut named: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in named.ifr_name.iter_mut().zip(interface.bytes()) {
        *to = from as libc::c_char;
    }
    named.ifr_ifru.ifru_data = request.as_mut_ptr().cast();
    // SAFETY: both outlive the call, and the kernel reads two words of the request.
    let failed = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, &raw mut named) };
    if failed < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
