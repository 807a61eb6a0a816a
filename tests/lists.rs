//! Cells that are lists of names, from the table to every kind of prediction.

use mlapi::model::file;
use mlapi::server::Limits;
use serde_json::json;

use crate::support::http::Server;
use crate::support::workdir::Workdir;

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
            assert!(done.out().contains(&format!("lists {words}")) && done.out().contains("5 "), "{done}");
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
fn two_numbers_in_a_cell_are_named_with_what_helps() {
    let dir = Workdir::new();
    let row = |i: usize| format!("\"48.{i},11.{}\",{},{}\n", i * 3, i % 7, ["a", "b"][i % 2]);
    dir.write("t.csv", format!("place,n,y\n{}", (10..60).map(row).collect::<String>()));
    let done = dir.run(&["train", "t.csv", "--algorithm", "decision-tree"]).ok();
    assert!(done.err().contains("every cell of \"place\" is two numbers, such as \"48.10,11.30\""), "{done}");
}
