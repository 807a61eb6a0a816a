//! Every integration test, linked once: `cargo test --test main NAME` runs one module.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod accuracy; // learners against scikit-learn and LightGBM
mod accuracy_svm; // support vector machines against libsvm
mod boosting; // gradient boosting: directions of columns, settings of its own
mod bundle; // one executable that is server and model
mod categories; // target means of many levels leak nothing
mod dates; // dates are read the same in files and requests
mod drift; // new rows against those of training, and training again
mod edges; // tables at which evaluations and reports break
mod eval; // `mlapi eval`
mod evaluation; // `mlapi eval` beyond the metrics, against scikit-learn and scipy
#[cfg(feature = "excel")]
mod excel; // a workbook equals the same table as CSV
mod explanations; // contributions that add up, from the shell and over HTTP
mod findings; // mistakes in a table that training names
mod hostile_models; // model files that are written to do harm
#[cfg(feature = "import")]
mod import; // models of other programs, and models that leave
mod layers; // which room may use which
mod layout; // tables that stand in their files in odd ways
mod letters; // encodings, and texts that look alike
mod lists; // cells that are lists of names or pairs of numbers
mod man; // man/ and the completions say what the program takes
mod model_file; // the model file: versions, damage, hostile bytes
mod nasty; // hard files in fixtures/nasty
mod new_rows; // cells and lines of new rows that do not fit a model
mod null_words; // words such as NA that are values, and unknown labels
mod numbers; // numbers as people write them, odd words among them, codes
mod page; // the pages for people: routes, headers, caching; tests/page.sh opens them
#[cfg(feature = "parquet")]
mod parquet; // a Parquet file equals the same table as CSV
mod people; // tables of ten origins
mod postprocessing; // calibration, thresholds, intervals, sets
mod predict; // `mlapi predict`
mod protocols; // V2 and MLflow over a socket
mod ranking; // rows in the order of a score, and how good the order is
mod readme; // the console blocks of README.md and docs/ are what the program prints
mod report; // `eval --report`, `--plot` and `GET /report`
mod requests; // what a request may cost, in every dialect
mod roads; // one value, one prediction, however it is sent
mod sample; // samples of files larger than memory, and trials of a search
mod search; // auto, --cv and --tune
mod serve; // the HTTP interface, in this process
mod serve_guard; // what the server lets in, and what gives way
#[cfg(unix)]
mod serve_observed; // metrics, logs and feedback of a server process
#[cfg(unix)]
mod serve_process; // signals, sockets and flags of a server process
#[cfg(unix)]
mod serve_reload; // new models without a gap
mod support; // a folder with the program in it, servers, raw HTTP
mod tables; // generated tables as people write them are read rightly or refused
mod text; // columns of text
mod train; // `mlapi train`
mod types; // types and notes of every fixture
mod unexpected; // more than the model knows, and what is no JSON
mod what_if; // the smallest changes that move a prediction
