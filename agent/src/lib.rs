//! Watches the TCP handshakes that arrive at a port of this task and says which kind of connection dies where.
//!
//! Layers, each importing only those before it: [`domain`] (pure), then [`kernel`] and [`discover`], [`output`], [`ship`],
//! [`settings`] and [`run`], [`cli`].

pub mod cli;
pub mod discover;
pub mod domain;
pub mod kernel;
pub mod output;
pub mod run;
pub mod settings;
pub mod ship;
