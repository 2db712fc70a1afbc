//! The maps, each behind the functions of its own file.

pub mod control;
pub mod drops;
pub mod elsewhere;
pub mod ports;
pub mod prefixes;
pub mod recent;
pub mod tallies;

mod loss;
