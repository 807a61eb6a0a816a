//! Numbers as people write them are numbers, and the same ones on every road; words among them are named; what a
//! number does not hold stays as it is written.

use std::fmt::Write;

use crate::support::http::Server;
use crate::support::workdir::{Done, Run, Workdir};
use mlapi::model::file;
use mlapi::server::Limits;
use serde_json::{Value, json};

/// A number of 120 different ones between -3000 and 9000.
fn amount(i: usize) -> f64 {
    ((i * 7919 % 120) as f64 - 30.0) * 100.25
}

/// A number as programs write it, with `between` thousands and a decimal `mark`.
fn grouped(value: f64, between: &str, mark: &str) -> String {
    let cents = (value.abs() * 100.0).round() as i64;
    let (whole, rest) = (cents / 100, cents % 100);
    let sign = if value < 0.0 { "-" } else { "" };
    let whole = match whole {
        1000.. => format!("{}{between}{:03}", whole / 1000, whole % 1000),
        _ => whole.to_string(),
    };
    format!("{sign}{whole}{mark}{rest:02}")
}

/// A table of a written column and a class that follows it.
fn table(delimiter: char, write: impl Fn(f64) -> String) -> String {
    (0..120).fold(format!("x{delimiter}n{delimiter}y\n"), |mut text, i| {
        let class = if amount(i) > 2500.0 { "high" } else { "low" };
        writeln!(text, "\"{}\"{delimiter}{}{delimiter}{class}", write(amount(i)), i * 31 % 97).unwrap();
        text
    })
}

fn train(name: &str, text: &str, flags: &[&str]) -> (Workdir, Done) {
    let dir = Workdir::new();
    dir.write(name, text);
    let done = dir.run(&[&["train", name, "--algorithm", "tree"], flags].concat()).done();
    (dir, done)
}

/// What was said by a command that ended with status 1.
fn refused(done: Done) -> Done {
    assert_eq!(done.code, Some(1), "{done}");
    done
}

/// What was printed, with one blank between words.
fn words(done: &Done) -> String {
    done.out().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn accuracy(dir: &Workdir) -> f64 {
    dir.run(&["inspect", "--format", "json"]).ok().json()["metrics"]["accuracy"].as_f64().unwrap()
}

fn feature(dir: &Workdir, i: usize) -> Value {
    dir.run(&["inspect", "--format", "json"]).ok().json()["schema"]["features"][i].clone()
}

type Written = (&'static str, char, fn(f64) -> String, &'static str);

/// The name of a file, its delimiter, how numbers are written in it, and how the table of columns says so.
const NOTATIONS: [Written; 14] = [
    ("t.csv", ',', |v| grouped(v, ",", "."), "numbers with , between thousands"),
    (
        "t.csv",
        ',',
        |v| grouped(v, ",", ".").split('.').next().unwrap().into(),
        "numbers with , between thousands",
    ),
    ("t.csv", ';', |v| grouped(v, ".", ","), "numbers with a decimal comma and . between thousands"),
    ("t.csv", ',', |v| grouped(v, ".", ","), "numbers with a decimal comma and . between thousands"),
    (
        "t.tsv",
        '\t',
        |v| grouped(v, "\u{202f}", ","),
        "numbers with a decimal comma and a space between thousands",
    ),
    ("t.csv", ',', |v| grouped(v, "'", "."), "numbers with ' between thousands"),
    ("t.csv", ',', |v| grouped(v, "", ","), "numbers"),
    ("t.csv", ',', |v| format!("${}", grouped(v, ",", ".")), "numbers with , between thousands in $"),
    (
        "t.csv",
        ';',
        |v| format!("{} €", grouped(v, ".", ",")),
        "numbers with a decimal comma and . between thousands in €",
    ),
    ("t.csv", ',', |v| format!("{v} %"), "numbers in %"),
    ("t.csv", ',', |v| format!("{v} kg"), "numbers in kg"),
    ("t.csv", ',', |v| if v < 0.0 { format!("({})", -v) } else { v.to_string() }, "numbers"),
    ("t.csv", ',', |v| v.to_string().replace('-', "\u{2212}"), "numbers"),
    ("t.csv", ',', |v| v.to_string().chars().map(arabic).collect(), "numbers"),
];

fn arabic(c: char) -> char {
    c.to_digit(10).map_or(c, |digit| char::from_u32(0x660 + digit).unwrap())
}

#[test]
fn a_column_of_written_numbers_is_a_number_that_the_table_describes() {
    for (name, delimiter, write, reason) in NOTATIONS {
        let (dir, done) = train(name, &table(delimiter, write), &[]);
        assert_eq!(done.code, Some(0), "{reason}: {done}");
        assert!(words(&done).contains(&format!("x number 0% 120 as it is {reason} n ")), "{reason}: {done}");
        assert!(accuracy(&dir) > 0.9, "{reason}: {done}");
        let again = dir.run(&["eval", "--format", "json"]).ok().json();
        assert_eq!(again.get("recorded_at_training"), None, "{reason}");
    }
}

#[test]
fn a_written_number_is_the_same_on_every_road() {
    for (name, delimiter, write, reason) in
        [NOTATIONS[0], NOTATIONS[2], NOTATIONS[3], NOTATIONS[6], NOTATIONS[8], NOTATIONS[9]]
    {
        let (dir, done) = train(
            name,
            &table(delimiter, write).replace(",high", ",1.5").replace("high", "1"),
            &["--task", "classification"],
        );
        assert_eq!(done.code, Some(0), "{done}");
        let server =
            Server::start(file::load(dir.path("model.mlapi").to_str().unwrap()).unwrap(), Limits::default());
        for value in [amount(3), amount(50), amount(77)] {
            let text = write(value);
            let predicted = |run: Run| run.ok().json()["prediction"].clone();
            let features = |row: Value| {
                predicted(dir.run(&["predict", "--features", &row.to_string(), "--format", "json"]))
            };
            let wanted = features(json!({ "x": value, "n": 5 }));
            assert_eq!(features(json!({ "x": text, "n": "5" })), wanted, "{reason}: {text}");
            assert_eq!(
                predicted(dir.run(&["predict", "--features", &format!("\"{text}\",5"), "--format", "json"])),
                wanted
            );
            dir.write("in.csv", format!("x{delimiter}n\n\"{text}\"{delimiter}5\n"));
            dir.write("in.ndjson", json!({ "x": text, "n": 5 }).to_string());
            for file in ["in.csv", "in.ndjson"] {
                let done = dir.run(&["predict", "--input", file, "--format", "json"]).ok().json();
                assert_eq!(done["predictions"][0]["prediction"], wanted, "{reason}, {file}: {text}");
            }
            let body = json!({ "features": { "x": text, "n": 5 } }).to_string();
            let reply = server.send("POST", "/predict", "Content-Type: application/json\r\n", &body);
            assert_eq!(reply.json()["prediction"], wanted, "{reason}: {text}");
            let inputs = json!({ "inputs": [
                { "name": "x", "shape": [1], "datatype": "BYTES", "data": [text] },
                { "name": "n", "shape": [1], "datatype": "BYTES", "data": ["5"] },
            ] });
            let path = "/v2/models/model/infer";
            let reply = server.send("POST", path, "Content-Type: application/json\r\n", inputs.to_string());
            assert_eq!(reply.json()["outputs"][0]["data"][0], wanted, "{reason}: {text}");
            let split =
                json!({ "dataframe_split": { "columns": ["x", "n"], "data": [[text, 5]] } }).to_string();
            let reply = server.send("POST", "/invocations", "Content-Type: application/json\r\n", &split);
            assert_eq!(reply.json()["predictions"][0], wanted, "{reason}: {text}");
        }
    }
}

#[test]
fn a_new_row_in_another_notation_is_an_error_that_names_the_one_of_the_training() {
    let (dir, _) = train("t.csv", &table(';', |v| grouped(v, ".", ",")), &[]);
    for (input, text) in [("x,n\n12.5,1\n", "12.5"), ("x;n\n1,250.5;1\n", "1,250.5")] {
        dir.write("in.csv", input);
        let wanted = format!(
            "\"{text}\" is not a number as this column has them: numbers with a decimal comma and . between"
        );
        dir.run(&["predict", "--input", "in.csv"]).fails(1).complains(&[&wanted]);
    }
    let (dir, _) = train("t.csv", &table(',', |v| format!("{v} %")), &[]);
    dir.run(&["predict", "--features", "0.12,1"])
        .fails(1)
        .complains(&["\"0.12\" is not a number as this column has them: numbers in %"]);
}

#[test]
fn a_target_of_written_numbers_is_a_regression_and_evaluates_as_it_was_trained() {
    let text = (0..120).fold("a,b,price\n".to_string(), |mut text, i| {
        writeln!(text, "{},{},\"${}\"", i % 40, i * 7 % 11, grouped((i % 40) as f64 * 45.5 + 20.0, ",", "."))
            .unwrap();
        text
    });
    let (dir, done) = train("t.csv", &text, &[]);
    assert!(words(&done).contains("regression"), "{done}");
    let r2 = |done: &Value| done["metrics"]["r2"].as_f64().unwrap();
    assert!(r2(&dir.run(&["inspect", "--format", "json"]).ok().json()) > 0.9, "{done}");
    let json = dir.run(&["eval", "t.csv", "--format", "json"]).ok().json();
    assert!(r2(&json) > 0.9, "{json}");
    // As labels they stay text.
    let (dir, _) = train("t.csv", &text.replace(",7,", ",8,"), &["--task", "classification"]);
    let labels = dir.run(&["inspect", "--format", "json"]).ok().json()["labels"].clone();
    assert!(labels.as_array().unwrap().contains(&json!("$20.00")), "{labels}");
}

#[test]
fn where_two_readings_fit_the_taken_one_is_said_with_the_flag_for_the_other() {
    // Thousands beside small whole numbers.
    let text = table(';', |v| grouped(v, ",", ".").split('.').next().unwrap().to_string());
    let (dir, done) = train("t.csv", &text, &[]);
    let done = done.complains(&["--decimal ,"]);
    assert_eq!(feature(&dir, 0)["max"], 8922.0, "{done}");
    // Another column speaks for a decimal comma.
    let german = (0..100).fold("people;price;y\n".to_string(), |mut text, i| {
        let people = (i * 37 % 100) * 91 + 120;
        let written = if people < 1000 {
            people.to_string()
        } else {
            format!("{}.{:03}", people / 1000, people % 1000)
        };
        let class = if people > 5000 { "big" } else { "small" };
        writeln!(text, "{written};{},{:02};{class}", i % 60, i * 7 % 100).unwrap();
        text
    });
    let (dir, done) = train("t.csv", &german, &[]);
    let done = done.complains(&["with --decimal ."]);
    assert_eq!(feature(&dir, 0)["max"], 9129.0, "{done}");
    for row in ["{\"people\":9000,\"price\":12.5}", "{\"people\":\"9.000\",\"price\":\"12,5\"}"] {
        let done = dir.run(&["predict", "--features", row, "--format", "json"]).ok().json();
        assert_eq!(done["prediction"], "big", "{row}");
    }
    // A flag decides.
    let lone = "a\tb\ty\n".to_string()
        + &(0..60)
            .map(|i| format!("{}\t1,{:03}\tc{}\n", i * 7 % 60, i * 17 % 1000, i % 2))
            .collect::<String>();
    for (mark, max) in [(",", 1.986), (".", 1986.0)] {
        let (dir, done) = train("t.tsv", &lone, &["--decimal", mark]);
        assert_eq!(feature(&dir, 0)["max"], max, "{done}");
    }
}

#[test]
fn durations_are_seconds() {
    let text = (0..90).fold("took,km,sport\n".to_string(), |mut text, i| {
        let seconds = i * 211 % 9000 + 600;
        let sport = if seconds > 5000 { "ride" } else { "run" };
        writeln!(
            text,
            "{:02}:{:02}:{:02},{},{sport}",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60,
            i % 13
        )
        .unwrap();
        text
    });
    let (dir, done) = train("t.csv", &text, &[]);
    assert!(words(&done).contains("took number 0% 90 as it is durations in seconds"), "{done}");
    assert!(accuracy(&dir) > 0.9, "{done}");
    for row in [
        "{\"took\":\"2:10:00\",\"km\":1}",
        "{\"took\":\"130 min\",\"km\":1}",
        "{\"took\":7800,\"km\":1}",
        "{\"took\":\"PT2H10M\",\"km\":1}",
    ] {
        let done = dir.run(&["predict", "--features", row, "--format", "json"]).ok().json();
        assert_eq!(done["prediction"], "ride", "{row}");
    }
}

/// Rows of a number that is one of `odd` in every fifth row.
fn with_odd(odd: &[&str], number: impl Fn(usize) -> String) -> String {
    (0..150).fold("x,n,y\n".to_string(), |mut text, i| {
        let cell = if i % 5 == 2 { odd[i / 5 % odd.len()].to_string() } else { number(i) };
        writeln!(text, "{cell},{},{}", i * 31 % 101, if i * 31 % 101 > 50 { "a" } else { "b" }).unwrap();
        text
    })
}

#[test]
fn few_odd_words_among_numbers_are_named_and_missing_in_new_rows_too() {
    let many = |i: usize| format!("{}.5", i * 37 % 149);
    for (odd, number) in [
        (&[".."][..], &many as &dyn Fn(usize) -> String),
        (&["na", "None given"], &many),
        (&["n/k"], &|i| (i % 7).to_string()),
        (&["sold out"], &many),
        (&["0000-00-00 00:00:00"], &|i| format!("2024-{:02}-{:02} 08:00:00", i % 12 + 1, i % 28 + 1)),
    ] {
        let (dir, done) = train("t.csv", &with_odd(odd, number), &[]);
        assert_eq!(done.code, Some(0), "{odd:?}: {done}");
        let (n, mut done) = (30 / odd.len(), done);
        for word in odd {
            let counted = format!(
                "was read as missing, in new rows too, in \"x\" ({n} cells, the first in t.csv line "
            );
            done = done.complains(&[&format!("{word:?} is not a"), &counted, "--type \"x=category\""]);
            let row = json!({ "x": word, "n": 3 }).to_string();
            let answer = dir.run(&["predict", "--features", &row, "--format", "json"]).ok().json();
            assert_eq!(answer["warnings"][0]["kind"], "missing_value", "{answer}");
        }
        dir.run(&["eval"]).ok();
        dir.run(&["eval", "t.csv"]).ok();
        dir.run(&["predict", "--input", "t.csv"]).ok();
        let kind = feature(&dir, 0)["type"].clone();
        assert!(kind == "number" || kind == "date", "{kind}");
        let (dir, _) = train("t.csv", &with_odd(odd, number), &["--type", "x=category"]);
        assert_eq!(feature(&dir, 0)["type"], "category");
    }
}

#[test]
fn grades_and_a_word_stay_a_category_and_a_lone_mistake_is_asked_about() {
    let (dir, done) = train("t.csv", &with_odd(&["pass"], |i| (i % 5 + 1).to_string()), &[]);
    assert_eq!(feature(&dir, 0)["type"], "category", "{done}");
    let lone = with_odd(&[".."], |i| if i == 3 { "mnay".into() } else { format!("{}.5", i * 37 % 149) });
    let (_, done) = train("t.csv", &lone, &[]);
    refused(done).complains(&["\"mnay\" is not a number"]);
}

#[test]
fn postal_codes_of_two_lengths_are_a_category_and_ranges_are_asked_about() {
    let codes = |i: usize| format!("{}", 98101 + i * 37 % 60);
    let (dir, done) = train("t.csv", &with_odd(&["98117-2811", "98101-0007"], codes), &[]);
    assert_eq!(feature(&dir, 0)["type"], "category", "{done}");
    assert!(done.out().contains("sets of levels  postal codes"), "{done}");
    assert!(!done.err().contains("were taken as names"), "{done}");
    // A range, and a code that is no postal code.
    for (odd, usual) in [("98117-98120", "98101"), ("15000-2000", "150000")] {
        let cell =
            |i: usize| if i == 3 { odd.into() } else { format!("{}{}", &usual[..2], 101 + i * 37 % 600) };
        let cell = |i: usize| if usual.len() == 6 && i != 3 { format!("1{}", cell(i)) } else { cell(i) };
        let (_, done) = train("t.csv", &with_odd(&[usual], cell), &[]);
        refused(done).complains(&[&format!("\"{odd}\" is not a number")]);
    }
}

#[test]
fn bounds_are_the_numbers_that_they_name() {
    let text = with_odd(&["<1.0", ">200"], |i| format!("{}.5", i * 37 % 149 + 1));
    let (dir, done) = train("t.csv", &text, &[]);
    done.complains(&[
        "bounds such as <1 or 100+ were read as the number that they name, in \"x\" (30 cells)",
    ]);
    assert_eq!(
        (feature(&dir, 0)["min"].clone(), feature(&dir, 0)["max"].clone()),
        (json!(1.0), json!(200.0))
    );
}

#[test]
fn an_odd_word_in_a_target_of_numbers_is_asked_about() {
    let text = (0..100).fold("a,y\n".to_string(), |mut text, i| {
        writeln!(
            text,
            "{},{}",
            i * 7 % 50,
            if i % 5 == 1 { "..".into() } else { format!("{}.25", i * 3 % 89) }
        )
        .unwrap();
        text
    });
    let (_, done) = train("t.csv", &text, &[]);
    refused(done).complains(&[
        "t.csv line 3, target column \"y\": \"..\" (20 cells) is not a number",
        "--null \"..\"",
    ]);
}

#[test]
fn whole_numbers_of_too_many_digits_stay_as_they_are_written() {
    let text = (0..90).fold("x,y,account\n".to_string(), |mut text, i| {
        writeln!(text, "{}.{},{},900719925474099{}", i % 3, i % 10, i % 7, 2 + i % 3).unwrap();
        text
    });
    let (dir, done) = train("t.csv", &text, &[]);
    assert!(words(&done).contains("classification, 3 classes"), "{done}");
    let labels = dir.run(&["inspect", "--format", "json"]).ok().json()["labels"].clone();
    assert_eq!(labels, json!(["9007199254740992", "9007199254740993", "9007199254740994"]));
    assert!(accuracy(&dir) > 0.9, "{done}");
    // The same as a feature.
    let (dir, done) = train("t.csv", &text, &["--target", "y"]);
    done.complains(&["whole numbers of more than 15 digits", "\"account\""]);
    assert_eq!(feature(&dir, 1)["levels"].as_array().unwrap().len(), 3);
    // A JSON number is read digit by digit, as long as it is a whole one of 64 bits.
    let answer = |account: &str| {
        let row = format!("{{\"x\":1.0,\"account\":{account}}}");
        dir.run(&["predict", "--features", &row, "--format", "json"])
    };
    assert_eq!(answer("9007199254740993").ok().json()["warnings"], json!(null));
    let warned = answer("9007199254740995").ok().json()["warnings"].to_string();
    assert!(warned.contains("unseen_category"), "{warned}");
    answer("9007199254740992.0").fails(1).complains(&["send it as a string"]);
}

#[test]
fn numbers_that_are_rounded_are_counted_with_the_flag_that_keeps_them() {
    let text = (0..90_u64).fold("post,n,y\n".to_string(), |mut text, i| {
        let post = 1_000_000_000_000_000_001 + i * 7_777_777_777_777_777;
        writeln!(text, "{post},{},{}", i * 31 % 97, i % 2).unwrap();
        text
    });
    let (_, done) = train("t.csv", &text, &[]);
    done.complains(&["were rounded to 16 digits, in \"post\" (", " cells)", "--type \"post=category\""]);
    let (_, done) = train("t.csv", &text, &["--target", "post"]);
    done.complains(&["values of the target \"post\" are above 9007199254740992", "--task classification"]);
    let (_, done) = train("t.csv", &text, &["--drop", "post"]);
    assert!(!done.err().contains("rounded"), "{done}");
}

#[test]
fn hexadecimal_numbers_and_those_with_underscores_are_read_if_the_whole_column_is_so() {
    let text = (0..90).fold("n,m,y\n".to_string(), |mut text, i| {
        let (n, m) = (1000 + i * 977 % 90 * 100, i * 31 + 4096);
        writeln!(text, "{}_{:03},0x{m:X},{}", n / 1000, n % 1000, if n > 5000 { "high" } else { "low" })
            .unwrap();
        text
    });
    let (dir, done) = train("t.csv", &text, &[]);
    let shown = words(&done);
    assert!(shown.contains("numbers with _ between thousands"), "{done}");
    assert!(shown.contains("m number 0% 90 as it is hexadecimal numbers"), "{done}");
    assert_eq!(
        (feature(&dir, 0)["min"].as_f64(), feature(&dir, 1)["min"].as_f64()),
        (Some(1000.0), Some(4096.0))
    );
    assert!(accuracy(&dir) > 0.9, "{done}");
    for row in [r#"{"n":"9_000","m":"0x1FFF"}"#, r#"{"n":9000,"m":8191}"#, "9_000,0x1fff"] {
        dir.run(&["predict", "--features", row]).ok().says(&["high"]);
    }
    dir.run(&["predict", "--features", r#"{"n":1,"m":"1FFF"}"#])
        .fails(1)
        .complains(&["\"1FFF\" is not a number as this column has them: hexadecimal numbers, such as 0x4D2"]);
    // One cell in plain digits is a number, or hexadecimal digits without their sign: the column is named.
    let (_, done) = train("t.csv", &text.replacen("0x1000", "1000", 1), &[]);
    done.complains(&["in hexadecimal and were not read as numbers, in \"m\" (0x"]);
}

#[test]
fn codes_that_become_one_number_are_named() {
    let codes = ["1E10", "10E9", "5E2", "500", "200E3", "2E5"];
    let text = (0..120).fold("sku,n,y\n".to_string(), |mut text, i| {
        writeln!(text, "{},{},{}", codes[i % 6], i % 11, if i % 6 < 3 { "a" } else { "b" }).unwrap();
        text
    });
    let (_, done) = train("t.csv", &text, &[]);
    done.complains(&[
        "whole numbers of \"sku\" are written with powers of ten, such as 1E10",
        "\"sku=category\"",
    ]);
    let (_, done) = train("t.csv", &text, &["--type", "sku=category"]);
    assert!(words(&done).contains("sku category 0% 6 "), "{done}");
    let huge = text.replace("1E10", "1e2641");
    let (_, done) = train("t.csv", &huge, &[]);
    refused(done).complains(&["\"1e2641\" is not a finite number", "and 15 more cells of that column"]);
}

#[test]
fn numbers_that_are_not_read_are_named() {
    let hex = (0..80).fold("n,m,k,y\n".to_string(), |mut text, i| {
        let weight = if i % 2 == 0 { format!("{}.1 kg", i % 30) } else { format!("{} g", i * 11) };
        writeln!(text, "{}_{:02},0xdeadbeef{:08x},{weight},{}", i % 9 + 1, i, i * 31 + 4096, i % 2).unwrap();
        text
    });
    let (_, done) = train(
        "t.csv",
        &hex.replace("n,m,k,y", "n,m,k,z,y").replace(" kg,", " kg,1.5,").replace(" g,", " g,2.5,"),
        &[],
    );
    done.complains(&["hexadecimal", "\"n\" (1_", "\"m\" (0x", "several ways or units", "\"k\" ("]);
}

#[test]
fn a_constant_target_is_refused_and_the_only_column_is_used_though_it_numbers_the_rows() {
    let constant = (0..50).map(|i| format!("{},{},3.5\n", i * 7 % 50, i % 9)).collect::<String>();
    let (_, done) = train("t.csv", &format!("x,z,y\n{constant}"), &[]);
    refused(done).complains(&["every row of the target column \"y\" is 3.5"]);
    let line = (1..=30).map(|i| format!("{i},{}.5\n", i * 2)).collect::<String>();
    let (_, done) = train("t.csv", &format!("x,y\n{line}"), &[]);
    assert_eq!(done.code, Some(0), "{done}");
    done.complains(&["\"x\" numbers the rows and is used, as no other column is left"]);
}

#[test]
fn true_and_false_are_1_and_0_in_a_column_of_these_alone() {
    let text = (0..100)
        .map(|i| format!("{},{}.5,{}\n", i % 2, i % 9, if i % 2 == 1 { "oak" } else { "elm" }))
        .collect::<String>();
    let (dir, _) = train("t.csv", &format!("flag,n,kind\n{text}"), &[]);
    let predict = |row: &str| dir.run(&["predict", "--features", row, "--format", "json"]);
    assert_eq!(predict("{\"flag\":true,\"n\":1.5}").ok().json()["prediction"], "oak");
    assert_eq!(predict("{\"flag\":false,\"n\":1.5}").ok().json()["prediction"], "elm");
    predict("{\"flag\":1,\"n\":true}").fails(1).complains(&["true is not a number"]);
}

#[test]
fn a_dot_that_may_stand_between_thousands_is_named_where_a_column_beside_it_has_decimal_commas() {
    let dir = Workdir::new();
    let table = |ratio: fn(usize) -> String| {
        let row = |i: usize| {
            let (price, people) = (
                format!("{},{:02}", i % 37 + 1, i * 7 % 100),
                format!("{}.{:03}", i % 9 + 1, i * 131 % 1000),
            );
            format!("{price};{people};{};{}\n", ratio(i), ["low", "high"][usize::from(i % 37 > 18)])
        };
        "price;people;ratio;size\n".to_string() + &(0..80).map(row).collect::<String>()
    };
    let note = "three digits behind a dot were read as decimals, in \"people\"";
    dir.write("t.csv", table(|i| format!("0.{}", i % 10 + 1)));
    let done = dir.run(&["train", "t.csv", "--algorithm", "tree"]).ok();
    assert!(done.err().contains(note) && done.err().contains("--decimal ,"), "{done}");
    dir.write("t.csv", table(|i| (i % 10).to_string()));
    let done = dir.run(&["train", "t.csv", "--algorithm", "tree"]).ok();
    assert!(!done.err().contains("behind a dot"), "all of the file has decimal commas: {done}");
    assert!(done.out().contains(". between thousands"), "{done}");
}

/// A table of 200 rows and more than 64 kB, of which the last rows alone hold `last` in the columns of `row`.
fn long_table(row: impl Fn(usize) -> String, last: impl Fn(usize) -> String) -> String {
    let filler = "x".repeat(500);
    (0..200).fold("size;price;filler;y\n".to_string(), |mut text, i| {
        let cells = if i < 180 { row(i) } else { last(i) };
        writeln!(text, "{cells};{filler};{}", if amount(i) > 2500.0 { "high" } else { "low" }).unwrap();
        text
    })
}

#[test]
fn decimal_commas_behind_the_first_rows_make_dots_before_them_thousands() {
    let size = |i: usize| grouped(amount(i).abs().round() + 1000.0, ".", ",").replace(",00", "");
    let text = long_table(|i| format!("{};{i}", size(i)), |i| format!("{};{i},5", size(i)));
    let (dir, done) = train("t.csv", &text, &[]);
    assert_eq!(done.code, Some(0), "{done}");
    let shown = words(&done);
    assert!(shown.contains("numbers with a decimal comma and . between thousands"), "{done}");
    assert!(done.err().contains("numbers have a decimal comma, as those of all rows together say"), "{done}");
    let features = [feature(&dir, 0), feature(&dir, 1)];
    assert!(features[0]["min"].as_f64() >= Some(1000.0) && features[1]["max"].as_f64() > Some(150.0));
    assert_eq!(dir.run(&["eval", "--format", "json"]).ok().json().get("recorded_at_training"), None);
    let (dir, _) = train("t.csv", &text, &["--decimal", "."]);
    assert!(feature(&dir, 0)["max"].as_f64() < Some(1000.0), "as the user says");
}

#[test]
fn rows_are_split_by_written_numbers_as_the_column_is_written() {
    let text = (0..120).fold("week,amount,share,n,y\n".to_string(), |mut text, i| {
        let (at, class) = (i * 37 % 120, if amount(i) > 2500.0 { "high" } else { "low" });
        let week = grouped((900 + at * 10) as f64, ",", ".").replace(".00", "");
        writeln!(text, "\"{week}\",${at},{} %,{},{class}", at / 10, amount(i)).unwrap();
        text
    });
    for (flags, wanted) in [
        (["--split-by", "week"], "the latest by week"),
        (["--split-by", "amount"], "the latest by amount"),
        (["--split-by", "share"], "the latest by share"),
        (["--group", "share"], "by share"),
        (["--group", "week"], "by week"),
    ] {
        let (dir, done) = train("t.csv", &text, &flags);
        assert_eq!(done.code, Some(0), "{flags:?}: {done}");
        assert!(words(&done).contains(wanted) || flags[0] == "--group", "{flags:?}: {done}");
        let again = dir.run(&["eval", "--format", "json"]).ok().json();
        assert_eq!(again.get("recorded_at_training"), None, "{flags:?}: the same rows");
    }
}

#[test]
fn what_is_not_read_as_strangers_expect_is_named() {
    let read = |head: &str, row: &dyn Fn(usize) -> String| {
        train("t.csv", &(0..100).fold(format!("{head}\n"), |text, i| text + &row(i) + "\n"), &[])
    };
    let class = |i: usize| if amount(i) > 2500.0 { "high" } else { "low" };
    // Footnotes stand behind half of the numbers.
    let (_, done) = read("people,n,y", &|i| {
        format!("{}{},{},{}", 1000 + i * 37, if i % 2 == 0 { "[a]" } else { "" }, i * 31 % 97, class(i))
    });
    done.complains(&["a third of the cells or more are numbers", "\"people\" (\"1000[a]\")"]);
    // A comma before three digits in a file with decimal commas, where decimals would be written in each cell.
    let (_, done) = read("a;b;y", &|i| {
        let a = if i % 2 == 0 { format!("1,{}", 100 + i) } else { (300 + i).to_string() };
        format!("{a};{i},5;{}", class(i))
    });
    done.complains(&["\"1,100\" of \"a\" is 1.1, and 1100 with --decimal ."]);
    // The first row of a log became its header.
    let (_, done) = read("a;Linux", &|i| format!("{i} GET;Linux"));
    refused(done).complains(&["the first line is perhaps a row: --no-header"]);
    // A second line of names above dates.
    let (_, done) = read("d,q,y\nStart date,The question,Result", &|i| {
        format!("2024-01-{:02},{},{}", i % 28 + 1, ["a", "b"][i % 2], class(i))
    });
    refused(done).complains(&["line 2: \"Start date\" fits no number or date", "--skip-line 2"]);
    // Titles with as many fields as each other.
    let (_, done) = read("Serial:,42\nDate:,x\nsample,n,m,y", &|i| format!("s{i},{i},1,{}", class(i)));
    refused(done).complains(&["line 3: 4 fields where the first line has 2", "--lines-to-skip 2"]);
    // What stands between thousands says the decimal mark.
    let (dir, _) = read("a,y", &|i| format!("\"1,{}\",{}", 100 + i, class(i)));
    let least = |flags: &[&str]| {
        dir.run(&[&["train", "t.csv", "--algorithm", "tree"], flags].concat()).ok();
        feature(&dir, 0)["min"].as_f64().unwrap()
    };
    assert_eq!((least(&["--thousands", ","]), least(&["--thousands", "."])), (1100.0, 1.1));
    let both = dir.run(&["train", "t.csv", "--thousands", ",", "--decimal", ","]).fails(2);
    both.complains(&["one mark cannot be both"]);
    // One cell with letters among plain numbers is no unit.
    let (_, done) =
        read("a,y", &|i| format!("{},{}", if i == 8 { "12a".into() } else { i.to_string() }, class(i)));
    refused(done).complains(&["line 10, column \"a\": \"12a\" is not a number", "--null TOKEN"]);
    // Areas and prices without cents are numbers.
    let (_, done) = read("area;price;y", &|i| format!("{} m2;{},-;{}", 20 + i, 5 + i * 31 % 97, class(i)));
    let shown = words(&done);
    assert!(shown.contains("numbers in m2") && shown.contains("price number"), "{done}");
}

#[test]
fn a_decimal_comma_that_was_found_splits_the_rows_again_as_it_did() {
    let dir = Workdir::new();
    // 1.010 beside 1380: whether it is a thousand is the column's to say, and must be said the same twice.
    let time = |i: usize| match 900 + i * 37 % 811 {
        t if i.is_multiple_of(7) && t > 1000 => format!("1.{:03}", t - 1000),
        t => t.to_string(),
    };
    let label = |i: usize| if (i * 13 + i * i) % 5 > 1 { "ja" } else { "nein" };
    let rows = (0..80).map(|i| format!("{};{},{};{}\n", time(i), i % 5, i % 9 + 1, label(i)));
    dir.write("t.csv", "t;x;y\n".to_string() + &rows.collect::<String>());
    let train = ["train", "t.csv", "--split-by", "t", "--algorithm", "tree", "--format", "json"];
    let trained = dir.run(&train).ok().json();
    let again = dir.run(&["eval", "--format", "json"]).ok().json();
    assert_eq!(trained["metrics"], again["metrics"]);
    assert_eq!(trained["confusion_matrix"], again["confusion_matrix"]);
}
