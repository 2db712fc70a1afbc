//! `docs/performance.md` and its picture, from one run.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::{Context as _, Result};

use crate::{
    curves::{self, Curve},
    row::Row,
};

/// What was measured in one run.
#[derive(Debug, Default)]
pub struct Page {
    rows: Vec<Row>,
    curves: Vec<Curve>,
}

const HEAD: &str = "# Performance

Written by `cargo xtask bench`, which measures everything below in one run and needs root. Machines differ, and one machine
differs from minute to minute: what a packet or a request costs is an add-on or a ratio against something else measured in turn within
the same run, as a median with its 95 % interval. The control, where there is one, is one of both measured against itself. A target is
met when the whole interval is within it, and missed when it is not; it is unresolved when the control spreads by more than the target
allows, unless the whole interval is beyond the target by more than that. Floods come from a generator of the lab's on the same
CPUs, so that rates are what is left beside it.
";

impl Page {
    /// Takes a row in, and prints it.
    pub fn add(&mut self, row: Row) {
        let [measure, target, figure, control, outcome] = row.cells();
        println!("  {measure:<62} {figure:<26} target {target:<12} control {control:<24} {outcome}");
        self.rows.push(row);
    }

    /// Takes a curve in.
    pub fn draw(&mut self, curve: Curve) {
        self.curves.push(curve);
    }

    /// Writes `performance.md` and `images/performance.svg` below a directory.
    ///
    /// # Errors
    ///
    /// When they cannot be written, or the machine cannot be named.
    pub fn write(&self, directory: &Path) -> Result<()> {
        let picture = directory.join("images/performance.svg");
        fs::write(&picture, curves::svg(&self.curves))
            .with_context(|| format!("writing {}", picture.display()))?;
        let page = directory.join("performance.md");
        fs::write(&page, self.text(&machine()?)).with_context(|| format!("writing {}", page.display()))
    }

    fn text(&self, machine: &str) -> String {
        let mut text = format!("{HEAD}\nMeasured on {machine}.\n\n");
        text += "| Measure | Target | Figure | Control | Outcome | Command |\n|---|---|---|---|---|---|\n";
        for row in &self.rows {
            let [measure, target, figure, control, outcome] = row.cells();
            let bench = row.bench;
            let _never_fails = writeln!(
                text,
                "| {measure} | {target} | {figure} | {control} | {outcome} | `cargo xtask bench {bench}` |"
            );
        }
        let missed: Vec<_> = self.rows.iter().filter_map(|row| Some((row, row.missed_by()?))).collect();
        if !missed.is_empty() {
            text += "\n## Missed\n\n";
        }
        for (row, by) in missed {
            let _never_fails = writeln!(text, "- {}: by {}. {}", row.measure, row.number(by), row.why);
        }
        let undecided: Vec<_> = self.rows.iter().filter_map(|row| Some((row, row.undecided()?))).collect();
        if !undecided.is_empty() {
            text += "\n## Unresolved\n\n";
        }
        for (row, undecided) in undecided {
            let _never_fails = writeln!(
                text,
                "- {}: the control spreads by {}, where {} would decide; the median is {} the target.",
                row.measure,
                row.number(undecided.spread),
                row.number(undecided.allowed),
                if undecided.is_within { "within" } else { "beyond" },
            );
        }
        text += "\n## Growth\n\n![Cost by number of prefixes, of ports, and of targets](images/performance.svg)\n";
        text
    }
}

/// CPUs, their model, and the kernel.
///
/// # Errors
///
/// When the machine cannot be named.
pub fn machine() -> Result<String> {
    let text = fs::read_to_string("/proc/cpuinfo").context("reading /proc/cpuinfo")?;
    let named = |name: &str| {
        text.lines().find_map(|line| Some(line.strip_prefix(name)?.split_once(':')?.1.trim().to_owned()))
    };
    let cpus = std::thread::available_parallelism()?;
    let model = named("model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").context("the kernel's release")?;
    Ok(format!("{cpus} CPUs ({model}), Linux {}", kernel.trim()))
}

#[cfg(test)]
mod tests {
    use lab::ratio::Ratio;

    use super::*;
    use crate::row::Bound;

    #[test]
    fn a_missed_target_is_told_with_its_size_and_its_reason() {
        let row = |target| Row {
            measure: "resident".to_owned(),
            bench: "process",
            unit: "MB",
            digits: 1,
            target: Some((Bound::AtMost, target)),
            figure: Ratio::just(7.5),
            control: None,
            why: "Because.",
        };
        let text = |target| Page { rows: vec![row(target)], curves: Vec::new() }.text("a machine, Linux 6");
        assert!(
            text(4.0).contains("| resident | <= 4.0 MB | 7.5 MB |  | missed | `cargo xtask bench process` |")
        );
        assert!(text(4.0).contains("## Missed\n\n- resident: by 3.5 MB. Because.\n"));
        assert!(!text(8.0).contains("Missed"));
    }

    #[test]
    fn an_undecided_target_is_told_with_what_would_decide_it() {
        let row = Row {
            measure: "requests".to_owned(),
            bench: "requests",
            unit: "",
            digits: 2,
            target: Some((Bound::AtLeast, 0.98)),
            figure: Ratio { low: 0.9, median: 0.97, high: 1.0 },
            control: Some((Ratio { low: 0.95, median: 1.0, high: 1.01 }, 0.02)),
            why: "",
        };
        let text = Page { rows: vec![row], curves: Vec::new() }.text("a machine, Linux 6");
        let said = "## Unresolved\n\n- requests: the control spreads by 0.05, where 0.02 would decide; the median is beyond the target.\n";
        assert!(text.contains(said), "{text}");
        assert!(!text.contains("Missed"));
    }
}
