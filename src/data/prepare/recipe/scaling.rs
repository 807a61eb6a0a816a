//! The numbers that fill and scale a column: median, mean and standard deviation.

/// The median; the mean of the two middle values of an even number; 0 of none.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    let middle = values.len() / 2;
    let is_odd = values.len() % 2 == 1;
    let (below, &mut upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    if is_odd {
        return upper;
    }
    let lower = below.iter().copied().max_by(f64::total_cmp).unwrap_or(upper);
    // Halved first: the sum of two large values may overflow.
    lower / 2.0 + upper / 2.0
}

/// Mean and population standard deviation in two passes with the rounding of the mean corrected (Chan,
/// Golub and LeVeque 1983, "Algorithms for computing the sample variance", eq. 1.7). The scale of a column
/// that is constant up to rounding is 1, by scikit-learn's bound (`_is_constant_feature`).
pub(super) fn mean_and_scale<I: Iterator<Item = f64>>(n_rows: usize, column: impl Fn() -> I) -> (f64, f64) {
    let n = n_rows.max(1) as f64;
    let mean = column().map(|v| v / n).sum::<f64>();
    let (mut squares, mut rest) = (0.0, 0.0);
    for value in column() {
        squares += (value - mean) * (value - mean);
        rest += value - mean;
    }
    let variance = ((squares - rest * rest / n) / n).max(0.0);
    let bound = n * f64::EPSILON * variance + (n * mean * f64::EPSILON).powi(2);
    let scale = variance.sqrt();
    if variance <= bound || !scale.is_finite() { (mean, 1.0) } else { (mean, scale) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variance_of_large_numbers_is_not_lost() {
        let column = || [1e9 - 0.5, 1e9 + 0.5].into_iter();
        assert_eq!(mean_and_scale(2, column), (1e9, 0.5));
        let (mean, scale) = mean_and_scale(100, || std::iter::repeat_n(0.1, 100));
        assert_eq!(scale, 1.0, "a constant column is not blown up by rounding");
        assert!((mean - 0.1).abs() < 1e-15);
    }

    #[test]
    fn the_median_is_the_middle_value_or_the_mean_of_two_and_does_not_overflow() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), 2.5);
        assert_eq!(median(vec![f64::MAX, f64::MAX]), f64::MAX);
        assert_eq!(median(Vec::new()), 0.0);
    }
}
