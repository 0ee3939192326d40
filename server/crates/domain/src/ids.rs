//! Generated names: ids of interactions and calls, signatures.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// Prefix of the characters of an interaction's id on a server with a seed. A random id has it once
/// in a thousand million.
const SEEDED: &[u8] = b"seeded";
/// Maximum length of a name in an id, as in the real service.
const MAX_SLUG: usize = 26;
/// Characters of an interaction's id.
const LETTERS: usize = 23;

/// Generates the ids of one interaction and its content.
#[derive(Debug, Default)]
pub struct Ids(Option<Mutex<Seeded>>);

/// State of a deterministic generator.
#[derive(Debug)]
struct Seeded {
    root: Sha256,
    given: u64,
}

impl Ids {
    /// Random ids.
    pub fn random() -> Ids {
        Ids(None)
    }

    /// Ids derived from these texts.
    pub fn seeded<'p>(texts: impl IntoIterator<Item = &'p [u8]>) -> Ids {
        let mut root = Sha256::new();
        for text in texts {
            // The length separates the texts, so different texts never hash like their
            // concatenation.
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

    /// Value of `signature`: opaque base64.
    pub fn signature(&self) -> String {
        STANDARD.encode(self.bytes())
    }

    /// Signature of a call of this function. It is not secret. It proves that the id came from a call
    /// of that function and returned unchanged, also after a restart.
    pub fn signature_of_call(&self, name: &str) -> String {
        let dice = &self.bytes()[8..];
        STANDARD.encode([dice, &check(dice, name)].concat())
    }

    fn letters(&self, count: usize) -> String {
        letters(count, || self.bytes())
    }

    fn bytes(&self) -> [u8; 16] {
        let Some(seeded) = &self.0 else { return Uuid::new_v4().into_bytes() };
        let mut seeded = seeded.lock();
        seeded.given += 1;
        let given = seeded.given.to_le_bytes();
        let hash = seeded.root.clone().chain_update(given).finalize();
        std::array::from_fn(|at| hash[at])
    }
}

/// Whether a server with a seed generated this interaction id.
pub fn is_seeded(id: &str) -> bool {
    let message = id.strip_prefix("v1_").and_then(|rest| URL_SAFE_NO_PAD.decode(rest).ok());
    message.is_some_and(|message| message.get(2..).is_some_and(|name| name.starts_with(SEEDED)))
}

/// Whether a client's text has the form of an interaction id.
pub fn is_interaction(id: &str) -> bool {
    id.len() <= 128
        && id.strip_prefix("v1_").is_some_and(|rest| {
            !rest.is_empty()
                && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        })
}

/// Id of a response that is not stored. It cannot be looked up. It is derived from the interaction's id,
/// because the ids of a running interaction are generated concurrently.
pub fn response(interaction: &str) -> String {
    let ids = Ids::seeded([b"response".as_slice(), interaction.as_bytes()]);
    ids.letters(LETTERS)
}

/// Id of a call from a client's history, whose interaction has no generator.
pub fn call() -> String {
    letters(8, random)
}

/// Id of an uploaded file: 12 characters, as in the real service.
pub fn file() -> String {
    letters(12, random)
}

/// Id of a cached content: 40 characters, as in the real service.
pub fn cached_content() -> String {
    letters(40, random)
}

/// Id of a file search store or of a document: the name that it displays, and 12 characters.
pub fn file_search(display_name: &str) -> String {
    with_slug(display_name, &letters(12, random))
}

/// A name as the beginning of an id, in lower case and without other characters.
pub fn with_slug(name: &str, end: &str) -> String {
    let plain = name.chars().map(|letter| match letter.to_ascii_lowercase() {
        plain if plain.is_ascii_alphanumeric() => plain,
        _ => '-',
    });
    let slug: String = plain.take(MAX_SLUG).collect();
    let words: Vec<&str> = slug.split('-').filter(|word| !word.is_empty()).collect();
    if words.is_empty() { end.to_owned() } else { format!("{}-{end}", words.join("-")) }
}

/// Id of a batch: 36 characters, as in the real service.
pub fn batch() -> String {
    letters(36, random)
}

/// Id of an upload. It replaces the API key in later requests, so it is as long as one.
pub fn upload() -> String {
    letters(40, random)
}

/// From a thread-local generator that the system reseeds periodically.
fn random() -> [u8; 16] {
    Uuid::new_v4().into_bytes()
}

/// Whether [`Ids::signature_of_call`] produced these bytes for this function.
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
        // Bytes 6 and 8 hold the version of the UUID and are not random.
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
            [
                ids.interaction(),
                ids.call(),
                ids.call(),
                ids.signature(),
                response(&ids.interaction()),
            ]
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
    fn a_text_that_is_not_an_id_is_recognized() {
        for id in ["", "v1_", "x", "v1_../etc", "v1_ä", &format!("v1_{}", "a".repeat(200))] {
            assert!(!is_interaction(id), "{id} was taken for an id");
        }
    }

    #[test]
    fn an_id_begins_with_the_name_that_it_displays() {
        for (name, wanted) in [
            ("Manual", "manual-x"),
            ("a b/c.TXT", "a-b-c-txt-x"),
            ("--", "x"),
            ("苔", "x"),
            ("", "x"),
            ("abcdefghijklmnopqrstuvwxyz0", "abcdefghijklmnopqrstuvwxyz-x"),
        ] {
            assert_eq!(with_slug(name, "x"), wanted, "{name}");
        }
        assert!(file_search(&"a".repeat(100)).len() <= 40);
    }
}
