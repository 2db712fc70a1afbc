//! Proxy protocol v2, as an NLB with `proxy_protocol_v2.enabled` writes it (the protocol's specification, section 2.2).

use std::net::{IpAddr, SocketAddr};

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, command LOCAL: a connection of the balancer itself.
const LOCAL: u8 = 0x20;
/// Version 2, command PROXY: a connection of somebody else.
const PROXY: u8 = 0x21;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;
/// TLV of AWS, and in it the id of the VPC endpoint (AWS, NLB target group attributes).
const AWS: u8 = 0xea;
const ENDPOINT: u8 = 0x01;
/// Bytes in front of addresses and TLVs; the last two say how long those are.
const FIXED: usize = 16;

/// In front of a health check: no client stands behind it.
pub fn local() -> Vec<u8> {
    header(LOCAL, 0, &[])
}

/// In front of a client's connection that came through a VPC endpoint.
///
/// # Panics
///
/// When the two addresses are of different families.
pub fn proxied(client: SocketAddr, listener: SocketAddr, endpoint: &str) -> Vec<u8> {
    let mut rest = Vec::new();
    let family = match (client.ip(), listener.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            rest.extend([from.octets(), to.octets()].concat());
            TCP_OVER_IPV4
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            rest.extend([from.octets(), to.octets()].concat());
            TCP_OVER_IPV6
        }
        (from, to) => panic!("{from} and {to} are of different families"),
    };
    rest.extend(client.port().to_be_bytes());
    rest.extend(listener.port().to_be_bytes());
    rest.push(AWS);
    rest.extend((endpoint.len() as u16 + 1).to_be_bytes());
    rest.push(ENDPOINT);
    rest.extend(endpoint.as_bytes());
    header(PROXY, family, &rest)
}

/// A header of any kind, with what stands behind its fixed part.
///
/// # Panics
///
/// When that is longer than a header can say.
pub fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = SIGNATURE.to_vec();
    bytes.extend([command, family]);
    bytes.extend(u16::try_from(rest.len()).expect("a length of 16 bits").to_be_bytes());
    bytes.extend(rest);
    bytes
}

/// How long the header at the begin of these bytes is; `None` while it is not all there.
///
/// # Errors
///
/// When there is something else.
pub fn length(bytes: &[u8]) -> std::io::Result<Option<usize>> {
    let known = bytes.len().min(SIGNATURE.len());
    if bytes[..known] != SIGNATURE[..known] {
        return Err(std::io::ErrorKind::InvalidData.into());
    }
    let Some(rest) = bytes.get(14..FIXED) else { return Ok(None) };
    let whole = FIXED + usize::from(u16::from_be_bytes([rest[0], rest[1]]));
    Ok((bytes.len() >= whole).then_some(whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let client = "10.0.16.7:40000".parse().expect("an address");
        let listener = "10.0.1.23:80".parse().expect("an address");
        for header in [local(), proxied(client, listener, "vpce-0123456789abcdef0")] {
            let all = [&header[..], b"GET /"].concat();
            assert_eq!(length(&all).expect("a header"), Some(header.len()));
            assert_eq!(length(&all[..header.len() - 1]).expect("a part of one"), None);
        }
        assert!(length(b"GET / HTTP/1.1").is_err());
    }

    #[test]
    fn the_endpoint_is_named_as_aws_names_it() {
        let client = "[fd00::7]:40000".parse().expect("an address");
        let listener = "[fd00::1]:80".parse().expect("an address");
        let header = proxied(client, listener, "vpce-1");
        assert_eq!(header[12..16], [0x21, 0x21, 0, 46]);
        assert_eq!(header[52..], [&[0xea, 0, 7, 1], b"vpce-1".as_slice()].concat());
    }
}
