//! The Open Inference Protocol and MLflow's, which predict the same as the native API for the same rows, and the
//! OpenAPI document that describes them all.

use crate::support::http::{Reply, Server};
use crate::support::model;
use mlapi::model::Model;
use mlapi::server::Limits;
use serde_json::{Value, json};

const INFER: &str = "/v2/models/model/infer";

fn start(model: Model) -> Server {
    Server::start(model, Limits { rows: 100, ..Limits::default() })
}

fn infer(server: &Server, body: &Value) -> Reply {
    server.send("POST", INFER, "Content-Type: application/json\r\n", body.to_string())
}

/// The data of an output of an answer in JSON.
fn output(reply: &Reply, name: &str) -> Value {
    assert_eq!(reply.status, 200, "{}", reply.text());
    let answer = reply.json();
    let outputs = answer["outputs"].as_array().unwrap();
    outputs.iter().find(|output| output["name"] == name).unwrap_or(&Value::Null)["data"].clone()
}

/// Some rows of the penguins: numbers, categories, an unseen one, missing values.
fn penguins() -> Value {
    json!([
        ["Biscoe", 43.9, 17.2, 201, 4200, "male", 2009],
        ["Dream", 50.1, null, 195.5, 3600, "female", 2007],
        ["Elsewhere", 36.25, 18.5, 180, null, null, 2008],
    ])
}

const NAMES: [&str; 7] =
    ["island", "bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g", "sex", "year"];

fn column(rows: &Value, i: usize) -> Vec<Value> {
    rows.as_array().unwrap().iter().map(|row| row[i].clone()).collect()
}

#[test]
fn tensors_by_column_give_what_predict_gives() {
    let server = start(model::penguins());
    let rows = penguins();
    let native = server.predict(json!({ "data": rows }).to_string()).json();
    let native: Vec<&Value> = native["predictions"].as_array().unwrap().iter().collect();
    let of = |name: usize| {
        let datatype = if name == 0 || name == 5 { "BYTES" } else { "FP64" };
        json!({ "name": NAMES[name], "shape": [3, 1], "datatype": datatype, "data": column(&rows, name) })
    };
    let mut inputs: Vec<Value> = (0..7).map(of).collect();
    inputs.reverse();
    inputs[2]["shape"] = json!([3]);
    let reply = infer(&server, &json!({ "id": "a\"7", "inputs": inputs }));
    let labels: Vec<&Value> = native.iter().map(|one| &one["prediction"]).collect();
    assert_eq!(output(&reply, "predict"), json!(labels));
    let probabilities: Vec<f64> = native
        .iter()
        .flat_map(|one| {
            one["probabilities"]
                .as_object()
                .unwrap()
                .values()
                .map(|p| p.as_f64().unwrap())
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(output(&reply, "predict_proba"), json!(probabilities));
    let answer = reply.json();
    assert_eq!((&answer["id"], &answer["model_name"]), (&json!("a\"7"), &json!("model")));
    assert_eq!(answer["outputs"][1]["shape"], json!([3, 3]));
    let one = json!({ "inputs": inputs, "outputs": [{ "name": "predict_proba" }] });
    assert_eq!(infer(&server, &one).json()["outputs"].as_array().unwrap().len(), 1);
    assert_eq!(server.metric("mlapi_rows_predicted_total{model=\"model\"}"), 9.0);
    let unseen = "mlapi_warnings_total{model=\"model\",kind=\"unseen_category\"}";
    assert_eq!(server.metric(unseen), 3.0);
}

#[test]
fn one_tensor_of_all_columns_gives_what_predict_gives_nested_flat_or_as_bytes() {
    let server = start(model::iris());
    let rows = [5.1, 3.5, 1.4, 0.2, 6.7, 3.0, 5.2, 2.3];
    let native = server.predict(r#"{"data":[[5.1,3.5,1.4,0.2],[6.7,3.0,5.2,2.3]]}"#).json();
    let expected = json!(["setosa", "virginica"]);
    assert_eq!(native["predictions"][1]["prediction"], "virginica");
    let with = |data: Value| json!({ "inputs": [{ "name": "x", "shape": [2, 4], "datatype": "FP64", "data": data }] });
    let flat = infer(&server, &with(json!(rows)));
    assert_eq!(output(&flat, "predict"), expected);
    assert_eq!(infer(&server, &with(json!([&rows[..4], &rows[4..]]))).text(), flat.text());

    let head = json!({
        "inputs": [{ "name": "x", "shape": [2, 4], "datatype": "FP64", "parameters": { "binary_data_size": 64 } }],
        "outputs": [{ "name": "predict", "parameters": { "binary_data": true } }, { "name": "predict_proba" }],
        "parameters": { "binary_data_output": false },
    })
    .to_string();
    let bytes: Vec<u8> = rows.iter().flat_map(|value: &f64| value.to_le_bytes()).collect();
    let length = format!("Inference-Header-Content-Length: {}\r\n", head.len());
    let reply = server.send("POST", INFER, &length, [head.as_bytes(), &bytes].concat());
    assert_eq!((reply.status, reply.header("content-type")), (200, "application/octet-stream"));
    let split = reply.header("inference-header-content-length").parse().unwrap();
    let answer: Value = serde_json::from_slice(&reply.body[..split]).unwrap();
    assert_eq!(reply.body[split..], *b"\x06\0\0\0setosa\x09\0\0\0virginica");
    assert_eq!(answer["outputs"][0]["parameters"]["binary_data_size"], 23);
    assert_eq!(answer["outputs"][1]["data"], output(&flat, "predict_proba"));
    for wrong in ["1", "x", "-1", "99999999999999999999", "1000000"] {
        let length = format!("Inference-Header-Content-Length: {wrong}\r\n");
        let reply = server.send("POST", INFER, &length, [head.as_bytes(), &bytes].concat());
        assert_eq!(reply.status, 400, "{}", reply.text());
    }
}

#[test]
fn a_regression_answers_numbers_and_metadata_says_what_goes_in_and_out() {
    let server = start(model::diabetes());
    let row = json!([59, 2, 32.1, 101, 157, 93.2, 38, 4, 4.8598, 87]);
    let body = json!({ "inputs": [{ "name": "x", "shape": [1, 10], "datatype": "FP64", "data": row }] });
    let native = server.predict(json!({ "data": row }).to_string()).json();
    assert_eq!(output(&infer(&server, &body), "predict"), json!([native["prediction"]]));
    let metadata = server.get("/v2/models/model/versions/1").json();
    assert_eq!(metadata["inputs"].as_array().unwrap().len(), 10);
    assert_eq!(metadata["inputs"][2], json!({ "name": "bmi", "datatype": "FP64", "shape": [-1] }));
    assert_eq!(metadata["outputs"], json!([{ "name": "predict", "datatype": "FP64", "shape": [-1] }]));
    let labels = start(model::iris()).get("/v2/models/model").json()["outputs"][1]["parameters"].clone();
    assert_eq!(labels, json!({ "labels": ["setosa", "versicolor", "virginica"] }));
    assert_eq!(server.get("/v2").json()["extensions"], json!(["binary_tensor_data"]));
    assert_eq!(server.get("/v2/health/live").json(), json!({ "live": true }));
    assert_eq!(server.get("/v2/health/ready").json(), json!({ "ready": true }));
    assert_eq!(server.get("/v2/models/model/ready").json(), json!({ "name": "model", "ready": true }));
}

#[test]
fn tensors_that_do_not_fit_are_refused_in_the_words_of_the_protocol() {
    let server = start(model::iris());
    let tensor = |name: &str, shape: Value, datatype: &str, data: Value| json!({ "name": name, "shape": shape, "datatype": datatype, "data": data });
    let x =
        |shape: Value, datatype: &str, data: Value| json!({ "inputs": [tensor("x", shape, datatype, data)] });
    let named = |name: &str| {
        let of = |name: &str| tensor(name, json!([1]), "FP64", json!([1]));
        json!({ "inputs": [of("sepal_length"), of("sepal_width"), of("petal_length"), of(name)] })
    };
    assert_eq!(infer(&server, &named("petal_width")).status, 200);
    for (body, says) in [
        (json!({}), "missing field `inputs`"),
        (json!({ "inputs": [] }), "there are no tensors"),
        (named("petal_widht"), "did you mean \"petal_width\"?"),
        (named("petal_length"), "given twice"),
        (
            json!({ "inputs": [tensor("petal_width", json!([1]), "FP64", json!([1]))] }),
            "\"sepal_length\" is missing",
        ),
        (x(json!([1, 4]), "FP64", json!([1, 2, 3])), "3 elements where the shape has 4"),
        (x(json!([2, 2]), "FP64", json!([1, 2, 3, 4])), "2 values where the model has 4 features"),
        (x(json!([1, 4]), "FP7", json!([1, 2, 3, 4])), "/inputs/0/datatype"),
        (x(json!([1, 4]), "INT32", json!([1, 2, 3.5, 4])), "/inputs/0/data/2: 3.5 is not INT32"),
        (x(json!([1, 4]), "BYTES", json!(["1", "2", "long", "4"])), "\"long\" is not a number"),
        (x(json!([0, 4]), "FP64", json!([])), "there are no rows"),
        (x(json!([-1, 4]), "FP64", json!([])), "invalid value: integer `-1`"),
        (x(json!([18446744073709551615_u64, 4]), "FP64", json!([])), "at most 100 rows"),
        (x(json!([1, 18446744073709551615_u64]), "FP64", json!([])), "values where the model has 4"),
        (x(json!([1, 2, 2]), "FP64", json!([1, 2, 3, 4])), "a table [n,k]"),
        (json!({ "inputs": [{ "name": "x", "shape": [1, 4], "datatype": "FP64" }] }), "there is no data"),
    ] {
        let reply = infer(&server, &body);
        let text = reply.text();
        assert!(
            (400..=413).contains(&reply.status) && reply.header("content-type") == "application/json",
            "{text}"
        );
        let answer = reply.json();
        assert_eq!(answer.as_object().unwrap().len(), 1, "{text}");
        assert!(answer["error"].as_str().unwrap().contains(says), "{says}: {text}");
    }
    let mut body = x(json!([1, 4]), "FP64", json!([1, 2, 3, 4]));
    body["outputs"] = json!([{ "name": "labels" }]);
    assert!(infer(&server, &body).text().contains("it has predict, predict_proba"));
    body["outputs"] = Value::Null;
    body["parameters"] = json!({ "threshold": 0.5 });
    assert!(infer(&server, &body).text().contains("two classes"));
    assert!(infer(&server, &Value::Null).status == 400);
    let reply = server.send("POST", INFER, "", "{\"inputs\":");
    assert!(reply.status == 400 && reply.json()["error"].is_string(), "{}", reply.text());
    for (path, status) in [
        ("/v2/models/other", 404),
        ("/v2/models/other/infer", 404),
        ("/v2/models/model/versions/2", 404),
        ("/v2/nothing", 404),
        (INFER, 405),
    ] {
        let reply = server.get(path);
        assert!(reply.status == status && reply.json()["error"].is_string(), "{path}: {}", reply.text());
    }
}

#[test]
fn every_form_of_mlflow_gives_the_labels_that_predict_gives() {
    let server = start(model::penguins());
    let rows = penguins();
    let native = server.predict(json!({ "data": rows }).to_string()).json();
    let labels: Vec<&Value> =
        native["predictions"].as_array().unwrap().iter().map(|one| &one["prediction"]).collect();
    let expected = json!({ "predictions": labels });
    let records: Vec<Value> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            Value::Object(
                NAMES.iter().zip(row.as_array().unwrap()).map(|(n, v)| (n.to_string(), v.clone())).collect(),
            )
        })
        .collect();
    let by_column: serde_json::Map<String, Value> =
        NAMES.iter().enumerate().map(|(i, name)| (name.to_string(), json!(column(&rows, i)))).collect();
    for body in [
        json!({ "dataframe_split": { "index": [0, 1, 2], "columns": NAMES, "data": rows } }),
        json!({ "dataframe_records": records, "params": {} }),
        json!({ "instances": records }),
        json!({ "instances": rows }),
        json!({ "inputs": rows }),
        json!({ "inputs": by_column }),
    ] {
        let reply =
            server.send("POST", "/invocations", "Content-Type: application/json\r\n", body.to_string());
        assert_eq!((reply.status, reply.json()), (200, expected.clone()), "{body}");
    }
    let mut csv = NAMES.join(",") + "\n";
    for row in rows.as_array().unwrap() {
        let cells: Vec<String> =
            row.as_array().unwrap().iter().map(|v| v.to_string().replace("null", "")).collect();
        csv += &(cells.join(",") + "\n");
    }
    let reply = server.send("POST", "/invocations", "Content-Type: text/csv\r\n", csv);
    assert_eq!((reply.header("content-type"), reply.json()), ("application/json", expected));
    let number = start(model::diabetes());
    let body = r#"{"inputs":[[59,2,32.1,101,157,93.2,38,4,4.8598,87]]}"#;
    assert!(number.send("POST", "/models/model/invocations", "", body).json()["predictions"][0].is_f64());
    for path in ["/ping", "/health"] {
        assert_eq!(server.get(path).status, 200);
    }
    assert_eq!(server.get("/version").text(), env!("CARGO_PKG_VERSION"));
}

#[test]
fn mlflow_clients_are_told_what_is_wrong_in_their_words() {
    let server = start(model::iris());
    let too_many = format!("{{\"inputs\":[{}[1,2,3,4]]}}", "[1,2,3,4],".repeat(100));
    for (body, status, says) in [
        (r#"{"data":[[1,2,3,4]]}"#, 400, "exactly one of"),
        (r#"{"inputs":[[1,2,3,4]],"instances":[[1,2,3,4]]}"#, 400, "exactly one of"),
        ("[1,", 400, "not JSON"),
        (r#"{"instances":[[1,2,3,"long"]]}"#, 400, "/instances/0/3: \"long\" is not a number"),
        (
            r#"{"dataframe_split":{"columns":["sepal_lenght"],"data":[[1]]}}"#,
            400,
            "did you mean \"sepal_length\"",
        ),
        (&too_many, 413, "at most 100 rows"),
    ] {
        let reply = server.send("POST", "/invocations", "", body);
        let answer = reply.json();
        assert_eq!((reply.status, &answer["error_code"]), (status, &json!("BAD_REQUEST")), "{answer}");
        assert!(answer["message"].as_str().unwrap().contains(says), "{says}: {answer}");
    }
    let reply = server.send("POST", "/invocations", "Content-Type: text/csv\r\n", "a,b\n1,2\n");
    assert!(reply.status == 400 && reply.json()["message"].is_string(), "{}", reply.text());
    let reply = server.get("/invocations");
    assert_eq!((reply.status, reply.header("allow")), (405, "POST"));
}

#[test]
fn the_openapi_document_names_every_route_and_its_examples_are_accepted() {
    for model in [model::iris(), model::penguins(), model::diabetes()] {
        let server = start(model);
        let document = server.get("/openapi.json").json();
        assert_eq!(document["openapi"], "3.1.0");
        let text = document.to_string();
        for reference in text.split("\"$ref\":\"#").skip(1) {
            let pointer = reference.split('"').next().unwrap();
            assert!(document.pointer(pointer).is_some(), "nothing at {pointer}");
        }
        let paths = document["paths"].as_object().unwrap();
        let mut ids = std::collections::BTreeSet::new();
        for (path, methods) in paths {
            for (method, operation) in methods.as_object().unwrap() {
                assert!(
                    ids.insert(operation["operationId"].to_string()),
                    "{} twice",
                    operation["operationId"]
                );
                if method == "get" {
                    let reply = server.get(path);
                    assert_eq!(reply.status, 200, "{path}");
                    let media_type = reply.header("content-type").split(';').next().unwrap();
                    assert!(
                        operation["responses"]["200"]["content"][media_type].is_object(),
                        "{path}: {media_type}"
                    );
                }
            }
        }
        for path in ["/predict", "/invocations", "/models/model", "/models/model/predict", "/metrics", INFER]
        {
            assert!(paths.contains_key(path), "{path}");
        }
        let schemas = &document["components"]["schemas"];
        let content = &paths["/predict"]["post"]["requestBody"]["content"];
        let answer =
            &paths["/predict"]["post"]["responses"]["200"]["content"]["application/json"]["examples"];
        for example in ["in column order", "by name"] {
            let sent = &content["application/json"]["examples"][example]["value"];
            assert_eq!(server.predict(sent.to_string()).json(), answer["one row"]["value"]);
        }
        let csv = content["text/csv"]["example"].as_str().unwrap();
        assert_eq!(server.send("POST", "/predict", "Content-Type: text/csv\r\n", csv).status, 200);
        for sent in schemas["Invocation"]["examples"].as_array().unwrap() {
            assert_eq!(server.send("POST", "/invocations", "", sent.to_string()).status, 200, "{sent}");
        }
        let sent = &paths[INFER]["post"]["requestBody"]["content"]["application/json"]["example"];
        assert_eq!(infer(&server, sent).status, 200, "{sent}");
    }
    let document = start(model::penguins()).get("/openapi.json").json();
    let schemas = &document["components"]["schemas"];
    assert_eq!(
        schemas["Prediction"]["properties"]["prediction"]["enum"],
        json!(["Adelie", "Chinstrap", "Gentoo"])
    );
    let island = &schemas["NamedRow"]["properties"]["island"];
    assert!(
        island["examples"][0] == "Biscoe" && island["enum"].is_null(),
        "an unseen category is data: {island}"
    );
}

#[test]
fn the_health_check_succeeds_where_a_server_is_ready_and_fails_elsewhere() {
    let check = |arguments: &[&str]| {
        let done = std::process::Command::new(env!("CARGO_BIN_EXE_mlapi"))
            .arg("healthcheck")
            .args(arguments)
            .env_remove("MLAPI_PORT")
            .env_remove("MLAPI_HOST")
            .output()
            .unwrap();
        (done.status.code(), String::from_utf8(done.stderr).unwrap())
    };
    let mut server = start(model::iris());
    let (port, url) = (server.address.port().to_string(), format!("http://{}", server.address));
    assert_eq!(check(&["--quiet", "--port", &port]), (Some(0), String::new()));
    assert_eq!(check(&["--host", "0.0.0.0", "--port", &port]).0, Some(0));
    assert_eq!(check(&["--url", &format!("{url}/v2/health/ready")]).0, Some(0));
    let (status, said) = check(&["--url", &format!("{url}/nothing")]);
    assert!(status == Some(1) && said.contains("answers 404"), "{said}");
    assert_eq!(check(&["--url", "ftp://x"]).0, Some(2));
    server.stop();
    let (status, said) = check(&["--port", &port, "--seconds", "1"]);
    assert!(status == Some(1) && said.contains("does not answer"), "{said}");
    // Something that takes the connection and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port().to_string();
    assert_eq!(check(&["--port", &port, "--seconds", "1"]).0, Some(1));
}
