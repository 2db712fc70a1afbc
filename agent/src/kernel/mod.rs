//! The only user of aya and of system calls: translates between the kernel and domain values.
//!
//! Reading order: [`node`] and [`namespace`] (where), [`interface`] (on what), [`btf`] and [`facts`] (of which kernel),
//! [`programs`] (load), [`attach`] (hook up), [`maps`] and [`senders`] (read and write), [`netlink`], [`sockets`],
//! [`counters`], [`nftables`] and [`ethtool`] (what else is read), [`observer`] (all of it for one target), [`privileges`], [`limits`] and
//! [`memory`] (what the agent may do and keep, and when).

pub mod attach;
pub mod attached;
mod batch;
pub mod btf;
pub mod clsact;
pub mod counters;
pub mod dispatcher;
pub mod ethtool;
pub mod facts;
mod formats;
pub mod interface;
pub mod limits;
pub mod maps;
pub mod memory;
pub mod namespace;
pub mod netlink;
pub mod nftables;
pub mod node;
pub mod observer;
mod prefixes;
pub mod privileges;
pub mod probe_table;
mod procfs;
pub mod programs;
mod reading;
pub mod refusal;
pub mod rights;
pub mod routes;
pub mod rule_reader;
pub mod running;
pub mod senders;
pub mod sockets;
pub mod source_maps;
mod strides;
pub mod tallies;
mod tcx;
mod tracepoints;
mod typed;
