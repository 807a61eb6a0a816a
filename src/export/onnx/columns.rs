//! The columns of a table as inputs of a graph, and the numbers that a recipe makes of them.
//!
//! A number comes in as a number, a boolean as 1 or 0, a date as the seconds since 1970, each missing if NaN; a category
//! comes in as text, missing if empty.

use std::collections::HashMap;

use anyhow::{Result, bail, ensure};

use super::proto::{Attribute, Graph, Kind, Value};
use super::trees::{NO_LEVEL, group_number};
use crate::data::cells::cell::ColumnType;
use crate::data::cells::date::{self, CYCLES, N_PARTS};
use crate::data::cells::feature::Feature;
use crate::data::cells::schema::Schema;
use crate::data::prepare::categories::TargetMeans;
use crate::data::prepare::recipe::{DateParts, Encoding, MAX_LEVEL_SLOTS, Parts as RecipeParts, Recipe};
use crate::model::predictor::Predictor;
use crate::names::quote;

/// The code of a missing value, where it has one.
const MISSING: i64 = -1;

/// Days from the beginning of a cycle of 400 years, far enough back, to 1970-01-01; and the years before year 0.
const DAYS_BEFORE_1970: i64 = 719_468 + N_CYCLES * DAYS_PER_CYCLE;
const YEARS_BEFORE_0: i64 = N_CYCLES * 400;
const N_CYCLES: i64 = 30;
const DAYS_PER_CYCLE: i64 = 146_097;

/// The inputs of a graph.
pub(super) struct Columns<'a> {
    schema: &'a Schema,
    /// Of numbers and booleans side by side, and the place of each column among them.
    numbers: Option<Value>,
    place: HashMap<usize, i64>,
    /// The parts of dates that were made, by column and what a missing one is filled with.
    dates: HashMap<(usize, u64), Vec<Value>>,
}

/// One column after the other of what a recipe makes.
struct Pieces {
    values: Vec<Value>,
    /// The columns of `values`, side by side, that become the slots in turn.
    slots: Vec<i64>,
    n: i64,
}

impl Pieces {
    /// Adds a value of `width` columns; returns the first.
    fn push(&mut self, value: Value, width: usize) -> i64 {
        self.values.push(value);
        self.n += width as i64;
        self.n - width as i64
    }

    /// Adds a value whose columns are the next slots.
    fn push_slots(&mut self, value: Value, width: usize) {
        let first = self.push(value, width);
        self.slots.extend(first..first + width as i64);
    }
}

impl<'a> Columns<'a> {
    /// Adds the columns to the graph.
    ///
    /// # Errors
    /// A column that the form does not say.
    pub(super) fn add(schema: &'a Schema, graph: &mut Graph) -> Result<Self> {
        let (mut numbers, mut place) = (Vec::new(), HashMap::new());
        for (i, feature) in schema.features.iter().enumerate() {
            let name = feature.name.as_str();
            ensure!(
                !name.is_empty(),
                "an input of ONNX has a name, and a column has none; name it in the table"
            );
            let real = graph.dialect.real;
            let (kind, says) = match feature.column_type {
                ColumnType::Number => (real, "a number; NaN if missing".to_string()),
                ColumnType::Boolean => {
                    let words = feature.words();
                    (real, format!("1 for {}, 0 for {}; NaN if missing", words.text(true), words.text(false)))
                }
                ColumnType::Date => (Kind::Double, "seconds since 1970-01-01 UTC; NaN if missing".into()),
                ColumnType::Category => (Kind::String, "text; empty if missing".into()),
                ColumnType::Text if feature.is_pair() => bail!(
                    "the column {} holds pairs of numbers, which no ONNX operator parses; train with --drop {0}",
                    quote(name)
                ),
                ColumnType::Text => bail!(
                    "the column {} is a text; mlapi stores the terms of texts as hashes, which no ONNX operator computes; \
                     train with --drop {0}, or --type {0}=category",
                    quote(name)
                ),
            };
            let says = match feature.notation {
                Some(notation) if notation.is_of_numbers() => format!("{says}; in the table {notation}"),
                _ => says,
            };
            graph.input(name, kind, &says);
            if matches!(feature.column_type, ColumnType::Number | ColumnType::Boolean) {
                place.insert(i, numbers.len() as i64);
                numbers.push(name.to_string());
            }
        }
        let numbers = (!numbers.is_empty()).then(|| graph.side_by_side(&numbers));
        Ok(Self { schema, numbers, place, dates: HashMap::new() })
    }

    /// What the recipe makes of a row, as the predictor reads it.
    ///
    /// # Errors
    /// A column that the form does not say.
    pub(super) fn encode(
        &mut self,
        graph: &mut Graph,
        recipe: &Recipe,
        predictor: &Predictor,
    ) -> Result<Value> {
        let parts = recipe.parts();
        let raw = recipe.encoding() == Encoding::Raw;
        let mut pieces = Pieces { values: Vec::new(), slots: Vec::new(), n: 0 };
        let mut missing_at = 0;
        if let Some(numbers) = self.numbers.clone() {
            let (made, missing) = self.numbers_made(graph, &numbers, &parts, raw);
            pieces.push(made, self.place.len());
            if let Some(missing) = missing {
                missing_at = pieces.push(missing, self.place.len());
            }
        }
        let features = &self.schema.features;
        let (mut n_dates, mut n_levels, mut n_means) = (0, 0, 0);
        for (i, feature) in features.iter().enumerate() {
            let marks_missing = parts.indicator.get(i) == Some(&1);
            match feature.column_type {
                ColumnType::Number | ColumnType::Boolean => {
                    pieces.slots.push(self.place[&i]);
                    if marks_missing {
                        pieces.slots.push(missing_at + self.place[&i]);
                    }
                }
                ColumnType::Date => {
                    let fill = if raw { f64::NAN } else { parts.fill[i] };
                    let (value, width) = self.date(graph, i, &parts.dates[n_dates], recipe.encoding(), fill);
                    pieces.push_slots(value, width);
                    n_dates += 1;
                    if marks_missing {
                        let missing = graph.op("IsNaN", &[&feature.name]);
                        let missing = graph.as_real(&missing);
                        pieces.push_slots(missing, 1);
                    }
                }
                ColumnType::Category => {
                    let means = if feature.levels.len() > MAX_LEVEL_SLOTS {
                        parts.target_means.get(n_means)
                    } else {
                        None
                    };
                    n_means += usize::from(means.is_some());
                    if raw {
                        let code = self.level_number(graph, i, predictor);
                        pieces.push_slots(code, 1);
                        self.means(graph, feature, means, &mut pieces);
                        continue;
                    }
                    let own = &parts.level_slot[n_levels..n_levels + feature.levels.len()];
                    n_levels += feature.levels.len();
                    if parts.fill[i].is_nan() {
                        Self::closed(graph, feature, own, &mut pieces);
                        continue;
                    }
                    self.one_hot(graph, feature, own, means, marks_missing, &mut pieces);
                }
                ColumnType::Text => bail!("the column {} is a text", quote(&feature.name)),
            }
        }
        for &[from, to] in &parts.date_pairs {
            let between = graph.op("Sub", &[&features[to].name, &features[from].name]);
            let day = graph.double(date::SECONDS_A_DAY);
            let days = graph.op("Div", &[&between, &day]);
            let days = graph.as_real(&days);
            pieces.push_slots(days, 1);
        }
        ensure!(
            pieces.slots.len() == recipe.n_slots(),
            "the recipe makes {} numbers, of which the form says {}",
            recipe.n_slots(),
            pieces.slots.len()
        );
        let all = graph.side_by_side(&pieces.values);
        let in_order = pieces.slots.iter().copied().eq(0..pieces.n);
        Ok(if in_order { all } else { graph.columns(&all, &pieces.slots) })
    }

    /// Numbers and booleans as the predictor reads them, and whether each is missing, if that is asked for.
    fn numbers_made(
        &self,
        graph: &mut Graph,
        numbers: &str,
        parts: &RecipeParts,
        raw: bool,
    ) -> (Value, Option<Value>) {
        let n = self.place.len();
        let of = |values: &[f64]| {
            let mut own = vec![0.0; n];
            self.place.iter().for_each(|(&feature, &at)| own[at as usize] = values[feature]);
            own
        };
        if raw {
            if !parts.zero_is_missing.contains(&1) {
                return (numbers.into(), None);
            }
            // Below 0 no number is near 0.
            let limit = |&zero: &u8| if zero == 1 { f64::from(1e-35_f32) } else { -1.0 };
            let limits: Vec<f64> = parts.zero_is_missing.iter().map(limit).collect();
            let (limits, none) = (graph.reals(&[n], &of(&limits)), graph.real(f64::NAN));
            let size = graph.op("Abs", &[numbers]);
            let is_zero = graph.op("LessOrEqual", &[&size, &limits]);
            return (graph.op("Where", &[&is_zero, &none, numbers]), None);
        }
        let missing = graph.op("IsNaN", &[numbers]);
        let fill = graph.reals(&[n], &of(&parts.fill));
        let filled = graph.op("Where", &[&missing, &fill, numbers]);
        let mean = graph.reals(&[n], &of(&parts.mean));
        let centred = graph.op("Sub", &[&filled, &mean]);
        let scale = graph.reals(&[n], &of(&parts.scale));
        let scaled = graph.op("Div", &[&centred, &scale]);
        let is_marked = self.place.keys().any(|&feature| parts.indicator[feature] == 1);
        (scaled, is_marked.then(|| graph.as_real(&missing)))
    }

    /// The level of a category as trees or naive Bayes read it.
    fn level_number(&self, graph: &mut Graph, i: usize, predictor: &Predictor) -> Value {
        let feature = &self.schema.features[i];
        if let Predictor::Trees(trees) = predictor {
            let parts = trees.parts();
            let first: usize = parts.levels[..i.min(parts.levels.len())].iter().map(|&n| n as usize).sum();
            let number =
                |level: usize| parts.groups.get(first + level).map_or(NO_LEVEL, |&group| group_number(group));
            let keys = feature.levels.iter().map(String::as_str).collect();
            let values = (0..feature.levels.len()).map(number).collect();
            let number = graph.ml(
                "LabelEncoder",
                &[&feature.name],
                vec![
                    ("keys_strings", Attribute::Texts(keys)),
                    ("values_floats", Attribute::Floats(values)),
                    ("default_float", Attribute::Float(NO_LEVEL)),
                ],
            );
            return if graph.dialect.real == Kind::Float { number } else { graph.as_real(&number) };
        }
        let place = self.place_of_level(graph, feature);
        graph.as_real(&place)
    }

    /// The place of the level of a category among its levels; their number if it is missing or unseen.
    fn place_of_level(&self, graph: &mut Graph, feature: &Feature) -> Value {
        let n = feature.levels.len() as i64;
        code(graph, feature, (0..n).collect(), n, &[])
    }

    /// The mean of the target within the level.
    fn means(&self, graph: &mut Graph, feature: &Feature, means: Option<&TargetMeans>, pieces: &mut Pieces) {
        let Some(means) = means else { return };
        let width = means.n_outputs();
        let table = graph.reals(&[means.values().len() / width, width], means.values());
        let place = self.place_of_level(graph, feature);
        let value = row_of(graph, &table, &place);
        pieces.push_slots(value, width);
    }

    /// A slot for each level; what is none of them, or missing, makes its slots no numbers.
    fn closed(graph: &mut Graph, feature: &Feature, slot_of_level: &[u32], pieces: &mut Pieces) {
        let other = feature.levels.len() as i64;
        let slots = slot_of_level.iter().map(|&slot| i64::from(slot)).collect();
        let slot = code(graph, feature, slots, other, &[]);
        let wanted: Vec<i64> = (0..=other).collect();
        let wanted = graph.ints(&[1, wanted.len()], &wanted);
        let is = graph.op("Equal", &[&slot, &wanted]);
        let is = graph.as_real(&is);
        let (other, none) = (graph.int(other), graph.real(f64::NAN));
        let is_refused = graph.op("Equal", &[&slot, &other]);
        let value = graph.op("Where", &[&is_refused, &none, &is]);
        pieces.push_slots(value, feature.levels.len() + 1);
    }

    /// A slot for each level, and that of a missing value.
    fn one_hot(
        &self,
        graph: &mut Graph,
        feature: &Feature,
        slot_of_level: &[u32],
        means: Option<&TargetMeans>,
        marks_missing: bool,
        pieces: &mut Pieces,
    ) {
        let other = feature.levels.len().min(MAX_LEVEL_SLOTS);
        let slots = slot_of_level.iter().map(|&slot| i64::from(slot).min(other as i64)).collect();
        let nulls = self.schema.null_tokens.of(&feature.name).texts();
        let nulls: Vec<&str> = nulls.chain(feature.nulls.iter().map(String::as_str)).collect();
        let slot = code(graph, feature, slots, other as i64, &nulls);
        let mut wanted: Vec<i64> = (0..=other as i64).collect();
        if marks_missing && means.is_none() {
            wanted.push(MISSING);
        }
        let is = |graph: &mut Graph, wanted: &[i64]| {
            let wanted = graph.ints(&[1, wanted.len()], wanted);
            let is = graph.op("Equal", &[&slot, &wanted]);
            graph.as_real(&is)
        };
        let value = is(graph, &wanted);
        pieces.push_slots(value, wanted.len());
        if means.is_some() {
            self.means(graph, feature, means, pieces);
            if marks_missing {
                let value = is(graph, &[MISSING]);
                pieces.push_slots(value, 1);
            }
        }
    }

    /// The slots of a date, and how many they are.
    fn date(
        &mut self,
        graph: &mut Graph,
        i: usize,
        parts: &DateParts,
        encoding: Encoding,
        fill: f64,
    ) -> (Value, usize) {
        let name = &self.schema.features[i].name;
        let of_calendar =
            self.dates.entry((i, fill.to_bits())).or_insert_with(|| calendar(graph, name, fill));
        let mut values = Vec::new();
        let mut width = 0;
        for (part, cyclic) in parts.kept(encoding) {
            let value = &of_calendar[part];
            let (mean, scale) = (graph.double(parts.mean[part]), graph.double(parts.scale[part]));
            let centred = graph.op("Sub", &[value, &mean]);
            let scaled = graph.op("Div", &[&centred, &scale]);
            values.push(graph.as_real(&scaled));
            width += 1;
            if cyclic {
                let n = CYCLES[part] as usize + 1;
                let angles = |at: usize| {
                    let (sin, cos) = (std::f64::consts::TAU * at as f64 / CYCLES[part]).sin_cos();
                    [sin, cos]
                };
                let table: Vec<f64> = (0..n).flat_map(angles).collect();
                let table = graph.reals(&[n, 2], &table);
                let place = graph.cast(value, Kind::Int64);
                values.push(row_of(graph, &table, &place));
                width += 2;
            }
        }
        (graph.side_by_side(&values), width)
    }
}

/// A whole number for the level of a category, `other` for an unseen one, that of a missing value for `nulls`.
fn code(graph: &mut Graph, feature: &Feature, mut values: Vec<i64>, other: i64, nulls: &[&str]) -> Value {
    let mut keys: Vec<&str> = feature.levels.iter().map(String::as_str).collect();
    for null in nulls {
        if !keys.contains(null) {
            keys.push(null);
            values.push(MISSING);
        }
    }
    graph.ml(
        "LabelEncoder",
        &[&feature.name],
        vec![
            ("keys_strings", Attribute::Texts(keys)),
            ("values_int64s", Attribute::Ints(values)),
            ("default_int64", Attribute::Int(other)),
        ],
    )
}

/// The row of a table at a place, given as a column.
fn row_of(graph: &mut Graph, table: &str, place: &str) -> Value {
    let one = graph.ints(&[1], &[1]);
    let place = graph.op("Squeeze", &[place, &one]);
    graph.op_with("Gather", &[table, &place], vec![("axis", Attribute::Int(0))])
}

/// The parts of a date, in the order of `date::PART_NAMES`, in double precision; missing if the fill is.
///
/// Days become years and months by whole numbers alone (Hinnant, "chrono-compatible low-level date algorithms":
/// `civil_from_days`).
fn calendar(graph: &mut Graph, name: &str, fill: f64) -> Vec<Value> {
    let missing = graph.op("IsNaN", &[name]);
    let filled = graph.double(if fill.is_nan() { 0.0 } else { fill });
    let seconds = graph.op("Where", &[&missing, &filled, name]);
    let day = graph.double(date::SECONDS_A_DAY);
    let elapsed = graph.op("Div", &[&seconds, &day]);
    let days = graph.op("Floor", &[&elapsed]);
    let hour = {
        let midnight = graph.op("Mul", &[&days, &day]);
        let seconds = graph.op("Sub", &[&seconds, &midnight]);
        let hour = graph.double(3600.0);
        let hours = graph.op("Div", &[&seconds, &hour]);
        graph.op("Floor", &[&hours])
    };
    let days = graph.cast(&days, Kind::Int64);
    // From Thursday.
    let from_monday = with(graph, "Add", &days, 3 + 7 * DAYS_BEFORE_1970);
    let weekday = with(graph, "Mod", &from_monday, 7);
    let weekday = with(graph, "Add", &weekday, 1);
    let from_start = with(graph, "Add", &days, DAYS_BEFORE_1970);
    let cycle = with(graph, "Div", &from_start, DAYS_PER_CYCLE);
    let of_cycle = with(graph, "Mod", &from_start, DAYS_PER_CYCLE);
    let [leap_4, leap_100, leap_400] =
        [1460, 36_524, 146_096].map(|days| with(graph, "Div", &of_cycle, days));
    let first_year = with(graph, "Mul", &cycle, 400);
    let first_year = with(graph, "Sub", &first_year, YEARS_BEFORE_0);
    let without = graph.op("Sub", &[&of_cycle, &leap_4]);
    let without = graph.op("Add", &[&without, &leap_100]);
    let without = graph.op("Sub", &[&without, &leap_400]);
    let year_of_cycle = with(graph, "Div", &without, 365);
    let days_of_years = with(graph, "Mul", &year_of_cycle, 365);
    let [leap_4, leap_100] = [4, 100].map(|years| with(graph, "Div", &year_of_cycle, years));
    let days_of_years = graph.op("Add", &[&days_of_years, &leap_4]);
    let days_of_years = graph.op("Sub", &[&days_of_years, &leap_100]);
    // Days and months are counted from March.
    let of_year = graph.op("Sub", &[&of_cycle, &days_of_years]);
    let from_march = with(graph, "Mul", &of_year, 5);
    let from_march = with(graph, "Add", &from_march, 2);
    let from_march = with(graph, "Div", &from_march, 153);
    let before = with(graph, "Mul", &from_march, 153);
    let before = with(graph, "Add", &before, 2);
    let before = with(graph, "Div", &before, 5);
    let month = with(graph, "Add", &from_march, 2);
    let month = with(graph, "Mod", &month, 12);
    let month = with(graph, "Add", &month, 1);
    let of_month = graph.op("Sub", &[&of_year, &before]);
    let of_month = with(graph, "Add", &of_month, 1);
    let is_next = with(graph, "LessOrEqual", &month, 2);
    let is_next = graph.cast(&is_next, Kind::Int64);
    let year = graph.op("Add", &[&first_year, &year_of_cycle]);
    let year = graph.op("Add", &[&year, &is_next]);
    let mut parts: Vec<Value> =
        [year, month, of_month, weekday].iter().map(|part| graph.cast(part, Kind::Double)).collect();
    parts.extend([hour, elapsed]);
    debug_assert_eq!(parts.len(), N_PARTS);
    if fill.is_nan() {
        let none = graph.double(f64::NAN);
        parts.iter_mut().for_each(|part| *part = graph.op("Where", &[&missing, &none, part]));
    }
    parts
}

fn with(graph: &mut Graph, operator: &str, value: &str, number: i64) -> Value {
    let number = graph.int(number);
    graph.op(operator, &[value, &number])
}
