//! The pure part: classes, tallies, evidence, findings, the diagnosis. No I/O, no clock: time is an argument, a
//! [`std::time::Duration`] since the agent started to watch.
//!
//! Reading order: [`class`], [`sources`], [`tally`], [`sample`], [`rhythm`], [`track`], [`history`], [`finding`], [`diagnosis`], [`verdict`],
//! [`common`] (of several targets), [`workload`], [`site`].

pub mod allowances;
pub mod answers;
pub mod balancer_name;
pub mod check;
pub mod class;
pub mod common;
pub mod conntrack;
pub mod diagnosis;
pub mod finding;
pub mod health;
pub mod history;
pub mod host_counters;
pub mod host_log;
pub mod identity;
pub mod learning;
pub mod ledger;
pub mod listening;
pub mod other_programs;
pub mod pairs;
pub mod reason;
pub mod rhythm;
pub mod rules;
pub mod sample;
pub mod site;
pub mod sources;
pub mod stage;
pub mod strays;
pub mod tally;
pub mod totals;
pub mod track;
pub mod unended;
pub mod verdict;
pub mod workload;
