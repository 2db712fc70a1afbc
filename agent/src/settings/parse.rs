//! From what is written to what is meant: addresses, names, ports and times, each with its limits.

use std::time::Duration;

use ipnet::IpNet;

use crate::{discover::names, settings::Nlb};

/// An address or a prefix without host bits.
///
/// # Errors
///
/// One line that says what is wrong and what would be right.
pub fn parse_network(text: &str) -> Result<IpNet, String> {
    let network = match text.parse::<IpNet>() {
        Ok(network) => network,
        Err(_) => text.parse::<std::net::IpAddr>().map(IpNet::from).map_err(|_| {
            format!("{text} is neither an address nor a prefix such as 10.0.1.0/24 or fd00:1::/64")
        })?,
    };
    if network != network.trunc() {
        return Err(format!("{text} has bits set behind the prefix: did you mean {}?", network.trunc()));
    }
    match network {
        IpNet::V6(v6) if v6.addr().to_ipv4_mapped().is_some() => {
            Err(format!("{text} is an IPv4 address in IPv6 notation: write it as IPv4"))
        }
        _ => Ok(network),
    }
}

/// An address, a prefix, or a DNS name.
///
/// # Errors
///
/// As [`parse_network`].
pub fn parse_nlb(text: &str) -> Result<Nlb, String> {
    if names::is_name(text) {
        return Ok(Nlb::Name(text.trim_end_matches('.').to_ascii_lowercase()));
    }
    match parse_network(text) {
        Ok(network) => Ok(Nlb::Network(network)),
        Err(error) if error.contains("neither") => {
            Err(format!("{text} is neither an address, a prefix such as 10.0.1.0/24, nor a DNS name"))
        }
        Err(error) => Err(error),
    }
}

/// A port.
///
/// # Errors
///
/// When it is none.
pub fn parse_port(text: &str) -> Result<u16, String> {
    text.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(|| format!("{text} is no port: 1 to 65535"))
}

/// A time that is not zero.
///
/// # Errors
///
/// When it is none.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text)
        .map_err(|_| format!("{text} is no time: write a number and a unit, such as 500ms, 10s or 2m"))?;
    let is_sane = time >= SHORTEST && time <= LONGEST;
    is_sane.then_some(time).ok_or_else(|| format!("{text} is out of range: 10ms to 365days"))
}

/// Time between two health checks of a node.
///
/// # Errors
///
/// When it is no time, or longer than AWS allows. Shorter than AWS's 5 s is let through: other load balancers and tests
/// check more often.
pub fn parse_health_interval(text: &str) -> Result<Duration, String> {
    at_most(text, 300, "an NLB checks every 5 to 300 seconds")
}

/// Time a node waits for an answer.
///
/// # Errors
///
/// When it is no time, or longer than AWS allows.
pub fn parse_health_timeout(text: &str) -> Result<Duration, String> {
    at_most(text, 120, "an NLB waits 2 to 120 seconds for the answer")
}

fn at_most(text: &str, seconds: u64, why: &str) -> Result<Duration, String> {
    let time = parse_duration(text)?;
    let is_possible = time <= Duration::from_secs(seconds);
    is_possible.then_some(time).ok_or_else(|| format!("{text} is too long: {why}"))
}

const SHORTEST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_with_host_bits_are_refused_with_the_right_one() {
        assert_eq!(
            parse_network("10.0.1.5/24"),
            Err("10.0.1.5/24 has bits set behind the prefix: did you mean 10.0.1.0/24?".to_owned())
        );
        assert_eq!(parse_network("10.0.1.5"), Ok("10.0.1.5/32".parse().expect("a prefix")));
        assert_eq!(parse_network("fd00::1"), Ok("fd00::1/128".parse().expect("a prefix")));
        for text in ["", "10.0.0.0/33", "10.0.0.256", "nonsense", "10.0.0.0/", "::ffff:10.0.0.1"] {
            assert!(parse_network(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_nlb_is_an_address_a_prefix_or_a_name() {
        assert_eq!(parse_nlb("10.0.1.0/24"), Ok(Nlb::Network("10.0.1.0/24".parse().expect("a prefix"))));
        assert_eq!(
            parse_nlb("My-NLB.elb.amazonaws.com."),
            Ok(Nlb::Name("my-nlb.elb.amazonaws.com".to_owned()))
        );
        for text in ["10.0.0.256", "10.0.1.1/24", "a b", ""] {
            assert!(parse_nlb(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ports_and_times_have_limits() {
        assert_eq!(parse_port("8080"), Ok(8080));
        for text in ["0", "70000", "-1", "http", ""] {
            assert!(parse_port(text).is_err(), "{text}");
        }
        assert_eq!(parse_duration("1m 30s"), Ok(Duration::from_secs(90)));
        for text in ["0s", "10", "-1s", "soon", "9999days"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        assert_eq!(parse_health_interval("300s"), Ok(Duration::from_secs(300)));
        assert_eq!(parse_health_timeout("200ms"), Ok(Duration::from_millis(200)));
        for (text, parsed) in
            [("301s", parse_health_interval("301s")), ("121s", parse_health_timeout("121s"))]
        {
            assert!(parsed.is_err_and(|error| error.contains("too long")), "{text}");
        }
    }
}
