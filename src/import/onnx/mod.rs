//! ONNX: a graph of operators, as scikit-learn (skl2onnx), LightGBM and XGBoost (onnxmltools), CatBoost, PyTorch and Keras
//! export their models.
//!
//! `slots` says what the columns of tensors are, `forms` and `trees` read what they can as the product's own forms, and
//! what is left runs as it is in `model::predictor::graph`. Every graph is made ready to run, and a form that predicts
//! other numbers than its graph is not used.

mod forms;
mod slots;
mod trees;

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};

use self::forms::{Form, Reading};
use self::slots::{Slot, Slots, Step};
use super::forest::{Body, Classes, Foreign, ForeignColumn, Forest};
use super::schema::Said;
use crate::data::cells::text::Texts;
use crate::data::prepare::recipe::{Encoding, Parts};
use crate::error::usage;
use crate::model::predictor::Link;
use crate::model::predictor::graph::proto::{self, GraphDef, Info};
use crate::model::predictor::graph::tensor::Data;
use crate::model::predictor::graph::{Column, Graph, Input, Kind, Outcome, Plan, learned};

/// Columns of a model.
const MAX_COLUMNS: usize = 1 << 20;

/// Rows that are made up to see what a graph predicts.
const PROBES: usize = 12;

/// Reads the bytes of a file.
///
/// # Errors
/// A damaged file, operators and shapes that are not known, by their names.
pub(super) fn read(bytes: &[u8], said: &Said) -> Result<Foreign> {
    let model = proto::read(bytes)?;
    let graph = &model.graph;
    let given: Vec<&Info> =
        graph.inputs.iter().filter(|input| !graph.constants.contains_key(&input.name)).collect();
    let (inputs, mut columns, by_row) = inputs(&given, said)?;
    let is_single = inputs.iter().all(|input| input.kind != Kind::Double);
    let of_input = |input: &Input| {
        let slot = |&column: &usize| match input.kind {
            Kind::String => Slot::Text(column),
            // Beside doubles, those of single precision are rounded by themselves.
            Kind::Float if !is_single => Slot::Number(column, vec![Step::Round]),
            _ => Slot::Number(column, Vec::new()),
        };
        input.columns.iter().map(slot).collect::<Vec<_>>()
    };
    let flat = given.iter().zip(&inputs).filter(|(_, input)| input.shape.len() == 1);
    let slots = Slots::new(graph, flat.map(|(info, input)| (info.name.as_str(), of_input(input))).collect());
    let mut kinds = vec![Column::Number; columns.len()];
    for column in inputs.iter().filter(|input| input.kind == Kind::String).flat_map(|input| &input.columns) {
        kinds[*column] = match slots.levels.get(column).filter(|_| !slots.texts.contains(column)) {
            Some(levels) => {
                let levels: Vec<String> = levels.iter().map(|level| level.to_string()).collect();
                columns[*column].levels = Some(levels.clone());
                Column::Levels(levels)
            }
            None => {
                columns[*column].is_text = true;
                Column::Text
            }
        };
    }
    let output = output(graph)?;
    let labels = labels(graph, &slots);
    let reading = Reading::new(graph, &slots, &columns, is_single);
    let last = reading.last(&output.name).map_or("", |node| node.op.as_str());
    let has_label = graph.outputs.iter().any(|output| !output.is_float() && !output.is_sequence());
    let is_of_classes = labels.is_some()
        || has_label
        || output.is_sequence()
        || !said.labels.is_empty()
        || ["Softmax", "Sigmoid"].contains(&last);

    // What the graph makes of rows that are made up.
    let plan = Plan {
        inputs,
        columns: kinds,
        output: output.name.clone(),
        outcome: Outcome::Value,
        n_outputs: 1,
        by_row,
    };
    let shared: Arc<[u8]> = bytes.into();
    let probe = Graph::of_model(Arc::clone(&shared), &model, plan.clone())?;
    let (probes, texts) = probed(&probe, &plan)?;
    let rows: Vec<Vec<f64>> = probes.iter().map(|(_, values)| values.clone()).collect();
    let width = rows[0].len();
    ensure!(rows.iter().all(|row| row.len() == width), "its rows have different numbers of outputs");
    let mut notes = Vec::new();
    let (outcome, n_classes) = if is_of_classes {
        outcome(&rows, width, last, said, &mut notes)?
    } else {
        ensure!(
            width == 1,
            usage(format!(
                "it predicts {width} numbers of a row: several targets are not read. If they are the scores of classes, name \
                 these with --labels A,B,…"
            ))
        );
        (Outcome::Value, 0)
    };
    let labels = labels.filter(|labels| labels.len() == n_classes);
    let of_labels = graph.outputs.iter().find(|output| !output.is_float() && !output.is_sequence());
    if let Some(info) = of_labels.filter(|_| n_classes > 0) {
        let plan = Plan { output: info.name.clone(), ..plan };
        // What cannot be run is not needed for predictions.
        if let Ok(graph) = Graph::of_model(shared, &model, plan) {
            check_labels(&graph, &probes, &texts, outcome, labels.as_deref())?;
        }
    }
    let classes = (n_classes > 0).then_some(Classes { n: n_classes, labels });
    let whole = probe.meaning(outcome, n_classes.max(1))?;
    // A score whose link the graph does not have is no output of a form.
    let form = match outcome {
        Outcome::Score | Outcome::Scores => None,
        _ => reading.form(&output.name, n_classes),
    };
    let (objective, forest, body) = match form {
        Some(Form::Trees(forest)) => ("trees".to_string(), forest, Body::Forest),
        Some(Form::Other(predictor, encoding, parts)) => {
            (predictor.form().to_string(), nothing(), Body::Form(Box::new(predictor), encoding, parts))
        }
        None => (format!("a graph of {} nodes", graph.nodes.len()), nothing(), Body::Graph),
    };
    let n_of_texts = columns.iter().filter(|column| column.is_text).count();
    let (producer, version) = match (model.producer.trim(), model.version.trim()) {
        ("", _) => ("ONNX".to_string(), None),
        (producer, version) => (producer.to_string(), (!version.is_empty()).then(|| version.to_string())),
    };
    Ok(Foreign {
        producer,
        version,
        objective,
        columns,
        classes,
        forest,
        body,
        graph: Some((whole, n_texts(n_of_texts))),
        single_precision: is_single,
        notes,
    })
}

/// The recipe of a graph, which reads codes as they are, and so many texts as texts.
fn n_texts(n: usize) -> (Encoding, Parts) {
    let vocabularies = vec![Default::default(); n];
    (Encoding::Raw, Parts { vocabularies, dense_texts: n > 0, ..Parts::default() })
}

fn nothing() -> Forest {
    Forest { link: Link::Identity, base: vec![0.0], divisor: 1.0, trees: Vec::new() }
}

/// The inputs, the columns that fill them, and whether rows go in one by one.
fn inputs(given: &[&Info], said: &Said) -> Result<(Vec<Input>, Vec<ForeignColumn>, bool)> {
    ensure!(!given.is_empty(), "it has no inputs");
    let mut columns = Vec::new();
    let mut by_row = false;
    let mut inputs = Vec::with_capacity(given.len());
    for info in given {
        let kind = match info.element {
            proto::FLOAT | proto::FLOAT16 | proto::BFLOAT16 => Kind::Float,
            proto::DOUBLE => Kind::Double,
            proto::STRING => Kind::String,
            proto::BOOL => Kind::Bool,
            kind if proto::INTS.contains(&kind) => Kind::Int64,
            _ => bail!("its input {:?} is no tensor", info.name),
        };
        let dims = info.shape.as_deref().unwrap_or(&[None, None]);
        let (rows, behind) =
            dims.split_first().with_context(|| format!("its input {:?} has no rows", info.name))?;
        match rows {
            None => {}
            Some(1) => by_row = true,
            Some(n) => bail!(
                "its input {:?} takes {n} rows at a time; export the model with a first dimension that may be any",
                info.name
            ),
        }
        let mut shape = Vec::with_capacity(behind.len());
        for dim in behind {
            shape.push(match dim {
                Some(dim) => *dim,
                None if given.len() == 1 && behind.len() == 1 && !said.features.is_empty() => said.features.len(),
                None => {
                    return Err(usage(format!(
                        "its input {:?} does not say how many columns it takes; name them, in the order of training, with \
                         --features A,B,…",
                        info.name
                    )));
                }
            });
        }
        let n = shape
            .iter()
            .try_fold(1_usize, |n, &dim| n.checked_mul(dim))
            .filter(|&n| n + columns.len() <= MAX_COLUMNS);
        let n =
            n.with_context(|| format!("its input {:?} takes more than {MAX_COLUMNS} columns", info.name))?;
        let first = columns.len();
        let is_named = n == 1 && (given.len() > 1 || kind == Kind::String);
        for i in 0..n {
            let name = match (is_named, given.len()) {
                (true, _) => Some(info.name.clone()),
                (false, 1) => None,
                (false, _) => Some(format!("{}_{}", info.name, i + 1)),
            };
            columns.push(ForeignColumn { name, ..ForeignColumn::default() });
        }
        inputs.push(Input { name: info.name.clone(), kind, shape, columns: (first..first + n).collect() });
    }
    Ok((inputs, columns, by_row))
}

/// The output with the scores: that of probabilities, or the only one of numbers.
fn output(graph: &GraphDef) -> Result<&Info> {
    let candidates: Vec<&Info> =
        graph.outputs.iter().filter(|output| output.is_float() || output.is_sequence()).collect();
    let is_named = |output: &&&Info| output.name.contains("prob");
    let by_name =
        candidates.iter().find(|output| output.is_sequence()).or_else(|| candidates.iter().find(is_named));
    by_name.or(candidates.first()).copied().context(
        "it has no output of numbers: a model that predicts labels alone has nothing that mlapi decides by. Export its \
         probabilities as well",
    )
}

/// The labels of the classes, in the order of the scores.
fn labels(graph: &GraphDef, slots: &Slots) -> Option<Vec<String>> {
    // The keys of the probabilities come first: between them and a classifier labels may be changed.
    let named = |op: &str| graph.nodes.iter().find(|node| node.op == op);
    let of_node = ["ZipMap", "TreeEnsembleClassifier", "LinearClassifier", "SVMClassifier"];
    let found = of_node.iter().find_map(|op| learned::classes(named(op)?).ok());
    let found = found.or_else(|| {
        let picks =
            graph.nodes.iter().filter(|node| node.op == "ArrayFeatureExtractor" || node.op == "Gather");
        let mut from_constants = picks.filter_map(|node| {
            let constant = slots.constants.get(node.inputs.first()?.as_str())?;
            let places = node.inputs.get(1)?;
            let maker = graph.nodes.iter().find(|other| other.outputs.contains(places))?;
            (maker.op == "ArgMax").then(|| constant.data.clone())
        });
        from_constants.next()
    })?;
    written(&found)
}

/// Labels as they are written.
fn written(data: &Data) -> Option<Vec<String>> {
    Some(match data {
        Data::Text(v) => v.iter().map(|text| text.to_string()).collect(),
        Data::I64(v) => v.iter().map(i64::to_string).collect(),
        Data::F32(v) if v.iter().all(|x| *x == x.trunc()) => {
            v.iter().map(|x| (*x as i64).to_string()).collect()
        }
        Data::Bool(v) => v.iter().map(|x| if *x { "True" } else { "False" }.to_string()).collect(),
        _ => return None,
    })
}

/// Compares the label that a graph gives with that of the largest score. Some trainers decide by other numbers than their
/// probabilities, so a few rows may differ; clusters and outliers, whose scores are distances, differ in most.
fn check_labels(
    graph: &Graph,
    probes: &[Probe],
    texts: &Texts,
    outcome: Outcome,
    labels: Option<&[String]>,
) -> Result<()> {
    let (mut n, mut n_other) = (0, 0);
    for (codes, scores) in probes {
        let Ok(Some(given)) = graph.output(codes, texts).map(|value| written(&value.data)) else { continue };
        let Some(given) = given.first() else { continue };
        let best = match outcome {
            Outcome::Second => usize::from(scores[0] > 0.5),
            Outcome::Score => usize::from(scores[0] > 0.0),
            _ => (1..scores.len()).fold(0, |best, i| if scores[i] > scores[best] { i } else { best }),
        };
        let same = match labels {
            Some(labels) => labels.get(best) == Some(given),
            None => *given == best.to_string(),
        };
        n += 1;
        n_other += usize::from(!same);
    }
    ensure!(
        2 * n_other <= n,
        "the labels that it gives are not those of its largest scores: models of clusters and of outliers are not read"
    );
    Ok(())
}

/// A row of codes that was made up, and what a graph makes of it.
type Probe = (Vec<f64>, Vec<f64>);

/// The numbers that a graph makes of some rows that are made up, those that are finite.
fn probed(graph: &Graph, plan: &Plan) -> Result<(Vec<Probe>, Texts)> {
    const NUMBERS: [f64; 7] = [0.0, 1.0, -1.0, 3.0, 0.5, 20.0, -7.5];
    let mut texts = Texts::default();
    let words = ["", "a", "the good film was very bad"].map(|text| texts.push(text));
    let mut rows = Vec::new();
    let mut fault = None;
    for i in 0..PROBES {
        let code = |(j, column): (usize, &Column)| {
            // Neither all the same nor in step.
            let pick = i * (j % 5 + 1) + j / 5;
            match column {
                Column::Number => NUMBERS[pick % NUMBERS.len()],
                Column::Levels(levels) => (pick % levels.len().max(1)) as f64,
                Column::Text => words[pick % words.len()],
            }
        };
        let codes: Vec<f64> = plan.columns.iter().enumerate().map(code).collect();
        match graph.values(&codes, &texts) {
            Ok(values) if values.iter().all(|value| value.is_finite()) && !values.is_empty() => {
                rows.push((codes, values))
            }
            Ok(_) => {}
            Err(error) => fault = Some(error),
        }
    }
    match (rows.is_empty(), fault) {
        (false, _) => Ok((rows, texts)),
        (true, Some(fault)) => Err(fault.context("it cannot be run")),
        (true, None) => bail!("its predictions are not finite numbers"),
    }
}

/// What the numbers of a classifier are, and the number of its classes.
fn outcome(
    rows: &[Vec<f64>],
    width: usize,
    last: &str,
    said: &Said,
    notes: &mut Vec<String>,
) -> Result<(Outcome, usize)> {
    if width == 1 {
        ensure!(
            [0, 2].contains(&said.labels.len()),
            usage(format!(
                "--labels has {} labels and the model one score, for two classes",
                said.labels.len()
            ))
        );
        let is_share = rows.iter().all(|row| (0.0..=1.0).contains(&row[0]));
        if last == "Sigmoid" || (last == "Concat" && is_share) {
            return Ok((Outcome::Second, 2));
        }
        notes.push(
            "its score is taken as the log-odds of the second class: the graph ends in no sigmoid".into(),
        );
        return Ok((Outcome::Score, 2));
    }
    let adds_up = |row: &Vec<f64>| {
        row.iter().all(|p| (-1e-5..=1.0 + 1e-5).contains(p)) && (row.iter().sum::<f64>() - 1.0).abs() < 1e-3
    };
    if rows.iter().all(adds_up) {
        return Ok((Outcome::Probabilities, width));
    }
    ensure!(
        last != "Sigmoid",
        "its {width} probabilities do not add up to 1: a model of several labels at once is not read"
    );
    notes.push(
        "its scores are no probabilities: their softmax is taken, which keeps the order of the classes and is not calibrated"
            .into(),
    );
    Ok((Outcome::Scores, width))
}
