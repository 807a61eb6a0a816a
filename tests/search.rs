//! `mlapi train` without an algorithm, with `--cv` and with `--tune`: what is chosen, recorded and printed.

use crate::support::workdir::Workdir;
use serde_json::{Value, json};

/// Trains with `--format json`.
fn train(dir: &Workdir, args: &[&str]) -> Value {
    dir.run(&[&["train", "--format", "json"], args].concat()).ok().json()
}

/// The card of model.mlapi.
fn card(dir: &Workdir) -> Value {
    dir.run(&["inspect", "--format", "json"]).ok().json()["card"].clone()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is not a number"))
}

/// The flags after `tuned to`.
fn tuned_to(text: &str) -> Vec<&str> {
    let line = text.lines().find_map(|line| line.strip_prefix("tuned to")).unwrap();
    line.split_whitespace().collect()
}

#[test]
fn the_leaderboard_is_sorted_and_the_chosen_one_is_the_model() {
    let dir = Workdir::with(&["wine.csv"]);
    let result = train(&dir, &["wine.csv"]);
    let board = result["leaderboard"].as_array().unwrap();
    assert!(board.len() >= 4);
    let in_all_folds = |row: &&Value| row["scores"].as_array().unwrap().len() == 5;
    let means: Vec<f64> = board.iter().filter(in_all_folds).map(|row| number(&row["mean"])).collect();
    assert!(means.len() >= 4 && means.is_sorted(), "{means:?}");
    let chosen: Vec<&Value> = board.iter().filter(|row| row["chosen"] == true).collect();
    assert_eq!(result["algorithm"], "ensemble");
    let weights: Vec<f64> = chosen.iter().map(|row| number(&row["weight"])).collect();
    assert!(
        (2..=5).contains(&weights.len()) && (weights.iter().sum::<f64>() - 1.0).abs() < 1e-9,
        "{weights:?}"
    );
    assert!(
        number(&result["blend"]["mean"]) < means[0],
        "a blend is better than its best member or not taken"
    );
    let members = card(&dir)["members"].clone();
    let of_member = |member: &Value| number(&member["weight"]);
    let mut recorded: Vec<f64> = members.as_array().unwrap().iter().map(of_member).collect();
    let mut shown = weights.clone();
    recorded.sort_by(f64::total_cmp);
    shown.sort_by(f64::total_cmp);
    assert_eq!(recorded, shown);
    for row in board {
        assert_eq!((&row["metric"], &row["n_rows"]), (&json!("log_loss"), &json!(142)));
        assert!(in_all_folds(&row) || row["error"] == "given up after the first fold");
        assert!(number(&row["seconds"]) > 0.0);
        assert!(number(&row["metrics"]["accuracy"]["mean"]) > 0.5);
    }
    let mut recorded = card(&dir)["selection"]["leaderboard"].clone();
    for (row, printed) in recorded.as_array_mut().unwrap().iter_mut().zip(board) {
        assert!(row.get("seconds").is_none(), "the file has the same bytes every time");
        row["seconds"] = printed["seconds"].clone();
    }
    assert_eq!(recorded, result["leaderboard"]);
    let text = dir.run(&["train", "wine.csv"]).ok();
    text.says(&["Compared by 5-fold cross-validation on 142 training rows", "chosen"]);
    dir.run(&["inspect"]).ok().says(&["Compared by 5-fold cross-validation"]);
}

#[test]
fn the_metric_is_that_of_the_task_or_the_one_that_was_asked_for() {
    let dir = Workdir::with(&["diabetes.csv", "wine.csv"]);
    let metric = |flags: &[&str]| train(&dir, flags)["leaderboard"][0]["metric"].clone();
    assert_eq!(metric(&["diabetes.csv"]), "rmse");
    assert_eq!(metric(&["diabetes.csv", "--metric", "mae"]), "mae");
    assert_eq!(metric(&["wine.csv", "--balance"]), "balanced_accuracy");
    assert_eq!(metric(&["wine.csv", "--metric", "roc_auc"]), "roc_auc");
    let wrong = dir.run(&["train", "wine.csv", "--metric", "rmse"]).fails(2);
    wrong.complains(&["--metric \"rmse\": no metric of a classification", "log_loss"]);
    let cv =
        |flags: &[&str]| train(&dir, &[&["wine.csv", "--algorithm", "tree", "--cv", "3"], flags].concat());
    assert_eq!(cv(&["--metric", "f1.macro"])["cv"]["metric"], "f1.macro");
}

#[test]
fn without_a_blend_one_candidate_is_chosen() {
    let dir = Workdir::with(&["wine.csv"]);
    let result = train(&dir, &["wine.csv", "--no-ensemble"]);
    let board = result["leaderboard"].as_array().unwrap();
    let chosen: Vec<&Value> = board.iter().filter(|row| row["chosen"] == true).collect();
    assert_eq!((chosen.len(), &chosen[0]["algorithm"]), (1, &result["algorithm"]));
    assert!(result.get("blend").is_none() && card(&dir).get("members").is_none());
    assert!(chosen[0].get("weight").is_none());
}

#[test]
fn rounds_are_found_in_the_folds_unless_they_are_given() {
    let dir = Workdir::with(&["diabetes.csv"]);
    let rounds = |flags: &[&str]| {
        let result = train(&dir, &[&["diabetes.csv", "--no-ensemble"], flags].concat());
        assert_eq!(result["algorithm"], "gradient-boosting");
        card(&dir)["hyperparameters"]["n_estimators"].as_u64().unwrap()
    };
    let found = rounds(&["--set", "loss=squared_error"]);
    assert!((5..=200).contains(&found), "{found}");
    assert_eq!(rounds(&["--set", "loss=squared_error", "--set", "n_estimators=17"]), 17);
}

/// A sum of columns, which trees cannot add up.
fn sums(dir: &Workdir) {
    let value = |i: usize, by: usize| (i * by % 997) as f64 / 100.0;
    let rows = (0..1300).map(|i| {
        let x = [31, 57, 211, 389, 503].map(|by| value(i, by));
        format!(
            "{},{},{},{},{},{:.3}\n",
            x[0],
            x[1],
            x[2],
            x[3],
            x[4],
            x[0] + 2.0 * x[1] - x[2] + 3.0 * x[3] - x[4]
        )
    });
    dir.write("sums.csv", "a,b,c,d,e,y\n".to_string() + &rows.collect::<String>());
}

#[test]
fn hopeless_candidates_are_given_up_after_the_first_fold_and_come_last() {
    let dir = Workdir::new();
    sums(&dir);
    let result = train(&dir, &["sums.csv"]);
    let board = result["leaderboard"].as_array().unwrap();
    let given_up = |line: &&Value| line["error"] == "given up after the first fold";
    let n = board.iter().filter(given_up).count();
    assert!(n > 0, "{board:?}");
    let (all, first): (Vec<&Value>, Vec<&Value>) = board.iter().partition(|line| !given_up(line));
    assert_eq!(board.iter().take(all.len()).filter(given_up).count(), 0, "{board:?}");
    assert!(all.len() >= 6 && first.iter().all(|line| line["scores"].as_array().unwrap().len() == 1));
    assert!(first.iter().all(|line| line["chosen"] == false && line["weight"].is_null()));
    let quick = ["linear-regression", "ridge", "decision-tree", "knn"];
    assert!(first.iter().all(|line| !quick.contains(&line["algorithm"].as_str().unwrap())), "{first:?}");
}

#[test]
fn what_answers_too_slowly_is_not_chosen() {
    let dir = Workdir::with(&["wine.csv"]);
    let result = train(&dir, &["wine.csv", "--max-latency", "0.5us"]);
    let board = result["leaderboard"].as_array().unwrap();
    let slow = |line: &&Value| line["error"] == "slower than --max-latency";
    let names: Vec<&str> =
        board.iter().filter(slow).map(|line| line["algorithm"].as_str().unwrap()).collect();
    assert!(names.contains(&"gradient-boosting") && !names.contains(&"logistic-regression"), "{board:?}");
    assert!(board.iter().filter(slow).all(|line| line["chosen"] == false && line["weight"].is_null()));
    let done = dir.run(&["train", "wine.csv", "--max-latency", "1ns"]).fails(2);
    done.complains(&["write a time with its unit"]);
    let done = dir.run(&["train", "wine.csv", "--max-latency", "0.001us"]).fails(1);
    done.complains(&["logistic-regression: slower than --max-latency"]);
}

#[test]
fn minutes_end_the_search_with_the_best_so_far_and_use_what_is_left() {
    let dir = Workdir::with(&["wine.csv", "iris.csv"]);
    let done = dir.run(&["train", "wine.csv", "--minutes", "0.0000001"]).ok();
    done.complains(&["ended with the time of --minutes; the best so far was taken"]);
    let result = train(&dir, &["iris.csv", "--minutes", "0.05"]);
    let board = result["leaderboard"].as_array().unwrap();
    let is_trial =
        |line: &&Value| line["variant"].as_str().is_some_and(|variant| variant.starts_with("trial "));
    assert!(board.iter().filter(is_trial).count() > 1, "{board:?}");
    dir.run(&["train", "wine.csv", "--minutes", "0"]).fails(2);
}

#[test]
fn a_given_algorithm_is_not_compared() {
    let dir = Workdir::with(&["iris.csv"]);
    let result = train(&dir, &["iris.csv", "--algorithm", "forest"]);
    assert!(result.get("leaderboard").is_none() && result.get("cv").is_none());
    assert!(card(&dir).get("selection").is_none());
}

#[test]
fn settings_restrict_the_candidates() {
    let dir = Workdir::with(&["iris.csv"]);
    let result = train(&dir, &["iris.csv", "--set", "max_depth=2"]);
    for row in result["leaderboard"].as_array().unwrap() {
        assert_ne!(row["algorithm"], "logistic-regression");
    }
    assert_eq!(card(&dir)["hyperparameters"]["max_depth"], 2);
}

#[test]
fn cross_validation_gives_the_scores_of_k_folds_their_mean_and_deviation() {
    let dir = Workdir::with(&["penguins.csv"]);
    let result = train(&dir, &["penguins.csv", "--algorithm", "logreg", "--cv", "4"]);
    let cv = &result["cv"];
    let scores: Vec<f64> = cv["scores"].as_array().unwrap().iter().map(number).collect();
    let mean = scores.iter().sum::<f64>() / 4.0;
    let std = (scores.iter().map(|score| (score - mean).powi(2)).sum::<f64>() / 4.0).sqrt();
    assert_eq!(scores.len(), 4);
    assert!((number(&cv["mean"]) - mean).abs() < 1e-15 && (number(&cv["std"]) - std).abs() < 1e-15);
    assert!(mean < 0.2 && number(&cv["metrics"]["accuracy"]["mean"]) > 0.95);
    assert_eq!(card(&dir)["selection"]["cv"], *cv);
    // The model itself is that of all training rows.
    let plain = train(&dir, &["penguins.csv", "--algorithm", "logreg"]);
    assert_eq!((&result["metrics"], &result["n_train"]), (&plain["metrics"], &plain["n_train"]));
    let text = dir.run(&["train", "penguins.csv", "--algorithm", "logreg", "--cv", "4"]).ok();
    text.says(&["Scored by 4-fold cross-validation on 275 training rows", "std"]);
}

#[test]
fn the_folds_of_auto_are_those_that_were_asked_for() {
    let dir = Workdir::with(&["iris.csv"]);
    let result = train(&dir, &["iris.csv", "--cv", "3", "--no-ensemble"]);
    assert_eq!(result["leaderboard"][0]["scores"].as_array().unwrap().len(), 3);
    let board = result["leaderboard"].as_array().unwrap();
    let chosen = board.iter().find(|row| row["chosen"] == true).unwrap();
    assert_eq!(chosen["scores"], result["cv"]["scores"]);
}

#[test]
fn folds_and_trials_that_make_no_sense_are_wrong_usage() {
    let dir = Workdir::with(&["iris.csv"]);
    for flag in ["--cv=1", "--cv=0", "--cv=many", "--tune=0", "--tune=-3"] {
        let (name, _) = flag.split_once('=').unwrap();
        dir.run(&["train", "iris.csv", flag]).fails(2).complains(&[name, "it is a whole number from"]);
    }
    let done = dir.run(&["train", "iris.csv", "--cv", "121"]).fails(2);
    done.complains(&["--cv 121: the 120 training rows cannot be cut into 121 folds"]);
    assert_eq!(dir.files(), ["iris.csv"]);
}

#[test]
fn a_class_of_one_row_is_no_obstacle() {
    let dir = Workdir::new();
    let rows = (0..60).map(|i| format!("{},{}\n", i % 17, ["a", "b"][usize::from(i % 17 > 8)]));
    dir.write("t.csv", format!("x,y\n{}3,only\n", rows.collect::<String>()));
    for algorithm in ["logreg", "tree", "forest", "extra-trees", "boost"] {
        let result = train(&dir, &["t.csv", "--algorithm", algorithm, "--cv", "5", "--metric", "accuracy"]);
        assert!(number(&result["cv"]["mean"]) > 0.4, "{algorithm}: {}", result["cv"]);
    }
}

#[test]
fn what_is_tuned_is_printed_as_flags_that_make_the_same_model_again() {
    let dir = Workdir::with(&["diabetes.csv"]);
    let data = ["train", "diabetes.csv"];
    let flags = ["--algorithm", "tree", "--tune", "12", "--set", "min_samples_split=5", "--metric", "r2"];
    let done = dir.run(&[&data[..], &flags].concat()).ok();
    let tuned = card(&dir);
    let tuning = &tuned["selection"]["tuning"];
    assert_eq!(tuning["rounds"], json!([{"n_trials": 12, "n_rows": 353}]));
    assert!(number(&tuning["after"]["mean"]) > number(&tuning["before"]["mean"]) + 0.1, "{tuning}");
    assert_eq!(tuned["hyperparameters"]["min_samples_split"], 5, "what is given stays");
    let again = tuned_to(done.out());
    assert_eq!(again[..4], ["--algorithm", "decision-tree", "--set", "min_samples_split=5"]);
    dir.run(&[&data[..], &again].concat()).ok();
    let repeated = card(&dir);
    assert_eq!(repeated["hyperparameters"], tuned["hyperparameters"]);
    assert_eq!(repeated["evaluation"], tuned["evaluation"]);
}

#[test]
fn few_rows_then_more_are_used_where_there_are_many() {
    let dir = Workdir::new();
    let row = |i: usize| format!("{},{},{}\n", i * 37 % 101, i * 11 % 23, (i * 37 % 101 + i * 7 % 5) % 3);
    dir.write("t.csv", "a,b,y\n".to_string() + &(0..2500).map(row).collect::<String>());
    train(&dir, &["t.csv", "--algorithm", "tree", "--tune", "9"]);
    let rounds = card(&dir)["selection"]["tuning"]["rounds"].clone();
    assert_eq!(rounds[0]["n_trials"], 9);
    assert_eq!(rounds[0]["n_rows"], 666);
    assert!(rounds[1]["n_trials"] == 3 || rounds[1]["n_trials"] == 4, "a third, and the defaults: {rounds}");
    assert_eq!(rounds[1]["n_rows"], 2000);
}

#[test]
fn the_winner_of_the_leaderboard_is_tuned_and_nothing_to_tune_is_said() {
    let dir = Workdir::with(&["iris.csv", "diabetes.csv"]);
    let result = train(&dir, &["iris.csv", "--tune", "4", "--cv", "3"]);
    assert_eq!(result["tuning"]["after"]["scores"], result["cv"]["scores"]);
    assert!(result["leaderboard"].is_array());
    dir.run(&["train", "diabetes.csv", "--algorithm", "linreg", "--tune", "4"])
        .ok()
        .complains(&["--tune changed nothing: linear-regression"]);
}

#[test]
fn the_same_choice_is_the_same_bytes_on_any_number_of_threads() {
    let dir = Workdir::with(&["penguins.csv", "diabetes.csv"]);
    for (data, flags) in [
        ("penguins.csv", &[][..]),
        ("diabetes.csv", &["--cv", "3"]),
        ("penguins.csv", &["--algorithm", "boost", "--tune", "4", "--set", "n_estimators=20"]),
        ("diabetes.csv", &["--algorithm", "ridge", "--tune", "30", "--cv", "4"]),
    ] {
        let bytes = |threads| {
            dir.run(&[&["train", data, "-q", "--threads", threads], flags].concat()).ok();
            dir.bytes("model.mlapi")
        };
        let one = bytes("1");
        assert!(one == bytes("2") && one == bytes("8"), "{data} {flags:?}");
    }
}

/// The whole table is made by benches/auto.sh; here a held-out score may be two standard errors of itself off.
#[test]
fn auto_is_not_far_from_the_best_algorithm_on_the_fixtures() {
    for (data, seed) in
        [("iris.csv", "1"), ("wine.csv", "1"), ("penguins.csv", "1"), ("breast_cancer.csv", "1")]
    {
        let dir = Workdir::with(&[data]);
        let accuracy = |algorithm: &str| {
            let result = train(&dir, &[data, "--seed", seed, "--algorithm", algorithm]);
            (number(&result["metrics"]["accuracy"]), number(&result["n_rows"]))
        };
        let (auto, n) = accuracy("auto");
        let best = ["logreg", "tree", "forest", "extra-trees", "boost"].map(|a| accuracy(a).0);
        let best = best.into_iter().fold(0.0, f64::max);
        let share = (best * n + 2.0) / (n + 4.0);
        let error = (share * (1.0 - share) / (n + 4.0)).sqrt();
        assert!(auto >= best - 2.0 * error, "{data}: {auto} and {best}, standard error {error}");
    }
}

/// Waits until a program handles Ctrl-C.
#[cfg(target_os = "linux")]
fn wait_until_it_listens(child: &std::process::Child) {
    let status = format!("/proc/{}/status", child.id());
    let listens = || {
        let text = std::fs::read_to_string(&status).unwrap();
        let caught = text.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        // The second bit is SIGINT's.
        u64::from_str_radix(caught.trim(), 16).unwrap() & 2 != 0
    };
    while !listens() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

#[cfg(target_os = "linux")]
fn interrupt(child: &std::process::Child) {
    let id = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &id]).status().unwrap().success());
}

/// Interrupts a training once it listens and has worked for a while.
#[cfg(target_os = "linux")]
fn interrupted(dir: &Workdir, args: &[&str]) -> crate::support::workdir::Done {
    let child = dir.run(args).spawn();
    wait_until_it_listens(&child);
    std::thread::sleep(std::time::Duration::from_millis(700));
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    let (stdout, stderr) = (output.stdout, output.stderr);
    crate::support::workdir::Done { command: format!("{args:?}"), code: output.status.code(), stdout, stderr }
}

#[test]
#[cfg(target_os = "linux")]
fn ctrl_c_keeps_the_best_so_far_and_the_model_works() {
    let dir = Workdir::with(&["digits.csv"]);
    let tune: &[&str] = &["train", "digits.csv", "--algorithm", "gradient-boosting", "--tune", "500"];
    for (args, notes) in [
        (tune, "interrupted"),
        (&["train", "digits.csv", "--set", "n_estimators=100000", "--algorithm", "forest"], "interrupted"),
        (&["train", "digits.csv", "--cv", "200"], "interrupted"),
    ] {
        let done = interrupted(&dir, args);
        assert_eq!(done.code, Some(0), "{done}");
        assert!(done.err().contains(notes) && done.out().contains("The model is in model.mlapi"), "{done}");
        dir.run(&["eval"]).ok().says(&["accuracy"]);
        std::fs::remove_file(dir.path("model.mlapi")).unwrap();
    }
}

#[test]
#[cfg(target_os = "linux")]
fn ctrl_c_while_the_table_is_read_ends_the_training_for_every_algorithm_alike() {
    use std::io::Write;

    let dir = Workdir::new();
    let rows: String =
        (0..40_000).map(|i| format!("{},{},{}\n", i * 37 % 101, i % 7, i * 37 % 101 / 60)).collect();
    for algorithm in ["random-forest", "svm", "linear-regression", "auto"] {
        let mut child = dir.run(&["train", "-", "--algorithm", algorithm]).spawn();
        let mut stdin = child.stdin.take().unwrap();
        wait_until_it_listens(&child);
        stdin.write_all(b"a,b,y\n").unwrap();
        stdin.write_all(rows.as_bytes()).unwrap();
        interrupt(&child);
        // It is read no further than what comes after; the rest has no reader.
        let mut n_written = 0;
        while n_written < 1000 && stdin.write_all(rows.as_bytes()).is_ok() {
            n_written += 1;
        }
        assert!(n_written < 1000, "{algorithm}: all of 400 MB were read");
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(130), "{algorithm}: {error}");
        assert!(error.contains("interrupted before a model was fitted"), "{algorithm}: {error}");
        assert!(!dir.path("model.mlapi").exists());
    }
}
