//! Values as positions on an axis, and the round numbers that are written beside it.

/// An axis from `min` to `max`, with ticks between.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scale {
    min: f64,
    max: f64,
    ticks: Vec<f64>,
    /// Decimals that distinguish the ticks.
    decimals: usize,
    /// The labels of ticks that are no numbers.
    names: Vec<String>,
}

impl Scale {
    /// From 0 to 1, with ticks each fifth.
    pub(crate) fn unit() -> Self {
        Self {
            min: 0.0,
            max: 1.0,
            ticks: [0.0, 0.2, 0.4, 0.6, 0.8, 1.0].to_vec(),
            decimals: 1,
            names: vec![],
        }
    }

    /// An axis that holds all finite values and begins and ends at a tick; about `n_ticks` ticks.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>, n_ticks: usize) -> Self {
        let finite = values.into_iter().filter(|value| value.is_finite());
        let (min, max) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
        if min > max {
            return Self::unit();
        }
        // A single value stands in the middle.
        let margin = if min == max { if min == 0.0 { 1.0 } else { min.abs() / 2.0 } } else { 0.0 };
        Self::between(min - margin, max + margin, n_ticks)
    }

    /// Names at 0, 1, 2, …
    pub(crate) fn named(names: Vec<String>) -> Self {
        let n = names.len().max(1);
        let ticks = (0..names.len()).map(|i| i as f64).collect();
        Self { min: -0.5, max: n as f64 - 0.5, ticks, decimals: 0, names }
    }

    /// Names between bins: the first bin lies from -1 to 0, the next from 0 to 1, …
    pub(crate) fn between_bins(names: Vec<String>) -> Self {
        Self { min: -1.0, max: names.len() as f64, ..Self::named(names) }
    }

    /// Whether the ticks are names.
    pub(crate) fn is_named(&self) -> bool {
        !self.names.is_empty()
    }

    fn between(min: f64, max: f64, n_ticks: usize) -> Self {
        // Beyond, the distance of the ends would overflow.
        let (min, max) = (min.max(-1e300), max.min(1e300));
        let step = round_step(max / n_ticks as f64 - min / n_ticks as f64);
        let (first, last) = ((min / step).floor(), (max / step).ceil());
        // Beyond 2^53 steps from 0 the ticks would not differ.
        if !step.is_finite() || step <= 0.0 || first.abs().max(last.abs()) > 9e15 {
            return Self { min, max, ticks: vec![min, max], decimals: 6, names: vec![] };
        }
        let n = (last - first) as usize;
        let ticks: Vec<f64> = (0..=n).map(|i| (first + i as f64) * step).collect();
        let decimals = (-step.log10().floor()).clamp(0.0, 12.0) as usize;
        Self { min: first * step, max: last * step, ticks, decimals, names: vec![] }
    }

    /// The same with 0 on it.
    pub(crate) fn from_zero(values: impl IntoIterator<Item = f64>, n_ticks: usize) -> Self {
        Self::of(values.into_iter().chain([0.0]), n_ticks)
    }

    /// Position of a value between the ends, 0 to 1; values beyond lie at the ends.
    pub(crate) fn position(&self, value: f64) -> f64 {
        ((value - self.min) / (self.max - self.min)).clamp(0.0, 1.0)
    }

    /// The ends.
    pub(crate) fn ends(&self) -> (f64, f64) {
        (self.min, self.max)
    }

    /// The ticks and their labels.
    pub(crate) fn ticks(&self) -> Vec<(f64, String)> {
        if self.is_named() {
            return self.ticks.iter().copied().zip(self.names.iter().cloned()).collect();
        }
        let largest = self.min.abs().max(self.max.abs());
        let label = |tick: f64| match tick {
            0.0 => "0".to_string(),
            tick if !(1e-4..1e6).contains(&largest) => {
                let text = format!("{tick:.3e}");
                let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
                format!("{}e{exponent}", mantissa.trim_end_matches('0').trim_end_matches('.'))
            }
            tick => format!("{tick:.*}", self.decimals),
        };
        self.ticks.iter().map(|&tick| (tick, label(tick).replace('-', "−"))).collect()
    }
}

/// The smallest of 1, 2 or 5 times a power of ten that is not below `raw`.
fn round_step(raw: f64) -> f64 {
    let power = 10f64.powf(raw.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| raw <= factor * power * (1.0 + 1e-9));
    factor.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(values: &[f64], n: usize) -> Vec<String> {
        Scale::of(values.iter().copied(), n).ticks().into_iter().map(|tick| tick.1).collect()
    }

    #[test]
    fn ticks_are_round_and_hold_all_values() {
        assert_eq!(labels(&[0.3, 9.7], 5), ["0", "2", "4", "6", "8", "10"]);
        assert_eq!(labels(&[-0.02, 0.13], 4), ["−0.05", "0", "0.05", "0.10", "0.15"]);
        assert_eq!(
            labels(&[12_000_000.0, 31_000_000.0], 4),
            ["1e7", "1.5e7", "2e7", "2.5e7", "3e7", "3.5e7"]
        );
        assert_eq!(labels(&[1e-7, 3e-7], 3), ["1e-7", "2e-7", "3e-7"].map(|t| t.replace('-', "−")));
        assert_eq!(labels(&[2020.0, 2024.0], 4), ["2020", "2021", "2022", "2023", "2024"]);
    }

    #[test]
    fn no_values_one_value_and_values_at_the_end_of_the_range_of_numbers_have_an_axis() {
        assert_eq!(Scale::of([], 5), Scale::unit());
        assert_eq!(Scale::of([f64::NAN, f64::INFINITY], 5), Scale::unit());
        assert_eq!(labels(&[4.0, 4.0], 4), ["2", "3", "4", "5", "6"]);
        assert_eq!(labels(&[0.0], 4), ["−1.0", "−0.5", "0", "0.5", "1.0"]);
        for ends in [[f64::MIN, f64::MAX], [1e15, 1e15 + 0.25], [f64::MIN_POSITIVE, 1.0], [0.0, 5e-324]] {
            let scale = Scale::of(ends, 5);
            assert!(scale.ticks().len() < 20, "{ends:?}");
            let position = scale.position(ends[1]);
            assert!((0.0..=1.0).contains(&position) || ends[1] == 5e-324, "{ends:?} {position}");
        }
    }

    #[test]
    fn positions_run_from_end_to_end_and_stay_there() {
        let scale = Scale::of([0.0, 10.0], 5);
        assert_eq!([0.0, 5.0, 10.0, 99.0].map(|v| scale.position(v)), [0.0, 0.5, 1.0, 1.0]);
        assert_eq!(Scale::from_zero([3.0], 3).ends().0, 0.0);
    }
}
