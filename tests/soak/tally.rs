//! Counts runs per kind, and records faults.

use std::collections::BTreeMap;
use std::fmt;

/// Number of faults shown.
const FAULTS_SHOWN: usize = 5;

/// Displayed as one line.
#[derive(Debug, Default)]
pub struct Tally {
    by_kind: BTreeMap<&'static str, u32>,
    /// Requests refused with status 429.
    refused: u32,
    faults: Vec<String>,
}

impl Tally {
    pub fn ran(&mut self, kind: &'static str, fault: Option<String>) {
        *self.by_kind.entry(kind).or_default() += 1;
        self.faults.extend(fault);
    }

    pub fn refused(&mut self) {
        self.refused += 1;
    }

    pub fn runs_of(&self, kind: &str) -> u32 {
        self.by_kind.get(kind).copied().unwrap_or_default()
    }

    #[track_caller]
    pub fn assert_without_fault(&self) {
        let shown = &self.faults[..self.faults.len().min(FAULTS_SHOWN)];
        assert!(shown.is_empty(), "{} answers are wrong:\n{}", self.faults.len(), shown.join("\n"));
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let runs: u32 = self.by_kind.values().sum();
        let kinds: Vec<_> =
            self.by_kind.iter().map(|(kind, number)| format!("{kind} {number}")).collect();
        write!(
            f,
            "{runs} runs, {} answers wrong, {} refused with 429 ({})",
            self.faults.len(),
            self.refused,
            kinds.join(", ")
        )
    }
}
