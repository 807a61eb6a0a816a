//! The connections of each address, so that one client cannot take the slots of all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::rate::Caller;

/// The number of connections of each address.
#[derive(Debug, Default)]
pub(crate) struct Addresses(Mutex<HashMap<Caller, usize>>);

/// A connection that is counted until it is dropped.
#[derive(Debug)]
pub(crate) struct Counted {
    addresses: Arc<Addresses>,
    of: Caller,
}

impl Addresses {
    /// Counts a connection of `of`, unless it has `limit` already. Clients of a Unix socket have no address, and no
    /// limit.
    pub(crate) fn enter(self: &Arc<Self>, of: Caller, limit: usize) -> Option<Counted> {
        let mut counts = self.counts();
        let count = counts.entry(of).or_default();
        if *count >= limit && of != Caller::Others {
            return None;
        }
        *count += 1;
        drop(counts);
        Some(Counted { addresses: Arc::clone(self), of })
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<Caller, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut counts = self.addresses.counts();
        if let Some(count) = counts.get_mut(&self.of) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.of);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_connections_and_one_that_ends_makes_room() {
        let addresses = Arc::new(Addresses::default());
        let at = |text: &str| Caller::at(text.parse().ok());
        let (one, other) = (at("10.0.0.1"), at("10.0.0.2"));
        let first = addresses.enter(one, 2).unwrap();
        let second = addresses.enter(one, 2).unwrap();
        assert!(addresses.enter(one, 2).is_none());
        let of_another = addresses.enter(other, 2);
        assert!(of_another.is_some());
        drop(first);
        let third = addresses.enter(one, 2);
        assert!(third.is_some() && addresses.enter(one, 2).is_none());
        let unix: Vec<_> = (0..9).map(|_| addresses.enter(Caller::at(None), 2)).collect();
        assert!(unix.iter().all(Option::is_some), "a Unix socket has no addresses");
        drop((second, third, of_another, unix));
        assert!(addresses.counts().is_empty(), "addresses without connections are forgotten");
    }
}
