//! A file that exists while everything is hooked up, for whoever waits for that.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::run::Failure;

/// Removes the file when dropped.
pub struct ReadyFile {
    path: PathBuf,
}

impl ReadyFile {
    /// Removes what an agent that was killed left behind: an old file must not tell of a new agent.
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
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unwritable(path, &error)),
            _ => Ok(Self { path: path.to_owned() }),
        }
    }

    /// Says that everything is hooked up. The file appears with its contents: the agent's process id.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn write(&self) -> Result<(), Failure> {
        let mut name = self.path.clone().into_os_string();
        name.push(".new");
        let fresh = PathBuf::from(name);
        fs::write(&fresh, format!("{}\n", std::process::id()))
            .and_then(|()| fs::rename(&fresh, &self.path))
            .map_err(|error| {
                // What is left of a failed attempt; when even that is not there, all the better.
                let _ = fs::remove_file(&fresh);
                unwritable(&self.path, &error)
            })
    }
}

impl Drop for ReadyFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            log::warn!("removing {}: {error}", self.path.display());
        }
    }
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::Usage(format!(
        "writing --ready-file {}: {error}; name a file in a directory that is writable",
        path.display()
    ))
}
