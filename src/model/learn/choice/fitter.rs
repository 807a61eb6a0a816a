//! Schema, recipe and predictor fitted on some rows of the training file and nothing but those rows: the fit of a
//! training, of a fold of cross-validation and of a trial of tuning.

use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, ensure};

use super::candidates::RIDGE_PATH;
use crate::data::cells::cell::{ColumnType, NullTokens, Task};
use crate::data::cells::feature::Feature;
use crate::data::cells::matrix::Matrix;
use crate::data::cells::notation::Notation;
use crate::data::cells::raw_table::{RawTable, place};
use crate::data::cells::schema::Schema;
use crate::data::cells::sparse::Sparse;
use crate::data::cells::table::Column;
use crate::data::cells::target::Truth;
use crate::data::prepare::categories::Known;
use crate::data::prepare::recipe::{Encoding, MAX_LEVEL_SLOTS, Recipe, Slot, TextForm};
use crate::data::prepare::vocabulary::MAX_DENSE_TERMS;
use crate::data::training_set::TrainingSet;
use crate::model::learn::algorithm::{Columns, Path, TargetScale};
use crate::model::learn::dataset::{Direction, Unusable};
use crate::model::learn::hyperparameter::MONOTONIC;
use crate::model::learn::{Dataset, Fit, Labels, Spec, Watch, algorithm, balanced_weights, usage};
use crate::model::pipeline::{Member, Pipeline};
use crate::model::postprocessing::Postprocessing;
use crate::model::target_transform::TargetTransform;
use crate::names::did_you_mean;
use crate::plain;

/// Most numbers of a model that has some for each input and class: one gigabyte, of which fitting needs a few.
const MAX_NUMBERS: usize = 1 << 27;

/// A training file as it is to be fitted, whatever the rows and the algorithm.
pub(crate) struct Fitter<'a> {
    /// Its rows that have a target, as typed columns.
    pub set: &'a TrainingSet,
    /// The file itself, for its notation and for the places of its rows.
    pub raw: &'a RawTable,
    /// Texts that mean "no value" in it.
    pub nulls: &'a NullTokens,
    /// The columns whose values are private.
    pub private: &'a [String],
    /// Whether every class counts the same.
    pub balance: bool,
    /// Seed of all random choices.
    pub seed: u64,
}

/// Rows of a level, in the mean, from which a category tells more than the names of the rows.
const MIN_ROWS_OF_LEVEL: usize = 8;

/// Whether the values of a feature hardly come again in that many training rows.
fn is_high_cardinality(feature: &Feature, n_rows: usize) -> bool {
    match feature.column_type {
        ColumnType::Category => feature.levels.len() * MIN_ROWS_OF_LEVEL > n_rows,
        ColumnType::Text => !feature.takes_arrays(),
        _ => false,
    }
}

/// What a learner is told of the columns of prepared rows; nothing if they are standardised.
#[derive(Default)]
pub(crate) struct Inputs {
    levels: Vec<usize>,
    types: Vec<ColumnType>,
    directions: Vec<Direction>,
}

impl Inputs {
    /// `directions`: of each feature.
    pub(crate) fn of(schema: &Schema, recipe: &Recipe, directions: &[Direction]) -> Self {
        let mut inputs = Self::default();
        if recipe.encoding() != Encoding::Raw {
            return inputs;
        }
        let n_dense = recipe.n_slots() - recipe.n_sparse();
        for (index, part) in recipe.slots().into_iter().take(n_dense) {
            let feature = &schema.features[index];
            // A part of what a column holds, such as the count of a word, is a number.
            let is_whole = part == Slot::Value;
            inputs.levels.push(if is_whole { feature.levels.len() } else { 0 });
            inputs.types.push(if is_whole { feature.column_type } else { ColumnType::Number });
            inputs.directions.push(if is_whole { directions[index] } else { Direction::Free });
        }
        inputs
    }

    /// Rows of these columns, of equal weight, and seed 0.
    pub(crate) fn dataset<'a>(&'a self, x: &'a Matrix, y: Labels<'a>) -> Dataset<'a> {
        Dataset {
            levels: &self.levels,
            types: &self.types,
            directions: &self.directions,
            ..Dataset::new(x, y)
        }
    }
}

/// Makes the slots of features that are not used 0 in all rows: no tree splits on them, and a penalised linear model gives
/// them no weight.
fn leave_out(x: &mut Matrix, recipe: &Recipe, is_used: &[bool]) {
    let slots: Vec<bool> = recipe.slots().iter().map(|(feature, _)| is_used[*feature]).collect();
    let (dense, sparse) = slots.split_at(x.n_cols());
    for row in 0..x.n_rows() {
        let values = x.row_mut(row).iter_mut().zip(dense).filter(|(_, is_used)| !**is_used);
        values.for_each(|(value, _)| *value = 0.0);
    }
    if sparse.contains(&false) {
        let mut left = Sparse::new(x.sparse().n_cols());
        for row in 0..x.n_rows() {
            let (columns, values) = x.sparse().row(row);
            for (&column, &value) in
                columns.iter().zip(values).filter(|(column, _)| sparse[**column as usize])
            {
                left.push(column, value);
            }
            left.end_row();
        }
        x.set_sparse(left);
    }
}

/// The result of a fit.
pub(crate) struct Fitted {
    /// The fitted model.
    pub pipeline: Pipeline,
    /// Notes for the user.
    pub notes: Vec<String>,
}

impl Fitter<'_> {
    /// Fits on `rows` of the table; `truth`: of those rows.
    ///
    /// # Errors
    /// Rows that cannot be learned from.
    pub(crate) fn fit(
        &self,
        spec: &Spec,
        rows: &[usize],
        truth: &Truth,
        watch: &dyn Watch,
    ) -> Result<Fitted> {
        if let (TargetScale::Residuals, Truth::Values(values)) = (spec.scale, truth) {
            return self.fit_residuals(spec, rows, values, watch);
        }
        let learn = |x, data: &Dataset| Ok(vec![spec.fit_owned(x, data, watch)?]);
        let fitted = self.fit_as(spec, rows, truth, &learn)?;
        fitted.into_iter().next().context("a fit has a result")
    }

    /// As [`Fitter::fit`] with each of the values of a path.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn fit_path(
        &self,
        spec: &Spec,
        path: &Path,
        rows: &[usize],
        truth: &Truth,
        watch: &dyn Watch,
    ) -> Result<Vec<Fitted>> {
        let learn = |x: Matrix, data: &Dataset| spec.fit_path(path, &Dataset { x: &x, ..*data }, watch);
        self.fit_as(spec, rows, truth, &learn)
    }

    /// A ridge regression, whose penalty is found on a part of the rows, and a fit of what it leaves over: a blend in halves
    /// of both with their predictions doubled, which is their sum. The ridge regression is the first member.
    fn fit_residuals(
        &self,
        spec: &Spec,
        rows: &[usize],
        values: &[f64],
        watch: &dyn Watch,
    ) -> Result<Fitted> {
        let ridge = Spec::new(algorithm("ridge")?, Task::Regression, &[])?;
        let truth_of = |part: &[usize]| Truth::Values(part.iter().map(|&i| values[i]).collect());
        let rows_of = |part: &[usize]| -> Vec<usize> { part.iter().map(|&i| rows[i]).collect() };
        let (fitted, other): (Vec<usize>, Vec<usize>) = (0..rows.len()).partition(|i| i % 4 != 0);
        let path = self.fit_path(&ridge, &RIDGE_PATH, &rows_of(&fitted), &truth_of(&fitted), watch)?;
        let mut best = (f64::INFINITY, 0);
        for (index, Fitted { pipeline, .. }) in path.iter().enumerate() {
            let predicted = pipeline.scores(&pipeline.schema.codes(&self.set.table, &rows_of(&other))?);
            let squares = predicted.values().iter().zip(&other).map(|(p, &i)| (p - values[i]).powi(2));
            let loss: f64 = squares.sum();
            if loss < best.0 {
                best = (loss, index);
            }
        }
        let whole = Truth::Values(values.to_vec());
        let linear = self.fit(&ridge.at(&RIDGE_PATH, best.1), rows, &whole, watch)?.pipeline;
        let predicted = linear.scores(&linear.schema.codes(&self.set.table, rows)?);
        let left = values.iter().zip(predicted.values()).map(|(value, p)| value - p).collect();
        let as_it_is = Spec { scale: TargetScale::AsItIs, ..spec.clone() };
        let fitted = self.fit(&as_it_is, rows, &Truth::Values(left), watch)?;
        let mut pipeline = Pipeline::blend(vec![linear, fitted.pipeline], &[0.5, 0.5])?;
        for member in &mut pipeline.members {
            member.target = TargetTransform::Standardised { mean: 0.0, scale: 2.0 };
        }
        Ok(Fitted { pipeline, notes: fitted.notes })
    }

    /// The fits that `learn` makes of prepared rows.
    fn fit_as(
        &self,
        spec: &Spec,
        rows: &[usize],
        truth: &Truth,
        learn: &dyn Fn(Matrix, &Dataset) -> Result<Vec<Fit>>,
    ) -> Result<Vec<Fitted>> {
        let transform = match (truth, spec.scale) {
            (Truth::Values(values), TargetScale::Standardised) => TargetTransform::standardised(values),
            (Truth::Values(values), TargetScale::Log) => {
                TargetTransform::log(values).context("a target below 0 has no logarithm")?
            }
            (Truth::Values(values), TargetScale::YeoJohnson) => TargetTransform::yeo_johnson(values),
            (Truth::Values(values), TargetScale::Rank) => TargetTransform::rank(values),
            _ => TargetTransform::Identity,
        };
        let given = truth;
        let transformed = match truth {
            Truth::Values(values) if !transform.is_identity() => {
                Some(Truth::Values(values.iter().map(|&value| transform.apply(value)).collect()))
            }
            _ => None,
        };
        let truth = transformed.as_ref().unwrap_or(given);
        let target = self.set.target.clone();
        let mut schema =
            Schema::fit(&self.set.table, &self.set.features, target, self.set.ignored.to_vec(), rows);
        schema.header = !self.raw.no_header;
        schema.delimiter = self.raw.delimiter;
        schema.decimal_comma = self.raw.decimal_comma;
        schema.null_tokens = self.nulls.clone();
        let mut schema = schema.indexed();
        schema.features.iter_mut().for_each(|feature| feature.private = self.private.contains(&feature.name));
        let codes = schema.codes(&self.set.table, rows)?;
        let form = if spec.reads_sparse() { TextForm::Sparse } else { TextForm::Dense(truth) };
        let mut weights: Option<Vec<f64>> =
            self.set.weights.as_ref().map(|weights| rows.iter().map(|&row| weights[row]).collect());
        let arrangement = self.set.arrangement.select(rows);
        let groups = arrangement.groups();
        let known = Known { truth, weights: weights.as_deref(), groups, seed: self.seed };
        let known = spec.reads_target_means().then_some(known);
        let (recipe, out_of_fold) =
            Recipe::fit_to(&schema, spec.algorithm.encoding, &codes, form, known.as_ref());
        ensure!(
            recipe.n_slots() > 0,
            "the training rows hold no word at all; a model needs at least one column with values"
        );
        if let (true, Truth::Classes { labels, .. }) = (spec.reads_sparse(), truth) {
            let n_numbers = recipe.n_slots() * labels.len();
            ensure!(
                n_numbers <= MAX_NUMBERS,
                "{} would have {n_numbers} numbers, one for each of {} words, levels and columns in each of {} classes, \
                 and at most {MAX_NUMBERS} are learned; drop the texts (--drop COL) or join rare classes",
                spec.algorithm.name,
                recipe.n_slots(),
                labels.len()
            );
        }
        // Freed by learners that read it once, before they need memory of their own.
        let mut x = recipe.encode_owned(codes);
        // No row is told by its own target.
        out_of_fold.write_into(&mut x);
        if spec.columns == Columns::LowCardinality {
            let is_used: Vec<bool> =
                schema.features.iter().map(|feature| !is_high_cardinality(feature, rows.len())).collect();
            leave_out(&mut x, &recipe, &is_used);
        }
        if let (true, Truth::Classes { codes, labels }) = (self.balance, truth) {
            let balanced = balanced_weights(codes, labels.len(), weights.as_deref());
            weights = Some(balanced);
        }
        let inputs = Inputs::of(&schema, &recipe, &self.directions(spec)?);
        let (weights, seed) = (weights.as_deref(), self.seed);
        let no_rows = Matrix::default();
        let data = Dataset {
            weights,
            groups,
            times: arrangement.times(),
            seed,
            ..inputs.dataset(&no_rows, truth.into())
        };
        let fits = learn(x, &data)
            .map_err(|error| match error.downcast::<Unusable>() {
                Ok(unusable) => self.explain(&unusable, &recipe, rows),
                Err(error) => error,
            })
            .with_context(|| format!("{} cannot be fitted", spec.algorithm.name))?;
        let recipe = Arc::new(recipe);
        let fitted = |fit: Fit| {
            let member = Member {
                weight: 1.0,
                recipe: Arc::clone(&recipe),
                predictor: fit.predictor,
                target: transform.clone(),
            };
            let mut pipeline = Pipeline {
                schema: schema.clone(),
                members: vec![member],
                postprocessing: Postprocessing::default(),
            };
            if let (true, Truth::Values(values)) = (transform.is_curved(), given) {
                let predicted = pipeline.scores(&pipeline.schema.codes(&self.set.table, rows)?);
                let unbiased = transform.unbiased(predicted.values(), values);
                pipeline.members.iter_mut().for_each(|member| member.target = unbiased.clone());
            }
            pipeline.validate().context("the fitted model is not usable")?;
            Ok(Fitted { pipeline, notes: fit.notes })
        };
        fits.into_iter().map(fitted).collect()
    }

    /// The direction of each feature, as the setting `monotonic` gives it.
    ///
    /// # Errors
    /// A usage error for a column that is no feature, is named twice, or whose values have no order.
    pub(crate) fn directions(&self, spec: &Spec) -> Result<Vec<Direction>> {
        let mut directions = vec![Direction::Free; self.set.features.len()];
        for (name, direction) in spec.settings.directions(MONOTONIC) {
            let wrong = |why: String| Err(usage(format!("--set {MONOTONIC}: {why}")));
            let is_it = |&(index, _): &(usize, ColumnType)| plain::same(&self.set.table.names[index], &name);
            let Some(at) = self.set.features.iter().position(is_it) else {
                if let Some(ignored) =
                    self.set.ignored.iter().find(|ignored| plain::same(&ignored.name, &name))
                {
                    return wrong(format!("column {name:?} is not used ({})", ignored.reason));
                }
                let features =
                    self.set.features.iter().map(|&(index, _)| self.set.table.names[index].as_str());
                return wrong(format!("{name:?} is not a feature{}", did_you_mean(&name, features)));
            };
            let column_type = self.set.features[at].1;
            if column_type != ColumnType::Number {
                return wrong(format!(
                    "column {name:?} is read as {}, and a direction is for numbers (--type {name:?}=number reads it as \
                     such)",
                    column_type.name()
                ));
            }
            if directions[at] != Direction::Free {
                return wrong(format!("column {name:?} is named twice"));
            }
            directions[at] = direction;
        }
        Ok(directions)
    }

    /// The cell that made a prepared value unusable, and what may be done about it.
    fn explain(&self, unusable: &Unusable, recipe: &Recipe, rows: &[usize]) -> anyhow::Error {
        let (index, _) = self.set.features[recipe.slots()[unusable.slot].0];
        let name = &self.set.table.names[index];
        let place =
            |row: usize| place(self.set.table.lines.get(row), &self.raw.files, &self.set.table.source);
        // One large number moves the mean of its column, and so every value.
        let Column::Number(values) = &self.set.table.columns[index] else {
            return anyhow!("{}, column {name:?}: {unusable}", place(rows[unusable.row]));
        };
        let size = |row: &usize| values[*row].abs();
        let present = rows.iter().copied().filter(|&row| !values[row].is_nan());
        let largest = present.reduce(|a, b| if size(&b) > size(&a) { b } else { a });
        let row = largest.unwrap_or(rows[unusable.row]);
        anyhow!(
            "{}, column {name:?}: {:e} is too large to be squared and summed up; if it means \"no value\", --null TOKEN \
             with the text of the cell says so; else give the column in a larger unit, drop it (--drop {name:?}), or \
             choose trees, which only compare (--algorithm random-forest)",
            place(row),
            values[row]
        )
    }

    /// Whether some features, but not all, have values that hardly come again in that many rows.
    pub(crate) fn has_high_cardinality(&self, n_rows: usize) -> bool {
        let is_high = |&(index, column_type): &(usize, ColumnType)| match &self.set.table.columns[index] {
            Column::Category { levels, .. } => levels.len() * MIN_ROWS_OF_LEVEL > n_rows,
            Column::Text { .. } => column_type == ColumnType::Text,
            _ => false,
        };
        let n = self.set.features.iter().filter(|feature| is_high(feature)).count();
        n > 0 && n < self.set.features.len()
    }

    /// About how many numbers a standardised row is: one per column, and one per level of a category.
    pub(crate) fn n_slots(&self) -> usize {
        let slots = |&(index, _): &(usize, ColumnType)| match &self.set.table.columns[index] {
            // Up to six parts, three of them with a sine and a cosine.
            Column::Written { notation: Notation::Date(_), .. } => 12,
            Column::Number(_) | Column::Written { .. } => 1,
            Column::Text { .. } => MAX_DENSE_TERMS,
            Column::Category { levels, .. } => levels.len().min(MAX_LEVEL_SLOTS) + 1,
        };
        self.set.features.iter().map(slots).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::cells::table::Table;
    use crate::data::cells::target::Target;
    use crate::model::learn::Unwatched;
    use crate::model::learn::choice::tests::training_set;

    /// Numbers and a category; `rows` are taken of it, in this order.
    fn table(rows: &[usize]) -> Table {
        let columns = vec![
            Column::Number(rows.iter().map(|&row| (row * 37 % 101) as f64).collect()),
            Column::Category {
                codes: rows.iter().map(|&row| (row * 7 % 5) as u32).collect(),
                levels: ["a", "b", "c", "d", "e"].map(String::from).to_vec(),
            },
        ];
        let names = vec!["x".into(), "c".into()];
        Table { source: "t.csv".into(), names, columns, lines: vec![2; rows.len()].into() }
    }

    fn truth_of(rows: &[usize]) -> Truth {
        let code = |&row: &usize| u32::from(row * 37 % 101 > 40 || row % 7 == 0);
        Truth::Classes { codes: rows.iter().map(code).collect(), labels: vec!["no".into(), "yes".into()] }
    }

    /// Fits on `rows` of the table.
    fn fit(
        table: &Table,
        weights: Option<&[f64]>,
        balance: bool,
        rows: &[usize],
        truth: &Truth,
        name: &str,
    ) -> Fitted {
        let all = truth_of(&(0..table.lines.len()).collect::<Vec<_>>());
        let set = TrainingSet { weights: weights.map(<[f64]>::to_vec), ..training_set(table.clone(), all) };
        let raw = RawTable { no_header: true, decimal_comma: true, delimiter: b';', ..RawTable::default() };
        let fitter = Fitter {
            set: &set,
            raw: &raw,
            nulls: &NullTokens::with(vec!["-9".into()]),
            private: &[],
            balance,
            seed: 3,
        };
        // A number and five levels with one for all others.
        assert_eq!(fitter.n_slots(), 7);
        let spec = Spec::new(algorithm(name).unwrap(), Task::Classification, &[]).unwrap();
        fitter.fit(&spec, rows, truth, &Unwatched).unwrap()
    }

    const ALGORITHMS: [&str; 2] = ["logistic-regression", "decision-tree"];

    #[test]
    fn a_fit_on_some_rows_knows_nothing_of_the_others() {
        let all: Vec<usize> = (0..120).collect();
        let some: Vec<usize> = (0..120).filter(|row| row % 3 != 1).collect();
        let weights: Vec<f64> = (0..120).map(|row| 1.0 + (row % 4) as f64).collect();
        let of_some: Vec<f64> = some.iter().map(|&row| weights[row]).collect();
        let in_order: Vec<usize> = (0..some.len()).collect();
        for name in ALGORITHMS {
            let part = fit(&table(&all), Some(&weights), true, &some, &truth_of(&some), name).pipeline;
            let alone = fit(&table(&some), Some(&of_some), true, &in_order, &truth_of(&some), name).pipeline;
            let (part, alone) = (&part.members[0], &alone.members[0]);
            assert!(part.recipe == alone.recipe && part.predictor == alone.predictor, "{name}");
        }
    }

    #[test]
    fn what_ridge_leaves_over_is_added_to_it() {
        // Steps on a slope that goes on beyond the training rows.
        let n = 400;
        let value = |i: usize| (i * 37 % n) as f64;
        let y = |x: f64| 3.0 * x + if (x as usize).is_multiple_of(2) { 40.0 } else { 0.0 };
        let columns = vec![
            Column::Number((0..n).map(value).collect()),
            Column::Category {
                codes: (0..n).map(|i| (value(i) as u32) % 2).collect(),
                levels: ["even", "odd"].map(String::from).to_vec(),
            },
        ];
        let names = vec!["x".into(), "c".into()];
        let table = Table { source: "t.csv".into(), names, columns, lines: vec![2; n].into() };
        let values: Vec<f64> = (0..n).map(|i| y(value(i))).collect();
        let target = Target {
            name: "y".into(),
            task: Task::Regression,
            labels: Vec::new(),
            numeric_labels: false,
            notation: None,
        };
        let set = training_set(table, truth_of(&(0..n).collect::<Vec<_>>()));
        let set = TrainingSet { target, truth: Truth::Values(values.clone()), ..set };
        let (raw, nulls) = (RawTable::default(), NullTokens::default());
        let fitter = Fitter { set: &set, raw: &raw, nulls: &nulls, private: &[], balance: false, seed: 3 };
        let spec = Spec::new(algorithm("gradient-boosting").unwrap(), Task::Regression, &[]).unwrap();
        let spec = Spec { scale: TargetScale::Residuals, ..spec };
        // The upper half is held out.
        let rows: Vec<usize> = (0..n).filter(|&i| value(i) < 200.0).collect();
        let truth = Truth::Values(rows.iter().map(|&i| values[i]).collect());
        let pipeline = fitter.fit(&spec, &rows, &truth, &Unwatched).unwrap().pipeline;
        let all: Vec<usize> = (0..n).collect();
        let codes = pipeline.schema.codes(&set.table, &all).unwrap();
        let worst = (pipeline.scores(&codes).values().iter().zip(&values))
            .map(|(p, y)| (p - y).abs())
            .fold(0.0, f64::max);
        assert!(worst < 10.0, "{worst}");
        let sum: Vec<f64> = (pipeline.members.iter())
            .map(|member| Pipeline {
                schema: pipeline.schema.clone(),
                members: vec![Member { weight: 1.0, target: TargetTransform::Identity, ..member.clone() }],
                postprocessing: Postprocessing::default(),
            })
            .map(|part| part.scores(&codes).values()[0])
            .collect();
        assert!((sum[0] + sum[1] - pipeline.scores(&codes).values()[0]).abs() < 1e-9);
    }

    #[test]
    fn columns_of_low_cardinality_are_learned_as_if_the_others_were_not_there() {
        let n = 160;
        let numbers: Vec<f64> = (0..n).map(|i| (i * 37 % 101) as f64).collect();
        let table = Table {
            source: "t.csv".into(),
            names: vec!["x".into(), "name".into()],
            columns: vec![
                Column::Number(numbers.clone()),
                Column::Category {
                    codes: (0..n).map(|i| (i % 80) as u32).collect(),
                    levels: (0..80).map(|i| format!("name {i:02}")).collect(),
                },
            ],
            lines: vec![2; n].into(),
        };
        let alone =
            Table { names: vec!["x".into()], columns: vec![table.columns[0].clone()], ..table.clone() };
        let values: Vec<f64> = numbers.iter().enumerate().map(|(i, x)| x + (i % 80) as f64).collect();
        let rows: Vec<usize> = (0..n).collect();
        for name in ["ridge", "extra-trees", "gradient-boosting"] {
            let spec = Spec::new(algorithm(name).unwrap(), Task::Regression, &[]).unwrap();
            let fit = |table: &Table, columns| {
                let (task, labels) = (Task::Regression, Vec::new());
                let target = Target { name: "y".into(), task, labels, numeric_labels: false, notation: None };
                let set = training_set(table.clone(), truth_of(&rows));
                let features = set.features[..table.columns.len()].to_vec();
                let set = TrainingSet { target, truth: Truth::Values(values.clone()), features, ..set };
                let (raw, nulls) = (RawTable::default(), NullTokens::default());
                let fitter =
                    Fitter { set: &set, raw: &raw, nulls: &nulls, private: &[], balance: false, seed: 3 };
                assert_eq!(fitter.has_high_cardinality(n), table.columns.len() == 2);
                let fitted = fitter.fit(&Spec { columns, ..spec.clone() }, &rows, &set.truth, &Unwatched);
                let pipeline = fitted.unwrap().pipeline;
                pipeline.scores(&pipeline.schema.codes(table, &rows).unwrap()).values().to_vec()
            };
            let (all, low) = (fit(&table, Columns::All), fit(&table, Columns::LowCardinality));
            let distance =
                |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(distance(&all, &low) > 1.0, "{name}");
            // Which of several columns are tried is drawn for each split.
            if name == "ridge" {
                assert!(distance(&low, &fit(&alone, Columns::All)) < 1e-9);
            }
            let is_told_apart = |i: usize, j: usize| numbers[i] == numbers[j] && low[i] != low[j];
            assert!((0..n).all(|i| (0..n).all(|j| !is_told_apart(i, j))), "{name}");
        }
    }

    #[test]
    fn weights_and_balance_count() {
        let rows: Vec<usize> = (0..120).collect();
        let weights: Vec<f64> = (0..120).map(|row| 1.0 + (row % 4) as f64).collect();
        let (table, truth) = (table(&rows), truth_of(&rows));
        let of = |weights, balance| {
            fit(&table, weights, balance, &rows, &truth, "logistic-regression")
                .pipeline
                .members
                .remove(0)
                .predictor
        };
        let plain = of(None, false);
        assert!(plain != of(Some(&weights), false));
        assert!(plain != of(None, true));
        assert!(plain == of(Some(&[1.0; 120]), false));
    }

    #[test]
    fn the_schema_reads_later_files_as_the_training_file_was_read() {
        let rows: Vec<usize> = (0..60).collect();
        let schema =
            fit(&table(&rows), None, false, &rows, &truth_of(&rows), "decision-tree").pipeline.schema;
        assert_eq!((schema.header, schema.delimiter, schema.decimal_comma), (false, b';', true));
        assert!(schema.null_tokens.texts().any(|token| token == "-9"));
    }

    /// Fits values on all rows of a table whose first column is a number and whose second is a category.
    fn fit_values(table: &Table, values: &[f64], name: &str, scale: TargetScale) -> Result<Fitted> {
        let (task, labels) = (Task::Regression, Vec::new());
        let target = Target { name: "y".into(), task, labels, numeric_labels: false, notation: None };
        let rows: Vec<usize> = (0..values.len()).collect();
        let set = training_set(table.clone(), truth_of(&rows));
        let set = TrainingSet { target, truth: Truth::Values(values.to_vec()), ..set };
        let (raw, nulls) = (RawTable::default(), NullTokens::default());
        let fitter = Fitter { set: &set, raw: &raw, nulls: &nulls, private: &[], balance: false, seed: 3 };
        let spec = Spec { scale, ..Spec::new(algorithm(name).unwrap(), task, &[]).unwrap() };
        fitter.fit(&spec, &rows, &Truth::Values(values.to_vec()), &Unwatched)
    }

    #[test]
    fn a_target_that_is_scaled_for_the_learner_is_predicted_in_its_own_unit() {
        let rows: Vec<usize> = (0..120).collect();
        let table = table(&rows);
        let Column::Number(x) = &table.columns[0] else { panic!("no numbers") };
        let predicted = |values: &[f64], scale| {
            let pipeline = fit_values(&table, values, "linear-regression", scale).unwrap().pipeline;
            pipeline.scores(&pipeline.schema.codes(&table, &rows).unwrap()).values().to_vec()
        };
        let values: Vec<f64> = x.iter().map(|x| 5e4 + 30.0 * x + (x * 7.0).sin() * 100.0).collect();
        // Least squares does not depend on the unit of the target.
        let pairs = [TargetScale::AsItIs, TargetScale::Standardised].map(|scale| predicted(&values, scale));
        for (plain, standardised) in pairs[0].iter().zip(&pairs[1]) {
            assert!((plain - standardised).abs() < 1e-6 * plain.abs(), "{plain} {standardised}");
        }
        // A straight line in the logarithm is found without an error.
        let values: Vec<f64> = x.iter().map(|x| (0.05 * x + 1.0).exp()).collect();
        for (value, found) in values.iter().zip(predicted(&values, TargetScale::Log)) {
            assert!((found - value).abs() < 1e-6 * value, "{found} {value}");
        }
        let below = [&[-1.0][..], &values[1..]].concat();
        let error =
            fit_values(&table, &below, "linear-regression", TargetScale::Log).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("has no logarithm"), "{error}");
    }

    #[test]
    fn a_number_that_is_too_large_is_named_by_its_line_and_column_with_what_helps() {
        let rows: Vec<usize> = (0..40).collect();
        let mut table = table(&rows);
        let Column::Number(x) = &mut table.columns[0] else { panic!("no numbers") };
        x[17] = -1e200;
        let values: Vec<f64> = rows.iter().map(|&row| row as f64).collect();
        let error = fit_values(&table, &values, "ridge", TargetScale::AsItIs).map(|_| ()).unwrap_err();
        let text = format!("{error:#}");
        for part in
            ["ridge cannot be fitted", "t.csv", "column \"x\"", "-1e200", "--null TOKEN", "--drop \"x\""]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        fit_values(&table, &values, "decision-tree", TargetScale::AsItIs).unwrap();
    }
}
