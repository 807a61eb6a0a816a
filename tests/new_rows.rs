//! Cells and lines of new rows that do not fit a model, and the words that say why.

use mlapi::model::file;
use mlapi::server::Limits;
use serde_json::json;

use crate::support::http::Server;
use crate::support::workdir::Workdir;

/// A tree that knows `size`, plain numbers with decimals, `kind`, one of three letters, and `known`, 0 or 1.
fn trained() -> Workdir {
    let dir = Workdir::new();
    let row = |i: usize| {
        format!("{}.5,{},{},{}\n", i * 7 % 61, ["a", "b", "c"][i % 3], i % 2, ["p", "q"][i % 4 / 2])
    };
    dir.write("t.csv", format!("size,kind,known,y\n{}", (0..60).map(row).collect::<String>()));
    dir.run(&["train", "t.csv", "--algorithm", "decision-tree"]).ok();
    dir
}

#[test]
fn a_number_in_another_notation_is_named_with_what_it_may_be() {
    let dir = trained();
    for (cell, words) in [
        ("\"1,250\"", "it is 1250, as one of numbers with a decimal comma 1.25"),
        ("\"1,250.5\"", "looks like one of numbers with , between thousands: write 1250.5, or train on"),
        ("\"3,14\"", "looks like one of numbers with a decimal comma: write 3.14"),
        ("$12", "looks like one of numbers in $: write 12"),
        ("12 %", "numbers in %: write 12"),
        ("1 250", "with a space between thousands: write 1250"),
    ] {
        dir.write("new.csv", format!("size,kind,known\n{cell},a,1\n2.5,b,0\n"));
        let done = dir.run(&["predict", "--input", "new.csv"]).fails(1);
        assert!(done.err().contains("line 2, column \"size\"") && done.err().contains(words), "{done}");
        let features = json!({ "size": cell.trim_matches('"'), "kind": "a", "known": 1 }).to_string();
        let done = dir.run(&["predict", "--features", &features]).fails(1);
        assert!(done.err().contains(words), "{done}");
    }
    dir.write("new.csv", "size,kind,known\nbig,a,1\n2.5,b,0\n");
    let done = dir.run(&["predict", "--input", "new.csv"]).fails(1);
    assert!(done.err().contains("\"big\" is not a number\n"), "nothing to say: {done}");
}

#[test]
fn lines_that_are_no_rows_are_named_with_the_flag_that_leaves_them_out() {
    const ROWS: &str = "1.5,a,1\n2.5,b,0\n3.5,c,1\n4.5,a,0\n";
    let dir = trained();
    for (above, below, words, flags) in [
        (
            "cm,name,no\n",
            "",
            "if line 2 holds units or the names of columns, --skip-line 2",
            ["--skip-line", "2"],
        ),
        ("", "Total,,\n", "the line looks like a total: --skip-line 6", ["--skip-line", "6"]),
        ("1.5,c,0\n# by hand,,\n", "", "if the line is a comment, --comment '#'", ["--comment", "#"]),
        ("1.5,c,0\n% checked,x,\n", "", "if the line is a comment, --comment '%'", ["--comment", "%"]),
    ] {
        let table = |more: &str, rows: &str| format!("size,kind,known{more}\n{rows}");
        let rows = format!("{above}{ROWS}{below}");
        dir.write("new.csv", table("", &rows));
        let predict = ["predict", "--input", "new.csv"];
        let done = dir.run(&predict).fails(1);
        assert!(done.err().contains(words), "{words}: {done}");
        dir.run(&[&predict[..], &flags].concat()).ok();
    }
    // A label that no training row has is predicted, and named if it is that of a total.
    dir.write("new.csv", format!("size,kind,known\n{ROWS}12,Total,2\n"));
    let done = dir.run(&["predict", "--input", "new.csv"]).ok();
    assert!(done.err().contains("new.csv line 6: \"Total\" is no value of the training rows"), "{done}");
    assert!(done.err().contains("--skip-line 6"), "{done}");
    dir.write("new.csv", format!("size,kind,known\n{ROWS}12,Tothill,1\n"));
    assert!(!dir.run(&["predict", "--input", "new.csv"]).ok().err().contains("--skip-line"));
}

#[test]
fn eval_names_a_line_of_units_and_a_total_as_training_does() {
    const ROWS: &str = "1.5,a,1,p\n2.5,b,0,q\n3.5,c,1,p\n4.5,a,0,q\n";
    let dir = trained();
    for (above, below, line, words) in [
        ("cm,name,no,text\n", "", "2", "if the line holds units, --skip-line 2"),
        ("", "12,Total,2,p\n", "6", "looks like a total or a footer: --skip-line 6"),
        ("", "Total,a,2,p\n", "6", "looks like a total or a footer: --skip-line 6"),
    ] {
        dir.write("more.csv", format!("size,kind,known,y\n{above}{ROWS}{below}"));
        let done = dir.run(&["eval", "more.csv"]).fails(1);
        assert!(done.err().contains(words), "{done}");
        dir.run(&["eval", "more.csv", "--skip-line", line]).ok();
    }
    dir.write("more.csv", format!("size,kind,known,y\n{ROWS}5,Tothill,1,p\n"));
    dir.run(&["eval", "more.csv"]).ok();
}

#[test]
fn openapi_says_where_booleans_are_numbers() {
    let dir = trained();
    let model = file::load(dir.path("model.mlapi").to_str().unwrap()).unwrap();
    let server = Server::start(model, Limits::default());
    let document = server.get("/openapi.json").json().to_string();
    assert!(document.contains(r#"{"type":"number"},{"type":"boolean"}"#), "{document}");
    let reply = server.predict(json!({ "features": { "size": 2, "kind": "a", "known": true } }).to_string());
    assert_eq!(reply.status, 200, "{}", reply.text());
}

#[test]
fn rows_for_mlflow_without_a_header_are_read_by_the_notation_of_their_columns() {
    let dir = Workdir::new();
    let row = |i: usize| format!("\"1,{}.5\",{} %,{}\n", 200 + i * 7, i % 17 + 1, ["p", "q"][i % 2]);
    dir.write("t.csv", format!("size,share,y\n{}", (0..60).map(row).collect::<String>()));
    dir.run(&["train", "t.csv", "--algorithm", "decision-tree"]).ok();
    let model = file::load(dir.path("model.mlapi").to_str().unwrap()).unwrap();
    let server = Server::start(model, Limits::default());
    let csv = |body: &str| server.send("POST", "/invocations", "content-type: text/csv\r\n", body);
    for (body, n) in [("\"1,250.5\",3 %\n\"1,300\",4 %\n", 2), ("size,share\n\"1,250.5\",3 %\n", 1)] {
        let reply = csv(body);
        assert_eq!(reply.status, 200, "{body}: {}", reply.text());
        assert_eq!(reply.json()["predictions"].as_array().map(Vec::len), Some(n), "{}", reply.text());
    }
}
