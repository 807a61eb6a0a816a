//! mlapi turns a CSV file into a prediction API.
//!
//! ```text
//! CSV/JSON cell ─ data::schema ─▶ code ─ data::recipe ─▶ row of f64 ─ model::predictor ─▶ scores ─▶ prediction
//!                     │ train only: split, model::learn ─▶ predictor ─▶ metrics ─▶ card ─▶ model file
//! ```
//!
//! One way, no way back: each decision on this road is written once, so training, evaluation, files and HTTP
//! requests cannot differ.
//!
//! - [`data`]: a file or a request becomes typed columns, and those become numbers
//! - [`model`]: the model all verbs share, its file, its evaluation, and the learning
//! - [`metrics`]: how good predictions are
//! - [`report`]: one result, many faces
//! - [`server`]: the model over HTTP
//! - [`cli`]: what the user types and sees
//! - [`usage`]: the error for what cannot be meant
//!
//! ```
//! use mlapi::data::{cells::matrix::Matrix, cells::schema::NullTokens, read::csv};
//! use mlapi::model::learn::{Unwatched, train::{HoldOut, Plan, train}};
//! use mlapi::model::pipeline::Decision;
//!
//! let plan = Plan {
//!     data: vec!["fixtures/iris.csv".into()],
//!     options: csv::Options::default(),
//!     nulls: NullTokens::default(),
//!     target: None,
//!     task: None,
//!     algorithm: "auto".into(),
//!     settings: vec![],
//!     cv: None,
//!     tune: None,
//!     hold_out: HoldOut::Share(0.2),
//!     seed: 42,
//!     drop: vec![],
//!     types: vec![],
//!     weight: None,
//!     balance: false,
//!     refit: false,
//! };
//! let model = train(&plan, &Unwatched)?.model;
//! let mut rows = Matrix::with_capacity(1, 4);
//! rows.push_row(0.0).copy_from_slice(&[5.1, 3.5, 1.4, 0.2]);
//! let predictions = model.pipeline.predict(&rows, Decision::MostProbable);
//! assert_eq!(model.labels()[predictions.classes[0] as usize], "setosa");
//! # Ok::<(), anyhow::Error>(())
//! ```

pub mod background;
pub mod cli;
pub mod data;
pub mod metrics;
pub mod model;
mod parallel;
pub mod predict;
pub mod report;
pub mod server;
pub mod usage;
