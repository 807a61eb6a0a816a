//! The command line: [`args`] holds flags and their help, each verb has a file that turns flags into calls of the
//! library and shows the result, `term` writes warnings, errors and progress.
//!
//! stdout is data, stderr is talk.

mod allocator;
pub mod args;
mod bundle;
mod detail;
mod dialect;
mod diff;
mod drift;
mod eval;
#[cfg(feature = "import")]
mod export;
mod healthcheck;
#[cfg(feature = "import")]
mod import;
mod inspect;
mod predict;
mod report;
mod serve;
mod term;
mod train;
mod trial;

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use anyhow::{Context, Result};

#[cfg(not(feature = "import"))]
use crate::error::usage;
use crate::error::{Error, Interrupted, Unmet};
use crate::model::bundle::running;
use crate::model::requirement::NotMet;
use args::{Args, Color, Verb};
use term::Term;

/// The program: exit status 0 done (a closed pipe included), 1 the work failed, 2 wrong usage, 3 a
/// requirement of `eval` or `drift` not met or a new model not better, 130 interrupted before there was a result.
pub fn main() -> ExitCode {
    // Of a bundle, the model is in the program.
    let bundled = match running() {
        Ok(path) => path.and_then(|path| path.into_os_string().into_string().ok()),
        Err(error) => {
            Term::new(false, false, Color::Auto).error(&error);
            return ExitCode::FAILURE;
        }
    };
    let bundled = bundled.map(|path| &*path.leak());
    let args = match Args::parse_line(std::env::args_os(), bundled) {
        Ok(args) => args,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let term = Term::new(args.common.quiet, args.common.verbose, args.common.color);
    match run(&args, &term) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            term.error(&error);
            ExitCode::from(match error {
                error if Error::is_usage(&error) => 2,
                error if error.is::<NotMet>() || error.is::<Unmet>() => 3,
                // As the shell says of a program that SIGINT ended.
                error if error.is::<Interrupted>() => 130,
                _ => 1,
            })
        }
    }
}

fn run(args: &Args, term: &Term) -> Result<()> {
    let common = &args.common;
    let mut out = BufWriter::new(standard_output());
    match &args.verb {
        Verb::Train(train) => {
            train.dialect.check()?;
            use_threads(common.threads)?;
            train::run(train, common, term, &mut out)?;
        }
        Verb::Eval(eval) => {
            eval.dialect.check()?;
            use_threads(common.threads)?;
            eval::run(eval, term, &mut out)?;
        }
        Verb::Predict(predict) => {
            predict.dialect.check()?;
            use_threads(common.threads)?;
            predict::run(predict, term, &mut out)?;
        }
        Verb::Serve(serve) => {
            drop(out);
            return serve::run(serve, common, term);
        }
        Verb::Diff(diff) => diff::run(diff, &mut out)?,
        Verb::Drift(drift) => {
            drift.dialect.check()?;
            use_threads(common.threads)?;
            drift::run(drift, term, &mut out)?;
        }
        #[cfg(feature = "import")]
        Verb::Import(import) => {
            import.dialect.check()?;
            use_threads(common.threads)?;
            import::run(import, common, term, &mut out)?;
        }
        #[cfg(feature = "import")]
        Verb::Export(export) => export::run(export, &mut out)?,
        #[cfg(not(feature = "import"))]
        Verb::Import(_) | Verb::Export(_) => {
            return Err(usage(
                "this mlapi was built without import and export; cargo install mlapi --features import builds one with them",
            ));
        }
        Verb::Bundle(bundle) => bundle::run(bundle, &mut out)?,
        Verb::Inspect(inspect) => inspect::run(inspect, term, &mut out)?,
        Verb::Healthcheck(healthcheck) => healthcheck::run(healthcheck, term)?,
        Verb::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut args::command(), "mlapi", &mut script);
            out.write_all(&script)?;
        }
    }
    out.flush().context("cannot write to standard output")
}

/// Standard output, unbuffered. That of the standard library holds back what follows the last line break, even inside a
/// record batch, so that its reader is woken twice.
fn standard_output() -> Box<dyn Write> {
    #[cfg(unix)]
    if let Ok(descriptor) = std::os::fd::AsFd::as_fd(&io::stdout()).try_clone_to_owned() {
        return Box::new(std::fs::File::from(descriptor));
    }
    Box::new(io::stdout().lock())
}

/// Limits the threads of the work; without a number, rayon starts one per core when first needed.
fn use_threads(threads: Option<usize>) -> Result<()> {
    if let Some(n) = threads {
        rayon::ThreadPoolBuilder::new().num_threads(n).build_global().context("cannot start threads")?;
    }
    Ok(())
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe))
}
