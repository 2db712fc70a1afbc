//! When to try again.

use std::time::Duration;

use super::trouble::Class;

/// First wait and longest wait. Throttling begins slower, as the CloudWatch agent does; what a person has to change is
/// asked for rarely.
const fn bounds(class: Class) -> (Duration, Duration) {
    match class {
        Class::Unavailable => (Duration::from_millis(500), Duration::from_secs(20)),
        Class::Throttled => (Duration::from_secs(2), Duration::from_secs(60)),
        Class::NoCredentials => (Duration::from_secs(5), Duration::from_secs(60)),
        Class::CredentialsRefused | Class::NotPermitted | Class::Missing => {
            (Duration::from_secs(30), Duration::from_secs(300))
        }
        // Nothing is tried again.
        Class::Done | Class::Invalid => (Duration::ZERO, Duration::ZERO),
    }
}

/// How long to wait before the next try, after so many failures in a row (from 1): doubling, at least half of it, the
/// rest by chance (`random`, from 0 to below 1), so that many agents do not come back at the same moment.
pub fn wait(class: Class, failures: u32, random: f64) -> Duration {
    let (first, longest) = bounds(class);
    let doubled = first.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX));
    doubled.min(longest).mul_f64(0.5 + 0.5 * random.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_limit() {
        let waits: Vec<_> = (1..=8).map(|failures| wait(Class::Unavailable, failures, 1.0)).collect();
        let expected = [500, 1000, 2000, 4000, 8000, 16_000, 20_000, 20_000].map(Duration::from_millis);
        assert_eq!(waits, expected);
        for failures in [31, 32, 33, 1000, u32::MAX] {
            assert_eq!(wait(Class::Unavailable, failures, 1.0), Duration::from_secs(20), "{failures}");
        }
    }

    #[test]
    fn half_of_a_wait_is_by_chance() {
        for failures in 1..10 {
            let longest = wait(Class::Throttled, failures, 1.0);
            assert_eq!(wait(Class::Throttled, failures, 0.0), longest / 2);
            let middle = wait(Class::Throttled, failures, 0.5);
            assert!(longest / 2 < middle && middle < longest);
        }
    }

    #[test]
    fn throttling_waits_longer_than_an_outage_and_what_a_person_has_to_change_longest() {
        let first = |class| wait(class, 1, 1.0);
        assert!(first(Class::Unavailable) < first(Class::Throttled));
        assert!(first(Class::Throttled) < first(Class::NotPermitted));
        assert!(wait(Class::NotPermitted, 9, 1.0) <= Duration::from_secs(300));
    }
}
