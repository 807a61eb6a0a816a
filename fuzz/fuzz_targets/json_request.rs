//! Arbitrary bytes as the body of a request to each of the stored models: a body that is not JSON is refused, and an
//! accepted one gets a prediction for each row.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use mlapi::data::read::json::{Malformed, read_request};
use mlapi::model::{Model, file, pipeline::Decision};

const MODELS: [&[u8]; 4] = [
    include_bytes!("../../fixtures/models/format-1-linear.mlapi"),
    include_bytes!("../../fixtures/models/format-2-text.mlapi"),
    include_bytes!("../../fixtures/models/format-3-dates.mlapi"),
    include_bytes!("../../fixtures/models/format-4-means.mlapi"),
];

static LOADED: LazyLock<Vec<Model>> = LazyLock::new(|| {
    let load = |bytes: &[u8]| file::read(bytes, bytes.len() as u64).expect("a stored model");
    MODELS.into_iter().map(load).collect()
});

fuzz_target!(|input: &[u8]| {
    let [which, body @ ..] = input else {
        return;
    };
    let model = &LOADED[usize::from(which & 3)];
    let is_json = serde_json::from_slice::<serde_json::Value>(body).is_ok();
    match read_request(body, &model.pipeline.schema, 100) {
        Err(Malformed::NotJson(_)) => assert!(!is_json, "JSON is refused"),
        Err(Malformed::TooManyRows) => {}
        Ok(request) if request.problems.total > 0 => assert!(!request.problems.listed.is_empty()),
        Ok(request) => {
            let predictions = model.pipeline.predict_serially(&request.codes, Decision::MostProbable);
            assert!(request.codes.n_rows() > 0);
            assert_eq!(predictions.scores.n_rows(), request.codes.n_rows());
        }
    }
});
