//! Standard output: lines as they come, or one picture that is drawn again in place on a terminal. Lines go to
//! CloudWatch Logs, too, where a log group is named.

use std::{
    io::{self, IsTerminal as _, Write as _},
    mem,
    time::{Duration, Instant},
};

use crate::{
    output::text,
    run::{
        Failure,
        outbox::{OnError, Outbox},
    },
    settings::Format,
    ship::cloudwatch::{Options, Shipper, Target},
};

/// On a terminal the picture is redrawn this often at least, whatever the interval of the reports.
const REDRAW: Duration = Duration::from_secs(1);

/// How long the end waits for a reader.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How long the end waits for CloudWatch Logs. With the hooks already gone, it is over long before ECS kills a task that
/// does not stop, by default after 30 s.
const LAST_CALLS: Duration = Duration::from_secs(5);

/// Standard output.
pub struct Sink {
    outbox: Outbox,
    shipper: Option<Shipper>,
    format: Format,
    with_evidence: bool,
    in_place: bool,
    color: bool,
    /// Text of the picture under way.
    frame: String,
    /// Terminal rows of the picture last drawn.
    drawn_rows: usize,
    /// Whether there is something that cannot wait for the next report.
    is_urgent: bool,
}

impl Sink {
    /// Finds out what standard output is. `with_evidence`: findings in text come with theirs; `on_error`: what follows when
    /// it takes nothing any more.
    ///
    /// # Errors
    ///
    /// When the kernel allows no thread for it.
    pub fn new(format: Format, with_evidence: bool, on_error: OnError) -> io::Result<Self> {
        let is_terminal = io::stdout().is_terminal();
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Ok(Self {
            outbox: Outbox::new(io::stdout(), on_error)?,
            shipper: None,
            format,
            with_evidence,
            in_place: format == Format::Text && is_terminal && !is_dumb,
            color: is_terminal && !is_dumb && !no_color,
            frame: String::new(),
            drawn_rows: 0,
            is_urgent: false,
        })
    }

    /// Sends every line that is written from now on to CloudWatch Logs, too.
    ///
    /// # Errors
    ///
    /// When the kernel allows no thread for it.
    pub fn ship_to(&mut self, target: Option<&Target>) -> io::Result<()> {
        if let Some(target) = target {
            self.shipper = Some(Shipper::start(target.clone(), Options::default())?);
        }
        Ok(())
    }

    /// Whether what was said so far could be written.
    ///
    /// # Errors
    ///
    /// When it could not.
    pub fn check(&self) -> Result<(), Failure> {
        self.outbox.check()
    }

    /// The next report is to come at once.
    pub const fn hurry(&mut self) {
        self.is_urgent = true;
    }

    /// Whether it is, which is then taken for done.
    pub const fn take_hurry(&mut self) -> bool {
        std::mem::replace(&mut self.is_urgent, false)
    }

    /// Lines that nobody read in time, or that could not be written.
    pub fn lost_lines(&self) -> u64 {
        self.outbox.lost_lines()
    }

    /// Lines that did not reach CloudWatch Logs and never will.
    pub fn unshipped_lines(&self) -> u64 {
        self.shipper.as_ref().map_or(0, Shipper::lost_lines)
    }

    fn push(&self, text: &str) -> Result<(), Failure> {
        if let Some(shipper) = &self.shipper {
            shipper.push(text);
        }
        self.outbox.push(text)
    }

    /// Waits a moment for what was said last to be read and shipped.
    ///
    /// # Errors
    ///
    /// When something could not be written.
    pub fn finish(&self) -> Result<(), Failure> {
        let began = Instant::now();
        // Both go on at the same time.
        self.shipper.iter().for_each(Shipper::close);
        let read = self.outbox.flush(LAST_WORDS);
        if let Some(shipper) = &self.shipper {
            let left = shipper.finish(LAST_CALLS.saturating_sub(began.elapsed()));
            if left > 0 {
                log::warn!(
                    "CloudWatch Logs did not take the last {left} lines within {} s: they are lost",
                    LAST_CALLS.as_secs()
                );
            }
        }
        if !read? {
            log::warn!("nobody reads standard output: the last words are lost");
        }
        Ok(())
    }

    /// What to write.
    pub const fn format(&self) -> Format {
        self.format
    }

    /// Whether findings come with their evidence in text, too.
    pub const fn with_evidence(&self) -> bool {
        self.with_evidence
    }

    /// Whether a picture is drawn again and again in place.
    pub const fn draws(&self) -> bool {
        self.in_place
    }

    /// Whether colour is welcome.
    pub const fn color(&self) -> bool {
        self.color
    }

    /// How often to report: every interval, or often enough for a picture to look alive.
    pub fn refresh(&self, interval: Duration) -> Duration {
        if self.in_place { interval.min(REDRAW) } else { interval }
    }

    /// Begins a picture.
    pub fn begin(&mut self) {
        self.frame.clear();
    }

    /// Adds text to the picture, or writes it at once where there is none.
    ///
    /// # Errors
    ///
    /// When earlier text could not be written.
    pub fn add(&mut self, text: &str) -> Result<(), Failure> {
        if self.in_place {
            self.frame.push_str(text);
            return Ok(());
        }
        self.push(text)
    }

    /// Writes text that stays, in front of the next picture.
    ///
    /// # Errors
    ///
    /// When earlier text could not be written.
    pub fn say(&mut self, text: &str) -> Result<(), Failure> {
        self.drawn_rows = 0;
        self.push(text)
    }

    /// Draws the picture over the one before, without commands where it is higher than the terminal: the table is what is
    /// looked at.
    ///
    /// # Errors
    ///
    /// When earlier text could not be written.
    pub fn end(&mut self) -> Result<(), Failure> {
        self.draw(false)
    }

    /// The same of the last one, which may scroll.
    ///
    /// # Errors
    ///
    /// When earlier text could not be written.
    pub fn end_for_good(&mut self) -> Result<(), Failure> {
        self.draw(true)
    }

    fn draw(&mut self, is_last: bool) -> Result<(), Failure> {
        if !self.in_place || self.frame.is_empty() {
            return Ok(());
        }
        let size = rustix::termios::tcgetwinsize(io::stdout()).ok();
        // A terminal that does not know its size says zero.
        let size = size.filter(|size| size.ws_col > 0 && size.ws_row > 0);
        let (columns, rows) = size.map_or((80, 24), |size| (size.ws_col.into(), size.ws_row.into()));
        let up = match self.drawn_rows {
            0 => String::new(),
            // What has scrolled away cannot be reached.
            drawn if drawn >= rows => "\x1b[2J\x1b[H".to_owned(),
            drawn => format!("\x1b[{drawn}F"),
        };
        let mut frame = mem::take(&mut self.frame);
        if !is_last && height(&frame, columns) >= rows {
            frame = text::without_commands(&frame);
        }
        let text = format!("{up}\x1b[J{frame}");
        self.drawn_rows = height(&frame, columns);
        self.outbox.push(&text)
    }
}

/// Writes and flushes at once.
///
/// # Errors
///
/// When standard output is closed or full.
pub fn write(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|error| Failure::output(&error))
}

/// Rows a picture takes on a terminal so wide.
fn height(frame: &str, columns: usize) -> usize {
    frame.lines().map(|line| rows_of(line, columns)).sum()
}

/// Rows a line takes on a terminal so wide; colour sequences take no room.
fn rows_of(line: &str, columns: usize) -> usize {
    let mut width: usize = 0;
    let mut rest = line.chars();
    while let Some(character) = rest.next() {
        if character == '\x1b' {
            rest.by_ref().take_while(|next| *next != 'm').for_each(drop);
        } else {
            width += 1;
        }
    }
    width.div_ceil(columns.max(1)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapped_lines_take_more_rows_and_colour_takes_none() {
        assert_eq!(rows_of("", 80), 1);
        assert_eq!(rows_of(&"x".repeat(80), 80), 1);
        assert_eq!(rows_of(&"x".repeat(81), 80), 2);
        assert_eq!(rows_of(&format!("\x1b[31m{}\x1b[0m", "x".repeat(80)), 80), 1);
        assert_eq!(rows_of("x", 0), 1);
    }
}
