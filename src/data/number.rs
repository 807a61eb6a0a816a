//! From decimal text to a double, exactly as `str::parse` does it, sooner where the text is short.

/// Up to this many decimals a power of ten is exact in a double (Clinger 1990, "How to read floating point
/// numbers accurately"): one correctly rounded division then gives the nearest double.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

/// 2^53: every whole number up to it is a double.
const MAX_EXACT: u64 = 9_007_199_254_740_992;

/// The number that `bytes` start with and how long it is; `None` where there is none, or where it needs the
/// slow road: an exponent, a plus sign, more digits than a double holds.
#[inline]
pub fn prefix(bytes: &[u8], decimal_mark: u8) -> Option<(f64, usize)> {
    let negative = bytes.first() == Some(&b'-');
    let start = usize::from(negative);
    let (mut mantissa, mut at) = digits(bytes, start, 0);
    let mut n_digits = at - start;
    let mut scale = 0;
    if bytes.get(at) == Some(&decimal_mark) {
        let (with_decimals, end) = digits(bytes, at + 1, mantissa);
        scale = end - at - 1;
        (mantissa, at) = (with_decimals, end);
        n_digits += scale;
    }
    // 19 digits fit into 64 bits.
    if n_digits == 0 || n_digits > 19 || mantissa > MAX_EXACT {
        return None;
    }
    let value = mantissa as f64 / POWERS[scale];
    Some((if negative { -value } else { value }, at))
}

#[inline]
fn digits(bytes: &[u8], mut at: usize, mut mantissa: u64) -> (u64, usize) {
    while let Some(digit) = bytes.get(at).map(|b| b.wrapping_sub(b'0')).filter(|d| *d < 10) {
        mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit));
        at += 1;
    }
    (mantissa, at)
}

/// The number that `text` is; with another decimal mark than the dot, the dot is none.
pub fn parse(text: &str, decimal_mark: u8) -> Option<f64> {
    match prefix(text.as_bytes(), decimal_mark) {
        Some((value, n)) if n == text.len() => Some(value),
        _ if decimal_mark == b'.' => text.parse().ok(),
        _ if text.contains('.') => None,
        _ => text.replacen(char::from(decimal_mark), ".", 1).parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_number_is_the_one_that_the_standard_library_reads(
            text in "[-+]?[0-9]{0,22}(\\.[0-9]{0,24})?([eE][-+]?[0-9]{1,3})?|inf|-?NaN|[0-9.e-]{0,6}"
        ) {
            let found = parse(&text, b'.').map(f64::to_bits);
            prop_assert_eq!(found, text.parse::<f64>().ok().map(f64::to_bits));
            let comma = text.replace('.', ",");
            prop_assert_eq!(parse(&comma, b',').map(f64::to_bits), found);
        }

        #[test]
        fn a_double_written_in_full_is_read_back(bits: u64) {
            let value = f64::from_bits(bits);
            if !value.is_nan() {
                prop_assert_eq!(parse(&value.to_string(), b'.').map(f64::to_bits), Some(bits));
            }
        }
    }

    #[test]
    fn a_prefix_ends_where_the_number_does() {
        assert_eq!(prefix(b"12.5,3", b'.'), Some((12.5, 4)));
        assert_eq!(prefix(b"12,5;3", b','), Some((12.5, 4)));
        assert_eq!(prefix(b"-0\n", b'.').map(|(v, n)| (v.is_sign_negative(), n)), Some((true, 2)));
        assert_eq!(prefix(b"x", b'.'), None);
        assert_eq!(prefix(b"12345678901234567890", b'.'), None);
    }
}
