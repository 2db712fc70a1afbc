//! What is filled in differs with the family, the chain, the name of the NLB, and who is missed.

use super::*;

#[test]
fn the_subnet_of_a_node_that_is_in_none_of_the_known_ones_is_asked_for() {
    let (history, mut sources) = known();
    let node = "10.0.3.5/32".parse().expect("a prefix");
    sources.add(node, Role::Node, Origin::Flag, Duration::ZERO).expect("room");
    let said = said(&(history, sources), Code::HostFirewall);
    assert!(
        said.contains("{ 10.0.1.0/24, 10.0.2.0/24, 10.0.32.0/24, <subnet CIDR of the NLB> }")
            && !said.contains("10.0.3.5"),
        "{said}"
    );
    // Nor is a prefix a subnet that none can be as small as.
    let mut sources = SourceTable::new(100);
    let few = "10.0.1.16/30".parse().expect("a prefix");
    sources.add(few, Role::Node, Origin::Flag, Duration::ZERO).expect("room");
    let (history, _) = unknown();
    let said = self::said(&(history, sources), Code::HostFirewall);
    assert!(!said.contains("10.0.1.16"), "{said}");
}

/// The NLB's nodes are somewhere in these.
fn nlb_in(prefixes: &[&str]) -> (History, SourceTable) {
    let (history, mut sources) = (unknown().0, SourceTable::new(2000));
    for prefix in prefixes {
        let prefix = prefix.parse().expect("a prefix");
        sources.add(prefix, Role::Node, Origin::Flag, Duration::ZERO).expect("room");
    }
    (history, sources)
}

#[test]
fn a_prefix_as_wide_as_a_vpc_is_not_offered_as_the_load_balancers() {
    for (given, wide) in [
        (vec!["10.0.0.0/16"], "10.0.0.0/16"),
        (vec!["10.0.0.0/19"], "10.0.0.0/19"),
        (vec!["fd00:1::/56"], "fd00:1::/56"),
        (vec!["10.0.0.0/16", "fd00:1::/56"], "10.0.0.0/16 and fd00:1::/56"),
    ] {
        let about = nlb_in(&given);
        for code in [
            Code::ProbesMissing,
            Code::ProbesStopped,
            Code::NothingArrives,
            Code::HostFirewall,
            Code::ReplyLost,
        ] {
            let said = said(&about, code);
            let reason = format!(" (not all of {wide}: others live there, too)");
            assert!(said.contains(&reason), "{}: {said}", code.name());
            let commands: Vec<_> = commands(&said).into_iter().map(|(_, command)| command).collect();
            let is_offered = |command: &&str| given.iter().any(|prefix| command.contains(prefix));
            assert!(commands.iter().all(|command| !is_offered(command)), "{}: {said}", code.name());
            assert!(commands.iter().any(|command| command.contains("<subnet CIDR of the NLB>")), "{said}");
        }
        let said = said(&about, Code::ProbesMissing);
        assert!(said.contains("--source-group <security group of the NLB>"), "{said}");
    }
    let both = said(&nlb_in(&["10.0.0.0/16", "fd00:1::/56"]), Code::ProbesMissing);
    let ranges =
        "IpRanges=[{CidrIp=<subnet CIDR of the NLB>}],Ipv6Ranges=[{CidrIpv6=<subnet CIDR of the NLB>}]";
    assert!(both.contains(ranges), "{both}");
    let route = said(&nlb_in(&["10.0.0.0/16"]), Code::NoReturnRoute);
    assert!(route.contains("ip route add 10.0.0.0/16 via"), "a route lets nobody in: {route}");
}

#[test]
fn a_prefix_as_small_as_a_subnet_and_the_subnet_of_a_node_are_offered_as_before() {
    for (given, offered) in [
        ("10.0.1.0/24", "--cidr 10.0.1.0/24"),
        ("10.0.16.0/20", "--cidr 10.0.16.0/20"),
        ("10.0.1.64/26", "--cidr 10.0.1.64/26"),
        ("fd00:1::/64", "Ipv6Ranges=[{CidrIpv6=fd00:1::/64}]"),
    ] {
        let said = said(&nlb_in(&[given]), Code::ProbesMissing);
        assert!(said.contains(offered) && !said.contains("not all of"), "{given}: {said}");
    }
    // The task's subnet is known to be one, however wide it is, and so is the one a node lives in.
    for nlb in ["10.0.32.0/20", "10.0.33.7/32"] {
        let (mut history, sources) = nlb_in(&[nlb]);
        history.watch.site.subnets = vec!["10.0.32.0/20".parse().expect("a prefix")];
        let said = said(&(history, sources), Code::ProbesMissing);
        assert!(said.contains("--cidr 10.0.32.0/20") && !said.contains("not all of"), "{nlb}: {said}");
    }
    // What is wide hides nothing that is known beside it.
    let said = said(&nlb_in(&["10.0.0.0/16", "10.0.1.0/24"]), Code::HostFirewall);
    let wanted = "(10.0.1.0/24 and <subnet CIDR of the NLB>; not all of 10.0.0.0/16: others live there, too)";
    assert!(said.contains(wanted), "{said}");
    // Clients are whom the operator says they are.
    let (history, mut sources) = nlb_in(&["10.0.1.0/24"]);
    let vpc = "10.0.0.0/16".parse().expect("a prefix");
    sources.add(vpc, Role::Client, Origin::Flag, Duration::ZERO).expect("room");
    let said = self::said(&(history, sources), Code::ClientsMissing);
    assert!(said.contains("--cidr 10.0.0.0/16"), "{said}");
}

#[test]
fn rules_speak_of_the_family_that_comes() {
    let mut sources = SourceTable::new(100);
    let network = "fd00:1::/64".parse().expect("a prefix");
    sources.add(network, Role::Node, Origin::Flag, Duration::ZERO).expect("room");
    let (mut history, _) = unknown();
    history.watch.addresses = vec!["fd00:9::10".parse().expect("an address")];
    let v6 = (history, sources);
    for (code, wanted) in [
        (Code::ProbesMissing, "ToPort=8080,Ipv6Ranges=[{CidrIpv6=fd00:1::/64}]'"),
        (Code::ProbesMissing, "Name=ipv6-addresses.ipv6-address,Values=fd00:9::10"),
        (
            Code::HostFirewall,
            "nft insert rule inet local input handle 7 ip6 saddr fd00:1::/64 tcp dport 8080 accept",
        ),
        (Code::ReplyLost, "--ipv6-cidr-block fd00:1::/64"),
    ] {
        let said = said(&v6, code);
        assert!(said.contains(wanted), "{}: {wanted} is not in {said}", code.name());
    }
    let facts = Facts { history: &v6.0, sources: &v6.1 };
    let said = facts.listen_elsewhere(PORT, &[&listener("0.0.0.0", PORT)], true);
    assert!(said.contains("Bind [::]:8080, which takes IPv4, too; it listens on 0.0.0.0:8080."), "{said}");
    let v6_only = Listener { v6_only: true, ..listener("::", PORT) };
    let said = facts.listen_elsewhere(PORT, &[&v6_only], false);
    assert!(said.contains("Bind 0.0.0.0:8080 as well") && said.contains("[::]:8080 for IPv6 only"), "{said}");
}

#[test]
fn a_chain_of_iptables_is_changed_by_either_program() {
    let known = known();
    let facts = Facts { history: &known.0, sources: &known.1 };
    let said = facts.let_in_by(&rule("ip", "filter", "INPUT"), TRAFFIC);
    let wanted = [
        "look: nft -a list chain ip filter INPUT",
        "change: nft insert rule ip filter INPUT handle 7 ip saddr { 10.0.1.0/24, 10.0.2.0/24, 10.0.32.0/24 } tcp dport 8080 accept",
        "or: iptables -t filter -I INPUT -s 10.0.1.0/24,10.0.2.0/24,10.0.32.0/24 -p tcp --dport 8080 -j ACCEPT",
        "or: nft delete rule ip filter INPUT handle 7",
    ];
    assert_eq!(said.lines().skip(1).map(str::trim).collect::<Vec<_>>(), wanted);
    assert!(!facts.let_in_by(&rule("inet", "local", "input"), TRAFFIC).contains("iptables"));
    // Whoever owns a namespace names its chains.
    let said = facts.let_in_by(&rule("inet", "local", "x; reboot"), TRAFFIC);
    assert!(said.contains("inet local <chain> handle 7") && !said.contains("reboot"), "{said}");
}

#[test]
fn a_dot_in_an_interfaces_name_is_not_taken_for_a_sysctls() {
    let (mut history, sources) = known();
    history.watch.site.interface = Some("eth0.104".to_owned());
    let said = said(&(history, sources), Code::ReversePathFilter);
    assert!(said.contains("sysctl -w net/ipv4/conf/eth0.104/rp_filter=2"), "{said}");
}

#[test]
fn only_an_nlbs_own_name_tells_its_name_and_region() {
    for (name, wanted) in [
        (
            "my-nlb-0123456789abcdef.elb.eu-west-1.amazonaws.com",
            "describe-load-balancers --region eu-west-1 --names my-nlb ",
        ),
        (
            "internal-my-alb-1234567890.eu-west-1.elb.amazonaws.com",
            "describe-load-balancers --names <name of the NLB> ",
        ),
        ("nlb.internal.example", "describe-load-balancers --names <name of the NLB> "),
    ] {
        let (history, mut sources) = unknown_with_room();
        let node = "10.0.1.23/32".parse().expect("a prefix");
        sources.add(node, Role::Node, Origin::Dns(name.to_owned()), Duration::ZERO).expect("room");
        let said = said(&(history, sources), Code::ProbesMissing);
        assert!(said.contains(wanted), "{name}: {said}");
    }
}

fn unknown_with_room() -> (History, SourceTable) {
    (unknown().0, SourceTable::new(100))
}

#[test]
fn what_all_nodes_share_is_no_candidate_while_others_come() {
    let known = known();
    let facts = Facts { history: &known.0, sources: &known.1 };
    let (all, some) =
        (facts.missing_probes(Some(PORT), Reach::All), facts.missing_probes(Some(PORT), Reach::Some));
    assert!(all.contains("IpPermissionsEgress") && !some.contains("IpPermissionsEgress"), "{some}");
    let first = |text: &str| text.lines().find(|line| line.starts_with("1. ")).map(str::to_owned);
    assert!(first(&all).is_some_and(|line| line.contains("security group")), "{all}");
    assert!(first(&some).is_some_and(|line| line.contains("the silent node's subnet")), "{some}");
    let none = facts.missing_everybody(Some(PORT));
    assert!(first(&none).is_some_and(|line| line.contains("registered with port 8080")), "{none}");
}
