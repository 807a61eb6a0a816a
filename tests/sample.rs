//! `train --sample`: files larger than memory. `train --trial-file` and the field `objective`: a search that another
//! program leads.

use std::fmt::Write;

use crate::support::workdir::Workdir;

/// A table of `n` rows: two numbers, a category and a label that depends on them, one row in 50 at random.
fn table(n: usize) -> String {
    let mut text = String::from("a,b,c,y\n");
    let mut state = 1_u64;
    let mut draw = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / (1_u64 << 31) as f64
    };
    for _ in 0..n {
        let (a, b, c) = (draw() * 10.0, draw(), ["red", "green", "blue"][(draw() * 3.0) as usize]);
        let score = a - 5.0 + 4.0 * b + if c == "red" { 1.0 } else { -1.0 };
        let label = if draw() < 0.02 { draw() < 0.5 } else { score > 2.0 };
        writeln!(text, "{a:.4},{b:.4},{c},{}", if label { "yes" } else { "no" }).unwrap();
    }
    text
}

#[test]
fn a_sample_is_fitted_and_all_other_rows_are_evaluated() {
    let dir = Workdir::new();
    dir.write("big.csv", table(30_000));
    let train = |flags: &[&str]| {
        let all = [&["train", "big.csv", "--algorithm", "logreg"], flags].concat();
        dir.run(&all).ok()
    };
    let done = train(&["--sample", "2000", "--format", "json"]);
    let result = done.json();
    assert_eq!(result["n_rows"], 28_000, "{done}");
    assert_eq!(result["confusion_matrix"]["counts"].as_array().unwrap().len(), 2);
    done.complains(&["sample of 2000 of 30000 rows", "evaluated on 28000 of the 28000 others"]);
    let model = dir.bytes("model.mlapi");
    // The same figures as of all rows but for what the sample is of them.
    let whole = dir.run(&["eval", "big.csv", "--format", "json"]).ok().json();
    for metric in ["accuracy", "roc_auc", "log_loss", "brier", "mcc"] {
        let [a, b] = [&result, &whole].map(|result| result["metrics"][metric].as_f64().unwrap());
        assert!((a - b).abs() < 0.01 && a != 0.0, "{metric}: {a} and {b}");
    }
    train(&["--sample", "2000", "--threads", "1"]);
    assert!(dir.bytes("model.mlapi") == model, "whatever the number of threads");
    train(&["--sample", "2000", "--seed", "7"]);
    assert!(dir.bytes("model.mlapi") != model);
    dir.run(&["eval"]).fails(1).complains(&["sample of 2000 of 30000 rows", "mlapi eval DATA"]);
    let flags =
        ["train", "big.csv", "--algorithm", "ridge", "--sample", "0.1", "--target", "a", "--format", "json"];
    let numbers = dir.run(&flags).ok().json();
    assert_eq!(numbers["n_rows"], 27_000);
    assert!(numbers["metrics"]["r2"].as_f64().unwrap() > 0.3, "{numbers}");
    assert!(numbers["baseline"]["r2"].as_f64().unwrap().abs() < 0.01);
    assert!(numbers["metrics"]["median_ae"].is_f64());
}

#[test]
fn all_rows_are_fitted_by_what_a_sample_says_of_the_columns() {
    let dir = Workdir::new();
    let mut text = table(40_000);
    // A level that the sample may not have, and rows that are of no use.
    text += "1,0.5,violet,no\n2,0.5,red,\n1,1,red,\n";
    dir.write("big.csv", text);
    let boost = |flags: &[&str]| {
        let all =
            ["train", "big.csv", "--algorithm", "boost", "--set", "n_estimators=40", "--format", "json"];
        // Every tree sees all of the three columns.
        dir.run(&[&all[..], &["--set", "colsample_bytree=1", "--set", "subsample=1"], flags].concat())
    };
    let metric = |result: &serde_json::Value, name: &str| result["metrics"][name].as_f64().unwrap();
    let of_sample = boost(&["--sample", "2000"]).ok().json();
    let whole = boost(&[]).ok().json();
    let all_rows = ["--sample", "2000", "--all-rows"];
    let done = boost(&all_rows).ok();
    let result = done.json();
    done.complains(&[
        "trained on 30507 others, one byte per value",
        "a sample of 2000 of 40003 rows",
        "(2 have no target value or do not fit",
    ]);
    let card = dir.run(&["inspect", "--format", "json"]).ok().json()["card"].clone();
    let (n_fitted, n_held_out) = (card["n_train"].as_u64().unwrap(), result["n_rows"].as_u64().unwrap());
    assert_eq!(card["sample"]["n_fitted"], n_fitted);
    assert_eq!(n_fitted + n_held_out, 38_001, "every row but the sample and those without a target");
    assert!((7_300..7_900).contains(&n_held_out), "{n_held_out}");
    let [a, b, c] = [&of_sample, &result, &whole].map(|result| metric(result, "log_loss"));
    assert!(b < 0.9 * a && b < 1.3 * c, "sample {a}, all rows {b}, in memory {c}");
    let model = dir.bytes("model.mlapi");
    boost(&[&all_rows[..], &["--threads", "1"]].concat()).ok();
    assert!(dir.bytes("model.mlapi") == model, "whatever the number of threads");
    dir.run(&["eval", "big.csv"]).ok();
    dir.run(&["eval"]).fails(1).complains(&["mlapi eval DATA"]);
}

#[test]
fn weights_balance_and_what_follows_the_predictor_work_on_all_rows() {
    let dir = Workdir::new();
    dir.write("big.csv", table(30_000));
    let boost = |flags: &[&str]| {
        let all = [
            "train",
            "big.csv",
            "--sample",
            "3000",
            "--all-rows",
            "--algorithm",
            "boost",
            "--set",
            "n_estimators=30",
        ];
        dir.run(&[&all[..], flags].concat())
    };
    let done =
        boost(&["--balance", "--weight", "b", "--optimize", "mcc", "--conformal", "0.9", "--format", "json"]);
    let result = done.ok().json();
    assert!(result["threshold"].is_f64(), "{result}");
    assert!((0.87..0.93).contains(&result["coverage"]["share"].as_f64().unwrap_or(0.0)), "{result}");
    let whole = dir.run(&["eval", "big.csv", "--format", "json"]).ok().json();
    for member in ["share", "mean_size"] {
        let [a, b] = [&result, &whole].map(|result| result["coverage"][member].as_f64().unwrap());
        assert!((a - b).abs() < 0.02, "{member}: {a} and {b}");
    }
    let plain = boost(&["--format", "json"]).ok().json();
    assert!(plain["metrics"] != result["metrics"]);
    let numbers = boost(&["--target", "a", "--interval", "0.9", "--format", "json"]).ok().json();
    assert!(numbers["metrics"]["r2"].as_f64().unwrap() > 0.3, "{numbers}");
    let rising = boost(&["--set", "monotonic=a:-", "--format", "json"]).ok().json();
    let accuracy = |result: &serde_json::Value| result["metrics"]["accuracy"].as_f64().unwrap();
    assert!(accuracy(&rising) < accuracy(&plain) - 0.1, "a direction that the labels go against");
}

#[test]
fn all_rows_are_not_for_every_plan() {
    let dir = Workdir::with(&["iris.csv"]);
    let run = |flags: &[&str]| dir.run(&[&["train", "iris.csv", "--all-rows"], flags].concat());
    run(&["--algorithm", "boost"]).fails(2).complains(&["--sample"]);
    for algorithm in ["auto", "forest", "logreg", "knn"] {
        run(&["--sample", "50", "--algorithm", algorithm])
            .fails(2)
            .complains(&["a byte of each value: --algorithm gradient-boosting"]);
    }
    let boost = ["--sample", "50", "--algorithm", "boost"];
    run(&[&boost[..], &["--conformal", "0.9", "--target", "petal_length"]].concat())
        .fails(2)
        .complains(&["--conformal needs classes"]);
    run(&[&boost[..], &["--test", "iris.csv"]].concat()).fails(2);
    dir.run(&[&["train", "-", "--all-rows"], &boost[..]].concat())
        .stdin(table(200))
        .fails(2)
        .complains(&["standard input cannot be read twice"]);
    run(&["--sample", "1000", "--algorithm", "boost"])
        .ok()
        .complains(&["no more rows than --sample asks for"]);
}

#[test]
fn a_sample_of_ndjson_is_that_of_the_same_rows_as_csv() {
    let dir = Workdir::new();
    let csv = table(20_000);
    // Lines have the numbers of those of the CSV. After the first, members come in turning order, and some are missing.
    let mut json = String::from("\n");
    let mut gaps = String::from("a,b,c,y\n");
    for (i, line) in csv.lines().skip(1).enumerate() {
        let [a, b, c, y] = line.split(',').collect::<Vec<_>>()[..] else { unreachable!() };
        let (mut of_json, mut of_csv) = (vec![format!("\"a\":{a}"), format!("\"b\":{b}")], b);
        if i % 3 == 1 {
            of_json.pop();
            of_csv = "";
        }
        let first = i % of_json.len();
        of_json.rotate_left(first);
        writeln!(json, "{{{},\"c\":\"{c}\",\"y\":\"{y}\"}}", of_json.join(",")).unwrap();
        writeln!(gaps, "{a},{of_csv},{c},{y}").unwrap();
    }
    dir.write("big.csv", gaps);
    dir.write("big.ndjson", json);
    for flags in [
        &["--sample", "900", "--algorithm", "tree"][..],
        &["--sample", "0.1", "--target", "a", "--algorithm", "ridge"],
    ] {
        let figures = |file: &str| {
            let done = dir.run(&[&["train", file, "--format", "json"], flags].concat());
            let mut result = done.ok().json();
            let wanted = ["n_rows", "metrics", "baseline", "confusion_matrix"];
            wanted.map(|name| result[name].take())
        };
        let of_csv = figures("big.csv");
        assert!(of_csv[0].as_u64().unwrap() >= 18_000, "{of_csv:?}");
        assert_eq!(figures("big.ndjson"), of_csv, "{flags:?}");
    }
}

#[test]
fn rows_that_do_not_fit_the_sample_are_counted_and_too_many_are_an_error() {
    let dir = Workdir::new();
    let mut text = table(20_000);
    text += "oops,1,red,yes\n1,1,red,\n";
    dir.write("odd.csv", &text);
    let flags = ["train", "odd.csv", "--sample", "500", "--algorithm", "tree", "--type", "a=number"];
    dir.run(&flags).ok().complains(&["(2 have no target value or do not fit the model)"]);
    (0..1500).for_each(|i| writeln!(text, "x{i},1,red,yes").unwrap());
    dir.write("odd.csv", &text);
    // Eight rows of 21,500: some seeds draw none of the odd ones.
    let said: Vec<String> = ["1", "2", "3", "4", "5", "6"]
        .map(|seed| {
            let flags = ["train", "odd.csv", "--sample", "8", "--algorithm", "tree", "--seed", seed];
            dir.run(&flags).done().err()
        })
        .into();
    assert!(said.iter().any(|said| said.contains("more than 1000 rows do not fit")), "{said:?}");
    assert!(said.iter().all(|said| !said.contains("panicked")), "{said:?}");
}

#[test]
fn a_sample_of_what_cannot_be_read_twice_or_be_sampled() {
    let dir = Workdir::with(&["iris.csv"]);
    let tree = ["--algorithm", "tree"];
    let run = |flags: &[&str]| dir.run(&[&["train"], &tree[..], flags].concat());
    run(&["-", "--sample", "5000"])
        .stdin(table(8000))
        .ok()
        .complains(&["sample of 5000 of 8000 rows", "standard input cannot be read twice"]);
    run(&["iris.csv", "--sample", "1000"]).ok().complains(&["no more rows than --sample asks for"]);
    assert!(dir.run(&["eval"]).ok().out().contains("accuracy"), "nothing was sampled");
    run(&["iris.csv", "iris.csv", "--sample", "50"]).fails(2).complains(&["one file"]);
    for wrong in ["0", "1", "1.5", "many"] {
        run(&["iris.csv", "--sample", wrong]).fails(2).complains(&["a share of them"]);
    }
    run(&["iris.csv", "--sample", "50", "--group", "species"]).fails(2);
    dir.write("rows.ndjson", format!("{}[1,2]\n", "{\"x\":1,\"y\":\"a\"}\n".repeat(20_000)));
    run(&["rows.ndjson", "--sample", "2"]).fails(1).complains(&["rows.ndjson line 20001: not a JSON object"]);
    dir.write("ragged.csv", "x,y\n1,a\n2,b\n3,b,c\n");
    run(&["ragged.csv", "--sample", "2"]).fails(1).complains(&["ragged.csv line 4"]);
}

#[test]
fn a_trial_is_read_from_a_file_and_its_objective_is_one_number() {
    let dir = Workdir::with(&["iris.csv"]);
    let run = |flags: &[&str]| {
        let all = [&["train", "iris.csv", "--trial-file", "trial.json", "--format", "json"], flags].concat();
        dir.run(&all)
    };
    dir.write("trial.json", r#"{"algorithm":"tree","set":{"max_depth":2,"criterion":"entropy"},"seed":5}"#);
    let result = run(&["--cv", "4"]).ok().json();
    assert_eq!(result["objective"], result["cv"]["mean"]);
    assert_eq!(
        [&result["objective_metric"], &result["objective_direction"], &result["objective_rows"]],
        ["log_loss", "minimize", "cv"]
    );
    let card = dir.run(&["inspect", "--format", "json"]).ok().json()["card"].clone();
    assert_eq!(
        (&card["seed"], &card["hyperparameters"]["max_depth"], &card["hyperparameters"]["criterion"]),
        (&5.into(), &2.into(), &"entropy".into())
    );
    let held_out = run(&["--metric", "accuracy", "--set", "max_depth=1", "--seed", "6"]).ok().json();
    assert_eq!(held_out["objective"], held_out["metrics"]["accuracy"]);
    assert_eq!([&held_out["objective_direction"], &held_out["objective_rows"]], ["maximize", "held_out"]);
    let card = dir.run(&["inspect", "--format", "json"]).ok().json()["card"].clone();
    assert_eq!((&card["seed"], &card["hyperparameters"]["max_depth"]), (&6.into(), &1.into()), "flags win");
    for (trial, words) in [
        (r#"{"set":{"depth":2}}"#, "depth"),
        (r#"{"sets":{}}"#, "unknown field `sets`"),
        (r#"{"set":{"max_depth":[1]}}"#, "max_depth is [1]"),
        ("[", "--trial-file trial.json"),
    ] {
        dir.write("trial.json", trial);
        run(&["--algorithm", "tree"]).fails(2).complains(&[words]);
    }
}
