//! Rows with their predictions, written: block after block in the order of the input, in each [`Format`].

use std::collections::BTreeSet;
use std::io::{Read, Write};

use anyhow::{Context, Result};

use super::answer::{AnswerWriter, DOCUMENT_START, MAX_LISTED_WARNINGS, number};
use super::batch::{Batch, Row};
use super::explained;
use super::ranked::Best;
use super::what_if;
use super::{Format, Options, Part, Summary, TooManyRows};
use crate::background::give_way_at;
use crate::data::cells::schema::Warning;
use crate::data::read::blocks::{Block, Blocks, in_order};
use crate::model::pipeline::{Pipeline, Predictions};
use crate::model::postprocessing::Postprocessing;

/// How the rows of one input are answered; the same for all threads.
pub(super) struct Job<'a> {
    pub pipeline: &'a Pipeline,
    pub options: &'a Options,
    /// The name of the input in messages.
    pub source: &'a str,
    /// The names of the columns that a prediction adds.
    pub added: Vec<String>,
    pub answers: AnswerWriter,
}

/// The columns that a prediction adds, and the names under which they stand beside the `kept` columns of the input:
/// another one if a kept column has it, for no reader of a table takes two columns of one name rightly.
pub(super) fn added(pipeline: &Pipeline, options: &Options, kept: &[String]) -> Vec<(String, String)> {
    let labels = pipeline.labels();
    let mut added = vec!["prediction".to_string()];
    if !labels.is_empty() {
        added.push("probability".into());
    }
    if options.probabilities {
        added.extend(labels.iter().map(|label| format!("probability_{label}")));
    }
    let Postprocessing { interval, prediction_sets, .. } = &pipeline.postprocessing;
    if interval.is_some() {
        added.extend(["interval_low", "interval_high"].map(String::from));
    }
    if options.rank.is_some() {
        added.push("score".into());
    }
    if prediction_sets.is_some() {
        added.push("prediction_set".into());
    }
    if options.explain.is_some() {
        added.extend(explained::columns(&pipeline.schema));
    }
    let mut taken: BTreeSet<String> = kept.iter().chain(&added).cloned().collect();
    let kept: BTreeSet<&String> = kept.iter().collect();
    let mut beside = |name: String| {
        if !kept.contains(&name) {
            return (name.clone(), name);
        }
        let free = (1..).map(|n| format!("{name}_{n}")).find(|other| !taken.contains(other));
        let written = free.unwrap_or_else(|| name.clone());
        taken.insert(written.clone());
        (name, written)
    };
    added.into_iter().map(&mut beside).collect()
}

impl<'a> Job<'a> {
    /// `kept`: the columns of the input that are repeated beside the prediction.
    pub(super) fn new(
        pipeline: &'a Pipeline,
        options: &'a Options,
        source: &'a str,
        kept: &[String],
    ) -> Self {
        let added = added(pipeline, options, kept).into_iter().map(|(_, written)| written).collect();
        Self { pipeline, options, source, added, answers: AnswerWriter::new(pipeline) }
    }

    /// The numbers of the added columns after the prediction itself and before its set.
    pub(super) fn added_numbers<'p>(
        &self,
        predictions: &'p Predictions,
        row: usize,
    ) -> impl Iterator<Item = f64> + 'p {
        let scores = predictions.scores.row(row);
        let class = predictions.classes.get(row);
        let all = if self.options.probabilities && class.is_some() { scores } else { &[] };
        let interval = self.pipeline.postprocessing.interval.filter(|_| class.is_none());
        let ends = interval.map(|interval| interval.around(scores[0])).into_iter().flatten();
        let ranked = self.options.rank.map(|rank| scores[rank.score]);
        let first = class.map(|&class| scores[class as usize]).into_iter().chain(all.iter().copied());
        first.chain(ends).chain(ranked)
    }

    /// The classes of a row's prediction set, if the model gives any.
    pub(super) fn set<'p>(
        &'p self,
        predictions: &'p Predictions,
        row: usize,
    ) -> Option<impl Iterator<Item = usize> + 'p> {
        let sets = self.pipeline.postprocessing.prediction_sets.as_ref()?;
        Some(sets.classes(predictions.scores.row(row)))
    }

    /// The numbers of the columns of an explanation, the last of the added ones.
    pub(super) fn explained_numbers<'b>(
        &self,
        batch: &'b Batch,
        row: usize,
    ) -> impl Iterator<Item = f64> + 'b {
        batch.explanations.get(row).into_iter().flat_map(explained::numbers)
    }

    /// Predicts a batch that has been read, and explains the predictions if that is wanted. `place` names the place of a
    /// row for people.
    pub(super) fn score(&self, batch: &mut Batch, place: impl Fn(&Row) -> String) {
        batch.predict(self.pipeline, self.options, place);
        batch.explanations.clear();
        if let Some(explain) = &self.options.explain {
            match explain.rows(self.pipeline, &batch.codes, &batch.predictions) {
                Ok(explanations) => batch.explanations = explanations,
                Err(error) => batch.failure = Some(error),
            }
        }
    }

    /// Predicts a batch that has been read, and writes its rows into its text; `line` is the line of a row, and
    /// `like_input` writes one row (by its index in `Batch::rows`) in the form of the input.
    pub(super) fn answer(
        &self,
        batch: &mut Batch,
        line: impl Fn(&Row) -> u64,
        like_input: impl Fn(&Batch, usize, &mut Vec<u8>),
    ) {
        self.score(batch, |row| format!("{} line {}", self.source, line(row)));
        let mut out = std::mem::take(&mut batch.out);
        let mut ends = std::mem::take(&mut batch.ends);
        let is_ranked = self.options.rank.is_some();
        for (i, row) in batch.rows.iter().enumerate() {
            give_way_at(i);
            if row.skipped || is_ranked && row.prediction.is_none() {
                continue;
            }
            match self.options.format {
                Format::LikeInput => like_input(batch, i, &mut out),
                format => self.element(batch, row.prediction, format, &mut out),
            }
            if is_ranked {
                ends.push((i, out.len()));
            }
        }
        (batch.out, batch.ends) = (out, ends);
    }

    /// An element of the answer of the HTTP API: a line, or with a comma before it.
    fn element(&self, batch: &Batch, row: Option<usize>, format: Format, out: &mut Vec<u8>) {
        let predictions = &batch.predictions;
        if format != Format::Ndjson {
            out.push(b',');
        }
        match row {
            Some(row) if format == Format::Values => self.answers.value(predictions, row, out),
            Some(row) => {
                self.answers.element(predictions, row, out);
                if let (Some(explanation), Some(explain)) =
                    (batch.explanations.get(row), &self.options.explain)
                {
                    out.pop();
                    let (schema, top) = (&self.pipeline.schema, explain.wish().top);
                    explained::append(schema, &batch.codes, row, explanation, top, out);
                    out.push(b'}');
                }
                if let Some(what_if) = &self.options.what_if {
                    out.pop();
                    let found = what_if.of_row(self.pipeline, &batch.codes, row);
                    what_if::append(&self.pipeline.schema, &found, out);
                    out.push(b'}');
                }
            }
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
    /// The first rows so far, if rows are ranked.
    best: Option<Best>,
    /// Rows read.
    n_read: usize,
}

impl<'a> Output<'a> {
    pub(super) fn new(job: &'a Job, out: &'a mut dyn Write, watch: &'a mut dyn FnMut(Part)) -> Self {
        let best = job.options.rank.map(|rank| Best::new(rank.top));
        let (summary, warnings) = (Summary::default(), Vec::new());
        Self { job, out, watch, summary, warnings, started: false, best, n_read: 0 }
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

    /// Writes elements of a document, each with a comma before it, or lines.
    fn elements(&mut self, mut bytes: &[u8]) -> Result<()> {
        if self.is_document() && !self.started && !bytes.is_empty() {
            self.write_all(DOCUMENT_START)?;
            bytes = &bytes[1..];
            self.started = true;
        }
        self.write_all(bytes)
    }

    /// Offers the rows of a block a place among the first.
    fn place(&mut self, batch: &Batch) {
        let (Some(best), Some(rank)) = (&mut self.best, self.job.options.rank) else { return };
        let (mut start, mut n_written, mut next) = (0, 0, 0);
        for &(i, end) in &batch.ends {
            let Some(prediction) = batch.rows[i].prediction else { continue };
            // Warnings count the rows that are not skipped.
            n_written += batch.rows[next..i].iter().filter(|row| !row.skipped).count();
            next = i;
            let of_row = |warning: &&Warning| warning.row == n_written;
            let text = &batch.out[start..end];
            let score = batch.predictions.scores.row(prediction)[rank.score];
            best.offer(score, self.n_read + batch.rows[i].number, &mut || {
                (text.to_vec(), batch.warnings.iter().filter(of_row).copied().collect())
            });
            start = end;
        }
    }

    /// Writes the rows that are first, with their numbers in the input and their scores where they are those of an answer.
    /// The number of warnings about them.
    fn ranking(&mut self, best: Best) -> Result<usize> {
        let format = self.job.options.format;
        let mut n_warnings = 0;
        for (place, mut row) in best.into_rows().into_iter().enumerate() {
            if matches!(format, Format::Json | Format::Ndjson) {
                while matches!(row.text.pop(), Some(b'\n')) {}
                row.text.extend_from_slice(b",\"index\":");
                row.text.extend_from_slice(row.index.to_string().as_bytes());
                row.text.extend_from_slice(b",\"score\":");
                number(row.score, &mut row.text);
                row.text.extend_from_slice(if format == Format::Ndjson { b"}\n" } else { b"}" });
            }
            self.elements(&row.text)?;
            n_warnings += row.warnings.len();
            let listed = row.warnings.into_iter().map(|warning| Warning { row: place, ..warning });
            self.warnings.extend(listed.take(MAX_LISTED_WARNINGS.saturating_sub(self.warnings.len())));
        }
        Ok(n_warnings)
    }

    /// Writes a block, then fails if something in it does not fit.
    fn block(&mut self, batch: &mut Batch) -> Result<()> {
        let n_before = self.summary.n_rows;
        if n_before + batch.rows.len() > self.job.options.max_rows {
            return Err(TooManyRows.into());
        }
        match self.best.is_some() {
            true => self.place(batch),
            false => {
                self.elements(&batch.out)?;
                self.flush()?;
                for warning in batch.warnings.iter().take(MAX_LISTED_WARNINGS - self.warnings.len()) {
                    self.warnings.push(Warning { row: n_before + warning.row, ..*warning });
                }
            }
        }
        self.n_read += batch.n_read();
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
        let mut n_warnings = self.summary.n_warnings();
        if let Some(best) = self.best.take() {
            n_warnings = self.ranking(best)?;
        }
        if self.is_document() {
            let mut end = if self.started { Vec::new() } else { DOCUMENT_START.to_vec() };
            end.push(b']');
            if self.job.options.format == Format::Json {
                self.job.answers.warnings(&self.warnings, n_warnings, &mut end);
            }
            end.extend_from_slice(b"}\n");
            self.write_all(&end)?;
        }
        self.flush()?;
        Ok(self.summary)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::cells::cell::ColumnType;
    use crate::data::cells::cell::Task;
    use crate::data::cells::matrix::Matrix;
    use crate::data::cells::schema::Schema;
    use crate::data::cells::table::{Column, Table};
    use crate::data::cells::target::Target;
    use crate::data::prepare::recipe::{Encoding, Recipe};
    use crate::data::read::blocks::Cut;
    use crate::model::pipeline::Decision;
    use crate::model::predictor::{Linear, Link, Predictor};
    use crate::predict::{BadRows, Keep, OnError};

    /// Predicts so many times x from x; training saw 0 to 5.
    fn line(slope: f64) -> Pipeline {
        let table = Table {
            source: "t.csv".into(),
            names: vec!["x".into(), "y".into()],
            columns: vec![Column::Number(vec![0.0, 5.0]), Column::Number(vec![0.0, 5.0])],
            lines: vec![2, 3].into(),
        };
        let target = Target {
            name: "y".into(),
            task: Task::Regression,
            labels: vec![],
            numeric_labels: false,
            notation: None,
        };
        let schema = Schema::fit(&table, &[(0, ColumnType::Number)], target, vec![], &[0, 1]);
        let recipe = Recipe::fit(&schema, Encoding::Raw, &Matrix::zeros(2, 1));
        let predictor = Predictor::Linear(Linear::new(Link::Identity, 1, vec![slope], vec![0.0]));
        Pipeline::single(schema, recipe, predictor)
    }

    /// The output for one number a line, read in blocks of about so many bytes.
    fn written(rows: &str, block_bytes: usize, options: &Options) -> (String, Result<Summary>) {
        written_by(1.0, rows, block_bytes, options)
    }

    fn written_by(
        slope: f64,
        rows: &str,
        block_bytes: usize,
        options: &Options,
    ) -> (String, Result<Summary>) {
        let pipeline = line(slope);
        let job = Job::new(&pipeline, options, "t.csv", &[]);
        let reader: Box<dyn Read + Send> = Box::new(std::io::Cursor::new(rows.to_string()));
        let mut blocks = Blocks::new("t.csv", Vec::new(), reader, Cut::Lines, block_bytes, false);
        let work = |block: &Block, batch: &mut Batch| {
            batch.start(1);
            for (i, line) in std::str::from_utf8(&block.bytes).unwrap().lines().enumerate() {
                let value = line.parse();
                match value {
                    Ok(value) => batch.codes.push_row(value).fill(value),
                    Err(_) if options.on_error == OnError::Stop => {
                        batch.add_problem(|| ("/x".into(), "no number".into(), line.into()));
                    }
                    Err(_) => {}
                }
                batch.admit(i..i, value.is_ok(), options.on_error);
            }
            let line_of = |row: &Row| block.line + row.place.start as u64;
            job.answer(batch, line_of, |batch, row, out| {
                let prediction = batch.rows[row].prediction.map(|row| batch.predictions.scores.row(row)[0]);
                out.extend(format!("{prediction:?}\n").bytes());
            });
        };
        let mut out = Vec::new();
        let result = Output::new(&job, &mut out, &mut |_| {}).write(&mut blocks, &work);
        (String::from_utf8(out).unwrap(), result)
    }

    fn options(format: Format, on_error: OnError) -> Options {
        Options {
            keep: Keep::None,
            format,
            decision: Decision::MostProbable,
            probabilities: false,
            lenient: false,
            strict: false,
            on_error,
            header: true,
            max_rows: usize::MAX,
            n_threads: 2,
            explain: None,
            what_if: None,
            rank: None,
        }
    }

    #[test]
    fn the_output_is_the_same_whatever_the_size_of_the_blocks() {
        let rows = "1\n7\nbad\n2\n3.5\n9\n";
        for (format, expected) in [
            (Format::LikeInput, "Some(1.0)\nSome(7.0)\nNone\nSome(2.0)\nSome(3.5)\nSome(9.0)\n"),
            (Format::Values, "{\"predictions\":[1.0,7.0,null,2.0,3.5,9.0]}\n"),
            (
                Format::Json,
                "{\"predictions\":[{\"prediction\":1.0},{\"prediction\":7.0},{\"prediction\":null},\
                 {\"prediction\":2.0},{\"prediction\":3.5},{\"prediction\":9.0}],\
                 \"warnings\":[{\"row\":1,\"feature\":\"x\",\"kind\":\"out_of_range\"},\
                 {\"row\":5,\"feature\":\"x\",\"kind\":\"out_of_range\"}]}\n",
            ),
        ] {
            for block_bytes in [1, 4, 5, 1000] {
                let (out, summary) = written(rows, block_bytes, &options(format, OnError::Null));
                assert_eq!(out, expected, "{block_bytes}");
                let summary = summary.unwrap();
                assert_eq!((summary.n_rows, summary.n_bad, summary.n_out_of_range), (6, 1, 2));
            }
        }
    }

    #[test]
    fn added_columns_are_never_called_as_kept_ones() {
        let pipeline = line(1.0);
        let options = options(Format::LikeInput, OnError::Stop);
        let names = |kept: &[&str]| {
            let kept: Vec<String> = kept.iter().map(|name| name.to_string()).collect();
            added(&pipeline, &options, &kept).into_iter().map(|(_, written)| written).collect::<Vec<_>>()
        };
        assert_eq!(names(&["x"]), ["prediction"]);
        assert_eq!(names(&["prediction", "x"]), ["prediction_1"]);
        assert_eq!(names(&["prediction", "prediction_1", "prediction_2"]), ["prediction_3"]);
    }

    #[test]
    fn a_document_without_rows_is_a_document() {
        assert_eq!(written("", 9, &options(Format::Values, OnError::Skip)).0, "{\"predictions\":[]}\n");
        let (out, summary) = written("bad\n", 9, &options(Format::Json, OnError::Skip));
        assert_eq!((out.as_str(), summary.unwrap().n_bad), ("{\"predictions\":[]}\n", 1));
    }

    #[test]
    fn the_rows_before_one_that_does_not_fit_are_written_and_it_is_named_by_its_row() {
        for block_bytes in [1, 4, 1000] {
            let (out, result) =
                written("1\n2\nbad\n3\n", block_bytes, &options(Format::Ndjson, OnError::Stop));
            assert_eq!(out, "{\"prediction\":1.0}\n{\"prediction\":2.0}\n");
            let bad = result.unwrap_err().downcast::<BadRows>().unwrap();
            assert_eq!((bad.problems.listed[0].pointer.as_str(), bad.messages.len()), ("/2/x", 1));
        }
    }

    #[test]
    fn a_row_whose_prediction_is_no_number_does_not_fit() {
        // The steep line below overflows for the largest numbers alone.
        let rows = "1\n-1e308\n2\nbad\n";
        for (on_error, expected) in [
            (OnError::Skip, "{\"prediction\":1000.0}\n{\"prediction\":2000.0}\n"),
            (
                OnError::Null,
                "{\"prediction\":1000.0}\n{\"prediction\":null}\n{\"prediction\":2000.0}\n{\"prediction\":null}\n",
            ),
            (OnError::Stop, "{\"prediction\":1000.0}\n"),
        ] {
            for block_bytes in [1, 9, 1000] {
                let (out, result) = written_by(1000.0, rows, block_bytes, &options(Format::Ndjson, on_error));
                assert_eq!(out, expected, "{on_error:?}");
                match result {
                    Ok(summary) => assert_eq!((summary.n_bad, summary.n_rows), (2, expected.lines().count())),
                    Err(error) => {
                        let bad = error.downcast::<BadRows>().unwrap();
                        assert_eq!(bad.problems.listed[0].pointer, "/1");
                        assert!(bad.messages[0].starts_with("t.csv line 2: the prediction is not a finite"));
                    }
                }
            }
        }
    }

    #[test]
    fn more_rows_than_allowed_are_not_written() {
        let three = Options { max_rows: 3, ..options(Format::LikeInput, OnError::Stop) };
        assert!(written("1\n2\n3\n", 1, &three).1.is_ok());
        let (out, result) = written("1\n2\n3\n4\n", 1, &three);
        assert!(result.unwrap_err().is::<TooManyRows>() && out.lines().count() <= 3);
    }
}
