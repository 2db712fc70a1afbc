//! What fits into one call of PutLogEvents. The limits are those of its API reference.

/// Bytes of one call: of the messages in UTF-8, and [`EVENT_OVERHEAD_BYTES`] for each.
pub const MAX_BATCH_BYTES: usize = 1_048_576;

/// What each event counts beside its message.
pub const EVENT_OVERHEAD_BYTES: usize = 26;

/// Events of one call.
pub const MAX_BATCH_EVENTS: usize = 10_000;

/// Bytes of one message: what fits into a call of its own.
pub const MAX_MESSAGE_BYTES: usize = MAX_BATCH_BYTES - EVENT_OVERHEAD_BYTES;

/// Milliseconds between the first and the last event of a call.
pub const MAX_SPAN_MS: i64 = 24 * 60 * 60 * 1000;

/// A line, and when it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Milliseconds since 1970, UTC.
    pub time_ms: i64,
    /// The line, without its end.
    pub message: String,
}

impl Event {
    /// Bytes it counts in a call, and in the memory of lines that wait.
    pub fn bytes(&self) -> usize {
        self.message.len() + EVENT_OVERHEAD_BYTES
    }

    /// Whether any call can hold it: neither empty nor too long.
    pub fn can_be_sent(&self) -> bool {
        (1..=MAX_MESSAGE_BYTES).contains(&self.message.len())
    }
}

/// How many of these events, from the first, one call can hold. All of them can be sent.
pub fn length<'a>(events: impl IntoIterator<Item = &'a Event>) -> usize {
    let (mut count, mut bytes) = (0, 0);
    let (mut earliest, mut latest) = (i64::MAX, i64::MIN);
    for event in events {
        bytes += event.bytes();
        earliest = earliest.min(event.time_ms);
        latest = latest.max(event.time_ms);
        let is_too_long = latest.saturating_sub(earliest) > MAX_SPAN_MS;
        if count == MAX_BATCH_EVENTS || bytes > MAX_BATCH_BYTES || is_too_long {
            break;
        }
        count += 1;
    }
    count
}

/// Puts events in the order of their times, as the call demands; those of one millisecond stay as they are. They are out
/// of order only where the host's clock was set back.
pub fn sort(events: &mut [Event]) {
    events.sort_by_key(|event| event.time_ms);
}

/// What an answer says of events that were not stored (`rejectedLogEventsInfo`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rejected {
    /// First event that is too far in the future; all after it are, too.
    pub too_new_from: Option<usize>,
    /// Events before this one are older than 14 days.
    pub too_old_before: Option<usize>,
    /// Events before this one are older than the group keeps them.
    pub expired_before: Option<usize>,
}

impl Rejected {
    /// How many of so many events were not stored.
    pub fn count(self, events: usize) -> usize {
        let old = self.too_old_before.max(self.expired_before).unwrap_or(0).min(events);
        let new = events - self.too_new_from.unwrap_or(events).min(events);
        (old + new).min(events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(time_ms: i64, bytes: usize) -> Event {
        Event { time_ms, message: "x".repeat(bytes) }
    }

    #[test]
    fn a_call_holds_ten_thousand_events() {
        for (events, fit) in [(0, 0), (1, 1), (9_999, 9_999), (10_000, 10_000), (10_001, 10_000)] {
            assert_eq!(length(&vec![event(0, 1); events]), fit, "of {events}");
        }
    }

    #[test]
    fn a_call_holds_a_mebibyte_with_26_bytes_for_each_event() {
        // Two events, which together are one byte below, at, and one above the limit.
        let first = event(0, 500_000);
        let rest = MAX_BATCH_BYTES - first.bytes() - EVENT_OVERHEAD_BYTES;
        for (second, fit) in [(rest - 1, 2), (rest, 2), (rest + 1, 1)] {
            assert_eq!(length(&[first.clone(), event(0, second)]), fit, "with {second} bytes");
        }
    }

    #[test]
    fn bytes_are_those_of_utf_8() {
        let two_bytes_each = Event { time_ms: 0, message: "ä".repeat(100) };
        assert_eq!(two_bytes_each.bytes(), 226);
    }

    #[test]
    fn a_message_is_neither_empty_nor_longer_than_a_call() {
        for (bytes, can) in [
            (0, false),
            (1, true),
            (MAX_MESSAGE_BYTES - 1, true),
            (MAX_MESSAGE_BYTES, true),
            (MAX_MESSAGE_BYTES + 1, false),
        ] {
            assert_eq!(event(0, bytes).can_be_sent(), can, "{bytes} bytes");
            assert_eq!(length(&[event(0, bytes)]) == 1, can || bytes == 0, "{bytes} bytes");
        }
    }

    #[test]
    fn a_call_spans_a_day() {
        for (span, fit) in [(MAX_SPAN_MS - 1, 2), (MAX_SPAN_MS, 2), (MAX_SPAN_MS + 1, 1)] {
            assert_eq!(length(&[event(5, 1), event(5 + span, 1)]), fit, "{span} ms");
            // A clock that was set back that far.
            assert_eq!(length(&[event(5 + span, 1), event(5, 1)]), fit, "-{span} ms");
        }
        assert_eq!(length(&[event(i64::MIN, 1), event(i64::MAX, 1)]), 1);
    }

    #[test]
    fn events_are_sorted_by_time_and_stay_in_order_within_a_millisecond() {
        let named = |time_ms, name: &str| Event { time_ms, message: name.to_owned() };
        let mut events = vec![named(2, "c"), named(2, "d"), named(1, "a"), named(1, "b")];
        sort(&mut events);
        assert_eq!(events.into_iter().map(|event| event.message).collect::<String>(), "abcd");
    }

    #[test]
    fn rejected_events_are_counted_as_the_api_tells_them() {
        let none = Rejected::default();
        assert_eq!(none.count(10), 0);
        // The index of the first that is too new is one of them; the ends of the old ones are not.
        assert_eq!(Rejected { too_new_from: Some(9), ..none }.count(10), 1);
        assert_eq!(Rejected { too_old_before: Some(3), ..none }.count(10), 3);
        assert_eq!(Rejected { too_old_before: Some(3), expired_before: Some(5), ..none }.count(10), 5);
        assert_eq!(Rejected { too_new_from: Some(8), expired_before: Some(5), ..none }.count(10), 7);
        // Nonsense does not make more of them than there were.
        assert_eq!(
            Rejected { too_new_from: Some(0), expired_before: Some(99), too_old_before: None }.count(10),
            10
        );
    }
}
