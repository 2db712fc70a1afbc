//! The eBPF programs live in the binary `agent-programs`. This library is empty: it only lets `agent` name this
//! crate as a build dependency, so that cargo rebuilds the agent when a program changes.
#![no_std]
