//! The namespaces, wired up: links, addresses, routes, and the rules between the subnets.

use std::{
    io::ErrorKind,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use crate::{
    Netns,
    nlb::{connect, connect_from, in_vain},
    plan::{Family, Plan, Side},
    shell::{ip, nft, sysctl},
    wait,
};

/// A small AWS. Whoever lives in it is started apart.
pub struct Topology {
    /// Addresses.
    pub plan: Plan,
    /// Routes between the subnets; its forward rules play security group and network ACL.
    pub fabric: Netns,
    /// The application and the agent.
    pub task: Netns,
    /// NLB nodes.
    pub nodes: [Netns; 2],
    /// Clients.
    pub client: Netns,
}

impl Topology {
    /// Builds it.
    ///
    /// # Panics
    ///
    /// When a step fails.
    pub fn new(plan: Plan) -> Self {
        let fabric = Netns::new();
        // Before the links: a new interface takes its settings from `default`.
        for name in ["ipv4/ip_forward", "ipv6/conf/all/forwarding", "ipv6/conf/default/forwarding"] {
            sysctl(&fabric, name, "1");
        }
        settle(&fabric);
        let task = side(&fabric, "task", &plan.task, plan.family);
        let nodes = [
            side(&fabric, "nlb-a", &plan.nodes[0], plan.family),
            side(&fabric, "nlb-b", &plan.nodes[1], plan.family),
        ];
        let client = side(&fabric, "client", &plan.client, plan.family);
        nft(
            &fabric,
            "add table inet aws
             add chain inet aws nacl { type filter hook forward priority 0; }",
        );
        let topology = Self { plan, fabric, task, nodes, client };
        topology.wait_for_links();
        topology
    }

    /// The kernel takes up to a second to notice that a link is up; until then IPv6 finds no neighbours.
    fn wait_for_links(&self) {
        const DISCARD: u16 = 9;
        let patience = Duration::from_millis(100) * wait::pace();
        let target = (self.plan.task.address(), DISCARD).into();
        for (namespace, side) in
            self.nodes.iter().zip(&self.plan.nodes).chain([(&self.client, &self.plan.client)])
        {
            wait::until("the links to carry packets", Duration::from_secs(30), || {
                let attempt = namespace.run(|| connect(side.address(), target, patience));
                attempt.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
            });
        }
    }

    /// A security group or network ACL that drops what matches, on its way between the subnets.
    pub fn block(&self, what: &str) {
        nft(&self.fabric, &format!("add rule inet aws nacl {what} counter drop"));
    }

    /// As [`Topology::block`], for what comes from these addresses to the task's port.
    pub fn block_towards_task(&self, from: &[IpAddr]) {
        let family = self.plan.family.nft();
        self.block(&format!(
            "{family} saddr {{ {} }} {family} daddr {} tcp dport {}",
            list(from),
            self.plan.task.address(),
            self.plan.port
        ));
    }

    /// Makes the health checks of these nodes go to another port of the task, as if the target group said so.
    pub fn check_another_port(&self, nodes: &[IpAddr], port: u16) {
        let family = self.plan.family.nft();
        nft(
            &self.fabric,
            &format!(
                "add table {family} group
                 add chain {family} group port {{ type nat hook prerouting priority -100; }}
                 add rule {family} group port {family} saddr {{ {} }} tcp dport {} dnat to {}",
                list(nodes),
                self.plan.port,
                SocketAddr::new(self.plan.task.address(), port),
            ),
        );
    }

    /// Tries a connection from this address and port of a client, which comes by the way of a node; what answers it goes
    /// to the client.
    ///
    /// # Panics
    ///
    /// When a connection is made.
    pub fn connect_by_another_way(&self, from: SocketAddr, limit: Duration) {
        let length = if from.is_ipv4() { "32" } else { "128" };
        let nodad = nodad(self.plan.family);
        ip(&self.nodes[1], &format!("address replace {}/{length} dev lo {nodad}", from.ip()));
        let attempt = self.nodes[1].run(|| connect_from(from, self.plan.target(), limit));
        // The answer goes elsewhere.
        in_vain(attempt, ErrorKind::TimedOut);
    }

    /// As [`Topology::check_another_port`], of one node; what it forwards for clients stays where it was.
    pub fn check_another_port_at_node(&self, number: usize, port: u16) {
        let (family, task) = (self.plan.family.nft(), self.plan.task.address());
        nft(
            &self.nodes[number],
            &format!(
                "add table {family} group
                 add chain {family} group port {{ type nat hook output priority -100; }}
                 add rule {family} group port {family} daddr {task} tcp dport {} dnat to {}",
                self.plan.port,
                SocketAddr::new(task, port),
            ),
        );
    }

    /// Makes a node's health checks end at the node, as if it had stopped to send them; what it forwards for clients goes on.
    pub fn stop_probes_at_node(&self, number: usize) {
        let (family, task) = (self.plan.family.nft(), self.plan.task.address());
        nft(
            &self.nodes[number],
            &format!(
                "add table inet idle
                 add chain inet idle own {{ type filter hook output priority 0; }}
                 add rule inet idle own {family} daddr {task} tcp dport {} drop",
                self.plan.port,
            ),
        );
    }

    /// Takes all blocks away.
    pub fn unblock(&self) {
        nft(&self.fabric, "flush chain inet aws nacl");
    }

    /// Rules on the task itself: a chain of a filter hook, and a rule in it.
    pub fn firewall(&self, hook: &str, rule: &str) {
        nft(
            &self.task,
            &format!(
                "add table inet host
                 add chain inet host {hook} {{ type filter hook {hook} priority 0; }}
                 add rule inet host {hook} {rule}"
            ),
        );
    }

    /// Takes the task's rules away.
    pub fn firewall_off(&self) {
        nft(&self.task, "delete table inet host");
    }

    /// Makes a node forward what is sent to the application's port on its own address, under its own address.
    pub fn translate_at_node(&self, number: usize) {
        self.forward_at_node(number);
        let (family, task) = (self.plan.family.nft(), self.plan.task.address());
        nft(
            &self.nodes[number],
            &format!(
                "add chain {family} nlb target {{ type nat hook postrouting priority 100; }}
                 add rule {family} nlb target {family} daddr {task} snat to {}",
                self.plan.node(number),
            ),
        );
    }

    /// The same under the sender's address, as with client IP preservation.
    pub fn forward_at_node(&self, number: usize) {
        let family = self.plan.family.nft();
        let (task, port) = (self.plan.task.address(), self.plan.port);
        let target = SocketAddr::new(task, port);
        let node = &self.nodes[number];
        sysctl(node, "ipv4/ip_forward", "1");
        sysctl(node, "ipv6/conf/all/forwarding", "1");
        nft(
            node,
            &format!(
                "add table {family} nlb
                 add chain {family} nlb listener {{ type nat hook prerouting priority -100; }}
                 add rule {family} nlb listener {family} daddr {own} tcp dport {port} dnat to {target}",
                own = self.plan.node(number),
            ),
        );
    }
}

/// A comma-separated list.
pub fn list(addresses: &[IpAddr]) -> String {
    addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ")
}

/// Settings that a new namespace takes from the machine, or that would make it wait a second for each address.
fn settle(namespace: &Netns) {
    for name in ["ipv4/conf/all/rp_filter", "ipv4/conf/default/rp_filter", "ipv6/conf/default/dad_transmits"]
    {
        sysctl(namespace, name, "0");
    }
}

/// A namespace with one interface that leads to the fabric.
fn side(fabric: &Netns, link: &str, side: &Side, family: Family) -> Netns {
    let namespace = Netns::new();
    settle(&namespace);
    let Side { subnet, gateway, addresses, interface } = side;
    let length = subnet.prefix_len();
    let nodad = nodad(family);
    ip(
        fabric,
        &format!(
            "link add {link} type veth peer name {interface} netns {}
             address add {gateway}/{length} dev {link} {nodad}
             link set {link} up",
            namespace.path().display()
        ),
    );
    let mut commands = String::new();
    for address in addresses {
        commands.push_str(&format!("address add {address}/{length} dev {interface} {nodad}\n"));
    }
    commands.push_str(&format!("link set {interface} up\nroute add default via {gateway}\n"));
    ip(&namespace, &commands);
    namespace
}

/// Without duplicate address detection an address can be used at once, even on a loopback interface, where there is nobody
/// to detect and it is put off all the same.
const fn nodad(family: Family) -> &'static str {
    match family {
        Family::V4 => "",
        Family::V6 => "nodad",
    }
}
