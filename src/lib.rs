//! mlapi turns a CSV file into a prediction API.
//!
//! ```standalone_crate
//! # let folder = tempfile::tempdir().unwrap();
//! # std::fs::copy("fixtures/iris.csv", folder.path().join("iris.csv")).unwrap();
//! # std::env::set_current_dir(&folder).unwrap();
//! use mlapi::{Model, Plan};
//!
//! let model = Plan::new("iris.csv").train()?;
//! model.save("iris.mlapi")?;
//!
//! let model = Model::open("iris.mlapi")?;
//! let flower = model.predict((5.1, 3.5, "1.4", 0.2))?;
//! assert_eq!(flower.label(), Some("setosa"));
//! # Ok::<(), mlapi::Error>(())
//! ```
//!
//! [`Plan`] says what to train, [`Model`] is what came of it. What stands at the root of the crate is for its users
//! (`docs/library.md` is a guided tour); the modules are the inside of the program, are public for its tests and
//! benchmarks, and change without notice.
//!
//! ```text
//! CSV/JSON cell ─ data::cells::schema ─▶ code ─ data::prepare::recipe ─▶ row of f64 ─ model::predictor ─▶ scores
//!                     │ train only: split, model::learn ─▶ predictor ─▶ metrics ─▶ card ─▶ model file
//! ```
//!
//! One way, no way back: each decision on it is written once, so training, evaluation, files and HTTP requests cannot
//! differ.
//!
//! - [`data`]: a file or a request becomes typed columns, and those become numbers
//! - [`model`]: the model all verbs share, its file, its evaluation, and the learning
//! - [`metrics`]: how good predictions are
//! - [`predict`]: a row or a file of rows becomes predictions
//! - `import`: models that other programs trained (feature `import`)
//! - `export`: a model in a form that other programs run (feature `import`)
//! - [`report`]: results as text and JSON
//! - [`server`]: the model over HTTP
//! - [`cli`]: the command line

pub mod background;
pub mod cli;
pub mod data;
mod error;
#[cfg(feature = "import")]
pub mod export;
#[cfg(feature = "import")]
pub mod import;
pub mod metrics;
pub mod model;
mod names;
mod order;
mod panics;
mod parallel;
mod plain;
pub mod predict;
mod printable;
mod random;
pub mod report;
pub mod server;
mod simd;

pub use data::cells::cell::{ColumnType, NullTokens, Task};
pub use data::cells::schema::WarningKind;
pub use data::read::source::Options as FileOptions;
pub use data::split::arrangement::SplitBy;
pub use error::Error;
pub use model::evaluation::{Evaluation, Metrics};
pub use model::hold_out::HoldOut;
pub use model::learn::plan::Plan;
pub use model::row::Prediction;
pub use model::{Card, Model};

/// The examples of the library's page, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../docs/library.md")]
struct Library;
