//! Who may ask, and how often: API keys, rate limits, cross-origin requests.

pub mod cors;
pub mod keys;
pub mod rate;
