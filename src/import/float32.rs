//! Thresholds of models that compare in single precision, moved so that a comparison in double precision decides the same.
//!
//! XGBoost and CatBoost round a number to `f32` before they compare it. The doubles that round to at most a threshold are
//! those up to one bound, midway to the next `f32` (ties are rounded to even, IEEE 754-2019, 4.3.1); with that bound as
//! the threshold no number takes another branch.

/// Half the distance from the largest `f32` to where the next one would be: 2¹⁰³.
const HALF_LAST_STEP: f64 = 10_141_204_801_825_835_211_973_625_643_008.0;

/// The largest double that is below `threshold` once it is rounded to single precision.
pub(super) fn below(threshold: f32) -> f64 {
    at_most(threshold.next_down())
}

/// The largest double that is at most `threshold` once it is rounded to single precision.
pub(super) fn at_most(threshold: f32) -> f64 {
    let next = threshold.next_up();
    let (at, above) = (f64::from(threshold), f64::from(next));
    let middle = match (at.is_finite(), above.is_finite()) {
        (true, true) => at / 2.0 + above / 2.0,
        (true, false) => at + HALF_LAST_STEP,
        (false, true) => above - HALF_LAST_STEP,
        (false, false) => at,
    };
    if middle as f32 <= threshold { middle.min(f64::MAX) } else { middle.next_down().max(f64::MIN) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moved_threshold_decides_as_the_rounded_number_does() {
        let thresholds = [
            0.0,
            -0.0,
            1.0,
            -1.0,
            0.1,
            16_777_216.0,
            16_777_217.0,
            f32::MIN_POSITIVE,
            1e-45,
            -1e-45,
            f32::MAX,
            f32::MIN,
            3.3e38,
            -0.089_999_996,
        ];
        for t in thresholds {
            let near = [f64::from(t), f64::from(t.next_up()), f64::from(t.next_down()), below(t), at_most(t)];
            for x in near.into_iter().flat_map(|x| [x, x.next_up(), x.next_down()]).filter(|x| x.is_finite())
            {
                assert_eq!(x <= below(t), (x as f32) < t, "{x:e} < {t:e}");
                assert_eq!(x <= at_most(t), (x as f32) <= t, "{x:e} <= {t:e}");
            }
        }
    }
}
