//! What a flag may say, where that is neither text nor number.

use std::time::Duration;

use clap::ValueEnum;

use crate::{
    domain::finding::Code,
    settings::{Format, parse_duration},
};

#[derive(Clone, Copy, ValueEnum)]
pub enum ClientIpArg {
    /// They do: from a node come probes only
    Preserved,
    /// They carry a node's address
    Translated,
    /// Not known
    Auto,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum HealthProtocolArg {
    /// Connects and closes
    Tcp,
    /// Asks for a page
    Http,
    /// Asks for a page through TLS
    Https,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum AttachArg {
    Auto,
    Clsact,
}

pub fn parse_code(text: &str) -> Result<Code, String> {
    Code::ALL.into_iter().find(|code| code.name() == text).ok_or_else(|| {
        let names = Code::ALL.map(Code::name);
        format!("{text} is no finding: there are {}", names.join(", "))
    })
}

/// `--wait`: `None` for auto.
#[derive(Clone, Copy, Debug)]
pub struct Wait(pub Option<Duration>);

/// `diagnose` gives one answer and has no use for a format of metrics.
pub fn parse_answer_format(text: &str) -> Result<Format, String> {
    match text {
        "text" => Ok(Format::Text),
        "json" => Ok(Format::Json),
        _ => Err(format!("{text} is no format of one answer: there are text and json")),
    }
}

pub fn parse_wait(text: &str) -> Result<Wait, String> {
    if text == "auto" { Ok(Wait(None)) } else { parse_duration(text).map(Some).map(Wait) }
}
