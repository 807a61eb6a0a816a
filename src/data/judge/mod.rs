//! What is odd about a table: guessed types, identifiers, copies, leakage, and smaller findings.

pub mod duplicates;
pub mod findings;
pub mod leakage;
pub mod profile;
