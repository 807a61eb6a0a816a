//! `mlapi import`: a model file of another program becomes a model.

use std::io::Write;
use std::path::Path;

use anyhow::Result;
use serde_json::json;

use super::args::{Common, DEFAULT_MODEL, DEFAULT_PORT, Import, ImportFormat};
use super::term::{Term, write_text};
use super::train::check_output;
use crate::import::{self, Imported};
use crate::model::file;
use crate::report::text::{count, table};

/// Runs the verb.
pub(super) fn run(args: &Import, common: &Common, term: &Term, out: &mut impl Write) -> Result<()> {
    let to_stdout = args.output == "-";
    if !to_stdout {
        check_output(Path::new(&args.output))?;
    }
    let imported = import::Import {
        file: args.file.clone(),
        format: args.formats.iter().rev().find_map(|format| format.of_file()),
        features: args.features.clone(),
        labels: args.labels.clone(),
        target: args.target.clone(),
        data: args.data.clone(),
        options: args.dialect.options(),
        expect: args.expect.clone(),
    }
    .run()?;
    imported.model.card.notes.iter().for_each(|note| term.note(note));
    let bytes = file::to_bytes(&imported.model)?;
    if to_stdout {
        return Ok(out.write_all(&bytes)?);
    }
    file::write_atomically(Path::new(&args.output), &bytes)?;
    if args.formats.contains(&ImportFormat::Json) {
        return write_json(args, &imported, out);
    }
    write_text(out, &summary(&imported))?;
    write_text(out, &format!("\nThe model is in {}\n", args.output))?;
    if !common.quiet {
        let model = match args.output.as_str() {
            DEFAULT_MODEL => String::new(),
            path => format!(" --model {path}"),
        };
        let next = format!("Next:\n  mlapi inspect{model}\n  mlapi serve{model} --port {DEFAULT_PORT}\n");
        write_text(out, &next)?;
    }
    Ok(())
}

fn summary(imported: &Imported) -> String {
    let Imported { model, n_trees, n_rows, agreement } = imported;
    let schema = &model.pipeline.schema;
    let mut facts = Vec::new();
    if let Some(origin) = &model.card.origin {
        facts.push(("model", origin.to_string()));
    }
    match model.pipeline.only_member().map(|member| member.predictor.form()) {
        Some(form) if *n_trees == 0 => facts.push(("form", form.to_string())),
        _ => facts.push(("trees", n_trees.to_string())),
    }
    facts.push(("features", schema.n_features().to_string()));
    facts.push(("target", format!("{}, {}", schema.target.name, schema.target.task.name())));
    if !schema.target.labels.is_empty() {
        facts.push(("classes", schema.target.labels.join(", ")));
    }
    if *n_rows > 0 {
        facts.push(("sample", count(*n_rows, "row", "rows")));
    }
    if let Some(agreement) = agreement {
        let rows = count(agreement.n_rows, "row", "rows");
        facts.push((
            "compared",
            match agreement.largest {
                Some(largest) => format!("{rows}, largest difference {largest:.1e}"),
                None => format!("{rows}, all labels equal"),
            },
        ));
    }
    let rows: Vec<Vec<String>> =
        facts.into_iter().map(|(name, value)| vec![name.to_string(), value]).collect();
    table(&rows, 2, false)
}

fn write_json(args: &Import, imported: &Imported, out: &mut impl Write) -> Result<()> {
    let Imported { model, n_trees, n_rows, agreement } = imported;
    let target = &model.pipeline.schema.target;
    let mut result = json!({
        "model": args.output,
        "origin": model.card.origin,
        "task": target.task,
        "target": target.name,
        "labels": target.labels.iter().map(|label| target.json_label(label)).collect::<Vec<_>>(),
        "features": model.pipeline.schema.features.iter().map(|feature| &feature.name).collect::<Vec<_>>(),
        "trees": n_trees,
        "n_rows": n_rows,
        "notes": model.card.notes,
    });
    if let Some(agreement) = agreement {
        result["compared"] = json!({ "n_rows": agreement.n_rows, "largest_difference": agreement.largest });
    }
    Ok(writeln!(out, "{result}")?)
}
