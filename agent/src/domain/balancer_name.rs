//! What a load balancer's DNS name tells of it.

use crate::domain::{site::word, sources::Origin, sources::SourceTable};

/// What has such a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Balancer {
    /// An NLB: `NAME-ID.elb.REGION.amazonaws.com`, with a zone in front or without.
    Nlb {
        /// Its name.
        name: String,
        /// Its region.
        region: String,
    },
    /// An ALB or a Classic Load Balancer: `NAME-ID.REGION.elb.amazonaws.com`. Both open connections of their own.
    NoNlb,
}

/// Whose DNS name this is, where it is one of AWS.
pub fn balancer(dns_name: &str) -> Option<Balancer> {
    let labels: Vec<_> = dns_name.split('.').collect();
    let elb = labels.iter().position(|label| *label == "elb")?;
    let (before, behind) = (&labels[..elb], labels.get(elb + 1).copied()?);
    if behind == "amazonaws" {
        let (_, id) = before.len().checked_sub(2).and_then(|at| before[at].rsplit_once('-'))?;
        let is_id = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
        return (is_id && is_region(before.last()?)).then_some(Balancer::NoNlb);
    }
    let (name, id) = before.last()?.rsplit_once('-')?;
    let is_id = id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_id && is_region(behind)).then_some(Balancer::Nlb { name: word(name)?, region: word(behind)? })
}

/// "eu-west-1" is one.
fn is_region(label: &str) -> bool {
    label.contains('-')
}

impl SourceTable {
    /// DNS names by which sources became known.
    pub fn dns_names(&self) -> impl Iterator<Item = &str> {
        self.iter().filter_map(|source| match &source.origin {
            Origin::Dns(name) | Origin::OwnZone(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// The first of them that is an ALB's or a Classic Load Balancer's.
    pub fn name_of_no_nlb(&self) -> Option<&str> {
        self.dns_names().find(|name| balancer(name) == Some(Balancer::NoNlb))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_nlb_has_its_region_behind_elb_and_the_others_in_front() {
        let nlb = |name: &str| Some(Balancer::Nlb { name: name.to_owned(), region: "eu-west-1".to_owned() });
        for (name, expected) in [
            ("my-nlb-0123456789abcdef.elb.eu-west-1.amazonaws.com", nlb("my-nlb")),
            ("eu-west-1a.my-nlb-0123456789abcdef.elb.eu-west-1.amazonaws.com", nlb("my-nlb")),
            ("my-alb-1234567890.eu-west-1.elb.amazonaws.com", Some(Balancer::NoNlb)),
            ("internal-my-alb-1234567890.eu-west-1.elb.amazonaws.com", Some(Balancer::NoNlb)),
            ("dualstack.my-alb-1234567890.us-gov-west-1.elb.amazonaws.com", Some(Balancer::NoNlb)),
            ("my-alb-1234567890.cn-north-1.elb.amazonaws.com.cn", Some(Balancer::NoNlb)),
        ] {
            assert_eq!(balancer(name), expected, "{name}");
        }
    }

    #[test]
    fn a_name_of_somebodys_own_tells_nothing() {
        for name in [
            "orders.internal",
            "elb.amazonaws.com",
            "eu-west-1.elb.amazonaws.com",
            "nlb.elb.example.com",
            "orders.eu-west-1.elb.amazonaws.com",
            "my-nlb-0123456789abcdef.elb",
            "",
        ] {
            assert_eq!(balancer(name), None, "{name}");
        }
    }
}
