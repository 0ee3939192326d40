//! Names that are given here: interactions, calls, signatures.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// An interaction's id in the form of the real service: `v1_` and the base64url of a protobuf
/// message whose fields 1 and 2 hold the same 23 characters. 70 characters, safe in a URL.
pub fn interaction() -> String {
    let name = letters(23);
    let mut message = Vec::with_capacity(50);
    for field in [0x0a, 0x12] {
        message.push(field);
        message.push(23);
        message.extend_from_slice(name.as_bytes());
    }
    format!("v1_{}", URL_SAFE_NO_PAD.encode(message))
}

/// Whether a client's text could be the id of an interaction at all.
pub fn is_interaction(id: &str) -> bool {
    id.len() <= 128
        && id.strip_prefix("v1_").is_some_and(|rest| {
            !rest.is_empty()
                && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        })
}

/// A tool call's id: 8 characters `[a-z0-9]`, as recorded from the real service.
pub fn call() -> String {
    letters(8)
}

/// What names an answer that is not kept. It tells nothing, and leads nowhere.
pub fn response() -> String {
    letters(23)
}

/// What names a file that was sent ahead: 12 characters, as with the real service.
pub fn file() -> String {
    letters(12)
}

/// What names an upload. It stands for the key of whoever began it, so it is as long as one.
pub fn upload() -> String {
    letters(40)
}

/// What stands in `signature`: opaque base64.
pub fn signature() -> String {
    STANDARD.encode(Uuid::new_v4().as_bytes())
}

/// The signature of a call of this function. It is no secret: it tells that it came from a call of
/// that function and came back whole, also after a restart.
pub fn signature_of_call(name: &str) -> String {
    let dice = &Uuid::new_v4().into_bytes()[8..];
    STANDARD.encode([dice, &check(dice, name)].concat())
}

/// Whether [`signature_of_call`] gave these bytes for this function.
pub fn is_signature_of_call(bytes: &[u8], name: &str) -> bool {
    bytes.len() == 16 && check(&bytes[..8], name) == bytes[8..]
}

fn check(dice: &[u8], name: &str) -> [u8; 8] {
    let hash = Sha256::new().chain_update(dice).chain_update(name).finalize();
    std::array::from_fn(|at| hash[at])
}

/// Lower-case letters and digits, from a generator of each thread that the system's seeds again and again.
fn letters(count: usize) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    std::iter::repeat_with(|| Uuid::new_v4().into_bytes())
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
        let id = interaction();
        assert_eq!(id.len(), 70);
        assert!(is_interaction(&id));
        let message = URL_SAFE_NO_PAD.decode(&id[3..]).expect("it is base64url");
        assert_eq!(message[..2], [0x0a, 23]);
        assert_eq!(message[25..27], [0x12, 23]);
        assert_eq!(message[2..25], message[27..]);
        assert_ne!(id, interaction());
    }

    #[test]
    fn what_cannot_be_an_id_is_told_apart() {
        for id in ["", "v1_", "x", "v1_../etc", "v1_ä", &format!("v1_{}", "a".repeat(200))] {
            assert!(!is_interaction(id), "{id} was taken for an id");
        }
    }
}
