//! Names of sessions: `session-1f0c3a9e-…`. The first part is the start of the server that made it.

use uuid::Uuid;

const PREFIX: &str = "session";
const START_DIGITS: usize = 8;
const RANDOM_DIGITS: usize = 32;

/// Makes the names of one start of the server.
#[derive(Debug)]
pub(crate) struct SessionIds {
    start: String,
}

/// What a name shows about its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IdOrigin {
    ThisStart,
    EarlierStart,
    /// No server makes such names.
    None,
}

impl SessionIds {
    pub(crate) fn new() -> SessionIds {
        SessionIds { start: random()[..START_DIGITS].to_owned() }
    }

    pub(crate) fn make(&self) -> String {
        format!("{PREFIX}-{}-{}", self.start, random())
    }

    pub(crate) fn origin(&self, id: &str) -> IdOrigin {
        let mut parts = id.split('-');
        let (PREFIX, Some(start), Some(rest), None) =
            (parts.next().unwrap_or_default(), parts.next(), parts.next(), parts.next())
        else {
            return IdOrigin::None;
        };
        let is_hex = |text: &str, digits: usize| {
            text.len() == digits
                && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        match is_hex(start, START_DIGITS) && is_hex(rest, RANDOM_DIGITS) {
            true if start == self.start => IdOrigin::ThisStart,
            true => IdOrigin::EarlierStart,
            false => IdOrigin::None,
        }
    }
}

fn random() -> String {
    Uuid::new_v4().simple().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_shows_which_start_of_the_server_made_it() {
        let (now, earlier) = (SessionIds::new(), SessionIds { start: "0".repeat(8) });
        let id = now.make();
        assert_eq!(now.origin(&id), IdOrigin::ThisStart);
        assert_eq!(now.origin(&earlier.make()), IdOrigin::EarlierStart);
        let long = format!("{id}0");
        for wrong in ["", "session", "session-", &id.to_uppercase(), &long, &id.replace('-', "_")] {
            assert_eq!(now.origin(wrong), IdOrigin::None, "{wrong}");
        }
    }
}
