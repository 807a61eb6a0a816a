//! Messages on the terminal: warnings, errors, progress. The only user of indicatif.
//!
//! All of them go to stderr; results are written by the verbs.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use super::args::Color;
use crate::model::learn::Watch;
use crate::model::selection::Standing;
use crate::printable::printable;
use crate::report::selection;

/// Writes a result for people. Nothing in it steers the terminal.
pub(super) fn write_text(out: &mut dyn Write, text: &str) -> io::Result<()> {
    out.write_all(printable(text).as_bytes())
}

/// Writes a result as a line of JSON.
pub(super) fn write_json(out: &mut dyn Write, result: &impl Serialize) -> Result<()> {
    let mut line = serde_json::to_vec(result)?;
    line.push(b'\n');
    Ok(out.write_all(&line)?)
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
        let shown = !self.quiet && io::stderr().is_terminal();
        let target =
            if shown { ProgressDrawTarget::stderr_with_hz(10) } else { ProgressDrawTarget::hidden() };
        Progress::new(what, target)
    }
}

/// What the display shows of a stage.
const STAGE: &str = "{spinner} {prefix} {wide_msg}";
const BAR: &str = "{spinner} {prefix} {wide_msg} [{bar:8}] {pos}/{len} {eta} left";
const BYTES: &str = "{spinner} {prefix} {wide_msg} [{bar:8}] {bytes} of {total_bytes} {eta} left";

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template);
    style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("##-")
}

/// A progress display, and the listener for Ctrl-C.
#[derive(Debug)]
pub(super) struct Progress {
    bar: ProgressBar,
    stop: Arc<AtomicBool>,
    /// The template of the display, and when the stage began.
    stage: Mutex<(&'static str, Instant)>,
    /// Whether Ctrl-C stops the work.
    can_stop: AtomicBool,
}

impl Progress {
    fn new(what: &str, target: ProgressDrawTarget) -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), target).with_style(style(STAGE));
        let progress = Self {
            bar,
            stop: Arc::new(AtomicBool::new(false)),
            stage: Mutex::new((STAGE, Instant::now())),
            can_stop: AtomicBool::new(false),
        };
        progress.stage(what);
        if !progress.bar.is_hidden() {
            progress.bar.enable_steady_tick(Duration::from_millis(200));
        }
        progress
    }

    /// Changes the template if it is another one, after the message that it shows.
    fn show(&self, template: &'static str, message: String) {
        self.bar.set_message(message);
        let mut stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        if stage.0 != template {
            stage.0 = template;
            self.bar.set_style(style(template));
        }
    }

    /// From now on the first Ctrl-C asks the work to stop with the best so far, the second ends the program.
    ///
    /// # Errors
    /// The system does not let signals be handled.
    pub(super) fn stop_on_interrupt(&self) -> io::Result<()> {
        let signal = signal_hook::consts::SIGINT;
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&self.stop))?;
        signal_hook::flag::register(signal, Arc::clone(&self.stop))?;
        self.can_stop.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Shows the number of rows that are done.
    pub(super) fn rows(&self, n: usize) {
        self.read(0, 0, n);
    }

    /// Shows how many replicates of a bootstrap are done, until they all are.
    pub(super) fn replicates(&self) -> impl Fn(usize, usize) + Sync + use<'_> {
        |done, total| match done == total {
            true => self.stage("evaluating"),
            false => self.progress(done as u64, total as u64, format_args!("samples drawn")),
        }
    }

    /// Removes the display.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Watch for Progress {
    fn stage(&self, name: &str) {
        if self.bar.is_hidden() {
            return;
        }
        self.stage.lock().unwrap_or_else(PoisonError::into_inner).1 = Instant::now();
        self.show(STAGE, String::new());
        self.bar.set_prefix(name.to_string());
        self.bar.reset();
    }

    fn read(&self, bytes: u64, total: u64, rows: usize) {
        if self.bar.is_hidden() {
            return;
        }
        let is_known = total > 0 && bytes > 0;
        let began = self.stage.lock().unwrap_or_else(PoisonError::into_inner).1;
        let speed = rows as f64 / began.elapsed().as_secs_f64().max(1e-3);
        self.bar.set_length(total);
        self.bar.set_position(bytes.min(total));
        self.show(if is_known { BYTES } else { STAGE }, format!("{rows} rows, {speed:.0} rows/s"));
    }

    fn progress(&self, done: u64, total: u64, state: fmt::Arguments) {
        if self.bar.is_hidden() {
            return;
        }
        self.bar.set_length(total);
        self.bar.set_position(done);
        let hint = if self.can_stop.load(Ordering::Relaxed) { "; Ctrl-C keeps the best so far" } else { "" };
        self.show(BAR, format!("{state}{hint}"));
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

#[cfg(test)]
mod tests {
    use indicatif::TermLike;

    use super::*;

    /// A terminal of 120 columns that remembers all that was written to it.
    #[derive(Debug, Clone, Default)]
    struct Recorder(Arc<Mutex<String>>);

    impl Recorder {
        fn add(&self, text: &str) -> io::Result<()> {
            self.0.lock().unwrap().push_str(text);
            Ok(())
        }
    }

    impl TermLike for Recorder {
        fn width(&self) -> u16 {
            120
        }

        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn write_line(&self, text: &str) -> io::Result<()> {
            self.add(text)?;
            self.add("\n")
        }

        fn write_str(&self, text: &str) -> io::Result<()> {
            self.add(text)
        }

        fn clear_line(&self) -> io::Result<()> {
            self.add("\r")
        }

        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn each_stage_shows_what_is_known_of_it() {
        let recorder = Recorder::default();
        let seen = || std::mem::take(&mut *recorder.0.lock().unwrap());
        let target = ProgressDrawTarget::term_like(Box::new(recorder.clone()));
        let progress = Progress::new("starting", target);
        let shown = |change: &dyn Fn()| {
            seen();
            change();
            progress.bar.force_draw();
            // Each drawing begins with an empty line.
            seen().rsplit('\r').next().unwrap_or_default().to_string()
        };
        progress.stage("reading");
        let text = shown(&|| progress.read(512 * 1024, 1024 * 1024, 7000));
        assert!(text.contains("reading 7000 rows, ") && text.contains("[####"), "{text}");
        assert!(text.contains("] 512.00 KiB of 1.00 MiB ") && text.contains(" left"), "{text}");
        let text = shown(&|| progress.read(0, 0, 8000));
        assert!(text.contains("reading 8000 rows") && !text.contains('['), "{text}");
        progress.stage("evaluating, with intervals by bootstrap");
        let text = shown(&|| progress.replicates()(150, 200));
        assert!(text.contains("by bootstrap samples drawn ") && text.contains("] 150/200 "), "{text}");
        progress.replicates()(200, 200);
        progress.stage("fitting gradient-boosting");
        let text = shown(&|| progress.progress(25, 100, format_args!("validation loss 0.31")));
        assert!(text.contains("fitting gradient-boosting validation loss 0.31 "), "{text}");
        assert!(text.contains("[##") && text.contains("] 25/100 ") && text.contains(" left"), "{text}");
        progress.finish();
    }

    #[test]
    fn nothing_is_shown_where_there_is_no_terminal() {
        let progress = Progress::new("reading", ProgressDrawTarget::hidden());
        progress.stage("fitting");
        progress.read(1, 2, 3);
        progress.progress(1, 2, format_args!("loss"));
        assert!(progress.bar.is_hidden() && progress.bar.position() == 0);
    }
}
