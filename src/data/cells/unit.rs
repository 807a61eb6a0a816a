//! Currencies, units and the letters that multiply, beside a number.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A currency or unit, up to 15 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Unit([u8; 15], u8);

impl Unit {
    pub(super) fn new(text: &str) -> Option<Self> {
        let mut bytes = [0; 15];
        bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        Some(Self(bytes, text.len() as u8))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0[..usize::from(self.1)]).unwrap_or_default()
    }

    /// Whether it is a currency or a factor, which a single cell is enough to know.
    pub(super) fn is_known(&self) -> bool {
        is_currency(self.as_str()) || self.is_a_factor()
    }

    /// Whether a number without it would be another quantity: 12 % is 0.12, and 3M is not 3.
    pub(super) fn is_a_factor(&self) -> bool {
        matches!(self.as_str(), "%" | "‰") || multiplier(self.as_str()).is_some_and(|(name, _)| name != "m")
    }
}

impl fmt::Debug for Unit {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

impl From<Unit> for String {
    fn from(unit: Unit) -> Self {
        unit.as_str().into()
    }
}

impl TryFrom<String> for Unit {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::new(&text).ok_or_else(|| format!("the unit {text:?} is longer than 15 bytes"))
    }
}

/// Shift_JIS has the yen sign at the place of the backslash.
const CURRENCY_SIGNS: &str = "$\\￥€£¥₹₽₩₺₪₫฿₴₦₱₡₲₵₸₼₾₭₮₨¢¤﷼";

/// Currencies that are written with letters: the codes of ISO 4217 that are in circulation, and local names.
const CURRENCY_WORDS: &str = " AED AFN ALL AMD ARS AUD AZN BAM BDT BGN BHD BIF BND BOB BRL BWP BYN CAD CDF CHF CLP \
CNY COP CRC CUP CZK DJF DKK DOP DZD EGP ETB EUR FJD GBP GEL GHS GMD GNF GTQ HKD HNL HRK HTG HUF IDR ILS INR IQD IRR \
ISK JMD JOD JPY KES KGS KHR KMF KRW KWD KZT LAK LBP LKR LYD MAD MDL MGA MKD MMK MNT MOP MUR MVR MWK MXN MYR MZN NAD \
NGN NIO NOK NPR NZD OMR PAB PEN PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SDG SEK SGD SYP THB TJS TMT TND TRY TTD TWD \
TZS UAH UGX USD UYU UZS VND XAF XOF YER ZAR ZMW R$ US$ A$ C$ CA$ AU$ NZ$ HK$ S$ NT$ MX$ kr kr. Kr zł Kč Ft Fr. Fr Rs \
Rs. RM лв руб руб. р. 元 円 원 ";

const MULTIPLIERS: [(&str, f64); 14] = [
    ("k", 1e3),
    ("K", 1e3),
    ("m", 1e6),
    ("M", 1e6),
    ("mn", 1e6),
    ("mio", 1e6),
    ("Mio", 1e6),
    ("Mio.", 1e6),
    ("million", 1e6),
    ("B", 1e9),
    ("bn", 1e9),
    ("Mrd", 1e9),
    ("billion", 1e9),
    ("T", 1e12),
];

pub(super) fn multiplier(text: &str) -> Option<(&'static str, f64)> {
    MULTIPLIERS.into_iter().find(|(name, _)| *name == text)
}

pub(super) fn is_currency(text: &str) -> bool {
    let mut characters = text.chars();
    match (characters.next(), characters.next()) {
        (Some(one), None) if CURRENCY_SIGNS.contains(one) => true,
        _ => !text.contains(' ') && CURRENCY_WORDS.contains(&format!(" {text} ")),
    }
}

/// The bytes of a unit at the end of a text that has a digit of its own: `m2`, `/km2`, `cm3`.
pub(super) fn powered(text: &str) -> usize {
    let Some(base) = text.strip_suffix(['2', '3']) else { return 0 };
    let name = ["mm", "cm", "dm", "km", "ft", "in", "yd", "m"].into_iter().find(|name| base.ends_with(name));
    let Some(name) = name else { return 0 };
    let before = &base[..base.len() - name.len()];
    let per = if before.ends_with('/') { 1 } else { 0 };
    // `5 m2` and `5m2`, not `Room2` or `SM3`.
    let is_behind_a_number = before[..before.len() - per].trim_end().ends_with(|c: char| c.is_ascii_digit());
    if is_behind_a_number { per + name.len() + 1 } else { 0 }
}

/// Whether a text behind a number may be its unit: one or two words without digits.
pub(super) fn may_be_a_unit(text: &str) -> bool {
    let has_power = text.ends_with(['2', '3']) && powered(&format!("0{text}")) == text.len();
    let text = &text[..text.len() - usize::from(has_power)];
    let fits = |c: char| c.is_alphabetic() || " %‰°'\"µ²³/·^.".contains(c) || CURRENCY_SIGNS.contains(c);
    text.len() <= 15
        && text.chars().all(fits)
        && text.matches(' ').count() <= 1
        && !text.starts_with(['.', '\''])
        // `5"` is inches, and `5" pipe` a name.
        && (text == "\"" || !text.contains('"'))
}
