//! A file that exists while everything is hooked up, for whoever waits for that.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use crate::run::Failure;

/// Removes the file when dropped.
pub struct ReadyFile {
    path: PathBuf,
    /// The file before it gets its name.
    fresh: PathBuf,
    is_published: bool,
    touched: Instant,
}

/// How often the file is touched while everything is hooked up, so that one of an agent that hangs grows old
/// (`agent check --live`).
pub const TOUCHED_EVERY: Duration = Duration::from_secs(5);

/// Whether an agent is ready whose targets are watched or not. `follows`: it finds the targets on its node itself. Those
/// may be none, and the node is not out of sight because one of its tasks is.
pub fn is_ready(follows: bool, watched: impl IntoIterator<Item = bool>) -> bool {
    let (seen, blind): (Vec<bool>, Vec<bool>) = watched.into_iter().partition(|is| *is);
    blind.is_empty() || (follows && !seen.is_empty())
}

impl ReadyFile {
    /// Makes sure that the file can be written, and removes what an agent that was killed left behind: an old file
    /// must not tell of a new agent.
    ///
    /// # Errors
    ///
    /// When the file cannot be there.
    pub fn prepare(path: &Path) -> Result<Self, Failure> {
        if path.is_dir() {
            return Err(Failure::Usage(format!(
                "--ready-file {} is a directory: name a file in it",
                path.display()
            )));
        }
        if fs::symlink_metadata(path).is_ok_and(|known| !known.is_file()) {
            return Err(Failure::Usage(format!(
                "--ready-file {} is no ordinary file, and would be replaced: name another",
                path.display()
            )));
        }
        let mut name = path.to_owned().into_os_string();
        name.push(".new");
        let file = Self {
            path: path.to_owned(),
            fresh: PathBuf::from(name),
            is_published: false,
            touched: Instant::now(),
        };
        let contents = format!("{}\n", std::process::id());
        remove(path)
            .and_then(|()| fs::write(&file.fresh, contents))
            .map_err(|error| unwritable(path, &error))?;
        Ok(file)
    }

    /// Says whether everything is hooked up. The file appears with its contents: the agent's process id.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn publish(&mut self, is_ready: bool) -> Result<(), Failure> {
        if is_ready == self.is_published {
            self.touch();
            return Ok(());
        }
        let (from, to) = if is_ready { (&self.fresh, &self.path) } else { (&self.path, &self.fresh) };
        fs::rename(from, to).map_err(|error| unwritable(&self.path, &error))?;
        self.is_published = is_ready;
        Ok(())
    }

    fn touch(&mut self) {
        if self.is_published && self.touched.elapsed() >= TOUCHED_EVERY {
            self.touched = Instant::now();
            let file = fs::File::options().write(true).open(&self.path);
            if let Err(error) = file.and_then(|file| file.set_modified(SystemTime::now())) {
                log::warn!("touching {}: {error}; `agent check --live` will fail", self.path.display());
            }
        }
    }
}

impl Drop for ReadyFile {
    fn drop(&mut self) {
        for path in [&self.path, &self.fresh] {
            if let Err(error) = remove(path) {
                log::warn!("removing {}: {error}", path.display());
            }
        }
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(())
        }
        other => other,
    }
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::Usage(format!(
        "writing --ready-file {}: {error}; name a file in a directory that is writable",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_blind_target_keeps_an_agent_from_being_ready_unless_it_follows_a_node() {
        for (watched, named, followed) in [
            (&[][..], true, true),
            (&[true, true], true, true),
            (&[true, false], false, true),
            (&[false, false], false, false),
        ] {
            let is = |follows| is_ready(follows, watched.iter().copied());
            assert_eq!((is(false), is(true)), (named, followed), "{watched:?}");
        }
    }
}
