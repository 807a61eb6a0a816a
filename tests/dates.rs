//! Columns of dates, from the table to every kind of prediction.

use crate::support::http::Server;
use crate::support::workdir::Workdir;
use mlapi::model::file;
use mlapi::server::Limits;
use serde_json::{Value, json};

fn r2(dir: &Workdir, algorithm: &str, more: &[&str]) -> f64 {
    let flags = ["train", "rentals.csv", "--task", "regression", "--format", "json", "-q", "--algorithm"];
    let flags = [&flags[..], &[algorithm], more].concat();
    dir.run(&flags).ok().json()["metrics"]["r2"].as_f64().unwrap()
}

#[test]
fn weekday_hour_and_season_are_learned_from_dates() {
    let dir = Workdir::with(&["rentals.csv"]);
    // By how far the three columns of dates help: all else is the weather.
    let without = r2(&dir, "ridge", &["--drop", "starts", "--drop", "booked", "--drop", "serviced"]);
    for (algorithm, least) in [("ridge", 0.5), ("gradient-boosting", 0.8), ("random-forest", 0.6)] {
        let with = r2(&dir, algorithm, &[]);
        assert!(with > least && with > without + 0.1, "{algorithm}: {with}, without the dates {without}");
        // The golden rows hold dates and are checked as the file is read.
        dir.run(&["inspect"]).ok().says(&["starts", "date", "2023-01-0"]);
    }
    dir.run(&["eval"]).ok();
    r2(&dir, "gradient-boosting", &["--drop", "booked", "--drop", "serviced"]);
    let importances = dir.run(&["inspect", "--format", "json"]).ok().json()["importances"].clone();
    let sum: f64 = importances.as_object().unwrap().values().map(|value| value.as_f64().unwrap()).sum();
    assert!(
        importances["starts"].as_f64().unwrap() > 0.5 * sum,
        "the parts count for the column: {importances}"
    );
}

#[test]
fn trees_see_how_long_something_took() {
    let dir = Workdir::new();
    let row = |i: u32| {
        let (day, is_long) = (i * 37 % 300, i % 7 > 3);
        let date = |day: u32| format!("2024-{:02}-{:02}", day / 28 + 1, day % 28 + 1);
        let returns = day + i % 3 + if is_long { 18 } else { 2 };
        format!("{},{},{}\n", date(day), date(returns), if is_long { "long" } else { "short" })
    };
    dir.write("t.csv", format!("leaves,returns,y\n{}", (0..300).map(row).collect::<String>()));
    let done = dir.run(&["train", "t.csv", "--algorithm", "decision-tree", "--set", "max_depth=2"]).ok();
    done.says(&["days to returns"]);
    let importances = dir.run(&["inspect", "--format", "json"]).ok().json()["importances"].clone();
    let [leaves, returns] = ["leaves", "returns"].map(|name| importances[name].as_f64().unwrap());
    assert!(leaves > 0.4 && returns > 0.4, "half for each: {importances}");
    let accuracy = dir.run(&["eval", "--format", "json"]).ok().json()["metrics"]["accuracy"].clone();
    assert!(accuracy.as_f64() > Some(0.95), "{accuracy}");
}

#[test]
fn a_date_gives_the_same_prediction_on_every_road_and_however_it_is_written() {
    for algorithm in ["ridge", "gradient-boosting"] {
        let dir = Workdir::with(&["rentals.csv"]);
        r2(&dir, algorithm, &["-o", "m.mlapi"]);
        let cells = ["2024-03-05T14:30:00Z", "01/02/2024", "2024年1月15日", "dry"];
        let features = ["starts", "booked", "serviced", "weather"];
        let row = cells.join(",");
        let of = |done: crate::support::workdir::Done| {
            done.json()["predictions"][0]["prediction"].as_f64().unwrap()
        };
        let by_features = dir.run(&["predict", "--model", "m.mlapi", "--format", "json", "--features", &row]);
        let wanted = by_features.ok().json()["prediction"].as_f64().unwrap();
        dir.write("in.csv", format!("{}\n{row}\n", features.join(",")));
        let named: serde_json::Map<String, Value> =
            features.iter().zip(cells).map(|(name, cell)| (name.to_string(), cell.into())).collect();
        dir.write("in.ndjson", format!("{}\n", Value::Object(named.clone())));
        for input in ["in.csv", "in.ndjson"] {
            let done = dir.run(&["predict", "--model", "m.mlapi", "--format", "json", "--input", input]).ok();
            assert_eq!(of(done), wanted, "{algorithm} {input}");
        }
        let server =
            Server::start(file::load(dir.path("m.mlapi").to_str().unwrap()).unwrap(), Limits::default());
        let predicted = |body: Value| {
            let reply = server.predict(body.to_string());
            assert_eq!(reply.status, 200, "{}", reply.text());
            reply.json()["prediction"].as_f64().unwrap()
        };
        assert_eq!(predicted(json!({ "data": cells })), wanted);
        assert_eq!(predicted(json!({ "features": named })), wanted);
        let tensors = features.iter().zip(cells);
        let tensors = tensors
            .map(|(name, cell)| json!({ "name": name, "shape": [1], "datatype": "BYTES", "data": [cell] }));
        let body = json!({ "inputs": tensors.collect::<Vec<_>>() }).to_string();
        let reply = server.send("POST", "/v2/models/model/infer", "Content-Type: application/json\r\n", body);
        assert_eq!(reply.json()["outputs"][0]["data"][0].as_f64(), Some(wanted), "{}", reply.text());
        for (i, other) in
            [(0, "2024-03-05 22:30:00+08:00"), (0, "5.3.2024 2:30 PM"), (1, "2024-02-01"), (2, "2024/1/15")]
        {
            let mut cells = cells;
            cells[i] = other;
            assert_eq!(predicted(json!({ "data": cells })), wanted, "{other}");
        }
        let refused = server.predict(json!({ "data": ["soon", "01/02/2024", null, "dry"] }).to_string());
        assert_eq!(refused.status, 422, "{}", refused.text());
        assert!(refused.text().contains("is not a date, such as 2024-03-05"), "{}", refused.text());
        let far =
            server.predict(json!({ "data": ["2124-03-05", "01/02/2024", null, "dry"] }).to_string()).json();
        assert_eq!(far["warnings"][0]["kind"], "out_of_range", "{far}");
        let document = server.get("/openapi.json").text();
        assert!(document.contains("with the day first: 31/12/2024") && document.contains("ISO 8601"));
        let metadata = server.get("/v2/models/model").json();
        assert_eq!(metadata["inputs"][0]["datatype"], "BYTES");
    }
}

/// Forty rows of a date and whether it is of the second half.
fn halves(date: impl Fn(usize) -> String) -> String {
    (0..40).fold("day,late\n".to_string(), |text, i| {
        text + &format!("{},{}\n", date(i), if i < 20 { "no" } else { "yes" })
    })
}

#[test]
fn dates_that_can_be_read_in_two_ways_are_taken_with_a_note() {
    let dir = Workdir::new();
    dir.write("t.csv", halves(|i| format!("{:02}/{:02}/2024", 1 + i / 4, 1 + i % 4 * 3)));
    let done = dir.run(&["train", "t.csv"]).ok();
    assert!(done.err().contains("with the day or the month first"), "{done}");
    dir.write("t.csv", halves(|i| format!("{:02}/{:02}/2024", 1 + i % 4 * 9, 1 + i / 4)));
    let done = dir.run(&["train", "t.csv"]).ok();
    assert!(!done.err().contains("first"), "the 28th is a day: {done}");
}

#[test]
fn whole_numbers_are_dates_where_they_are_said_to_be() {
    let dir = Workdir::new();
    dir.write("t.csv", halves(|i| format!("2024{:02}{:02}", 1 + i / 4, 1 + i % 4 * 9)));
    dir.run(&["train", "t.csv", "--type", "day=date", "-q", "--algorithm", "decision-tree"]).ok();
    dir.run(&["inspect"]).ok().says(&["2024-01-01 to 2024-10-28"]);
    let predict = |row: &str| dir.run(&["predict", "--format", "json", "--features", row]).ok().json();
    assert_eq!(predict("20240901"), predict("2024-09-01"));
    assert_eq!(predict("1725148800"), predict("2024-09-01"), "seconds since 1970");
    dir.run(&["eval"]).ok();
    dir.run(&["predict", "--features", "2024-13-01"]).fails(1).complains(&["is not a date"]);
}

/// What `inspect` says of the dates of a table of [`halves`], and what training noted.
fn range_and_notes(dir: &Workdir, flags: &[&str]) -> (String, String) {
    let train = ["train", "t.csv", "--algorithm", "decision-tree"];
    let notes = dir.run(&[&train[..], flags].concat()).ok().err().to_string();
    let card = dir.run(&["inspect", "--format", "json"]).ok().json();
    let feature = card["schema"]["features"][0].clone();
    assert_eq!(feature["type"], "date", "{feature}");
    (dir.run(&["inspect"]).ok().out().to_string(), notes)
}

#[test]
fn a_date_with_a_year_of_two_digits_or_the_name_of_a_month_is_a_date() {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = |i: usize| MONTHS[i / 4];
    let day = |i: usize| 1 + i % 4 * 9;
    type Written<'a> = &'a dyn Fn(usize) -> String;
    let dates: [(Written, &str, &str); 6] = [
        (&|i| format!("{}/{}/24", 1 + i / 4, day(i)), "3/5/24", "two digits"),
        (&|i| format!("\"{} {}, 2024\"", month(i), day(i)), "\"Mar 5, 2024\"", ""),
        (&|i| format!("{} {} 2024", day(i), month(i)), "5 March 2024", ""),
        (&|i| format!("{:02}-{}-24", day(i), month(i)), "05-Mar-24", "two digits"),
        (&|i| format!("{}.{}.24", day(i), 1 + i / 4), "5.3.24", "two digits"),
        (&|i| format!("{}/{}/24 2:30 PM", 1 + i / 4, day(i)), "3/5/24 12:00 AM", "two digits"),
    ];
    for (date, march, words) in dates {
        let dir = Workdir::new();
        dir.write("t.csv", halves(date));
        let (card, notes) = range_and_notes(&dir, &[]);
        assert!(card.contains("2024-01-01") && card.contains("to 2024-10-28"), "{march}: {card}");
        assert!(notes.contains("two digits") != words.is_empty(), "{march}: {notes}");
        let predict = |row: &str| dir.run(&["predict", "--format", "json", "--features", row]).ok().json();
        assert_eq!(predict(march), predict("2024-03-05"), "{march}");
        assert_eq!(predict(march)["prediction"], "no", "{march}");
    }
}

#[test]
fn the_order_of_dates_with_years_of_two_digits_is_noted_if_it_is_a_guess() {
    let dir = Workdir::new();
    dir.write("t.csv", halves(|i| format!("{:02}/{:02}/24", 1 + i / 4, 1 + i % 4 * 3)));
    let (_, notes) = range_and_notes(&dir, &[]);
    assert!(notes.contains("the month was taken to be first, as in 12/31/24"), "{notes}");
    dir.write("t.csv", halves(|i| format!("24-{:02}-{:02}", 1 + i / 20, 1 + i % 20)));
    let (card, notes) = range_and_notes(&dir, &[]);
    assert!(
        card.contains("2024-01-01 to 2024-02-20") && !notes.contains("taken to be first"),
        "{card}{notes}"
    );
}

#[test]
fn the_numbers_of_excel_are_dates_where_they_are_said_to_be() {
    let dir = Workdir::new();
    dir.write("t.csv", halves(|i| format!("{}", 45_292 + i * 3)));
    let (card, notes) = range_and_notes(&dir, &["--type", "day=date"]);
    assert!(card.contains("2024-01-01 to 2024-04-27"), "{card}");
    assert!(notes.contains("days as Excel counts them: 45356 is 2024-03-05"), "{notes}");
    let predict = |row: &str| dir.run(&["predict", "--format", "json", "--features", row]).ok().json();
    assert_eq!(predict("45356.25"), predict("2024-03-05T06:00:00Z"));
    let refused = dir.run(&["predict", "--features", "20240305"]).fails(1);
    refused.complains(&["20240305 is not a date", "as Excel counts them"]);
}

#[test]
fn a_mistake_among_dates_is_named_with_its_line() {
    let dir = Workdir::new();
    dir.write(
        "t.csv",
        halves(|i| if i == 7 { "2024-02-30".into() } else { format!("2024-{:02}-03", 1 + i / 4) }),
    );
    dir.run(&["train", "t.csv"]).fails(1).complains(&["t.csv line 9", "\"2024-02-30\" is not a date"]);
    dir.run(&["train", "t.csv", "--type", "day=category", "--format", "json"]).ok();
}
