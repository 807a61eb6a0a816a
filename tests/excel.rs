//! Workbooks of Excel and OpenDocument: what `fixtures/excel/make.py` wrote.

use crate::support::workdir::Workdir;

/// The table of the workbooks.
fn orders() -> String {
    let mut text = "size,ordered,paid,color,class\n".to_string();
    for i in 0..60 {
        let size = (i * 7 % 23) as f64 + 0.5;
        // Days since 2024-01-01, a leap year, up to the 26th of June.
        let mut day = i * 3;
        let mut month = 1;
        for length in [31, 29, 31, 30, 31] {
            if day >= length {
                (day, month) = (day - length, month + 1);
            } else {
                break;
            }
        }
        let color = if i % 10 == 0 { "" } else { ["red", "blue", "green"][i % 3] };
        let class = if size > 11.0 { "large" } else { "small" };
        text += &format!("{size},2024-{month:02}-{:02},{},{color},{class}\n", day + 1, i % 3 == 0);
    }
    text
}

fn train(dir: &Workdir, args: &[&str]) -> (serde_json::Value, String) {
    let train = ["train", "--algorithm", "decision-tree"];
    let done = dir.run(&[&train[..], args].concat()).ok();
    (dir.run(&["inspect", "--format", "json"]).ok().json()["schema"].clone(), done.err().to_string())
}

#[test]
fn a_workbook_gives_the_columns_that_its_table_gives_as_csv() {
    let dir = Workdir::new();
    for name in ["orders.xlsx", "orders.ods"] {
        dir.write(
            name,
            std::fs::read(format!("{}/fixtures/excel/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap(),
        );
    }
    dir.write("orders.csv", orders());
    let (wanted, _) = train(&dir, &["orders.csv"]);
    let types = wanted["features"].as_array().unwrap().iter().map(|feature| feature["type"].clone());
    assert_eq!(types.collect::<Vec<_>>(), ["number", "date", "boolean", "category"]);
    let (found, _) = train(&dir, &["orders.ods"]);
    assert_eq!(found, wanted);
    dir.run(&["eval", "--require", "accuracy>=0.9"]).ok();
    let (found, notes) = train(&dir, &["orders.xlsx"]);
    assert_eq!(found["features"][1], wanted["features"][1]);
    assert_eq!(found["features"][3], wanted["features"][3]);
    assert!(notes.contains("the sheet \"Orders\" was read") && notes.contains("\"Small\""), "{notes}");
    assert!(
        notes.contains("row 4 is taken for the names") && notes.contains("\"Orders of 2024\""),
        "{notes}"
    );
    dir.run(&["eval", "--require", "accuracy>=0.9"]).ok();
    let done = dir.run(&["predict", "--input", "orders.ods", "--keep", "none"]).ok();
    assert_eq!(done.out().lines().count(), 61, "{done}");
    let done = dir.run(&["predict", "--input", "orders.xlsx", "--keep", "size,class"]).ok();
    // One size is `#N/A`: no value.
    assert!(done.out().lines().filter(|line| line.starts_with(',')).count() == 1, "{done}");
}

#[test]
fn a_sheet_is_chosen_by_its_name_or_number_and_eval_finds_it_again() {
    let dir = Workdir::new();
    let book = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/excel/orders.xlsx")).unwrap();
    dir.write("t.xlsx", &book);
    for sheet in ["Small", "2"] {
        let (schema, notes) = train(&dir, &["t.xlsx", "--sheet", sheet]);
        assert_eq!(schema["target"]["name"], "y");
        assert!(!notes.contains("the sheet"), "{notes}");
        dir.run(&["eval", "--require", "accuracy>=0.9"]).ok();
        dir.run(&["predict", "--input", "t.xlsx"]).fails(1).complains(&["column \"x\" is missing"]);
        dir.run(&["predict", "--input", "t.xlsx", "--sheet", sheet]).ok();
    }
    dir.run(&["train", "t.xlsx", "--sheet", "Smal"]).fails(1).complains(&[
        "t.xlsx has no such sheet",
        "did you mean \"Small\"",
        "\"Orders\", \"Small\", \"Empty\"",
    ]);
    dir.run(&["train", "t.xlsx", "--sheet", "3"]).fails(1).complains(&["the sheet \"Empty\" is empty"]);
    let done = dir.run(&["train", "-", "--sheet", "2", "--algorithm", "decision-tree"]).stdin(&book).ok();
    done.says(&["40 rows"]);
}

#[test]
fn a_cell_that_does_not_fit_is_named_with_its_row_of_the_sheet() {
    let dir = Workdir::new();
    dir.write(
        "t.xlsx",
        std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/excel/orders.xlsx")).unwrap(),
    );
    let refused = dir.run(&["train", "t.xlsx", "--type", "color=number"]).fails(1);
    refused.complains(&["t.xlsx line 6, column \"color\": \"blue\" is not a number"]);
}
