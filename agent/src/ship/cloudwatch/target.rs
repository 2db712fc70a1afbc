//! Which log group and stream.

/// Days for which a log group made by the agent keeps its events; by itself it would keep them forever.
pub const RETENTION_DAYS: i32 = 30;

/// Longest name of a group or a stream, in characters (CloudWatch Logs API reference, CreateLogGroup).
pub const MAX_NAME: usize = 512;

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Log group.
    pub group: String,
    /// Log stream in it; made when it is not there.
    pub stream: String,
    /// Whether the group may be made, too.
    pub may_create_group: bool,
}

impl Target {
    /// The stream of an agent that was told none: one for each host, so that what is lost shows.
    pub fn default_stream(host: &str) -> String {
        let host: String = host.chars().map(|c| if matches!(c, ':' | '*') { '-' } else { c }).collect();
        format!("agent/{}", if host.is_empty() { "unknown-host" } else { &host })
    }
}

/// A name of a log group: 1 to 512 of letters, digits and `. - _ / #`, not beginning with `aws/`
/// (API reference, CreateLogGroup).
///
/// # Errors
///
/// One line that says what is wrong.
pub fn parse_group(text: &str) -> Result<String, String> {
    if let Some(wrong) = text.chars().find(|c| !(c.is_ascii_alphanumeric() || ".-_/#".contains(*c))) {
        return Err(format!(
            "{text} is no name of a log group: {wrong:?} is not allowed in it, letters, digits and . - _ / # are \
             (give the name, not the ARN)"
        ));
    }
    if text.starts_with("aws/") {
        return Err(format!("{text} is no name of a log group: those that begin with aws/ belong to AWS"));
    }
    checked_length(text, "log group")
}

/// A name of a log stream: 1 to 512 characters without `:` and `*` (API reference, CreateLogStream).
///
/// # Errors
///
/// One line that says what is wrong.
pub fn parse_stream(text: &str) -> Result<String, String> {
    if text.contains([':', '*']) {
        return Err(format!("{text} is no name of a log stream: ':' and '*' are not allowed in it"));
    }
    checked_length(text, "log stream")
}

fn checked_length(text: &str, what: &str) -> Result<String, String> {
    match text.chars().count() {
        0 => Err(format!("the name of the {what} is empty: give one of 1 to {MAX_NAME} characters")),
        1..=MAX_NAME => Ok(text.to_owned()),
        long => Err(format!("the name of the {what} has {long} characters: at most {MAX_NAME} are allowed")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_long_as_aws_allows() {
        for parse in [parse_group, parse_stream] {
            assert!(parse("").is_err_and(|error| error.contains("empty")));
            assert!(parse("a").is_ok());
            assert!(parse(&"a".repeat(MAX_NAME)).is_ok());
            assert!(parse(&"a".repeat(MAX_NAME + 1)).is_err_and(|error| error.contains("513")));
        }
    }

    #[test]
    fn characters_that_aws_refuses_are_named() {
        assert!(parse_group("/ecs/orders.v1_a-b#c").is_ok());
        for text in ["a b", "arn:aws:logs:eu-west-1:1:log-group:x", "ä", "a*"] {
            assert!(parse_group(text).is_err_and(|error| error.contains("not allowed")), "{text}");
        }
        assert!(parse_group("aws/x").is_err());
        assert!(parse_group("/aws/x").is_ok());
        assert!(parse_stream("agent/ip-10-0-0-1 ä").is_ok());
        for text in ["a:b", "a*"] {
            assert!(parse_stream(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_default_stream_is_a_valid_name_whatever_the_host_is_called() {
        assert_eq!(Target::default_stream("ip-10-0-0-1"), "agent/ip-10-0-0-1");
        for host in ["", "a:b*c"] {
            assert!(parse_stream(&Target::default_stream(host)).is_ok(), "{host}");
        }
    }
}
