//! Schema, recipe and predictor fitted on some rows of the training file and nothing but those rows: the fit of a
//! training, of a fold of cross-validation and of a trial of tuning.

use anyhow::{Context as _, Result, anyhow, ensure};

use crate::data::cells::cell::{ColumnType, NullTokens};
use crate::data::cells::matrix::Matrix;
use crate::data::cells::notation::Notation;
use crate::data::cells::raw_table::{ReadFile, place};
use crate::data::cells::schema::{Ignored, Schema};
use crate::data::cells::table::{Column, Table};
use crate::data::cells::target::{Target, Truth};
use crate::data::prepare::categories::Known;
use crate::data::prepare::recipe::{Encoding, MAX_LEVEL_SLOTS, Recipe, Slot, TextForm};
use crate::data::prepare::vocabulary::MAX_DENSE_TERMS;
use crate::model::learn::algorithm::TargetScale;
use crate::model::learn::dataset::Unusable;
use crate::model::learn::{Dataset, Labels, Spec, Watch, balanced_weights};
use crate::model::pipeline::Pipeline;
use crate::model::target_transform::TargetTransform;

/// Most numbers of a model that has some for each input and class: one gigabyte, of which fitting needs a few.
const MAX_NUMBERS: usize = 1 << 27;

/// A training file as it is to be fitted, whatever the rows and the algorithm.
pub(crate) struct Fitter<'a> {
    /// Its typed columns.
    pub table: &'a Table,
    /// The files of its rows.
    pub files: &'a [ReadFile],
    /// The columns that are features, with their types.
    pub features: &'a [(usize, ColumnType)],
    /// The columns that are neither feature nor target.
    pub ignored: &'a [Ignored],
    /// The target.
    pub target: &'a Target,
    /// How much each row counts; the same where absent.
    pub weights: Option<&'a [f64]>,
    /// The group of each row; those of one stay together in every split within a fit.
    pub groups: Option<&'a [u32]>,
    /// Whether every class counts the same.
    pub balance: bool,
    /// Seed of all random choices.
    pub seed: u64,
    /// Whether the file has a header.
    pub header: bool,
    /// The byte between two of its fields.
    pub delimiter: u8,
    /// Whether its numbers have a decimal comma.
    pub decimal_comma: bool,
    /// Texts that mean "no value" in it.
    pub nulls: &'a NullTokens,
    /// The columns whose values are private.
    pub private: &'a [String],
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
        let transform = match (truth, spec.scale) {
            (Truth::Values(values), TargetScale::Standardised) => TargetTransform::standardised(values),
            (Truth::Values(values), TargetScale::Log) => {
                TargetTransform::log(values).context("a target below 0 has no logarithm")?
            }
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
        let target = self.target.clone();
        let mut schema = Schema::fit(self.table, self.features, target, self.ignored.to_vec(), rows);
        schema.header = self.header;
        schema.delimiter = self.delimiter;
        schema.decimal_comma = self.decimal_comma;
        schema.null_tokens = self.nulls.clone();
        let mut schema = schema.indexed();
        schema.features.iter_mut().for_each(|feature| feature.private = self.private.contains(&feature.name));
        let codes = schema.codes(self.table, rows)?;
        let form = if spec.reads_sparse() { TextForm::Sparse } else { TextForm::Dense(truth) };
        let mut weights: Option<Vec<f64>> =
            self.weights.as_ref().map(|weights| rows.iter().map(|&row| weights[row]).collect());
        let groups: Option<Vec<u32>> =
            self.groups.as_ref().map(|groups| rows.iter().map(|&row| groups[row]).collect());
        let groups = groups.as_deref();
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
        if let (true, Truth::Classes { codes, labels }) = (self.balance, truth) {
            let balanced = balanced_weights(codes, labels.len(), weights.as_deref());
            weights = Some(balanced);
        }
        let y = match truth {
            Truth::Classes { codes, labels } => Labels::Classes { codes, n_classes: labels.len() },
            Truth::Values(values) => Labels::Values(values),
        };
        let (mut levels, mut types) = (Vec::new(), Vec::new());
        if recipe.encoding() == Encoding::Raw {
            let n_dense = recipe.n_slots() - recipe.n_sparse();
            for (feature, part) in recipe.slots().into_iter().take(n_dense) {
                let feature = &schema.features[feature];
                // A part of what a column holds, such as the count of a word, is a number.
                let is_whole = part == Slot::Value;
                levels.push(if is_whole { feature.levels.len() } else { 0 });
                types.push(if is_whole { feature.column_type } else { ColumnType::Number });
            }
        }
        let (weights, seed) = (weights.as_deref(), self.seed);
        let data =
            Dataset { x: &Matrix::default(), levels: &levels, types: &types, y, weights, groups, seed };
        let fit = spec
            .fit_owned(x, &data, watch)
            .map_err(|error| match error.downcast::<Unusable>() {
                Ok(unusable) => self.explain(&unusable, &recipe, rows),
                Err(error) => error,
            })
            .with_context(|| format!("{} cannot be fitted", spec.algorithm.name))?;
        let mut pipeline = Pipeline::single(schema, recipe, fit.predictor);
        pipeline.members.iter_mut().for_each(|member| member.target = transform);
        if let (TargetTransform::Log { .. }, Truth::Values(values)) = (transform, given) {
            let predicted = pipeline.scores(&pipeline.schema.codes(self.table, rows)?);
            let unbiased = transform.unbiased(predicted.values(), values);
            pipeline.members.iter_mut().for_each(|member| member.target = unbiased);
        }
        pipeline.validate().context("the fitted model is not usable")?;
        Ok(Fitted { pipeline, notes: fit.notes })
    }

    /// The cell that made a prepared value unusable, and what may be done about it.
    fn explain(&self, unusable: &Unusable, recipe: &Recipe, rows: &[usize]) -> anyhow::Error {
        let (index, _) = self.features[recipe.slots()[unusable.slot].0];
        let name = &self.table.names[index];
        let place = |row: usize| place(self.table.lines.get(row), self.files, &self.table.source);
        // One large number moves the mean of its column, and so every value.
        let Column::Number(values) = &self.table.columns[index] else {
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

    /// About how many numbers a standardised row is: one per column, and one per level of a category.
    pub(crate) fn n_slots(&self) -> usize {
        let slots = |&(index, _): &(usize, ColumnType)| match &self.table.columns[index] {
            // Up to six parts, three of them with a sine and a cosine.
            Column::Written { notation: Notation::Date(_), .. } => 12,
            Column::Number(_) | Column::Written { .. } => 1,
            Column::Text { .. } => MAX_DENSE_TERMS,
            Column::Category { levels, .. } => levels.len().min(MAX_LEVEL_SLOTS) + 1,
        };
        self.features.iter().map(slots).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::cells::cell::Task;
    use crate::model::learn::{Unwatched, algorithm};

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

    fn truth(rows: &[usize]) -> Truth {
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
        let labels = vec!["no".into(), "yes".into()];
        let target = Target {
            name: "y".into(),
            task: Task::Classification,
            labels,
            numeric_labels: false,
            notation: None,
        };
        let fitter = Fitter {
            table,
            files: &[],
            features: &[(0, ColumnType::Number), (1, ColumnType::Category)],
            ignored: &[],
            private: &[],
            target: &target,
            weights,
            groups: None,
            balance,
            seed: 3,
            header: false,
            decimal_comma: true,
            delimiter: b';',
            nulls: &NullTokens::with(vec!["-9".into()]),
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
            let part = fit(&table(&all), Some(&weights), true, &some, &truth(&some), name).pipeline;
            let alone = fit(&table(&some), Some(&of_some), true, &in_order, &truth(&some), name).pipeline;
            let (part, alone) = (&part.members[0], &alone.members[0]);
            assert!(part.recipe == alone.recipe && part.predictor == alone.predictor, "{name}");
        }
    }

    #[test]
    fn weights_and_balance_count() {
        let rows: Vec<usize> = (0..120).collect();
        let weights: Vec<f64> = (0..120).map(|row| 1.0 + (row % 4) as f64).collect();
        let (table, truth) = (table(&rows), truth(&rows));
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
        let schema = fit(&table(&rows), None, false, &rows, &truth(&rows), "decision-tree").pipeline.schema;
        assert_eq!((schema.header, schema.delimiter, schema.decimal_comma), (false, b';', true));
        assert!(schema.null_tokens.texts().any(|token| token == "-9"));
    }

    /// Fits values on all rows of a table whose first column is a number and whose second is a category.
    fn fit_values(table: &Table, values: &[f64], name: &str, scale: TargetScale) -> Result<Fitted> {
        let (task, labels) = (Task::Regression, Vec::new());
        let target = Target { name: "y".into(), task, labels, numeric_labels: false, notation: None };
        let fitter = Fitter {
            table,
            files: &[],
            features: &[(0, ColumnType::Number), (1, ColumnType::Category)],
            ignored: &[],
            private: &[],
            target: &target,
            weights: None,
            groups: None,
            balance: false,
            seed: 3,
            header: true,
            decimal_comma: false,
            delimiter: b',',
            nulls: &NullTokens::default(),
        };
        let spec = Spec { scale, ..Spec::new(algorithm(name).unwrap(), task, &[]).unwrap() };
        let rows: Vec<usize> = (0..values.len()).collect();
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
