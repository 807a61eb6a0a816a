//! Which requests are admitted: API keys, rate limits, cross-origin requests.

pub(crate) mod cors;
pub(crate) mod keys;
pub(crate) mod rate;
