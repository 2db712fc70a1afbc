//! Standard output, written by a thread of its own: a reader that does not read keeps the agent neither from watching
//! nor from ending, and costs no more than a fixed amount of memory.

use std::{
    collections::VecDeque,
    io::{self, Write},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use crate::{kernel::privileges, run::Failure};

/// Most bytes that wait to be written; beyond that the oldest text goes.
const CAPACITY_BYTES: usize = 1 << 20;

/// What it means that the writer takes nothing any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    /// Nobody would see what the agent finds: it ends.
    End,
    /// There is another outlet: the lines are lost and counted, and it goes on.
    Count,
}

/// Text on its way to a writer.
pub struct Outbox {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<String>,
    waiting_bytes: usize,
    is_writing: bool,
    lost_lines: u64,
    error: Option<io::Error>,
}

impl Outbox {
    /// Starts the thread. It is not waited for: at the end of the process it may be stuck in a write.
    ///
    /// # Errors
    ///
    /// When the kernel allows no further thread.
    pub fn new(writer: impl Write + Send + 'static, on_error: OnError) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        thread::Builder::new().name("output".to_owned()).spawn(move || {
            privileges::none();
            theirs.write_to(writer, on_error);
        })?;
        Ok(Self { shared })
    }

    /// Takes text to be written soon.
    ///
    /// # Errors
    ///
    /// When earlier text could not be written.
    pub fn push(&self, text: &str) -> Result<(), Failure> {
        self.check()?;
        let mut state = self.shared.lock();
        state.waiting_bytes += text.len();
        state.waiting.push_back(text.to_owned());
        while state.waiting_bytes > CAPACITY_BYTES && state.waiting.len() > 1 {
            let oldest = state.waiting.pop_front().unwrap_or_default();
            state.waiting_bytes -= oldest.len();
            state.lost_lines += oldest.lines().count() as u64;
        }
        self.shared.changed.notify_all();
        Ok(())
    }

    /// Whether everything so far could be written.
    ///
    /// # Errors
    ///
    /// When it could not.
    pub fn check(&self) -> Result<(), Failure> {
        self.shared.lock().error.as_ref().map_or(Ok(()), |error| Err(Failure::output(error)))
    }

    /// Lines that were thrown away because nobody read, or that could not be written.
    pub fn lost_lines(&self) -> u64 {
        self.shared.lock().lost_lines
    }

    /// Waits until everything is written, `limit` at most. `Ok(false)`: nobody reads.
    ///
    /// # Errors
    ///
    /// When something could not be written.
    pub fn flush(&self, limit: Duration) -> Result<bool, Failure> {
        let is_busy =
            |state: &mut State| state.error.is_none() && (state.is_writing || !state.waiting.is_empty());
        let state = self.shared.lock();
        let waited = self.shared.changed.wait_timeout_while(state, limit, is_busy);
        let (state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        state.error.as_ref().map_or(Ok(!timeout.timed_out()), |error| Err(Failure::output(error)))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing between locking and unlocking leaves the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_to(&self, mut writer: impl Write, on_error: OnError) {
        // Of a line that could not be written, a part may have been: what follows must not be glued to it.
        let (mut is_torn, mut is_said) = (false, false);
        loop {
            let state = self.lock();
            let idle = |state: &mut State| state.waiting.is_empty();
            let mut state = self.changed.wait_while(state, idle).unwrap_or_else(PoisonError::into_inner);
            let text = state.waiting.pop_front().unwrap_or_default();
            state.waiting_bytes -= text.len();
            state.is_writing = true;
            drop(state);
            let written = write(&mut writer, &text, is_torn);
            is_torn = written.is_err();
            let mut state = self.lock();
            state.is_writing = false;
            if let Err(error) = written {
                match on_error {
                    OnError::End => state.error = Some(error),
                    OnError::Count => {
                        state.lost_lines += text.lines().count() as u64;
                        if !std::mem::replace(&mut is_said, true) {
                            log::warn!(
                                "writing standard output: {error}; going on without it, what cannot be written is \
                                 counted as output_lines"
                            );
                        }
                    }
                }
            }
            self.changed.notify_all();
            if state.error.is_some() {
                return;
            }
        }
    }
}

fn write(writer: &mut impl Write, text: &str, is_torn: bool) -> io::Result<()> {
    if is_torn {
        writer.write_all(b"\n")?;
    }
    writer.write_all(text.as_bytes())?;
    writer.flush()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    /// Hands on what is written, after it was allowed to.
    struct Gate {
        allowed: Receiver<()>,
        written: Sender<String>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.allowed.recv().map_err(|_| io::Error::from(io::ErrorKind::StorageFull))?;
            self.written.send(String::from_utf8_lossy(bytes).into_owned()).expect("the test reads");
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn gated() -> (Outbox, Sender<()>, Receiver<String>) {
        let ((allow, allowed), (written, texts)) = (channel(), channel());
        (Outbox::new(Gate { allowed, written }, OnError::End).expect("a thread"), allow, texts)
    }

    #[test]
    fn everything_comes_out_in_order() {
        let (outbox, allow, texts) = gated();
        for text in ["a\n", "b\n", "c\n"] {
            outbox.push(text).expect("no error");
            allow.send(()).expect("the writer waits");
        }
        assert!(matches!(outbox.flush(LONG), Ok(true)));
        assert_eq!(texts.try_iter().collect::<String>(), "a\nb\nc\n");
    }

    #[test]
    fn a_reader_that_does_not_read_costs_the_oldest_lines_and_they_are_counted() {
        let (outbox, allow, texts) = gated();
        let text = format!("{}\n", "x".repeat(CAPACITY_BYTES / 4 - 1));
        outbox.push("first\n").expect("no error");
        // The first may be in the writer's hands already, or not: both orders end the same.
        for _ in 0..6 {
            outbox.push(&text).expect("no error");
        }
        assert!(matches!(outbox.flush(Duration::from_millis(20)), Ok(false)));
        let lost = outbox.lost_lines();
        assert!((2..=3).contains(&lost), "{lost}");
        (0..8).for_each(|_| allow.send(()).expect("the writer waits"));
        assert!(matches!(outbox.flush(LONG), Ok(true)));
        let lines = texts.try_iter().flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(lines.count() as u64 + lost, 7);
    }

    #[test]
    fn an_error_is_told_by_the_next_push_and_by_the_flush() {
        let (outbox, allow, _texts) = gated();
        outbox.push("a\n").expect("no error yet");
        drop(allow);
        assert!(matches!(outbox.flush(LONG), Err(Failure::Internal(_))));
        assert!(matches!(outbox.push("b\n"), Err(Failure::Internal(_))));
    }

    /// Full at first, then with room for everything.
    struct Disk {
        refusals: u32,
        written: Sender<String>,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.refusals > 0 {
                self.refusals -= 1;
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.written.send(String::from_utf8_lossy(bytes).into_owned()).expect("the test reads");
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn with_another_outlet_what_cannot_be_written_is_counted_and_the_rest_is_written() {
        let (written, texts) = channel();
        let outbox = Outbox::new(Disk { refusals: 2, written }, OnError::Count).expect("a thread");
        for text in ["a\nb\n", "c\n", "d\n", "e\n"] {
            outbox.push(text).expect("it goes on");
            assert!(matches!(outbox.flush(LONG), Ok(true)));
        }
        assert_eq!(outbox.lost_lines(), 3);
        assert_eq!(texts.try_iter().collect::<String>(), "\nd\ne\n");
    }
}
