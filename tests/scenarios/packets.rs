//! What the tc programs make of single packets: the very programs, in the kernel, fed with bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use agent::domain::class::Role;
use etherparse::EtherType;
use lab::{
    frame::{Flags, Frame, Link},
    unattached::{Side, Unattached},
};

const PORT: u16 = 8080;
/// "Next": whoever else is attached runs, too.
const NEXT: i32 = -1;

const NODE4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 1, 23));
const TASK4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 32, 10));
const NODE6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 0x17));
const TASK6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 2, 0, 0, 0, 0, 0, 0x10));

fn load(link_header_bytes: u32) -> Unattached {
    let named = [(NODE4.into(), Role::Node), (NODE6.into(), Role::Node)];
    Unattached::load(&[PORT], &named, link_header_bytes).expect("the kernel takes the programs")
}

fn syn(node: IpAddr, task: IpAddr) -> Frame {
    Frame { source: (node, 40_000), destination: (task, PORT), flags: Flags::SYN }
}

/// Feeds a frame to the ingress program; how many SYNs of the source it counted then.
#[track_caller]
fn counted(programs: &mut Unattached, node: IpAddr, frame: &[u8]) -> u64 {
    let before = programs.tally(node).expect("a tally").arrived;
    let (_, returned) = programs.run(Side::Ingress, frame, 1).expect("a run");
    assert_eq!(returned, NEXT);
    programs.tally(node).expect("a tally").arrived - before
}

#[test]
fn zero_to_two_vlan_tags_in_the_frame_are_looked_behind() {
    let mut programs = load(14);
    let (customer, service) = (EtherType::VLAN_TAGGED_FRAME, EtherType::PROVIDER_BRIDGING);
    for (node, task) in [(NODE4, TASK4), (NODE6, TASK6)] {
        for (tags, count) in [
            (vec![], 1),
            (vec![(customer, 104)], 1),
            (vec![(service, 7), (customer, 104)], 1),
            (vec![(customer, 7), (customer, 104)], 1),
            (vec![(customer, 7), (customer, 8), (customer, 9)], 0),
        ] {
            let link = Link { tags: tags.clone(), ..Link::default() };
            let frame = syn(node, task).on(&link);
            assert_eq!(counted(&mut programs, node, &frame), count, "{node} behind {tags:?}");
        }
    }
}

#[test]
fn short_frames_count_nothing_and_harm_nothing() {
    let mut programs = load(14);
    for (node, task) in [(NODE4, TASK4), (NODE6, TASK6)] {
        let frame = syn(node, task).bytes();
        let flags_end = frame.len() - 20 + 14;
        // The kernel's test run takes nothing that ends within the IP header; the host tests of the parser do.
        for length in frame.len() - 20..=frame.len() {
            let count = u64::from(length >= flags_end);
            assert_eq!(counted(&mut programs, node, &frame[..length]), count, "{node} cut at {length}");
        }
    }
}

/// Three prefixes take a few nodes of those whose place is part of the program, a hundred take more than there are of them.
#[test]
fn each_source_is_found_in_a_small_table_and_in_a_large_one() {
    let subnet = |text: &str| text.parse().expect("a prefix");
    for count in [3, 100] {
        let client = |number: u8| Ipv4Addr::new(10, number, 0, 9);
        let clients = (0..count).map(|number| (IpAddr::from(client(number)).into(), Role::Client));
        let named: Vec<_> = clients.chain([(subnet("10.0.1.0/24"), Role::Node)]).collect();
        let mut programs = Unattached::load(&[PORT], &named, 14).expect("the kernel takes the programs");
        // Addresses of the NLB's subnet have a tally each, whatever their neighbours sent.
        let known = (0..count).map(client).chain([23, 24].map(|last| Ipv4Addr::new(10, 0, 1, last)));
        let strangers =
            [Ipv4Addr::new(10, 0, 0, 8), Ipv4Addr::new(10, 200, 0, 9), Ipv4Addr::new(192, 0, 2, 1)];
        for source in known.chain(strangers) {
            let frame = syn(source.into(), TASK4).bytes();
            assert_eq!(counted(&mut programs, source.into(), &frame), 1, "{source}, {count} clients");
        }
        let sent_once = programs.tally(client(1).into()).expect("a tally").arrived;
        let of_strangers = programs.tally(strangers[0].into()).expect("a tally").arrived;
        assert_eq!((sent_once, of_strangers), (1, strangers.len() as u64), "{count} clients");
    }
}

#[test]
fn options_and_fragments() {
    let mut programs = load(14);
    let whole = syn(NODE4, TASK4).bytes();
    let mut with_options = whole.clone();
    with_options[14] = 0x4f;
    with_options.splice(34..34, [1; 40]);
    assert_eq!(counted(&mut programs, NODE4, &with_options), 1);
    let fragment = |field: u16| {
        let mut bytes = whole.clone();
        bytes[20..22].copy_from_slice(&field.to_be_bytes());
        bytes
    };
    assert_eq!(counted(&mut programs, NODE4, &fragment(0x2000)), 1, "a first fragment");
    assert_eq!(counted(&mut programs, NODE4, &fragment(0x2010)), 0, "a later one");

    let whole = syn(NODE6, TASK6).bytes();
    // Hop-by-hop options, then destination options, then TCP.
    let mut with_headers = whole.clone();
    with_headers[20] = 0;
    with_headers.splice(54..54, [60, 0, 1, 4, 0, 0, 0, 0, 6, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(counted(&mut programs, NODE6, &with_headers), 1);
    let fragment = |offset: u8| {
        let mut bytes = whole.clone();
        bytes[20] = 44;
        bytes.splice(54..54, [6, 0, 0, offset | 1, 0, 0, 0, 1]);
        bytes
    };
    assert_eq!(counted(&mut programs, NODE6, &fragment(0)), 1, "a first fragment");
    assert_eq!(counted(&mut programs, NODE6, &fragment(8)), 0, "a later one");
}

#[test]
fn an_interface_without_link_header_is_read_from_its_first_byte() {
    let mut programs = load(0);
    for (node, task) in [(NODE4, TASK4), (NODE6, TASK6)] {
        let frame = syn(node, task).bytes();
        // The kernel's test run takes an Ethernet header off the packet it is given, but the program sees it.
        let bare = &frame[14..];
        assert_eq!(counted(&mut programs, node, bare), 1, "{node}");
    }
}

#[test]
fn only_the_three_segments_that_matter_are_counted() {
    let mut programs = load(14);
    for (node, task) in [(NODE4, TASK4), (NODE6, TASK6)] {
        let to_task = |flags| Frame { flags, ..syn(node, task) }.bytes();
        for flags in [Flags::ACK, Flags::SYN_ACK, Flags::RST_ACK] {
            assert_eq!(counted(&mut programs, node, &to_task(flags)), 0, "{flags:?}");
        }
        let elsewhere = Frame { destination: (task, PORT + 1), ..syn(node, task) }.bytes();
        assert_eq!(counted(&mut programs, node, &elsewhere), 0);

        let from_task = |flags| {
            let frame = Frame { source: (task, PORT), destination: (node, 40_000), flags };
            frame.bytes()
        };
        for flags in [Flags::SYN, Flags::ACK, Flags::SYN_ACK] {
            let (_, returned) = programs.run(Side::Egress, &from_task(flags), 1).expect("a run");
            assert_eq!(returned, NEXT);
        }
        // The builder numbers segments from one; the kernel's refusal of a SYN has the number zero.
        let mut refusal = from_task(Flags::RST_ACK);
        programs.run(Side::Egress, &refusal, 1).expect("a run");
        let sequence = refusal.len() - 20 + 4;
        refusal[sequence..sequence + 4].fill(0);
        programs.run(Side::Egress, &refusal, 1).expect("a run");
        let tally = programs.tally(node).expect("a tally");
        assert_eq!((tally.answered, tally.refused), (1, 1), "{node}: {tally:?}");
        // A test run's packet has a socket, so this is no SYN cookie.
        assert_eq!(tally.cookies, 0);
    }
}
