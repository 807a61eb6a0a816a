//! `mlapi diff`: what differs between two model files.

use std::io::Write;

use anyhow::Result;

use super::args::{Diff, Format};
use super::term::write_text;
use crate::model::Model;
use crate::model::difference::Differences;
use crate::report::difference;

/// Runs the verb.
pub(super) fn run(args: &Diff, out: &mut impl Write) -> Result<()> {
    let [a, b] = [&args.a, &args.b].map(|path| Model::open_within(path, args.limit.max_model_bytes));
    let found = Differences::between(&a?, &b?);
    if args.format == Format::Json {
        let json = serde_json::json!({ "a": args.a, "b": args.b, "differences": found });
        return Ok(writeln!(out, "{json}")?);
    }
    Ok(write_text(out, &difference::text(&args.a, &args.b, &found))?)
}
