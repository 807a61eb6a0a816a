//! Feedback: the last predictions by request id, to be compared with true labels that come later.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::server::guard::keys::Holder;

/// A request with more rows is not remembered; it is a batch, whose truth is compared elsewhere.
pub(crate) const MAX_ROWS: usize = 1000;

/// The predictions of one request.
#[derive(Debug, PartialEq)]
pub(crate) struct Given {
    /// The model that answered.
    pub(crate) model: String,
    /// The class of each row, or the value.
    pub(crate) predictions: Vec<f64>,
    /// Its place among those that are remembered.
    number: u64,
    of: Asked,
}

/// The key that asked, by its number, and the request's id: so nobody replaces the answer to another.
type Asked = (u64, String);

/// The last predictions, up to a limit.
#[derive(Debug)]
pub(crate) struct Recent {
    limit: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    given: HashMap<Asked, Given>,
    /// Oldest first; an entry that was taken or replaced stays until it is the oldest.
    order: VecDeque<(u64, Asked)>,
    next: u64,
}

impl Recent {
    /// Remembers up to `limit` requests; none for 0.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, kept: Mutex::default() }
    }

    /// Whether anything is remembered.
    pub(crate) fn is_on(&self) -> bool {
        self.limit > 0
    }

    /// Remembers the predictions of a request: the class of each row, or its value. An id that comes again from the
    /// same key stands for its last request.
    pub(crate) fn remember(&self, id: &str, key: u64, model: &str, predictions: Vec<f64>) {
        if self.limit == 0 || predictions.len() > MAX_ROWS {
            return;
        }
        let mut kept = self.kept();
        let number = kept.next;
        kept.next += 1;
        let of: Asked = (key, id.into());
        kept.given.insert(of.clone(), Given { model: model.into(), predictions, number, of: of.clone() });
        kept.order.push_back((number, of));
        while kept.order.len() > self.limit {
            if let Some((number, oldest)) = kept.order.pop_front()
                && kept.given.get(&oldest).is_some_and(|given| given.number == number)
            {
                kept.given.remove(&oldest);
            }
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the predictions of a request out, so that its labels are not counted twice. Only the key that asked has
    /// them; an admin's key those of the others as well, of the last one that used the id.
    pub(crate) fn take(&self, id: &str, by: Option<&Holder>) -> Option<Given> {
        let mut kept = self.kept();
        let own = (by.map_or(0, |by| by.number), id.to_string());
        if let Some(given) = kept.given.remove(&own) {
            return Some(given);
        }
        by.filter(|by| by.is_admin)?;
        let others = kept.given.values().filter(|given| given.of.1 == id);
        let of = others.max_by_key(|given| given.number)?.of.clone();
        kept.given.remove(&of)
    }

    /// Puts predictions back whose labels could not be used, in their old place: so they push no others out. They are
    /// forgotten if it is their turn, or if the id has come again.
    pub(crate) fn put_back(&self, given: Given) {
        let mut kept = self.kept();
        let is_kept = kept.order.front().is_some_and(|(oldest, _)| *oldest <= given.number);
        if is_kept {
            kept.given.entry(given.of.clone()).or_insert(given);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_answers_are_remembered_and_each_is_given_out_once() {
        let recent = Recent::new(2);
        for (id, class) in [("a", 0.0), ("b", 1.0), ("c", 1.0)] {
            recent.remember(id, 0, "m", vec![class]);
        }
        assert_eq!(recent.take("a", None), None, "the oldest is forgotten");
        let given = recent.take("c", None).unwrap();
        assert_eq!((given.model.as_str(), given.predictions.as_slice()), ("m", &[1.0][..]));
        assert_eq!(recent.take("c", None), None);
        recent.remember("b", 0, "m", vec![0.0]);
        recent.remember("d", 0, "m", vec![0.0]);
        assert!(
            recent.take("b", None).is_some() && recent.take("d", None).is_some(),
            "what came again is not the oldest"
        );
    }
    #[test]
    fn labels_that_do_not_fit_push_nothing_out() {
        let recent = Recent::new(3);
        ["a", "b", "c"].iter().for_each(|id| recent.remember(id, 0, "m", vec![0.0]));
        for _ in 0..9 {
            let given = recent.take("a", None).unwrap();
            recent.put_back(given);
        }
        assert!(recent.take("c", None).is_some());
        let given = recent.take("a", None).unwrap();
        recent.remember("d", 0, "m", vec![0.0]);
        recent.put_back(given);
        assert!(recent.take("a", None).is_none(), "it was the oldest, and is forgotten");
        let given = recent.take("b", None).unwrap();
        recent.remember("b", 0, "m", vec![5.0]);
        recent.put_back(given);
        assert_eq!(recent.take("b", None).unwrap().predictions, [5.0], "what came again stays");
    }
    #[test]
    fn an_answer_is_that_of_the_key_that_asked_and_an_admin_has_all() {
        let recent = Recent::new(9);
        let holder = |number, is_admin| Holder { name: "a".into(), number, is_admin };
        let (one, other, admin) = (holder(1, false), holder(2, false), holder(3, true));
        recent.remember("id", 1, "m", vec![1.0]);
        recent.remember("id", 2, "m", vec![2.0]);
        assert_eq!(recent.take("id", Some(&one)).unwrap().predictions, [1.0], "nobody replaces it");
        assert!(recent.take("id", Some(&one)).is_none());
        recent.remember("id", 1, "m", vec![3.0]);
        assert_eq!(recent.take("id", Some(&admin)).unwrap().predictions, [3.0]);
        assert_eq!(recent.take("id", Some(&admin)).unwrap().predictions, [2.0]);
        assert!(recent.take("id", Some(&other)).is_none() && recent.take("id", None).is_none());
    }
}
