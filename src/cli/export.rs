//! `mlapi export`: a model in a form that other programs run.

use std::io::Write;
use std::path::Path;

use anyhow::Result;

use super::args::Export;
use super::train::check_output;
use crate::export::export;
use crate::model::{Model, file};

/// Runs the verb.
pub(super) fn run(args: &Export, out: &mut impl Write) -> Result<()> {
    let to_stdout = args.output == "-";
    if !to_stdout {
        check_output(Path::new(&args.output))?;
    }
    let model = Model::open_within(&args.model, args.limit.max_model_bytes)?;
    let text = export(&model, args.to.form())?;
    if to_stdout {
        return Ok(out.write_all(text.as_bytes())?);
    }
    file::write_atomically(Path::new(&args.output), text.as_bytes())
}
