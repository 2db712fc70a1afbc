//! Two things measured in turn, many times over, and compared pair by pair: what a machine's weather does to both, it does
//! not do to their ratio.

/// The median of ratios, and an interval that holds the true median in at least 95 of 100 measurements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    /// Median.
    pub median: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

impl Ratio {
    /// Of what was measured with something over what was measured without it, pair by pair; `None` of fewer than six pairs, of
    /// which no interval is that sure.
    ///
    /// The ends are the ratios of that rank beyond which the median lies with a probability of at most 2.5 % on either
    /// side: each ratio is above the median or below it like a coin that is thrown.
    pub fn of(pairs: &[(f64, f64)]) -> Option<Self> {
        Self::of_values(pairs.iter().map(|(with, without)| with / without).collect())
    }

    /// Of single values, such as differences; `None` of fewer than six.
    pub fn of_values(mut ratios: Vec<f64>) -> Option<Self> {
        ratios.sort_by(f64::total_cmp);
        let count = ratios.len();
        let outside = (0..count).take_while(|rank| at_most(*rank, count) <= 0.025).count();
        let low = outside.checked_sub(1)?;
        let median = (ratios[(count - 1) / 2] + ratios[count / 2]) / 2.0;
        Some(Self { median, low: ratios[low], high: ratios[count - 1 - low] })
    }

    /// What is known exactly.
    pub fn just(value: f64) -> Self {
        Self { median: value, low: value, high: value }
    }

    /// How far the interval reaches from its median, at most.
    pub fn spread(&self) -> f64 {
        (self.high - self.median).max(self.median - self.low)
    }
}

/// Probability of at most so many heads in so many throws.
fn at_most(heads: usize, throws: usize) -> f64 {
    let mut ways = 1.0;
    let mut sum = 0.0;
    for count in 0..=heads {
        sum += ways;
        ways = ways * (throws - count) as f64 / (count + 1) as f64;
    }
    sum / 2_f64.powi(throws as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_of_fifteen_is_from_the_fourth_to_the_twelfth() {
        // Of 15 throws at most 3 are heads with 1.76 %, at most 4 with 5.9 %.
        let pairs: Vec<_> = (1..=15).rev().map(|number| (f64::from(number), 1.0)).collect();
        assert_eq!(Ratio::of(&pairs), Some(Ratio { median: 8.0, low: 4.0, high: 12.0 }));
    }

    #[test]
    fn of_too_few_there_is_none() {
        assert_eq!(Ratio::of(&[(1.0, 2.0); 5]), None);
        assert_eq!(Ratio::of(&[(1.0, 2.0); 6]), Some(Ratio { median: 0.5, low: 0.5, high: 0.5 }));
    }

    #[test]
    fn the_spread_is_the_longer_side() {
        assert_eq!(Ratio { median: 1.0, low: 0.875, high: 1.0625 }.spread(), 0.125);
    }
}
