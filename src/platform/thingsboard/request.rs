//! Open questions to the core (`platform-wire.md` 2): correlation, deadlines, bounds.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use uuid::Uuid;

/// The questions that are open. `A` says who asked.
#[derive(Debug)]
pub(super) struct Requests<A> {
    open: HashMap<Uuid, A>,
    /// In the order of their deadlines, which are all equally far away; may hold ids that are closed.
    deadlines: VecDeque<(Instant, Uuid)>,
    timeout: Duration,
    max_open: usize,
    closed: bool,
}

impl<A> Requests<A> {
    pub(super) fn new(timeout: Duration, max_open: usize) -> Self {
        Self {
            open: HashMap::new(),
            deadlines: VecDeque::new(),
            timeout,
            max_open,
            closed: false,
        }
    }

    /// Opens a question under a fresh correlation id.
    ///
    /// # Errors
    /// The asker, when too many questions are open or no more are accepted.
    pub(super) fn open(&mut self, now: Instant, asker: A) -> Result<Uuid, A> {
        if self.closed || self.open.len() >= self.max_open {
            return Err(asker);
        }
        let id = Uuid::new_v4();
        self.open.insert(id, asker);
        self.deadlines.push_back((now + self.timeout, id));
        Ok(id)
    }

    /// Closes a question; `None` when it is not open: a late answer, a second one, or one to another process.
    pub(super) fn close(&mut self, id: Uuid) -> Option<A> {
        self.open.remove(&id)
    }

    /// Closes the questions whose time is up.
    pub(super) fn expired(&mut self, now: Instant) -> Vec<A> {
        let is_due =
            |(deadline, id): &&(Instant, Uuid)| *deadline <= now || !self.open.contains_key(id);
        let count = self.deadlines.iter().take_while(is_due).count();
        self.deadlines
            .drain(..count)
            .filter_map(|(_, id)| self.open.remove(&id))
            .collect()
    }

    /// Closes all questions and accepts no more.
    pub(super) fn close_all(&mut self) -> Vec<A> {
        self.closed = true;
        self.deadlines.clear();
        self.open.drain().map(|(_, asker)| asker).collect()
    }

    /// How many are open.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }
}

/// The headers of a question, in the platform's order, with their bytes.
pub(super) fn headers(
    id: Uuid,
    response_topic: &str,
    expires: super::super::time::UnixMillis,
) -> [(&'static str, Vec<u8>); 3] {
    [
        ("expireTs", expires.0.to_be_bytes().to_vec()),
        (REQUEST_ID, id.as_bytes().to_vec()),
        ("responseTopic", response_topic.as_bytes().to_vec()),
    ]
}

/// The header that names the question.
pub(super) const REQUEST_ID: &str = "requestId";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::{thingsboard::clock, time::UnixMillis};

    const TIMEOUT: Duration = Duration::from_secs(10);

    #[test]
    fn a60_a_question_expires_exactly_at_its_timeout() {
        let start = clock::now().mono;
        let mut requests = Requests::new(TIMEOUT, 8);
        let first = requests.open(start, "first").unwrap();
        requests
            .open(start + Duration::from_secs(1), "second")
            .unwrap();
        assert!(
            requests
                .expired(start + Duration::from_millis(9_999))
                .is_empty()
        );
        assert_eq!(requests.expired(start + TIMEOUT), ["first"]);
        assert_eq!(requests.close(first), None, "a late answer finds nobody");
        assert_eq!(requests.close_all(), ["second"]);
        assert_eq!(requests.open(start, "third"), Err("third"));
        assert!(requests.expired(start + TIMEOUT * 2).is_empty());
    }

    #[test]
    fn a60_a_second_answer_finds_nobody() {
        let start = clock::now().mono;
        let mut requests = Requests::new(TIMEOUT, 8);
        let id = requests.open(start, ()).unwrap();
        assert_eq!(requests.close(id), Some(()));
        assert_eq!(requests.close(id), None);
        assert_eq!(requests.close(Uuid::new_v4()), None);
        // The deadline of an answered question is forgotten with the next look.
        assert!(requests.expired(start).is_empty());
        assert!(requests.deadlines.is_empty());
    }

    #[test]
    fn the_number_of_open_questions_is_bounded() {
        let start = clock::now().mono;
        let mut requests = Requests::new(TIMEOUT, 2);
        let first = requests.open(start, 1).unwrap();
        requests.open(start, 2).unwrap();
        assert_eq!(requests.open(start, 3), Err(3));
        requests.close(first);
        assert!(requests.open(start, 3).is_ok());
        assert_eq!(requests.len(), 2);
    }

    #[test]
    fn headers_have_the_platforms_order_and_bytes() {
        // measured.md 1, platform-wire.md 1.9
        let id = "784f394c-42b6-435a-983c-b7beff2784f9".parse().unwrap();
        let [expire, request, response] = headers(id, "r", UnixMillis(1_700_000_010_000));
        let hex = |bytes: &[u8]| -> String { bytes.iter().map(|b| format!("{b:02x}")).collect() };
        assert_eq!(
            (expire.0, hex(&expire.1).as_str()),
            ("expireTs", "0000018bcfe58f10")
        );
        assert_eq!(
            (request.0, hex(&request.1).as_str()),
            ("requestId", "784f394c42b6435a983cb7beff2784f9")
        );
        assert_eq!(response, ("responseTopic", b"r".to_vec()));
    }
}
