//! Encodings of files, and texts that look alike, from the table to every kind of prediction.

use encoding_rs::{BIG5, EUC_KR, Encoding, SHIFT_JIS, WINDOWS_1251, WINDOWS_1252};
use mlapi::model::file;
use mlapi::server::Limits;
use serde_json::json;

use crate::support::http::Server;
use crate::support::workdir::Workdir;

/// Rows of a category of two levels and a target that follows from it.
fn table(names: [&str; 2], levels: [&str; 2], labels: [&str; 2]) -> String {
    (0..40).fold(format!("{},n,{}\n", names[0], names[1]), |text, i| {
        text + &format!("{},{},{}\n", levels[i % 2], i * 7 % 11, labels[i % 2])
    })
}

fn train(dir: &Workdir, file: &str, flags: &[&str]) -> String {
    let train = ["train", file, "--algorithm", "decision-tree"];
    dir.run(&[&train[..], flags].concat()).ok().err().to_string()
}

#[test]
fn a_table_in_an_encoding_of_its_language_is_read_with_a_note() {
    for (encoding, names, levels, labels) in [
        (WINDOWS_1251, ["город", "ответ"], ["Москва", "Казань"], ["да", "нет"]),
        (SHIFT_JIS, ["都市", "答え"], ["東京", "大阪"], ["はい", "いいえ"]),
        (BIG5, ["城市", "答案"], ["臺北", "高雄"], ["好的", "壞的"]),
        (EUC_KR, ["도시", "대답"], ["서울", "부산"], ["좋은", "나쁜"]),
    ] {
        let dir = Workdir::new();
        let text = table(names, levels, labels);
        dir.write("t.csv", encoding.encode(&text).0);
        let notes = train(&dir, "t.csv", &[]);
        let name = encoding.name();
        assert!(
            notes.contains(&format!("was read as {name}")) && notes.contains("--encoding overrides"),
            "{notes}"
        );
        let features = json!({ names[0]: levels[1], "n": 3 }).to_string();
        let answer = dir.run(&["predict", "--format", "json", "--features", &features]).ok().json();
        assert_eq!(answer["prediction"], labels[1], "{name}");
        // The same detector reads rows to predict, and those that were held out.
        let rows = format!("{},n\n{},3\n{},4\n", names[0], levels[1], levels[0]);
        dir.write("new.csv", encoding.encode(&rows).0);
        let done = dir.run(&["predict", "--input", "new.csv"]).ok();
        assert!(done.out().contains(&format!("{},3,{}", levels[1], labels[1])), "{done}");
        dir.run(&["eval", "--require", "accuracy>=1"]).ok();
        dir.run(&["predict", "--input", "new.csv", "--encoding", "latin-1"]).fails(1);
    }
}

#[test]
fn one_word_of_another_script_is_asked_about_and_one_of_a_latin_alphabet_is_not() {
    let dir = Workdir::new();
    let written = |encoding: &'static Encoding, word: &str| {
        let text = table(["kind", "y"], [word, "other"], ["a", "b"]);
        encoding.encode(&text).0.into_owned()
    };
    dir.write("t.csv", written(WINDOWS_1252, "CRÉÉE"));
    let notes = train(&dir, "t.csv", &[]);
    assert!(
        notes.contains("was read as windows-1252") && notes.contains("1 word, such as \"CRÉÉE\""),
        "{notes}"
    );
    dir.write("t.csv", written(WINDOWS_1251, "да"));
    dir.run(&["train", "t.csv"]).fails(1).complains(&[
        "t.csv is not UTF-8",
        "line 2 reads",
        "\"да\" in windows-1251",
        "in windows-1252",
        "--encoding",
    ]);
    train(&dir, "t.csv", &["--encoding", "windows-1251"]);
    let answer = dir.run(&["predict", "--features", "да,1", "--format", "json"]).ok().json();
    assert_eq!(answer["prediction"], "a");
}

#[test]
fn texts_that_look_alike_are_one_label_one_level_and_one_name() {
    let dir = Workdir::new();
    let text = table(["caf\u{e9}", "y"], ["ros\u{e9}", "red"], ["d\u{e9}j\u{e0}", "no"]);
    // Every third row is written as other programs write it.
    let mixed: String = text
        .lines()
        .enumerate()
        .map(|(i, line)| match i % 3 {
            1 => line.replace('\u{e9}', "e\u{301}").replace("red", "\u{200b}red\u{a0}") + "\n",
            _ => line.to_string() + "\n",
        })
        .collect();
    dir.write("t.csv", &mixed);
    let done = dir.run(&["train", "t.csv", "--algorithm", "decision-tree"]).ok();
    assert!(done.out().contains("2 classes") && done.out().contains("2 distinct"), "{done}");
    assert!(done.err().contains("accents in two characters") && done.err().contains("e\\u{301}"), "{done}");
    dir.run(&["eval", "--require", "accuracy>=1"]).ok();
    let (name, level) = ("cafe\u{301}", "rose\u{301}");
    let wanted = "d\u{e9}j\u{e0}";
    let features =
        [format!("{{\"{name}\":\"{level}\",\"n\":3}}"), format!("{name}={level},n=3"), format!("{level},3")];
    for features in features {
        let answer = dir.run(&["predict", "--format", "json", "--features", &features]).ok().json();
        assert_eq!(
            (&answer["prediction"], &answer["warnings"]),
            (&json!(wanted), &json!(null)),
            "{features}"
        );
    }
    dir.write("new.csv", format!("n,{name}\n3,{level}\n3,\u{feff}rose\u{301}\u{200b}\n"));
    dir.write("new.ndjson", format!("{{\"n\":3,\"{name}\":\"{level}\"}}\n"));
    for input in ["new.csv", "new.ndjson"] {
        let done = dir.run(&["predict", "--input", input]).ok();
        assert!(done.out().contains(wanted) && !done.err().contains("seen"), "{done}");
    }
    let server =
        Server::start(file::load(dir.path("model.mlapi").to_str().unwrap()).unwrap(), Limits::default());
    for body in [json!({ "data": [level, 3] }), json!({ "features": { name: level, "n": 3 } })] {
        let reply = server.predict(body.to_string());
        assert_eq!(reply.json()["prediction"], wanted, "{}", reply.text());
    }
    let tensor = |name: &str, datatype: &str, data: serde_json::Value| json!({ "name": name, "shape": [1], "datatype": datatype, "data": [data] });
    let inputs = json!({ "inputs": [tensor(name, "BYTES", level.into()), tensor("n", "FP64", 3.into())] });
    let headers = "Content-Type: application/json\r\n";
    let reply = server.send("POST", "/v2/models/model/infer", headers, inputs.to_string());
    assert!(reply.text().contains(wanted), "{}", reply.text());
    let split = json!({ "dataframe_split": { "columns": ["n", name], "data": [[3, level]] } });
    let reply = server.send("POST", "/invocations", headers, split.to_string());
    assert!(reply.text().contains(wanted), "{}", reply.text());
    let unknown = server.predict(json!({ "features": { "caf": level, "n": 3 } }).to_string());
    assert_eq!(unknown.status, 422, "another letter is another name");
}

#[test]
fn a_column_is_named_by_a_flag_however_its_accents_are_written() {
    let dir = Workdir::new();
    dir.write("t.csv", table(["e\u{301}tat", "re\u{301}ponse"], ["red", "blue"], ["yes", "no"]));
    let notes = train(&dir, "t.csv", &["--target", "r\u{e9}ponse", "--type", "e\u{301}tat=category"]);
    assert!(notes.contains("is called \"état\""), "{notes}");
    let answer =
        dir.run(&["predict", "--format", "json", "--features", "{\"état\":\"red\",\"n\":1}"]).ok().json();
    assert_eq!(answer["prediction"], "yes");
    dir.write("t.csv", "e\u{301},\u{e9},y\n1,2,a\n3,4,b\n");
    dir.run(&["train", "t.csv"]).fails(1).complains(&["two columns are called \"é\""]);
}

#[test]
fn invisible_characters_around_a_number_do_not_make_it_a_text() {
    let dir = Workdir::new();
    let rows =
        |i: usize| format!("\u{200b}{},{}\u{a0}\n", i * 3 % 17, ["a", "b"][usize::from(i * 3 % 17 > 8)]);
    dir.write("t.csv", format!("x,y\n{}", (0..60).map(rows).collect::<String>()));
    let done = dir.run(&["train", "t.csv", "--algorithm", "decision-tree"]).ok();
    assert!(done.out().contains("17 whole numbers") && done.out().contains("2 classes"), "{done}");
}
