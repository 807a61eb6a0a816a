//! Files that readers stumble over, those of fixtures/nasty/ and larger ones that are made here, and what is
//! said of each.

use std::io::Write;

use crate::support::workdir::{Done, Workdir};

fn train(name: &str) -> (Workdir, Done) {
    let dir = Workdir::new();
    let path = format!("{}/fixtures/nasty/{name}", env!("CARGO_MANIFEST_DIR"));
    dir.write(name, std::fs::read(path).unwrap());
    let done = dir.run(&["train", name, "--algorithm", "tree"]).done();
    (dir, done)
}

/// What each file is: trained on, with these columns; or refused, with these words.
const FILES: [(&str, Result<&[&str], &str>); 20] = [
    ("embedded_newlines.csv", Ok(&["24 rows, 3 columns", "comment category 0% 3"])),
    (
        "unclosed_quote.csv",
        Err("unclosed_quote.csv line 3: a quote is opened in this record and never closed"),
    ),
    ("quote_within_field.csv", Ok(&["24 rows", "pipe category 0% 3"])),
    ("text_after_quote.csv", Ok(&["24 rows", "pipe category 0% 3"])),
    ("nul_bytes.csv", Ok(&["24 rows", "code category 0% 2"])),
    ("mixed_line_ends.csv", Ok(&["24 rows, 3 columns", "kind category"])),
    ("carriage_returns.csv", Ok(&["24 rows, 3 columns", "kind category"])),
    ("no_last_line_end.csv", Ok(&["24 rows, 3 columns"])),
    ("duplicate_names.csv", Err("line 1: columns 1 and 3 are both called \"size\"; rename one of them")),
    ("empty_names.csv", Ok(&["column_2 category", "column_3 target"])),
    ("header_like_data.csv", Ok(&["24 rows, 3 columns", "column_1 number", "column_3 target"])),
    ("ragged.csv", Err("ragged.csv line 3: 4 fields where the first line has 3; a field that contains")),
    ("delimiter_within_text.csv", Ok(&["24 rows, 3 columns", "size number"])),
    ("single_quotes.csv", Ok(&["24 rows, 3 columns", "comment category 0% 2"])),
    ("blank_lines.csv", Ok(&["24 rows, 3 columns"])),
    ("decimal_comma.csv", Ok(&["24 rows, 3 columns", "size number", "weight number"])),
    ("gb18030.csv", Ok(&["24 rows, 3 columns", "城市 category", "标签 target", "2 classes"])),
    ("windows_1252.csv", Ok(&["24 rows, 3 columns", "Straße category 0% 2"])),
    ("utf_16.csv", Ok(&["24 rows, 3 columns", "城市 category", "2 classes"])),
    ("objects.ndjson", Ok(&["24 rows, 4 columns", "size number", "kind category", "ok boolean"])),
];

#[test]
fn each_nasty_file_is_read_or_refused_as_the_table_says() {
    for (name, wanted) in FILES {
        let (dir, done) = train(name);
        match wanted {
            Ok(words) => {
                assert_eq!(done.code, Some(0), "{done}");
                // However wide the columns of the table are.
                let said =
                    done.out().split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
                words.iter().for_each(|words| assert!(said.contains(words), "{words}: {done}"));
                let again = dir.run(&["eval", "--format", "json"]).ok().json();
                assert_eq!(again.get("recorded_at_training"), None, "{name} is read again alike");
                let predicted = dir.run(&["predict", "--input", name, "--format", "ndjson"]).ok();
                assert!(predicted.ndjson().len() >= 23, "{predicted}");
            }
            Err(words) => {
                let done = done.complains(&[words]);
                assert_eq!(done.code, Some(1), "{done}");
                assert_eq!(dir.files(), [name], "no model");
            }
        }
    }
    let folder = std::fs::read_dir(format!("{}/fixtures/nasty", env!("CARGO_MANIFEST_DIR"))).unwrap();
    assert_eq!(folder.count(), FILES.len(), "every file is in the table");
}

#[test]
fn what_was_found_in_a_file_is_told_with_the_flag_that_overrides_it() {
    for (name, words) in [
        ("gb18030.csv", &["gb18030", "--encoding overrides"][..]),
        ("windows_1252.csv", &["windows-1252", "--encoding overrides"]),
        ("utf_16.csv", &["UTF-16LE", "byte order mark"]),
        ("single_quotes.csv", &["single quotes", "--quote overrides"]),
        ("decimal_comma.csv", &["decimal comma", "divided by ';'", "--delimiter overrides"]),
        ("header_like_data.csv", &["fits the columns below it", "column_1", "--header takes"]),
    ] {
        train(name).1.complains(words);
    }
    for name in ["mixed_line_ends.csv", "embedded_newlines.csv", "nul_bytes.csv", "objects.ndjson"] {
        train(name).1.silent();
    }
}

#[test]
fn bytes_that_are_no_utf8_behind_the_sample_are_named_with_line_and_remedy() {
    let dir = Workdir::new();
    let rows: String = (0..60_000).map(|i| format!("{i},word,{}\n", ["a", "b"][i % 2])).collect();
    let text = [format!("x,c,y\n{rows}").as_bytes(), b"1,Stra\xDFe,a\n"].concat();
    assert!(text.len() > 512 * 1024);
    dir.write("late.csv", &text);
    let words =
        ["late.csv line 60002", "\"c\"", "not valid UTF-8", "--encoding latin-1", "--encoding gb18030"];
    dir.run(&["train", "late.csv", "--algorithm", "tree"]).fails(1).complains(&words);
    let done = dir.run(&["train", "late.csv", "--algorithm", "tree", "--encoding", "latin-1"]).ok();
    done.says(&["60001 rows"]);
}

#[test]
fn members_that_come_late_in_a_file_are_columns_as_those_that_come_early() {
    let dir = Workdir::new();
    let line = |i: usize| match i % 3000 {
        2999 if i > 15_000 => {
            format!("{{\"size\":{i},\"colour\":\"c{}\",\"kind\":\"a\",\"n\":{}}}\n", i / 3000 % 4, i / 2)
        }
        _ => format!("{{\"size\":{i},\"kind\":\"{}\"}}\n", ["a", "b"][i % 2]),
    };
    let (one, two): (String, String) =
        ((0..30_000).map(line).collect(), (30_000..60_000).map(line).collect());
    assert!(one.find("colour").unwrap() > 256 * 1024);
    dir.write("one.ndjson", &one);
    dir.write("two.ndjson", two + "{\"new\":true}\n");
    dir.write("told.ndjson", format!("{{\"size\":null,\"colour\":null,\"kind\":\"b\",\"n\":null}}\n{one}"));
    let train = |files: &[&str], flags: &[&str]| {
        let always = ["--target", "kind", "--algorithm", "tree", "--type", "n=number"];
        dir.run(&[&["train"], files, &always, flags].concat()).ok()
    };
    train(&["one.ndjson"], &[]).says(&["colour", "4 distinct texts", "30000 rows, 4 columns"]);
    let model = dir.bytes("model.mlapi");
    train(&["one.ndjson"], &["--threads", "1"]);
    assert_eq!(dir.bytes("model.mlapi"), model);
    train(&["told.ndjson"], &[]).says(&["colour", "4 distinct texts", "30001 rows, 4 columns"]);
    train(&["one.ndjson", "two.ndjson"], &[]).says(&["60001 rows, 5 columns", "new"]);
    // What comes late does not become the target.
    dir.run(&["train", "one.ndjson", "two.ndjson", "--algorithm", "tree"])
        .ok()
        .says(&["target     kind (the last"]);
    dir.write("twice.ndjson", one.replacen("colour", "n", 1));
    let words = ["twice.ndjson line", "the member \"n\" is given twice"];
    dir.run(&["train", "twice.ndjson", "--target", "kind"]).fails(1).complains(&words);
    let many: String = (0..1001).map(|i| format!("{{\"v{i}\":1,\"kind\":\"a\"}}\n")).collect();
    dir.write("many.ndjson", one + &many);
    let words = ["many.ndjson has more than 1000 members", "\"v", "where its name should be"];
    dir.run(&["train", "many.ndjson", "--target", "kind"]).fails(1).complains(&words);
}

#[test]
fn a_hundred_thousand_columns_are_read() {
    let dir = Workdir::new();
    let n = 100_000;
    let line = |cell: &dyn Fn(usize) -> String| (0..n).map(cell).collect::<Vec<_>>().join(",");
    let mut text = line(&|i| format!("c{i}")) + ",label\n";
    for row in 0..24 {
        text += &line(&|i| if i % 1000 == 7 { format!("{}.5", (row * 7 + i) % 5) } else { "1".into() });
        text += if row % 3 == 0 { ",yes\n" } else { ",no\n" };
    }
    dir.write("wide.csv", text);
    let done = dir.run(&["train", "wide.csv", "--algorithm", "tree"]).ok();
    done.says(&["24 rows, 100001 columns"]);
    let predicted = dir.run(&["predict", "--input", "wide.csv", "--keep", "label"]).ok();
    assert_eq!(predicted.csv().len(), 25);
}

#[test]
fn a_field_of_a_gigabyte_is_refused_without_being_read() {
    let dir = Workdir::trained("iris.csv", &[]);
    {
        let mut run = dir.run(&["predict", "--input", "-"]);
        let mut child = run.spawn();
        let mut stdin = child.stdin.take().unwrap();
        let writer = std::thread::spawn(move || {
            let _ = stdin.write_all(b"sepal_length,sepal_width,petal_length,petal_width\n5.1,3.5,1.4,\"");
            let megabyte = vec![b'x'; 1 << 20];
            (0..1024).take_while(|_| stdin.write_all(&megabyte).is_ok()).count()
        });
        let output = child.wait_with_output().unwrap();
        let written = writer.join().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("standard input line 2: the record is longer than 64 MB"), "{said}");
        assert!(written < 200, "{written} MB were taken");
    }
}

#[test]
#[cfg(not(feature = "parquet"))]
fn parquet_is_refused_with_the_feature_that_reads_it() {
    let dir = Workdir::new();
    let path = format!("{}/fixtures/parquet/orders.parquet", env!("CARGO_MANIFEST_DIR"));
    dir.write("orders.parquet", std::fs::read(path).unwrap());
    dir.run(&["train", "orders.parquet"])
        .fails(1)
        .complains(&["orders.parquet is a Parquet file", "--features parquet"]);
}

#[test]
fn names_and_labels_steer_no_terminal_and_stay_what_they_are_in_data() {
    let dir = Workdir::new();
    let label = ["no\u{1b}[31m", "yes\u{202e}\u{9b}2J"];
    let row = |i: usize| {
        let color = ["red\u{1b}]0;title\u{7}", "blue\u{8}"][i * 7 % 3 / 2];
        format!("{}.5,{color},\u{85},{}\n", i * 37 % 101, label[usize::from(i * 37 % 101 > 50)])
    };
    let text = "size\u{1b}[2J,color\u{9b}31m,cons\u{2066}tant,y\u{7f}\n".to_string();
    dir.write("t.csv", text + &(0..90).map(row).collect::<String>());
    let steers = |c: char| c.is_control() && !"\n\t".contains(c) || "\u{202e}\u{2066}".contains(c);
    for args in [
        &["train", "t.csv", "--algorithm", "tree", "-v"][..],
        &["inspect"],
        &["eval"],
        &["predict", "--probabilities", "--features", "99.5,green\u{1b}c,x"],
        &["train", "t.csv", "--target", "none\u{1b}[2J", "-o", "other"],
    ] {
        let done = dir.run(args).done();
        let shown = done.out().to_string() + &done.err();
        assert!(!shown.contains(steers), "{args:?}: {shown:?}");
        assert!(shown.contains("\\u{"), "{args:?}: {shown:?}");
    }
    let answer = dir.run(&["predict", "--format", "json", "--features", "99.5,green,x", "--lenient"]).ok();
    assert_eq!(answer.json()["prediction"], label[1]);
    dir.write("rows.csv", "size\u{1b}[2J,color\u{9b}31m\n99.5,red\n");
    let rows = dir.run(&["predict", "--input", "rows.csv"]).ok();
    assert!(rows.out().contains(label[1]), "{rows}");
}
