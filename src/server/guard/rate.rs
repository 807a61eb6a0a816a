//! Rate limits: a token bucket for each key, and for each address without one.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Buckets that are kept.
const MAX_BUCKETS: usize = 65_536;

/// The share of them that is forgotten at once when a new caller needs one: the fullest, whose callers lose least by
/// it, which is to say gain least. All at once, because that takes a look at all of them.
const FORGOTTEN_SHARE: usize = 8;

/// A caller with a bucket of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Caller {
    /// The holder of a key.
    Key(u64),
    /// An IPv4 address, or the /64 network of an IPv6 address, which is what one subscriber has.
    Address(u64),
    /// A client of a Unix socket.
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
        if buckets.len() >= MAX_BUCKETS && !buckets.contains_key(&caller) {
            let mut tokens: Vec<f64> = buckets.values().map(refilled).collect();
            let (_, least, _) =
                tokens.select_nth_unstable_by(MAX_BUCKETS / FORGOTTEN_SHARE, |a, b| b.total_cmp(a));
            // Of equally full ones no more than needed, or those that have just come would be forgotten with the rest.
            let (least, mut n_forgotten) = (*least, 0);
            buckets.retain(|_, bucket| {
                let tokens = refilled(bucket);
                let goes =
                    tokens >= burst || (tokens >= least && n_forgotten < MAX_BUCKETS / FORGOTTEN_SHARE);
                n_forgotten += usize::from(goes);
                !goes
            });
        }
        let bucket = buckets.entry(caller).or_insert(Bucket { tokens: burst, at: now });
        bucket.tokens = refilled(bucket);
        bucket.at = now;
        if bucket.tokens < 1.0 {
            // A rate may be so low that the time does not fit.
            let wait = Duration::try_from_secs_f64((1.0 - bucket.tokens) / per_second);
            return Err(wait.unwrap_or(Duration::MAX));
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
    fn the_table_does_not_grow_without_bound_and_newcomers_have_buckets_of_their_own() {
        let limit = RateLimit::new(Rate { per_second: 0.01, burst: 2.0 });
        let start = Instant::now();
        let busy = Caller::Key(7);
        (0..2).for_each(|_| limit.take(busy, start).unwrap());
        for i in 0..2 * MAX_BUCKETS as u64 {
            limit.take(Caller::Address(i), start + Duration::from_micros(i)).unwrap();
        }
        assert!(limit.buckets.lock().unwrap().len() <= MAX_BUCKETS);
        assert!(limit.take(busy, start).is_err(), "an empty bucket is kept while fuller ones go");
        let later = start + Duration::from_secs(1000);
        (0..MAX_BUCKETS as u64).for_each(|i| limit.take(Caller::Key(1000 + i), later).unwrap());
        assert!(limit.buckets.lock().unwrap().len() <= MAX_BUCKETS, "full buckets are forgotten");
    }

    #[test]
    fn the_wait_for_a_rate_that_is_next_to_nothing_is_very_long() {
        let limit = RateLimit::new(Rate { per_second: 1e-300, burst: 1.0 });
        let now = Instant::now();
        limit.take(Caller::Others, now).unwrap();
        assert_eq!(limit.take(Caller::Others, now), Err(Duration::MAX));
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one_caller() {
        let at = |text: &str| Caller::at(text.parse().ok());
        assert_eq!(at("2001:db8::1"), at("2001:db8::2"));
        assert_ne!(at("2001:db8::1"), at("2001:db8:0:1::1"));
        assert_eq!(at("::ffff:10.0.0.1"), at("10.0.0.1"));
    }
}
