//! `mlapi inspect`: what a model file holds.

use std::io::Write;

use anyhow::Result;

use super::args::{Format, Inspect};
use super::term::Term;
use crate::data::cells::date;
use crate::data::cells::schema::ColumnType;
use crate::model::file;
use crate::report::{card, selection, text};

/// Runs the verb.
pub fn run(args: &Inspect, term: &Term, out: &mut impl Write) -> Result<()> {
    let model = file::load(&args.model)?;
    if args.format == Format::Json {
        serde_json::to_writer(&mut *out, &card::describe(&model))?;
        return Ok(out.write_all(b"\n")?);
    }
    let (card, schema) = (&model.card, &model.pipeline.schema);
    let settings = card.hyperparameters.iter().map(|(key, value)| format!("{key}={value}"));
    let sources = || std::iter::once(&card.data).chain(&card.more_data);
    let paths: Vec<&str> = sources().map(|source| source.path.as_str()).collect();
    let mut facts = vec![
        ("target", format!("{}, {}", schema.target.name, schema.target.task.name())),
        ("algorithm", card.algorithm.clone()),
        ("settings", settings.collect::<Vec<_>>().join(" ")),
        ("trained on", format!("{}, {} rows", paths.join(", "), card.n_train)),
    ];
    facts.extend(sources().map(|source| ("sha256", source.sha256.clone())));
    facts.push(("seed", card.seed.to_string()));
    if let Some(test) = &card.test {
        facts.push(("tested on", format!("{}, {} rows", test.path, card.evaluation.n_rows)));
    }
    if card.refit {
        facts.push(("fitted again", "on all rows after the evaluation".into()));
    }
    if !schema.target.labels.is_empty() {
        facts.insert(1, ("classes", schema.target.labels.join(", ")));
    }
    let rows: Vec<Vec<String>> =
        facts.into_iter().map(|(name, value)| vec![name.to_string(), value]).collect();
    write!(out, "{}\n{}", args.model, text::table(&rows, 2, false))?;

    let importances = card::importances(&model);
    let mut rows = vec![["feature", "type", "importance", "gaps", "values"].map(String::from).to_vec()];
    for feature in &schema.features {
        let importance = importances.iter().find(|(name, _)| *name == feature.name).map(|(_, value)| *value);
        let values = match feature.column_type {
            ColumnType::Number => format!("{} to {}", feature.min, feature.max),
            ColumnType::Boolean => {
                format!("{}, {}", feature.words().text(false), feature.words().text(true))
            }
            ColumnType::Text => "texts".into(),
            ColumnType::Date => format!("{} to {}", date::format(feature.min), date::format(feature.max)),
            ColumnType::Category => {
                let shown: Vec<&str> = feature.levels.iter().take(5).map(String::as_str).collect();
                let more = if feature.levels.len() > 5 { ", …" } else { "" };
                format!("{} levels: {}{more}", feature.levels.len(), shown.join(", "))
            }
        };
        let kind = feature.column_type.name().to_string();
        let importance = importance.map_or(String::new(), |v| text::figure(Some(v)));
        rows.push(vec![feature.name.clone(), kind, importance, feature.missing.to_string(), values]);
    }
    write!(out, "\n{}", text::table(&rows, 2, false))?;
    for ignored in &schema.ignored {
        writeln!(out, "  {} is not used: {}", ignored.name, ignored.reason)?;
    }
    out.write_all(selection::selection(&card.selection, false).as_bytes())?;
    let rows = text::count(card.evaluation.n_rows, "held-out row", "held-out rows");
    writeln!(out, "\nOn {rows}, recorded at training:")?;
    out.write_all(text::metrics(&card.evaluation, false).as_bytes())?;
    for note in &card.notes {
        term.note(note);
    }
    Ok(())
}
