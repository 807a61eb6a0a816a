//! `POST /feedback`: the true labels of an earlier answer, compared with its predictions.
//!
//! Labels are read as the scalars they are, and no more of them than an answer that is remembered has rows.

use serde::Deserialize;

use super::answering::{misread, respond};
use crate::data::cells::cell::Task;
use crate::data::read::json::{First, Scalar, without_mark};
use crate::server::error::Failure;
use crate::server::guard::keys::Holder;
use crate::server::models::served::Served;
use crate::server::observe::feedback::MAX_ROWS;
use crate::server::observe::telemetry::Feedback;
use crate::server::state::State;
use crate::server::wire::body::Response;

/// The bytes of a feedback: a thousand labels of a line each. It is read on the thread of its connection.
pub(crate) const MAX_BYTES: usize = 256 * 1024;

/// The request body.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Label<'a> {
    /// The `X-Request-Id` of the answer.
    request_id: String,
    /// The true label of one row.
    #[serde(default, borrow)]
    label: Option<Scalar<'a>>,
    /// The true label of each row.
    #[serde(default, borrow)]
    labels: Option<First<Scalar<'a>, MAX_ROWS>>,
}

/// `POST /feedback`: the true labels of an answer, by its request id, from the key that got the answer or an admin's.
///
/// # Errors
/// Not JSON, an unknown request id, or labels that do not fit.
pub(crate) fn feedback(state: &State, from: Option<&Holder>, body: &[u8]) -> Result<Response, Failure> {
    if !state.recent.is_on() {
        return Err(Failure::UnknownRequest("this server remembers no predictions; serve --feedback N does"));
    }
    let body = without_mark(body);
    let label: Label = serde_json::from_slice(body)
        .map_err(|error| misread(&error, body, "send {\"request_id\":\"…\",\"label\":…}"))?;
    let labels = match (label.label, label.labels) {
        (Some(one), None) => First { elements: vec![one], total: 1 },
        (None, Some(many)) => many,
        _ => return Err(Failure::unfit("", "send either \"label\" or \"labels\"".into())),
    };
    const FORGOTTEN: &str = "no answer with this id is remembered, or its labels have come already";
    let given = state.recent.take(&label.request_id, from).ok_or(Failure::UnknownRequest(FORGOTTEN))?;
    let served = state.find(Some(&given.model)).ok_or(Failure::NoSuchModel)?;
    match compare(&served, &given.predictions, &labels) {
        Ok(feedback) => {
            served.counts.feedback(feedback);
            let answer = serde_json::json!({ "rows": feedback.rows, "correct": feedback.correct });
            Ok(respond("application/json", answer.to_string()))
        }
        Err(failure) => {
            state.recent.put_back(given);
            Err(failure)
        }
    }
}

fn compare(
    served: &Served,
    predictions: &[f64],
    labels: &First<Scalar, MAX_ROWS>,
) -> Result<Feedback, Failure> {
    if labels.total != predictions.len() {
        let detail = format!("{} labels for {} predictions", labels.total, predictions.len());
        return Err(Failure::unfit("/labels", detail));
    }
    let labels = &labels.elements;
    let target = &served.model.pipeline.schema.target;
    let mut feedback = Feedback { rows: labels.len() as u64, ..Feedback::default() };
    for (i, (label, predicted)) in labels.iter().zip(predictions).enumerate() {
        let pointer = || if labels.len() == 1 { "/label".into() } else { format!("/labels/{i}") };
        match served.model.task() {
            Task::Regression => {
                let number =
                    label.number().ok_or_else(|| Failure::unfit(&pointer(), "not a number".into()))?;
                feedback.absolute_error += (number - predicted).abs();
                if !feedback.absolute_error.is_finite() {
                    let detail = "the label is too far from the prediction for a mean of errors";
                    return Err(Failure::unfit(&pointer(), detail.into()));
                }
                feedback.correct += u64::from(number == *predicted);
            }
            Task::Classification => {
                // A label that the model does not know may be the truth; it counts as not predicted.
                let known = target.labels.get(*predicted as usize);
                let is_same = |known: &String| {
                    *label == target.json_label(known) || matches!(label, Scalar::Text(text) if text == known)
                };
                if matches!(label, Scalar::Object | Scalar::Array | Scalar::Null) {
                    return Err(Failure::unfit(&pointer(), "a label is a string or a number".into()));
                }
                feedback.correct += u64::from(known.is_some_and(is_same));
            }
        }
    }
    Ok(feedback)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::api::answering::Form;
    use crate::server::api::native::predict;
    use crate::server::limits::Limits;
    use crate::server::models::served::tests::{ROW, penguins};
    use crate::server::observe::feedback::Recent;
    use crate::server::observe::trace::RequestId;
    use crate::server::state::Setup;
    use hyper::header::HeaderValue;

    fn state() -> State {
        let setup = Setup::new(penguins(), Limits::DEFAULT).unwrap();
        let state = State::new(Setup { recent: Recent::new(9), ..setup }).unwrap();
        let id = RequestId { header: HeaderValue::from_static("r1"), key: 0 };
        let body = format!("{{\"data\":{ROW}}}").into();
        predict(&state, &state.find(None).unwrap(), Some(&id), (Form::Json, false), body).unwrap();
        state
    }

    #[test]
    fn labels_are_compared_once_and_ones_that_do_not_fit_may_come_again() {
        let state = state();
        let told = |text: &str| feedback(&state, None, text.as_bytes());
        assert!(matches!(told(r#"{"request_id":"r1"}"#), Err(Failure::DoesNotFit(_))));
        assert!(matches!(told(r#"{"request_id":"r1","labels":["a","b"]}"#), Err(Failure::DoesNotFit(_))));
        assert!(matches!(told(r#"{"request_id":"r1","label":{}}"#), Err(Failure::DoesNotFit(_))));
        assert!(told(r#"{"request_id":"r1","label":"Emperor"}"#).is_ok());
        assert!(matches!(told(r#"{"request_id":"r1","label":"Gentoo"}"#), Err(Failure::UnknownRequest(_))));
        assert!(matches!(told("{"), Err(Failure::NotJson(_))));
    }

    #[test]
    fn labels_are_scalars_and_no_more_of_them_are_kept_than_an_answer_has() {
        let many = format!(r#"{{"request_id":"r1","labels":[{}0]}}"#, r#"{"":0},"#.repeat(5000));
        let label: Label = serde_json::from_str(&many).unwrap();
        let labels = label.labels.unwrap();
        assert_eq!((labels.elements.len(), labels.total), (MAX_ROWS, 5001));
        assert!(labels.elements.iter().all(|label| *label == Scalar::Object));
        let state = state();
        assert!(matches!(feedback(&state, None, many.as_bytes()), Err(Failure::DoesNotFit(_))));
        let unknown = format!(r#"{{"{}":1}}"#, "a".repeat(100_000));
        let Err(failure) = feedback(&state, None, unknown.as_bytes()) else { panic!("no such member") };
        assert!(failure.to_string().len() < 500);
    }

    #[test]
    fn no_label_makes_a_mean_that_is_not_a_number() {
        let file = format!("{}/fixtures/diabetes.csv", env!("CARGO_MANIFEST_DIR"));
        let plan = crate::Plan { algorithm: "ridge".into(), ..crate::Plan::new(file) };
        let setup = Setup::new(plan.train().unwrap(), Limits::DEFAULT).unwrap();
        let state = State::new(Setup { recent: Recent::new(9), ..setup }).unwrap();
        let served = state.find(None).unwrap();
        for (id, value) in [("low", -1e308), ("high", 1e308)] {
            state.recent.remember(id, 0, &served.name, vec![value, value]);
        }
        let told = |text: &str| feedback(&state, None, text.as_bytes());
        let far = r#"{"request_id":"low","labels":[1e308,1e308]}"#;
        assert!(matches!(told(far), Err(Failure::DoesNotFit(_))));
        assert!(matches!(told(r#"{"request_id":"low","labels":["1",2]}"#), Err(Failure::DoesNotFit(_))));
        assert!(told(r#"{"request_id":"low","labels":[-1e308,0]}"#).is_ok());
        assert!(told(r#"{"request_id":"high","labels":[1e308,0]}"#).is_ok());
        let sum = *served.counts.feedback.lock().unwrap();
        assert!(sum.absolute_error.is_finite() && sum.rows == 4 && sum.correct == 2, "{sum:?}");
    }
}
