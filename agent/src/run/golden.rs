//! Evidence that real kernels gave, recorded in the lab, and what was concluded from it, step by step.
//!
//! `agent/tests/golden/NAME.jsonl` is what `--record-evidence` wrote, `NAME.expected` what follows from it. After a change
//! that is meant to conclude otherwise, `GOLDEN=write cargo test -p agent golden` writes the latter anew: read the
//! difference.

use std::{env, fmt::Write as _, fs, path::Path};

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::domain::{
    diagnosis::{Case, diagnose},
    finding::Finding,
    history::{History, Watch},
    ledger::Ledger,
    sample::{BlindSpot, Sample},
    sources::SourceTable,
    verdict::judge,
};

/// One line of a recording.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, bound(deserialize = "'de: 'static"))]
struct Entry {
    watch: Option<Watch>,
    blind_spots: Option<Vec<BlindSpot>>,
    sources: Option<SourceTable>,
    follow: Option<(u16, u16)>,
    stop: Option<bool>,
    sample: Option<Map<String, Value>>,
}

/// What the types of the domain are read from: their names live as long as the program.
fn parse<T: Deserialize<'static>>(text: String) -> T {
    let text: &'static str = Box::leak(text.into_boxed_str());
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

struct Replay {
    history: Option<History>,
    sources: SourceTable,
    blind_spots: Vec<BlindSpot>,
    sample: Map<String, Value>,
    ledger: Ledger,
    /// A sample was taken in, and nothing is concluded from it yet.
    is_due: bool,
    transcript: String,
}

impl Replay {
    fn new() -> Self {
        Self {
            history: None,
            sources: SourceTable::new(1),
            blind_spots: Vec::new(),
            sample: Map::new(),
            ledger: Ledger::default(),
            is_due: false,
            transcript: String::new(),
        }
    }

    /// What comes between two samples belongs to the earlier one.
    fn take(&mut self, entry: Entry) {
        if let Some(watch) = entry.watch {
            self.history = Some(History::new(watch));
        }
        if let Some(spots) = entry.blind_spots {
            self.blind_spots = spots;
        }
        if let Some(sources) = entry.sources {
            self.sources = sources;
        }
        if entry.stop == Some(true) {
            // What follows from the latest sample did so before.
            self.conclude();
            self.history.as_mut().expect("a recording begins with what was watched").stop();
        }
        if let (Some((port, local)), Some(history)) = (entry.follow, &mut self.history) {
            history.follow(port, local);
        }
        if let Some(news) = entry.sample {
            self.conclude();
            self.sample.extend(news);
            let sample: Sample = parse(Value::Object(self.sample.clone()).to_string());
            let history = self.history.as_mut().expect("a recording begins with what was watched");
            history.observe(sample, &self.sources);
            self.is_due = true;
        }
    }

    fn conclude(&mut self) {
        let Some(history) = self.history.as_ref().filter(|_| self.is_due) else { return };
        let now = history.at();
        let case = Case { history, sources: &self.sources, now, open: &self.ledger };
        let findings = diagnose(&case);
        for (state, finding) in self.ledger.update(now, findings) {
            let Finding { code, severity, confidence, class, sources, .. } = &finding;
            writeln!(
                self.transcript,
                "{:6.1} s {} {} {} {} {} from {}: {}",
                now.as_secs_f64(),
                state.name(),
                severity.name(),
                code.name(),
                confidence.name(),
                class.name(),
                sources.join(" and "),
                finding.summary
            )
            .expect("memory");
        }
        self.is_due = false;
    }

    fn end(mut self) -> String {
        self.conclude();
        let history = self.history.as_ref().expect("a recording begins with what was watched");
        let case = Case { history, sources: &self.sources, now: history.at(), open: &self.ledger };
        let open: Vec<Finding> = self.ledger.open().into_iter().map(|(_, finding)| finding.clone()).collect();
        let verdict = judge(&case, &open, &self.blind_spots);
        let state = verdict.state.name();
        writeln!(self.transcript, "{:6.1} s verdict {state}", case.now.as_secs_f64()).expect("memory");
        for reason in &verdict.reasons {
            writeln!(self.transcript, "         {reason}").expect("memory");
        }
        self.transcript
    }
}

fn replay(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("a recording");
    let mut replay = Replay::new();
    for line in text.lines() {
        // A file that was cut off, as by SIGKILL, ends with half a line; one of the repository does not.
        replay.take(parse(line.to_owned()));
    }
    replay.end()
}

#[test]
fn what_real_kernels_showed_is_concluded_from_as_before() {
    let directory = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden"));
    let is_recording = |path: &std::path::PathBuf| path.extension().is_some_and(|kind| kind == "jsonl");
    let entries = fs::read_dir(directory).expect("the recordings");
    let paths = entries.map(|entry| entry.expect("an entry").path()).filter(is_recording);
    let mut count = 0;
    for path in paths {
        let (expected, concluded) = (path.with_extension("expected"), replay(&path));
        if env::var("GOLDEN").is_ok_and(|what| what == "write") {
            fs::write(&expected, &concluded).expect("the conclusions");
        }
        let before = fs::read_to_string(&expected).unwrap_or_default();
        assert_eq!(concluded, before, "{}", path.display());
        count += 1;
    }
    assert!(count >= 10, "only {count} recordings");
}
