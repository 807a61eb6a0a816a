//! `mlapi inspect`: shows the contents of a model file.

use std::io::Write;

use anyhow::Result;

use super::args::{Format, Inspect};
use super::term::{Term, write_text};
use crate::model::Model;
use crate::report::card;

/// Runs the verb.
pub(super) fn run(args: &Inspect, term: &Term, out: &mut impl Write) -> Result<()> {
    let model = Model::open_within(&args.model, args.limit.max_model_bytes)?;
    if args.format == Format::Json {
        writeln!(out, "{}", card::describe(&model))?;
        return Ok(());
    }
    write_text(out, &format!("{}\n{}", args.model, card::text(&model)))?;
    model.card.notes.iter().for_each(|note| term.note(note));
    Ok(())
}
