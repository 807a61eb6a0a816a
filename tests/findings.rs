//! `mlapi train`: mistakes in a table that it finds and names, and the splits that keep rows together or in time.

use std::fmt::Write;

use crate::support::workdir::{Done, Workdir};
use serde_json::{Value, json};

/// A number that looks random and is the same on every machine: the finaliser of SplitMix64.
fn noise(i: usize, stream: usize) -> f64 {
    let mut z = (i as u64 * 1000 + stream as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

/// A label that follows a number in four of five rows.
fn label(i: usize) -> &'static str {
    if (noise(i, 0) > 0.5) == (noise(i, 9) > 0.2) { "yes" } else { "no" }
}

/// A table of `n` rows, each made from its number.
fn table(header: &str, n: usize, row: impl Fn(usize) -> String) -> String {
    (0..n).fold(format!("{header}\n"), |mut text, i| {
        writeln!(text, "{}", row(i)).unwrap();
        text
    })
}

/// A row of two numbers, the first of which tells something.
fn plain(i: usize) -> String {
    format!("{:.6},{:.6},{}", noise(i, 0), noise(i, 1), label(i))
}

fn trained(text: &str, flags: &[&str]) -> (Workdir, Done) {
    let dir = Workdir::new();
    dir.write("t.csv", text);
    let done = dir.run(&[&["train", "t.csv", "--algorithm", "tree"], flags].concat()).ok();
    (dir, done)
}

fn card(dir: &Workdir) -> Value {
    dir.run(&["inspect", "--format", "json"]).ok().json()["card"].clone()
}

/// Expects exit status `code`, these words, and nothing left behind.
fn refused(text: &str, flags: &[&str], code: i32, words: &str) {
    let dir = Workdir::new();
    dir.write("t.csv", text);
    dir.run(&[&["train", "t.csv", "--algorithm", "tree"], flags].concat()).fails(code).complains(&[words]);
    assert_eq!(dir.files(), ["t.csv"]);
}

// Mistakes.

#[test]
fn a_table_without_mistakes_gets_no_note() {
    let (dir, done) = trained(&table("a,b,y", 300, plain), &[]);
    done.silent();
    assert!(card(&dir).get("notes").is_none());
}

#[test]
fn a_column_with_the_cells_of_another_is_left_out_and_both_are_named() {
    let text = table("a,b,again,y", 200, |i| {
        format!("{:.6},{:.6},{:.6},{}", noise(i, 0), noise(i, 1), noise(i, 0), label(i))
    });
    let (dir, done) = trained(&text, &[]);
    done.complains(&["column \"again\" has the same cells as \"a\" and was dropped"])
        .says(&["the same cells as \"a\""]);
    let card = card(&dir);
    assert!(card["notes"][0].as_str().unwrap().contains("\"again\""), "{card}");
    dir.run(&["eval"]).ok();
    dir.run(&["predict", "--features", "a=0.5,b=0.5"]).ok();

    let (dir, done) = trained(&text, &["--type", "again=number"]);
    done.silent();
    assert_eq!(
        dir.run(&["inspect", "--format", "json"]).ok().json()["schema"]["features"][2]["name"],
        "again"
    );
}

#[test]
fn rows_that_are_copies_are_counted_and_the_held_out_ones_spoil_the_figures() {
    let text = table("a,b,y", 300, |i| plain(i % 200));
    let (dir, done) = trained(&text, &[]);
    done.complains(&[
        "100 of 300 rows (33 %) have the same cells as a row before them, the first t.csv line 202 as t.csv line 2;",
        "held-out rows",
        "better than on new rows; remove the copies",
    ]);
    let card = card(&dir);
    assert_eq!(card["n_repeated"], 100);
    let n_seen = card["n_held_out_seen"].as_u64().unwrap();
    assert!((20..=60).contains(&n_seen), "{n_seen}");
}

#[test]
fn rows_of_a_test_file_that_are_fitted_as_well_are_counted() {
    let dir = Workdir::new();
    dir.write("t.csv", table("a,b,y", 200, plain));
    // Another order of columns, and the same number written in another way.
    let row = |i: usize| format!("{},{:.6}0,{:.6}", label(i), noise(i, 1), noise(i, 0));
    dir.write("test.csv", table("y,b,a", 100, |i| row(i + 190)));
    dir.run(&["train", "t.csv", "--algorithm", "tree", "--test", "test.csv"]).ok().complains(&[
        "10 of 100 held-out rows (10 %) have the same cells as a row that is fitted, the first test.csv line 2 as \
         t.csv line 192;",
    ]);
    assert_eq!(card(&dir)["n_held_out_seen"], 10);
}

#[test]
fn copies_that_come_about_by_chance_are_counted_without_a_note() {
    let text = table("a,b,y", 300, |i| format!("{},{},{}", (noise(i, 0) * 4.0) as u8, i % 3, label(i)));
    let (dir, done) = trained(&text, &[]);
    done.silent();
    assert!(card(&dir)["n_repeated"].as_u64().unwrap() > 200);
}

#[test]
fn a_column_that_predicts_the_target_alone_is_named_with_its_score() {
    let text = table("a,state,y", 300, |i| {
        format!("{:.6},{},{}", noise(i, 0), ["paid", "open"][usize::from(label(i) == "yes")], label(i))
    });
    let (dir, done) = trained(&text, &[]);
    done.complains(&["column \"state\" predicts \"y\" alone (100.0 % of rows right", "--drop \"state\""]);
    dir.run(&["train", "t.csv", "--algorithm", "tree", "--drop", "state"]).ok().silent();

    let text = table("a,cents,price", 300, |i| {
        let price = (noise(i, 0) * 9.0).exp();
        format!("{:.6},{:.0},{price:.2}", noise(i, 1), price * 100.0)
    });
    let (_, done) = trained(&text, &[]);
    done.complains(&["column \"cents\" predicts \"price\" alone (R² of the ranks 0.999"]);
}

#[test]
fn real_tables_get_no_false_alarm() {
    for name in ["iris.csv", "breast_cancer.csv", "wine.csv", "penguins.csv", "diabetes.csv", "digits.csv"] {
        let dir = Workdir::with(&[name]);
        dir.run(&["train", name, "--algorithm", "tree"]).ok().silent();
    }
}

#[test]
fn a_class_of_few_rows_is_named_with_the_figure_to_look_at() {
    let text = table("a,b,y", 500, |i| {
        format!("{:.6},{:.6},{}", noise(i, 0), noise(i, 1), if i % 50 == 0 { "fraud" } else { "fine" })
    });
    let (dir, done) = trained(&text, &[]);
    done.complains(&[
        "8 of 400 training rows (2.0 %) are of the class \"fraud\" (8)",
        "f1.macro",
        "--balance",
    ]);
    dir.run(&["train", "t.csv", "--algorithm", "tree", "--balance"]).ok().silent();
}

#[test]
fn a_class_with_fewer_rows_than_folds_is_named() {
    let text = table("a,b,y", 100, |i| {
        format!("{:.6},{:.6},{}", noise(i, 0), noise(i, 1), if i < 3 { "rare" } else { label(i) })
    });
    let (_, done) = trained(&text, &["--cv", "5"]);
    done.complains(&["1 class has fewer training rows than the 5 folds", "\"rare\" (2)"]);
}

#[test]
fn columns_with_more_gaps_than_values_are_named() {
    let text = table("a,b,y", 300, |i| {
        let gap = if i % 3 == 0 { format!("{:.4}", noise(i, 3)) } else { String::new() };
        format!("{:.6},{gap},{}", noise(i, 0), label(i))
    });
    let (_, done) = trained(&text, &[]);
    done.complains(&["more than half of the cells are missing in \"b\" (67 %)", "--drop"]);
}

#[test]
fn labels_that_differ_by_case_or_spaces_are_named_with_counts_and_lines() {
    let text = table("a,b,y", 200, |i| match i {
        7 => format!("{:.6},{:.6},Yes", noise(i, 0), noise(i, 1)),
        9 => format!("{:.6},{:.6},\" YES \"", noise(i, 0), noise(i, 1)),
        11 => format!("{:.6},{:.6},\"no \"", noise(i, 0), noise(i, 1)),
        _ => plain(i),
    });
    let (dir, done) = trained(&text, &[]);
    done.complains(&[
        "labels of \"y\" differ only by case or spaces",
        "\"YES\" (1 row: t.csv line 11), \"Yes\" (1 row: t.csv line 9)",
    ]);
    let labels = &dir.run(&["inspect", "--format", "json"]).ok().json()["labels"];
    assert_eq!(*labels, json!(["YES", "Yes", "no", "yes"]), "spaces at the ends never count");
}

#[test]
fn cells_that_are_no_numbers_in_a_column_of_numbers_are_listed_with_the_ways_out() {
    let text = table("a,b,y", 300, |i| match i {
        5 | 50 | 299 => format!("about 3,{:.6},{}", noise(i, 1), label(i)),
        _ => plain(i),
    });
    for words in [
        "t.csv line 7, column \"a\": \"about 3\" is not a number",
        "t.csv line 52, column \"a\"",
        "t.csv line 301, column \"a\"",
        "correct the cells, name them as missing (--null TOKEN), or read the column as text (--type \"a=category\")",
    ] {
        refused(&text, &[], 1, words);
    }
}

// Groups.

/// Forty patients with eight visits each; what is measured is the patient's, and so is the label.
fn visits() -> String {
    table("patient,a,b,y", 320, |i| {
        let patient = (i * 7) % 40;
        format!(
            "p{patient},{:.6},{:.6},{}",
            noise(patient, 0) + noise(i, 5) / 1e4,
            noise(i, 1),
            label(patient)
        )
    })
}

#[test]
fn no_group_is_on_both_sides_and_the_group_is_no_feature() {
    let (dir, done) = trained(&visits(), &["--group", "patient"]);
    done.says(&[
        "256 rows to fit, 64 held out (8 of 40 groups by patient, seed 42, stratified as far as whole groups allow)",
        "  groups of the split\n",
    ]);
    let described = dir.run(&["inspect", "--format", "json"]).ok().json();
    assert_eq!(described["card"]["split_by"], json!({"group": "patient"}));
    let features = described["schema"]["features"].as_array().unwrap();
    assert_eq!(features.iter().map(|f| &f["name"]).collect::<Vec<_>>(), ["a", "b"]);

    let (dir, _) = trained(&visits(), &["--group", "patient", "--type", "patient=category"]);
    let described = dir.run(&["inspect", "--format", "json"]).ok().json();
    assert_eq!(described["schema"]["features"][0]["name"], "patient");
}

#[test]
fn figures_by_groups_are_honest_where_rows_of_a_group_are_alike() {
    // Within a patient every visit has one label, so rows by chance are recognised and not predicted.
    let text = table("patient,a,b,y", 320, |i| {
        let patient = i % 40;
        let y = if noise(patient, 7) > 0.5 { "yes" } else { "no" };
        format!("{},{:.6},{:.6},{y}", 100 + patient, noise(patient, 0) + noise(i, 5) / 1e4, noise(i, 1))
    });
    let accuracy = |flags: &[&str]| {
        let (dir, _) = trained(&text, flags);
        dir.run(&["eval", "--format", "json"]).ok().json()["metrics"]["accuracy"].as_f64().unwrap()
    };
    assert!(accuracy(&["--drop", "patient"]) > 0.95);
    assert!(accuracy(&["--group", "patient"]) < 0.8);
}

#[test]
fn eval_reads_the_held_out_groups_and_times_again() {
    let dated = table("day,a,b,y", 300, |i| {
        let day = (i * 11) % 300;
        format!("2024-{:02}-{:02},{}", day / 28 % 12 + 1, day % 28 + 1, plain(i))
    });
    for (text, flags) in [(visits(), ["--group", "patient"]), (dated, ["--split-by", "day"])] {
        let dir = Workdir::new();
        dir.write("t.csv", text);
        let train = [&["train", "t.csv", "--algorithm", "logreg", "--format", "json"], &flags[..]].concat();
        let at_training = dir.run(&train).ok().json();
        let again = dir.run(&["eval", "--format", "json"]).ok().json();
        assert_eq!(at_training["metrics"], again["metrics"]);
        assert_eq!(at_training["confusion_matrix"], again["confusion_matrix"]);
    }
}

#[test]
fn splits_by_group_and_time_give_the_same_bytes_on_any_number_of_threads() {
    let dir = Workdir::new();
    dir.write("t.csv", visits());
    for flags in [["--group", "patient"], ["--split-by", "b"]] {
        let bytes = |threads: &str| {
            let train = ["train", "t.csv", "-q", "--cv", "3", "--tune", "4", "--threads", threads];
            dir.run(&[&train, &flags[..]].concat()).ok();
            dir.bytes("model.mlapi")
        };
        assert!(bytes("1") == bytes("4"), "{flags:?}");
    }
}

#[test]
fn folds_keep_groups_together_as_well() {
    let (dir, _) = trained(&visits(), &["--group", "patient", "--cv", "4", "--metric", "accuracy"]);
    let by_group = card(&dir)["selection"]["cv"]["mean"].as_f64().unwrap();
    let (dir, _) = trained(&visits(), &["--drop", "patient", "--cv", "4", "--metric", "accuracy"]);
    let by_chance = card(&dir)["selection"]["cv"]["mean"].as_f64().unwrap();
    assert!(by_chance > by_group + 0.1, "{by_chance} {by_group}");
    refused(
        &table("g,a,b,y", 60, |i| format!("{},{}", i % 4, plain(i))),
        &["--group", "g", "--cv", "5"],
        2,
        "--cv 5: the 3 groups of training rows cannot be cut into 5 folds; give fewer",
    );
}

#[test]
fn auto_compares_by_groups_and_says_where_they_are_too_few() {
    let dir = Workdir::new();
    dir.write("t.csv", visits());
    dir.run(&["train", "t.csv", "--group", "patient"]).ok().says(&["decision-tree"]);
    dir.write("t.csv", table("g,a,b,y", 60, |i| format!("{},{}", i % 2, plain(i))));
    dir.run(&["train", "t.csv", "--group", "g"]).ok().says(&["the groups are too few to compare others"]);
}

// Time.

#[test]
fn the_latest_rows_are_held_out_and_those_of_one_day_stay_together() {
    let text = table("day,a,b,y", 100, |i| format!("2024-01-{:02},{}", (i * 3) % 25 + 1, plain(i)));
    let (dir, done) = trained(&text, &["--split-by", "day", "--test-size", "0.22"]);
    // Four rows a day: 22 rows begin on the 20th, of which all are held out.
    done.says(&["76 rows to fit, 24 held out (the latest by day, from 2024-01-20 on)"]);
    assert_eq!(card(&dir)["split_by"], json!({"time": "day"}));
    let (_, done) = trained(&text, &["--split-by", "a", "--cv", "4"]);
    let words = done.out().lines().find(|line| line.starts_with("split")).unwrap();
    assert!(words.contains("80 rows to fit, 20 held out (the latest by a, from 0."), "{words}");
}

#[test]
fn what_changes_with_time_is_seen_by_a_split_in_time_alone() {
    // The label follows the number in the first four fifths of the rows, and its opposite after that.
    let text = table("t,a,b,y", 500, |i| {
        let y = if (noise(i, 0) > 0.5) == (i < 400) { "yes" } else { "no" };
        format!("{i},{:.6},{:.6},{y}", noise(i, 0), noise(i, 1))
    });
    let (dir, _) = trained(&text, &["--split-by", "t"]);
    let metrics = &dir.run(&["eval", "--format", "json"]).ok().json()["metrics"];
    assert!(metrics["accuracy"].as_f64().unwrap() < 0.1, "{metrics}");
}

#[test]
fn folds_in_time_that_miss_a_class_are_refused_where_they_were_asked_for() {
    let text = table("t,a,b,y", 200, |i| {
        let y = if i < 50 { "no" } else { label(i) };
        format!("{i},{:.6},{:.6},{y}", noise(i, 0), noise(i, 1))
    });
    refused(&text, &["--split-by", "t", "--cv", "5"], 2, "leave every class in the past; give fewer");
    trained(&text, &["--split-by", "t", "--cv", "2"]);
    refused(
        &table("t,a,b,y", 200, |i| {
            format!("{i},{:.6},{:.6},{}", noise(i, 0), noise(i, 1), if i < 170 { "no" } else { "yes" })
        }),
        &["--split-by", "t"],
        1,
        "all rows of class \"yes\" are among the 40 latest by \"t\"",
    );
}

#[test]
fn splits_that_are_not_possible_are_refused() {
    let text = visits();
    for (flags, words) in [
        (&["--group", "patient", "--test", "t.csv"][..], "cannot be used with"),
        (&["--split-by", "a", "--test", "t.csv"], "cannot be used with"),
        (&["--group", "patient", "--split-by", "a"], "cannot be used with"),
        (&["--group", "patiant"], "--group \"patiant\": t.csv has no such column; did you mean \"patient\"?"),
        (&["--group", "y"], "--group \"y\": that is the target"),
        (&["--split-by", "y"], "--split-by \"y\": that is the target"),
    ] {
        refused(&text, flags, 2, words);
    }
    for (flags, words) in [
        (
            &["--split-by", "patient"][..],
            "t.csv line 2, column \"patient\": \"p0\" is not a number or a date",
        ),
        (&["--group", "one"], "column \"one\": all rows have the same value"),
        (&["--group", "gap"], "t.csv line 3, column \"gap\": the group of the row is missing"),
        (&["--split-by", "gap"], "t.csv line 3, column \"gap\": the time of the row is missing"),
        (&["--group", "sort"], "no group of \"sort\" can be held out"),
    ] {
        let gap = |i: usize| if i == 1 { String::new() } else { i.to_string() };
        let text = table("patient,one,gap,sort,a,b,y", 60, |i| {
            format!("p{i},1,{},{},{}", gap(i), label(i), plain(i))
        });
        refused(&text, flags, 1, words);
    }
}
