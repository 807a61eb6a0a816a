//! `mlapi eval --report` and `--plot`, and the reports of a server. tests/report.sh opens reports in a browser.

use crate::support::http::Server;
use crate::support::model;
use crate::support::workdir::Workdir;
use mlapi::server::Limits;

/// The titles of the sections of a page.
fn sections(page: &str) -> Vec<&str> {
    let starts = page.split("<h3 id=").skip(1);
    starts.map(|rest| rest.split_once('>').unwrap().1.split_once("</h3>").unwrap().0).collect()
}

#[test]
fn a_report_says_in_words_what_the_figures_are() {
    let dir = Workdir::trained("iris.csv", &["--algorithm", "tree"]);
    let printed = dir.run(&["eval"]).ok().out().to_string();
    let done = dir.run(&["eval", "--report", "r.html"]).ok();
    assert_eq!(done.out(), printed, "what is printed stays the same");
    let page = dir.read("r.html");
    let verdict = "It is right on 93 % (79 % to 98 %) of the 30 rows it has never seen; always guessing “setosa” would be \
                   right on 33 %.";
    assert!(page.contains(verdict), "{}", &page[page.find("verdict").unwrap()..][..600]);
    let expected = [
        "Metrics",
        "Classes",
        "ROC and precision-recall",
        "Calibration and probabilities",
        "Gain and lift",
        "Weakest segments",
        "Worst rows",
        "Important columns",
        "Why",
        "Dependence on columns",
        "Associations",
        "Decision tree",
        "Model card",
    ];
    assert_eq!(sections(&page), expected);
    assert!(page.contains("training rows") && page.contains("petal_length ≤ 2.45?"));
    assert_eq!(dir.files().iter().filter(|file| file.contains(".tmp")).count(), 0);
    dir.run(&["eval", "--report", "r2.html"]).ok();
    assert_eq!(dir.read("r2.html"), page, "the same each time");
}

#[test]
fn a_regression_has_errors_in_place_of_curves_and_columns_in_segments() {
    let dir = Workdir::trained("diabetes.csv", &["--algorithm", "ridge"]);
    dir.run(&["eval", "--report", "r.html", "--by", "sex", "--by", "bmi"]).ok();
    let page = dir.read("r.html");
    assert!(page.contains("always guessing the mean of the training rows would be off by"));
    assert!(sections(&page).contains(&"Errors") && sections(&page).contains(&"Segments"));
    assert!(page.contains("mae by bmi") || page.contains("rmse by bmi"));
}

#[test]
fn several_models_are_compared_on_one_page_and_only_there() {
    let dir = Workdir::trained("breast_cancer.csv", &["--algorithm", "logreg", "-o", "a.mlapi"]);
    dir.run(&["train", "breast_cancer.csv", "--algorithm", "naive-bayes", "-o", "b.mlapi"]).ok();
    dir.run(&["train", "breast_cancer.csv", "--algorithm", "logreg", "--seed", "7", "-o", "c.mlapi"]).ok();
    let models = ["eval", "--model", "b.mlapi", "--model", "a.mlapi"];
    let failed = dir.run(&models).fails(2);
    assert!(failed.err().contains("--report FILE.html"), "{}", failed.err());
    dir.run(&[&models[..], &["--report", "r.html"]].concat()).ok();
    let page = dir.read("r.html");
    let table = &page[page.find("On the same rows, sorted by log_loss").unwrap()..];
    let (a, b) = (table.find(">a.mlapi<").unwrap(), table.find(">b.mlapi<").unwrap());
    assert!(a < b, "the better one stands first");
    assert_eq!(sections(&page).iter().filter(|title| **title == "Thresholds").count(), 2);
    dir.run(&["eval", "--model", "a.mlapi", "--model", "c.mlapi", "--report", "r.html"]).ok();
    assert!(dir.read("r.html").contains("On different rows"), "they held out other rows");
}

#[test]
fn names_and_labels_that_are_markup_stay_text() {
    let dir = Workdir::new();
    let mut table = String::from("<img src=x onerror=alert(1)>,</style><b>,y\n");
    for i in 0..120 {
        let label = if i % 7 + i % 3 > 4 { "<script>alert(1)</script>" } else { "\"no\" & <i>" };
        table += &format!("{},<u>{}</u>,\"{}\"\n", i % 7, i % 3, label.replace('"', "\"\""));
    }
    dir.write("t.csv", table);
    dir.run(&["train", "t.csv", "--algorithm", "tree"]).ok();
    dir.run(&["eval", "--report", "r.html"]).ok();
    let page = dir.read("r.html");
    for markup in ["<script", "<img", "<u>", "<i>", "<b>&lt;", "</style><b>"] {
        assert!(!page.contains(markup), "{markup}");
    }
    assert!(
        page.contains("&lt;script&gt;alert(1)&lt;/script&gt;")
            && page.contains("&lt;img src=x onerror=alert(1)&gt;")
    );
}

#[test]
fn predictions_made_elsewhere_have_the_same_report_without_a_card() {
    let dir = Workdir::new();
    let mut table = String::from("size,y,p,p_yes\n");
    for i in 0..200 {
        let (size, yes) = (i % 20, i % 20 > 9);
        let sure: f64 = if i % 9 == 0 { 0.4 } else { 0.8 };
        let (p, p_yes) = if yes == (i % 9 != 0) { ("yes", sure.max(0.55)) } else { ("no", 0.2) };
        table += &format!("{size},{},{p},{p_yes}\n", if yes { "yes" } else { "no" });
    }
    dir.write("s.csv", table);
    let flags = [
        "eval",
        "s.csv",
        "--predictions",
        "--target",
        "y",
        "--prediction",
        "p",
        "--probability",
        "p_yes=yes",
    ];
    dir.run(&[&flags[..], &["--report", "r.html"]].concat()).ok();
    let page = dir.read("r.html");
    let found = sections(&page);
    assert!(found.contains(&"Thresholds") && found.contains(&"Worst rows"), "{found:?}");
    assert!(!found.contains(&"Model card") && !found.contains(&"Important columns"), "{found:?}");
    assert!(page.contains("of the 200 rows of s.csv; always guessing the most frequent class"));
}

#[test]
fn a_report_that_cannot_be_written_is_an_error_and_rows_that_are_gone_are_said() {
    let dir = Workdir::trained("iris.csv", &["--algorithm", "tree"]);
    let failed = dir.run(&["eval", "--report", "no/such/folder/r.html"]).fails(1);
    assert!(failed.err().contains("cannot write no/such/folder/r.html"), "{}", failed.err());
    std::fs::remove_file(dir.path("iris.csv")).unwrap();
    dir.run(&["eval", "--report", "r.html"]).fails(1);
    assert!(dir.read("r.html").contains("These are the figures recorded at training"));
}

#[test]
fn plots_are_ascii_where_there_is_no_terminal() {
    for (data, titles) in [
        (
            "breast_cancer.csv",
            ["ROC, malignant", "Calibration of malignant", "Confusion:", "Recall of each class"],
        ),
        (
            "diabetes.csv",
            [
                "Predicted progression",
                "Residual (true minus predicted)",
                "true progression",
                "predicted progression",
            ],
        ),
    ] {
        let dir = Workdir::trained(data, &["--algorithm", "tree"]);
        let plain = dir.run(&["eval"]).ok().out().to_string();
        let done = dir.run(&["eval", "--plot"]).ok();
        for title in titles {
            assert!(done.out().contains(title), "{title}\n{}", done.out());
            assert!(!plain.contains(title) || title.starts_with("true"), "{title}");
        }
        assert!(done.out().is_ascii(), "{}", done.out());
    }
}

#[test]
fn a_server_shows_the_report_of_each_model_without_a_row_of_its_data() {
    let server = Server::start(model::iris(), Limits::default());
    let reply = server.get("/report");
    assert_eq!((reply.status, reply.header("content-type")), (200, "text/html; charset=utf-8"));
    assert!(reply.header("content-security-policy").starts_with("default-src 'none'; style-src 'sha256-"));
    let page = reply.text();
    assert!(page.contains("recorded at training") && page.contains("Model card"), "{page}");
    assert!(!page.contains("The path of a training row") && !page.contains("fixtures/iris.csv"));
    let name = server.get("/models").json()["default"].as_str().unwrap().to_string();
    assert_eq!(server.get(&format!("/models/{name}/report")).text(), page);
    assert_eq!(server.get("/models/other/report").status, 404);
    assert_eq!(server.send("POST", "/report", "", "").status, 405);
}

#[test]
fn drift_is_a_page_for_a_browser_and_json_for_others() {
    let server = Server::start(model::iris(), Limits::default());
    let rows: Vec<[f64; 4]> = (0..150).map(|i| [5.0 + f64::from(i % 30) / 10.0, 3.0, 4.0, 1.3]).collect();
    assert_eq!(server.predict(serde_json::json!({ "data": rows }).to_string()).status, 200);
    let browser = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n";
    let reply = server.send("GET", "/drift", browser, "");
    assert_eq!((reply.status, reply.header("content-type")), (200, "text/html; charset=utf-8"));
    assert!(reply.header("content-security-policy").starts_with("default-src 'none'; style-src 'sha256-"));
    let page = reply.text();
    assert_eq!(sections(&page), ["Features", "Distributions", "Predictions"]);
    assert!(page.contains("150 new rows") && page.contains("sepal_length: drift"), "{page}");
    for headers in ["", "Accept: */*\r\n", "Accept: application/json\r\n"] {
        let reply = server.send("GET", "/drift", headers, "");
        assert_eq!((&reply.json()["n_rows"], reply.header("vary")), (&serde_json::json!(150), "accept"));
    }
}

#[test]
fn a_report_of_many_columns_and_classes_is_bounded() {
    let dir = Workdir::new();
    let n_columns = 150;
    let mut table = (0..n_columns).map(|i| format!("c{i}")).collect::<Vec<_>>().join(",") + ",y\n";
    for row in 0..360_u64 {
        let cells =
            (0..n_columns).map(|i| ((row * 7919 + i * 104_729) % 1000).to_string()).collect::<Vec<_>>();
        table += &format!("{},class {}\n", cells.join(","), row % 60);
    }
    dir.write("wide.csv", table);
    dir.run(&["train", "wide.csv", "--algorithm", "naive-bayes"]).ok();
    dir.run(&["eval", "--report", "r.html"]).ok();
    assert!(dir.bytes("r.html").len() < 2_000_000, "{} bytes", dir.bytes("r.html").len());
}
