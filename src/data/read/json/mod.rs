//! JSON rows become rows of codes, straight from the bytes: no tree of values in between.
//!
//! One row is an array in column order or an object by name; a request body wraps one or many rows under
//! `data` or `features`, together with options. Used by the server, by NDJSON input and by
//! `predict --features '{…}'`.

mod cause;
mod columns;
mod explain_option;
mod problems;
mod reader;
mod scalar;
mod visitors;

pub(crate) use self::cause::{explain, is_utf16, without_mark};
pub(crate) use self::columns::read_columns;
pub(crate) use self::explain_option::read as read_explain;
pub use self::explain_option::{ExplainOption, Label, ReferenceOption, ScaleOption};
use self::problems::Place;
use self::reader::{Reader, Shape};
pub(crate) use self::scalar::{First, Scalar, array_member};
use self::visitors::{Body, Row, Rows, SEND};
use crate::data::cells::cell::Tolerance;
use crate::data::cells::matrix::Matrix;
use crate::data::cells::problems::{MAX_LISTED_PROBLEMS, Problems};
use crate::data::cells::schema::Schema;
use crate::names::quote;

/// A body that could be read; usable only when there are no `problems`.
#[derive(Debug)]
pub struct Request {
    /// `n_rows × n_features` codes.
    pub codes: Matrix,
    /// Whether the answer is a list.
    pub many: bool,
    /// The member that holds the rows.
    pub(crate) key: &'static str,
    /// The option `threshold`.
    pub threshold: Option<f64>,
    /// The option `explain`; `None` if it is absent or false.
    pub explain: Option<ExplainOption>,
    /// The option `what_if` as it was sent; `None` if it is absent or false.
    pub what_if: Option<serde_json::Value>,
    /// The values that do not fit the schema.
    pub problems: Problems,
}

/// Why a body could not be read at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Malformed {
    /// Not JSON; the text names the position.
    NotJson(String),
    /// More rows than allowed.
    TooManyRows,
}

/// Reads a request body.
///
/// # Errors
/// A body that is not JSON, or one with more than `max_rows` rows.
pub fn read_request(body: &[u8], schema: &Schema, max_rows: usize) -> Result<Request, Malformed> {
    let mut reader = Reader::new(schema, max_rows);
    reader.parse(body, |reader| Body { reader })?;
    if reader.key.is_empty() && reader.serious.total == 0 {
        reader.serious.push(String::new(), SEND.into());
    } else if reader.codes.n_rows() == 0 && reader.serious.total == 0 {
        reader.serious.push(format!("/{}", reader.key), "there are no rows".into());
    }
    let (many, key, threshold) = (reader.shape == Shape::Many, reader.key, reader.threshold);
    let (explain, what_if) = (reader.explain.take(), reader.what_if.take());
    let (codes, problems) = reader.finish();
    Ok(Request { codes, many, key, threshold, explain, what_if, problems })
}

/// Reads one row, an array or an object, and appends its codes to `codes`; a cell with a problem becomes a
/// missing value. What is tolerated is no problem.
///
/// # Errors
/// A text that is not JSON.
pub fn read_row(
    text: &[u8],
    schema: &Schema,
    tolerance: Tolerance,
    codes: &mut Matrix,
) -> Result<Problems, Malformed> {
    read_row_listing(text, schema, tolerance, MAX_LISTED_PROBLEMS, codes).map(|(problems, _)| problems)
}

/// As [`read_row`], with at most `n_listed` problems listed: a file of rows has a limit for all of them. Also the number
/// of values that were passed over, because the model does not know their names.
///
/// # Errors
/// As there.
pub(crate) fn read_row_listing(
    text: &[u8],
    schema: &Schema,
    tolerance: Tolerance,
    n_listed: usize,
    codes: &mut Matrix,
) -> Result<(Problems, usize), Malformed> {
    let mut reader = Reader::listing(schema, usize::MAX, n_listed);
    reader.shape = Shape::Many;
    reader.lenient = tolerance == Tolerance::Lenient;
    reader.takes_extra = tolerance == Tolerance::Extra;
    reader.parse(text, |reader| Row { reader, place: Place::TEXT })?;
    let n_extra = reader.n_extra;
    let (row, problems) = reader.finish();
    codes.push_row(f64::NAN);
    if row.n_rows() > 0 {
        let last = codes.n_rows() - 1;
        codes.row_mut(last).copy_from_slice(row.row(0));
        for feature in schema.texts() {
            let code = row.row(0)[feature];
            if !code.is_nan() {
                codes.row_mut(last)[feature] = codes.texts_mut().push(row.texts().get(code));
            }
        }
    }
    Ok((problems, n_extra))
}

/// Reads the value at `key` of a body that [`read_request`] does not know: an array of rows, or one row. With `columns`,
/// rows without names hold these. Columns that the model does not know are passed over.
///
/// # Errors
/// A text that is not JSON, or one with more than `max_rows` rows.
pub fn read_rows(
    text: &[u8],
    schema: &Schema,
    key: &'static str,
    columns: Option<&[String]>,
    max_rows: usize,
) -> Result<Request, Malformed> {
    let mut reader = Reader::new(schema, max_rows);
    reader.key = key;
    reader.takes_extra = true;
    if let Some(names) = columns {
        match schema.map_columns(names, Tolerance::Extra) {
            Ok(map) => reader.set_positions(map),
            Err(mut problems) => {
                problems.listed.iter_mut().for_each(|problem| problem.pointer = format!("/{key}"));
                reader.serious.extend(problems);
            }
        }
        let mut seen = std::collections::BTreeSet::new();
        for name in names.iter().filter(|name| !seen.insert(*name)) {
            let detail = || format!("the column {} is given twice", quote(name));
            reader.serious.push_with(|| (format!("/{key}"), detail()));
        }
    }
    if reader.serious.total == 0 {
        reader.parse(text, |reader| Rows { reader })?;
        if reader.codes.n_rows() == 0 && reader.serious.total == 0 {
            reader.serious.push(format!("/{key}"), "there are no rows".into());
        }
    }
    let many = reader.shape == Shape::Many;
    let (codes, problems) = reader.finish();
    Ok(Request { codes, many, key, threshold: None, explain: None, what_if: None, problems })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::cells::cell::{ColumnType, Task, UNSEEN};
    use crate::data::cells::schema::Ignored;
    use crate::data::cells::table::{Column, Table};
    use crate::data::cells::target::Target;

    /// Features `size` (1 to 5) and `color` (blue, red); `id` is ignored, `price` is the target.
    fn schema() -> Schema {
        let table = Table {
            source: "t.csv".into(),
            names: ["size", "id", "color", "price"].map(String::from).to_vec(),
            columns: vec![
                Column::Number(vec![1.0, 5.0]),
                Column::Number(vec![7.0, 8.0]),
                Column::Category { codes: vec![0, 1], levels: vec!["blue".into(), "red".into()] },
                Column::Number(vec![10.0, 20.0]),
            ],
            lines: vec![2, 3].into(),
        };
        let target = Target {
            name: "price".into(),
            task: Task::Regression,
            labels: vec![],
            numeric_labels: false,
            notation: None,
        };
        let ignored = vec![Ignored { name: "id".into(), reason: "an id".into() }];
        let features = [(0, ColumnType::Number), (2, ColumnType::Category)];
        Schema::fit(&table, &features, target, ignored, &[0, 1])
    }

    fn read(body: &str) -> Request {
        read_request(body.as_bytes(), &schema(), 10).unwrap()
    }

    fn problems(body: &str) -> Vec<(String, String)> {
        let listed = read(body).problems.listed;
        listed.into_iter().map(|p| (p.pointer, p.detail)).collect()
    }

    #[test]
    fn every_form_of_the_contract_gives_the_same_codes() {
        for one in [
            r#"{"data":[2.5,"red"]}"#,
            r#"{"data":["2.5","red"]}"#,
            r#"{"data":[2.5,7,"red"]}"#,
            r#"{"features":{"color":"red","size":2.5}}"#,
            r#"{"features":{"size":2.5,"color":"red","price":3,"id":1}}"#,
            r#"{"features":[2.5,"red"]}"#,
            r#" {"lenient":false,"threshold":0.5,"data":{"size":2.5,"color":"re\u0064"}} "#,
        ] {
            let request = read(one);
            assert_eq!(request.problems.listed, [], "{one}");
            assert_eq!((request.codes.values(), request.many), (&[2.5, 1.0][..], false), "{one}");
        }
        for many in [
            r#"{"data":[[2.5,"red"],[1,null]]}"#,
            r#"{"features":[{"color":"red","size":2.5},{"size":1,"color":""}]}"#,
        ] {
            let request = read(many);
            assert!(request.many && request.problems.total == 0, "{many}");
            assert_eq!(request.codes.row(0), [2.5, 1.0]);
            assert!(request.codes.row(1)[1].is_nan());
        }
        assert_eq!(read(r#"{"data":[1,"green"]}"#).codes.values()[1], UNSEEN);
    }

    #[test]
    fn all_problems_come_at_once_with_pointers() {
        let found = problems(r#"{"data":[["x",true],[1],{"siez":1},3]}"#);
        let pointers: Vec<&str> = found.iter().map(|(pointer, _)| pointer.as_str()).collect();
        assert_eq!(
            pointers,
            ["/data/1", "/data/3", "/data/0/0", "/data/2/siez", "/data/2/size", "/data/2/color"]
        );
        assert!(found[0].1.contains("1 values where the model has 2 features (size,color)"));
        assert!(found[3].1.contains("did you mean \"size\"?"));
        let found = problems(r#"{"features":{"size":[1],"color":{},"a/b":1,"size":2}}"#);
        let pointers: Vec<&str> = found.iter().map(|(pointer, _)| pointer.as_str()).collect();
        assert_eq!(pointers, ["/features/size", "/features/size", "/features/color", "/features/a~1b"]);
    }

    #[test]
    fn bodies_of_another_shape_say_what_to_send() {
        for body in ["3", "[]", "null", "\"x\"", "{}", "[[1]]", r#"{"data":3}"#, r#"{"data":[]}"#] {
            assert_eq!(read(body).problems.total, 1, "{body}");
        }
        assert!(problems(r#"{"daat":[1,"red"]}"#)[0].1.contains("did you mean \"data\"?"));
        assert_eq!(problems(r#"{"data":[1,"red"],"features":{}}"#)[0].0, "/features");
        assert_eq!(problems(r#"{"data":[1,"red"],"threshold":2}"#)[0].0, "/threshold");
    }

    #[test]
    fn lenient_takes_what_does_not_fit_as_missing_wherever_the_option_stands() {
        for body in [
            r#"{"lenient":true,"features":{"size":"x","weight":1}}"#,
            r#"{"features":{"size":"x","weight":1},"lenient":true}"#,
        ] {
            let request = read(body);
            assert_eq!(request.problems.total, 0);
            assert!(request.codes.values().iter().all(|code| code.is_nan()));
        }
        assert_eq!(read(r#"{"lenient":true,"data":[1]}"#).problems.total, 1, "which column is 1?");
    }

    #[test]
    fn what_is_not_json_is_refused_and_so_are_too_many_rows() {
        let refused = |body: &str| read_request(body.as_bytes(), &schema(), 2).expect_err(body);
        for body in ["", "{", "{\"data\":[1,]}", "{\"data\":[1,\"red\"]} x", "{\"data\":[1e999,1]}"] {
            assert!(matches!(refused(body), Malformed::NotJson(_)), "{body}");
        }
        let deep = format!("{{\"data\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(read(&deep).problems.total > 0, "and the stack is not used up");
        let three = r#"{"data":[[1,"red"],[1,"red"],[1,"red"]]}"#;
        assert_eq!(refused(three), Malformed::TooManyRows);
    }

    #[test]
    fn options_and_unknown_members_are_skipped_in_place_whatever_they_hold() {
        let nested = format!("[{}0]", r#"{"":0},"#.repeat(1000));
        for (member, pointer) in [
            ("threshold", "/threshold"),
            ("lenient", "/lenient"),
            ("explain", "/explain"),
            ("weights", "/weights"),
        ] {
            let found = problems(&format!(r#"{{"{member}":{nested},"data":[1,"red"]}}"#));
            assert_eq!(found.len(), 1, "{member}");
            assert_eq!(found[0].0, pointer);
        }
    }

    #[test]
    fn problems_beyond_those_listed_are_counted_and_long_names_are_cut() {
        let long = "s".repeat(100_000);
        let names: String = (0..500).map(|i| format!("\"{long}{i}\":1,")).collect();
        let found = read(&format!(r#"{{"features":{{{names}"size":1,"color":"red"}}}}"#)).problems;
        assert_eq!((found.total, found.listed.len()), (500, 100));
        let length: usize = found.listed.iter().map(|p| p.pointer.len() + p.detail.len()).sum();
        assert!(length < 100 * 300, "{length}");
        let found = read(&format!(r#"{{"{long}":1}}"#)).problems;
        assert!(found.listed[0].pointer.len() < 100, "{}", found.listed[0].pointer.len());
    }

    #[test]
    fn columns_hold_the_same_rows_and_no_column_alone_makes_rows() {
        let read = |text: &str| read_columns(text.as_bytes(), &schema(), "inputs", 10);
        for text in [
            r#"{"size":[2,3],"color":["red","blue"]}"#,
            r#"{"price":[[[]]],"color":[["red"],["blue"]],"id":{},"size":[2,[3]]}"#,
        ] {
            let request = read(text).unwrap();
            assert_eq!(request.problems.listed, [], "{text}");
            assert_eq!(request.codes.values(), [2.0, 1.0, 3.0, 0.0], "{text}");
        }
        assert_eq!(read(r#"{"size":2,"color":"red"}"#).unwrap().codes.values(), [2.0, 1.0]);
        let pointers = |text: &str| -> Vec<String> {
            let listed = read(text).unwrap().problems.listed;
            listed.into_iter().map(|problem| problem.pointer).collect()
        };
        assert_eq!(
            pointers(r#"{"size":[2,"big",[1,2],[]],"color":["red","red",1,{}]}"#),
            ["/inputs/size/1", "/inputs/size/2", "/inputs/size/3", "/inputs/color/3"]
        );
        assert_eq!(pointers(r#"{"size":[2,3],"color":["red"],"size":1}"#), ["/inputs/color", "/inputs/size"]);
        assert_eq!(pointers(r#"{"siez":[2],"color":["red"]}"#), ["/inputs/siez", "/inputs/size"]);
        assert_eq!(pointers("{}"), ["/inputs/size", "/inputs/color"]);
        assert_eq!(pointers(r#"{"size":[],"color":[]}"#), ["/inputs"]);
        let ones = "1,".repeat(99_999);
        let alone =
            read_columns(format!(r#"{{"size":[{ones}1]}}"#).as_bytes(), &schema(), "inputs", 1_000_000);
        let alone = alone.unwrap();
        assert_eq!(alone.problems.total, 2, "{:?}", alone.problems);
        assert!(
            alone.codes.n_rows() <= 50_010,
            "as many as two columns could have: {}",
            alone.codes.n_rows()
        );
        let eleven = format!(r#"{{"size":[{0}1],"color":[{0}1]}}"#, "1,".repeat(10));
        assert_eq!(read(&eleven).unwrap_err(), Malformed::TooManyRows);
        assert!(matches!(read("[]"), Err(Malformed::NotJson(_))));
    }

    #[test]
    fn a_single_row_is_an_array_or_an_object() {
        let schema = schema();
        let mut codes = Matrix::with_capacity(4, 2);
        let mut row = |text: &str, lenient| {
            let tolerance = if lenient { Tolerance::Lenient } else { Tolerance::Strict };
            read_row(text.as_bytes(), &schema, tolerance, &mut codes)
        };
        assert_eq!(row(r#"{"size":2,"color":"blue"}"#, false).unwrap().total, 0);
        assert_eq!(row(r#"[3,"red"]"#, false).unwrap().total, 0);
        assert_eq!(row(r#"{"size":"x"}"#, false).unwrap().listed[0].pointer, "/size");
        assert_eq!(row(r#"{"size":"x"}"#, true).unwrap().total, 0);
        assert_eq!(row("5", true).unwrap().total, 1);
        assert_eq!(codes.n_rows(), 5);
        assert_eq!(codes.values()[..4], [2.0, 0.0, 3.0, 1.0]);
    }
}
