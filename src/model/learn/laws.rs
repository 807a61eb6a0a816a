//! The laws that every learner keeps, tested on each algorithm of the table; and the tools that the tests of
//! the families share.
//!
//! An algorithm is tested here by being added to [`ALGORITHMS`]: by its tasks, its encoding and its
//! hyperparameters' names alone. Laws that only some learners keep, and those of solvers, are tested in their
//! own files.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;

use super::dataset::{Dataset, Fit, Labels};
use super::hyperparameter::Range;
use super::plan::Plan;
use super::train::train;
use super::{ALGORITHMS, Algorithm, Spec, Unwatched, Watch, algorithm};
use crate::data::cells::cell::{ColumnType, Task};
use crate::data::cells::matrix::Matrix;
use crate::data::prepare::recipe::Encoding;
use crate::model::file;
use crate::model::predictor::Predictor;
use crate::model::predictor::arrays::{Arrays, take_u32};
use crate::random::{generator, unit_interval};

/// Pseudo-random numbers between −1 and 1.
pub(super) fn noise(n_rows: usize, n_cols: usize, seed: u64) -> Matrix {
    let mut random = generator(seed);
    let mut x = Matrix::zeros(n_rows, n_cols);
    x.values_mut().iter_mut().for_each(|v| *v = 2.0 * unit_interval(&mut random) - 1.0);
    x
}

/// Some rows of `x`, in this order.
pub(super) fn select(x: &Matrix, rows: &[usize]) -> Matrix {
    let mut out = Matrix::with_capacity(rows.len(), x.n_cols());
    rows.iter().for_each(|&row| out.push_row(0.0).copy_from_slice(x.row(row)));
    out
}

/// Fits with `settings` as in `--set`, and checks the predictor as a model file's is checked.
pub(super) fn fit(algorithm: &'static Algorithm, settings: &[(&str, &str)], data: &Dataset) -> Result<Fit> {
    fit_watched(algorithm, settings, data, &Unwatched)
}

fn fit_watched(
    algorithm: &'static Algorithm,
    settings: &[(&str, &str)],
    data: &Dataset,
    watch: &dyn Watch,
) -> Result<Fit> {
    let task = match data.y {
        Labels::Classes { .. } => Task::Classification,
        Labels::Values(_) => Task::Regression,
    };
    let settings: Vec<_> = settings.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    let fit = Spec::new(algorithm, task, &settings)?.fit(data, watch)?;
    fit.predictor.validate()?;
    Ok(fit)
}

/// The predictor of a fit that has nothing to note.
pub(super) fn predictor(
    algorithm: &'static Algorithm,
    settings: &[(&str, &str)],
    data: &Dataset,
) -> Predictor {
    let fit = fit(algorithm, settings, data).unwrap();
    assert_eq!(fit.notes, Vec::<String>::new());
    fit.predictor
}

/// The scores of all rows, which are those of each row alone.
pub(super) fn scores(predictor: &Predictor, x: &Matrix) -> Vec<f64> {
    let n = predictor.n_outputs();
    let mut out = vec![f64::NAN; x.n_rows() * n];
    predictor.scores_block(x.values(), &mut out);
    for (row, in_block) in x.rows().zip(out.chunks_exact(n)) {
        let mut alone = vec![f64::NAN; n];
        predictor.scores_into(row, &mut alone);
        assert_eq!(alone, in_block);
    }
    out
}

/// The arrays of the model file; reading them makes the same predictor.
pub(super) fn arrays(predictor: &Predictor) -> Arrays {
    let mut arrays = Arrays::new();
    predictor.write_arrays(&mut arrays);
    let mut rest = arrays.clone();
    assert!(Predictor::read_arrays(predictor.form(), &mut rest).unwrap() == *predictor && rest.is_empty());
    arrays
}

/// A fit on `threads` threads.
fn on_threads<T: Send>(threads: usize, fit: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(fit)
}

/// Columns of every table but those that are wide: six numbers, a category of four levels and a boolean.
/// Standardised columns are all numbers.
const TYPES: [ColumnType; 8] = {
    let mut types = [ColumnType::Number; 8];
    (types[6], types[7]) = (ColumnType::Category, ColumnType::Boolean);
    types
};
const LEVELS: [usize; 8] = [0, 0, 0, 0, 0, 0, 4, 0];

/// A hyperparameter as in `--set`.
type Setting = (&'static str, &'static str);

/// Rows, and labels that depend on them, for one task of one algorithm.
struct Table {
    algorithm: &'static Algorithm,
    x: Matrix,
    /// Number of classes; 0 for a regression.
    n_classes: usize,
    codes: Vec<u32>,
    values: Vec<f64>,
    weights: Option<Vec<f64>>,
}

impl Table {
    fn new(algorithm: &'static Algorithm, n_classes: usize, mut x: Matrix) -> Self {
        let n_cols = x.n_cols();
        for i in 0..x.n_rows() {
            let row = x.row_mut(i);
            if n_cols == TYPES.len() {
                row[6] = (row[6] * 2.0 + 2.0).floor();
                row[7] = f64::from(u8::from(row[7] > 0.0));
            }
        }
        let values: Vec<f64> = x.rows().map(|row| 3.0 * row[0] - row[1] * row[1] + row[2] + 5.0).collect();
        // Every class is there, even among three rows.
        let class = |(i, v): (usize, &f64)| match i {
            0..3 => i as u32 % n_classes.max(1) as u32,
            _ => ((v - 2.0).clamp(0.0, 5.99) / 2.0) as u32 % n_classes.max(1) as u32,
        };
        let codes = values.iter().enumerate().map(class).collect();
        Self { algorithm, x, n_classes, codes, values, weights: None }
    }

    fn data(&self) -> Dataset<'_> {
        let y = match self.n_classes {
            0 => Labels::Values(&self.values),
            n_classes => Labels::Classes { codes: &self.codes, n_classes },
        };
        let is_raw = self.algorithm.encoding == Encoding::Raw && self.x.n_cols() == TYPES.len();
        let (levels, types): (&[usize], &[ColumnType]) = if is_raw { (&LEVELS, &TYPES) } else { (&[], &[]) };
        Dataset { levels, types, weights: self.weights.as_deref(), seed: 7, ..Dataset::new(&self.x, y) }
    }

    /// Fits with hyperparameters that make it short; it need not converge. `setting` is one more.
    fn fit_with(&self, setting: Option<Setting>) -> Result<Predictor> {
        let names = self.algorithm.parameters.iter().map(|parameter| parameter.name);
        let short = names.filter(|name| ["max_iter", "n_estimators"].contains(name)).map(|name| (name, "5"));
        let settings: Vec<Setting> = short.chain(setting).collect();
        Ok(fit(self.algorithm, &settings, &self.data())?.predictor)
    }

    fn fit(&self) -> Result<Predictor> {
        self.fit_with(None)
    }

    /// Each word that a hyperparameter may be.
    fn words(&self) -> Vec<Setting> {
        let mut words = Vec::new();
        for parameter in self.algorithm.parameters {
            let of_parameter: &[&str] = match parameter.range {
                Range::Choice(words) | Range::AnyOf(&[Range::Choice(words), ..]) => words,
                Range::Flag => &["true", "false"],
                _ => &[],
            };
            words.extend(of_parameter.iter().map(|word| (parameter.name, *word)));
        }
        words
    }

    /// The scores of its own rows by a fit that must succeed; probabilities add up to 1.
    fn check(&self) -> (Predictor, Vec<f64>) {
        let predictor = self.fit().unwrap_or_else(|e| panic!("{self}: {e:#}"));
        let found = scores(&predictor, &self.x);
        assert!(found.iter().all(|v| v.is_finite()), "{self}: {found:?}");
        if self.n_classes > 0 {
            for p in found.chunks_exact(self.n_classes) {
                assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-9 && p.iter().all(|p| *p >= 0.0), "{self}");
            }
        }
        (predictor, found)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} of {} classes", self.algorithm.name, self.n_classes)
    }
}

/// Every algorithm with each of its tasks, on the rows that `rows` makes.
fn tables(rows: impl Fn() -> Matrix) -> Vec<Table> {
    let mut tables = Vec::new();
    for algorithm in ALGORITHMS {
        for task in algorithm.tasks {
            let numbers_of_classes: &[usize] = if *task == Task::Regression { &[0] } else { &[2, 3] };
            tables.extend(numbers_of_classes.iter().map(|&n| Table::new(algorithm, n, rows())));
        }
    }
    assert!(tables.len() > ALGORITHMS.len());
    tables
}

#[test]
fn a_fit_is_the_same_bytes_on_any_number_of_threads() {
    // More rows than any learner sums up in one block.
    for table in tables(|| noise(5000, 8, 1)) {
        let [one, two, eight] =
            [1, 2, 8].map(|threads| arrays(&on_threads(threads, || table.fit().unwrap())));
        assert!(one == two && one == eight, "{table}");
    }
}

#[test]
fn what_is_saved_and_read_again_gives_identical_scores() {
    for table in tables(|| noise(150, 8, 2)) {
        let (predictor, found) = table.check();
        let again = Predictor::read_arrays(predictor.form(), &mut arrays(&predictor)).unwrap();
        assert_eq!(scores(&again, &table.x), found, "{table}");
    }
}

#[test]
fn every_word_of_a_hyperparameter_is_refused_or_gives_the_same_bytes_on_any_number_of_threads() {
    let mut n_refused = 0;
    for table in tables(|| noise(300, 8, 9)) {
        for setting in table.words() {
            let [one, three] = [1, 3].map(|threads| on_threads(threads, || table.fit_with(Some(setting))));
            let (Ok(one), Ok(three)) = (one, three) else {
                n_refused += 1;
                continue;
            };
            assert!(arrays(&one) == arrays(&three), "{table} {setting:?}");
            assert!(scores(&one, &table.x).iter().all(|v| v.is_finite()), "{table} {setting:?}");
        }
    }
    // Criteria and losses of the other task, a bootstrap that others ask for.
    assert!(n_refused < 60, "{n_refused}");
}

#[test]
fn raw_columns_may_lack_values_and_standardised_ones_may_not() {
    for mut table in tables(|| noise(150, 8, 3)) {
        for row in (0..150).filter(|row| row % 7 == 3) {
            table.x.row_mut(row)[row % 8] = f64::NAN;
        }
        // A row and a column without any value.
        table.x.row_mut(40).fill(f64::NAN);
        (0..150).for_each(|row| table.x.row_mut(row)[4] = f64::NAN);
        if table.algorithm.encoding == Encoding::Raw {
            table.check();
        } else {
            assert!(table.fit().unwrap_err().to_string().contains("not finite"), "{table}");
        }
    }
}

#[test]
fn constant_columns_are_data() {
    for mut table in tables(|| noise(60, 8, 4)) {
        for row in 0..60 {
            (table.x.row_mut(row)[3], table.x.row_mut(row)[7]) = (0.1, 1.0);
        }
        table.check();
        table.x.values_mut().fill(1.0);
        table.check();
        table.values.fill(4.0);
        table.check();
    }
}

#[test]
fn one_class_is_refused_and_one_row_is_enough_for_a_regression() {
    for mut table in tables(|| noise(20, 8, 5)).into_iter().filter(|table| table.n_classes > 0) {
        table.codes.fill(1);
        assert!(table.fit().unwrap_err().to_string().contains("1 class"), "{table}");
        // A class whose rows all weigh nothing is none.
        table.codes[3] = 0;
        table.weights = Some((0..20).map(|row| if row == 3 { 0.0 } else { 1.0 }).collect());
        assert!(table.fit().unwrap_err().to_string().contains("1 class"), "{table}");
    }
    for table in tables(|| noise(1, 8, 5)) {
        if table.n_classes == 0 {
            table.check();
        } else {
            assert!(table.fit().unwrap_err().to_string().contains("1 class"), "{table}");
        }
    }
}

#[test]
fn there_may_be_more_columns_than_rows() {
    for table in tables(|| noise(12, 40, 6)) {
        table.check();
    }
}

#[test]
fn a_row_of_weight_0_is_no_row() {
    let kept: Vec<usize> = (0..120).filter(|row| row % 5 != 4).collect();
    for mut all in tables(|| noise(120, 8, 7)) {
        let mut without = Table::new(all.algorithm, all.n_classes, Matrix::default());
        without.x = select(&all.x, &kept);
        without.codes = kept.iter().map(|&row| all.codes[row]).collect();
        without.values = kept.iter().map(|&row| all.values[row]).collect();
        without.weights = Some(vec![1.0; kept.len()]);
        all.weights = Some((0..120).map(|row| f64::from(u8::from(row % 5 != 4))).collect());
        // Rows that do not count may hold anything.
        for row in (0..120).filter(|row| row % 5 == 4) {
            all.x.row_mut(row)[..6].fill(1e3);
            all.values[row] = -1e6;
        }
        let (found, wanted) = (all.fit().unwrap(), without.fit().unwrap());
        let near = |(a, b): (f64, f64)| (a - b).abs() <= 1e-9 * b.abs().max(1.0);
        let pairs = scores(&found, &without.x).into_iter().zip(scores(&wanted, &without.x));
        assert!(pairs.clone().all(near), "{all}: {:?}", pairs.collect::<Vec<_>>());
    }
}

#[test]
fn a_stopped_fit_is_refused_or_leaves_a_predictor_that_works() {
    struct Stopped;
    impl Watch for Stopped {
        fn progress(&self, _: u64, _: u64, _: fmt::Arguments) {}

        fn stopped(&self) -> bool {
            true
        }
    }
    for table in tables(|| noise(60, 8, 8)) {
        if let Ok(fit) = fit_watched(table.algorithm, &[], &table.data(), &Stopped) {
            assert!(scores(&fit.predictor, &table.x).iter().all(|v| v.is_finite()), "{table}");
        }
    }
}

/// Sizes at which squares, products or quotients are no numbers any more, or next to.
const SIZES: [f64; 10] = [f64::MAX, 1e308, 1e200, 1e155, 1e140, 1e100, 1e-100, 1e-155, 1e-308, 5e-324];

/// A fit that is refused or has finite scores; a panic counts as neither.
fn check_result(what: &str, table: &Table) {
    match table.fit() {
        Err(error) => assert!(!format!("{error:#}").contains("please report"), "{table}, {what}: {error:#}"),
        Ok(predictor) => {
            let found = scores(&predictor, &table.x);
            assert!(found.iter().all(|v| v.is_finite()), "{table}, {what}: {found:?}");
        }
    }
}

#[test]
fn numbers_of_any_size_are_learned_from_or_refused() {
    for size in SIZES {
        for mut table in tables(|| noise(60, 8, 11)) {
            for row in 0..60 {
                table.x.row_mut(row)[2] *= size;
            }
            check_result(&format!("a column of size {size:e}"), &table);
            for row in 0..60 {
                let sign = if row % 2 == 0 { 1.0 } else { -1.0 };
                table.x.row_mut(row)[3] = if row % 3 == 0 { sign * size } else { 0.0 };
            }
            check_result(&format!("and one of ±{size:e}"), &table);
        }
        for mut table in tables(|| noise(60, 8, 12)) {
            (0..60).for_each(|row| table.x.row_mut(row)[..6].iter_mut().for_each(|v| *v *= size));
            check_result(&format!("all columns of size {size:e}"), &table);
        }
        for mut table in tables(|| noise(60, 8, 13)) {
            table.values.iter_mut().for_each(|v| *v *= size / 16.0);
            check_result(&format!("a target of size {size:e}"), &table);
            table.values[17] = -size;
            check_result(&format!("a target with {:e}", -size), &table);
        }
        for mut table in tables(|| noise(60, 8, 14)) {
            table.weights = Some(vec![size; 60]);
            check_result(&format!("weights of {size:e}"), &table);
            table.weights = Some((0..60).map(|row| if row % 7 == 2 { size } else { 1.0 }).collect());
            check_result(&format!("weights of 1 and {size:e}"), &table);
        }
        // More columns than rows are solved in another way.
        for mut table in tables(|| noise(12, 40, 15)) {
            (0..12).for_each(|row| table.x.row_mut(row)[row] *= size);
            check_result(&format!("wide, some cells of size {size:e}"), &table);
        }
    }
}

/// The rows of a table of three columns, the last of which is the target.
fn csv(cells: impl Fn(usize) -> [String; 3]) -> String {
    "x,z,y\n".to_string() + &(0..80).map(|row| cells(row).join(",") + "\n").collect::<String>()
}

#[test]
fn a_file_with_numbers_of_any_size_is_learned_from_or_refused_with_the_place_of_the_cell() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.csv");
    let number = |row: usize| (row * 37 % 101) as f64 / 10.0 - 5.0;
    for size in SIZES {
        let auto = [f64::MAX, 1e155, 5e-324].contains(&size).then_some("auto");
        let names: Vec<&str> = ALGORITHMS.iter().map(|algorithm| algorithm.name).chain(auto).collect();
        let odd = |row: usize, plain: String| if row % 20 == 7 { format!("{size:e}") } else { plain };
        let target = |row: usize| format!("{:.1}", number(row) * 2.0 + (row % 3) as f64);
        let class = |row: usize| ["a", "b"][usize::from(number(row) + (row % 2) as f64 > 0.0)].to_string();
        let x = |row: usize| number(row).to_string();
        let z = |row: usize| (row % 6).to_string();
        for (text, is_odd_feature) in [
            (csv(|row| [odd(row, x(row)), z(row), target(row)]), true),
            (csv(|row| [odd(row, x(row)), z(row), class(row)]), true),
            (csv(|row| [format!("{:e}", number(row) / 5.0 * size), z(row), class(row)]), false),
            (csv(|row| [format!("{:e}", number(row) / 5.0 * size), z(row), target(row)]), false),
            (csv(|row| [x(row), z(row), odd(row, target(row))]), false),
            (csv(|row| [x(row), odd(row, z(row)), format!("{:e}", number(row) / 5.0 * size)]), false),
        ] {
            std::fs::write(&path, &text).unwrap();
            for &name in &names {
                let task = if text.contains(",a\n") { Task::Classification } else { Task::Regression };
                if algorithm(name).is_ok_and(|algorithm| !algorithm.tasks.contains(&task)) {
                    continue;
                }
                let path = path.to_str().unwrap();
                let plan = Plan { algorithm: name.into(), task: Some(task), ..Plan::new(path) };
                match train(&plan, &Unwatched) {
                    Ok(trained) => {
                        // It can be written and read.
                        let bytes = file::to_bytes(&trained.model).unwrap();
                        file::read(bytes.as_slice(), bytes.len() as u64).unwrap();
                    }
                    Err(error) => {
                        let error = format!("{error:#}");
                        assert!(!error.contains("please report"), "{name}, {size:e}: {error}");
                        let says = error.contains("9, column \"x\": ") && error.contains("--null");
                        assert!(!is_odd_feature || says, "{name}, {size:e}: {error}");
                    }
                }
            }
        }
    }
}

#[test]
fn trees_of_a_thousand_classes_need_little_of_a_stack_and_of_memory() {
    let mut x = noise(3000, 3, 16);
    for row in 0..3000 {
        x.row_mut(row)[0] = (row % 1000) as f64;
    }
    let codes: Vec<u32> = (0..3000).map(|row| row % 1000).collect();
    let data = Dataset::new(&x, Labels::Classes { codes: &codes, n_classes: 1000 });
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).stack_size(512 << 10).build().unwrap();
    for name in ["decision-tree", "extra-trees"] {
        let settings: &[Setting] = if name == "extra-trees" { &[("n_estimators", "2")] } else { &[] };
        let found = pool.install(|| fit(algorithm(name).unwrap(), settings, &data)).unwrap();
        let Predictor::Trees(_) = found.predictor else { panic!("not trees") };
    }
}

#[test]
fn a_tree_that_is_interrupted_keeps_the_nodes_that_it_has() {
    /// Asks to stop from the `n`th question on.
    struct Asked(AtomicU64);
    impl Watch for Asked {
        fn progress(&self, _: u64, _: u64, _: fmt::Arguments) {}

        fn stopped(&self) -> bool {
            self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_err()
        }
    }
    let table = &tables(|| noise(4000, 8, 17)).into_iter().find(|t| t.algorithm.name == "decision-tree");
    let data = table.as_ref().unwrap().data();
    let size = |n: u64, settings: &[Setting]| {
        let watch = Asked(AtomicU64::new(n));
        let fit = fit_watched(algorithm("decision-tree").unwrap(), settings, &data, &watch).unwrap();
        take_u32(&mut arrays(&fit.predictor), "trees.feature").unwrap().len()
    };
    for settings in [&[][..], &[("max_leaf_nodes", "200")]] {
        let sizes = [0, 10, u64::MAX].map(|n| size(n, settings));
        assert!(sizes[0] == 1 && sizes[1] > 5 && sizes[1] * 3 < sizes[2], "{sizes:?}");
    }
}
