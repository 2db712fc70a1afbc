//! `--record-evidence`: what every conclusion rests on, into a file.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
};

use serde::Serialize;

use crate::{domain::sample::Sample, output::recording::Recording, run::Failure};

/// Writes down what the diagnosis is told. A recorder without a file does nothing.
pub struct Recorder {
    file: Option<BufWriter<File>>,
    recording: Recording,
}

impl Recorder {
    /// Begins a new file, where one is wanted.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub fn begin(path: Option<&Path>) -> Result<Self, Failure> {
        let create = |path: &Path| {
            File::create(path).map_err(|error| {
                let path = path.display();
                Failure::Usage(format!(
                    "--record-evidence {path}: making the file: {error}; name another place"
                ))
            })
        };
        let file = path.map(create).transpose()?.map(BufWriter::new);
        Ok(Self { file, recording: Recording::default() })
    }

    /// Writes something unless it is as it was.
    pub fn note(&mut self, what: &'static str, value: &impl Serialize) {
        if self.file.is_some() {
            let line = self.recording.note(what, value);
            self.write(line);
        }
    }

    /// Writes one look at the kernel.
    pub fn sample(&mut self, sample: &Sample) {
        if self.file.is_some() {
            let line = self.recording.sample(sample).map(Some);
            self.write(line);
        }
    }

    /// A full disk ends the recording, not the watching.
    fn write(&mut self, line: serde_json::Result<Option<String>>) {
        let Some(file) = &mut self.file else { return };
        let line = line.map_err(std::io::Error::from);
        let written = line.and_then(|line| file.write_all(line.unwrap_or_default().as_bytes()));
        if let Err(error) = written.and_then(|()| file.flush()) {
            log::warn!("writing the file of --record-evidence: {error}; it ends here");
            self.file = None;
        }
    }
}
