//! Ways out for lines other than standard output.

pub mod cloudwatch;
pub mod http;
pub mod listen;
