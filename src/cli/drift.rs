//! `mlapi drift`: compares the rows of a file with those of training.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Serialize;

use super::args::{Drift, Format};
use super::term::{Term, write_json, write_text};
use crate::model::drift::{self, Counts, Expected, KnownRows, gate};
use crate::model::hold_out::{self, TestRows};
use crate::model::learn::{Watch, domain};
use crate::model::{Model, file};
use crate::report::{self, html};

#[derive(Serialize)]
struct DriftResult<'a> {
    model: &'a str,
    data: &'a str,
    #[serde(flatten)]
    drift: &'a drift::Drift,
}

/// Runs the verb.
pub(super) fn run(args: &Drift, term: &Term, out: &mut impl Write) -> Result<()> {
    let model = Model::open_within(&args.model, args.limit.max_model_bytes)?;
    let schema = &model.pipeline.schema;
    let names: Vec<&str> = schema.features.iter().map(|feature| feature.name.as_str()).collect();
    args.require.iter().try_for_each(|requirement| requirement.check_name(&names))?;
    let progress = term.progress("reading");
    let codes = hold_out::read_features(&model, &args.data, &args.dialect.options_like(&model))?;
    if codes.n_rows() == 0 {
        bail!("{} has no rows to compare", args.data);
    }
    let predictions = model.pipeline.predict(&codes, model.pipeline.decision());
    let folder = Path::new(&args.model).parent().unwrap_or(Path::new(""));
    // The classifier compares with rows, and the model file has none.
    let held_out = match model.card.refit {
        true => bail_reason("the model was fitted again on all rows, so none are held out"),
        false => TestRows::replay_codes(&model, folder, &args.dialect.options()),
    };
    let mut expected = Expected::of_card(&model);
    if let (Expected::Unknown, Ok((rows, _))) = (&expected, &held_out) {
        let known = model.pipeline.predict(rows, model.pipeline.decision());
        if known.classes.is_empty() {
            expected = Expected::of_values(known.scores.values());
        }
    }
    let bins = drift::bins_of(&model);
    let counts = Counts::of(&bins, &expected, &codes, &predictions);
    progress.stage("telling new rows from held-out ones");
    let mut found = counts.drift(&model, &bins, &expected);
    match held_out {
        Ok((rows, training)) => {
            match domain::tell(schema, &rows, &codes, model.card.seed)? {
                Some((auc, telling)) => (found.domain_auc, found.domain_features) = (Some(auc), telling),
                None => found.notes.push("too few rows for the domain classifier".into()),
            }
            let known = KnownRows::count(&model, &rows, training.as_ref(), &codes);
            found.notes.extend(known.remark(codes.n_rows()));
            found.known_rows = Some(known);
        }
        Err(error) => {
            found
                .notes
                .push(format!("no domain classifier, which needs the held-out rows of training: {error:#}"));
        }
    }
    progress.finish();
    if args.format == Format::Json {
        let result = DriftResult { model: &args.model, data: &args.data, drift: &found };
        write_json(out, &result)?;
    } else {
        found.notes.iter().for_each(|note| term.note(note));
        write_text(out, &format!("{}: {} compared with training\n", args.model, args.data))?;
        write_text(out, &report::drift::text(&found))?;
    }
    if let Some(path) = &args.report {
        let page = html::drift::page(&html::drift::Compared {
            model: &args.model,
            rows: if args.data == "-" { "standard input" } else { &args.data },
            drift: &found,
            features: &counts.distributions(&model, &bins),
            predictions: counts.of_predictions(&model, &expected).as_ref(),
            json: "mlapi drift --format json",
        });
        file::write_atomically(Path::new(path), page.as_bytes()).context("--report")?;
        term.note(format!("the report is in {path}"));
    }
    Ok(gate::check(&args.require, &found)?)
}

fn bail_reason<T>(reason: &str) -> Result<T> {
    bail!("{reason}")
}
