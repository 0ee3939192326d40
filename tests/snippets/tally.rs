//! Counts the results of all comparisons.

use std::collections::BTreeMap;
use std::fmt;

use crate::came::Came;
use crate::examples::Snippet;

/// Number of equal results between two progress lines.
const REPORT_EVERY: usize = 1000;

#[derive(Debug)]
pub enum Verdict {
    Same {
        failed: bool,
    },
    /// Differs as intended, for this reason.
    Meant(&'static str),
    Differs {
        inside: Came,
        outside: Came,
    },
    /// Not comparable, for this reason.
    LeftOut(String),
}

/// Displayed as one line.
#[derive(Debug, Default)]
pub struct Tally {
    same: usize,
    failed_alike: usize,
    meant: BTreeMap<&'static str, usize>,
    left_out: BTreeMap<String, usize>,
    differing: usize,
    /// Ended by the system-call filter.
    forbidden: usize,
}

impl Tally {
    /// Prints a difference at once.
    pub fn add(&mut self, snippet: &Snippet, verdict: Verdict) {
        match verdict {
            Verdict::Same { failed } => {
                self.same += 1;
                self.failed_alike += usize::from(failed);
                if self.same.is_multiple_of(REPORT_EVERY) {
                    eprintln!("{self}");
                }
            }
            Verdict::Meant(reason) => *self.meant.entry(reason).or_default() += 1,
            Verdict::LeftOut(reason) => *self.left_out.entry(reason).or_default() += 1,
            Verdict::Differs { inside, outside } => {
                self.forbidden += usize::from(inside.is_forbidden());
                self.differing += 1;
                let Snippet { name, code } = snippet;
                eprintln!("{name}\n{code}\ninside: {inside:?}\noutside: {outside:?}\n");
            }
        }
    }

    pub fn compared(&self) -> usize {
        self.same + self.meant.values().sum::<usize>() + self.differing
    }

    pub fn differing(&self) -> usize {
        self.differing
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "snippets: {} compared, {} the same ({} failed alike), {} differ, {} ended by SIGSYS; \
             meant to differ: {:?}; left out: {:?}",
            self.compared(),
            self.same,
            self.failed_alike,
            self.differing,
            self.forbidden,
            self.meant,
            self.left_out
        )
    }
}
