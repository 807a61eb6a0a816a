//! `mlapi eval` beyond the metrics: curves, intervals, thresholds, segments, importances, comparisons and gates. The
//! reference values in fixtures/evaluation/evaluation.json are those of scikit-learn, scipy and numpy, by
//! fixtures/evaluation.py.

use crate::support::workdir::{Workdir, fixture};
use serde_json::Value;

fn file(name: &str) -> String {
    format!("{}/fixtures/evaluation/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn reference() -> Value {
    serde_json::from_str(&fixture("evaluation/evaluation.json")).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    // scikit-learn's first threshold is infinite.
    value.as_array().unwrap().iter().map(|value| value.as_f64().unwrap_or(f64::INFINITY)).collect()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is not a number"))
}

#[track_caller]
fn near(found: &Value, wanted: &Value) {
    let (found, wanted) = (number(found), number(wanted));
    assert!((found - wanted).abs() < 1e-9, "{found} is not {wanted}");
}

#[track_caller]
fn all_near(found: &[f64], wanted: &[f64]) {
    assert_eq!(found.len(), wanted.len());
    for (found, wanted) in found.iter().zip(wanted) {
        assert!(found == wanted || (found - wanted).abs() < 1e-9, "{found} is not {wanted}");
    }
}

const TWO: [&str; 6] = ["--target", "y", "--predictions", "--prediction", "p", "--probability"];

fn two(more: &[&str]) -> Value {
    let path = file("two.csv");
    let args = [&["eval", &path, "--format", "json"][..], &TWO, &["p_yes=yes"], more].concat();
    Workdir::new().run(&args).ok().json()
}

/// Compares a curve with the points of another: those that are kept are among them, at the same threshold.
fn are_points_of(curve: &Value, axes: [&str; 2], wanted: [&Value; 2], thresholds: &Value) {
    let of = |name: &str| numbers(&curve[name]);
    let (x, y, at) = (of(axes[0]), of(axes[1]), of("thresholds"));
    let (wanted_x, wanted_y, wanted_at) = (numbers(wanted[0]), numbers(wanted[1]), numbers(thresholds));
    let mut n_found = 0;
    for ((x, y), at) in x.iter().zip(&y).zip(&at) {
        let Some(i) = wanted_at.iter().position(|wanted| wanted == at) else { continue };
        assert!((wanted_x[i] - x).abs() < 1e-9 && (wanted_y[i] - y).abs() < 1e-9, "at {at}");
        n_found += 1;
    }
    // Points on straight lines are dropped, of precision by recall more than scikit-learn does.
    assert!(n_found * 10 >= wanted_at.len() * 4, "{n_found} of {} points", wanted_at.len());
}

fn is_of_class(curves: &Value, i: usize, wanted: &Value) {
    let roc = &curves["roc"][i];
    are_points_of(roc, ["fpr", "tpr"], [&wanted["fpr"], &wanted["tpr"]], &wanted["thresholds"]);
    near(&roc["auc"], &wanted["auc"]);
    near(&roc["ks"]["statistic"], &wanted["ks"]);
    let pr = &curves["precision_recall"][i];
    are_points_of(
        pr,
        ["recall", "precision"],
        [&wanted["recall"], &wanted["precision"]],
        &wanted["pr_thresholds"],
    );
    near(&pr["average_precision"], &wanted["average_precision"]);
    let calibration = &curves["calibration"][i];
    for (found, wanted) in
        [(calibration, &wanted["uniform"]), (&calibration["equal_mass"], &wanted["quantile"])]
    {
        for name in ["observed", "predicted", "rows"] {
            all_near(&numbers(&found[name]), &numbers(&wanted[name]));
        }
        near(&found["ece"], &wanted["ece"]);
    }
}

#[test]
fn curves_of_two_classes_are_scikit_learns() {
    let (found, wanted) = (two(&[]), &reference()["two"]);
    assert_eq!(found["curves"]["roc"].as_array().unwrap().len(), 1, "one curve, that of the positive class");
    is_of_class(&found["curves"], 0, wanted);
    let gain = &found["curves"]["gain"][0];
    assert_eq!((numbers(&gain["share"]).last(), numbers(&gain["gain"]).last()), (Some(&1.0), Some(&1.0)));
    let histogram = &found["curves"]["scores"][0];
    let rows: f64 = ["positives", "negatives"].iter().flat_map(|kind| numbers(&histogram[*kind])).sum();
    assert_eq!(rows, 300.0);
}

#[test]
fn curves_of_seven_classes_are_one_against_the_rest_with_averages() {
    let path = file("seven.csv");
    let probabilities: Vec<String> = (0..7).map(|c| format!("--probability=p_c{c}=c{c}")).collect();
    let mut args = vec!["eval", "--predictions", &path, "--target", "y", "--format", "json"];
    args.extend(probabilities.iter().map(String::as_str));
    let found = Workdir::new().run(&args).ok().json();
    let wanted = &reference()["seven"];
    let curves = &found["curves"];
    for class in 0..7 {
        is_of_class(curves, class, &wanted["classes"][class]);
    }
    near(&curves["roc_averages"]["micro"]["auc"], &wanted["micro_auc"]);
    near(&curves["roc_averages"]["macro"]["auc"], &wanted["macro_auc"]);
    let averages = &curves["precision_recall_averages"];
    near(&averages["micro"]["average_precision"], &wanted["micro_average_precision"]);
    near(&averages["macro"]["average_precision"], &wanted["macro_average_precision"]);
    for top in found["top_k"].as_array().unwrap() {
        near(&top["accuracy"], &wanted["top_k"][top["k"].to_string()]);
    }
    // The area below the mean curve is about the mean of the areas.
    let mean = &curves["roc_averages"]["macro"];
    let (x, y) = (numbers(&mean["fpr"]), numbers(&mean["tpr"]));
    let area: f64 = (1..x.len()).map(|i| (x[i] - x[i - 1]) * (y[i] + y[i - 1]) / 2.0).sum();
    assert!((area - number(&mean["auc"])).abs() < 0.005, "{area}");
}

#[test]
fn thresholds_have_the_costs_of_every_step_and_the_best_is_the_best_of_all() {
    let (found, wanted) = (two(&["--cost", "fp=1,fn=5"]), &reference()["two"]);
    let rows = found["thresholds"].as_array().unwrap();
    let costs: Vec<f64> = rows.iter().map(|row| number(&row["cost"])).collect();
    all_near(&costs, &numbers(&wanted["costs"]));
    assert_eq!(found["best_threshold"]["by"], "cost");
    assert!(number(&found["best_threshold"]["cost"]) <= number(&wanted["least_cost"]) + 1e-12);
    let found = two(&[]);
    assert_eq!(found["best_threshold"]["by"], "f1");
    near(&found["best_threshold"]["f1"], &wanted["best_f1"]);
    let dir = Workdir::new();
    dir.write("costs.csv", "true,yes,no\nno,1,0\nyes,0,5\n");
    let path = file("two.csv");
    let args =
        [&["eval", &path, "--format", "json", "--costs", "costs.csv"][..], &TWO, &["p_yes=yes"]].concat();
    let by_table = dir.run(&args).ok().json();
    assert_eq!(by_table["costs"], two(&["--cost", "fp=1,fn=5"])["costs"]);
    dir.write("costs.csv", "true,yes\nno,1\nyes,0\n");
    dir.run(&args).fails(1).complains(&["no cost of \"no\" predicted as \"no\""]);
}

/// The ends of two bootstraps agree within their own error, a tenth of the width.
fn are_alike(found: &Value, wanted: &Value, names: &[&str]) {
    for name in names {
        let (found, wanted) = (numbers(&found["intervals"][name]), numbers(&wanted["bootstrap"][name]));
        let width = wanted[1] - wanted[0];
        for (found, wanted) in found.iter().zip(&wanted) {
            assert!((found - wanted).abs() < 0.12 * width, "{name}: {found} is not {wanted}");
        }
    }
}

#[test]
fn intervals_are_wilsons_where_they_are_shares_and_else_those_of_a_bootstrap() {
    let (found, all) = (two(&[]), reference());
    let wanted = &all["two"];
    all_near(&numbers(&found["intervals"]["accuracy"]), &numbers(&wanted["wilson"]));
    assert_eq!(found["class_intervals"][1]["label"], "yes");
    all_near(&numbers(&found["class_intervals"][1]["recall"]), &numbers(&wanted["recall_wilson"]));
    assert_eq!(found["interval_level"], 0.95);
    are_alike(&found, wanted, &["roc_auc", "log_loss", "brier", "f1.macro", "mcc"]);
    let path = file("numbers.csv");
    let args = ["eval", &path, "--predictions", "--target", "y", "--prediction", "p", "--format", "json"];
    let found = Workdir::new().run(&args).ok().json();
    let wanted = &all["numbers"];
    are_alike(&found, wanted, &["r2", "rmse", "mae", "median_ae"]);
    let of = |name: &str| -> Vec<f64> {
        found["residuals"]["quantiles"].as_array().unwrap().iter().map(|row| number(&row[name])).collect()
    };
    all_near(&of("residual"), &numbers(&wanted["quantiles"]));
    all_near(&of("absolute"), &numbers(&wanted["absolute"]));
    let qq = found["residuals"]["qq"].as_array().unwrap();
    for (point, wanted) in [(&qq[0], &wanted["qq_first"]), (&qq[qq.len() - 1], &wanted["qq_last"])] {
        near(&point["normal"], &wanted[0]);
        near(&point["residual"], &wanted[1]);
    }
}

#[test]
fn importance_and_dependence_of_a_linear_model_are_scikit_learns() {
    let dir = Workdir::new();
    let (train, test) = (file("diabetes_train.csv"), file("diabetes_test.csv"));
    dir.run(&["train", &train, "--test", &test, "--algorithm", "linear-regression"]).ok();
    let found = dir.run(&["eval", "--detail", "--format", "json"]).ok().json();
    let wanted = &reference()["inspection"];
    near(&found["metrics"]["rmse"], &wanted["rmse"]);
    assert_eq!(found["importance_metric"], "rmse");
    let (means, stds) = (numbers(&wanted["importance_mean"]), numbers(&wanted["importance_std"]));
    for (i, name) in wanted["features"].as_array().unwrap().iter().enumerate() {
        let own =
            found["importances"].as_array().unwrap().iter().find(|one| one["feature"] == *name).unwrap();
        // A mean of five shuffles against one of five hundred.
        let error = (number(&own["mean"]) - means[i]).abs();
        assert!(error < 4.0 * stds[i] / 5.0_f64.sqrt(), "{name}: {} is not {}", own["mean"], means[i]);
    }
    for name in ["bmi", "sex"] {
        let wanted = &wanted["dependence"][name];
        let of_all = found["dependence"].as_array().unwrap();
        let Some(own) = of_all.iter().find(|one| one["feature"] == name) else {
            panic!("{name} is not among the most important")
        };
        let (mean, line) = (numbers(&wanted["mean"]), numbers(&own["lines"][0]["mean"]));
        all_near(&[line[0], line[line.len() - 1]], &mean);
        let grid = if own["numbers"].is_array() { numbers(&own["numbers"]) } else { numbers(&own["values"]) };
        let ends = numbers(&wanted["values"]);
        for (x, y) in grid.iter().zip(&line) {
            let straight = mean[0] + (mean[1] - mean[0]) * (x - ends[0]) / (ends[1] - ends[0]);
            assert!((straight - y).abs() < 1e-6, "{name} at {x}");
        }
    }
}

#[test]
fn segments_are_the_values_of_a_column_and_missing_ones_are_named() {
    let dir = Workdir::trained("penguins.csv", &["--algorithm", "tree"]);
    let found = dir.run(&["eval", "--by", "island", "--by", "body_mass_g", "--format", "json"]).ok().json();
    let segments = found["segments"].as_array().unwrap();
    let rows = |column: &str| -> u64 {
        let own = segments.iter().filter(|segment| segment["column"] == column);
        own.map(|segment| segment["rows"].as_u64().unwrap()).sum()
    };
    let n_rows = found["n_rows"].as_u64().unwrap();
    assert_eq!((rows("island"), rows("body_mass_g")), (n_rows, n_rows));
    assert!(segments.iter().any(|segment| segment["few_rows"] == true));
    assert!(segments[0]["intervals"]["accuracy"].is_array());
    let text = dir.run(&["eval", "--by", "island", "--weak"]).ok();
    text.says(&["Biscoe", "(few): fewer than 30 rows", "weakest segments"]);
    dir.run(&["eval", "--by", "iland"])
        .fails(1)
        .complains(&["has no column \"iland\"; did you mean \"island\"?"]);
}

#[test]
fn requirements_on_intervals_classes_and_segments_are_all_shown() {
    let dir = Workdir::trained("penguins.csv", &["--algorithm", "tree"]);
    let args = [
        "eval",
        "--require",
        "lower(accuracy)>=0.5",
        "--require",
        "recall[Adelie] >= 1.1",
        "--require",
        "accuracy[island=Biscoe]>=0.5",
        "--require",
        "lower(recall[Gentoo])>0.2",
        "--junit",
        "junit.xml",
    ];
    let done = dir.run(&args).fails(3);
    done.says(&["lower(accuracy)>=0.5", "recall[Adelie] >= 1.1", "accuracy[island=Biscoe]>=0.5", "not met"])
        .complains(&["required is recall[Adelie] >= 1.1"]);
    let junit = dir.read("junit.xml");
    assert!(junit.contains("tests=\"4\" failures=\"1\""), "{junit}");
    let refused = |requirement: &str, words: &str| {
        dir.run(&["eval", "--require", requirement]).fails(2).complains(&[words]);
    };
    refused("recall[Adelei]>0.9", "did you mean \"Adelie\"?");
    refused("accuracy[Adelie]>0.9", "segments (COL=VALUE)");
    refused("accuracy not worse", "needs --compare");
}

#[test]
fn a_learning_curve_ends_with_the_model_itself() {
    for (data, algorithm) in [("penguins.csv", "tree"), ("diabetes.csv", "ridge"), ("iris.csv", "auto")] {
        let dir = Workdir::trained(data, &["--algorithm", algorithm]);
        let found = dir.run(&["eval", "--learning-curve", "--format", "json"]).ok().json();
        let points = found["learning_curve"].as_array().unwrap();
        let last = points.last().unwrap();
        assert_eq!((&last["share"], &last["metrics"]), (&1.0.into(), &found["metrics"]), "{data}");
        assert!(
            points.len() >= 5
                && points.windows(2).all(|pair| pair[0]["rows"].as_u64() < pair[1]["rows"].as_u64())
        );
    }
}

#[test]
fn a_model_is_compared_with_another_on_the_same_rows() {
    let dir = Workdir::trained("iris.csv", &["--algorithm", "tree"]);
    dir.run(&["train", "iris.csv", "--algorithm", "tree", "--set", "max_depth=1", "-o", "stump.mlapi"]).ok();
    let args = ["eval", "--compare", "stump.mlapi", "--require", "accuracy not worse"];
    dir.run(&args).ok().says(&["McNemar", "better than stump.mlapi by"]);
    let worse = ["eval", "-m", "stump.mlapi", "--compare", "model.mlapi", "--require", "accuracy not worse"];
    dir.run(&worse).fails(3).complains(&["required is accuracy not worse"]);
    let json = dir.run(&["eval", "--compare", "model.mlapi", "--format", "json"]).ok().json();
    let accuracy = &json["comparison"]["metrics"]["accuracy"];
    assert_eq!((&accuracy["difference"], &accuracy["verdict"]), (&0.0.into(), &"no difference shown".into()));
    assert_eq!(json["comparison"]["test"]["p_value"], 1.0);
    dir.run(&["train", "iris.csv", "--target", "petal_width", "-o", "other.mlapi", "--algorithm", "ridge"])
        .ok();
    dir.run(&["eval", "--compare", "other.mlapi"]).fails(2).complains(&["do not predict the same"]);
}

#[test]
fn models_differ_in_columns_settings_and_metrics_or_not_at_all() {
    let dir = Workdir::trained("iris.csv", &["--algorithm", "tree"]);
    dir.run(&["diff", "model.mlapi", "model.mlapi"]).ok().says(&["no difference"]);
    let flags = ["--algorithm", "tree", "--drop", "sepal_width", "--seed", "7", "-o", "b.mlapi"];
    dir.run(&[&["train", "iris.csv"][..], &flags].concat()).ok();
    dir.run(&["diff", "model.mlapi", "b.mlapi"]).ok().says(&["columns", "sepal_width", "settings", "seed"]);
    let json = dir.run(&["diff", "model.mlapi", "b.mlapi", "--format", "json"]).ok().json();
    let seed =
        json["differences"].as_array().unwrap().iter().find(|change| change["name"] == "seed").unwrap();
    assert_eq!((&seed["part"], &seed["b"]), (&"settings".into(), &7.into()));
}

#[test]
fn predictions_made_elsewhere_need_their_columns() {
    let dir = Workdir::new();
    dir.write("p.csv", "y,p,q\nyes,yes,0.9\nno,yes,0.8\nno,no,0.1\n,no,0.2\n");
    let refused = |args: &[&str], code: i32, words: &str| {
        dir.run(&[&["eval", "p.csv", "--predictions"][..], args].concat()).fails(code).complains(&[words]);
    };
    refused(&["--prediction", "p"], 2, "--target COL");
    refused(&["--target", "y"], 2, "--prediction COL");
    refused(&["--target", "y", "--prediction", "o"], 1, "has no column \"o\"");
    refused(&["--target", "y", "--probability", "p=yes"], 1, "the probability is no number");
    let args = ["eval", "p.csv", "--predictions", "--target", "y", "--prediction", "p"];
    let done = dir.run(&args).ok().complains(&["1 row without a true value"]);
    let done = done.says(&["predictions predicting y, on 3 rows", "0.6667", "these very rows"]);
    assert!(done.out().contains("undefined"), "there are no probabilities: {}", done.out());
    // What the model of a file predicts is evaluated alike, by its model or without.
    let dir = Workdir::trained("iris.csv", &["--algorithm", "tree"]);
    dir.run(&["predict", "--input", "iris.csv", "--probabilities", "-o", "scored.csv"]).ok();
    let own = dir.run(&["eval", "iris.csv", "--format", "json"]).ok().json();
    let labels = ["setosa", "versicolor", "virginica"];
    let given: Vec<String> =
        labels.iter().map(|label| format!("--probability=probability_{label}={label}")).collect();
    let mut args =
        vec!["eval", "--predictions", "scored.csv", "--target", "species", "--prediction", "prediction"];
    args.extend(given.iter().map(String::as_str));
    args.extend(["--format", "json"]);
    let elsewhere = dir.run(&args).ok().json();
    assert_eq!((&elsewhere["metrics"], &elsewhere["curves"]), (&own["metrics"], &own["curves"]));
    assert_eq!(elsewhere["intervals"], own["intervals"]);
}

#[test]
fn odd_rows_are_evaluated_as_far_as_they_go() {
    let dir = Workdir::trained("iris.csv", &["--algorithm", "tree"]);
    let header = "sepal_length,sepal_width,petal_length,petal_width,species\n";
    // One class, one row, and probabilities that are all the same.
    for rows in ["5.1,3.5,1.4,0.2,setosa\n", "5.1,3.5,1.4,0.2,setosa\n5.0,3.5,1.4,0.2,setosa\n"] {
        dir.write("few.csv", format!("{header}{rows}"));
        let args = ["eval", "few.csv", "--detail", "--weak", "--by", "sepal_width", "--format", "json"];
        let found = dir.run(&args).ok().json();
        assert!(found["curves"]["roc"][0]["auc"].is_null());
        dir.run(&["eval", "few.csv", "--detail", "--weak", "--by", "sepal_width"]).ok();
    }
    dir.write("same.csv", "y,p\n<b>,0.5\n&,0.5\n<b>,0.5\n");
    let args =
        ["eval", "same.csv", "--predictions", "--target", "y", "--probability", "p=&", "--format", "json"];
    let found = dir.run(&args).ok().json();
    assert_eq!(found["curves"]["roc"][0]["auc"], 0.5);
    assert_eq!(found["curves"]["roc"][0]["label"], "<b>");
}
