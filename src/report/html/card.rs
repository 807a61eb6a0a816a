//! The model's card: settings, data, columns, how it was chosen.

use super::super::charts::table::Table;
use super::super::markup::{escaped, push};
use super::super::text::{count, figure};
use super::super::{card, selection};
use super::subject::Subject;
use crate::model::Model;

/// Columns that are listed.
const MAX_COLUMNS: usize = 200;

/// What the model is made of and of what; nothing for predictions made elsewhere.
pub(super) fn card(subject: &Subject) -> String {
    let Some((model, shown)) = subject.model else { return String::new() };
    let mut out = String::from("<dl class=\"facts\">");
    for (name, value) in card::facts(model, shown) {
        push(&mut out, format_args!("<dt>{}</dt><dd>{}</dd>", escaped(name), escaped(&value)));
    }
    out += "</dl>";
    for note in &shown.notes {
        push(&mut out, format_args!("<p>{}</p>", escaped(note)));
    }
    out += &columns(model).html();
    for ignored in &model.pipeline.schema.ignored {
        push(
            &mut out,
            format_args!(
                "<p><b>{}</b> is not used: {}</p>",
                escaped(&ignored.name),
                escaped(&ignored.reason)
            ),
        );
    }
    out
}

fn columns(model: &Model) -> Table {
    let mut table = Table::new(
        "Columns that the model reads",
        &["column", "type", "importance", "missing", "values in the training rows"],
    );
    let importances = model.importances();
    let features = &model.pipeline.schema.features;
    for feature in features.iter().take(MAX_COLUMNS) {
        let importance = importances.iter().find(|known| known.0 == feature.name);
        table.rows.push(vec![
            feature.name.clone(),
            feature.column_type.name().into(),
            importance.map_or(String::new(), |known| figure(Some(known.1))),
            feature.missing.to_string(),
            if feature.private { "private".into() } else { card::values(feature) },
        ]);
    }
    if features.len() > MAX_COLUMNS {
        let more = count(features.len() - MAX_COLUMNS, "more column", "more columns");
        table.caption = format!("{}; {more} not shown", table.caption);
    }
    table
}

/// How algorithm and settings were chosen.
pub(super) fn chosen(subject: &Subject) -> String {
    let Some((_, shown)) = subject.model else { return String::new() };
    let text = selection::selection(&shown.selection, false);
    if text.trim().is_empty() {
        return String::new();
    }
    let mut out = String::new();
    push(
        &mut out,
        format_args!(
            "<div class=\"scroll\" role=\"group\" tabindex=\"0\" aria-label=\"How the model was chosen\"><pre>{}</pre></div>",
            text.trim_matches('\n').lines().map(escaped).collect::<Vec<_>>().join("\n")
        ),
    );
    out
}
