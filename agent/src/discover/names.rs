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
    fn mistyped_addresses_are_no_names() {
        assert!(is_name("my-nlb-0123.elb.eu-west-1.amazonaws.com") && is_name("localhost."));
        for text in ["10.0.0.256", "10.0.0", "", ".", "a..b", "bad name", "10.0.0.0/33", "fd00::xyz"] {
            assert!(!is_name(text), "{text}");
        }
    }
}
