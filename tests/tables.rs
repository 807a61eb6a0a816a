//! Tables as people write them: generated from a grammar of notations, layouts, encodings and faults, so that the truth
//! is known. A table without a fault is read rightly, one with a fault is read rightly and the fault is named, or it is
//! refused with words; nothing is misread.

use std::fmt::Write as _;

use encoding_rs::{Encoding, UTF_8, UTF_16LE, WINDOWS_1251, WINDOWS_1252};
use mlapi::data::read::csv::Records;
use mlapi::predict::{Options, Part, predict_csv};
use mlapi::{ColumnType, FileOptions, HoldOut, Model, Plan};

use crate::support::workdir::Workdir;

/// Tables that are generated; each is a seed.
const N_TABLES: u64 = 500;

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    /// Once in `n` times.
    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// What a cell says.
#[derive(Debug, Clone, PartialEq)]
enum Value {
    Missing,
    /// A number; 0 or 1 for a boolean, seconds since 1970 for a date, seconds for a duration.
    Number(f64),
    Level(String),
}

struct Column {
    name: String,
    what: String,
    wanted: ColumnType,
    cells: Vec<(String, Value)>,
}

/// The ways in which the numbers of a column are written.
struct Amounts {
    decimal: char,
    thousands: &'static str,
    before: &'static str,
    behind: &'static str,
    minus: &'static str,
    n_decimals: usize,
    zero: char,
}

impl Amounts {
    fn of(dice: &mut Dice) -> Self {
        let decimal = dice.of(&['.', '.', ',']);
        let thousands: &[&str] = match decimal {
            '.' => &["", "", ",", ",", "'", " ", "\u{a0}"],
            _ => &["", "", ".", ".", "'", " ", "\u{202f}"],
        };
        let (before, behind) = dice.of(&[
            ("", ""),
            ("", ""),
            ("", ""),
            ("$", ""),
            ("€ ", ""),
            ("", " €"),
            ("", " kg"),
            ("", "%"),
            ("", " %"),
            ("USD ", ""),
        ]);
        Self {
            decimal,
            thousands: dice.of(thousands),
            before,
            behind,
            minus: dice.of(&["-", "-", "\u{2212}", "("]),
            n_decimals: dice.of(&[0, 1, 2, 2]),
            zero: if dice.one_in(12) { '٠' } else { '0' },
        }
    }

    /// Whether every program reads them.
    fn is_plain(&self) -> bool {
        (self.decimal, self.thousands, self.before, self.behind) == ('.', "", "", "") && self.zero == '0'
    }

    fn write(&self, value: f64) -> String {
        let plain = format!("{:.*}", self.n_decimals, value.abs());
        let (whole, decimals) = plain.split_once('.').unwrap_or((&plain, ""));
        let mut text = String::new();
        for (i, digit) in whole.chars().enumerate() {
            if i > 0 && (whole.len() - i).is_multiple_of(3) {
                text += self.thousands;
            }
            text.push(digit);
        }
        if !decimals.is_empty() {
            text.push(self.decimal);
            text += decimals;
        }
        if self.zero != '0' {
            let shift = |c: char| c.to_digit(10).map_or(c, |n| char::from_u32(self.zero as u32 + n).unwrap());
            text = text.chars().map(shift).collect();
        }
        let (open, close) = match (value < 0.0, self.minus) {
            (false, _) => ("", ""),
            (true, "(") => ("(", ")"),
            (true, minus) => (minus, ""),
        };
        format!("{open}{}{text}{}{close}", self.before, self.behind)
    }

    /// Numbers that leave no doubt of how they are written: one below 1000 without decimals has no separator, and one of
    /// a million has two.
    fn column(&self, dice: &mut Dice, n: usize) -> Vec<(String, Value)> {
        let signed = dice.one_in(2);
        let cell = |i: usize| {
            let value = match i {
                0 => 7.0,
                1 => 1_234_567.0,
                2 => 12.0 + 0.25 * f64::from(u8::from(self.n_decimals > 1)),
                _ => (dice.below(4_000_000) as f64 - if signed { 1_000_000.0 } else { 0.0 }) / 64.0,
            };
            // The number that the text is.
            let rounded: f64 = format!("{value:.*}", self.n_decimals).parse().unwrap();
            (self.write(rounded), Value::Number(rounded + 0.0))
        };
        (0..n).map(cell).collect()
    }
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

fn dates(dice: &mut Dice, n: usize) -> (String, Vec<(String, Value)>) {
    let form = dice.below(11);
    let cell = |_| {
        let days = dice.below(9000) as i64 + 10_957;
        let date = jiff::civil::date(1970, 1, 1).saturating_add(jiff::SignedDuration::from_hours(24 * days));
        let (y, m, d) = (date.year(), date.month(), date.day());
        let month = MONTHS[m as usize - 1];
        let (hour, minute) = (dice.below(24) as i64, dice.below(60) as i64);
        let time = (hour * 3600 + minute * 60) as f64;
        let (text, seconds) = match form {
            0 => (format!("{y}-{m:02}-{d:02}"), 0.0),
            1 => (format!("{d:02}.{m:02}.{y}"), 0.0),
            2 => (format!("{m}/{d}/{y}"), 0.0),
            3 => (format!("{d:02}/{m:02}/{y}"), 0.0),
            4 => (format!("{month} {d}, {y}"), 0.0),
            5 => (format!("{d:02}-{month}-{:02}", y % 100), 0.0),
            6 => (format!("{m}/{d}/{:02}", y % 100), 0.0),
            7 => (format!("{y}-{m:02}-{d:02}T{hour:02}:{minute:02}:00Z"), time),
            8 => (format!("{y}-{m:02}-{d:02} {hour:02}:{minute:02}"), time),
            9 => (format!("{y}/{m:02}/{d:02}"), 0.0),
            _ => {
                let (twelve, half) = ((hour + 11) % 12 + 1, if hour < 12 { "AM" } else { "PM" });
                (format!("{m}/{d}/{y} {twelve}:{minute:02} {half}"), time)
            }
        };
        (text, Value::Number(days as f64 * 86_400.0 + seconds))
    };
    (format!("dates {form}"), (0..n).map(cell).collect())
}

fn durations(dice: &mut Dice, n: usize) -> Vec<(String, Value)> {
    let cell = |_| {
        let seconds = dice.below(30 * 3600);
        let text = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
        (text, Value::Number(seconds as f64))
    };
    (0..n).map(cell).collect()
}

const LATIN: [&str; 8] = ["Zürich", "Genève", "Köln", "Málaga", "São Paulo", "Århus", "Besançon", "Łódź"];
const CYRILLIC: [&str; 6] = ["Москва", "Казань", "Самара", "Омск", "Тула", "Псков"];
const PLAIN: [&str; 8] = ["red", "green", "dark blue", "O'Brien", "A-12", "x, y", "semi;colon", "new york"];

/// A table, as bytes, and what it says.
struct Generated {
    bytes: Vec<u8>,
    columns: Vec<Column>,
    /// What is wrong with it, and the row of the fault.
    fault: Option<(Fault, usize)>,
    story: String,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    /// A word among numbers.
    Word,
    /// A record with a field too many.
    Ragged,
    /// The header again.
    Header,
    /// A last line with a sum.
    Total,
    /// A quote that is opened and never closed.
    Quote,
}

impl Generated {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let n = 60 + dice.below(40);
        let encoding = dice.of(&[UTF_8, UTF_8, UTF_8, UTF_16LE, WINDOWS_1252, WINDOWS_1251]);
        let mut columns = Vec::new();
        for i in 0..2 + dice.below(4) {
            columns.push(column(&mut dice, i, n, encoding));
        }
        // What leaves gaps leaves them in every notation.
        for column in &mut columns {
            if dice.one_in(3) {
                let word = dice.of(&["", "NA", "n/a", "NULL", "-"]);
                let word = if column.wanted == ColumnType::Category { "" } else { word };
                for row in (3..n).filter(|row| (row * 7 + seed as usize).is_multiple_of(11)) {
                    column.cells[row] = (word.into(), Value::Missing);
                }
            }
        }
        let fault = dice.one_in(3).then(|| {
            let all = [Fault::Word, Fault::Ragged, Fault::Header, Fault::Total, Fault::Quote];
            (dice.of(&all), 10 + dice.below(n - 20))
        });
        Self::written(&mut dice, columns, fault, encoding)
    }

    fn written(
        dice: &mut Dice,
        mut columns: Vec<Column>,
        mut fault: Option<(Fault, usize)>,
        encoding: &'static Encoding,
    ) -> Self {
        let n = columns[0].cells.len();
        let numbers = |column: &Column| column.wanted == ColumnType::Number;
        if let Some((Fault::Word, row)) = fault {
            match columns.iter_mut().find(|column| numbers(column)) {
                Some(column) => column.cells[row] = ("broken".into(), Value::Missing),
                None => fault = None,
            }
        }
        if fault.is_some_and(|(fault, _)| fault == Fault::Total) && !columns.iter().any(numbers) {
            fault = None;
        }
        let delimiter = dice.of(&[',', ',', ';', '\t', '|']);
        let all_quoted = dice.one_in(5);
        let end = dice.of(&["\n", "\n", "\r\n"]);
        let field = |text: &str| {
            let special = text.contains([delimiter, '"', '\n']) || text != text.trim();
            if special || all_quoted {
                format!("\"{}\"", text.replace('"', "\"\""))
            } else {
                text.to_string()
            }
        };
        let mut text = String::new();
        let layout = dice.below(12);
        match layout {
            0 => text += &format!("# made by an instrument{end}# on a Tuesday{end}"),
            1 => text += &format!("sep={delimiter}{end}"),
            _ => {}
        }
        let trailing = if layout == 2 { delimiter.to_string() } else { String::new() };
        let record = |fields: Vec<String>| fields.join(&delimiter.to_string()) + &trailing + end;
        let header =
            record(columns.iter().map(|column| field(&column.name)).chain(["label".into()]).collect());
        text += &header;
        for row in 0..n {
            let mut fields: Vec<String> = columns.iter().map(|column| field(&column.cells[row].0)).collect();
            fields.push(["no", "yes"][row % 3 % 2].into());
            match fault {
                Some((Fault::Header, at)) if at == row => text += &header,
                Some((Fault::Ragged, at)) if at == row => fields.push("more".into()),
                Some((Fault::Quote, at)) if at == row => {
                    fields[0] = format!("\"{}", fields[0].trim_matches('"'))
                }
                _ => {}
            }
            text += &record(fields);
        }
        if let Some((Fault::Total, _)) = fault {
            let total = |(i, column): (usize, &Column)| match i {
                0 => "Total".to_string(),
                _ if numbers(column) => column.cells[1].0.clone(),
                _ => String::new(),
            };
            let fields =
                columns.iter().enumerate().map(total).map(|text| field(&text)).chain([String::new()]);
            text += &record(fields.collect());
        }
        let bytes = if encoding == UTF_16LE {
            [0xFF, 0xFE].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect()
        } else {
            let with_mark = encoding == UTF_8 && dice.one_in(6);
            let (bytes, _, unmappable) = encoding.encode(&text);
            assert!(!unmappable, "{text}");
            if with_mark { ["\u{feff}".as_bytes(), &bytes].concat() } else { bytes.into_owned() }
        };
        let mut story = format!("{} {delimiter:?} layout {layout} {fault:?}:", encoding.name());
        for column in &columns {
            write!(story, " {} ({})", column.name, column.what).unwrap();
        }
        columns.retain(|column| !column.name.is_empty());
        Self { bytes, columns, fault, story }
    }
}

fn column(dice: &mut Dice, i: usize, n: usize, encoding: &'static Encoding) -> Column {
    // A euro sign alone does not show in which encoding it is one.
    let is_clear = |text: &str| encoding != WINDOWS_1251 || !text.contains('€');
    let fits = |text: &str| (encoding == UTF_16LE || !encoding.encode(text).2) && is_clear(text);
    let what;
    let mut wanted = ColumnType::Number;
    let cells = match dice.below(10) {
        0..4 => loop {
            let amounts = Amounts::of(dice);
            let cells = amounts.column(dice, n);
            if cells.iter().all(|(text, _)| fits(text)) {
                what = if amounts.is_plain() { "plain".into() } else { cells[1].0.clone() };
                break cells;
            }
        },
        4 | 5 => {
            let (form, cells) = dates(dice, n);
            (what, wanted) = (form, ColumnType::Date);
            cells
        }
        6 => {
            what = "durations".into();
            durations(dice, n)
        }
        7 => {
            (what, wanted) = ("booleans".into(), ColumnType::Boolean);
            let words = dice.of(&[["no", "yes"], ["false", "true"], ["No", "Yes"], ["FALSE", "TRUE"]]);
            let cell = |_| {
                let one = dice.below(2);
                (words[one].to_string(), Value::Number(one as f64))
            };
            (0..n).map(cell).collect()
        }
        _ => {
            (what, wanted) = ("words".into(), ColumnType::Category);
            let all = [&LATIN[..], &CYRILLIC[..], &PLAIN[..]].concat();
            let mut known: Vec<&str> = all.into_iter().filter(|word| fits(word)).collect();
            known.truncate(12);
            let cell = |_| {
                let word = dice.of(&known);
                (word.to_string(), Value::Level(word.into()))
            };
            (0..n).map(cell).collect()
        }
    };
    Column { name: format!("c{i}"), what, wanted, cells }
}

/// The values of every feature of a file, as `predict` reads them.
fn as_predicted(model: &Model, path: &str) -> Result<Vec<Vec<Value>>, String> {
    let schema = &model.pipeline.schema;
    let mut columns = vec![Vec::new(); schema.features.len()];
    let mut watch = |part: Part| {
        for row in part.codes.rows() {
            for ((column, feature), &code) in columns.iter_mut().zip(&schema.features).zip(row) {
                column.push(match feature.column_type {
                    _ if code.is_nan() => Value::Missing,
                    ColumnType::Category if code < 0.0 => {
                        Value::Level("one that training did not see".into())
                    }
                    ColumnType::Category => Value::Level(feature.levels[code as usize].clone()),
                    _ => Value::Number(code),
                });
            }
        }
    };
    let records = Records::open(path, &FileOptions::default());
    let options = Options::default();
    let mut out = Vec::new();
    records
        .and_then(|records| predict_csv(model, records, &options, &mut out, &mut watch))
        .map_err(|error| format!("{error:#}"))?;
    Ok(columns)
}

/// What is wrong with how a table was read, if anything is.
fn misread(table: &Generated, dir: &Workdir) -> Option<String> {
    let path = dir.path("t.csv");
    std::fs::write(&path, &table.bytes).unwrap();
    let path = path.to_str().unwrap();
    let plan = Plan {
        algorithm: "naive-bayes".into(),
        target: Some("label".into()),
        // All rows are training rows, so that the schema's figures are those of the whole file.
        hold_out: HoldOut::File(path.into()),
        ..Plan::new(path)
    };
    let model = match plan.train() {
        Ok(model) => model,
        Err(error) => {
            let message = error.to_string();
            return match table.fault {
                Some(_) if !message.is_empty() => None,
                _ => Some(format!("refused: {message}")),
            };
        }
    };
    let schema = &model.pipeline.schema;
    let notes = model.card.notes.join("\n");
    if table.fault.is_some_and(|(fault, _)| fault == Fault::Quote) && notes.contains("--quote none") {
        return None;
    }
    let read = match as_predicted(&model, path) {
        Ok(read) => read,
        Err(message) if table.fault.is_some() && !message.is_empty() => return None,
        Err(message) => return Some(format!("predict refused: {message}")),
    };
    for column in &table.columns {
        let Some(at) = schema.features.iter().position(|feature| feature.name == column.name) else {
            let reason = schema.ignored.iter().find(|ignored| ignored.name == column.name);
            return Some(format!("{}: left out, {:?}", column.name, reason.map(|ignored| &ignored.reason)));
        };
        let feature = &schema.features[at];
        if feature.column_type != column.wanted {
            return Some(format!("{}: {:?}, not {:?}", column.name, feature.column_type, column.wanted));
        }
        let wanted: Vec<&Value> = column.cells.iter().map(|(_, value)| value).collect();
        let mut found: Vec<&Value> = read[at].iter().collect();
        if let Some((fault, row)) = table.fault {
            // The odd row is left out, or stands there without a value.
            let odd = match fault {
                Fault::Header => Some(row),
                Fault::Total => Some(wanted.len()),
                Fault::Word | Fault::Ragged | Fault::Quote => None,
            };
            if let Some(odd) = odd.filter(|_| found.len() == wanted.len() + 1) {
                found.remove(odd);
            }
        }
        if let Some(row) = (0..wanted.len().max(found.len())).find(|&row| found.get(row) != wanted.get(row)) {
            let text = column.cells.get(row).map(|(text, _)| text);
            return Some(format!(
                "{} row {row}: {:?} for {:?}, written {text:?}",
                column.name,
                found.get(row),
                wanted.get(row)
            ));
        }
        let present = || {
            wanted.iter().filter_map(|value| match value {
                Value::Number(value) => Some(*value),
                _ => None,
            })
        };
        let (min, max) =
            (present().fold(f64::INFINITY, f64::min), present().fold(f64::NEG_INFINITY, f64::max));
        if column.wanted != ColumnType::Category && (feature.min, feature.max) != (min, max) {
            let range = format!("{} to {}", feature.min, feature.max);
            return Some(format!("{}: training saw {range}, not {min} to {max}", column.name));
        }
    }
    if table.fault.is_some() && notes.is_empty() {
        return Some("the fault was not named".into());
    }
    None
}

#[test]
fn five_hundred_generated_tables_are_read_rightly_or_refused() {
    let dir = Workdir::new();
    let mut wrong = Vec::new();
    for seed in 0..N_TABLES {
        let table = Generated::new(seed);
        if let Some(what) = misread(&table, &dir) {
            wrong.push(format!("{seed} {}\n    {what}", table.story));
        }
    }
    assert!(wrong.is_empty(), "{} tables are misread:\n{}", wrong.len(), wrong.join("\n"));
}
