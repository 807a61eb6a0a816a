//! Tables that stand in their files in odd ways: read as the plain table, found again by `eval` and `predict`, or named.

use crate::support::workdir::{Done, Workdir};

/// Rows of a table whose kind follows from its numbers.
fn rows() -> Vec<[String; 3]> {
    let row = |i: usize| {
        let (size, n) = (i * 37 % 91, i * 17 % 13);
        let kind = if size + 3 * n > 60 { "oak" } else { "elm" };
        [format!("{}.5", size + 10), n.to_string(), kind.to_string()]
    };
    (0..60).map(row).collect()
}

/// The table with `head`, each row written by `change`, and `foot`.
fn table(head: &str, change: impl Fn(&[String; 3]) -> String, foot: &str) -> String {
    let lines: String = rows().iter().map(|row| change(row) + "\n").collect();
    format!("{head}\n{lines}{foot}")
}

fn with(delimiter: &str) -> impl Fn(&[String; 3]) -> String + '_ {
    move |row| row.join(delimiter)
}

const TRAIN: [&str; 4] = ["train", "t.csv", "--algorithm", "tree"];

fn train(text: &str, flags: &[&str]) -> (Workdir, Done) {
    let dir = Workdir::new();
    dir.write("t.csv", text);
    let done = dir.run(&[&TRAIN, flags].concat()).done();
    (dir, done)
}

/// The metrics of the replay of the held-out rows, and the predictions for all rows.
fn results(dir: &Workdir, flags: &[&str]) -> (serde_json::Value, Vec<serde_json::Value>) {
    let eval = dir.run(&["eval", "--format", "json"]).ok().json();
    assert_eq!(eval.get("recorded_at_training"), None, "the rows are found again");
    let all = [&["predict", "--input", "t.csv", "--format", "ndjson"], flags].concat();
    (eval["metrics"].clone(), dir.run(&all).ok().ndjson())
}

#[test]
fn odd_layouts_are_read_as_the_plain_table_by_train_eval_and_predict() {
    let bars = |row: &[String; 3]| format!("| {} |", row.join(" | "));
    let lined_up = |row: &[String; 3]| format!("{:>8} {:>4}  {:<5}", row[0], row[1], row[2]);
    let quoted = |row: &[String; 3]| format!("{}, {}, \"{}\"", row[0], row[1], row[2]);
    let again = |row: &[String; 3]| match row[0].as_str() {
        "47.5" => format!("size,n,kind\n{}", row.join(",")),
        _ => row.join(","),
    };
    let (dir, done) = train(&table("size,n,kind", with(","), ""), &[]);
    assert!(done.stderr.is_empty(), "{done}");
    let wanted = results(&dir, &[]);
    assert!(wanted.0["accuracy"].as_f64().unwrap() > 0.7, "{}", wanted.0);
    let none: &[&str] = &[];
    let markdown = "| size | n | kind |\n|---|:-:|--:|";
    let mysql = "+---+---+---+\n| size | n | kind |\n+---+---+---+";
    for (text, flags, note) in [
        (
            table("# by a logger, v2\n# north\nsize,n,kind", with(","), ""),
            none,
            "first 2 lines were left out, as comments",
        ),
        (table("sep=;\nsize;n;kind", with(";"), ""), none, "divided by ';', as its line 1 says"),
        (
            table("Trees of the park\n\nsize,n,kind", with(","), ""),
            none,
            "its first line was left out, as line 3 names the columns",
        ),
        (table("Trees,,\n,,\nsize,n,kind", with(","), ""), none, "as line 3 names the columns"),
        (table("size,n,kind,", |row| row.join(",") + ",", ""), none, ""),
        (table("size,n,kind", |row| row.join(",") + ",", ""), none, "that its lines end with"),
        (table("size||n||kind", with("||"), ""), none, "divided by \"||\""),
        (table("size::n::kind", with("::"), ""), none, "divided by \"::\""),
        (table("size n kind", lined_up, ""), none, "divided by blanks"),
        (table("size n kind", lined_up, ""), &["--delimiter", " "], ""),
        (table("size, n, kind", quoted, ""), none, "the blanks before its quotes"),
        (table(markdown, bars, ""), none, "drawn with bars and dashes"),
        (table(" size | n | kind\n---+---+---", with(" | "), "(60 rows)\n"), none, "drawn with bars"),
        (table(mysql, bars, "+---+---+---+\n60 rows in set (0.00 sec)\n"), none, "drawn with bars"),
        (table("size,n,kind", again, ""), none, "t.csv line 3 repeats the header; left out"),
        (table("size,n,kind", again, "size,n,kind\n"), none, "line 3 repeats the header, and so do 1 more"),
        (table("a title, and more\nsize,n,kind", with(","), ""), &["--lines-to-skip", "1"], ""),
        (table("size,n,kind\ncm,,", with(","), "Total,9,\n"), &["--skip-line", "2", "--skip-line", "63"], ""),
        (table("size,n,kind\n% late", with(","), "% end\n"), &["--comment", "%"], ""),
    ] {
        let (dir, done) = train(&text, flags);
        assert_eq!(done.code, Some(0), "{text}{done}");
        assert!(done.err().contains(note), "{note}: {done}");
        assert_eq!(results(&dir, flags), wanted, "{text}");
        let list = dir.run(&[&["predict", "--input", "t.csv"], flags].concat()).ok();
        assert!(list.out().lines().count() == rows().len() + 1, "{list}");
    }
}

#[test]
fn what_is_said_of_a_file_is_kept_in_the_model_for_its_held_out_rows() {
    let text = table("a title, and more\nsize,n,kind\ncm,,", with(","), "");
    let (dir, done) = train(&text, &["--lines-to-skip", "1", "--skip-line", "3"]);
    assert_eq!(done.code, Some(0), "{done}");
    dir.run(&["eval"]).ok().says(&["12 rows"]);
    let card = dir.run(&["inspect", "--format", "json"]).ok().json();
    assert_eq!(card["card"]["written"]["lines_to_skip"], 1, "{card}");
}

#[test]
fn a_line_that_is_no_row_is_named_with_the_flag_that_helps() {
    for (text, words) in [
        (table("size,n,kind\ncm,per year,", with(","), ""), &["t.csv line 2", "\"cm\"", "--skip-line 2"][..]),
        (table("Trees,,Class\nsize,n,kind", with(","), ""), &["line 2", "--lines-to-skip 1"]),
        (
            table("size,n,kind", with(","), "Total,360,"),
            &["t.csv line 62", "\"Total\"", "a total", "--skip-line 62"],
        ),
        (table("size,n,kind", with(","), "# end of file"), &["t.csv line 62: 1 field", "--comment '#'"]),
        (table("size,n,kind", with(","), "(60 rows)"), &["t.csv line 62", "number of rows; --skip-line 62"]),
        (table("Trees\nof the park\n1,2", |row| row[0].clone(), ""), &["t.csv line 3", "--lines-to-skip 2"]),
        (table("<html>", with(","), ""), &["t.csv is a web page (HTML), not a table"]),
        (
            table("size,n,note", |row| format!("{},{},x{}", row[0], row[1], row[0]), ""),
            &["nearly every value", "--target COL"],
        ),
    ] {
        let done = train(&text, &[]).1;
        assert_eq!(done.code, Some(1), "{done}");
        let done = done.complains(words);
        assert!(!done.err().contains("needs quotes"), "{done}");
    }
}

#[test]
fn a_quote_that_takes_lines_which_look_like_records_is_named() {
    let lone = |row: &[String; 3]| match row[0].as_str() {
        "47.5" => format!("{}\t{}\t\"{}", row[2], row[1], row[0]),
        "59.5" => format!("{}\t{}\t{}\"", row[2], row[1], row[0]),
        _ => format!("{}\t{}\t{}", row[2], row[1], row[0]),
    };
    let text = table("kind\tn\tsize", lone, "");
    let (at, end) = (text.find('"').unwrap(), text.rfind('"').unwrap());
    let line = |at: usize| text[..at].matches('\n').count() + 1;
    let words = [
        format!(
            "t.csv line {}: a quote is opened and closed {} lines further on",
            line(at),
            line(end) - line(at)
        ),
        "--quote none".into(),
    ];
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let flags = ["--target", "kind", "--type", "size=category"];
    let (dir, done) = train(&text, &flags);
    done.complains(&words);
    dir.run(&["predict", "--input", "t.csv", "--on-error", "null"]).ok().complains(&words);
    let (_, done) = train(&text, &[&flags[..], &["--quote", "none"]].concat());
    assert!(done.out().contains("60 rows") && !done.err().contains("quote"), "{done}");
}

#[test]
fn a_first_line_of_texts_that_come_again_is_a_row() {
    let words = |row: &[String; 3]| {
        let size = if row[0].as_str() < "5" { "small" } else { "big" };
        format!("{size},{},{}", ["few", "many"][usize::from(row[1].len() > 1)], row[2])
    };
    let (dir, done) = train(&table("big,few,oak", words, ""), &[]);
    done.says(&["61 rows", "column_3"]).complains(&["fits the columns below it", "--header"]);
    dir.run(&["predict", "--features", "big,few"]).ok();
    train(&table("big,few,tree", words, ""), &[]).1.says(&["60 rows", "tree"]);
}

#[test]
fn comments_and_skipped_lines_are_left_out_of_standard_input_too() {
    let (dir, _) = train(&table("size,n,kind", with(","), ""), &["-q"]);
    let input = "# new\n# trees\nsize,n\n20.5,3\n# late\n80.5,12\n";
    let done = dir.run(&["predict", "--input", "-", "--comment", "#"]).stdin(input).ok();
    let records = done.csv();
    assert_eq!((records.len(), &records[1][2][..], &records[2][2][..]), (3, "elm", "oak"), "{done}");
    dir.run(&["predict", "--input", "-"]).stdin(input).fails(1).complains(&["line 5", "\"# late\""]);
}
