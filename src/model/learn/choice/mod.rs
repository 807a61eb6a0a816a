//! Which learner with which settings: cross-validation, the leaderboard and tuning.

pub(crate) mod fitter;
pub(crate) mod leaderboard;
pub(crate) mod tune;
