//! `mlapi train`: what it takes, what it says, what it refuses.

use std::fmt::Write;

use crate::support::workdir::{Workdir, assert_golden, fixture};
use serde_json::{Value, json};

/// Trains with `--format json`.
fn train(dir: &Workdir, args: &[&str]) -> Value {
    dir.run(&[&["train", "--format", "json"], args].concat()).ok().json()
}

/// What `inspect` says of model.mlapi.
fn inspect(dir: &Workdir) -> Value {
    dir.run(&["inspect", "--format", "json"]).ok().json()
}

/// Trains on this text and expects exit status 1 and these words.
fn refused(text: &str, flags: &[&str], words: &[&str]) {
    let dir = Workdir::new();
    dir.write("t.csv", text);
    dir.run(&[&["train", "t.csv"], flags].concat()).fails(1).complains(words);
    assert_eq!(dir.files(), ["t.csv"], "nothing is left behind");
}

/// Trains on iris with these flags and expects exit status 2 and these words.
fn misused(flags: &[&str], words: &[&str]) {
    let dir = Workdir::with(&["iris.csv"]);
    dir.run(&[&["train", "iris.csv"], flags].concat()).fails(2).complains(words);
    assert_eq!(dir.files(), ["iris.csv"], "nothing is left behind");
}

/// A table of `n` rows, each made from its number.
fn table(header: &str, n: usize, row: impl Fn(usize) -> String) -> String {
    (0..n).fold(format!("{header}\n"), |mut text, i| {
        writeln!(text, "{}", row(i)).unwrap();
        text
    })
}

/// A label that mostly follows `i`, so that two classes overlap.
fn label(i: usize) -> &'static str {
    if (i * 7 + i / 5).is_multiple_of(3) { "yes" } else { "no" }
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

fn sorted<'a>(names: &[&'a str]) -> Vec<&'a str> {
    let mut names = names.to_vec();
    names.sort_unstable();
    names
}

// What it says.

#[test]
fn the_summary_of_iris_is_the_golden_one() {
    let dir = Workdir::with(&["iris.csv"]);
    let done = dir.run(&["train", "iris.csv"]).ok().silent();
    assert_golden("train_iris", done.out());
    assert_eq!(dir.files(), ["iris.csv", "model.mlapi"]);
}

#[test]
fn the_summary_of_penguins_is_the_golden_one() {
    let dir = Workdir::with(&["penguins.csv"]);
    let done = dir.run(&["train", "penguins.csv", "-o", "penguins.mlapi", "--refit"]).ok().silent();
    assert_golden("train_penguins", done.out());
}

#[test]
fn the_summary_of_diabetes_is_the_golden_one() {
    let dir = Workdir::with(&["diabetes.csv"]);
    assert_golden("train_diabetes", dir.run(&["train", "diabetes.csv"]).ok().silent().out());
}

#[test]
fn what_inspect_shows_is_the_golden_text() {
    let dir = Workdir::with(&["penguins.csv", "diabetes.csv"]);
    dir.run(&["train", "penguins.csv", "--drop", "year"]).ok();
    assert_golden("inspect_penguins", dir.run(&["inspect"]).ok().silent().out());
    dir.run(&["train", "diabetes.csv", "--refit"]).ok();
    assert_golden("inspect_diabetes", dir.run(&["inspect"]).ok().silent().out());
}

#[test]
fn the_commands_it_tells_to_type_next_work() {
    for (data, model) in [("iris.csv", "model.mlapi"), ("penguins.csv", "other.mlapi")] {
        let dir = Workdir::with(&[data]);
        let done = dir.run(&["train", data, "-o", model]).ok();
        let (_, next) = done.out().split_once("Next:\n").unwrap();
        let typed: Vec<&str> = next.lines().map(str::trim).collect();
        assert_eq!(typed.len(), 3, "{done}");
        for line in &typed[..2] {
            let words: Vec<&str> = line.split_whitespace().skip(1).collect();
            dir.run(&words).ok().silent();
        }
        assert!(typed[2].starts_with("mlapi serve"), "{done}");
    }
}

#[test]
fn quiet_keeps_the_result_and_drops_the_talk() {
    let dir = Workdir::with(&["iris.csv"]);
    let done = dir.run(&["train", "iris.csv", "--quiet"]).ok().silent().says(&["accuracy", "model.mlapi"]);
    assert!(!done.out().contains("Next:"), "{done}");
}

#[test]
fn json_has_the_keys_of_the_contract_for_classification() {
    let dir = Workdir::with(&["iris.csv", "breast_cancer.csv"]);
    let result = train(&dir, &["iris.csv"]);
    let expected = [
        "model",
        "task",
        "algorithm",
        "target",
        "n_rows",
        "metrics",
        "baseline",
        "classes",
        "confusion_matrix",
        "n_train",
        "columns",
        "fit_seconds",
        "leaderboard",
        "objective",
        "objective_metric",
        "objective_direction",
        "objective_rows",
    ];
    assert_eq!(sorted(&keys(&result)), sorted(&expected));
    assert_eq!(result["model"], "model.mlapi");
    assert_eq!(result["task"], "classification");
    assert_eq!(result["algorithm"], "logistic-regression");
    assert_eq!(result["target"], "species");
    assert_eq!(
        (&result["objective"], &result["objective_metric"]),
        (&result["metrics"]["log_loss"], &json!("log_loss"))
    );
    assert_eq!((&result["n_rows"], &result["n_train"]), (&json!(30), &json!(120)));
    assert!(result["fit_seconds"].as_f64().unwrap() > 0.0);
    let figures = [
        "accuracy",
        "balanced_accuracy",
        "precision",
        "recall",
        "f1",
        "log_loss",
        "roc_auc",
        "average_precision",
        "brier",
        "mcc",
    ];
    for side in ["metrics", "baseline"] {
        assert_eq!(sorted(&keys(&result[side])), sorted(&figures));
        for averaged in ["precision", "recall", "f1"] {
            assert_eq!(sorted(&keys(&result[side][averaged])), ["macro", "micro", "weighted"]);
        }
    }
    let metrics = &result["metrics"];
    assert!(metrics["accuracy"].as_f64().unwrap() > 0.9);
    assert_eq!(result["baseline"]["accuracy"].as_f64(), Some(1.0 / 3.0));
    assert!(metrics["average_precision"].is_null() && metrics["brier"].is_null(), "for two classes only");
    let classes = result["classes"].as_array().unwrap();
    assert_eq!(sorted(&keys(&classes[0])), ["f1", "label", "precision", "recall", "support"]);
    assert_eq!(classes.iter().map(|c| &c["support"]).collect::<Vec<_>>(), [10, 10, 10]);
    let confusion = &result["confusion_matrix"];
    assert_eq!(confusion["labels"], json!(["setosa", "versicolor", "virginica"]));
    for row in confusion["counts"].as_array().unwrap() {
        let n: u64 = row.as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).sum();
        assert_eq!(n, 10, "a row is a true class");
    }
    let diagonal: u64 = (0..3).map(|i| confusion["counts"][i][i].as_u64().unwrap()).sum();
    assert_eq!(metrics["accuracy"].as_f64(), Some(diagonal as f64 / 30.0));

    let two = train(&dir, &["breast_cancer.csv"]);
    assert_eq!(two["positive"], two["classes"][1]["label"]);
    for figure in ["roc_auc", "average_precision", "brier"] {
        assert!(two["metrics"][figure].is_number(), "{figure}");
    }
}

#[test]
fn json_has_the_keys_of_the_contract_for_regression() {
    let result = train(&Workdir::with(&["diabetes.csv"]), &["diabetes.csv"]);
    let expected = [
        "blend",
        "model",
        "task",
        "algorithm",
        "target",
        "n_rows",
        "metrics",
        "baseline",
        "n_train",
        "columns",
        "fit_seconds",
        "leaderboard",
        "objective",
        "objective_metric",
        "objective_direction",
        "objective_rows",
    ];
    assert_eq!(sorted(&keys(&result)), sorted(&expected));
    assert_eq!((&result["n_rows"], &result["n_train"]), (&json!(89), &json!(353)));
    for side in ["metrics", "baseline"] {
        assert_eq!(sorted(&keys(&result[side])), sorted(&["r2", "rmse", "mae", "median_ae", "mape"]));
    }
    assert!(result["metrics"]["r2"].as_f64().unwrap() > 0.3);
    assert!(result["baseline"]["r2"].as_f64().unwrap() <= 0.0);
}

#[test]
fn the_numbers_of_a_text_summary_are_those_of_the_json() {
    let dir = Workdir::with(&["penguins.csv"]);
    let result = train(&dir, &["penguins.csv"]);
    let text = dir.run(&["train", "penguins.csv"]).ok();
    for figure in ["accuracy", "log_loss", "roc_auc"] {
        let value = format!("{:.4}", result["metrics"][figure].as_f64().unwrap());
        let line = text.out().lines().find(|l| l.trim_start().starts_with(figure)).unwrap();
        assert_eq!(line.split_whitespace().nth(1), Some(value.as_str()), "{text}");
    }
}

#[test]
fn ndjson_is_a_wrong_usage() {
    misused(&["--format", "ndjson"], &["ndjson", "[possible values: text, json]"]);
}

// Target, task, columns.

#[test]
fn the_last_column_is_the_target_unless_another_is_named() {
    let dir = Workdir::with(&["iris.csv"]);
    let done = dir.run(&["train", "iris.csv", "--target", "petal_width"]).ok();
    done.says(&["target     petal_width (given)", "regression (its values are numbers with decimals"]);
    let schema = &inspect(&dir)["schema"];
    assert_eq!(schema["target"]["name"], "petal_width");
    let names: Vec<&Value> = schema["features"].as_array().unwrap().iter().map(|f| &f["name"]).collect();
    assert_eq!(names, ["sepal_length", "sepal_width", "petal_length", "species"]);
}

#[test]
fn an_unknown_target_is_a_wrong_usage_with_the_nearest_name() {
    misused(
        &["--target", "specie"],
        &["--target \"specie\": iris.csv has no such column; did you mean \"species\"?", "petal_width"],
    );
}

#[test]
fn the_task_follows_from_the_target_and_can_be_overridden() {
    let of = |values: &dyn Fn(usize) -> String, flags: &[&str]| {
        let dir = Workdir::new();
        dir.write("t.csv", table("x,y", 60, |i| format!("{}.5,{}", i % 7, values(i))));
        train(&dir, &[&["t.csv"], flags].concat())["task"].clone()
    };
    assert_eq!(of(&|i| label(i).into(), &[]), "classification", "text");
    assert_eq!(of(&|i| (label(i) == "yes").to_string(), &[]), "classification", "true and false");
    assert_eq!(of(&|i| (i % 5).to_string(), &[]), "classification", "few whole numbers");
    assert_eq!(of(&|i| format!("{}.5", i % 5), &[]), "regression", "decimals");
    assert_eq!(of(&|i| (i % 30).to_string(), &[]), "regression", "many whole numbers");
    assert_eq!(of(&|i| (i % 5).to_string(), &["--task", "regression"]), "regression");
    assert_eq!(of(&|i| (i % 30).to_string(), &["--task", "classification"]), "classification");
}

#[test]
fn whole_number_classes_are_numbers_in_json_and_in_order_of_value() {
    let dir = Workdir::new();
    dir.write("t.csv", table("x,y", 40, |i| format!("{}.5,{}", i % 9, [9, 10][i % 2])));
    let result = train(&dir, &["t.csv"]);
    assert_eq!(result["confusion_matrix"]["labels"], json!([9, 10]));
    assert_eq!(result["positive"], 10);
}

#[test]
fn text_where_numbers_are_to_be_predicted_is_an_error_with_its_line() {
    refused(
        "x,y\n1,1.5\n2,2.5\n3,lots\n4,4\n",
        &["--task", "regression"],
        &["t.csv line 4, target column \"y\": \"lots\" is not a number"],
    );
}

#[test]
fn a_dropped_column_is_not_learned_from() {
    let dir = Workdir::with(&["iris.csv"]);
    let linear = ["--algorithm", "logreg"];
    dir.run(
        &[&["train", "iris.csv", "--drop", "sepal_length", "--drop", "petal_width"], &linear[..]].concat(),
    )
    .ok()
    .says(&["  dropped\n"]);
    let described = inspect(&dir);
    assert_eq!(described["schema"]["features"].as_array().unwrap().len(), 2);
    assert_eq!(described["schema"]["ignored"][0], json!({"name": "sepal_length", "reason": "dropped"}));
    assert_eq!(keys(&described["importances"]).len(), 2);
}

#[test]
fn dropping_the_target_or_an_unknown_column_is_a_wrong_usage() {
    misused(&["--drop", "species"], &["--drop \"species\": that is the target"]);
    misused(&["--drop", "sepal_widht"], &["did you mean \"sepal_width\"?"]);
    misused(&["--type", "sepal=number"], &["--type \"sepal\": iris.csv has no such column"]);
    misused(&["--type", "species=money"], &["\"money\" is not a type; types are number, boolean, category"]);
    misused(&["--weight", "w"], &["--weight \"w\": iris.csv has no such column"]);
}

#[test]
fn a_given_type_replaces_the_inferred_one_and_uses_the_column_all_the_same() {
    let dir = Workdir::with(&["penguins.csv"]);
    dir.run(&["train", "penguins.csv", "--type", "year=category"])
        .ok()
        .says(&["one-hot; frequencies                                     --type\n"]);
    let features = &inspect(&dir)["schema"]["features"];
    assert_eq!(features[6]["type"], "category");
    assert_eq!(features[6]["levels"], json!(["2007", "2008", "2009"]));

    dir.write("ids.csv", table("id,x,y", 40, |i| format!("{},{}.5,{}", i + 1, i % 7, label(i))));
    dir.run(&["train", "ids.csv"]).ok().says(&["it numbers the rows\n"]);
    dir.run(&["train", "ids.csv", "--type", "id=number"]).ok();
    assert_eq!(inspect(&dir)["schema"]["features"][0]["name"], "id");
}

#[test]
fn a_boolean_column_is_one_in_any_case_of_letters() {
    let dir = Workdir::new();
    let words = ["True", "FALSE", "true", "false"];
    dir.write("t.csv", table("member,x,y", 40, |i| format!("{},{},{}", words[i % 4], i % 9, label(i))));
    train(&dir, &["t.csv"]);
    assert_eq!(inspect(&dir)["schema"]["features"][0]["type"], "boolean");
}

#[test]
fn a_typing_mistake_among_numbers_is_an_error_with_line_and_column() {
    let text = table("rooms,x,y", 300, |i| match i {
        41 => format!("many,{},{}", i % 4, label(i)),
        _ => format!("{}.5,{},{}", i, i % 4, label(i)),
    });
    refused(&text, &[], &["t.csv line 43, column \"rooms\": \"many\" is not a number", "--null", "--type"]);
    let dir = Workdir::new();
    dir.write("t.csv", &text);
    assert_eq!(train(&dir, &["t.csv", "--null", "many"])["n_train"], 240);
    dir.run(&["train", "t.csv", "--type", "rooms=category"]).ok();
}

#[test]
fn an_infinite_number_is_an_error_with_line_and_column() {
    for word in ["inf", "-Infinity", "1e999"] {
        let text = table("a,b,y", 30, |i| match i {
            4 => format!("{word},{},{}", i % 3, label(i)),
            _ => format!("{i}.5,{},{}", i % 3, label(i)),
        });
        refused(&text, &[], &[&format!("t.csv line 6, column \"a\": \"{word}\" is not a finite number")]);
    }
}

#[test]
fn an_infinite_target_is_an_error_with_its_line() {
    refused("x,y\n1,1.5\n2,2.5\n3,inf\n4,4\n", &[], &["t.csv line 4, target column \"y\""]);
}

#[test]
fn rows_without_a_target_are_counted_and_left_out() {
    let dir = Workdir::new();
    let text = table("x,y", 50, |i| match i % 10 {
        3 => format!("{}.5,NA", i % 7),
        _ => format!("{}.5,{}", i % 7, label(i)),
    });
    dir.write("t.csv", text);
    let done = dir.run(&["train", "t.csv", "--format", "json"]).ok();
    let done = done.complains(&["5 rows without a target value were left out"]);
    let result = done.json();
    assert_eq!(result["n_train"].as_u64().unwrap() + result["n_rows"].as_u64().unwrap(), 45);
    let evaluated = dir.run(&["eval", "--format", "json"]).ok().json();
    assert_eq!(evaluated["metrics"], result["metrics"], "eval counts the same rows");
}

#[test]
fn a_number_that_is_not_one_is_a_missing_target_in_any_spelling() {
    let dir = Workdir::new();
    let words = ["nan", "NaN", "Nan", "+nan"];
    dir.write(
        "t.csv",
        table("x,y", 60, |i| match i {
            10..14 => format!("{i}.5,{}", words[i - 10]),
            _ => format!("{i}.5,{}.25", i * 3),
        }),
    );
    dir.run(&["train", "t.csv"]).ok().complains(&["4 rows without a target value"]);
}

// Splits.

#[test]
fn the_hold_out_is_stratified() {
    let dir = Workdir::new();
    dir.write(
        "t.csv",
        table("x,y", 200, |i| {
            let class = ["rare", "some", "most", "most", "most"][(i % 20).min(4)];
            format!("{}.5,{}", i % 13, if i % 20 == 0 { "rare" } else { class })
        }),
    );
    let result = train(&dir, &["t.csv", "--test-size", "0.25"]);
    assert_eq!(result["n_rows"], 50);
    let support: Vec<u64> = [0, 1, 2].map(|i| result["classes"][i]["support"].as_u64().unwrap()).into();
    // most 180, rare 10, some 10 of 200.
    assert_eq!(support[0], 45);
    assert_eq!(support[1] + support[2], 5);
    assert!(support[1] >= 2 && support[2] >= 2, "{support:?}");
}

#[test]
fn the_size_of_the_hold_out_is_the_share_rounded_up() {
    let dir = Workdir::with(&["iris.csv", "diabetes.csv"]);
    for (share, n) in [("0.5", 75), ("0.1", 15), ("0.001", 1), ("0.333", 50)] {
        assert_eq!(train(&dir, &["iris.csv", "--test-size", share])["n_rows"], n, "{share}");
    }
    assert_eq!(train(&dir, &["diabetes.csv", "--test-size", "0.99"])["n_train"], 4);
}

#[test]
fn a_share_that_leaves_nothing_is_a_wrong_usage() {
    for share in ["0", "1", "-0.1", "30", "nan", "some"] {
        misused(&[&format!("--test-size={share}")], &["the share is a number above 0 and below 1"]);
    }
    misused(&["--test", "iris.csv", "--test-size", "0.2"], &["cannot be used with"]);
    misused(&["--test", "iris.csv", "--refit"], &["cannot be used with"]);
}

#[test]
fn another_seed_holds_out_other_rows() {
    let dir = Workdir::with(&["diabetes.csv"]);
    let train = |flags: &[&str]| train(&dir, &[&["diabetes.csv", "--algorithm", "ridge"], flags].concat());
    let metrics = |seed| train(&["--seed", seed])["metrics"].clone();
    assert_eq!(metrics("1"), metrics("1"));
    assert_ne!(metrics("1"), metrics("2"));
    assert_eq!(metrics("42"), train(&[])["metrics"], "42 is the default");
}

#[test]
fn a_test_file_replaces_the_hold_out() {
    let dir = Workdir::with(&["iris.csv"]);
    let text = fixture("iris.csv");
    let lines: Vec<&str> = text.lines().collect();
    let pick = |test: bool| {
        let rows = lines[1..].iter().enumerate().filter(|(i, _)| (i % 5 == 0) == test).map(|(_, l)| *l);
        [vec![lines[0]], rows.collect()].concat().join("\n")
    };
    dir.write("train.csv", pick(false));
    dir.write("test.csv", pick(true));
    let result = train(&dir, &["train.csv", "--test", "test.csv"]);
    assert_eq!((&result["n_train"], &result["n_rows"]), (&json!(120), &json!(30)));
    let evaluated = dir.run(&["eval", "--format", "json"]).ok().json();
    assert_eq!(evaluated["metrics"], result["metrics"]);
    let named = dir.run(&["eval", "test.csv", "--format", "json"]).ok().json();
    assert_eq!(named["metrics"], result["metrics"]);
    dir.run(&["train", "train.csv", "--test", "none.csv"]).fails(1).complains(&["cannot open none.csv"]);
    dir.write("other.csv", "a,b\n1,2\n");
    dir.run(&["train", "train.csv", "--test", "other.csv"])
        .fails(1)
        .complains(&["other.csv has no target column \"species\""]);
}

#[test]
fn refit_learns_from_all_rows_and_keeps_the_honest_metrics() {
    let dir = Workdir::with(&["iris.csv"]);
    let plain = train(&dir, &["iris.csv"]);
    let before = inspect(&dir);
    let refitted = train(&dir, &["iris.csv", "--refit"]);
    assert_eq!(refitted["metrics"], plain["metrics"]);
    assert_eq!(refitted["n_train"], 150);
    let after = inspect(&dir);
    assert_eq!(after["card"]["refit"], true);
    assert_ne!(after["importances"], before["importances"]);
    dir.run(&["train", "iris.csv", "--refit"]).ok().says(&["fitted again on all rows"]);
}

// Algorithms and their settings.

#[test]
fn algorithms_go_by_name_and_by_alias() {
    let dir = Workdir::with(&["diabetes.csv", "iris.csv"]);
    for (data, name, full) in [
        ("iris.csv", "logreg", "logistic-regression"),
        ("iris.csv", "logistic-regression", "logistic-regression"),
        ("diabetes.csv", "linreg", "linear-regression"),
        ("diabetes.csv", "ridge", "ridge"),
        ("diabetes.csv", "auto", "ensemble"),
    ] {
        assert_eq!(train(&dir, &[data, "--algorithm", name])["algorithm"], full);
    }
    misused(&["--algorithm", "logistic"], &["there is no algorithm \"logistic\"", "logistic-regression"]);
    misused(&["--algorithm", "rigde"], &["did you mean \"ridge\"?"]);
    misused(&["--algorithm", "forrest"], &["did you mean \"forest\"?"]);
    misused(&["--algorithm", "ridge"], &["ridge cannot do classification", "logistic-regression"]);
}

#[test]
fn hyperparameters_are_set_recorded_and_change_the_model() {
    let dir = Workdir::with(&["iris.csv"]);
    let plain = train(&dir, &["iris.csv"])["metrics"]["log_loss"].as_f64().unwrap();
    let strong = train(&dir, &["iris.csv", "--set", "C=0.01"])["metrics"]["log_loss"].as_f64().unwrap();
    assert!(strong > plain + 0.1, "a stronger penalty gives less certain predictions: {strong} {plain}");
    let settings = inspect(&dir)["card"]["hyperparameters"].clone();
    assert_eq!(settings["C"], 0.01);
    let known = ["C", "class_weight", "fit_intercept", "l1_ratio", "max_iter", "penalty", "tol"];
    assert_eq!(sorted(&keys(&settings)), sorted(&known));
}

#[test]
fn unknown_settings_and_values_out_of_range_are_wrong_usage() {
    misused(
        &["--algorithm", "logreg", "--set", "c=1"],
        &[
            "no hyperparameter \"c\"; did you mean \"C\"?",
            "C, l1_ratio, class_weight, fit_intercept, max_iter, tol",
        ],
    );
    misused(&["--set", "c=1"], &["no candidate of auto has a hyperparameter \"c\"; did you mean \"C\"?"]);
    misused(&["--set", "max_itr=1"], &["did you mean \"max_iter\"?"]);
    misused(
        &["--algorithm", "logreg", "--set", "alpha=1"],
        &["logistic-regression has no hyperparameter \"alpha\""],
    );
    misused(&["--set", "C=1", "--set", "max_depth=2"], &["no algorithm takes all of --set C, max_depth"]);
    for value in ["0", "-1", "inf", "nan", "one", ""] {
        misused(&["--set", &format!("C={value}")], &["C is a number above 0 (default 1.0)"]);
    }
    misused(&["--set", "max_iter=0"], &["max_iter is a whole number not below 1"]);
    misused(&["--set", "max_iter=1.5"], &["max_iter is a whole number"]);
    misused(&["--set", "fit_intercept=yes"], &["fit_intercept is true or false"]);
    misused(&["--set", "C"], &["a setting is KEY=VALUE"]);
}

#[test]
fn balance_counts_every_class_the_same() {
    let dir = Workdir::new();
    let text = table("x,y", 400, |i| {
        let rare = i % 10 == 0;
        format!(
            "{},{}",
            (i * 37 % 100) as f64 / 50.0 + if rare { 1.0 } else { 0.0 },
            if rare { "b" } else { "a" }
        )
    });
    dir.write("t.csv", text);
    let recall = |flags: &[&str]| {
        let result = train(&dir, &[&["t.csv", "--algorithm", "logreg"], flags].concat());
        result["classes"][1]["recall"].as_f64().unwrap()
    };
    let (plain, balanced) = (recall(&[]), recall(&["--balance"]));
    assert!(balanced > plain + 0.3, "{balanced} {plain}");
    assert_eq!(inspect(&dir)["card"]["balance"], true);
}

#[test]
fn balance_without_classes_is_a_wrong_usage() {
    let dir = Workdir::with(&["diabetes.csv"]);
    dir.run(&["train", "diabetes.csv", "--balance"]).fails(2).complains(&["--balance needs classes"]);
}

#[test]
fn a_weight_of_two_is_a_row_twice_and_one_of_zero_is_no_row() {
    let dir = Workdir::new();
    let y = |i: usize| (i * 31 % 17) as f64 + i as f64 / 3.0;
    let rows = |weighted: bool| {
        (0..60).fold(String::from(if weighted { "x,w,y\n" } else { "x,y\n" }), |mut text, i| {
            let (weight, y) = (i % 3, y(i));
            if weighted {
                writeln!(text, "{i}.5,{weight},{y}").unwrap();
            } else {
                (0..weight).for_each(|_| writeln!(text, "{i}.5,{y}").unwrap());
            }
            text
        })
    };
    dir.write("weighted.csv", rows(true));
    dir.write("repeated.csv", rows(false));
    dir.write("test.csv", table("x,w,y", 20, |i| format!("{},1,{}", i * 3, y(i * 3))));
    dir.write("test2.csv", table("x,y", 20, |i| format!("{},{}", i * 3, y(i * 3))));
    let weighted =
        train(&dir, &["weighted.csv", "--algorithm", "linreg", "--weight", "w", "--test", "test.csv"]);
    assert_eq!(inspect(&dir)["card"]["weight"], "w");
    let repeated = train(&dir, &["repeated.csv", "--algorithm", "linreg", "--test", "test2.csv"]);
    let [a, b] = [&weighted, &repeated].map(|r| r["metrics"]["rmse"].as_f64().unwrap());
    assert!((a - b).abs() < 1e-9 * b, "{a} {b}");
}

#[test]
fn weights_that_are_missing_negative_or_text_are_errors_with_their_line() {
    let refused_weight = |word: &str, words: &[&str]| {
        let text = table("x,w,y", 30, |i| match i {
            7 => format!("{i}.5,{word},{}", label(i)),
            _ => format!("{i}.5,1,{}", label(i)),
        });
        refused(&text, &["--weight", "w"], words);
    };
    refused_weight("", &["t.csv line 9, column \"w\": the weight is missing"]);
    refused_weight("-1", &["t.csv line 9, column \"w\": the weight is -1; weights are 0 or more"]);
    refused_weight("heavy", &["t.csv line 9, column \"w\": \"heavy\" is not a number"]);
}

// How files are written.

/// Trains on iris written in another way and compares the metrics.
fn same_as_plain(name: &str, bytes: impl AsRef<[u8]>, flags: &[&str]) {
    let dir = Workdir::with(&["iris.csv"]);
    let plain = train(&dir, &["iris.csv", "--algorithm", "logreg"]);
    dir.write(name, bytes);
    let other = train(&dir, &[&[name, "--algorithm", "logreg"], flags].concat());
    assert_eq!(other["metrics"], plain["metrics"]);
    let evaluated = dir.run(&["eval", "--format", "json"]).ok().json();
    assert_eq!(evaluated["metrics"], plain["metrics"], "eval reads it in the same way");
}

#[test]
fn byte_order_mark_crlf_quotes_and_blank_lines_do_not_matter() {
    let quoted = fixture("iris.csv").lines().fold(String::from("\u{feff}"), |mut text, line| {
        let fields: Vec<String> = line.split(',').map(|field| format!("\"{field}\"")).collect();
        write!(text, "{}\r\n\r\n", fields.join(",")).unwrap();
        text
    });
    same_as_plain("quoted.csv", quoted, &[]);
}

#[test]
fn tabs_semicolons_and_bars_are_found_and_others_can_be_named() {
    let with = |delimiter: &str| fixture("iris.csv").replace(',', delimiter);
    same_as_plain("iris.tsv", with("\t"), &[]);
    same_as_plain("tab.txt", with("\t"), &[]);
    same_as_plain("semicolon.csv", with(";"), &[]);
    same_as_plain("bar.csv", with("|"), &[]);
    same_as_plain("colon.csv", with(":"), &["--delimiter", ":"]);
    same_as_plain("tab.csv", with("\t"), &["--delimiter", "\\t"]);
    misused(&["--delimiter", "::"], &["a delimiter is one ASCII character"]);
    let dir = Workdir::new();
    dir.write("colon.csv", with(":"));
    dir.run(&["train", "colon.csv"]).fails(1).complains(&["has one column", "--delimiter C"]);
}

#[test]
fn a_file_without_a_header_has_numbered_columns() {
    let text = fixture("iris.csv");
    let (_, rows) = text.split_once('\n').unwrap();
    same_as_plain("rows.csv", rows, &["--no-header"]);
    let dir = Workdir::new();
    dir.write("rows.csv", rows);
    dir.run(&["train", "rows.csv", "--no-header", "--target", "column_5"]).ok();
    assert_eq!(inspect(&dir)["schema"]["columns"][0], "column_1");
}

#[test]
fn a_first_line_of_numbers_is_a_row_or_gets_a_warning_as_a_header() {
    let dir = Workdir::new();
    dir.write("t.csv", table("5.1,0", 40, |i| format!("{}.5,{}", i % 7, i % 2)));
    dir.run(&["train", "t.csv"]).ok().complains(&["read as a row", "--header takes it for their names"]);
    dir.run(&["train", "t.csv", "--header"]).ok().complains(&["holds only numbers", "--no-header"]);
    dir.run(&["train", "t.csv", "--no-header"]).ok().silent();
}

#[test]
fn added_null_tokens_are_missing_values_at_training_and_later() {
    let dir = Workdir::new();
    let text = table("x,kind,y", 60, |i| {
        let kind = ["red", "blue", "none given"][i % 3];
        let x = if i % 6 == 0 { "999".to_string() } else { format!("{i}.5") };
        format!("{x},{kind},{}", label(i))
    });
    dir.write("t.csv", text);
    train(&dir, &["t.csv", "--null", "none given", "--null", "999"]);
    let features = inspect(&dir)["schema"]["features"].clone();
    assert!(features[0]["missing"].as_u64().unwrap() > 0 && features[1]["missing"].as_u64().unwrap() > 0);
    assert_eq!(features[1]["levels"], json!(["blue", "red"]));
    dir.run(&["predict", "--features", "999,none given"])
        .ok()
        .complains(&["x is missing", "kind is missing"]);
}

#[test]
fn standard_input_is_read_and_standard_output_written() {
    let dir = Workdir::with(&["iris.csv"]);
    let plain = train(&dir, &["iris.csv"]);
    let piped = dir.run(&["train", "-", "--format", "json"]).stdin(fixture("iris.csv")).ok().json();
    assert_eq!(piped["metrics"], plain["metrics"]);

    let to_file = train(&dir, &["iris.csv", "-o", "file.mlapi"]);
    assert_eq!(to_file["model"], "file.mlapi");
    let done = dir.run(&["train", "iris.csv", "--output", "-"]).ok().silent();
    assert_eq!(done.stdout, dir.bytes("file.mlapi"), "nothing but the model");
}

#[cfg(unix)]
#[test]
fn an_output_that_is_not_an_ordinary_file_is_written_to_and_not_replaced() {
    let dir = Workdir::with(&["iris.csv"]);
    dir.write("real.mlapi", "old");
    std::os::unix::fs::symlink(dir.path("real.mlapi"), dir.path("link.mlapi")).unwrap();
    dir.run(&["train", "iris.csv", "-o", "link.mlapi"]).ok();
    assert!(std::fs::symlink_metadata(dir.path("link.mlapi")).unwrap().is_symlink());
    assert!(dir.bytes("real.mlapi").len() > 1000, "the link leads to the new model");
    dir.run(&["inspect", "--model", "real.mlapi"]).ok();
    // A pipe stands for everything that a rename must not take the place of.
    let piped = dir.run(&["train", "iris.csv", "-q", "-o", "/dev/stderr"]).done();
    assert_eq!(piped.code, Some(0), "{}", piped.command);
    assert_eq!(piped.stderr, dir.bytes("real.mlapi"));
}

// Tables that cannot be learned from, or only just.

#[test]
fn a_missing_file_or_a_folder_is_named() {
    let dir = Workdir::new();
    dir.run(&["train", "none.csv"]).fails(1).complains(&["cannot open none.csv"]);
    dir.run(&["train", "."]).fails(1).complains(&[". is a folder, not a file"]);
    dir.run(&["train"]).fails(2).complains(&["<DATA>"]);
    assert!(dir.files().is_empty());
}

#[test]
fn an_empty_file_and_a_header_alone_are_refused() {
    refused("", &[], &["t.csv is empty; it needs a header line and rows"]);
    refused("\n\r\n \n", &[], &["t.csv is empty"]);
    refused("a,b,y\n", &[], &["t.csv has a header and no rows"]);
    refused("a,b,y", &[], &["t.csv has a header and no rows"]);
}

#[test]
fn a_ragged_row_is_refused_with_its_line() {
    refused(
        "a,b,y\n1,2,x\n\n1,2\n",
        &[],
        &["t.csv line 4: 2 fields where the first line has 3; values are missing"],
    );
    refused("a,b,y\n1,2,x\n1,2,x,4\n", &[], &["t.csv line 3: 4 fields"]);
    refused("a,b,y\n1,\"2,x\n1,2,x\n", &[], &["t.csv line 2", "quote"]);
}

#[test]
fn bytes_that_are_not_utf8_are_refused_with_line_and_column() {
    let dir = Workdir::new();
    let utf8 = ["train", "t.csv", "--encoding", "utf-8"];
    dir.write("t.csv", b"a,b,y\n1,x,p\n2,\xe4,q\n");
    dir.run(&utf8).fails(1).complains(&[
        "t.csv line 3, column \"b\": not valid UTF-8; save the file as UTF-8",
        "--encoding latin-1",
    ]);
    dir.write("t.csv", b"a,b\xe4,y\n1,x,p\n");
    dir.run(&utf8).fails(1).complains(&["t.csv line 1, column 2: not valid UTF-8"]);
}

#[test]
fn two_columns_of_one_name_and_a_single_column_are_refused() {
    refused("a,b,a\n1,2,3\n", &[], &["t.csv line 1: columns 1 and 3 are both called \"a\""]);
    refused("y\n1\n2\n", &[], &["t.csv has one column, \"y\""]);
}

#[test]
fn a_target_with_one_class_or_no_value_is_refused() {
    let one = table("x,y", 30, |i| format!("{i}.5,same"));
    refused(&one, &[], &["every row of the target column \"y\" is \"same\"", "two classes"]);
    let none = table("x,y", 30, |i| format!("{i}.5,NA"));
    refused(&none, &[], &["the target column \"y\" has no values"]);
}

#[test]
fn features_that_are_all_constant_are_refused_and_each_is_named() {
    let text = table("a,b,c,y", 30, |i| format!("1,k,,{}", label(i)));
    refused(
        &text,
        &[],
        &[
            "no feature column",
            "\"a\" (every value is the same)",
            "\"b\" (every value is the same)",
            "\"c\" (every cell is missing)",
        ],
    );
}

#[test]
fn more_columns_than_rows_are_learned_from() {
    let names: Vec<String> = (0..40).map(|j| format!("f{j}")).collect();
    let header = names.join(",") + ",y";
    let cells =
        |i: usize| (0..40).map(|j| format!("{}.5,", (i * 13 + j * 7 + i * j) % 29)).collect::<String>();
    let dir = Workdir::new();
    dir.write("classes.csv", table(&header, 12, |i| cells(i) + label(i)));
    dir.write("numbers.csv", table(&header, 12, |i| cells(i) + &format!("{}.25", i * i)));
    for (data, algorithm) in [
        ("classes.csv", "logistic-regression"),
        ("numbers.csv", "linear-regression"),
        ("numbers.csv", "ridge"),
    ] {
        let result = train(&dir, &[data, "--algorithm", algorithm]);
        assert_eq!(result["n_train"], 9);
        for (name, value) in result["metrics"].as_object().unwrap() {
            let finite = value.is_object() || value.as_f64().is_some_and(f64::is_finite);
            assert!(finite || name == "mcc", "{algorithm} {name} {value}");
        }
        dir.run(&["predict", "--input", data]).ok();
    }
}

#[test]
fn a_column_of_ids_is_left_out_with_a_note() {
    let dir = Workdir::new();
    let row = |i: usize| format!("{},u{i:03},{}.5,{}", i + 1, i % 7, label(i));
    dir.write("t.csv", table("id,user,x,y", 40, row));
    dir.run(&["train", "t.csv"]).ok().says(&["it numbers the rows\n", "nearly every value is different"]);
    let described = inspect(&dir);
    assert_eq!(keys(&described["importances"]), ["x"]);
    // The file as it was trained on can be predicted, ids and all.
    assert_eq!(dir.run(&["predict", "--input", "t.csv"]).ok().csv().len(), 41);
}

#[test]
fn a_missing_output_folder_is_found_out_before_the_work() {
    let dir = Workdir::with(&["iris.csv"]);
    dir.run(&["train", "none.csv", "-o", "no/such/model.mlapi"])
        .fails(1)
        .complains(&["cannot write no/such/model.mlapi: there is no such folder"]);
    dir.run(&["train", "iris.csv", "-o", "."]).fails(1).complains(&["cannot write .: it is a folder"]);
    assert_eq!(dir.files(), ["iris.csv"]);
}

#[test]
fn one_row_is_refused() {
    refused("x,y\n1,a\n", &[], &["t.csv"]);
    refused("x,y\n1,1.5\n", &["--type", "x=number"], &["two or more are needed"]);
}

#[test]
fn two_rows_are_enough_for_a_number_and_not_for_two_classes() {
    let dir = Workdir::new();
    dir.write("t.csv", "x,y\n1,1.5\n2,2.5\n");
    let result = train(&dir, &["t.csv"]);
    assert_eq!((&result["n_train"], &result["n_rows"]), (&json!(1), &json!(1)));
    assert!(result["metrics"]["r2"].is_null(), "undefined for one row");
    refused("x,y\n1,a\n2,b\n", &[], &["t.csv", "no row", "held out", "--test"]);
    dir.write("two.csv", "x,y\n1,a\n2,b\n");
    assert_eq!(train(&dir, &["two.csv", "--test", "two.csv"])["metrics"]["accuracy"], 1.0);
}

#[test]
fn three_hundred_categories_are_learned_and_the_rarest_are_told_by_the_target() {
    let dir = Workdir::new();
    dir.write("t.csv", table("c,x,y", 900, |i| format!("c{:03},{},{}", i % 300, i % 7, ["a", "b"][i % 2])));
    let result = train(&dir, &["t.csv", "--algorithm", "logreg"]);
    assert!(result["metrics"]["accuracy"].as_f64().unwrap() > 0.95);
    let n_levels = inspect(&dir)["schema"]["features"][0]["levels"].as_array().unwrap().len();
    assert!((290..=300).contains(&n_levels), "{n_levels}");
    let unseen = dir.run(&["predict", "--format", "json", "--features", "never,1"]).ok().json();
    assert_eq!(unseen["warnings"][0]["kind"], "unseen_category");
    let p = unseen["probabilities"]["a"].as_f64().unwrap();
    assert!((0.2..0.8).contains(&p), "nothing is known of an unseen level: {p}");
    // All have 3 rows: those sorted last share the slot of unseen ones.
    dir.write("levels.csv", table("c,x", 300, |i| format!("c{i:03},1")));
    let rows = dir.run(&["predict", "--input", "levels.csv", "--format", "ndjson"]).ok().ndjson();
    let right = |(i, row): &(usize, &Value)| row["prediction"] == ["a", "b"][i % 2];
    let n_right = rows.iter().enumerate().filter(right).count();
    assert!(n_right >= 295, "{n_right} of 300");
}

// Tables as people have them.

/// What gzip and zstd make of some bytes.
fn compressed(bytes: &[u8]) -> [(&'static str, Vec<u8>); 2] {
    use std::io::Write as _;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(bytes).unwrap();
    let zstd = ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest);
    [("iris.csv.gz", gzip.finish().unwrap()), ("iris.csv.zst", zstd)]
}

#[test]
fn compressed_files_are_read_as_what_is_in_them() {
    for (name, bytes) in compressed(fixture("iris.csv").as_bytes()) {
        same_as_plain(name, &bytes, &[]);
        same_as_plain("unnamed", &bytes, &[]);
        let dir = Workdir::trained("iris.csv", &[]);
        dir.write(name, &bytes);
        let plain = dir.run(&["predict", "--input", "iris.csv"]).ok();
        assert_eq!(dir.run(&["predict", "--input", name]).ok().out(), plain.out());
        dir.write(name, &bytes[..bytes.len() - 20]);
        dir.run(&["train", name]).fails(1).complains(&[&format!("cannot read {name}")]);
    }
}

#[test]
fn a_table_in_another_encoding_is_the_same_table() {
    for (encoding, flags) in [
        (encoding_rs::WINDOWS_1252, &[][..]),
        (encoding_rs::WINDOWS_1252, &["--encoding", "latin-1"]),
        (encoding_rs::GB18030, &["--encoding", "gbk"]),
    ] {
        let text = fixture("iris.csv").replace("setosa", "größer");
        let dir = Workdir::new();
        dir.write("t.csv", &text);
        let plain = train(&dir, &["t.csv", "--algorithm", "logreg"]);
        dir.write("t.csv", encoding.encode(&text).0);
        let other = train(&dir, &[&["t.csv", "--algorithm", "logreg"], flags].concat());
        assert_eq!(other["classes"], plain["classes"], "{flags:?}");
    }
}

#[test]
fn several_files_of_one_header_are_one_table() {
    let text = fixture("iris.csv");
    let lines: Vec<&str> = text.lines().collect();
    let dir = Workdir::with(&["iris.csv"]);
    let whole = train(&dir, &["iris.csv", "--algorithm", "logreg"]);
    dir.write("a.csv", lines[..70].join("\n"));
    dir.write("b.csv", format!("{}\r\n{}", lines[0], lines[70..].join("\r\n")));
    let parts = train(&dir, &["a.csv", "b.csv", "--algorithm", "logreg"]);
    assert_eq!(parts["metrics"], whole["metrics"]);
    let bytes = dir.bytes("model.mlapi");
    let evaluated = dir.run(&["eval", "--format", "json"]).ok().json();
    assert_eq!(evaluated["metrics"], whole["metrics"], "both files are read again");
    train(&dir, &["a.csv", "b.csv", "--algorithm", "logreg", "--threads", "1"]);
    assert!(bytes == dir.bytes("model.mlapi"), "the same bytes on any number of threads");
    assert_eq!(inspect(&dir)["card"]["more_data"][0]["path"], "b.csv");
    dir.run(&["train", "a.csv", "b.csv"]).ok().says(&["a.csv and 1 more: 150 rows, 5 columns"]);

    dir.write("b.csv", dir.read("b.csv").replace("6.3,", "wide,"));
    dir.run(&["train", "a.csv", "b.csv", "--type", "sepal_length=number"])
        .fails(1)
        .complains(&["b.csv line ", "column \"sepal_length\": \"wide\" is not a number"]);
    dir.write("b.csv", dir.read("b.csv").replace("sepal_width", "width"));
    dir.run(&["train", "a.csv", "b.csv"])
        .fails(1)
        .complains(&["b.csv: column 2 is \"width\", and in a.csv it is \"sepal_width\""]);
}

#[test]
fn lines_of_json_are_the_same_table_and_name_line_and_member_where_they_are_wrong() {
    let dir = Workdir::with(&["iris.csv"]);
    let plain = train(&dir, &["iris.csv"]);
    let text = fixture("iris.csv");
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let names = lines.next().unwrap();
    let object = |cells: Vec<&str>| {
        let member = |(name, cell): (&&str, &str)| match cell.parse::<f64>() {
            Ok(_) => format!("\"{name}\":{cell}"),
            Err(_) => format!("\"{name}\":\"{cell}\""),
        };
        let members: Vec<String> = names.iter().zip(cells).map(member).collect();
        format!("{{{}}}\n", members.join(","))
    };
    let ndjson: String = lines.map(object).collect();
    dir.write("iris.jsonl", &ndjson);
    assert_eq!(train(&dir, &["iris.jsonl"])["metrics"], plain["metrics"]);
    assert_eq!(dir.run(&["eval", "--format", "json"]).ok().json()["metrics"], plain["metrics"]);
    for (line, words) in [
        ("{\"sepal_length\":[1]}", "iris.jsonl line 151, member \"sepal_length\": an array or an object"),
        (
            "{\"sepal_length\":1,\"sepal_length\":2}",
            "iris.jsonl line 151: the member \"sepal_length\" is given twice",
        ),
        ("nonsense", "iris.jsonl line 151: not a JSON object"),
    ] {
        dir.write("iris.jsonl", format!("{ndjson}{line}\n"));
        dir.run(&["train", "iris.jsonl"]).fails(1).complains(&[words]);
    }
}

#[test]
fn a_column_is_what_all_of_its_cells_are_however_late_they_come() {
    let dir = Workdir::new();
    let numbers = table("code,x,y", 40_000, |i| format!("{},{}.5,{}", i % 30, i % 7, label(i)));
    dir.write("t.csv", format!("{numbers}A7,1.5,yes\n"));
    dir.run(&["train", "t.csv", "--algorithm", "tree"])
        .fails(1)
        .complains(&["t.csv line 40002, column \"code\": \"A7\" is not a number"]);
    let words = table("code,x,y", 20_000, |i| format!("k{},{}.5,{}", i % 5, i % 7, label(i)));
    let both = format!("{numbers}{}", words.split_once('\n').unwrap().1);
    dir.write("t.csv", &both);
    let found = ["60000 rows", "35  sets of levels  numbers and texts"];
    dir.run(&["train", "t.csv", "--algorithm", "tree"]).ok().says(&found);
    dir.run(&["train", "-", "--algorithm", "tree"]).stdin(&both).ok().says(&found);
}

#[test]
fn many_classes_make_a_model_without_a_confusion_matrix_and_too_many_are_told_at_once() {
    let dir = Workdir::new();
    let table = |n_classes: usize, n: usize| -> String {
        "a,b,y\n".to_string()
            + &(0..n)
                .map(|i| format!("{}.{},{},c{}\n", i % n_classes, i % 10, i % 7, i % n_classes))
                .collect::<String>()
    };
    dir.write("many.csv", table(1200, 4800));
    dir.run(&["train", "many.csv", "--algorithm", "naive-bayes", "-q"]).ok();
    let header = dir.bytes("model.mlapi");
    assert!(header.len() < 2_000_000, "{}", header.len());
    dir.run(&["eval"]).ok().says(&["no confusion matrix: 1200 classes, more than 1000", "c1199"]);
    let json = dir.run(&["eval", "--format", "json"]).ok().json();
    assert!(json["confusion_matrix"].is_null() && json["classes"].as_array().unwrap().len() == 1200);
    for algorithm in ["svm", "random-forest"] {
        let done = dir.run(&["train", "many.csv", "--algorithm", algorithm]).fails(1);
        assert!(done.err().contains("there are 1200"), "{done}");
    }
    dir.write("ids.csv", table(20_000, 20_000));
    let done = dir.run(&["train", "ids.csv"]).fails(1);
    done.complains(&["has 20000 classes, and at most 10000 are learned", "--task regression"]);
}

#[test]
fn stages_are_shown_on_a_terminal_and_nowhere_else() {
    let dir = Workdir::new();
    dir.write(
        "t.csv",
        table("a,b,y", 20_000, |i| format!("{}.5,{},{}", i * 37 % 1009, i % 13, i * 31 % 997)),
    );
    let flags = ["train", "t.csv", "--algorithm", "boost", "--task", "regression"];
    // So many rounds, whatever they gain.
    let rounds = ["--set", "n_estimators=200", "--set", "early_stopping=false"];
    let flags = [&flags[..], &rounds].concat();
    let piped = dir.run(&flags).ok();
    assert!(!piped.err().contains('\r') && !piped.err().contains("fitting"), "{}", piped.err());
    // Of util-linux, which not every system has.
    let line = format!("{} {}", env!("CARGO_BIN_EXE_mlapi"), flags.join(" "));
    let mut terminal = std::process::Command::new("script");
    terminal.args(["-qec", &line, "/dev/null"]).current_dir(dir.path(""));
    let Ok(found) = terminal.stdin(std::process::Stdio::null()).output() else { return };
    let shown = String::from_utf8_lossy(&found.stdout);
    if found.status.success() {
        assert!(shown.contains("fitting gradient-boosting") && shown.contains("/200 "), "{shown}");
    }
}
