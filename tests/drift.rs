//! `mlapi drift`, `train --like` and `--replace-if-better`: new data against old.

use serde_json::json;

use crate::support::workdir::{Workdir, fixture};

/// penguins.csv with a shifted weight, a new island and half of the bills missing.
fn shifted() -> String {
    let text = fixture("penguins.csv");
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    let at = |name: &str| header.iter().position(|known| *known == name).unwrap();
    let (mass, island, bill) = (at("body_mass_g"), at("island"), at("bill_length_mm"));
    let mut out = header.join(",") + "\n";
    for (i, line) in lines.enumerate() {
        let mut cells: Vec<String> = line.split(',').map(String::from).collect();
        if let Ok(value) = cells[mass].parse::<f64>() {
            cells[mass] = (value + 700.0).to_string();
        }
        if i % 3 == 0 {
            cells[island] = "Newland".into();
        }
        if i % 2 == 0 {
            cells[bill] = "NA".into();
        }
        out += &(cells.join(",") + "\n");
    }
    out
}

#[test]
fn what_has_drifted_is_named_and_the_gate_ends_with_status_3() {
    let dir = Workdir::trained("penguins.csv", &["--algorithm", "tree"]);
    dir.write("new.csv", shifted());
    let same = dir.run(&["drift", "penguins.csv", "--require", "psi<0.1", "--require", "drifted<=0"]).ok();
    assert!(same.out().contains("0 drifted, 0 drifting, of 7 features"), "{}", same.out());
    let found = dir.run(&["drift", "new.csv", "--format", "json"]).ok().json();
    let features = found["features"].as_array().unwrap();
    let drifted: Vec<&str> = features
        .iter()
        .filter(|feature| feature["verdict"] == "drifted")
        .map(|feature| feature["feature"].as_str().unwrap())
        .collect();
    assert_eq!(drifted, ["island", "bill_length_mm", "body_mass_g"]);
    for key in ["type", "psi", "statistic", "p_value", "missing", "unseen", "test", "p_adjusted"] {
        assert!(features[0].get(key).is_some(), "{key}");
    }
    assert!(found["domain_auc"].as_f64().unwrap() > 0.8);
    assert!(found["predictions"]["psi"].is_number());
    let missed =
        dir.run(&["drift", "new.csv", "--require", "psi[island]<0.2", "--require", "psi[year]<0.2"]).fails(3);
    assert!(
        missed.err().contains("psi[island] is") && !missed.err().contains("psi[year] is"),
        "{}",
        missed.err()
    );
    dir.run(&["drift", "new.csv", "--require", "pse<1"]).fails(2);
    dir.run(&["drift", "new.csv", "--require", "psi[isle]<1"]).fails(2);
}

#[test]
fn a_report_shows_what_has_changed_and_stays_one_file_without_scripts() {
    let dir = Workdir::trained("penguins.csv", &["--algorithm", "tree"]);
    dir.write("new.csv", shifted());
    dir.run(&["drift", "new.csv", "--report", "drift.html"]).ok();
    let page = dir.read("drift.html");
    for section in ["Features", "Distributions", "Predictions", "Domain classifier"] {
        assert!(page.contains(&format!(">{section}</h3>")), "{section}");
    }
    assert!(page.contains("Of 7 features, 3 drifted and 0 are drifting in 344 new rows."), "{page}");
    assert!(page.contains("(unseen levels), now: 33.") && page.contains("body_mass_g: drifted"));
    assert!(!page.contains("<script") && page.contains("default-src 'none'") && page.len() < 200_000);
    // The gate ends with its own status, and the report is there.
    dir.run(&["drift", "new.csv", "--report", "gate.html", "--require", "drifted<=0"]).fails(3);
    assert!(dir.read("gate.html") == page);
    // Values of private columns are not in it.
    let dir = Workdir::trained("penguins.csv", &["--algorithm", "tree", "--private", "island"]);
    dir.write("new.csv", shifted());
    dir.run(&["drift", "new.csv", "--report", "drift.html"]).ok();
    let page = dir.read("drift.html");
    assert!(!page.contains("Biscoe") && page.contains("1 feature has no distribution to show"), "{page}");
}

#[test]
fn rows_that_the_model_was_trained_on_are_counted_and_said() {
    let dir = Workdir::trained("diabetes.csv", &["--algorithm", "ridge"]);
    let found = dir.run(&["drift", "diabetes.csv", "--format", "json"]).ok().json();
    assert_eq!(found["known_rows"], json!({ "held_out": 89, "training": 353 }));
    assert!(
        found["notes"].to_string().contains("353 have the values of a row that the model was trained on")
    );
    let text = dir.run(&["drift", "diabetes.csv"]).ok();
    let auc = found["domain_auc"].as_f64().unwrap();
    assert!(
        auc < 0.5 && text.out().contains("below 0.5 as held-out rows are among the new ones"),
        "{}",
        text.out()
    );
}

#[test]
fn a_model_that_was_moved_away_from_its_data_says_what_is_missing() {
    let dir = Workdir::trained("diabetes.csv", &["--algorithm", "ridge"]);
    dir.write("new.csv", fixture("diabetes.csv"));
    std::fs::remove_file(dir.path("diabetes.csv")).unwrap();
    let found = dir.run(&["drift", "new.csv", "--format", "json"]).ok().json();
    assert_eq!((&found["domain_auc"], &found["predictions"]["psi"]), (&json!(null), &json!(null)));
    assert_eq!(found["verdict"], "stable");
    assert!(found["notes"].to_string().contains("no domain classifier"), "{found}");
    // Rows without the target are compared as well; those without a feature are not.
    let text = dir.read("new.csv");
    let without: Vec<&str> = text.lines().map(|line| line.rsplit_once(',').unwrap().0).collect();
    dir.write("features.csv", without.join("\n"));
    dir.run(&["drift", "features.csv"]).ok();
    let fewer: Vec<&str> = text.lines().map(|line| line.split_once(',').unwrap().1).collect();
    dir.write("fewer.csv", fewer.join("\n"));
    assert!(dir.run(&["drift", "fewer.csv"]).fails(1).err().contains("age"));
}

#[test]
fn settings_are_repeated_on_new_data_and_flags_beside_them_win() {
    let flags = ["--algorithm", "forest", "--set", "n_estimators=20", "--drop", "year", "--seed", "7"];
    let more = ["--type", "island=category", "--conformal", "0.9", "--test-size", "0.3"];
    let dir = Workdir::trained("penguins.csv", &[&flags[..], &more].concat());
    let like = |flags: &[&str]| {
        let given = ["train", "penguins.csv", "--like", "model.mlapi", "-o", "again.mlapi"];
        dir.run(&[&given, flags].concat()).ok();
    };
    like(&[]);
    assert!(dir.bytes("again.mlapi") == dir.bytes("model.mlapi"), "the same settings make the same model");
    like(&["--seed", "8", "--set", "n_estimators=10"]);
    let card = &dir.run(&["inspect", "--model", "again.mlapi", "--format", "json"]).ok().json()["card"];
    assert_eq!((&card["seed"], &card["hyperparameters"]["n_estimators"]), (&json!(8), &json!(10)));
    // A column that the model does not know is not used, so that it takes the same requests.
    let wider: String = (dir.read("penguins.csv").lines().enumerate())
        .map(|(i, line)| if i == 0 { format!("extra,{line}\n") } else { format!("{i},{line}\n") })
        .collect();
    dir.write("wider.csv", wider);
    dir.run(&["train", "wider.csv", "--like", "model.mlapi", "-o", "wider.mlapi"]).ok();
    let schema = &dir.run(&["inspect", "--model", "wider.mlapi", "--format", "json"]).ok().json()["schema"];
    let names: Vec<&str> =
        schema["features"].as_array().unwrap().iter().map(|f| f["name"].as_str().unwrap()).collect();
    assert!(!names.contains(&"extra") && !names.contains(&"year"), "{names:?}");
}

#[test]
fn a_worse_model_does_not_replace_the_one_that_is_there() {
    let dir = Workdir::trained("breast_cancer.csv", &["--algorithm", "tree"]);
    let before = dir.bytes("model.mlapi");
    let train = ["train", "breast_cancer.csv", "--replace-if-better", "--algorithm"];
    let replaced = dir.run(&[&train[..], &["logreg"]].concat()).ok();
    assert!(replaced.out().contains("It replaces the model before it: log_loss"), "{}", replaced.out());
    let better = dir.bytes("model.mlapi");
    assert!(better != before);
    let kept = dir.run(&[&train[..], &["tree"]].concat()).fails(3);
    assert!(kept.err().contains("the model in model.mlapi stays: log_loss"), "{}", kept.err());
    assert!(dir.bytes("model.mlapi") == better);
    let first = [&train[..], &["tree", "-o", "new.mlapi"]].concat();
    dir.run(&first).ok();
    dir.run(&[&train[..], &["tree", "-o", "-"]].concat()).fails(2);
    dir.write("new.mlapi", "no model");
    dir.run(&first).fails(1);
    assert_eq!(dir.read("new.mlapi"), "no model");
}

#[test]
fn the_statistic_of_numbers_is_that_of_scipy() {
    // scipy 1.17.1, of the values that are not missing: ks_2samp(all rows, the first rows).statistic.
    type Wanted = &'static [(&'static str, f64)];
    let tables: [(&str, usize, Wanted); 3] = [
        (
            "penguins.csv",
            150,
            &[
                ("bill_length_mm", 0.501_531),
                ("bill_depth_mm", 0.318_851),
                ("flipper_length_mm", 0.392_480),
                ("body_mass_g", 0.294_929),
                ("year", 0.015_504),
            ],
        ),
        (
            "breast_cancer.csv",
            200,
            &[
                ("mean_radius", 0.066_327),
                ("mean_smoothness", 0.125_949),
                ("texture_error", 0.041_415),
                ("worst_concave_points", 0.136_995),
            ],
        ),
        ("wine.csv", 60, &[("ash", 0.150_936), ("hue", 0.292_509), ("proline", 0.573_596)]),
    ];
    for (name, n, wanted) in tables {
        let dir = Workdir::new();
        dir.write(name, fixture(name));
        let lines: Vec<String> = fixture(name).lines().take(n + 1).map(String::from).collect();
        dir.write("new.csv", lines.join("\n"));
        // All rows are trained on, as others are held out.
        dir.run(&["train", name, "--test", "new.csv", "--algorithm", "tree"]).ok();
        let found = dir.run(&["drift", "new.csv", "--format", "json"]).ok().json();
        for (feature, wanted) in wanted {
            let all = found["features"].as_array().unwrap();
            let of = all.iter().find(|of| of["feature"] == *feature).unwrap();
            let statistic = of["statistic"].as_f64().unwrap();
            assert!((statistic - wanted).abs() < 0.01, "{feature}: {statistic} is not {wanted}");
            assert!(of.get("statistic_bound").is_none(), "{of}");
        }
    }
}

#[test]
fn a_training_writes_a_report_that_compares_the_new_model_with_the_old_one() {
    let dir = Workdir::trained("breast_cancer.csv", &["--algorithm", "tree"]);
    let train = |algorithm: &str| {
        let flags = ["--replace-if-better", "--report", "r.html", "--algorithm", algorithm];
        dir.run(&[&["train", "breast_cancer.csv"][..], &flags].concat())
    };
    train("logreg").ok();
    let page = dir.read("r.html");
    for text in [
        "Compared with another model",
        "The new model replaces the old one: log_loss",
        "better than the old model.mlapi by",
        ">Worst rows</h3>",
        ">training rows<",
    ] {
        assert!(page.contains(text), "{text}");
    }
    train("tree").fails(3);
    let page = dir.read("r.html");
    assert!(
        page.contains("The old model stays: log_loss") && page.contains("worse than the old model.mlapi by")
    );
    // Without a model to compare with, and of one that has seen its held-out rows.
    dir.run(&["train", "breast_cancer.csv", "--algorithm", "tree", "--refit", "--report", "r.html"]).ok();
    let page = dir.read("r.html");
    assert!(!page.contains("Compared with another model") && page.contains(">Metrics</h3>"));
    dir.run(&["train", "-", "--report", "r.html"]).fails(2);
}
