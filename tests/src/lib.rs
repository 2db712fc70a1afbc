//! The lab: a small AWS in network namespaces, with a real kernel, real sockets and real packets.
//!
//! ```text
//! client ── fabric ── task      the application and the agent
//!             ├── nlb-a         an NLB node that probes, one per zone
//!             └── nlb-b
//! ```
//!
//! The fabric routes between the subnets, and its forward rules play security group and network ACL: what they drop,
//! the task's namespace never sees. Nothing has a name in the file system, so nothing is left behind even by a killed
//! test: the kernel takes the namespaces down with the last process in them (docs/decisions/0003).
//!
//! Reading order: [`netns`] and [`shell`] (the ground), [`plan`] (who has which address), [`topology`] (all of it
//! wired up), [`nlb`] with [`health_check`] and [`forwarder`], [`delay`] (a long way), [`app`], [`nginx`] and [`client`] (who talks, over
//! [`proxy_protocol`] and [`tls`]), [`unruly`] (who misbehaves), [`metadata`] (what the platform says), [`dns`] (what names mean), [`agent`] (who watches), [`witness`] (who counts, too),
//! [`node`] (many tasks on one host), [`frame`] and [`flood`] (packets made by hand), [`wire`] and [`live_frames`] (as many as the machine can make), [`ratio`] (what a bench compares), [`insights`] (what CloudWatch finds in lines), [`others`] (somebody else's programs), [`conntrack`] (a table without room), [`kernel`] (what it cannot tell), [`tampered`] (an agent that the kernel does not like), [`aws`] (a double of AWS on
//! loopback).
//!
//! Nothing here returns an error: a lab that does not work has no result, so it panics with what was tried.

pub mod agent;
pub mod app;
pub mod aws;
pub mod client;
pub mod conntrack;
pub mod delay;
pub mod descriptors;
pub mod dns;
pub mod flood;
pub mod forwarder;
pub mod frame;
pub mod health_check;
pub mod http;
pub mod insights;
pub mod kernel;
pub mod live_frames;
pub mod metadata;
pub mod netns;
pub mod nginx;
pub mod nlb;
pub mod node;
pub mod others;
pub mod perf;
pub mod plan;
pub mod promtool;
pub mod proxy_protocol;
pub mod ratio;
pub mod schema;
pub mod shell;
pub mod tampered;
pub mod tls;
pub mod topology;
pub mod unattached;
pub mod unruly;
pub mod wait;
pub mod wire;
pub mod witness;

pub use netns::Netns;
