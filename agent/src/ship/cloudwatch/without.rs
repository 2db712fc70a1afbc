//! The build without the AWS SDK. The settings refuse a log group before anything gets here.

use std::{io, time::Duration};

use super::{Options, Target};

/// # Errors
///
/// Always: this build does not ship.
pub fn credentials(_: Duration) -> Result<String, String> {
    Err("this build does not ship".to_owned())
}

/// Stands for what this build cannot do.
pub enum Shipper {}

impl Shipper {
    /// # Errors
    ///
    /// Always: this build does not ship.
    pub fn start(_: Target, _: Options) -> io::Result<Self> {
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }

    /// There is none.
    pub fn push(&self, _: &str) {
        match *self {}
    }

    /// There is none.
    pub fn lost_lines(&self) -> u64 {
        match *self {}
    }

    /// There is none.
    pub fn close(&self) {
        match *self {}
    }

    /// There is none.
    pub fn finish(&self, _: Duration) -> usize {
        match *self {}
    }
}
