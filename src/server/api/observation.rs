//! The rows of one request, counted, compared with the shadow model, logged and remembered, in any protocol and
//! format. A table comes in parts as it is predicted; a JSON body is one part.

use crate::data::cells::matrix::Matrix;
use crate::data::cells::schema::WarningKind;
use crate::model::pipeline::{Decision, Predictions};
use crate::predict::{Part, Summary};
use crate::server::models::journal::Journal;
use crate::server::models::served::Served;
use crate::server::observe::feedback;
use crate::server::observe::trace::RequestId;
use crate::server::state::State;

/// The rows of a request that have been answered so far. Never blocks.
#[derive(Debug)]
pub(crate) struct Observation<'a> {
    state: &'a State,
    served: &'a Served,
    id: Option<&'a RequestId>,
    decision: Decision,
    n_rows: usize,
    /// Whether this request is in the sample of the prediction log.
    is_noted: bool,
    /// The predictions to remember for feedback; `None` if they are not.
    remembered: Option<Vec<f64>>,
}

impl<'a> Observation<'a> {
    /// No rows yet of a request with this id.
    pub(crate) fn new(
        state: &'a State,
        served: &'a Served,
        id: Option<&'a RequestId>,
        decision: Decision,
    ) -> Self {
        Self {
            state,
            served,
            id,
            decision,
            n_rows: 0,
            is_noted: state.journal.as_ref().is_some_and(Journal::takes_one),
            remembered: state.recent.is_on().then(Vec::new),
        }
    }

    /// Takes the next rows.
    pub(crate) fn rows(&mut self, codes: &Matrix, predictions: &Predictions) {
        self.served.profile.observe(codes, predictions);
        if let Some(shadow) = &self.served.shadow {
            // Without a threshold of the request the shadow model decides by its own.
            let given = Some(self.decision).filter(|given| *given != self.served.model.pipeline.decision());
            shadow.compare(codes, predictions, given);
        }
        if let (true, Some(journal)) = (self.is_noted, &self.state.journal) {
            let id = self.id.map_or("", RequestId::text);
            journal.note(self.served, id, self.n_rows, codes, predictions);
        }
        self.n_rows += codes.n_rows();
        if let Some(values) = &mut self.remembered {
            match predictions.classes.as_slice() {
                [] => values.extend(predictions.scores.rows().map(|scores| scores[0])),
                classes => values.extend(classes.iter().map(|&class| f64::from(class))),
            }
            if self.n_rows > feedback::MAX_ROWS {
                self.remembered = None;
            }
        }
    }

    /// Takes the next rows of a table, whose unusual values are summed up.
    pub(crate) fn part(&mut self, part: &Part) {
        self.rows(part.codes, part.predictions);
        self.warnings(&part.summary);
    }

    /// Counts unusual values.
    fn warnings(&self, summary: &Summary) {
        let counts = &self.served.counts;
        counts.warnings(WarningKind::MissingValue, summary.n_missing);
        counts.warnings(WarningKind::UnseenCategory, summary.n_unseen);
        counts.warnings(WarningKind::OutOfRange, summary.n_out_of_range);
    }
}

impl Drop for Observation<'_> {
    /// The request has ended, or was cut off after these rows.
    fn drop(&mut self) {
        if self.n_rows > 0 {
            self.served.counts.rows(self.n_rows);
        }
        if let (Some(values), Some(id)) = (self.remembered.take(), self.id) {
            self.state.recent.remember(id.text(), id.key, &self.served.name, values);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::read::json;
    use crate::server::guard::keys::Holder;
    use crate::server::limits::Limits;
    use crate::server::models::served::tests::{ROW, penguins};
    use crate::server::state::Setup;
    use hyper::header::HeaderValue;

    #[test]
    fn rows_are_remembered_up_to_a_limit_when_the_request_ends() {
        let setup = Setup::new(penguins(), Limits::DEFAULT).unwrap();
        let state = State::new(Setup { recent: feedback::Recent::new(9), ..setup }).unwrap();
        let served = state.find(None).unwrap();
        let pipeline = &served.model.pipeline;
        let body = format!("{{\"data\":[{}{ROW}]}}", format!("{ROW},").repeat(feedback::MAX_ROWS / 2));
        let codes = json::read_request(body.as_bytes(), &pipeline.schema, 1000).unwrap().codes;
        let predictions = pipeline.predict(&codes, Decision::MostProbable);
        for (id, parts, remembered) in [("short", 1, true), ("long", 2, false)] {
            let request = RequestId { header: HeaderValue::from_static(id), key: 7 };
            let mut observation = Observation::new(&state, &served, Some(&request), Decision::MostProbable);
            (0..parts).for_each(|_| observation.rows(&codes, &predictions));
            let by = Holder { name: "shop".into(), number: 7, is_admin: false };
            assert!(state.recent.take(id, Some(&by)).is_none(), "the request has not ended");
            drop(observation);
            let given = state.recent.take(id, Some(&by));
            assert_eq!(
                given.map(|given| given.predictions.len()),
                remembered.then_some(codes.n_rows()),
                "{id}"
            );
        }
    }
}
