//! From decimal text to a double, exactly as `str::parse` does it, sooner where the text is short.

/// Up to this many decimals a power of ten is exact in a double (Clinger 1990, "How to read floating point
/// numbers accurately"): one correctly rounded division then gives the nearest double.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

/// 2^53: every whole number up to it is a double.
const MAX_EXACT: u64 = 9_007_199_254_740_992;

/// 10^n for the digits of one word.
const WHOLE_POWERS: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// The number that `bytes` start with and how long it is; `None` where there is none, or where it needs the
/// slow road: an exponent, a plus sign, more digits than a double holds.
#[inline]
pub fn prefix(bytes: &[u8], decimal_mark: u8) -> Option<(f64, usize)> {
    let negative = bytes.first() == Some(&b'-');
    let start = usize::from(negative);
    // Signs and lengths change from cell to cell, so nothing branches on them here.
    let short = word(bytes, start).and_then(|word| in_a_word(word, decimal_mark));
    let (mantissa, scale, n) = match short {
        Some(found) => found,
        None => at_length(bytes, start, decimal_mark)?,
    };
    let value = mantissa as f64 / POWERS[scale];
    Some((f64::from_bits(value.to_bits() | u64::from(negative) << 63), start + n))
}

/// Eight bytes from `at` on, the first one lowest.
#[inline]
fn word(bytes: &[u8], at: usize) -> Option<u64> {
    let eight = bytes.get(at..)?.first_chunk()?;
    Some(u64::from_le_bytes(*eight))
}

/// A bit for each byte of a word that is no digit: the highest of the byte.
#[inline]
fn no_digits(word: u64) -> u64 {
    let values = word ^ 0x3030_3030_3030_3030;
    (((values & 0x7F7F_7F7F_7F7F_7F7F) + 0x7676_7676_7676_7676) | values) & 0x8080_8080_8080_8080
}

/// The number that the first `n` (1 to 8) bytes of a word are, all of them digits: pairs, then fours, then
/// eight at once (Lemire and Mula 2018, "Eight digits at a time").
#[inline]
fn digits_of_word(word: u64, n: usize) -> u64 {
    // Zeros in front.
    let values = (word & 0x0F0F_0F0F_0F0F_0F0F) << (64 - 8 * n);
    let pairs = (values.wrapping_mul(10 * 256 + 1) >> 8) & 0x00FF_00FF_00FF_00FF;
    let fours = (pairs.wrapping_mul(100 * 65_536 + 1) >> 16) & 0x0000_FFFF_0000_FFFF;
    fours.wrapping_mul(10_000 * 4_294_967_296 + 1) >> 32
}

/// Digits, decimals and length of a number without sign that ends within a word.
#[inline]
fn in_a_word(word: u64, decimal_mark: u8) -> Option<(u64, usize, usize)> {
    let others = no_digits(word);
    if others == 0 {
        return None;
    }
    let whole = others.trailing_zeros() & !7;
    if (word >> whole) as u8 != decimal_mark {
        let n = whole as usize / 8;
        return (n > 0).then(|| (digits_of_word(word, n), 0, n));
    }
    let others = others & (others - 1);
    let end = others.trailing_zeros() as usize / 8;
    if others == 0 || end < 2 {
        return None;
    }
    let before = (1_u64 << whole) - 1;
    let joined = (word & before) | ((word >> 8) & !before);
    Some((digits_of_word(joined, end - 1), end - 1 - whole as usize / 8, end))
}

/// The same of any length.
fn at_length(bytes: &[u8], start: usize, decimal_mark: u8) -> Option<(u64, usize, usize)> {
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
    Some((mantissa, scale, at - start))
}

/// The digits from `at` on, put after those of `mantissa`; where they end.
#[inline]
fn digits(bytes: &[u8], mut at: usize, mut mantissa: u64) -> (u64, usize) {
    while let Some(word) = word(bytes, at) {
        let n = no_digits(word).trailing_zeros() as usize / 8;
        if n > 0 {
            mantissa = mantissa.wrapping_mul(WHOLE_POWERS[n]).wrapping_add(digits_of_word(word, n));
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
        fn a_prefix_is_the_same_whatever_follows(
            text in "-?[0-9]{0,20}(\\.[0-9]{0,20})?", after in "[,;x\\-/:]{1,12}[0-9]{0,9}"
        ) {
            // Before a sign nothing ends: "-0" is a number of its own.
            prop_assume!(!text.is_empty() || !after.starts_with('-'));
            let alone = prefix(text.as_bytes(), b'.');
            let together = prefix((text.clone() + &after).as_bytes(), b'.');
            prop_assert_eq!(together.map(|(v, n)| (v.to_bits(), n)), alone.map(|(v, n)| (v.to_bits(), n)));
            if let Some((value, n)) = alone {
                prop_assert_eq!(n, text.len());
                prop_assert_eq!(value.to_bits(), text.parse::<f64>().unwrap().to_bits());
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
    fn a_prefix_ends_where_the_number_does() {
        assert_eq!(prefix(b"12.5,3", b'.'), Some((12.5, 4)));
        assert_eq!(prefix(b"12,5;3", b','), Some((12.5, 4)));
        assert_eq!(prefix(b"-0\n", b'.').map(|(v, n)| (v.is_sign_negative(), n)), Some((true, 2)));
        assert_eq!(prefix(b"x", b'.'), None);
        assert_eq!(prefix(b"12345678901234567890", b'.'), None);
    }
}
