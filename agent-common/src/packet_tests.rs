//! Packets built by hand, byte by byte, and what is read from them.
use super::*;
use crate::usual;

fn ethernet(tags: &[u16], ethertype: u16) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    for tag in tags {
        frame.extend(tag.to_be_bytes());
        frame.extend([0, 7]);
    }
    frame.extend(ethertype.to_be_bytes());
    frame
}

fn tcp(tcp_flags: u8) -> Vec<u8> {
    let mut header = vec![0x9c, 0x40, 0x1f, 0x90, 0, 0, 0, 5, 0, 0, 0, 0, 0x50, tcp_flags];
    header.extend([0; 6]);
    header
}

fn ipv4(option_words: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45 + option_words, 0, 0, 0, 0, 0];
    packet.extend(fragment.to_be_bytes());
    packet.extend([64, 6, 0, 0, 10, 0, 1, 23, 10, 0, 32, 10]);
    packet.extend(vec![1; option_words as usize * 4]);
    packet.extend(payload);
    packet
}

fn ipv6(next_header: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0, 0, 0, next_header, 64];
    packet.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    packet.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
    packet.extend(payload);
    packet
}

fn frame(tags: &[u16], ethertype: u16, packet: &[u8]) -> Vec<u8> {
    let mut bytes = ethernet(tags, ethertype);
    bytes.extend(packet);
    bytes
}

#[test]
fn ipv4_syn_with_and_without_options() {
    for option_words in [0, 1, 10] {
        let bytes = frame(&[], 0x0800, &ipv4(option_words, 0, &tcp(flags::SYN)));
        let found = find_tcp(&bytes[..], 14).expect("a TCP segment");
        assert_eq!(found.flags(&bytes[..]), Some(flags::SYN));
        assert_eq!(found.ports(&bytes[..]), Some((40000, 8080)));
        assert_eq!(found.sequence(&bytes[..]), Some(5));
        assert_eq!(found.source(&bytes[..]), Some(Address::V4(0x0a00_0117)));
        assert_eq!(found.destination(&bytes[..]), Some(Address::V4(0x0a00_200a)));
    }
}

#[test]
fn zero_to_two_vlan_tags_but_not_three() {
    for (tags, found) in
        [(&[][..], true), (&[0x8100], true), (&[0x88a8, 0x8100], true), (&[0x8100, 0x8100, 0x8100], false)]
    {
        let bytes = frame(tags, 0x0800, &ipv4(0, 0, &tcp(flags::SYN)));
        assert_eq!(find_tcp(&bytes[..], 14).is_some(), found, "{} tags", tags.len());
    }
}

#[test]
fn no_frame_is_taken_to_hold_no_tcp_that_may_hold_some() {
    let of_protocol = |protocol: u8| {
        let mut packet = ipv4(0, 0, &[]);
        packet[9] = protocol;
        frame(&[], 0x0800, &packet)
    };
    let (udp, icmp) = (17, 1);
    for other in [of_protocol(udp), frame(&[], 0x86dd, &ipv6(udp, &[])), frame(&[], 0x0806, &[0; 28])] {
        assert_eq!(usual::holds_no_tcp(&other[..]), Some(true), "{other:x?}");
        assert_eq!(find_tcp(&other[..], 14), None, "{other:x?}");
        assert_eq!(find_tcp_quoted(&other[..], 14), None, "{other:x?}");
    }
    let syn = tcp(flags::SYN);
    let hop_by_hop = [&[6, 0, 0, 0, 0, 0, 0, 0][..], &syn].concat();
    for may_hold_one in [
        frame(&[], 0x0800, &ipv4(0, 0, &syn)),
        frame(&[], 0x0800, &ipv4(10, 0, &syn)),
        frame(&[0x8100], 0x0800, &ipv4(0, 0, &syn)),
        frame(&[0x88a8, 0x8100], 0x0800, &ipv4(0, 0, &syn)),
        frame(&[], 0x86dd, &ipv6(6, &syn)),
        frame(&[], 0x86dd, &ipv6(0, &hop_by_hop)),
        of_protocol(icmp),
        frame(&[], 0x86dd, &ipv6(58, &[1, 0, 0, 0, 0, 0, 0, 0])),
    ] {
        assert_eq!(usual::holds_no_tcp(&may_hold_one[..]), Some(false), "{may_hold_one:x?}");
    }
    assert_eq!(usual::holds_no_tcp(&[0; 12][..]), None);
}

#[test]
fn a_first_fragment_counts_and_later_ones_do_not() {
    let more_fragments = 0x2000;
    let first = frame(&[], 0x0800, &ipv4(0, more_fragments, &tcp(flags::SYN)));
    let second = frame(&[], 0x0800, &ipv4(0, more_fragments | 185, &tcp(flags::SYN)));
    assert!(find_tcp(&first[..], 14).is_some());
    assert!(find_tcp(&second[..], 14).is_none());
    let fragment_header = |place: u16| {
        let mut payload = vec![6, 0];
        payload.extend(((place << 3) | 1).to_be_bytes());
        payload.extend([0; 4]);
        payload.extend(tcp(flags::SYN));
        frame(&[], 0x86dd, &ipv6(44, &payload))
    };
    assert!(find_tcp(&fragment_header(0)[..], 14).is_some());
    assert!(find_tcp(&fragment_header(185)[..], 14).is_none());
}

#[test]
fn ipv6_extension_headers_are_walked() {
    let plain = frame(&[], 0x86dd, &ipv6(6, &tcp(flags::SYN)));
    assert_eq!(find_tcp(&plain[..], 14).map(|found| found.tcp), Some(54));
    // Hop-by-hop (8 bytes), destination options (16 bytes), authentication (24 bytes), then TCP.
    let mut payload = vec![60, 0, 0, 0, 0, 0, 0, 0];
    payload.extend([51, 1]);
    payload.extend([0; 14]);
    payload.extend([6, 4]);
    payload.extend([0; 22]);
    payload.extend(tcp(flags::SYN));
    let bytes = frame(&[], 0x86dd, &ipv6(0, &payload));
    let found = find_tcp(&bytes[..], 14).expect("a TCP segment");
    assert_eq!((found.tcp, found.flags(&bytes[..])), (14 + 40 + 8 + 16 + 24, Some(flags::SYN)));
    assert_eq!(found.source(&bytes[..]), Some(Address::V6([0xfd00_0000, 0, 0, 1])));
}

#[test]
fn endless_extension_headers_end() {
    let payload: Vec<u8> = [0u8, 0, 0, 0, 0, 0, 0, 0].repeat(20);
    assert_eq!(find_tcp(&frame(&[], 0x86dd, &ipv6(0, &payload))[..], 14), None);
}

#[test]
fn short_and_malformed_packets_are_nobodys() {
    let whole = frame(&[], 0x0800, &ipv4(0, 0, &tcp(flags::SYN)));
    for length in 0..whole.len() {
        let cut = &whole[..length];
        let flags_read = find_tcp(cut, 14).and_then(|found| found.flags(cut));
        assert_eq!(flags_read.is_some(), length > 14 + 20 + 13, "cut at {length}");
    }
    let mut short_header = whole.clone();
    short_header[14] = 0x44;
    assert_eq!(find_tcp(&short_header[..], 14), None);
    let mut wrong_version = whole.clone();
    wrong_version[14] = 0x65;
    assert_eq!(find_tcp(&wrong_version[..], 14), None);
    let mut udp = whole;
    udp[14 + 9] = 17;
    assert_eq!(find_tcp(&udp[..], 14), None);
}

#[test]
fn a_layer_three_interface_has_no_link_header() {
    let packet = ipv4(0, 0, &tcp(flags::SYN));
    assert_eq!(find_tcp(&packet[..], 0).map(|found| found.tcp), Some(20));
    assert_eq!(find_tcp(&ipv6(6, &tcp(flags::SYN))[..], 0).map(|found| found.tcp), Some(40));
    assert_eq!(find_tcp(&[0x25u8; 60][..], 0), None);
}

#[test]
fn flags_decide_what_a_segment_is() {
    let ece_and_cwr = 0xc0;
    assert!(is_syn(flags::SYN) && is_syn(flags::SYN | ece_and_cwr));
    assert!(!is_syn(flags::SYN | flags::ACK) && !is_syn(flags::SYN | flags::FIN) && !is_syn(flags::ACK));
    assert!(is_syn_ack(flags::SYN | flags::ACK | 0x40) && !is_syn_ack(flags::SYN));
    assert!(is_reset_ack(flags::RST | flags::ACK) && !is_reset_ack(flags::RST));
}

#[test]
fn a_mapped_address_is_its_ipv4_address() {
    assert_eq!(Address::V6([0, 0, 0xffff, 7]).unmapped(), Address::V4(7));
    assert_eq!(Address::V6([1, 0, 0xffff, 7]).unmapped(), Address::V6([1, 0, 0xffff, 7]));
    assert_eq!(Address::V6([1, 0, 0, 9]).low(), 9);
}

#[test]
fn an_unreachable_message_quotes_the_syn_it_answers() {
    let icmp4 = |kind: u8, quoted: &[u8]| {
        let mut packet = ipv4(0, 0, &[&[kind, 3, 0, 0, 0, 0, 0, 0], quoted].concat());
        packet[9] = 1;
        packet
    };
    let icmp6 = |kind: u8, quoted: &[u8]| ipv6(58, &[&[kind, 4, 0, 0, 0, 0, 0, 0], quoted].concat());
    let (syn4, syn6) = (ipv4(1, 0, &tcp(flags::SYN)), ipv6(6, &tcp(flags::SYN)));
    for (packet, source) in
        [(icmp4(3, &syn4), Address::V4(0x0a00_0117)), (icmp6(1, &syn6), Address::V6([0xfd00_0000, 0, 0, 1]))]
    {
        for link_bytes in [0, 14] {
            let bytes = [&vec![0; link_bytes][..], &packet].concat();
            let found = find_tcp_quoted(&bytes[..], link_bytes).expect("a quoted segment");
            assert_eq!(found.flags(&bytes[..]), Some(flags::SYN));
            assert_eq!(found.ports(&bytes[..]), Some((40000, 8080)));
            assert_eq!(found.source(&bytes[..]), Some(source));
            for length in 0..bytes.len() {
                // Cut anywhere, it is refused or read as far as it goes.
                let _ =
                    find_tcp_quoted(&bytes[..length], link_bytes).map(|found| found.flags(&bytes[..length]));
            }
        }
    }
    // An echo reply, a packet too big, a datagram, a segment that is not quoted.
    for packet in [icmp4(0, &syn4), icmp6(2, &syn6), icmp6(1, &ipv6(17, &[0; 8])), syn4.clone(), syn6.clone()]
    {
        assert_eq!(find_tcp_quoted(&packet[..], 0), None);
    }
}
