//! How long a conversation may be compared with scenarios.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use super::same::Ignore;
use crate::pattern::Pattern;

/// How long a thread that serves other requests may compare.
const ON_SERVING_THREAD: Duration = Duration::from_millis(50);
/// Such a thread searches only texts that are this many times shorter than those that a pattern may
/// search at all.
const SHORTER: usize = 256;
/// How long another thread may compare.
const ON_OTHER_THREAD: Duration = Duration::from_secs(10);

/// Ends a comparison that takes too long, or whose client is gone.
pub struct ComparisonTime<'p> {
    until: Option<Instant>,
    serves_others: bool,
    /// Whether a text was too long for the serving thread.
    exceeded: Cell<bool>,
    is_gone: &'p dyn Fn() -> bool,
}

impl fmt::Debug for ComparisonTime<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ComparisonTime").field("until", &self.until).finish_non_exhaustive()
    }
}

impl<'p> ComparisonTime<'p> {
    /// On a thread that serves other requests.
    pub fn short() -> ComparisonTime<'static> {
        let until = Some(Instant::now() + ON_SERVING_THREAD);
        ComparisonTime {
            until,
            serves_others: true,
            exceeded: Cell::new(false),
            is_gone: &|| false,
        }
    }

    /// On another thread, while the client waits.
    pub fn long(is_gone: &'p dyn Fn() -> bool) -> ComparisonTime<'p> {
        let until = Some(Instant::now() + ON_OTHER_THREAD);
        ComparisonTime { until, serves_others: false, exceeded: Cell::new(false), is_gone }
    }

    /// For a program without clients.
    pub fn endless() -> ComparisonTime<'static> {
        ComparisonTime { until: None, ..ComparisonTime::long(&|| false) }
    }

    pub fn is_over(&self) -> bool {
        self.exceeded.get()
            || self.until.is_some_and(|until| Instant::now() > until)
            || (self.is_gone)()
    }

    /// Whether the pattern may search a text of this length.
    pub fn allows(&self, pattern: &Pattern, text_bytes: usize) -> bool {
        let most = pattern.max_text_bytes;
        if self.serves_others && text_bytes > most / SHORTER {
            self.exceeded.set(true);
        }
        text_bytes <= most && !self.is_over()
    }
}

/// What a scenario ignores, within the time of the comparison.
#[derive(Debug, Clone, Copy)]
pub struct Ignoring<'c> {
    pub ignore: &'c Ignore,
    pub time: &'c ComparisonTime<'c>,
}

impl Ignoring<'_> {
    pub fn is_empty(self) -> bool {
        self.ignore.is_empty()
    }

    pub fn without<'t>(self, text: &'t str) -> Cow<'t, str> {
        self.ignore.without_if(text, &|pattern, bytes| self.time.allows(pattern, bytes))
    }

    pub fn without_json<'j>(self, json: &'j Json) -> Cow<'j, Json> {
        self.ignore.without_json_if(json, &|pattern, bytes| self.time.allows(pattern, bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_serves_others_searches_only_short_texts() {
        let pattern = Pattern::compile("a+b").expect("it is right");
        let most = pattern.max_text_bytes;
        let time = ComparisonTime::short();
        assert!(time.allows(&pattern, most / SHORTER) && !time.is_over());
        assert!(!time.allows(&pattern, most / SHORTER + 1) && time.is_over());
        let time = ComparisonTime::long(&|| false);
        assert!(time.allows(&pattern, most));
        assert!(!time.allows(&pattern, most + 1) && !time.is_over());
    }

    #[test]
    fn a_comparison_ends_without_its_client() {
        let pattern = Pattern::compile("a+b").expect("it is right");
        let time = ComparisonTime::long(&|| true);
        assert!(time.is_over() && !time.allows(&pattern, 1));
    }

    /// Each of its matches begins a search of the rest of the text.
    #[test]
    fn the_time_ends_a_pattern_between_its_matches() {
        let ignore =
            Ignore::try_from(vec!["[ab]*a[ab]{20}c|[ab]".to_owned()]).expect("it is right");
        let looks = Cell::new(0);
        let is_gone = || looks.replace(looks.get() + 1) >= 10;
        let time = ComparisonTime::long(&is_gone);
        let text = "ab".repeat(1 << 20);
        assert_eq!(Ignoring { ignore: &ignore, time: &time }.without(&text), text);
        assert!(looks.get() < 20, "{}", looks.get());
    }

    #[test]
    fn what_a_pattern_may_not_search_is_not_ignored() {
        let ignore = Ignore::try_from(vec![r"\d+".to_owned()]).expect("it is right");
        let time = ComparisonTime::endless();
        let ignoring = Ignoring { ignore: &ignore, time: &time };
        assert_eq!(ignoring.without("a 1"), "a [ignored]");
        let long = "1".repeat(5 << 20);
        assert_eq!(ignoring.without(&long), long);
    }
}
