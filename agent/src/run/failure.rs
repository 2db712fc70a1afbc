//! Why the agent ends other than well, and the exit code that says so.

use std::{fmt::Display, io};

/// Why the agent ends other than well. Each is one line: what was tried, on what, why it failed, what to do.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// What was asked for does not exist or makes no sense.
    #[error("{0}")]
    Usage(String),
    /// Neither arrival nor answer can be seen.
    #[error("{0}")]
    CannotObserve(String),
    /// Nobody reads any more: no failure at all.
    #[error("the output was closed")]
    OutputClosed,
    /// Anything else.
    #[error("{0}")]
    Internal(String),
}

impl Failure {
    /// An internal failure.
    pub fn internal(error: impl Display) -> Self {
        Self::Internal(error.to_string())
    }

    /// What it means that standard output cannot be written.
    pub fn output(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::OutputClosed;
        }
        Self::Internal(format!(
            "writing standard output: {error}; the agent stops, because nobody would see what it finds"
        ))
    }

    /// The exit code.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::OutputClosed => 0,
            Self::Usage(_) => 2,
            Self::CannotObserve(_) => 3,
            Self::Internal(_) => 5,
        }
    }
}
