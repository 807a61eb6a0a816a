//! Categories of more levels than there are slots: they help where they tell something, and tell nothing where they
//! do not.

use crate::support::workdir::Workdir;
use mlapi::data::cells::target::Truth;
use mlapi::data::prepare::categories::{Known, TargetMeans};
use serde_json::json;

/// A number from 0 to 1 that looks like chance (the finaliser of SplitMix64, Steele, Lea and Flood 2014).
fn noise(i: usize, stream: usize) -> f64 {
    let mut x = (i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add((stream as u64) << 40);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((x ^ (x >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

/// `n` rows of a customer of `n_levels`, a number without meaning, and the label that `label` makes of row and
/// customer.
fn table(n: usize, n_levels: usize, label: impl Fn(usize, usize) -> String) -> String {
    let row = |i: usize| {
        let customer = (noise(i, 1) * n_levels as f64) as usize;
        format!("c{customer},{:.4},{}\n", noise(i, 2), label(i, customer))
    };
    String::from("customer,x,y\n") + &(0..n).map(row).collect::<String>()
}

fn coin(p: f64) -> &'static str {
    if p < 0.5 { "no" } else { "yes" }
}

#[test]
fn a_category_of_thousands_of_levels_tells_nothing_of_a_random_target() {
    let dir = Workdir::new();
    dir.write("random.csv", table(8000, 4000, |i, _| coin(noise(i, 3)).into()));
    // 1,600 held-out rows: one standard error is 0.0125.
    for algorithm in ["logreg", "boost", "forest", "knn"] {
        let args = [
            "train",
            "random.csv",
            "--algorithm",
            algorithm,
            "--cv",
            "3",
            "--metric",
            "accuracy",
            "--format",
            "json",
        ];
        let found = dir.run(&args).ok().json();
        let held_out = found["metrics"]["accuracy"].as_f64().unwrap();
        let folds = found["cv"]["mean"].as_f64().unwrap();
        assert!(
            (held_out - 0.5).abs() < 0.05 && (folds - 0.5).abs() < 0.04,
            "{algorithm}: {held_out} {folds}"
        );
    }
}

#[test]
fn what_the_training_rows_see_of_a_random_target_does_not_predict_it() {
    let n = 8000;
    let codes: Vec<f64> = (0..n).map(|i| (noise(i, 1) * 4000.0).floor()).collect();
    let labels: Vec<u32> = (0..n).map(|i| u32::from(noise(i, 3) < 0.5)).collect();
    let truth = Truth::Classes { codes: labels.clone(), labels: vec!["no".into(), "yes".into()] };
    let known = Known { truth: &truth, weights: None, groups: None, seed: 42 };
    let correlation = |x: &[f64]| {
        let y: Vec<f64> = labels.iter().map(|&label| f64::from(label)).collect();
        let mean = |values: &[f64]| values.iter().sum::<f64>() / n as f64;
        let (mx, my) = (mean(x), mean(&y));
        let sum = |a: &[f64], ma: f64, b: &[f64], mb: f64| -> f64 {
            a.iter().zip(b).map(|(a, b)| (a - ma) * (b - mb)).sum()
        };
        sum(x, mx, &y, my) / (sum(x, mx, x, mx) * sum(&y, my, &y, my)).sqrt()
    };
    let honest = correlation(&TargetMeans::cross_fit(&codes, 4000, &known));
    let means = TargetMeans::fit(&codes, 4000, &known);
    let naive: Vec<f64> = codes.iter().map(|&code| means.of(code)[0]).collect();
    // One standard error is 0.011.
    assert!(honest.abs() < 0.05, "{honest}");
    assert!(correlation(&naive) > 0.5, "without folds it would: {}", correlation(&naive));
}

#[test]
fn means_of_the_target_tell_customers_apart_and_the_file_keeps_them() {
    let dir = Workdir::new();
    let loyal = |customer: usize| noise(customer, 4) < 0.5;
    let two = |i: usize, customer: usize| {
        coin(noise(i, 3) * 0.6 + if loyal(customer) { 0.4 } else { 0.0 }).to_string()
    };
    let three = |i: usize, customer: usize| {
        let class = if noise(i, 3) < 0.7 { customer % 3 } else { i % 3 };
        ["a", "b", "c"][class].to_string()
    };
    let number = |i: usize, customer: usize| format!("{:.3}", 10.0 * noise(customer, 4) + 2.0 * noise(i, 3));
    // The best that can be: 0.83, 0.8, and an R² of 0.96.
    for (text, figure, algorithms, least) in [
        (table(9000, 1500, two), "accuracy", ["logreg", "boost"], 0.75),
        (table(9000, 1500, three), "accuracy", ["logreg", "forest"], 0.65),
        (table(9000, 1500, number), "r2", ["ridge", "boost"], 0.75),
    ] {
        dir.write("t.csv", text);
        for algorithm in algorithms {
            let done = dir.run(&["train", "t.csv", "--algorithm", algorithm]).ok();
            done.says(&["target means"]);
            let evaluated = dir.run(&["eval", "--format", "json"]).ok().json();
            let score = evaluated["metrics"][figure].as_f64().unwrap();
            assert!(score > least, "{figure} of {algorithm}: {score}");
            // A customer that was never seen is predicted, like one of whom nothing is known.
            let answer = dir.run(&["predict", "--features", "nobody,0.5", "--format", "json"]).ok().json();
            assert_eq!(answer["warnings"][0]["kind"], json!("unseen_category"));
        }
    }
    let bytes = dir.bytes("model.mlapi");
    let version = b"\\\"format_version\\\":10";
    assert!(bytes.windows(version.len()).any(|window| window == version), "older programs are told");
    dir.run(&["train", "t.csv", "--algorithm", "boost", "--threads", "1", "-o", "one.mlapi"]).ok();
    assert!(dir.bytes("one.mlapi") == bytes, "the same bytes on any number of threads");
}

#[test]
fn naive_bayes_counts_levels_itself_and_few_levels_need_no_means() {
    let dir = Workdir::new();
    dir.write(
        "many.csv",
        table(2000, 500, |i, customer| coin(noise(i, 3) * 0.5 + (customer % 2) as f64 * 0.5).into()),
    );
    dir.write(
        "few.csv",
        table(2000, 256, |i, customer| coin(noise(i, 3) * 0.5 + (customer % 2) as f64 * 0.5).into()),
    );
    for (data, algorithm) in [("many.csv", "bayes"), ("few.csv", "logreg"), ("few.csv", "tree")] {
        let done = dir.run(&["train", data, "--algorithm", algorithm]).ok();
        assert!(!done.out().contains("target means"), "{done}");
    }
}
