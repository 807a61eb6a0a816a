//! What a request may cost: memory by what it holds and not by how it is written, in every dialect. Work is bounded in the
//! unit tests of `server::cost`, `server::work`, `names` and the readers.

use serde_json::{Value, json};

use crate::support::workdir::Workdir;

/// A text of `n` bytes or a little more, of one piece again and again.
#[cfg(target_os = "linux")]
fn filled(n: usize, start: &str, piece: &str, end: &str) -> String {
    format!("{start}{}{end}", piece.repeat(n / piece.len()))
}

/// The most memory that a server has taken so far, in MB.
#[cfg(target_os = "linux")]
fn peak(server: &crate::support::process::Server) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() / 1024
}

#[cfg(target_os = "linux")]
#[test]
fn no_request_takes_many_times_its_size_of_memory() {
    use crate::support::process::Server;

    const BYTES: usize = 8 << 20;
    // Its body, its rows and a copy of each; as trees of values these took 300 MB to 2 GB.
    const MOST_MB: usize = 120;
    let dir = Workdir::trained("iris.csv", &["--algorithm", "logreg"]);
    let server = Server::start(&dir, &["--model", "iris=model.mlapi", "--feedback", "9"], &[]);
    let (json, csv, ndjson) = ("application/json", "text/csv", "application/x-ndjson");
    let (predict, score, infer) = ("/predict", "/invocations", "/v2/models/iris/infer");
    let objects = r#"{"":0},"#;
    let row = r#""data":[5.1,3.5,1.4,0.2]}"#;
    for (path, kind, start, piece, end, status) in [
        (predict, json, r#"{"threshold":["#, objects, &*format!("0],{row}"), 422),
        (predict, json, r#"{"lenient":{"a":["#, objects, &format!("0]}},{row}"), 422),
        (predict, json, r#"{"explain":["#, "[],", &format!("0],{row}"), 422),
        (predict, json, r#"{"weights":["#, objects, &format!("0],{row}"), 422),
        (predict, json, "{", r#""a":0,"#, row, 422),
        (predict, json, r#"{"data":["#, "1,", "1]}", 422),
        (predict, json, r#"{"data":["#, r#""x","#, "1]}", 422),
        (predict, json, r#"{"data":[["#, "1,", "1]]}", 422),
        (predict, json, r#"{"data":[[1,2,3,4],"#, "5,", "5]}", 422),
        (predict, json, r#"{"data":["#, "{},", "{}]}", 413),
        (predict, json, r#"{"features":{"#, r#""a":0,"#, r#""b":0}}"#, 422),
        (predict, json, "{\"", "a", "\":0}", 422),
        (predict, json, r#"{"features":{""#, "a", "\":0}}", 422),
        (predict, csv, "", ",", "\n1\n", 422),
        (predict, csv, "", "a", ",b\n1,2\n", 400),
        (predict, csv, "sepal_length,sepal_width,petal_length,petal_width\n", "x,x,x,x\n", "", 422),
        (predict, ndjson, "", "{}\n", "", 422),
        (predict, ndjson, "", "1\n", "", 422),
        (predict, ndjson, "{", r#""a":0,"#, "\"b\":0}\n", 422),
        (predict, ndjson, "{", r#""species":0,"#, "\"b\":0}\n", 422),
        (score, json, r#"{"params":{"a":["#, objects, r#"0]},"inputs":[[5.1,3.5,1.4,0.2]]}"#, 200),
        (score, json, r#"{"params":["#, objects, r#"0],"inputs":[[5.1,3.5,1.4,0.2]]}"#, 400),
        (score, json, r#"{"dataframe_split":{"columns":["#, objects, r#"0],"data":[[1]]}}"#, 400),
        (score, json, r#"{"dataframe_split":{"columns":["#, "0,", r#""a"],"data":[[1]]}}"#, 400),
        (score, json, r#"{"inputs":{"#, r#""":0,"#, r#""a":0}}"#, 400),
        (score, json, r#"{"inputs":{"sepal_length":["#, "1,", "1]}}", 413),
        (score, json, r#"{"inputs":{"sepal_length":[["#, "1,", "1]]}}", 400),
        (score, json, r#"{"inputs":""#, "a", "\"}", 400),
        (score, csv, "", ",", "\n1\n", 400),
        (infer, json, r#"{"inputs":["#, r#"{"name":"","shape":[],"datatype":""},"#, "0]}", 400),
        (infer, json, r#"{"inputs":[{"name":"x","datatype":"FP64","shape":["#, "1,", "4]}]}", 400),
        (infer, json, r#"{"inputs":[],"outputs":["#, r#"{"name":""},"#, r#"{"name":""}]}"#, 400),
        (infer, json, r#"{"inputs":[],"id":""#, "a", "\"}", 400),
        (infer, json, r#"{"inputs":""#, "a", "\"}", 400),
    ] {
        let headers = format!("Content-Type: {kind}\r\n");
        let answer = server.send("POST", path, &headers, &filled(BYTES, start, piece, end));
        let (begins, length): (String, _) = (answer.chars().take(400).collect(), answer.len());
        let sent = format!("{path} {kind} {start}{piece}…{end}");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{sent}: {begins}");
        assert!(length < 60_000, "{sent}: {length} bytes of answer");
        assert!(peak(&server) < MOST_MB, "{sent}: {} MB", peak(&server));
    }
    // The shapes of 60 TB.
    let shape = r#"{"inputs":[{"name":"x","shape":[100000,4],"datatype":"FP64","data":[1]}]}"#;
    assert!(server.post(infer, shape).contains("at most 1 elements where the shape has 400000"));
    for (n_bytes, status) in [(200_000, 404), (300_000, 413)] {
        let labels = filled(n_bytes, r#"{"request_id":"a","labels":["#, objects, "0]}");
        let answer = server.post("/feedback", &labels);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
    assert!(peak(&server) < MOST_MB, "{} MB", peak(&server));
}

#[cfg(target_os = "linux")]
#[test]
fn a_model_of_many_classes_answers_as_many_rows_as_fit_into_memory() {
    use crate::support::process::Server;

    let dir = Workdir::new();
    let rows: String =
        (0..2000).map(|i| format!("{},{},product-{:03}\n", i % 200 / 20, i % 20, i % 200)).collect();
    dir.write("classes.csv", format!("x,z,y\n{rows}"));
    dir.run(&["train", "classes.csv", "-q", "--algorithm", "tree"]).ok();
    let server = Server::start(&dir, &["--max-held-bytes", "10000000"], &[]);
    let body = |n: usize| format!("{{\"lenient\":true,\"data\":[{}{{}}]}}", "{},".repeat(n - 1));
    let refused = server.predict(&body(20_000));
    assert!(refused.starts_with("HTTP/1.1 413"), "{}", &refused[..200]);
    let most: usize = refused.split("at most ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!((100..1000).contains(&most), "a row takes about 10 KB: {most}");
    assert!(server.predict(&body(most + 1)).starts_with("HTTP/1.1 413"));
    assert!(server.predict(&body(most)).starts_with("HTTP/1.1 200"));
    let table = format!("x,z\n{}", "1,2\n".repeat(most + 1));
    assert!(
        server.send("POST", "/predict", "Content-Type: text/csv\r\n", &table).starts_with("HTTP/1.1 413")
    );
    assert!(peak(&server) < 120, "{} MB", peak(&server));
}

#[cfg(target_os = "linux")]
#[test]
fn answers_that_wait_for_their_clients_are_held_bytes() {
    use crate::support::http::request;
    use crate::support::process::Server;
    use std::io::{Read, Write};
    use std::net::TcpStream;

    let dir = Workdir::trained("iris.csv", &["--algorithm", "logreg"]);
    let server = Server::start(&dir, &["--max-held-bytes", "60000000", "--write-seconds", "20"], &[]);
    let rows = vec!["[5.1,3.5,1.4,0.2]"; 60_000].join(",");
    let bytes = request("POST", "/predict", "", format!("{{\"data\":[{rows}]}}").as_bytes());
    // Answers of 8 MB, of which the buffers of a socket take a part.
    let mut deaf = Vec::new();
    let mut refused = 0;
    for _ in 0..12 {
        let mut socket = TcpStream::connect(&server.address).unwrap();
        socket.write_all(&bytes).unwrap();
        // The beginning says that it is made.
        let mut start = [0; 12];
        socket.read_exact(&mut start).unwrap();
        refused += usize::from(start.ends_with(b"503"));
        deaf.push(socket);
    }
    assert!((3..11).contains(&refused), "{refused} of 12 are refused");
    assert!(
        server.predict(r#"{"data":[5.1,3.5,1.4,0.2]}"#).starts_with("HTTP/1.1 200"),
        "one row always gets through"
    );
    assert!(peak(&server) < 200, "{} MB", peak(&server));
    drop(deaf);
    server.wait_for("", "mlapi_connections 1\n");
    let mut socket = TcpStream::connect(&server.address).unwrap();
    socket.write_all(&bytes).unwrap();
    let mut start = [0; 12];
    socket.read_exact(&mut start).unwrap();
    assert!(start.ends_with(b"200"), "the memory is given back");
}

#[test]
fn a_prediction_that_is_not_a_number_is_an_error_on_every_path() {
    use crate::support::http::Server;
    use mlapi::model::file;
    use mlapi::server::Limits;

    let dir = Workdir::trained("diabetes.csv", &["--algorithm", "linear-regression"]);
    let model = file::load(dir.path("model.mlapi")).unwrap();
    let names: Vec<String> =
        model.pipeline.schema.features.iter().map(|feature| feature.name.clone()).collect();
    let near = vec![0.01; names.len()];
    let far: Vec<f64> = (0..names.len()).map(|i| if i % 2 == 0 { -1e308 } else { 1e308 }).collect();
    let server = Server::start(model, Limits::default());
    let reason = "not a finite number";
    let refused = |path: &str, kind: &str, body: &str, status: u16| {
        let reply = server.send("POST", path, &format!("Content-Type: {kind}\r\n"), body);
        assert!(reply.status == status && reply.text().contains(reason), "{body}: {}", reply.text());
        reply
    };
    let one = refused("/predict", "application/json", &json!({ "data": far }).to_string(), 422);
    assert_eq!(one.problem(422)["errors"][0]["pointer"], "/data");
    let many = refused("/predict", "application/json", &json!({ "data": [near, far] }).to_string(), 422);
    assert_eq!(many.problem(422)["errors"][0]["pointer"], "/data/1");
    let cells = |row: &[f64]| row.iter().map(f64::to_string).collect::<Vec<_>>().join(",");
    let table = format!("{}\n{}\n{}\n", names.join(","), cells(&near), cells(&far));
    let reply = refused("/predict", "text/csv", &table, 422);
    assert_eq!(reply.problem(422)["errors"][0]["pointer"], "/1");
    refused("/predict", "application/x-ndjson", &format!("{}\n{}\n", json!(near), json!(far)), 422);
    refused("/invocations", "application/json", &json!({ "inputs": [near, far] }).to_string(), 400);
    refused("/invocations", "text/csv", &table, 400);
    let tensor = json!({ "name": "x", "shape": [2, names.len()], "datatype": "FP64", "data": [near, far] });
    refused("/v2/models/model/infer", "application/json", &json!({ "inputs": [tensor] }).to_string(), 400);
    dir.write("far.csv", &table);
    dir.run(&["predict", "--input", "far.csv"]).fails(1).complains(&["far.csv line 3", reason]);
    dir.run(&["predict", &format!("--features={}", cells(&far))]).fails(1).complains(&[reason]);
    let kept = dir.run(&["predict", "--input", "far.csv", "--on-error", "null", "--keep", "none"]).ok();
    let out = kept.out();
    assert!(out.lines().count() == 3 && out.lines().nth(2) == Some(""), "{out}");
    let skipped = dir.run(&["predict", "--input", "far.csv", "--on-error", "skip", "--keep", "none"]).ok();
    assert_eq!(skipped.out().lines().count(), 2);
}

#[test]
fn a_header_of_too_many_columns_is_refused_by_predict() {
    let dir = Workdir::trained("iris.csv", &["--algorithm", "logreg"]);
    dir.write("wide.csv", format!("{}\n1\n", ",".repeat(3_000_000)));
    let words =
        ["wide.csv line 1: 3000001 columns, where at most", "leave out those that the model does not use"];
    dir.run(&["predict", "--input", "wide.csv"]).fails(1).complains(&words);
    dir.run(&["predict", "--input", "wide.csv", "--no-header"]).fails(1).complains(&words);
    dir.run(&["predict", "--input", "wide.csv", "--lenient"]).fails(1).complains(&words);
    let names: Vec<String> = (0..5000).map(|i| format!("more_{i}")).collect();
    let header = format!("sepal_length,sepal_width,petal_length,petal_width,{}", names.join(","));
    dir.write("wide.csv", format!("{header}\n5.1,3.5,1.4,0.2{}\n", ",7".repeat(5000)));
    let lenient = dir.run(&["predict", "--input", "wide.csv", "--lenient", "--keep", "none"]).ok();
    assert!(lenient.out().contains("setosa"), "unknown columns are ignored");
}

#[cfg(unix)]
#[test]
fn a_server_tells_no_value_of_a_private_column() {
    use crate::support::process::Server;

    let dir = Workdir::trained("penguins.csv", &["--algorithm", "logreg", "--private", "island"]);
    let server = Server::start(&dir, &[], &[]);
    let told: Vec<String> = ["/model", "/models", "/openapi.json", "/metrics", "/v2/models/model"]
        .map(|path| server.get(path))
        .into();
    let odd = server.predict(r#"{"data":["Atlantis",true,17.2,201,4200,"male",2008]}"#);
    for text in told.iter().chain([&odd]) {
        for level in ["Biscoe", "Dream", "Torgersen"] {
            assert!(!text.contains(level), "{text}");
        }
    }
    assert!(told[0].contains("female"), "a column that is not private");
    let body = told[0].split("\r\n\r\n").nth(1).unwrap();
    let described: Value = serde_json::from_str(body).unwrap();
    assert_eq!(described["schema"]["features"][0]["private"], true);
    let known = server.predict(r#"{"data":["Biscoe",43.9,17.2,201,4200,"male",2008]}"#);
    assert!(known.starts_with("HTTP/1.1 200") && !known.contains("unseen"), "{known}");
    // What is private is a matter of the description alone.
    dir.run(&["train", "penguins.csv", "-q", "--algorithm", "logreg", "--output", "told.mlapi"]).ok();
    let predict = |model: &str| {
        dir.run(&["predict", "--model", model, "--input", "penguins.csv"]).ok().out().to_string()
    };
    assert_eq!(predict("told.mlapi"), predict("model.mlapi"));
    dir.run(&["train", "penguins.csv", "--private", "iland"])
        .fails(2)
        .complains(&["--private", "did you mean \"island\""]);
    dir.run(&["train", "penguins.csv", "--private", "species"]).fails(2).complains(&["that is the target"]);
}
