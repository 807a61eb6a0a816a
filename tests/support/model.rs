//! Models of the files under fixtures/, fitted on all their rows.

use mlapi::data::cells::cell::{NullTokens, Task};

use mlapi::data::cells::schema::Schema;

use mlapi::data::cells::table::{Column, Table};
use mlapi::data::cells::target::Target;
use mlapi::data::cells::target::Truth;
use mlapi::data::judge::profile::Profile;
use mlapi::data::prepare::recipe::Recipe;
use mlapi::data::read::{load, source};
use mlapi::model::evaluation::{Baseline, Context, Evaluation};
use mlapi::model::learn::linear::{least_squares as linear, logistic};
use mlapi::model::learn::{Algorithm, Dataset, Labels, Spec, Unwatched};
use mlapi::model::pipeline::{Decision, Pipeline};
use mlapi::model::predictor::{Linear, Link, Predictor};
use mlapi::model::selection::Selection;
use mlapi::model::{Card, CardMember, DataSource, Model};

/// Three species from four measurements.
pub fn iris() -> Model {
    fit("iris.csv", &logistic::LOGISTIC_REGRESSION)
}

/// Numbers, categories and gaps.
pub fn penguins() -> Model {
    fit("penguins.csv", &logistic::LOGISTIC_REGRESSION)
}

/// A number from ten measurements.
pub fn diabetes() -> Model {
    fit("diabetes.csv", &linear::RIDGE)
}

/// The ensemble of models of one table, with the card of the first one.
pub fn blended(models: Vec<Model>, weights: &[f64]) -> Model {
    let member = |(model, weight): (&Model, &f64)| CardMember {
        target: None,
        columns: None,
        algorithm: model.card.algorithm.clone(),
        weight: *weight,
        hyperparameters: model.card.hyperparameters.clone(),
    };
    let members = models.iter().zip(weights).map(member).collect();
    let (mut card, golden) = (models[0].card.clone(), models[0].golden.clone());
    card.members = members;
    card.algorithm = "ensemble".into();
    card.hyperparameters.clear();
    let pipelines = models.into_iter().map(|model| model.pipeline).collect();
    Model {
        card,
        pipeline: Pipeline::blend(pipelines, weights).unwrap(),
        golden,
        reference: Default::default(),
    }
}

/// A damaged model of iris: it predicts a fourth species, which has no name, where the first measurement is
/// above its mean. A model file like this is refused; this is what a defect in the program could do.
pub fn iris_that_panics() -> Model {
    let mut model = iris();
    let mut coefficients = vec![0.0; 4 * 4];
    coefficients[3 * 4] = 100.0;
    let predictor = Predictor::Linear(Linear::new(Link::Softmax, 4, coefficients, vec![0.0; 4]));
    model.pipeline.members[0].predictor = predictor;
    model
}

fn fit(file: &str, algorithm: &'static Algorithm) -> Model {
    let path = format!("{}/fixtures/{file}", env!("CARGO_MANIFEST_DIR"));
    let raw = load::read_table(&path, &source::Options::default()).unwrap();
    let nulls = NullTokens::default();
    let last = raw.names.len() - 1;
    let types: Vec<_> = (0..=last).map(|i| Profile::of(&raw, i, &nulls).column_type()).collect();
    let columns = types.iter().enumerate().map(|(i, t)| Column::parse(&raw, i, *t, &nulls).unwrap());
    let table = Table {
        source: raw.source.clone(),
        names: raw.names.clone(),
        columns: columns.collect(),
        lines: raw.lines.clone(),
    };
    let task = algorithm.tasks[0];
    let target = Target::fit(&raw, last, task, &nulls).unwrap();
    let (rows, truth) = target.read(&raw, last, &nulls).unwrap();
    let features: Vec<_> = (0..last).map(|i| (i, types[i])).collect();
    let schema = Schema::fit(&table, &features, target, vec![], &rows);
    let codes = schema.codes(&table, &rows).unwrap();
    let recipe = Recipe::fit(&schema, algorithm.encoding, &codes);
    let x = recipe.encode(&codes);
    let y = match &truth {
        Truth::Classes { codes, labels } => Labels::Classes { codes, n_classes: labels.len() },
        Truth::Values(values) => Labels::Values(values),
    };
    let spec = Spec::new(algorithm, task, &[]).unwrap();
    let fit = spec.fit(&Dataset::new(&x, y), &Unwatched).unwrap();
    let pipeline = Pipeline::single(schema, recipe, fit.predictor);
    let baseline = Baseline::fit(&truth);
    let context = Context {
        algorithm: algorithm.name,
        target: &pipeline.schema.target,
        baseline: &baseline,
        positive: usize::from(task == Task::Classification),
        threshold: None,
    };
    let predictions = pipeline.predict(&codes, Decision::MostProbable);
    let card = Card {
        algorithm: algorithm.name.into(),
        hyperparameters: spec.hyperparameters().clone(),
        members: vec![],
        selection: Selection::default(),
        data: DataSource::of(&raw.files[0]),
        more_data: vec![],
        written: Default::default(),
        test: None,
        test_size: None,
        sample: None,
        split_by: None,
        seed: 42,
        n_train: rows.len(),
        n_without_target: 0,
        n_repeated: 0,
        n_held_out_seen: 0,
        refit: false,
        weight: None,
        balance: false,
        evaluation: Evaluation::new(context, &predictions, &truth),
        thresholds: None,
        baseline,
        origin: None,
        notes: vec![],
        asked: Default::default(),
    };
    Model { card, pipeline, golden: codes.clone(), reference: Default::default() }
}
