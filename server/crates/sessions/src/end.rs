//! Why sessions end, and a bounded memory of those that have ended.

use std::collections::{HashMap, VecDeque};
use std::fmt;

use protocol::RunOutcome;

use domain::owner::Owner;

/// Maximum number of ended sessions of one owner that are remembered.
const REMEMBERED: usize = 256;

/// Why a session has ended. Its variables and files are lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionEnd {
    /// By its client.
    Deleted,
    Idle,
    TooOld,
    /// The sessions of its owner held more memory than one owner may.
    Memory,
    /// Its code ended the interpreter, or was stopped.
    Code(RunOutcome),
    /// The sandbox was restarted, or ended the cell between two runs.
    Sandbox,
    /// The server is stopping.
    Stopped,
    /// It was made by an earlier start of the server.
    EarlierStart,
}

impl SessionEnd {
    /// A word for metrics.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            SessionEnd::Deleted => "deleted",
            SessionEnd::Idle => "idle",
            SessionEnd::TooOld => "too_old",
            SessionEnd::Memory => "memory",
            SessionEnd::Code(_) => "code",
            SessionEnd::Sandbox => "sandbox",
            SessionEnd::Stopped => "stopped",
            SessionEnd::EarlierStart => "earlier_start",
        }
    }
}

impl fmt::Display for SessionEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SessionEnd::Deleted => f.write_str("it was deleted"),
            SessionEnd::Idle => f.write_str("it was idle for too long"),
            SessionEnd::TooOld => f.write_str("it reached its maximum age"),
            SessionEnd::Memory => f.write_str("the sessions of this API key held too much memory"),
            SessionEnd::Code(RunOutcome::Exited { code }) => {
                write!(f, "its code ended the interpreter with exit code {code}")
            }
            SessionEnd::Code(RunOutcome::Signalled { signal }) => {
                write!(f, "signal {signal} ended its interpreter")
            }
            SessionEnd::Code(RunOutcome::Stopped { limit }) => {
                write!(f, "its code met a limit: {}", limit.amount())
            }
            SessionEnd::Code(RunOutcome::Ok | RunOutcome::Raised { .. }) => {
                f.write_str("its code ended the interpreter")
            }
            SessionEnd::Sandbox => f.write_str("its process in the sandbox was lost"),
            SessionEnd::Stopped => f.write_str("the server is stopping"),
            SessionEnd::EarlierStart => f.write_str("the server was restarted"),
        }
    }
}

/// The last ended sessions of each owner.
#[derive(Debug, Default)]
pub(crate) struct EndedSessions(HashMap<Owner, VecDeque<(String, SessionEnd)>>);

impl EndedSessions {
    pub(crate) fn add(&mut self, owner: &Owner, id: &str, end: SessionEnd) {
        let ended = self.0.entry(owner.clone()).or_default();
        if ended.len() == REMEMBERED {
            ended.pop_front();
        }
        ended.push_back((id.to_owned(), end));
    }

    pub(crate) fn find(&self, owner: &Owner, id: &str) -> Option<SessionEnd> {
        let mut ended = self.0.get(owner)?.iter();
        ended.find(|(ended, _)| ended == id).map(|(_, end)| end.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ended_sessions_are_remembered_for_their_owner_alone() {
        let [ours, theirs] = ["a", "b"].map(|name| Owner::named(name.to_owned()));
        let mut ended = EndedSessions::default();
        for number in 0..=REMEMBERED {
            ended.add(&ours, &number.to_string(), SessionEnd::Idle);
        }
        assert_eq!(ended.find(&ours, "0"), None, "the oldest made room");
        assert_eq!(ended.find(&ours, "1"), Some(SessionEnd::Idle));
        assert_eq!(ended.find(&theirs, "1"), None);
    }
}
