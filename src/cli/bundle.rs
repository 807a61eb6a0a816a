//! `mlapi bundle`: the running program and a model become one executable.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};

use super::args::Bundle;
use super::term::write_text;
use super::train::check_output;
use crate::model::{bundle, file};

/// Runs the verb.
pub(super) fn run(args: &Bundle, out: &mut impl Write) -> Result<()> {
    let path = Path::new(&args.output);
    let to_stdout = args.output == "-";
    if !to_stdout {
        check_output(path)?;
    }
    let model = file::bytes_within(Path::new(&args.model), args.limit.max_model_bytes)?;
    if to_stdout {
        return bundle::write(&model, out);
    }
    file::replace_executable(path, |file| bundle::write(&model, file))
        .with_context(|| format!("cannot bundle {}", args.model))?;
    let shown = path.display();
    let program = if path.components().count() > 1 { shown.to_string() } else { format!("./{shown}") };
    Ok(write_text(out, &format!("The program and the model are in {shown}\n\nNext:\n  {program} serve\n"))?)
}
