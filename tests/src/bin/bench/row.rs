//! One measure beside its target.

use lab::ratio::Ratio;

/// What came out of comparing a figure with its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The whole interval is within the target.
    Met,
    /// It is not.
    Missed,
    /// The same thing measured twice differs by more than the target allows, and by more than the figure is beyond the target.
    Unresolved,
}

/// On which side of its target a figure has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Not above it.
    AtMost,
    /// Not below it.
    AtLeast,
}

/// A measure.
#[derive(Clone, Debug)]
pub struct Row {
    /// What was measured.
    pub measure: String,
    /// The bench that measures it.
    pub bench: &'static str,
    /// Unit of all figures of the row; empty for ratios.
    pub unit: &'static str,
    /// Digits behind the point.
    pub digits: usize,
    /// Where the figure has to be; `None` for one that is only told.
    pub target: Option<(Bound, f64)>,
    /// The figure.
    pub figure: Ratio,
    /// The same thing measured twice, and how far it may spread for the target to be decided.
    pub control: Option<(Ratio, f64)>,
    /// Why a target that is missed is missed.
    pub why: &'static str,
}

/// Why nothing is decided.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Undecided {
    /// How far the control spreads.
    pub spread: f64,
    /// How far it may.
    pub allowed: f64,
    /// On which side of the target the median is.
    pub is_within: bool,
}

impl Row {
    /// The outcome; `None` without a target.
    pub fn outcome(&self) -> Option<Outcome> {
        let (bound, target) = self.target?;
        let beyond = match bound {
            Bound::AtMost => self.figure.low - target,
            Bound::AtLeast => target - self.figure.high,
        };
        if self.control.is_some_and(|(control, margin)| control.spread() > margin.max(beyond)) {
            return Some(Outcome::Unresolved);
        }
        let is_met = match bound {
            Bound::AtMost => self.figure.high <= target,
            Bound::AtLeast => self.figure.low >= target,
        };
        Some(if is_met { Outcome::Met } else { Outcome::Missed })
    }

    /// How far the worse end of the interval is beyond the target; `None` unless it is missed.
    pub fn missed_by(&self) -> Option<f64> {
        let (bound, target) = self.target.filter(|_| self.outcome() == Some(Outcome::Missed))?;
        Some(match bound {
            Bound::AtMost => self.figure.high - target,
            Bound::AtLeast => target - self.figure.low,
        })
    }

    /// What keeps it from being decided; `None` where it is.
    pub fn undecided(&self) -> Option<Undecided> {
        let (bound, target) = self.target.filter(|_| self.outcome() == Some(Outcome::Unresolved))?;
        let (control, allowed) = self.control?;
        let is_within = match bound {
            Bound::AtMost => self.figure.median <= target,
            Bound::AtLeast => self.figure.median >= target,
        };
        Some(Undecided { spread: control.spread(), allowed, is_within })
    }

    /// Measure, target, figure, control and outcome, as they are written.
    pub fn cells(&self) -> [String; 5] {
        let target = self.target.map(|(bound, target)| match bound {
            Bound::AtMost => format!("<= {}", self.number(target)),
            Bound::AtLeast => format!(">= {}", self.number(target)),
        });
        let outcome = self.outcome().map(|outcome| match outcome {
            Outcome::Met => "met",
            Outcome::Missed => "missed",
            Outcome::Unresolved => "unresolved",
        });
        [
            self.measure.clone(),
            target.unwrap_or_default(),
            self.interval(self.figure),
            self.control.map(|(control, _)| self.interval(control)).unwrap_or_default(),
            outcome.unwrap_or_default().to_owned(),
        ]
    }

    /// A figure with its unit.
    pub fn number(&self, value: f64) -> String {
        let digits = self.digits;
        if self.unit.is_empty() {
            format!("{value:.digits$}")
        } else {
            format!("{value:.digits$} {}", self.unit)
        }
    }

    fn interval(&self, figure: Ratio) -> String {
        let digits = self.digits;
        let middle = self.number(figure.median);
        if figure.low == figure.high {
            return middle;
        }
        format!("{middle} [{:.digits$}, {:.digits$}]", figure.low, figure.high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(target: (Bound, f64), figure: [f64; 3], control: [f64; 3]) -> Row {
        let ratio = |[low, median, high]: [f64; 3]| Ratio { median, low, high };
        Row {
            measure: "a miss".to_owned(),
            bench: "programs",
            unit: "ns",
            digits: 1,
            target: Some(target),
            figure: ratio(figure),
            control: Some((ratio(control), 1.0)),
            why: "",
        }
    }

    #[test]
    fn a_target_is_met_by_the_whole_interval_only() {
        let quiet = [-0.5, 0.0, 0.5];
        let outcome = |target, figure| row(target, figure, quiet).outcome();
        assert_eq!(outcome((Bound::AtMost, 3.0), [1.0, 2.0, 3.0]), Some(Outcome::Met));
        assert_eq!(outcome((Bound::AtMost, 3.0), [1.0, 2.0, 3.5]), Some(Outcome::Missed));
        assert_eq!(outcome((Bound::AtLeast, 0.98), [0.98, 0.99, 1.0]), Some(Outcome::Met));
        assert_eq!(outcome((Bound::AtLeast, 0.98), [0.97, 0.99, 1.0]), Some(Outcome::Missed));
    }

    #[test]
    fn what_differs_from_itself_by_more_than_the_margin_decides_nothing() {
        let row = row((Bound::AtMost, 3.0), [1.0, 2.0, 2.5], [-1.5, 0.0, 0.5]);
        assert_eq!(row.outcome(), Some(Outcome::Unresolved));
        assert_eq!(row.missed_by(), None);
    }

    #[test]
    fn what_is_beyond_its_target_by_more_than_that_is_missed() {
        let outcome = |figure| row((Bound::AtMost, 3.0), figure, [-2.0, 0.0, 0.5]).outcome();
        assert_eq!(outcome([4.5, 5.0, 5.5]), Some(Outcome::Unresolved));
        assert_eq!(outcome([5.5, 6.0, 6.5]), Some(Outcome::Missed));
    }

    #[test]
    fn cells_hold_the_interval_and_a_miss_its_size() {
        let row = row((Bound::AtMost, 3.0), [4.0, 5.0, 6.5], [0.0, 0.0, 0.0]);
        assert_eq!(row.cells(), ["a miss", "<= 3.0 ns", "5.0 ns [4.0, 6.5]", "0.0 ns", "missed"]);
        assert_eq!(row.missed_by(), Some(3.5));
    }
}
