//! What the agent says of real packets in a real kernel. Needs root; `cargo xtask test` runs it.

mod application;
mod calm;
mod check;
mod counts;
mod diagnose;
mod drivers;
mod emf;
mod endings;
mod expected;
mod faults;
mod flooded;
mod input;
mod listen;
mod loss;
mod matrix;
mod metadata;
mod near_misses;
mod neighbours;
mod node;
mod packets;
mod privileges;
mod row;
mod rules;
mod software;
mod targets;
mod turns;
