//! Names that are given here: interactions, calls, signatures.

use std::sync::Mutex;
use std::sync::PoisonError;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// What the letters of an interaction's id begin with where the server has a seed. By chance they do so
/// once in a thousand million times.
const SEEDED: &[u8] = b"seeded";
/// Letters of an interaction's id.
const LETTERS: usize = 23;

/// The names of one interaction, and of what is in it.
#[derive(Debug, Default)]
pub struct Ids(Option<Mutex<Seeded>>);

/// Names that are the same each time.
#[derive(Debug)]
struct Seeded {
    root: Sha256,
    given: u64,
}

impl Ids {
    /// Names by chance.
    pub fn random() -> Ids {
        Ids(None)
    }

    /// Names that follow from these texts.
    pub fn seeded<'p>(texts: impl IntoIterator<Item = &'p [u8]>) -> Ids {
        let mut root = Sha256::new();
        for text in texts {
            // So that two texts are no other two that are the same when they are joined.
            root.update((text.len() as u64).to_le_bytes());
            root.update(text);
        }
        Ids(Some(Mutex::new(Seeded { root, given: 0 })))
    }

    /// An interaction's id in the form of the real service: `v1_` and the base64url of a protobuf
    /// message whose fields 1 and 2 hold the same 23 characters. 70 characters, safe in a URL.
    pub fn interaction(&self) -> String {
        let name = match self.0 {
            None => self.letters(LETTERS),
            Some(_) => {
                let seeded = String::from_utf8_lossy(SEEDED).into_owned();
                seeded + &self.letters(LETTERS - SEEDED.len())
            }
        };
        let mut message = Vec::with_capacity(50);
        for field in [0x0a, 0x12] {
            message.push(field);
            message.push(23);
            message.extend_from_slice(name.as_bytes());
        }
        format!("v1_{}", URL_SAFE_NO_PAD.encode(message))
    }

    /// A tool call's id: 8 characters `[a-z0-9]`, as recorded from the real service.
    pub fn call(&self) -> String {
        self.letters(8)
    }

    /// What names an answer that is not kept. It tells nothing, and leads nowhere.
    pub fn response(&self) -> String {
        self.letters(LETTERS)
    }

    /// What stands in `signature`: opaque base64.
    pub fn signature(&self) -> String {
        STANDARD.encode(self.bytes())
    }

    /// The signature of a call of this function. It is no secret: it tells that it came from a call of
    /// that function and came back whole, also after a restart.
    pub fn signature_of_call(&self, name: &str) -> String {
        let dice = &self.bytes()[8..];
        STANDARD.encode([dice, &check(dice, name)].concat())
    }

    fn letters(&self, count: usize) -> String {
        letters(count, || self.bytes())
    }

    fn bytes(&self) -> [u8; 16] {
        let Some(seeded) = &self.0 else { return Uuid::new_v4().into_bytes() };
        let mut seeded = seeded.lock().unwrap_or_else(PoisonError::into_inner);
        seeded.given += 1;
        let given = seeded.given.to_le_bytes();
        let hash = seeded.root.clone().chain_update(given).finalize();
        std::array::from_fn(|at| hash[at])
    }
}

/// Whether a server with a seed gave this id to an interaction.
pub fn is_seeded(id: &str) -> bool {
    let message = id.strip_prefix("v1_").and_then(|rest| URL_SAFE_NO_PAD.decode(rest).ok());
    message.is_some_and(|message| message.get(2..).is_some_and(|name| name.starts_with(SEEDED)))
}

/// Whether a client's text could be the id of an interaction at all.
pub fn is_interaction(id: &str) -> bool {
    id.len() <= 128
        && id.strip_prefix("v1_").is_some_and(|rest| {
            !rest.is_empty()
                && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        })
}

/// A call's id where its interaction has no names of its own: one of a client's history.
pub fn call() -> String {
    letters(8, random)
}

/// What names a file that was sent ahead: 12 characters, as with the real service.
pub fn file() -> String {
    letters(12, random)
}

/// What names an upload. It stands for the key of whoever began it, so it is as long as one.
pub fn upload() -> String {
    letters(40, random)
}

/// From a generator of each thread that the system's seeds again and again.
fn random() -> [u8; 16] {
    Uuid::new_v4().into_bytes()
}

/// Whether [`Ids::signature_of_call`] gave these bytes for this function.
pub fn is_signature_of_call(bytes: &[u8], name: &str) -> bool {
    bytes.len() == 16 && check(&bytes[..8], name) == bytes[8..]
}

fn check(dice: &[u8], name: &str) -> [u8; 8] {
    let hash = Sha256::new().chain_update(dice).chain_update(name).finalize();
    std::array::from_fn(|at| hash[at])
}

/// Lower-case letters and digits.
fn letters(count: usize, bytes: impl FnMut() -> [u8; 16]) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    std::iter::repeat_with(bytes)
        // Bytes 6 and 8 hold the version of the UUID and are no dice.
        .flat_map(|bytes| bytes.into_iter().enumerate().filter(|(at, _)| !matches!(at, 6 | 8)))
        .map(|(_, byte)| char::from(ALPHABET[usize::from(byte % 32)]))
        .take(count)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interactions_id_has_the_form_of_the_real_service() {
        let ids = Ids::random();
        let id = ids.interaction();
        assert_eq!(id.len(), 70);
        assert!(is_interaction(&id) && !is_seeded(&id));
        let message = URL_SAFE_NO_PAD.decode(&id[3..]).expect("it is base64url");
        assert_eq!(message[..2], [0x0a, 23]);
        assert_eq!(message[25..27], [0x12, 23]);
        assert_eq!(message[2..25], message[27..]);
        assert_ne!(id, ids.interaction());
    }

    #[test]
    fn seeded_names_are_the_same_each_time_and_of_the_same_form() {
        let names = |texts: [&str; 2]| {
            let ids = Ids::seeded(texts.iter().map(|text| text.as_bytes()));
            [ids.interaction(), ids.call(), ids.call(), ids.signature(), ids.response()]
        };
        let some = names(["7", "ab"]);
        assert_eq!(some, names(["7", "ab"]));
        assert!(is_interaction(&some[0]) && is_seeded(&some[0]) && some[0].len() == 70);
        assert_eq!([8, 8, 24, 23], [1, 2, 3, 4].map(|at: usize| some[at].len()));
        assert_ne!(some[1], some[2]);
        for other in [["8", "ab"], ["7", "ac"], ["7a", "b"]] {
            assert!(names(other).iter().zip(&some).all(|(one, another)| one != another));
        }
    }

    #[test]
    fn what_cannot_be_an_id_is_told_apart() {
        for id in ["", "v1_", "x", "v1_../etc", "v1_ä", &format!("v1_{}", "a".repeat(200))] {
            assert!(!is_interaction(id), "{id} was taken for an id");
        }
    }
}
