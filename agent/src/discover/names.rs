//! The addresses behind an NLB's name.
//!
//! The system's resolver answers, so that a container's own resolver settings hold. It blocks: call it off the main
//! thread.

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, ToSocketAddrs as _},
};

/// A name has no address.
#[derive(Debug, thiserror::Error)]
#[error("resolving --nlb {name}: {source}; check the name, or give the NLB's addresses")]
pub struct ResolveError {
    /// Name.
    pub name: String,
    /// Cause.
    pub source: io::Error,
}

impl ResolveError {
    /// Whether it says nothing about the name: no name server answered (`EAI_AGAIN`, which the standard library hands on as the
    /// C library's words only: glibc's, then musl's).
    pub fn is_passing(&self) -> bool {
        let text = self.source.to_string();
        text.contains("Temporary failure") || text.contains("Try again")
    }
}

/// All addresses of a name.
///
/// # Errors
///
/// When it has none, or the resolver fails.
pub fn resolve(name: &str) -> Result<BTreeSet<IpAddr>, ResolveError> {
    let failed = |source| ResolveError { name: name.to_owned(), source };
    let addresses: BTreeSet<IpAddr> =
        (name, 0).to_socket_addrs().map_err(failed)?.map(|found| found.ip()).collect();
    if addresses.is_empty() {
        return Err(failed(io::Error::new(io::ErrorKind::NotFound, "it has no address")));
    }
    Ok(addresses)
}

/// The NLB's name in one zone: `ZONE.NAME` (AWS, NLB user guide, "DNS name"). `None` for a name that is none of an NLB's, or
/// a zone's already.
pub fn zonal(name: &str, zone: &str) -> Option<String> {
    let is_elb = name.contains(".elb.")
        && (name.ends_with(".amazonaws.com") || name.ends_with(".amazonaws.com.cn"))
        // NAME-ID.elb.REGION.amazonaws.com; a zone's has one label more in front.
        && name.split('.').position(|label| label == "elb") == Some(1);
    let zonal = format!("{zone}.{name}");
    (is_elb && is_name(&zonal)).then_some(zonal)
}

/// Whether a text can be a DNS name (RFC 1123 letters, digits, hyphens, dots; underscores are in use).
pub fn is_name(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let text = text.strip_suffix('.').unwrap_or(text);
    // All digits and dots is a mistyped address, not a name.
    text.len() <= 253 && text.split('.').all(label) && text.bytes().any(|byte| byte.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_nlbs_own_name_has_one_per_zone() {
        let name = "my-nlb-0123.elb.eu-west-1.amazonaws.com";
        let in_zone = "eu-west-1a.my-nlb-0123.elb.eu-west-1.amazonaws.com";
        assert_eq!(zonal(name, "eu-west-1a").as_deref(), Some(in_zone));
        assert_eq!(zonal(in_zone, "eu-west-1a"), None);
        for name in ["nlb.example", "localhost", "elb.amazonaws.com", "nlb.elb.example.com"] {
            assert_eq!(zonal(name, "eu-west-1a"), None, "{name}");
        }
        assert_eq!(zonal(name, "not a zone"), None);
    }

    #[test]
    fn mistyped_addresses_are_no_names() {
        assert!(is_name("my-nlb-0123.elb.eu-west-1.amazonaws.com") && is_name("localhost."));
        for text in ["10.0.0.256", "10.0.0", "", ".", "a..b", "bad name", "10.0.0.0/33", "fd00::xyz"] {
            assert!(!is_name(text), "{text}");
        }
    }
}
