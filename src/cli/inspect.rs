//! `mlapi inspect`: shows the contents of a model file.

use std::io::Write;

use anyhow::Result;

use super::args::{Common, Format, Inspect};
use super::term::Term;
use crate::model::file;
use crate::report::card;
use crate::usage::usage;

/// Runs the verb.
pub(super) fn run(args: &Inspect, common: &Common, term: &Term, out: &mut impl Write) -> Result<()> {
    if common.format == Format::Ndjson {
        return Err(usage("--format ndjson is for predict; inspect writes text or json"));
    }
    let model = file::load(&args.model)?;
    if common.format == Format::Json {
        writeln!(out, "{}", card::describe(&model))?;
        return Ok(());
    }
    write!(out, "{}\n{}", args.model, card::text(&model))?;
    model.card.notes.iter().for_each(|note| term.note(note));
    Ok(())
}
