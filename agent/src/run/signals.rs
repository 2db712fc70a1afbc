//! SIGINT, SIGTERM and SIGHUP: the first asks for a clean end, the second ends at once, whatever is under way.

use std::{io, thread};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
    low_level::{emulate_default_handler, signal_name},
};
use tokio::sync::mpsc::{Receiver, channel};

use crate::kernel::privileges;

/// Starts listening; the first signal comes out of the channel.
///
/// # Errors
///
/// When the kernel refuses.
pub fn watch() -> io::Result<Receiver<i32>> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let (sender, receiver) = channel(1);
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        privileges::none();
        let mut is_first = true;
        for signal in signals.forever() {
            if is_first {
                // Nobody listens any more only when the end is under way already.
                let _ = sender.try_send(signal);
                is_first = false;
            } else if let Err(error) = emulate_default_handler(signal) {
                log::error!("ending at once: {error}");
            }
        }
    })?;
    Ok(receiver)
}

/// Whether it is the one by which the platform stops a task, its containers at the same time.
pub const fn stops_a_task(signal: i32) -> bool {
    signal == SIGTERM
}

/// Its name, such as `SIGTERM`.
pub fn name(signal: i32) -> &'static str {
    signal_name(signal).unwrap_or("signal")
}
