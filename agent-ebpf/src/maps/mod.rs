//! The maps, each behind the functions of its own file.

pub mod checkers;
pub mod control;
pub mod drops;
pub mod elsewhere;
pub mod ports;
pub mod prefixes;
pub mod probes;
pub mod recent;
pub mod scratch;
pub mod shares;
pub mod strays;
pub mod tallies;

mod loss;
