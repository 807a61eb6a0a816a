//! Why a model answers so: contributions that add up, from the shell and over HTTP.

use serde_json::{Value, json};

use crate::support::http::Server;
use crate::support::workdir::{Workdir, fixture};

/// A row as JSON with its explanation.
fn explained(dir: &Workdir, flags: &[&str]) -> Vec<Value> {
    let head = &["predict", "--format", "ndjson", "--keep", "none"][..];
    let done = dir.run(&[head, flags].concat()).ok();
    done.out().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Checks that base and contributions add up to the score; the score.
#[track_caller]
fn sum(explanation: &Value) -> f64 {
    let contributions = explanation["contributions"].as_object().unwrap();
    let others = explanation["others"].as_f64().unwrap_or(0.0);
    let sum: f64 = contributions.values().map(|value| value.as_f64().unwrap()).sum();
    let sum = sum + others + explanation["base"].as_f64().unwrap();
    let score = explanation["score"].as_f64().unwrap();
    assert!((sum - score).abs() < 1e-9 * score.abs().max(1.0), "{explanation}: {sum}");
    score
}

/// The first lines of a fixture, as a file of rows.
fn some_rows(dir: &Workdir, file: &str, n: usize) {
    let text = fixture(file);
    let lines: Vec<&str> = text.lines().take(n + 1).collect();
    dir.write("rows.csv", lines.join("\n") + "\n");
}

#[test]
fn contributions_of_every_learner_add_up_to_the_score_on_both_scales() {
    for (file, algorithms) in [
        (
            "penguins.csv",
            &["logreg", "bayes", "tree", "forest", "extra-trees", "boost", "knn", "svm", "mlp"][..],
        ),
        ("visits.csv", &["logreg", "bayes", "forest", "boost"]),
        ("rentals.csv", &["ridge", "lasso", "tree", "extra-trees", "boost", "knn"]),
        ("intents.csv", &["logreg", "bayes", "forest"]),
    ] {
        for algorithm in algorithms {
            let dir = Workdir::trained(file, &["--algorithm", algorithm]);
            some_rows(&dir, file, 8);
            for scale in ["score", "probability"] {
                let flags = ["--input", "rows.csv", "--explain", "--explain-scale", scale];
                for row in explained(&dir, &flags) {
                    let score = sum(&row["explanation"]);
                    let is_sampled = ["knn", "svm", "mlp"].contains(algorithm);
                    assert_eq!(row["explanation"]["standard_error"].is_number(), is_sampled);
                    if scale == "probability" {
                        let predicted = row.get("probability").unwrap_or(&row["prediction"]);
                        let predicted = predicted.as_f64().unwrap();
                        let most = 1e-9 * predicted.abs().max(1.0);
                        assert!((predicted - score).abs() < most, "{file} {algorithm}: {row}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_row_is_explained_in_text_json_and_words() {
    let dir = Workdir::trained("iris.csv", &["--algorithm", "boost"]);
    let row = "5.1,3.5,1.4,0.2";
    let text = dir.run(&["predict", "--features", row, "--explain"]).ok();
    let lines: Vec<&str> = text.out().lines().collect();
    assert!(lines[0].starts_with("setosa\t"), "{lines:?}");
    assert_eq!(lines[2], "margin of setosa");
    assert!(lines[3].ends_with("  base") && lines.last().unwrap().ends_with("  score"), "{lines:?}");
    assert!(lines.iter().any(|line| line.ends_with("petal_length = 1.4")), "{lines:?}");
    let flags = ["predict", "--features", row, "--explain=1", "--format", "json"];
    let one = dir.run(&flags).ok().json();
    let explanation = &one["explanation"];
    assert_eq!(explanation["contributions"].as_object().unwrap().len(), 1);
    assert_eq!(explanation["label"], "setosa");
    assert!(explanation["others"].is_number());
    sum(explanation);
    let reasons = explanation["reasons"].as_array().unwrap();
    assert_eq!(reasons.len(), 1);
    assert!(reasons[0].as_str().unwrap().ends_with(" speaks for setosa"), "{reasons:?}");
    let other = dir.run(&[&flags[..], &["--explain-label", "virginica"]].concat()).ok().json();
    assert_eq!(other["explanation"]["label"], "virginica");
    let reason = other["explanation"]["reasons"][0].as_str().unwrap().to_string();
    assert!(reason.ends_with(" speaks against virginica"), "{reason}");
    dir.run(&["predict", "--features", row, "--explain", "--explain-label", "virginca"])
        .fails(2)
        .complains(&["--explain-label: the model has no label \"virginca\"; did you mean \"virginica\"?"]);
}

#[test]
fn a_table_gets_a_column_for_the_base_and_for_each_contribution() {
    let dir = Workdir::trained("penguins.csv", &["--algorithm", "boost"]);
    some_rows(&dir, "penguins.csv", 30);
    let done = dir.run(&["predict", "--input", "rows.csv", "--keep", "none", "--explain"]).ok();
    let table = crate::support::workdir::records(done.out(), b',');
    let names: Vec<&str> = table[0].iter().map(String::as_str).collect();
    assert_eq!(names[..4], ["prediction", "probability", "base", "contribution_island"]);
    let json = explained(&dir, &["--input", "rows.csv", "--explain"]);
    assert_eq!(table.len() - 1, json.len());
    for (cells, row) in table[1..].iter().zip(&json) {
        let explanation = &row["explanation"];
        assert_eq!(cells[2].parse::<f64>().unwrap(), explanation["base"].as_f64().unwrap());
        for (name, cell) in names[3..].iter().zip(&cells[3..]) {
            let name = name.strip_prefix("contribution_").unwrap();
            let value = explanation["contributions"][name].as_f64().unwrap();
            assert_eq!(cell.parse::<f64>().unwrap(), value);
        }
    }
    let threads = |n| {
        let flags = ["predict", "--input", "rows.csv", "--explain", "--threads", n];
        dir.run(&flags).ok().out().to_string()
    };
    assert_eq!(threads("1"), threads("4"));
}

#[test]
fn a_request_is_explained_as_the_shell_does() {
    let dir = Workdir::trained("iris.csv", &["--algorithm", "boost"]);
    let model = mlapi::Model::open(dir.path("model.mlapi")).unwrap();
    let server = Server::start(model, mlapi::server::Limits::DEFAULT);
    let row = json!([5.1, 3.5, 1.4, 0.2]);
    let shell =
        dir.run(&["predict", "--features", "5.1,3.5,1.4,0.2", "--explain", "--format", "json"]).ok().json();
    let answer = |body: Value| {
        let reply = server.predict(body.to_string());
        (reply.status, reply.json())
    };
    assert_eq!(answer(json!({ "data": row, "explain": true })).1, shell);
    assert!(answer(json!({ "data": row, "explain": false })).1.get("explanation").is_none());
    let many = answer(json!({ "data": [row, row], "explain": { "top": 2, "scale": "probability" } })).1;
    for one in many["predictions"].as_array().unwrap() {
        let explanation = &one["explanation"];
        assert_eq!(explanation["scale"], "probability");
        assert!((sum(explanation) - one["probability"].as_f64().unwrap()).abs() < 1e-9);
        assert_eq!(explanation["contributions"].as_object().unwrap().len(), 2);
    }
    for (explain, words) in [
        (json!({ "label": "rose" }), "no label"),
        (json!({ "reference": "background" }), "holds no background rows"),
        (json!({ "tops": 1 }), "explain is true, false"),
    ] {
        let (status, problem) = answer(json!({ "data": row, "explain": explain }));
        assert_eq!((status, &problem["errors"][0]["pointer"]), (422, &json!("/explain")));
        assert!(problem["errors"][0]["detail"].as_str().unwrap().contains(words), "{problem}");
    }
}

#[test]
fn background_rows_are_kept_on_demand_and_older_files_say_what_they_lack() {
    let dir = Workdir::trained("penguins.csv", &["--algorithm", "forest", "--background", "20"]);
    some_rows(&dir, "penguins.csv", 5);
    let flags = ["--input", "rows.csv", "--explain", "--explain-reference", "background"];
    let background = explained(&dir, &flags);
    let path = explained(&dir, &flags[..3]);
    for (a, b) in background.iter().zip(&path) {
        let (a, b) = (&a["explanation"], &b["explanation"]);
        assert!((sum(a) - sum(b)).abs() < 1e-9, "the score is the same");
        assert_ne!(a["base"], b["base"]);
    }
    let plain = Workdir::trained("penguins.csv", &["--algorithm", "forest"]);
    assert!(plain.bytes("model.mlapi").len() + 1000 < dir.bytes("model.mlapi").len());
    for (file, words) in [
        (
            "format-8-days.mlapi",
            "neither the rows of the leaves of its trees nor background rows; train it again",
        ),
        (
            "format-1-linear.mlapi",
            "no means that contributions are measured from, as older versions wrote them; train it again",
        ),
    ] {
        let old = format!("{}/fixtures/models/{file}", env!("CARGO_MANIFEST_DIR"));
        std::fs::copy(old, dir.path("old.mlapi")).unwrap();
        dir.run(&["predict", "-m", "old.mlapi", "--features", "{}", "--explain"])
            .fails(2)
            .complains(&[words]);
    }
}

#[test]
fn an_ensemble_adds_up_the_contributions_of_its_members() {
    use crate::support::model::blended;
    let dir = Workdir::trained("visits.csv", &["--algorithm", "logreg"]);
    some_rows(&dir, "visits.csv", 5);
    let models = ["logreg", "forest", "boost"].map(|algorithm| {
        let dir = Workdir::trained("visits.csv", &["--algorithm", algorithm]);
        mlapi::Model::open(dir.path("model.mlapi")).unwrap()
    });
    // The means of the linear member are those of its own file.
    let reference = models[0].reference.clone();
    let mut model = blended(models.into(), &[0.2, 0.3, 0.5]);
    model.reference = reference;
    model.save(dir.path("model.mlapi")).unwrap();
    for row in explained(&dir, &["--input", "rows.csv", "--explain"]) {
        let explanation = &row["explanation"];
        assert_eq!(explanation["scale"], "probability");
        let probability = row["probability"].as_f64().unwrap();
        assert!((sum(explanation) - probability).abs() < 1e-9, "{row}");
    }
}

#[test]
fn candidates_are_ordered_by_their_scores_in_their_context() {
    let dir = Workdir::trained("penguins.csv", &["--algorithm", "boost"]);
    let model = mlapi::Model::open(dir.path("model.mlapi")).unwrap();
    let names: Vec<String> = model.pipeline.schema.features.iter().map(|f| f.name.clone()).collect();
    let label = model.labels()[0].clone();
    let row: serde_json::Map<String, Value> = names.iter().cloned().zip(model.example()).collect();
    let lengths = [33.0, 55.0, 39.0, 46.0];
    let server = Server::start(model, mlapi::server::Limits::DEFAULT);
    let one = |length: f64| {
        let mut row = row.clone();
        row.insert("bill_length_mm".into(), length.into());
        let answer = server.predict(json!({ "features": row }).to_string()).json();
        answer["probabilities"][&label].as_f64().unwrap()
    };
    let alone = lengths.map(one);
    let candidates: Vec<Value> = lengths.iter().map(|l| json!({ "bill_length_mm": l })).collect();
    let rank = |body: Value| {
        let reply = server.send("POST", "/rank", "Content-Type: application/json\r\n", body.to_string());
        (reply.status, reply.json())
    };
    let all = json!({ "context": row, "candidates": candidates, "by": label, "top": 3 });
    let (status, answer) = rank(all.clone());
    assert_eq!(status, 200, "{answer}");
    let ranking = answer["ranking"].as_array().unwrap();
    assert_eq!(ranking.len(), 3);
    let scores: Vec<f64> = ranking.iter().map(|one| one["score"].as_f64().unwrap()).collect();
    assert!(scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
    for (one, score) in ranking.iter().zip(&scores) {
        assert_eq!(alone[one["index"].as_u64().unwrap() as usize], *score);
    }
    for (body, pointer) in [
        (json!({ "candidates": [row] }), "/by"),
        (json!({ "candidates": [], "by": label }), "/candidates"),
        (
            json!({ "candidates": [{ "bill_length_mm": "x" }], "context": row, "by": label }),
            "/candidates/0/bill_length_mm",
        ),
        (json!({ "candidates": [row], "by": "dodo" }), "/by"),
    ] {
        let (status, problem) = rank(body);
        assert_eq!((status, &problem["errors"][0]["pointer"]), (422, &json!(pointer)), "{problem}");
    }
}

#[test]
fn an_evaluation_says_what_the_columns_contribute_and_which_act_together() {
    for algorithm in ["boost", "logreg", "knn"] {
        let dir = Workdir::trained("visits.csv", &["--algorithm", algorithm]);
        let found = dir.run(&["eval", "--explain", "--format", "json"]).ok().json()["explanation"].clone();
        let effects = found["contributions"].as_array().unwrap();
        assert_eq!(effects.len(), 5);
        let means: Vec<f64> = effects.iter().map(|one| one["mean_absolute"].as_f64().unwrap()).collect();
        assert!(means.is_sorted_by(|a, b| a >= b) && means[0] > 0.0, "{means:?}");
        for one in effects {
            let points = one["points"].as_array().unwrap();
            assert_eq!(points.len() as u64, found["rows"].as_u64().unwrap());
            let sizes = points.iter().map(|point| point[1].as_f64().unwrap().abs());
            let mean = sizes.sum::<f64>() / points.len() as f64;
            assert!((mean - one["mean_absolute"].as_f64().unwrap()).abs() < 1e-9, "{one}");
        }
        assert_eq!(found["label"], "yes");
        assert_eq!(found["standard_error"].is_number(), algorithm == "knn");
        assert_eq!(found["interactions"].is_array(), algorithm == "boost");
        let worst = found["worst"].as_array().unwrap();
        assert!(worst.iter().all(|row| !row["reasons"].as_array().unwrap().is_empty()), "{worst:?}");
        let text = dir.run(&["eval", "--explain"]).ok().out().to_string();
        assert!(text.contains("\n  contributions") && text.contains("\n  worst rows"), "{text}");
        let same = dir.run(&["eval", "--explain", "--format", "json", "--threads", "1"]).ok().json();
        assert_eq!(same["explanation"], found);
    }
}

#[test]
fn a_report_has_a_section_why_without_values_of_private_columns() {
    let dir = Workdir::trained("visits.csv", &["--algorithm", "boost", "--private", "region"]);
    dir.run(&["eval", "--report", "r.html"]).ok();
    let page = dir.read("r.html");
    let section = page.split(">Why</h3>").nth(1).unwrap().split("</section>").next().unwrap();
    for title in
        ["Mean size of the contributions", "Contributions of single rows", "Contribution of ", "Interactions"]
    {
        assert!(section.contains(title), "{title}");
    }
    assert!(section.contains("speaks for") && section.contains("speaks against"));
    assert!(section.contains(">region<") && !section.contains("region r") && !section.contains("region: r"));
}

#[test]
fn the_terms_of_a_text_add_up_to_what_the_text_contributes() {
    for algorithm in ["logreg", "bayes", "forest"] {
        let dir = Workdir::trained("intents.csv", &["--algorithm", algorithm]);
        let row = json!({ "text": "I want a refund, please refund my order" });
        let name = fixture("intents.csv").split(',').next().unwrap().to_string();
        let row = json!({ name.clone(): row["text"] }).to_string();
        for scale in ["score", "probability"] {
            let flags =
                ["predict", "--features", &row, "--format", "json", "--explain", "--explain-scale", scale];
            let explanation = dir.run(&flags).ok().json()["explanation"].clone();
            sum(&explanation);
            let terms = explanation["terms"][&name].as_object().unwrap();
            assert!(terms.contains_key("refund") && terms.len() <= 10, "{algorithm}: {explanation}");
            let largest = terms.values().map(|value| value.as_f64().unwrap().abs()).fold(0.0, f64::max);
            assert!(terms["refund"].as_f64().unwrap().abs() > largest / 4.0, "{explanation}");
        }
        let text = dir.run(&["predict", "--features", &row, "--explain"]).ok().out().to_string();
        assert!(text.contains("  of it \"refund\""), "{text}");
    }
}

#[test]
fn tables_are_explained_over_http_as_in_the_shell() {
    let dir = Workdir::trained("iris.csv", &["--algorithm", "boost"]);
    some_rows(&dir, "iris.csv", 30);
    let rows = dir.read("rows.csv");
    let model = mlapi::Model::open(dir.path("model.mlapi")).unwrap();
    let server = Server::start(model, mlapi::server::Limits::DEFAULT);
    let csv = "Content-Type: text/csv\r\n";
    let wanted = dir.run(&["predict", "--input", "rows.csv", "--explain"]).ok();
    assert_eq!(server.send("POST", "/predict?explain=1", csv, &rows).text(), wanted.out());
    let plain = dir.run(&["predict", "--input", "rows.csv"]).ok();
    for path in ["/predict?explain=0", "/predict", "/predict?explained=1"] {
        assert_eq!(server.send("POST", path, csv, &rows).text(), plain.out(), "{path}");
    }
    let ndjson = "[5.1,3.5,1.4,0.2]\n[6.7,3.0,5.2,2.3]\n";
    let reply = server.send("POST", "/predict?explain", "Content-Type: application/x-ndjson\r\n", ndjson);
    let lines: Vec<Value> = reply.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    lines.iter().for_each(|line| {
        sum(&line["explanation"]);
    });
    let body = json!({ "data": [5.1, 3.5, 1.4, 0.2] }).to_string();
    let one = server.send("POST", "/predict?explain=true", "", body).json();
    assert_eq!(one["explanation"], lines[0]["explanation"]);
    // A stream as well.
    let chunked = format!("{csv}Transfer-Encoding: chunked\r\n");
    let body = format!("{:x}\r\n{rows}\r\n0\r\n\r\n", rows.len());
    let mut client = server.connect();
    let head =
        format!("POST /predict?explain=1 HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{chunked}\r\n");
    client.write(head + &body);
    assert_eq!(client.read_head().status, 200);
    let answer = String::from_utf8(client.read_to_end()).unwrap();
    let (mut rest, mut streamed) = (answer.as_str(), String::new());
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        streamed += &after[..size];
        rest = &after[(size + 2).min(after.len())..];
    }
    assert_eq!(streamed, wanted.out());
}

#[test]
fn other_protocols_have_explanations_intervals_and_sets_if_they_are_asked_for() {
    let dir = Workdir::trained("penguins.csv", &["--algorithm", "boost", "--conformal", "0.9"]);
    let model = mlapi::Model::open(dir.path("model.mlapi")).unwrap();
    let n_features = model.pipeline.schema.n_features();
    let row = model.example();
    let server = Server::start(model, mlapi::server::Limits::DEFAULT);
    let native = server.predict(json!({ "data": [row, row], "explain": true }).to_string()).json();
    let native = native["predictions"][1].clone();
    let mlflow = |params: Value| {
        let body = json!({ "instances": [row, row], "params": params }).to_string();
        server.send("POST", "/invocations", "Content-Type: application/json\r\n", body)
    };
    let found = mlflow(json!({ "explain": true, "set": true, "other": 1 })).json();
    assert_eq!(found["predictions"], json!([native["prediction"], native["prediction"]]));
    assert_eq!(
        (&found["explanations"][1], &found["prediction_sets"][1]),
        (&native["explanation"], &native["prediction_set"])
    );
    assert_eq!(mlflow(json!({})).json().as_object().unwrap().len(), 1);
    assert!(mlflow(json!({ "interval": true })).text().contains("--interval"));
    assert_eq!(mlflow(json!({ "explain": 3 })).status, 400);

    let table = |more: Value| {
        let names =
            ["island", "bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g", "sex", "year"];
        let inputs = names.iter().zip(&row).map(|(name, value)| {
            let datatype = if value.is_string() { "BYTES" } else { "FP64" };
            json!({ "name": name, "shape": [2], "datatype": datatype, "data": [value, value] })
        });
        let mut body = json!({ "inputs": inputs.collect::<Vec<_>>() });
        more.as_object().unwrap().iter().for_each(|(name, value)| body[name] = value.clone());
        server.send("POST", "/v2/models/model/infer", "Content-Type: application/json\r\n", body.to_string())
    };
    let names = |reply: &crate::support::http::Reply| -> Vec<String> {
        let outputs = reply.json()["outputs"].as_array().unwrap().clone();
        outputs.iter().map(|output| output["name"].as_str().unwrap().to_string()).collect()
    };
    assert_eq!(names(&table(json!({}))), ["predict", "predict_proba"], "as before");
    let reply = table(json!({ "parameters": { "explain": true } }));
    assert_eq!(names(&reply), ["predict", "predict_proba", "contributions", "base"]);
    let outputs = reply.json()["outputs"].clone();
    assert_eq!(outputs[2]["shape"], json!([2, n_features]));
    let wanted = native["explanation"]["contributions"]["bill_length_mm"].as_f64();
    assert_eq!(outputs[2]["data"][n_features + 1].as_f64(), wanted);
    assert_eq!(outputs[3]["data"][1], native["explanation"]["base"]);
    let asked = json!({ "outputs": [{ "name": "prediction_set" }, { "name": "contributions" }] });
    let reply = table(asked).json();
    let labels = ["Adelie", "Chinstrap", "Gentoo"];
    let set = native["prediction_set"].as_array().unwrap();
    let wanted: Vec<bool> = labels.iter().map(|label| set.contains(&json!(label))).collect();
    assert_eq!(reply["outputs"][0]["data"], json!([wanted.clone(), wanted].concat()));
    assert_eq!(reply["outputs"][0]["datatype"], "BOOL");
    assert_eq!(reply["outputs"][1]["data"].as_array().unwrap().len(), 2 * n_features);
    assert_eq!(table(json!({ "outputs": [{ "name": "interval" }] })).status, 400);

    let dir = Workdir::trained("diabetes.csv", &["--algorithm", "ridge", "--interval", "0.8"]);
    let model = mlapi::Model::open(dir.path("model.mlapi")).unwrap();
    let row = model.example();
    let server = Server::start(model, mlapi::server::Limits::DEFAULT);
    let native = server.predict(json!({ "data": row }).to_string()).json();
    let body = json!({ "instances": [row], "params": { "interval": true } }).to_string();
    let found = server.send("POST", "/invocations", "Content-Type: application/json\r\n", body).json();
    assert_eq!(found["intervals"], json!([native["interval"]]));
    let body = json!({
        "inputs": [{ "name": "x", "shape": [1, 10], "datatype": "FP64", "data": row }],
        "outputs": [{ "name": "interval" }, { "name": "predict" }],
    });
    let reply = server.send("POST", "/v2/models/model/infer", "", body.to_string()).json();
    assert_eq!(reply["outputs"][0]["data"], native["interval"]);
    assert_eq!(reply["outputs"][0]["shape"], json!([1, 2]));
}
