//! Which connections and requests are admitted: connections per address, names, API keys, rate limits, cross-origin
//! requests.

pub(crate) mod addresses;
pub(crate) mod cors;
pub(crate) mod hosts;
pub(crate) mod keys;
pub(crate) mod rate;
