//! `mlapi export`: a model in a form that other programs run.

use std::io::Write;
use std::path::Path;

use anyhow::Result;

use super::args::{Export, ExportForm};
use super::train::check_output;
use crate::error::usage;
use crate::export::export;
use crate::model::{Model, file};

/// Runs the verb.
pub(super) fn run(args: &Export, out: &mut impl Write) -> Result<()> {
    if args.compat && args.to != ExportForm::Onnx {
        return Err(usage("--compat is for --to onnx"));
    }
    let to_stdout = args.output == "-";
    if !to_stdout {
        check_output(Path::new(&args.output))?;
    }
    let model = Model::open_within(&args.model, args.limit.max_model_bytes)?;
    let bytes = export(&model, args.to.form(args.compat))?;
    if to_stdout {
        return Ok(out.write_all(&bytes)?);
    }
    file::write_atomically(Path::new(&args.output), &bytes)
}
