//! Ways out for lines other than standard output.

pub mod cloudwatch;
