//! Tables at which reports of others break: every face of an evaluation (text, JSON, HTML) and of drift has to come out, with
//! numbers or without.

use serde_json::Value;

use crate::support::workdir::Workdir;

/// A table, the flags that it is trained with, and those that it is evaluated with.
struct Edge {
    name: &'static str,
    table: String,
    train: &'static [&'static str],
    eval: &'static [&'static str],
    /// Another file to evaluate on.
    other: Option<String>,
}

/// Lines of a header and rows.
fn table(header: &str, rows: impl Iterator<Item = String>) -> String {
    rows.fold(format!("{header}\n"), |text, row| text + &row + "\n")
}

/// A number from 0 to 99 that looks random.
fn mixed(i: usize, salt: usize) -> usize {
    (i * 7919 + salt * 104_729) % 9973 % 100
}

fn edges() -> Vec<Edge> {
    let yes = |i: usize| if mixed(i, 1) + mixed(i, 3) / 2 > 70 { "yes" } else { "no" };
    let plain = |n: usize| {
        table(
            "x,g,y",
            (0..n).map(|i| format!("{},{},{}", mixed(i, 1), "ab".as_bytes()[i % 2] as char, yes(i))),
        )
    };
    let none: &[&str] = &[];
    let mut edges = Vec::new();
    let mut add = |name, table, train, eval, other| edges.push(Edge { name, table, train, eval, other });
    // A segment, and a quantile of a number, of one class.
    let rows = (0..200).map(|i| {
        let one = i % 4 == 0;
        format!(
            "{},{},{}",
            mixed(i, 1),
            if one { "only yes" } else { "both" },
            if one { "yes" } else { yes(i) }
        )
    });
    add(
        "a segment of one class",
        table("x,g,y", rows),
        &["--algorithm", "tree"],
        &["--by", "g", "--by", "x"],
        None,
    );
    // Folds and groups of one class.
    let rows = (0..60).map(|i| format!("{},{}", mixed(i, 1), if i % 20 == 0 { "rare" } else { "often" }));
    add("a fold of one class", table("x,y", rows), &["--algorithm", "bayes", "--cv", "5"], none, None);
    let rows =
        (0..120).map(|i| format!("{},g{},{}", mixed(i, 1), i % 12, if i % 12 < 7 { "yes" } else { "no" }));
    add(
        "groups of one class",
        table("x,g,y", rows),
        &["--algorithm", "logreg", "--group", "g", "--cv", "3"],
        &["--by", "x"],
        None,
    );
    let rows = (0..120).map(|i| format!("{},{i},{}", mixed(i, 1), if i < 90 { yes(i) } else { "no" }));
    add(
        "held-out rows of one class",
        table("x,t,y", rows),
        &["--algorithm", "logreg", "--split-by", "t"],
        &["--by", "x", "--cost", "fp=1,fn=3"],
        None,
    );
    // A class that the file does not have.
    let three = |i: usize| ["a", "b", "c"][mixed(i, 1) / 34];
    let rows = |n: usize, wanted: fn(&str) -> bool| -> Vec<String> {
        (0..n)
            .filter(|&i| wanted(three(i)))
            .map(|i| format!("{},{},{}", mixed(i, 1), mixed(i, 2), three(i)))
            .collect()
    };
    let all = rows(200, |_| true).into_iter();
    let without = |wanted| Some(table("x,z,y", rows(150, wanted).into_iter()));
    add(
        "a class that the file does not have",
        table("x,z,y", all.clone()),
        &["--algorithm", "bayes", "--conformal", "0.9", "--calibrate", "sigmoid"],
        &["--by", "x"],
        without(|class| class != "b"),
    );
    add(
        "a file of one class",
        table("x,z,y", all),
        &["--algorithm", "bayes"],
        &["--by", "x"],
        without(|class| class == "a"),
    );
    add("a row", plain(200), &["--algorithm", "tree"], none, Some("x,g,y\n5,a,yes\n".into()));
    // Probabilities and predictions that are all equal.
    let leaf: &[&str] = &["--algorithm", "tree", "--set", "min_samples_leaf=1000"];
    add("equal probabilities", plain(200), leaf, &["--by", "g"], None);
    let steps: &[&str] = &[
        "--algorithm",
        "tree",
        "--set",
        "min_samples_leaf=1000",
        "--calibrate",
        "isotonic",
        "--optimize",
        "f1",
        "--conformal",
        "0.9",
    ];
    add("equal probabilities, calibrated", plain(200), steps, none, None);
    let rows = (0..200).map(|i| format!("{},{}.5", mixed(i, 1), mixed(i, 2)));
    let interval: &[&str] = &["--algorithm", "tree", "--set", "min_samples_leaf=1000", "--interval", "0.9"];
    add("equal predictions of numbers", table("x,y", rows), interval, &["--by", "x"], None);
    // No column of numbers.
    let rows = (0..200).map(|i| format!("l{},m{},{}", mixed(i, 1) % 5, mixed(i, 2) % 3, yes(i)));
    add("no numbers", table("c,d,y", rows), &["--algorithm", "logreg"], &["--by", "c"], None);
    let words = ["apple", "pear", "plum", "fig", "lime"];
    let rows = (0..200).map(|i| {
        format!(
            "the {} and the {} are {i} times,{}",
            words[i % 5],
            words[mixed(i, 2) % 5],
            if i % 5 < 2 { "yes" } else { "no" }
        )
    });
    add("only a text", table("t,y", rows), &["--algorithm", "logreg", "--type", "t=text"], none, None);
    // Many columns and many classes.
    let header: Vec<String> = (0..2500).map(|j| format!("column {j}")).collect();
    let rows = (0..60).map(|i| {
        let cells: Vec<String> = (0..2500).map(|j| mixed(i * 31 + j, j).to_string()).collect();
        format!("{},{}", cells.join(","), if mixed(i * 31, 0) > 50 { "yes" } else { "no" })
    });
    add(
        "2,500 columns",
        table(&format!("{},y", header.join(",")), rows),
        &["--algorithm", "tree"],
        none,
        None,
    );
    let rows = (0..1000).map(|i| format!("{},{},class {}", i % 10, mixed(i, 2), i % 100));
    add("100 classes", table("x,z,y", rows), &["--algorithm", "bayes", "--conformal", "0.9"], none, None);
    edges
}

/// What no number of a page or a text may be.
fn has_no_number(text: &str) -> bool {
    text.split(|c: char| !c.is_ascii_alphanumeric())
        .any(|word| matches!(word, "NaN" | "nan" | "inf" | "Infinity"))
}

#[test]
fn every_face_of_an_evaluation_comes_out() {
    for Edge { name, table, train, eval, other } in edges() {
        let dir = Workdir::new();
        dir.write("t.csv", &table);
        dir.run(&[&["train", "t.csv", "-q"], train].concat()).ok();
        let mut flags = vec!["eval"];
        if let Some(other) = &other {
            dir.write("other.csv", other);
            flags.push("other.csv");
        }
        flags.extend(eval);
        let details = ["--weak", "--detail", "--plot"];
        let text = dir.run(&[&flags[..], &details].concat()).ok().out().to_string();
        assert!(!has_no_number(&text), "{name}: {text}");
        let json: Value =
            dir.run(&[&flags[..], &["--weak", "--detail", "--format", "json"]].concat()).ok().json();
        assert!(
            json["metrics"].is_object() && json["curves"].is_object() != json["residuals"].is_object(),
            "{name}"
        );
        dir.run(&[&flags[..], &["--report", "r.html"]].concat()).ok();
        let page = dir.read("r.html");
        assert!(!has_no_number(&page), "{name}: a number of the report is none");
        assert!(
            page.len() < 2_000_000 && page.matches("<h3 id=").count() > 3,
            "{name}: {} bytes",
            page.len()
        );
        let curve = dir.run(&[&flags[..], &["--learning-curve", "--report", "c.html"]].concat());
        if other.is_none() && name != "2,500 columns" {
            curve.ok();
        }
        let new = if other.is_some() { "other.csv" } else { "t.csv" };
        let drift = dir.run(&["drift", new, "--report", "d.html"]).ok().out().to_string();
        assert!(!has_no_number(&drift) && !has_no_number(&dir.read("d.html")), "{name}: {drift}");
        dir.run(&["drift", new, "--format", "json"]).ok().json();
    }
}
