//! Model files of every form with parts that are changed at will and a checksum that fits: an error, or a model that
//! predicts.
//!
//! An input is a list of changes: which file, then for each change its kind, its place, and what comes there.

#![no_main]

#[path = "../../tests/support/container.rs"]
#[allow(dead_code)]
mod container;
mod support;

use std::sync::LazyLock;

use container::{Container, Raw};
use libfuzzer_sys::fuzz_target;
use mlapi::data::read::json::read_request;
use mlapi::model::file;
use mlapi::model::pipeline::Decision;
use mlapi::server::{Limits, Setup};
use serde_json::{Value, json};
use support::{MANY, blended, trained};

const OLD: [&[u8]; 6] = [
    include_bytes!("../../fixtures/models/format-1-linear.mlapi"),
    include_bytes!("../../fixtures/models/format-2-text.mlapi"),
    include_bytes!("../../fixtures/models/format-3-dates.mlapi"),
    include_bytes!("../../fixtures/models/format-4-means.mlapi"),
    include_bytes!("../../fixtures/models/format-5-numbers.mlapi"),
    include_bytes!("../../fixtures/models/format-6-ensemble.mlapi"),
];

static FILES: LazyLock<Vec<Container>> = LazyLock::new(|| {
    let classes =
        ["logreg", "tree", "forest", "boost", "svm", "knn", "bayes", "mlp"].map(|name| (name, true));
    let numbers = ["ridge", "tree", "boost", "svm", "knn", "mlp"].map(|name| (name, false));
    let new = classes.into_iter().chain(numbers).map(|(name, classes)| {
        // The smaller the files, the more changes in a second.
        let n_shops = if ["logreg", "tree", "ridge"].contains(&name) { MANY } else { 5 };
        let bytes = file::to_bytes(&trained(name, classes, n_shops)).expect("a model can be written");
        Container::of(&bytes)
    });
    let several = [&["logreg", "tree", "bayes", "boost"][..], &["ridge", "svm", "tree"]].map(|names| {
        let bytes = file::to_bytes(&blended(names, names[0] == "logreg", 5)).expect("a model can be written");
        Container::of(&bytes)
    });
    OLD.into_iter().map(Container::of).chain(new).chain(several).collect()
});

const NUMBERS: [f64; 16] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    2.0,
    256.0,
    9e15,
    1e308,
    -1e308,
    f64::MIN_POSITIVE,
    5e-324,
    f64::MAX,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
];

const SIZES: [u64; 16] = [
    0,
    1,
    2,
    3,
    4,
    255,
    256,
    257,
    1 << 16,
    1 << 30,
    1 << 31,
    u32::MAX as u64,
    1 << 55,
    1 << 61,
    1 << 63,
    u64::MAX,
];

const WORDS: [&str; 25] = [
    "",
    "a",
    "\u{0}",
    "number",
    "boolean",
    "category",
    "date",
    "text",
    "classification",
    "regression",
    "raw",
    "standardised",
    "linear",
    "linear-softmax",
    "trees",
    "trees-share",
    "trees-exponential",
    "bayes",
    "neighbours",
    "net-softmax",
    "kernel",
    "kernel-votes",
    "ensemble",
    "2024-02-30",
    "1e309",
];

/// The bytes of an input, one after another; 0 behind the end.
struct Changes<'a>(&'a [u8]);

impl Changes<'_> {
    fn next(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    /// A place among `n`.
    fn below(&mut self, n: usize) -> usize {
        let wide = if n > 256 { usize::from(self.next()) << 8 } else { 0 };
        (wide | usize::from(self.next())) % n.max(1)
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.next())
    }

    /// The bytes of an element of a kind.
    fn element(&mut self, kind: &str) -> Vec<u8> {
        let which = self.next();
        let common = usize::from(which & 15);
        match (kind, which < 192) {
            ("F64", true) => NUMBERS[common].to_le_bytes().to_vec(),
            ("F64", false) => self.take::<8>().to_vec(),
            ("U32", true) => (SIZES[common] as u32).to_le_bytes().to_vec(),
            ("U32", false) => self.take::<4>().to_vec(),
            _ => vec![self.next()],
        }
    }

    fn value(&mut self) -> Value {
        let which = self.next();
        let common = usize::from(which);
        match which >> 5 {
            0 => json!(SIZES[common & 15]),
            1 => json!(NUMBERS[common & 15]),
            2 => json!(WORDS[common % WORDS.len()]),
            3 => [Value::Null, true.into(), false.into(), json!([]), json!({}), json!([[]])][common % 6]
                .clone(),
            4 => json!(-(SIZES[common & 7] as i64)),
            5 => json!(vec![NUMBERS[common & 7]; common & 31]),
            6 => json!(vec![WORDS[common % WORDS.len()]; common & 3]),
            _ => json!(self.next()),
        }
    }

    fn apply(&mut self, file: &mut Container) {
        let kind = self.next() % 10;
        if kind < 6 {
            let at = self.below(file.arrays.len());
            let Some(name) = file.arrays.keys().nth(at).cloned() else { return };
            let Some(raw) = file.arrays.get_mut(&name) else { return };
            let size = size_of_element(&raw.kind);
            match kind {
                // An element.
                0 | 1 if !raw.bytes.is_empty() => {
                    let at = self.below(raw.bytes.len() / size) * size;
                    let element = self.element(&raw.kind);
                    raw.bytes[at..at + size].copy_from_slice(&element);
                }
                // The length; other dimensions stay if they can.
                0..=2 => {
                    let n = self.below(raw.bytes.len() / size + 9);
                    raw.bytes.resize(n * size, 0);
                    reshape(raw);
                }
                // Dimensions of an empty array.
                3 => {
                    raw.bytes.clear();
                    let mut shape =
                        vec![0, SIZES[usize::from(self.next() & 15)], SIZES[usize::from(self.next() & 15)]];
                    shape.truncate(usize::from(self.next() % 3) + 1);
                    raw.shape = shape;
                }
                // Another kind, another name.
                4 => {
                    raw.kind = ["F64", "U32", "U8"][self.below(3)].into();
                    let size = size_of_element(&raw.kind);
                    raw.bytes.truncate(raw.bytes.len() / size * size);
                    reshape(raw);
                }
                _ => {
                    let raw = file.arrays.remove(&name);
                    let other = self.below(file.arrays.len() * 2);
                    let other = file.arrays.keys().nth(other).cloned();
                    file.arrays.extend(other.zip(raw));
                }
            }
            return;
        }
        // The features and golden rows are what the rest depends on.
        let part = ["/schema", "/schema/features", "/golden", "/card", "/members", ""][self.below(6)];
        let Some(part) = file.entry.pointer_mut(part) else { return };
        let mut at = self.below(count(part));
        let Some(node) = nth(part, &mut at) else { return };
        match (kind, node) {
            (6 | 7, node) => *node = self.value(),
            (8, Value::Array(list)) if !list.is_empty() => {
                let at = self.below(list.len());
                if self.next() & 1 == 0 {
                    list.remove(at);
                } else {
                    list.insert(at, list[at].clone());
                }
            }
            (_, Value::Object(members)) => {
                let at = self.below(members.len());
                if let Some(name) = members.keys().nth(at).cloned() {
                    members.remove(&name);
                }
            }
            (_, node) => *node = self.value(),
        }
    }
}

fn size_of_element(kind: &str) -> usize {
    match kind {
        "F64" => 8,
        "U32" => 4,
        _ => 1,
    }
}

/// Makes the first dimension fit the number of elements.
fn reshape(raw: &mut Raw) {
    let n = (raw.bytes.len() / size_of_element(&raw.kind)) as u64;
    let others = raw.shape.iter().skip(1).try_fold(1_u64, |all, n| all.checked_mul(*n)).unwrap_or(0);
    if others > 0 && n.is_multiple_of(others) && !raw.shape.is_empty() {
        raw.shape[0] = n / others;
    } else {
        raw.shape = vec![n];
    }
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(values) => values.iter().map(count).sum(),
        Value::Object(members) => members.values().map(count).sum(),
        _ => 0,
    }
}

fn nth<'a>(value: &'a mut Value, n: &mut usize) -> Option<&'a mut Value> {
    if *n == 0 {
        return Some(value);
    }
    *n -= 1;
    match value {
        Value::Array(values) => values.iter_mut().find_map(|value| nth(value, n)),
        Value::Object(members) => members.values_mut().find_map(|value| nth(value, n)),
        _ => None,
    }
}

fuzz_target!(
    // Not counted as the time of an input.
    init: LazyLock::force(&FILES),
    |input: &[u8]| one(input)
);

fn one(input: &[u8]) {
    let mut changes = Changes(input);
    let mut file = FILES[changes.below(FILES.len())].clone();
    while !changes.0.is_empty() {
        changes.apply(&mut file);
    }
    let bytes = file.bytes();
    let Ok(model) = file::read(&bytes[..], bytes.len() as u64) else {
        return;
    };
    let schema = &model.pipeline.schema;
    for body in
        [r#"{"lenient":true,"data":[{},{}]}"#, r#"{"lenient":true,"features":{"spend":1e308,"shop":"s1"}}"#]
    {
        if let Ok(request) = read_request(body.as_bytes(), schema, 100) {
            assert_eq!(request.problems.total, 0, "{body}");
            model.pipeline.predict(&request.codes, Decision::MostProbable);
        }
    }
    assert!(file::to_bytes(&model).is_ok());
    let _ = Setup::new(model, Limits::DEFAULT);
}
