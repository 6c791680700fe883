//! What the core told us, by key: values, known absences, what is being asked, what grows old.

use std::{
    collections::HashMap,
    hash::Hash,
    time::{Duration, Instant},
};

/// A cache of the core's answers.
#[derive(Debug)]
pub(super) struct Book<K, V> {
    pages: HashMap<K, Page<V>>,
    /// Age at which a value is asked for again.
    refresh_age: Duration,
    capacity: usize,
}

#[derive(Debug)]
struct Page<V> {
    knowledge: Option<Known<V>>,
    /// Whether a question is open.
    asked: bool,
    used: Instant,
}

#[derive(Debug)]
struct Known<V> {
    /// `None`: the core knows no such thing.
    value: Option<V>,
    since: Instant,
}

/// What a look into the book finds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Lookup<V> {
    /// The value; it may be old, but it is the best that is known.
    Found(V),
    /// The core knows no such thing.
    Absent,
    /// Nobody asked yet: the caller must.
    Ask,
    /// A question is open.
    Asked,
}

impl<K: Clone + Eq + Hash, V: Clone> Book<K, V> {
    pub(super) fn new(refresh_age: Duration, capacity: usize) -> Self {
        Self {
            pages: HashMap::new(),
            refresh_age,
            capacity,
        }
    }

    /// Looks `key` up. After [`Lookup::Ask`] the key counts as asked until [`Self::learn`] or [`Self::unanswered`].
    pub(super) fn look_up(&mut self, now: Instant, key: &K) -> Lookup<V> {
        if !self.pages.contains_key(key) {
            self.make_room();
        }
        let page = self.pages.entry(key.clone()).or_insert(Page {
            knowledge: None,
            asked: false,
            used: now,
        });
        page.used = now;
        match &page.knowledge {
            Some(Known {
                value: Some(value), ..
            }) => return Lookup::Found(value.clone()),
            Some(known) if now < known.since + ABSENCE => return Lookup::Absent,
            Some(_) | None => {}
        }
        if std::mem::replace(&mut page.asked, true) {
            Lookup::Asked
        } else {
            Lookup::Ask
        }
    }

    /// The value, if one is known.
    pub(super) fn value(&self, key: &K) -> Option<&V> {
        self.pages.get(key)?.knowledge.as_ref()?.value.as_ref()
    }

    /// Whether `key` was looked up or learned and not forgotten.
    pub(super) fn contains(&self, key: &K) -> bool {
        self.pages.contains_key(key)
    }

    /// The core told: a value, or that there is none. Returns what was known before.
    pub(super) fn learn(&mut self, now: Instant, key: K, value: Option<V>) -> Option<Option<V>> {
        if !self.pages.contains_key(&key) {
            self.make_room();
        }
        let page = self.pages.entry(key).or_insert(Page {
            knowledge: None,
            asked: false,
            used: now,
        });
        page.asked = false;
        let known = Known { value, since: now };
        page.knowledge.replace(known).map(|known| known.value)
    }

    /// Changes a known value in place.
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.pages
            .iter_mut()
            .filter_map(|(key, page)| Some((key, page.knowledge.as_mut()?.value.as_mut()?)))
    }

    /// A question was not answered: the next look asks again, what is known stays.
    pub(super) fn unanswered(&mut self, now: Instant, key: &K) {
        if let Some(page) = self.pages.get_mut(key) {
            page.asked = false;
            if let Some(known) = &mut page.knowledge
                && known.value.is_some()
            {
                known.since = now;
            }
        }
    }

    /// Marks a key as asked; false when a question is open already.
    pub(super) fn ask_again(&mut self, key: &K) -> bool {
        self.pages
            .get_mut(key)
            .is_some_and(|page| !std::mem::replace(&mut page.asked, true))
    }

    pub(super) fn forget(&mut self, key: &K) {
        self.pages.remove(key);
    }

    /// Keys that satisfy `wanted`.
    pub(super) fn keys(&self, wanted: impl Fn(&K) -> bool) -> Vec<K> {
        self.pages
            .keys()
            .filter(|key| wanted(key))
            .cloned()
            .collect()
    }

    /// Forgets what nobody used for long, and marks as asked what is old: at most `limit` keys, which the caller must
    /// ask for.
    pub(super) fn refresh(&mut self, now: Instant, limit: usize) -> Vec<K> {
        let unused = self.refresh_age.max(ABSENCE) * UNUSED_AGES;
        self.pages
            .retain(|_, page| page.asked || now < page.used + unused);
        let refresh_age = self.refresh_age;
        let old = |page: &Page<V>| {
            !page.asked
                && page
                    .knowledge
                    .as_ref()
                    .is_some_and(|known| known.value.is_some() && known.since + refresh_age <= now)
        };
        self.pages
            .iter_mut()
            .filter(|(_, page)| old(page))
            .take(limit)
            .map(|(key, page)| {
                page.asked = true;
                key.clone()
            })
            .collect()
    }

    /// Drops the page that was not used for longest, if the book is full. Pages with an open question stay.
    fn make_room(&mut self) {
        if self.pages.len() < self.capacity {
            return;
        }
        let least = self
            .pages
            .iter()
            .filter(|(_, page)| !page.asked)
            .min_by_key(|(_, page)| page.used)
            .map(|(key, _)| key.clone());
        if let Some(key) = least {
            self.pages.remove(&key);
        }
    }
}

/// How long an absence is believed.
const ABSENCE: Duration = Duration::from_secs(60);
/// What was not used for so many refresh ages is forgotten.
const UNUSED_AGES: u32 = 12;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::thingsboard::clock;

    const SECOND: Duration = Duration::from_secs(1);

    fn book() -> (Book<&'static str, u32>, Instant) {
        (Book::new(SECOND * 300, 2), clock::now().mono)
    }

    #[test]
    fn one_question_serves_all_who_want_to_know() {
        let (mut book, now) = book();
        assert_eq!(book.look_up(now, &"a"), Lookup::Ask);
        assert_eq!(book.look_up(now, &"a"), Lookup::Asked);
        book.unanswered(now, &"a");
        assert_eq!(book.look_up(now, &"a"), Lookup::Ask);
        assert_eq!(book.learn(now, "a", Some(1)), None);
        assert_eq!(book.look_up(now, &"a"), Lookup::Found(1));
        assert_eq!(book.learn(now, "a", Some(2)), Some(Some(1)));
    }

    #[test]
    fn an_absence_is_believed_for_a_minute() {
        let (mut book, now) = book();
        book.look_up(now, &"a");
        book.learn(now, "a", None);
        assert_eq!(book.look_up(now + SECOND * 59, &"a"), Lookup::Absent);
        assert_eq!(book.look_up(now + SECOND * 60, &"a"), Lookup::Ask);
        book.unanswered(now + SECOND * 70, &"a");
        assert_eq!(book.look_up(now + SECOND * 70, &"a"), Lookup::Ask);
    }

    #[test]
    fn an_old_value_is_used_while_it_is_asked_for_again() {
        let (mut book, now) = book();
        book.learn(now, "a", Some(1));
        assert_eq!(book.refresh(now + SECOND * 299, 9), Vec::<&str>::new());
        assert_eq!(book.refresh(now + SECOND * 300, 9), ["a"]);
        assert_eq!(book.refresh(now + SECOND * 300, 9), Vec::<&str>::new());
        assert_eq!(book.look_up(now + SECOND * 301, &"a"), Lookup::Found(1));
        // The core is silent: the value stays and its age counts anew.
        book.unanswered(now + SECOND * 310, &"a");
        assert_eq!(book.look_up(now + SECOND * 311, &"a"), Lookup::Found(1));
        assert_eq!(book.refresh(now + SECOND * 609, 9), Vec::<&str>::new());
        assert_eq!(book.refresh(now + SECOND * 610, 9), ["a"]);
    }

    #[test]
    fn what_nobody_uses_is_forgotten() {
        let (mut book, now) = book();
        book.learn(now, "a", Some(1));
        book.refresh(now + SECOND * 3600, 0);
        assert!(!book.contains(&"a"));
    }

    #[test]
    fn the_book_has_a_last_page() {
        let (mut book, now) = book();
        book.learn(now, "a", Some(1));
        book.learn(now + SECOND, "b", Some(2));
        book.look_up(now + SECOND * 2, &"a");
        book.learn(now + SECOND * 3, "c", Some(3));
        assert_eq!(book.value(&"a"), Some(&1));
        assert_eq!(book.value(&"b"), None);
        assert_eq!(book.value(&"c"), Some(&3));
    }
}
