//! Feedback: the last predictions by request id, to be compared with true labels that come later.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

/// A request with more rows is not remembered; it is a batch, whose truth is compared elsewhere.
pub(crate) const MAX_ROWS: usize = 1000;

/// The predictions of one request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Given {
    /// The model that answered.
    pub(crate) model: String,
    /// The class of each row, or the value.
    pub(crate) predictions: Vec<f64>,
}

/// The last predictions, up to a limit.
#[derive(Debug)]
pub(crate) struct Recent {
    limit: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// With the number that `order` has for it.
    given: HashMap<String, (u64, Given)>,
    /// Oldest first; an entry that was taken or replaced stays until it is the oldest.
    order: VecDeque<(u64, String)>,
    next: u64,
}

impl Kept {
    fn put(&mut self, id: &str, given: Given, limit: usize) {
        self.next += 1;
        self.given.insert(id.into(), (self.next, given));
        self.order.push_back((self.next, id.into()));
        while self.order.len() > limit {
            if let Some((number, oldest)) = self.order.pop_front()
                && self.given.get(&oldest).is_some_and(|(kept, _)| *kept == number)
            {
                self.given.remove(&oldest);
            }
        }
    }
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

    /// Remembers the predictions of a request: the class of each row, or its value. An id that comes again stands
    /// for its last request.
    pub(crate) fn remember(&self, id: &str, model: &str, predictions: Vec<f64>) {
        if self.limit == 0 || predictions.len() > MAX_ROWS {
            return;
        }
        let given = Given { model: model.into(), predictions };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.put(id, given, self.limit);
    }

    /// Takes the predictions of a request out, so that its labels are not counted twice.
    pub(crate) fn take(&self, id: &str) -> Option<Given> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.given.remove(id).map(|(_, given)| given)
    }

    /// Puts predictions back whose labels could not be used.
    pub(crate) fn put_back(&self, id: &str, given: Given) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.put(id, given, self.limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_answers_are_remembered_and_each_is_given_out_once() {
        let recent = Recent::new(2);
        for (id, class) in [("a", 0.0), ("b", 1.0), ("c", 1.0)] {
            recent.remember(id, "m", vec![class]);
        }
        assert_eq!(recent.take("a"), None, "the oldest is forgotten");
        assert_eq!(recent.take("c"), Some(Given { model: "m".into(), predictions: vec![1.0] }));
        assert_eq!(recent.take("c"), None);
        recent.remember("b", "m", vec![0.0]);
        recent.remember("d", "m", vec![0.0]);
        assert!(
            recent.take("b").is_some() && recent.take("d").is_some(),
            "what came again is not the oldest"
        );
    }
}
