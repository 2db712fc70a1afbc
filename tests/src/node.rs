//! A node with many tasks: one namespace each, linked to the node's own, where the balancer's address lives, too.
//!
//! The namespaces of the lab have no names and hold no process; the agent finds a namespace by a process in it, so each
//! task has one that sleeps.

use std::{
    net::{IpAddr, Ipv4Addr},
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::{
    Netns,
    app::{App, Listen},
    nlb::{self, Check, Speech},
    shell::{ip, nft, sysctl},
    wait,
};

/// The node.
pub struct Node {
    /// Its own namespace: the agent runs here, and probes come from here.
    pub home: Netns,
    /// Address that plays the NLB node.
    pub balancer: IpAddr,
    /// Port of every application.
    pub port: u16,
    second: u8,
    made: u32,
}

/// A task of the node.
pub struct Task {
    /// Its namespace.
    pub namespace: Netns,
    /// Its address.
    pub address: IpAddr,
    port: u16,
    app: Option<App>,
    holder: Held,
}

/// A process that only holds a namespace open; ended with this value.
pub struct Held(Child);

impl Drop for Held {
    fn drop(&mut self) {
        // Fails only when it has ended already, which is what is wanted.
        let _ended_already = self.0.kill();
        let _reaped_already = self.0.wait();
    }
}

/// Gives a namespace a process, as every namespace of a container has one.
pub fn hold(namespace: &Netns) -> Held {
    Held(sleeper(namespace))
}

fn sleeper(namespace: &Netns) -> Child {
    let mut command = Command::new("sleep");
    command.arg("86400").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    namespace.spawn(&mut command)
}

impl Node {
    /// An empty one.
    pub fn new() -> Self {
        let home = Netns::new();
        let second = fastrand::u8(1..250);
        let balancer = IpAddr::V4(Ipv4Addr::new(10, second, 255, 1));
        sysctl(&home, "ipv4/ip_forward", "1");
        ip(&home, &format!("address add {balancer}/32 dev lo"));
        nft(&home, "add table inet aws\nadd chain inet aws nacl { type filter hook output priority 0; }");
        // High enough that no other test and no service of the machine listens there.
        Self { home, balancer, port: fastrand::u16(33_000..40_000), second, made: 0 }
    }

    /// A task that listens on the node's port.
    pub fn task(&mut self) -> Task {
        self.task_on(self.port)
    }

    /// A task that listens on this port.
    pub fn task_on(&mut self, port: u16) -> Task {
        let mut task = self.task_to_be(port);
        task.listen();
        task
    }

    /// A task that does not listen yet.
    ///
    /// # Panics
    ///
    /// When a step fails, or after 16 000 tasks.
    pub fn task_to_be(&mut self, port: u16) -> Task {
        let number = self.made;
        self.made += 1;
        assert!(number < 16_000, "no address is left");
        // Subnets of four addresses: the gateway is the first, the task the second.
        let base = u32::from(Ipv4Addr::new(10, self.second, 0, 0)) + 4 * number;
        let (gateway, own) = (Ipv4Addr::from(base + 1), Ipv4Addr::from(base + 2));
        let namespace = Netns::new();
        sysctl(&namespace, "ipv4/conf/all/rp_filter", "0");
        sysctl(&namespace, "ipv4/conf/default/rp_filter", "0");
        let link = format!("t{number}");
        ip(
            &self.home,
            &format!(
                "link add {link} type veth peer name eth0 netns {}\naddress add {gateway}/30 dev {link}\nlink set {link} up",
                namespace.path().display()
            ),
        );
        ip(
            &namespace,
            &format!("address add {own}/30 dev eth0\nlink set eth0 up\nroute add default via {gateway}"),
        );
        let holder = hold(&namespace);
        Task { address: own.into(), namespace, port, app: None, holder }
    }

    /// Probes of all these tasks, until dropped.
    pub fn probe(&self, tasks: &[Task], interval: Duration) -> Vec<nlb::Node> {
        let check = Check::every(interval * wait::pace(), Speech::Http);
        let probe = |task: &Task| {
            nlb::Node::start(&self.home, self.balancer, (task.address, task.port).into(), check)
        };
        tasks.iter().map(probe).collect()
    }

    /// Lets nothing through to these tasks, before it reaches their namespaces.
    pub fn block(&self, tasks: &[&Task]) {
        let list = tasks.iter().map(|task| task.address.to_string()).collect::<Vec<_>>().join(", ");
        nft(&self.home, &format!("add rule inet aws nacl ip daddr {{ {list} }} counter drop"));
    }
}

impl Default for Node {
    fn default() -> Self {
        Self::new()
    }
}

impl Task {
    /// Its application begins to listen.
    pub fn listen(&mut self) {
        self.app = Some(App::start(&self.namespace, Listen::on_all(self.address, self.port)));
    }

    /// Its own firewall drops what comes for its port.
    pub fn firewall(&self) {
        nft(
            &self.namespace,
            &format!(
                "add table inet host\nadd chain inet host input {{ type filter hook input priority 0; }}\n\
                 add rule inet host input tcp dport {} counter drop",
                self.port
            ),
        );
    }

    /// Id of the process in it.
    pub fn process(&self) -> u32 {
        self.holder.0.id()
    }

    /// Ends the process in it, once there is another one.
    pub fn change_process(&mut self) {
        self.holder = hold(&self.namespace);
    }
}
