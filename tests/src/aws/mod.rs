//! A stand-in for AWS on loopback, and what can go wrong in front of it.
//!
//! [`moto::Moto`] is the double: it stores events and enforces policies. [`front::Front`] stands before it and gives the
//! answers that the double never gives. [`terminator::Terminator`] speaks TLS for it.

pub mod front;
pub mod http;
pub mod moto;
pub mod terminator;
