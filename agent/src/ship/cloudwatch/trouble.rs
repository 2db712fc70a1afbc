//! What an answer that is no success means, and how to say it.

use std::fmt;

use super::target::Target;

/// A call, by the name of the permission it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Stores events.
    PutLogEvents,
    /// Makes the stream.
    CreateLogStream,
    /// Makes the group.
    CreateLogGroup,
    /// Says how long the group keeps events.
    PutRetentionPolicy,
}

impl Action {
    /// As a policy names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PutLogEvents => "logs:PutLogEvents",
            Self::CreateLogStream => "logs:CreateLogStream",
            Self::CreateLogGroup => "logs:CreateLogGroup",
            Self::PutRetentionPolicy => "logs:PutRetentionPolicy",
        }
    }
}

/// What kind of failure it is, and with that what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Too many calls: slower.
    Throttled,
    /// The service, or the way to it, does not work at the moment: again.
    Unavailable,
    /// These credentials are no longer good: others, at once.
    CredentialsRefused,
    /// There are no credentials, or no Region: somebody has to provide them.
    NoCredentials,
    /// A policy does not allow it: somebody has to change it.
    NotPermitted,
    /// Group or stream is not there: make it.
    Missing,
    /// What was to be made is there, or what was to be stored is: success.
    Done,
    /// The call itself is wrong and stays so: never again.
    Invalid,
}

/// Reads the code of an error, and the HTTP status where there is none. Codes come as `Code`, `namespace#Code` or
/// `Code:address` (AWS JSON 1.1 protocol, operation error serialization). No status: there was no answer.
pub fn classify(code: Option<&str>, status: Option<u16>) -> Class {
    let code = code.unwrap_or_default();
    let code = code.rsplit('#').next().unwrap_or_default().split(':').next().unwrap_or_default();
    match code {
        "ThrottlingException"
        | "Throttling"
        | "ThrottledException"
        | "TooManyRequestsException"
        | "RequestLimitExceeded"
        | "LimitExceededException" => Class::Throttled,
        "ServiceUnavailableException"
        | "ServiceUnavailable"
        | "InternalFailure"
        // Two agents make the same group at the same time.
        | "OperationAbortedException" => Class::Unavailable,
        "ExpiredTokenException"
        | "ExpiredToken"
        | "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "IncompleteSignatureException"
        | "MissingAuthenticationTokenException"
        | "RequestExpired" => Class::CredentialsRefused,
        "AccessDeniedException" | "AccessDenied" | "UnauthorizedOperation" | "NotAuthorized" => {
            Class::NotPermitted
        }
        "ResourceNotFoundException" => Class::Missing,
        "ResourceAlreadyExistsException" | "DataAlreadyAcceptedException" => Class::Done,
        "InvalidParameterException" | "InvalidSequenceTokenException" | "ValidationException"
        | "SerializationException" => Class::Invalid,
        _ => match status {
            Some(429) => Class::Throttled,
            Some(413) => Class::Invalid,
            Some(401 | 403) => Class::NotPermitted,
            // Whatever stands in between and answers, lines are not thrown away for it.
            _ => Class::Unavailable,
        },
    }
}

/// A call that did not work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Which call.
    pub action: Action,
    /// What follows.
    pub class: Class,
    /// What was answered, or why there was no answer.
    pub detail: String,
}

impl Trouble {
    /// One sentence: what was tried, on what, why it failed, what to do.
    pub fn sentence<'a>(&'a self, target: &'a Target) -> impl fmt::Display + 'a {
        fmt::from_fn(move |f| {
            let Target { group, stream, .. } = target;
            let name = self.action.name();
            write!(f, "shipping to CloudWatch Logs group {group}, stream {stream}: ")?;
            let detail = &self.detail;
            match self.class {
                Class::NotPermitted => write!(
                    f,
                    "the agent's role is not allowed {name}: allow it on \
                     arn:aws:logs:*:*:log-group:{group}:* (deploy/iam has the policies); trying again ({detail})"
                ),
                Class::NoCredentials => write!(
                    f,
                    "{detail}; give the task or the instance a role that is allowed {name}, or set AWS_REGION and \
                     credentials in the environment; trying again"
                ),
                Class::CredentialsRefused => write!(
                    f,
                    "{name} refused the credentials, and fresh ones, too ({detail}): are they of this account, and is \
                     the clock of this host right? trying again"
                ),
                Class::Missing => write!(
                    f,
                    "there is no such log group: create it, or let the agent do it with --cloudwatch-create; trying again"
                ),
                Class::Invalid => {
                    write!(f, "{name} refuses the call for good ({detail}); its lines are lost, and counted")
                }
                Class::Throttled => write!(f, "{name} is throttled ({detail}); trying again more slowly"),
                Class::Unavailable | Class::Done => write!(f, "{name} failed ({detail}); trying again"),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart_by_their_code_and_else_by_their_status() {
        for (code, status, class) in [
            // Throttling comes with HTTP 400.
            (Some("ThrottlingException"), Some(400), Class::Throttled),
            (None, Some(429), Class::Throttled),
            (Some("ServiceUnavailableException"), Some(503), Class::Unavailable),
            (None, Some(500), Class::Unavailable),
            (None, Some(502), Class::Unavailable),
            (None, None, Class::Unavailable),
            (Some("ExpiredTokenException"), Some(400), Class::CredentialsRefused),
            (Some("UnrecognizedClientException"), Some(400), Class::CredentialsRefused),
            (Some("InvalidClientTokenId"), Some(403), Class::CredentialsRefused),
            (Some("AccessDeniedException"), Some(400), Class::NotPermitted),
            // An answer in XML has no code that is understood.
            (None, Some(403), Class::NotPermitted),
            (Some("ResourceNotFoundException"), Some(400), Class::Missing),
            (Some("ResourceAlreadyExistsException"), Some(400), Class::Done),
            (Some("DataAlreadyAcceptedException"), Some(400), Class::Done),
            (Some("InvalidParameterException"), Some(400), Class::Invalid),
            (None, Some(413), Class::Invalid),
            // A page of something in between is no reason to throw lines away.
            (None, Some(400), Class::Unavailable),
            (None, Some(404), Class::Unavailable),
            (Some("SomethingNew"), Some(400), Class::Unavailable),
        ] {
            assert_eq!(classify(code, status), class, "{code:?} {status:?}");
        }
    }

    #[test]
    fn a_code_may_come_with_a_namespace_and_an_address() {
        for code in [
            "com.amazonaws.logs#ThrottlingException",
            "ThrottlingException:http://internal.amazon.com/coral/",
            "aws.protocoltests.restjson#ThrottlingException:http://internal.amazon.com/",
        ] {
            assert_eq!(classify(Some(code), Some(400)), Class::Throttled, "{code}");
        }
    }

    #[test]
    fn a_missing_permission_is_one_sentence_that_names_the_action() {
        let target = Target { group: "/g".to_owned(), stream: "s".to_owned(), may_create_group: false };
        for action in [
            Action::PutLogEvents,
            Action::CreateLogStream,
            Action::CreateLogGroup,
            Action::PutRetentionPolicy,
        ] {
            let trouble = Trouble { action, class: Class::NotPermitted, detail: "HTTP 403".to_owned() };
            let sentence = trouble.sentence(&target).to_string();
            assert!(sentence.contains(action.name()) && sentence.contains("log-group:/g:*"), "{sentence}");
            assert!(!sentence.contains('\n'));
        }
    }
}
