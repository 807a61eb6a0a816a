//! Parquet files, written by pyarrow and by pandas, beside the same tables as CSV.

use std::path::Path;

use crate::support::workdir::Workdir;
use safetensors::SafeTensors;
use serde_json::Value;

const ORDERS: [&str; 2] = ["orders", "orders_pandas"];

fn orders() -> Workdir {
    let files =
        ORDERS.iter().flat_map(|name| ["csv", "parquet"].map(|kind| format!("parquet/{name}.{kind}")));
    let files: Vec<String> = files.chain(["parquet/nested.parquet".to_string()]).collect();
    let dir = Workdir::new();
    for file in files {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(&file);
        dir.write(file.trim_start_matches("parquet/"), std::fs::read(path).unwrap());
    }
    dir
}

/// What a model file holds, without the file it was trained on.
fn contents(dir: &Workdir, model: &str) -> (Value, Vec<(String, Vec<u8>)>) {
    let bytes = dir.bytes(model);
    let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    let mut header: Value = serde_json::from_str(&metadata.metadata().as_ref().unwrap()["mlapi"]).unwrap();
    header["card"]["data"].take();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let mut arrays: Vec<_> =
        tensors.iter().map(|(name, view)| (name.to_string(), view.data().to_vec())).collect();
    arrays.retain(|(name, _)| name != "checksum");
    arrays.sort();
    (header, arrays)
}

#[test]
fn a_table_gives_the_same_model_as_parquet_and_as_csv() {
    let dir = orders();
    for name in ORDERS {
        for algorithm in ["logistic-regression", "gradient-boosting"] {
            let [csv, parquet] = ["csv", "parquet"].map(|kind| {
                let (data, model) = (format!("{name}.{kind}"), format!("{kind}.mlapi"));
                dir.run(&["train", &data, "--algorithm", algorithm, "-q", "-o", &model]).ok();
                contents(&dir, &model)
            });
            assert_eq!(csv.0, parquet.0, "{name}, {algorithm}");
            assert!(csv.1 == parquet.1, "{name}, {algorithm}: the arrays differ");
            let types: Vec<&str> = csv.0["schema"]["features"]
                .as_array()
                .unwrap()
                .iter()
                .map(|f| f["type"].as_str().unwrap())
                .collect();
            for wanted in ["number", "boolean", "category", "date"] {
                assert!(types.contains(&wanted), "{types:?}");
            }
        }
    }
}

#[test]
fn held_out_rows_are_read_from_parquet_again_and_a_changed_file_is_noticed() {
    let dir = orders();
    dir.run(&["train", "orders.parquet", "--algorithm", "ridge", "--target", "price", "-q"]).ok();
    let recorded = dir.run(&["inspect", "--format", "json"]).ok().json();
    let evaluated = dir.run(&["eval", "--format", "json"]).ok().json();
    assert_eq!(evaluated["metrics"]["r2"], recorded["card"]["evaluation"]["metrics"]["r2"]);
    assert!(evaluated["metrics"]["r2"].is_f64());
    dir.write("orders.parquet", dir.bytes("orders_pandas.parquet"));
    dir.run(&["eval"]).fails(1).complains(&["orders.parquet", "changed"]);
}

#[test]
fn rows_of_parquet_are_predicted_as_those_of_csv() {
    let dir = orders();
    dir.run(&["train", "orders.csv", "--algorithm", "boost", "-q"]).ok();
    let [csv, parquet] = ["orders.csv", "orders.parquet"].map(|input| {
        dir.run(&["predict", "--input", input, "--keep", "none", "--probabilities"]).ok().out().to_string()
    });
    assert_eq!(csv.lines().count(), 401);
    assert_eq!(csv, parquet);
    let kept = dir.run(&["predict", "--input", "orders.parquet", "--keep", "item,ordered"]).ok();
    assert_eq!(kept.csv()[2][..2], ["rug\nround", "2024-10-17T05:34:00.000001Z"]);
}

#[test]
fn several_files_may_be_one_table_whatever_their_form() {
    let dir = orders();
    let of = |files: &[&str]| {
        dir.run(&[&["train", "--format", "json", "-q", "--algorithm", "tree"], files].concat()).ok().json()
    };
    let (mixed, alike) = (of(&["orders.csv", "orders.parquet"]), of(&["orders.csv", "orders.csv"]));
    assert_eq!(mixed["metrics"], alike["metrics"]);
    assert_eq!(mixed["n_train"], 640);
}

#[test]
fn what_parquet_holds_and_a_table_does_not_is_refused_by_name() {
    let dir = orders();
    dir.run(&["train", "nested.parquet"]).fails(1).complains(&[
        "nested.parquet",
        "column \"tags\"",
        "a list",
        "write its parts",
    ]);
    let whole = dir.bytes("orders.parquet");
    dir.write("cut.parquet", &whole[..whole.len() / 2]);
    dir.run(&["train", "cut.parquet"]).fails(1).complains(&["cut.parquet is not a readable Parquet file"]);
    let mut damaged = whole.clone();
    damaged[2000..2400].fill(7);
    dir.write("damaged.parquet", damaged);
    dir.run(&["train", "damaged.parquet"]).fails(1).complains(&["cannot read damaged.parquet"]);
    dir.run(&["train", "-"]).stdin(&whole).fails(1).complains(&["standard input", "give its path"]);
}

/// The files of `fixtures/parquet/damaged-*.parquet`, on which the decoder panics, each at another place.
#[test]
fn a_damaged_file_is_an_error_and_no_panic() {
    let dir = orders();
    dir.run(&["train", "orders.csv", "--algorithm", "tree", "-q"]).ok();
    for number in 1..=4 {
        let name = format!("damaged-{number}.parquet");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/parquet").join(&name);
        dir.write(&name, std::fs::read(path).unwrap());
        for args in [&["train", &name, "-o", "m"][..], &["predict", "--input", &name], &["eval", &name]] {
            let done = dir.run(args).fails(1);
            assert!(!done.err().contains("panicked") && done.err().contains(&name), "{done}");
        }
    }
}
