//! Messages on the terminal: warnings, errors, progress. The only user of indicatif.
//!
//! All of them go to stderr; results are written by the verbs.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::args::Color;
use crate::model::learn::Watch;
use crate::model::selection::Standing;
use crate::printable::printable;
use crate::report::selection;

/// Writes a result for people. Nothing in it steers the terminal.
pub(super) fn write_text(out: &mut dyn Write, text: &str) -> io::Result<()> {
    out.write_all(printable(text).as_bytes())
}

/// The writer of messages.
#[derive(Debug)]
pub(super) struct Term {
    quiet: bool,
    verbose: bool,
    color: bool,
}

impl Term {
    /// Follows the flags, `NO_COLOR` and the terminal.
    pub(super) fn new(quiet: bool, verbose: bool, color: Color) -> Self {
        let color = match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
                !refused && io::stderr().is_terminal()
            }
        };
        Self { quiet, verbose, color }
    }

    fn say(&self, label: &str, code: &str, text: &dyn fmt::Display) {
        let text = text.to_string();
        let text = printable(&text);
        let mut stderr = io::stderr().lock();
        // A message that stderr does not take has nowhere else to go.
        let _ = if self.color {
            writeln!(stderr, "\x1b[{code}m{label}:\x1b[0m {text}")
        } else {
            writeln!(stderr, "{label}: {text}")
        };
    }

    /// The error that ended the work.
    pub(super) fn error(&self, error: &anyhow::Error) {
        self.say("error", "1;31", &format_args!("{error:#}"));
    }

    /// A message that the user should see.
    pub(super) fn warn(&self, text: impl fmt::Display) {
        if !self.quiet {
            self.say("warning", "1;33", &text);
        }
    }

    /// A message that may interest the user.
    pub(super) fn note(&self, text: impl fmt::Display) {
        if !self.quiet {
            self.say("note", "1;36", &text);
        }
    }

    /// A message for `--verbose`.
    pub(super) fn detail(&self, text: impl fmt::Display) {
        if self.verbose {
            self.say("detail", "2", &text);
        }
    }

    /// A line on stderr without a label.
    pub(super) fn line(&self, text: impl fmt::Display) {
        if !self.quiet {
            let _ = writeln!(io::stderr().lock(), "{}", printable(&text.to_string()));
        }
    }

    /// A progress display; shown only on a terminal, and only once the work takes a while.
    pub(super) fn progress(&self, what: &str) -> Progress {
        let bar = ProgressBar::new(0);
        let shown = !self.quiet && io::stderr().is_terminal();
        bar.set_draw_target(if shown {
            ProgressDrawTarget::stderr_with_hz(10)
        } else {
            ProgressDrawTarget::hidden()
        });
        bar.set_style(ProgressStyle::default_spinner());
        bar.set_prefix(what.to_string());
        if shown {
            bar.enable_steady_tick(Duration::from_millis(200));
        }
        Progress { bar, stop: Arc::new(AtomicBool::new(false)) }
    }
}

/// A progress display, and the listener for Ctrl-C.
#[derive(Debug)]
pub(super) struct Progress {
    bar: ProgressBar,
    stop: Arc<AtomicBool>,
}

impl Progress {
    /// From now on the first Ctrl-C asks the work to stop with the best so far, the second ends the program.
    ///
    /// # Errors
    /// The system does not let signals be handled.
    pub(super) fn stop_on_interrupt(&self) -> io::Result<()> {
        let signal = signal_hook::consts::SIGINT;
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&self.stop))?;
        signal_hook::flag::register(signal, Arc::clone(&self.stop))?;
        Ok(())
    }

    /// Shows the number of rows that are done.
    pub(super) fn rows(&self, n: usize) {
        self.bar.set_message(format!("{n} rows"));
    }

    /// Removes the display.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Watch for Progress {
    fn progress(&self, done: u64, total: u64, state: fmt::Arguments) {
        if !self.bar.is_hidden() {
            self.bar.set_message(format!(
                "step {done} of at most {total}, {state}; Ctrl-C keeps the best so far"
            ));
        }
    }

    fn compared(&self, standing: &Standing) {
        if !self.bar.is_hidden() {
            self.bar.println(format!("  {}", printable(&selection::line(standing))));
        }
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}
