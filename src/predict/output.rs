//! Rows with their predictions, written: block after block in the order of the input, in each [`Format`].

use std::io::{Read, Write};

use anyhow::{Context, Result};

use super::answer::{AnswerWriter, DOCUMENT_START, MAX_LISTED_WARNINGS};
use super::batch::Batch;
use super::{Format, Options, Part, Summary, TooManyRows};
use crate::background::give_way_at;
use crate::data::cells::schema::Warning;
use crate::data::read::blocks::{Block, Blocks, in_order};
use crate::model::Model;
use crate::model::pipeline::Predictions;

/// How the rows of one input are answered; the same for all threads.
pub(super) struct Job<'a> {
    pub model: &'a Model,
    pub options: &'a Options,
    /// The name of the input in messages.
    pub source: &'a str,
    /// The names of the columns that a prediction adds.
    pub added: Vec<String>,
    pub answers: AnswerWriter,
}

impl<'a> Job<'a> {
    pub(super) fn new(model: &'a Model, options: &'a Options, source: &'a str) -> Self {
        let labels = model.labels();
        let mut added = vec!["prediction".to_string()];
        if !labels.is_empty() {
            added.push("probability".into());
        }
        if options.probabilities {
            added.extend(labels.iter().map(|label| format!("probability_{label}")));
        }
        Self { model, options, source, added, answers: AnswerWriter::new(&model.pipeline.schema) }
    }

    /// The numbers of the added columns after the prediction itself.
    pub(super) fn added_numbers<'p>(
        &self,
        predictions: &'p Predictions,
        row: usize,
    ) -> impl Iterator<Item = f64> + 'p {
        let scores = predictions.scores.row(row);
        let class = predictions.classes.get(row);
        let all = if self.options.probabilities && class.is_some() { scores } else { &[] };
        class.map(|&class| scores[class as usize]).into_iter().chain(all.iter().copied())
    }

    /// Predicts a batch that has been read, and writes its rows into its text; `like_input` writes one row (by its
    /// index in `Batch::rows`) in the form of the input.
    pub(super) fn answer(&self, batch: &mut Batch, like_input: impl Fn(&Batch, usize, &mut Vec<u8>)) {
        batch.predict(self.model, self.options.decision);
        let mut out = std::mem::take(&mut batch.out);
        for (i, row) in batch.rows.iter().enumerate() {
            give_way_at(i);
            match self.options.format {
                Format::LikeInput => like_input(batch, i, &mut out),
                format => self.element(&batch.predictions, row.prediction, format, &mut out),
            }
        }
        batch.out = out;
    }

    /// An element of the answer of the HTTP API: a line, or with a comma before it.
    fn element(&self, predictions: &Predictions, row: Option<usize>, format: Format, out: &mut Vec<u8>) {
        if format != Format::Ndjson {
            out.push(b',');
        }
        match row {
            Some(row) if format == Format::Values => self.answers.value(predictions, row, out),
            Some(row) => self.answers.element(predictions, row, out),
            None if format == Format::Values => out.extend_from_slice(b"null"),
            None => out.extend_from_slice(b"{\"prediction\":null}"),
        }
        if format == Format::Ndjson {
            out.push(b'\n');
        }
    }
}

/// The output so far.
pub(super) struct Output<'a> {
    job: &'a Job<'a>,
    out: &'a mut dyn Write,
    watch: &'a mut dyn FnMut(Part),
    summary: Summary,
    /// The first warnings of all blocks.
    warnings: Vec<Warning>,
    /// Whether the document has an element.
    started: bool,
}

impl<'a> Output<'a> {
    pub(super) fn new(job: &'a Job, out: &'a mut dyn Write, watch: &'a mut dyn FnMut(Part)) -> Self {
        Self { job, out, watch, summary: Summary::default(), warnings: Vec::new(), started: false }
    }

    /// Lets `work` fill a batch from each block, on all threads, and writes the batches.
    ///
    /// # Errors
    /// [`super::BadRows`], [`TooManyRows`], or an input or output that fails.
    pub(super) fn write(
        mut self,
        blocks: &mut Blocks<Box<dyn Read + Send>>,
        work: &(dyn Fn(&Block, &mut Batch) + Sync),
    ) -> Result<Summary> {
        in_order(blocks, self.job.options.n_threads, work, |batch| self.block(batch))?;
        self.finish()
    }

    /// Whether the output is one JSON document.
    fn is_document(&self) -> bool {
        matches!(self.job.options.format, Format::Json | Format::Values)
    }

    pub(super) fn write_all(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes).context("cannot write the predictions")
    }

    pub(super) fn flush(&mut self) -> Result<()> {
        self.out.flush().context("cannot write the predictions")
    }

    /// Writes a block, then fails if something in it does not fit.
    fn block(&mut self, batch: &mut Batch) -> Result<()> {
        let n_before = self.summary.n_rows;
        if n_before + batch.rows.len() > self.job.options.max_rows {
            return Err(TooManyRows.into());
        }
        let mut bytes = batch.out.as_slice();
        if self.is_document() && !self.started && !bytes.is_empty() {
            self.write_all(DOCUMENT_START)?;
            // Each element has a comma before it.
            bytes = &bytes[1..];
            self.started = true;
        }
        self.write_all(bytes)?;
        self.flush()?;
        for warning in batch.warnings.iter().take(MAX_LISTED_WARNINGS - self.warnings.len()) {
            self.warnings.push(Warning { row: n_before + warning.row, ..*warning });
        }
        self.summary += batch.summary;
        (self.watch)(Part {
            n_rows: self.summary.n_rows,
            codes: &batch.codes,
            predictions: &batch.predictions,
            summary: batch.summary,
        });
        if let Some(bad) = batch.problems.take(self.job.source, n_before) {
            return Err(bad.into());
        }
        batch.failure.take().map_or(Ok(()), Err)
    }

    /// Ends the document, if it is one.
    fn finish(mut self) -> Result<Summary> {
        if self.is_document() {
            let mut end = if self.started { Vec::new() } else { DOCUMENT_START.to_vec() };
            end.push(b']');
            if self.job.options.format == Format::Json {
                self.job.answers.warnings(&self.warnings, self.summary.n_warnings(), &mut end);
            }
            end.extend_from_slice(b"}\n");
            self.write_all(&end)?;
        }
        self.flush()?;
        Ok(self.summary)
    }
}
