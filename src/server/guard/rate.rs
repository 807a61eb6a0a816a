//! Rate limits: a token bucket for each key, and for each address without one.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Buckets that are kept; full ones are dropped first, and beyond that new callers share one.
const MAX_BUCKETS: usize = 65_536;

/// A caller with a bucket of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Caller {
    /// The holder of a key.
    Key(u64),
    /// An IPv4 address, or the /64 network of an IPv6 address, which is what one subscriber has.
    Address(u64),
    /// A client of a Unix socket, or one of too many to distinguish.
    Others,
}

impl Caller {
    /// The caller without a key.
    pub(crate) fn at(address: Option<IpAddr>) -> Self {
        match address.map(|address| address.to_canonical()) {
            None => Self::Others,
            Some(IpAddr::V4(address)) => Self::Address(u64::from(address.to_bits())),
            // No IPv4 address is as large, since no IPv6 network among the first 2^32 is allocated.
            Some(IpAddr::V6(address)) => Self::Address((address.to_bits() >> 64) as u64),
        }
    }
}

/// A request rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rate {
    /// Average requests per second.
    pub(crate) per_second: f64,
    /// Requests that may come at once after a pause.
    pub(crate) burst: f64,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

/// The buckets of all callers.
#[derive(Debug)]
pub(crate) struct RateLimit {
    rate: Rate,
    buckets: Mutex<HashMap<Caller, Bucket>>,
}

impl RateLimit {
    /// All buckets are full.
    pub(crate) fn new(rate: Rate) -> Self {
        Self { rate, buckets: Mutex::default() }
    }

    /// Takes a token of `caller` at `now`.
    ///
    /// # Errors
    /// The bucket is empty; the time until it holds a token.
    pub(crate) fn take(&self, caller: Caller, now: Instant) -> Result<(), Duration> {
        let Rate { per_second, burst } = self.rate;
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let refilled = |bucket: &Bucket| {
            (bucket.tokens + now.saturating_duration_since(bucket.at).as_secs_f64() * per_second).min(burst)
        };
        let mut caller = caller;
        if buckets.len() >= MAX_BUCKETS && !buckets.contains_key(&caller) {
            buckets.retain(|_, bucket| refilled(bucket) < burst);
            if buckets.len() >= MAX_BUCKETS {
                caller = Caller::Others;
            }
        }
        let bucket = buckets.entry(caller).or_insert(Bucket { tokens: burst, at: now });
        bucket.tokens = refilled(bucket);
        bucket.at = now;
        if bucket.tokens < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - bucket.tokens) / per_second));
        }
        bucket.tokens -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_let_through_then_so_many_a_second_and_each_caller_alone() {
        let limit = RateLimit::new(Rate { per_second: 2.0, burst: 3.0 });
        let (start, one, other) = (Instant::now(), Caller::Key(1), Caller::at("10.0.0.1".parse().ok()));
        (0..3).for_each(|_| limit.take(one, start).unwrap());
        assert_eq!(limit.take(one, start), Err(Duration::from_millis(500)));
        limit.take(other, start).unwrap();
        let later = start + Duration::from_millis(500);
        limit.take(one, later).unwrap();
        assert!(limit.take(one, later).is_err());
        let much_later = start + Duration::from_secs(60);
        (0..3).for_each(|_| limit.take(one, much_later).unwrap());
        assert!(limit.take(one, much_later).is_err(), "no more than the burst is saved up");
    }

    #[test]
    fn the_table_does_not_grow_without_bound() {
        let limit = RateLimit::new(Rate { per_second: 1.0, burst: 1.0 });
        let now = Instant::now();
        for i in 0..MAX_BUCKETS as u64 + 10 {
            let _ = limit.take(Caller::Address(i), now);
        }
        assert!(limit.buckets.lock().unwrap().len() <= MAX_BUCKETS + 1);
        limit.take(Caller::Address(u64::MAX), now + Duration::from_secs(2)).unwrap();
        assert_eq!(limit.buckets.lock().unwrap().len(), 1, "full buckets are forgotten");
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one_caller() {
        let at = |text: &str| Caller::at(text.parse().ok());
        assert_eq!(at("2001:db8::1"), at("2001:db8::2"));
        assert_ne!(at("2001:db8::1"), at("2001:db8:0:1::1"));
        assert_eq!(at("::ffff:10.0.0.1"), at("10.0.0.1"));
    }
}
