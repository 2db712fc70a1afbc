//! Where the fields of classic tracepoints' records are: the kernel describes each tracepoint in tracefs.

use std::{fs, path::Path};

use agent_common::config::{ABSENT, Target};

/// Where tracefs is mounted, and where it is found since before it had a place of its own. It may be in neither.
const TRACEFS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// The same offsets, with those of the records of the three tracepoints; what is not described stays absent.
pub fn with_records(target: Target) -> Target {
    let Some(events) =
        TRACEFS.map(|place| Path::new(place).join("events")).into_iter().find(|it| it.is_dir())
    else {
        return target;
    };
    let format = |event: &str| fs::read_to_string(events.join(event).join("format")).unwrap_or_default();
    let [drops, states, synacks] =
        ["skb/kfree_skb", "sock/inet_sock_set_state", "tcp/tcp_retransmit_synack"].map(format);
    let at = |format: &str, field, bytes| offset(format, field, bytes).unwrap_or(ABSENT);
    Target {
        record_packet: at(&drops, "skbaddr", 8),
        record_reason: at(&drops, "reason", 4),
        record_socket: at(&states, "skaddr", 8),
        record_old_state: at(&states, "oldstate", 4),
        record_new_state: at(&states, "newstate", 4),
        record_request: at(&synacks, "req", 8),
        ..target
    }
}

/// Offset of a field of so many bytes: `field:const void * skaddr;\toffset:8;\tsize:8;\tsigned:0;` is a line of a format
/// (`f_show`, kernel/trace/trace_events.c, v6.1).
fn offset(format: &str, field: &str, bytes: u32) -> Option<u32> {
    format.lines().find_map(|line| {
        let mut parts = line.trim().split(';').map(str::trim);
        let declared = parts.next()?.strip_prefix("field:")?;
        let number = |part: Option<&str>, name: &str| part?.strip_prefix(name)?.parse::<u32>().ok();
        let (offset, size) = (number(parts.next(), "offset:")?, number(parts.next(), "size:")?);
        (declared.rsplit(' ').next() == Some(field) && size == bytes).then_some(offset)
    })
}

#[cfg(test)]
mod tests {
    use super::offset;

    /// Of Linux 6.18, shortened.
    const FORMAT: &str = "name: kfree_skb
ID: 2310
format:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;

\tfield:void * skbaddr;\toffset:8;\tsize:8;\tsigned:0;
\tfield:void * location;\toffset:16;\tsize:8;\tsigned:0;
\tfield:unsigned short protocol;\toffset:32;\tsize:2;\tsigned:0;
\tfield:enum skb_drop_reason reason;\toffset:36;\tsize:4;\tsigned:0;
\tfield:__u8 saddr[4];\toffset:40;\tsize:4;\tsigned:0;

print fmt: \"skbaddr=%p reason: %s\", REC->skbaddr, __print_symbolic(REC->reason, { 2, \"NOT_SPECIFIED\" })
";

    #[test]
    fn a_field_is_where_its_line_says() {
        assert_eq!(offset(FORMAT, "skbaddr", 8), Some(8));
        assert_eq!(offset(FORMAT, "reason", 4), Some(36));
    }

    #[test]
    fn a_field_of_another_size_or_name_is_none() {
        assert_eq!(offset(FORMAT, "protocol", 4), None);
        assert_eq!(offset(FORMAT, "skb", 8), None);
        assert_eq!(offset(FORMAT, "rx_sk", 8), None);
        assert_eq!(offset("", "skbaddr", 8), None);
        assert_eq!(offset("\tfield:void * skbaddr;\toffset:;\tsize:8;", "skbaddr", 8), None);
    }
}
