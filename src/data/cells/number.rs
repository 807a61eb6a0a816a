//! From decimal text to a double, exactly as `str::parse` does it, faster if the text is short.

/// Up to this many decimals a power of ten is exact in a double (Clinger 1990, "How to read floating point
/// numbers accurately"): one correctly rounded division then gives the nearest double.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

/// What adds up squares takes numbers up to this: the square of a sum of such squares is still a number.
pub(crate) const MAX_SUMMED: f64 = 1e140;

/// 2^53: every whole number up to it is a double.
pub(crate) const MAX_EXACT: u64 = 9_007_199_254_740_992;

/// 10^n for the digits of one word.
const WHOLE_POWERS: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// The number in `bytes[start..end]`; `None` if there is none, or if it needs the slow path: an exponent, a plus sign,
/// more digits than a double holds.
#[inline(always)]
pub(crate) fn within(bytes: &[u8], start: usize, end: usize, decimal_mark: u8) -> Option<f64> {
    let negative = bytes.get(start) == Some(&b'-');
    let from = start + usize::from(negative);
    let n = end.wrapping_sub(from);
    // Most numbers are a word long. Signs and lengths change from cell to cell, so nothing branches on them here.
    if n.wrapping_sub(1) < 8
        && let Some(word) = word(bytes, from)
    {
        let (mantissa, scale) = of_a_word(word, n, decimal_mark)?;
        return Some(with_sign(mantissa as f64 / POWERS[scale & 7], negative));
    }
    at_length(bytes.get(from..end)?, negative, decimal_mark)
}

#[inline(always)]
fn with_sign(value: f64, negative: bool) -> f64 {
    f64::from_bits(value.to_bits() | u64::from(negative) << 63)
}

/// Eight bytes from `at` on, the first one lowest.
#[inline(always)]
fn word(bytes: &[u8], at: usize) -> Option<u64> {
    let eight = bytes.get(at..)?.first_chunk()?;
    Some(u64::from_le_bytes(*eight))
}

/// A bit for each byte of a word that is no digit: the highest of the byte.
#[inline(always)]
fn no_digits(word: u64) -> u64 {
    let values = word ^ 0x3030_3030_3030_3030;
    (((values & 0x7F7F_7F7F_7F7F_7F7F) + 0x7676_7676_7676_7676) | values) & 0x8080_8080_8080_8080
}

/// The number that eight digits are: pairs, then fours, then all at once (Lemire and Mula 2018, "Eight digits at a
/// time"). Bytes of zero count as the digit 0.
#[inline(always)]
fn eight_digits(word: u64) -> u64 {
    let values = word & 0x0F0F_0F0F_0F0F_0F0F;
    let pairs = (values.wrapping_mul(10 * 256 + 1) >> 8) & 0x00FF_00FF_00FF_00FF;
    let fours = (pairs.wrapping_mul(100 * 65_536 + 1) >> 16) & 0x0000_FFFF_0000_FFFF;
    fours.wrapping_mul(10_000 * 4_294_967_296 + 1) >> 32
}

/// Digits and decimals of the number that the first `n` (1 to 8) bytes of a word are.
#[inline(always)]
fn of_a_word(word: u64, n: usize, decimal_mark: u8) -> Option<(u64, usize)> {
    // Zeros in front, the last byte highest.
    let unused = 64 - 8 * n;
    let word = word << unused;
    let others = no_digits(word) & (u64::MAX << unused);
    if others == 0 {
        return Some((eight_digits(word), 0));
    }
    let at = others.trailing_zeros() & !7;
    if others & (others - 1) != 0 || (word >> at) as u8 != decimal_mark || n == 1 {
        return None;
    }
    let before = (1_u64 << at) - 1;
    let joined = ((word & before) << 8) | (word & !((before << 8) | 0xFF));
    Some((eight_digits(joined), 7 - at as usize / 8))
}

/// The same of any length, the sign taken off.
#[inline(never)]
fn at_length(text: &[u8], negative: bool, decimal_mark: u8) -> Option<f64> {
    let (mut mantissa, mut at) = digits(text, 0, 0);
    let mut n_digits = at;
    let mut scale = 0;
    if text.get(at) == Some(&decimal_mark) {
        let (with_decimals, end) = digits(text, at + 1, mantissa);
        scale = end - at - 1;
        (mantissa, at) = (with_decimals, end);
        n_digits += scale;
    }
    // 19 digits fit into 64 bits.
    if at != text.len() || n_digits == 0 || n_digits > 19 || mantissa > MAX_EXACT {
        return None;
    }
    Some(with_sign(mantissa as f64 / POWERS[scale], negative))
}

/// The digits from `at` on, appended to those of `mantissa`, and the end of them.
#[inline]
fn digits(bytes: &[u8], mut at: usize, mut mantissa: u64) -> (u64, usize) {
    while let Some(word) = word(bytes, at) {
        let n = no_digits(word).trailing_zeros() as usize / 8;
        if n > 0 {
            mantissa =
                mantissa.wrapping_mul(WHOLE_POWERS[n]).wrapping_add(eight_digits(word << (64 - 8 * n)));
        }
        at += n;
        if n < 8 {
            return (mantissa, at);
        }
    }
    while let Some(digit) = bytes.get(at).map(|b| b.wrapping_sub(b'0')).filter(|d| *d < 10) {
        mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit));
        at += 1;
    }
    (mantissa, at)
}

/// The number that `text` is; with another decimal mark than the dot, the dot is none.
pub(crate) fn parse(text: &str, decimal_mark: u8) -> Option<f64> {
    match within(text.as_bytes(), 0, text.len(), decimal_mark) {
        Some(value) => Some(value),
        _ if decimal_mark == b'.' => text.parse().ok(),
        _ if text.contains('.') => None,
        _ => text.replacen(char::from(decimal_mark), ".", 1).parse().ok(),
    }
}

/// Whether the whole part of a number without an exponent was rounded to `value`, so that others become the same.
pub(crate) fn is_rounded(text: &str, value: f64) -> bool {
    let digits = text.trim_start_matches(['-', '+']);
    if value.abs() < MAX_EXACT as f64 || !value.is_finite() {
        return false;
    }
    let (whole, decimals) = digits.split_once(['.', ',']).unwrap_or((digits, ""));
    whole.bytes().chain(decimals.bytes()).all(|byte| byte.is_ascii_digit())
        && (whole.trim_start_matches('0') != value.abs().to_string() || decimals.contains(|c| c != '0'))
}

/// The whole number that a text such as `0x1F` is, if a number holds it exactly.
pub(crate) fn hexadecimal(text: &str) -> Option<f64> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"))?;
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let value = u64::from_str_radix(digits, 16).ok().filter(|value| is_plain && *value <= MAX_EXACT)?;
    Some(with_sign(value as f64, negative))
}

/// As [`hexadecimal`] reads it, without decimals.
pub(crate) fn write_hexadecimal(value: f64) -> String {
    let sign = if value < 0.0 { "-" } else { "" };
    format!("{sign}0x{:X}", value.abs() as u64)
}

/// Whether a number is whole and small enough (2^53) to be distinguished from its neighbours.
pub(crate) fn is_whole(value: f64) -> bool {
    value.fract() == 0.0 && value.abs() <= MAX_EXACT as f64
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
        fn a_number_is_the_same_whatever_stands_around_it(
            text in "-?[0-9]{0,20}(\\.[0-9]{0,20})?", after in "[0-9.,;x/:-]{0,12}"
        ) {
            let alone = within(text.as_bytes(), 0, text.len(), b'.').map(f64::to_bits);
            let together = (after.clone() + &text + &after).into_bytes();
            let (start, end) = (after.len(), after.len() + text.len());
            prop_assert_eq!(within(&together, start, end, b'.').map(f64::to_bits), alone);
            if let Some(bits) = alone {
                prop_assert_eq!(bits, text.parse::<f64>().unwrap().to_bits());
            }
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
    fn whole_numbers_beyond_what_a_double_holds_are_rounded() {
        let rounded = |text: &str| is_rounded(text, text.parse().unwrap());
        for text in
            ["9007199254740993", "-1234567890123456789", "+00009007199254740993", "9007199254740993.5"]
        {
            assert!(rounded(text), "{text}");
        }
        for text in ["9007199254740992", "1e20", "100000000000000000000", "9007199254740992.0", "12", "0.1"] {
            assert!(!rounded(text), "{text}");
        }
    }

    #[test]
    fn a_hexadecimal_number_is_a_whole_one_that_a_number_holds() {
        for (text, value) in
            [("0x1F", 31.0), ("0X1f", 31.0), ("-0x10", -16.0), ("0x20000000000000", 2_f64.powi(53))]
        {
            assert_eq!(hexadecimal(text), Some(value), "{text}");
            assert_eq!(hexadecimal(&write_hexadecimal(value)), Some(value));
        }
        for text in ["", "1F", "0x", "0x+1", "0xG", "0x1.8", "0x20000000000001", "0xdeadbeefdeadbeefdeadbeef"]
        {
            assert_eq!(hexadecimal(text), None, "{text}");
        }
    }

    #[test]
    fn plain_numbers_take_the_fast_path_and_nothing_else_does() {
        let found = |text: &str, mark| within(text.as_bytes(), 0, text.len(), mark);
        assert_eq!(found("12.5", b'.'), Some(12.5));
        assert_eq!(found("12,5", b','), Some(12.5));
        assert_eq!(found("-0", b'.').map(f64::is_sign_negative), Some(true));
        let others = ["", "-", ".", "-.", "x", "1x", "--1", "+1", "1e5", "1.2.3", "12345678901234567890"];
        for text in others {
            assert_eq!(found(text, b'.'), None, "{text:?}");
            let padded = format!("{text},12345678");
            assert_eq!(within(padded.as_bytes(), 0, text.len(), b'.'), None, "{text:?}");
        }
    }
}
