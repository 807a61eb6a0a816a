//! Cells that are lists of names or pairs of numbers, from the table to every kind of prediction.

use mlapi::model::file;
use mlapi::server::Limits;
use serde_json::json;

use crate::support::http::Server;
use crate::support::workdir::Workdir;

const JSON: &str = "content-type: application/json\r\n";

const TAGS: [&str; 5] = ["red", "tall", "old", "big", "new"];

/// A hundred lists of tags, written by `list`, and whether "old" is among them.
fn table(list: impl Fn(&[&str]) -> String) -> String {
    (0..100_usize).fold("tags,n,y\n".to_string(), |text, i| {
        // Every combination of one or more, in another order each time.
        let bits = i * 7 % 31 + 1;
        let mut tags: Vec<&str> = (0..5).filter(|bit| bits >> bit & 1 == 1).map(|bit| TAGS[bit]).collect();
        let n = tags.len();
        tags.rotate_left(i % n);
        let y = if tags.contains(&"old") { "yes" } else { "no" };
        text + &format!("\"{}\",{},{y}\n", list(&tags).replace('"', "\"\""), i % 13)
    })
}

#[test]
fn a_list_of_tags_has_a_slot_for_each_tag_and_is_read_the_same_everywhere() {
    type Written<'a> = &'a dyn Fn(&[&str]) -> String;
    let lists: [(&str, Written); 4] = [
        ("divided by |", &|tags| tags.join("|")),
        ("divided by ;", &|tags| tags.join("; ")),
        ("in brackets", &|tags| format!("{tags:?}")),
        ("in brackets", &|tags| format!("['{}']", tags.join("', '"))),
    ];
    for (words, list) in lists {
        let dir = Workdir::new();
        dir.write("t.csv", table(list));
        for algorithm in ["decision-tree", "logistic-regression"] {
            let done = dir.run(&["train", "t.csv", "--algorithm", algorithm]).ok();
            assert!(
                done.out().contains(&format!("lists {words}")) && done.out().contains("5 members"),
                "{done}"
            );
            assert!(
                done.err().contains("of 5 different members") && done.err().contains("tags=category"),
                "{done}"
            );
            dir.run(&["eval", "--require", "accuracy>=0.99"]).ok();
            // A combination that training did not have, and a member that it did not have.
            let row = list(&["tall", "old", "odd", "red", "big", "new"]);
            let features = json!({ "tags": row, "n": 3 });
            let answer =
                dir.run(&["predict", "--format", "json", "--features", &features.to_string()]).ok().json();
            assert_eq!(answer["prediction"], "yes", "{words} {algorithm}");
            dir.write("new.csv", format!("tags,n\n\"{}\",3\nred,3\n", row.replace('"', "\"\"")));
            let done = dir.run(&["predict", "--input", "new.csv", "--keep", "none"]).ok();
            let predicted: Vec<&str> = done.out().lines().skip(1).map(|line| &line[..2]).collect();
            assert_eq!(predicted, ["ye", "no"], "{done}");
            let model = file::load(dir.path("model.mlapi").to_str().unwrap()).unwrap();
            let server = Server::start(model, Limits::default());
            let reply = server.predict(json!({ "features": features }).to_string());
            assert_eq!(reply.json()["probability"], answer["probability"], "{}", reply.text());
        }
        // One value each, if that is said.
        let done =
            dir.run(&["train", "t.csv", "--type", "tags=category", "--algorithm", "decision-tree"]).ok();
        assert!(!done.err().contains("different members"), "{done}");
    }
}

#[test]
fn lists_are_json_arrays_too() {
    let dir = Workdir::new();
    let rows = table(|tags| tags.join("|"));
    let as_json = |line: &str| {
        let fields: Vec<&str> = line.split(',').collect();
        let tags: Vec<&str> = fields[0].trim_matches('"').split('|').collect();
        json!({ "tags": tags, "n": fields[1].parse::<u32>().unwrap(), "y": fields[2] }).to_string() + "\n"
    };
    dir.write("t.ndjson", rows.lines().skip(1).map(as_json).collect::<String>());
    for algorithm in ["decision-tree", "logistic-regression"] {
        dir.run(&["train", "t.ndjson", "--algorithm", algorithm]).ok();
        dir.run(&["eval", "--require", "accuracy>=0.99"]).ok();
        let predict = |features: &serde_json::Value| {
            dir.run(&["predict", "--format", "json", "--features", &features.to_string()]).ok().json()
        };
        let tags = ["tall", "old", "odd"];
        let array = predict(&json!({ "tags": tags, "n": 3 }));
        assert_eq!(array["prediction"], "yes");
        assert_eq!(
            predict(&json!({ "tags": "[\"old\",\"tall\"]", "n": 3 })),
            array,
            "an unknown one is none"
        );
        dir.write("new.ndjson", json!({ "n": 3, "tags": tags }).to_string() + "\n");
        let done = dir.run(&["predict", "--input", "new.ndjson", "--keep", "none"]).ok();
        assert!(done.out().contains("yes"), "{done}");
        let model = file::load(dir.path("model.mlapi").to_str().unwrap()).unwrap();
        let server = Server::start(model, Limits::default());
        for body in [
            json!({ "features": { "tags": tags, "n": 3 } }),
            json!({ "features": [{ "n": 3, "tags": tags }] }),
            json!({ "data": [[3, tags]] }),
            json!({ "data": [3, tags] }),
            json!({ "data": [[3, tags, "no"]] }),
        ] {
            let reply = server.predict(body.to_string()).json();
            let one = reply["predictions"].get(0).unwrap_or(&reply);
            assert_eq!(one["probability"], array["probability"], "{body}: {reply}");
        }
        for body in [
            json!({ "inputs": { "tags": [tags, ["red"]], "n": [3, 3] } }),
            json!({ "dataframe_split": { "columns": ["n", "tags"], "data": [[3, tags], [3, ["red"]]] } }),
        ] {
            let reply = server.send("POST", "/invocations", JSON, body.to_string()).json();
            assert_eq!(reply["predictions"], json!(["yes", "no"]), "{body}: {reply}");
        }
        let reply = server.predict(json!({ "features": { "tags": ["old"], "n": [3] } }).to_string());
        assert_eq!(reply.status, 422, "{}", reply.text());
        assert!(reply.text().contains("/features/n") && reply.text().contains("not a value"));
    }
}

#[test]
fn an_array_that_is_neither_a_list_nor_a_pair_is_an_error_with_its_line() {
    let dir = Workdir::new();
    let row = |i: usize| {
        let x = if i == 7 { json!([1, 2, 3]) } else { json!(i % 5) };
        json!({ "x": x, "n": i % 7, "y": if i.is_multiple_of(2) { "a" } else { "b" } }).to_string() + "\n"
    };
    dir.write("t.ndjson", (0..60).map(row).collect::<String>());
    let train = ["train", "t.ndjson", "--algorithm", "decision-tree"];
    for more in [&[][..], &["--type", "x=category"], &["--target", "x"]] {
        let done = dir.run(&[&train[..], more].concat()).fails(1);
        assert!(done.err().contains("line 8, member \"x\": an array or an object is not a value"), "{done}");
    }
    dir.run(&[&train[..], &["--drop", "x"]].concat()).ok();
}

/// Two hundred places, written by `write`; those in the north are "cold".
fn places(write: impl Fn(f64, f64) -> String) -> String {
    (0..200_usize).fold("place,n,y\n".to_string(), |text, i| {
        let (north, east) = (45.0 + (i * 37 % 100) as f64 / 10.0, 5.0 + (i * 61 % 90) as f64 / 8.0);
        let y = if north > 50.0 { "cold" } else { "warm" };
        text + &format!("\"{}\",{},{y}\n", write(north, east), i % 13)
    })
}

#[test]
fn two_numbers_in_a_cell_are_two_numbers_and_read_the_same_everywhere() {
    type Written<'a> = &'a dyn Fn(f64, f64) -> String;
    let styles: [Written; 6] = [
        &|a, b| format!("{a:.2},{b:.3}"),
        &|a, b| format!("({a}, {b:.1})"),
        &|a, b| format!("{a:.1};{b:.1}"),
        &|a, b| format!("{a:.1} {b:.1}"),
        &|a, b| format!("{a:.1};{b:.1}").replace('.', ","),
        &|a, b| format!("POINT({a:.1} {b:.1})"),
    ];
    for write in styles {
        let dir = Workdir::new();
        dir.write("t.csv", places(write));
        for algorithm in ["decision-tree", "logistic-regression", "naive-bayes"] {
            let done = dir.run(&["train", "t.csv", "--algorithm", algorithm]).ok();
            assert!(done.err().contains("every cell of \"place\" is two numbers"), "{done}");
            assert!(done.out().contains("pairs of numbers") && done.out().contains("two numbers"), "{done}");
            dir.run(&["eval", "--require", "accuracy>=0.9"]).ok();
            let done = dir.run(&["inspect"]).ok();
            assert!(done.out().contains("45 to 54.9, 5 to"), "{done}");
            let predict = |place: serde_json::Value| {
                let features = json!({ "place": place, "n": 3 }).to_string();
                dir.run(&["predict", "--format", "json", "--features", &features]).ok().json()
            };
            let (cold, warm) = (write(53.25, 7.5), write(46.25, 7.5));
            assert_eq!(predict(json!(cold))["prediction"], "cold");
            let answer = predict(json!(warm));
            assert_eq!(answer["prediction"], "warm", "{answer}");
            let text = format!("place,n\n\"{cold}\",3\n\"{warm}\",3\n\"\",3\n");
            dir.write("new.csv", text);
            let done = dir.run(&["predict", "--input", "new.csv", "--keep", "none"]).ok();
            let predicted: Vec<&str> = done.out().lines().skip(1).map(|line| &line[..4]).take(2).collect();
            assert_eq!(predicted, ["cold", "warm"], "{done}");
            let model = file::load(dir.path("model.mlapi").to_str().unwrap()).unwrap();
            let server = Server::start(model, Limits::default());
            let reply = server.predict(json!({ "features": { "place": warm, "n": 3 } }).to_string());
            assert_eq!(reply.json()["probability"], answer["probability"], "{}", reply.text());
            // What is no pair is an error, as is a lone number, which may be half of one.
            for wrong in [json!("48.1"), json!("north"), json!(48.1), json!([48.1]), json!([1, 2, 3])] {
                let features = json!({ "place": wrong, "n": 3 });
                let reply = server.predict(json!({ "features": features }).to_string());
                assert_eq!(reply.status, 422, "{wrong}: {}", reply.text());
                assert!(
                    reply.text().contains("is not two numbers as this column has them"),
                    "{}",
                    reply.text()
                );
            }
            let inputs = json!({ "inputs": { "place": [[53.25, 7.5], [46.25, 7.5]], "n": [3, 3] } });
            let reply = server.send("POST", "/invocations", JSON, inputs.to_string()).json();
            assert_eq!(reply["predictions"], json!(["cold", "warm"]), "{reply}");
            let tensor = |name: &str, datatype: &str, data: serde_json::Value| json!({ "name": name, "shape": [2], "datatype": datatype, "data": data });
            let tensors = [tensor("place", "BYTES", json!([cold, warm])), tensor("n", "FP64", json!([3, 3]))];
            let body = json!({ "inputs": tensors }).to_string();
            let reply = server.send("POST", "/v2/models/model/infer", JSON, body);
            assert_eq!(reply.json()["outputs"][0]["data"], json!(["cold", "warm"]), "{}", reply.text());
            let row = format!("\"place={warm}\",n=3");
            let done = dir.run(&["predict", "--features", &row]).ok();
            assert!(done.out().starts_with("warm"), "{done}");
            let document = server.get("/openapi.json").text();
            assert!(document.contains("Two numbers, in training from 45 to 54.9"), "{document}");
        }
        let done =
            dir.run(&["train", "t.csv", "--type", "place=category", "--algorithm", "decision-tree"]).ok();
        assert!(!done.err().contains("two numbers"), "{done}");
    }
}

#[test]
fn a_server_tells_no_number_of_a_private_pair() {
    let dir = Workdir::new();
    dir.write("t.csv", places(|a, b| format!("{a},{b}")));
    let told = |flags: &[&str]| {
        dir.run(&[&["train", "t.csv", "--algorithm", "decision-tree"], flags].concat()).ok();
        let model = file::load(dir.path("model.mlapi").to_str().unwrap()).unwrap();
        let server = Server::start(model, Limits::default());
        ["/model", "/openapi.json"].map(|path| server.get(path).text().contains("54.9"))
    };
    assert_eq!(told(&[]), [true, true]);
    assert_eq!(told(&["--private", "place"]), [false, false]);
}

#[test]
fn numbers_in_parentheses_that_may_be_pairs_are_named() {
    let dir = Workdir::new();
    let table = |bare: &str| {
        let row = |i: usize| {
            format!(
                "\"({},{})\",{},{}\n",
                i % 17,
                i % 5 + 1,
                i % 7,
                if i.is_multiple_of(2) { "a" } else { "b" }
            )
        };
        format!("x,n,y\n{bare}{}", (0..60).map(row).collect::<String>())
    };
    dir.write("t.csv", table(""));
    let train = ["train", "t.csv", "--algorithm", "decision-tree"];
    let done = dir.run(&train).ok();
    assert!(done.err().contains("was read as a negative number: (0,1) as -0.1"), "{done}");
    dir.write("t.csv", table("\"7,5\",3,a\n"));
    let done = dir.run(&train).ok();
    assert!(!done.err().contains("stands in parentheses"), "an account: {done}");
}

#[test]
fn a_cell_among_pairs_that_is_none_is_named_with_its_line() {
    let dir = Workdir::new();
    let table = places(|a, b| format!("{a},{b}")).replacen("\"45,5\"", "somewhere", 1);
    assert!(table.contains("somewhere"));
    dir.write("t.csv", &table);
    let train = ["train", "t.csv", "--algorithm", "decision-tree"];
    let done = dir.run(&train).fails(1);
    for words in ["line 2, column \"place\": \"somewhere\" is not two numbers", "--null", "place=category"] {
        assert!(done.err().contains(words), "{done}");
    }
    dir.run(&[&train[..], &["--null", "somewhere"]].concat()).ok();
}
