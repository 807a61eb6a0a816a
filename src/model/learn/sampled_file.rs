//! A file that a sample was drawn of, and the rows that are not in the sample: read again block by block, in constant
//! memory, by what a model of the sample knows of the columns.

use std::any::Any;
use std::ops::Range;
use std::sync::Arc;

use anyhow::Result;

use super::Watch;
use super::plan::Plan;
use super::train::go_on;
use crate::data::read::reservoir::Reservoir;
use crate::data::read::source::Options;
use crate::model::Model;
use crate::model::hold_out::{TestRows, known};

/// Rows that do not fit the model after which the evaluation ends.
const MAX_BAD: usize = 1000;

/// A file that a sample was drawn of.
pub(super) struct SampledFile<'a> {
    /// How it is learned from.
    pub(super) plan: &'a Plan,
    /// Where it is.
    pub(super) path: &'a str,
    /// The sample.
    pub(super) reservoir: Reservoir,
}

/// What was made of some rows: of whatever type, so that a pass is compiled once.
type Made = Box<dyn Any + Send>;

/// What was made of some rows, and how many do not fit.
#[derive(Default)]
struct Part {
    found: Vec<Made>,
    n_without_target: usize,
    n_bad: usize,
    last_error: Option<anyhow::Error>,
}

impl SampledFile<'_> {
    /// Reads a share of the rows that are not in the sample, block by block: `make` makes something of each block, on all
    /// cores, and `take` gets it in the order of the file. The number of rows that have no target value or do not fit the
    /// model.
    ///
    /// # Errors
    /// More than [`MAX_BAD`] rows that do not fit; a file that has changed; an interruption.
    pub(super) fn go_through<T: Send + 'static>(
        &self,
        model: &Model,
        share: Range<f64>,
        make: &(dyn Fn(TestRows) -> Result<T> + Sync),
        take: &mut dyn FnMut(T),
        watch: &dyn Watch,
    ) -> Result<usize> {
        let make = |rows| Ok(Box::new(make(rows)?) as Made);
        let mut take = |made: Made| {
            if let Ok(made) = made.downcast() {
                take(*made);
            }
        };
        self.pass(model, share, &make, &mut take, watch)
    }

    fn pass(
        &self,
        model: &Model,
        share: Range<f64>,
        make: &(dyn Fn(TestRows) -> Result<Made> + Sync),
        take: &mut dyn FnMut(Made),
        watch: &dyn Watch,
    ) -> Result<usize> {
        let (mut n_bad, mut n_without_target) = (0, 0);
        let work = |records: &[&[u8]], part: &mut Part| {
            *part = Part::default();
            self.make(model, records, make, part);
        };
        let consume = |part: &mut Part| {
            n_bad += part.n_bad;
            n_without_target += part.n_without_target;
            let error = part.last_error.take().filter(|_| n_bad > MAX_BAD);
            if let Some(error) = error {
                return Err(error.context(format!(
                    "more than {MAX_BAD} rows do not fit what the sample shows of their columns; a larger sample, or \
                     --type COL=TYPE, may help; the last of them, with a header above it"
                )));
            }
            part.found.drain(..).for_each(&mut *take);
            go_on(watch)
        };
        self.reservoir.rest(self.path, &self.plan.options, share, work, consume)?;
        Ok(n_bad + n_without_target)
    }

    /// Reads records and makes something of them; if one of them does not fit, of each half for itself.
    fn make(
        &self,
        model: &Model,
        records: &[&[u8]],
        make: &(dyn Fn(TestRows) -> Result<Made> + Sync),
        part: &mut Part,
    ) {
        if records.is_empty() || part.n_bad > MAX_BAD {
            return;
        }
        let read = || {
            let rows = self.read(model, self.reservoir.text_of(records))?;
            Ok((rows.n_without_target, make(rows)?))
        };
        match read() {
            Ok((n_without_target, found)) => {
                part.found.push(found);
                part.n_without_target += n_without_target;
            }
            Err(error) if records.len() == 1 => {
                part.n_bad += 1;
                part.last_error = Some(error);
            }
            Err(_) => {
                let (a, b) = records.split_at(records.len() / 2);
                self.make(model, a, make, part);
                self.make(model, b, make, part);
            }
        }
    }

    /// Reads the rows of a text that have a target value.
    ///
    /// # Errors
    /// Those of [`TestRows::read`].
    pub(super) fn read(&self, model: &Model, text: Arc<Vec<u8>>) -> Result<TestRows> {
        let mut options = Options { text: Some(text), ..self.reservoir.options.clone() };
        let schema = &model.pipeline.schema;
        // A block alone may not tell.
        options.decimal_comma = schema.decimal_comma.then_some(true).or(options.decimal_comma);
        TestRows::read(&|_| false, &[self.path.to_string()], &options, &known(model), &schema.target)
    }
}
