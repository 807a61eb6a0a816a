//! Request ids and W3C trace context.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};

/// The header of a request's id.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id of a request, and who sent it.
#[derive(Debug, Clone)]
pub(crate) struct RequestId {
    /// The header that is sent back.
    pub(crate) header: HeaderValue,
    /// The number of the key; 0 for none.
    pub(crate) key: u64,
}

impl RequestId {
    /// The id as a text; it is ASCII.
    pub(crate) fn text(&self) -> &str {
        self.header.to_str().unwrap_or_default()
    }
}

/// The header of W3C Trace Context.
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Longer ids are replaced.
const MAX_ID_BYTES: usize = 64;

/// Makes the ids of requests that bring none.
#[derive(Debug)]
pub(crate) struct Ids {
    /// Differs from process to process.
    seed: u64,
    next: AtomicU64,
}

impl Default for Ids {
    fn default() -> Self {
        Self { seed: RandomState::new().build_hasher().finish(), next: AtomicU64::new(0) }
    }
}

impl Ids {
    /// A new id of 16 hexadecimal digits.
    pub(crate) fn make(&self) -> HeaderValue {
        let number = mixed(self.seed.wrapping_add(self.next.fetch_add(1, Relaxed).wrapping_mul(STEP)));
        let digit = |i: u32| b"0123456789abcdef"[(number >> (60 - 4 * i) & 15) as usize];
        let mut id = [0; 16];
        for (i, byte) in (0..).zip(&mut id) {
            *byte = digit(i);
        }
        HeaderValue::from_bytes(&id).unwrap_or(HeaderValue::from_static("0"))
    }
}

/// The golden ratio in 64 bits; this and the mixing: Steele, Lea and Flood 2014, "Fast splittable pseudorandom
/// number generators", section 5.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// A bijection, so two requests of a process never get the same id.
fn mixed(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The id that a request brings, if it is valid.
pub(crate) fn request_id(headers: &HeaderMap) -> Option<&HeaderValue> {
    headers.get(REQUEST_ID).filter(|id| is_id(id.as_bytes()))
}

/// Whether a client's id is safe to write into headers and logs.
fn is_id(id: &[u8]) -> bool {
    let fits = |b: &u8| b.is_ascii_alphanumeric() || b"._-:".contains(b);
    !id.is_empty() && id.len() <= MAX_ID_BYTES && id.iter().all(fits)
}

/// The `traceparent` of a request, if it is well formed (W3C Trace Context, section 3.2).
pub(crate) fn traceparent(headers: &HeaderMap) -> Option<&HeaderValue> {
    let value = headers.get(TRACEPARENT)?;
    let bytes = value.as_bytes();
    let lengths = [2, 32, 16, 2];
    let mut parts = bytes.split(|b| *b == b'-');
    let is_hex = |part: &[u8]| part.iter().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(b));
    let fits = lengths.iter().all(|n| parts.next().is_some_and(|part| part.len() == *n && is_hex(part)));
    (fits && parts.next().is_none() && !bytes.starts_with(b"ff")).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn an_id_that_could_harm_a_log_is_none_and_made_ones_differ() {
        assert_eq!(request_id(&headers(REQUEST_ID, "order-17.a_B")).unwrap(), "order-17.a_B");
        for bad in ["", "a b", "a\"b", &"x".repeat(65)] {
            assert!(request_id(&headers(REQUEST_ID, bad)).is_none(), "{bad:?}");
        }
        let ids = Ids::default();
        let made: std::collections::BTreeSet<_> = (0..1000).map(|_| ids.make().as_bytes().to_vec()).collect();
        assert_eq!(made.len(), 1000);
        assert!(made.iter().all(|id| id.len() == 16 && id.iter().all(u8::is_ascii_hexdigit)), "{made:?}");
    }

    #[test]
    fn only_a_well_formed_traceparent_counts() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(traceparent(&headers(TRACEPARENT, good)).unwrap(), good);
        for bad in [&good[1..], &good.replace('4', "G"), &format!("{good}-"), &good.replace("00-4", "ff-4")] {
            assert!(traceparent(&headers(TRACEPARENT, bad)).is_none(), "{bad}");
        }
    }
}
