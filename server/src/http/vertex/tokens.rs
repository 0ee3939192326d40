//! `computeTokens`: the tokens themselves, and other counts that only Vertex AI returns.
//!
//! Tokens are this server's: four letters each, as in its counts.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::engine::Request;
use crate::http::generate_content::content::{self, Role};
use crate::http::generate_content::openapi::GENERATE_CONTENT;
#[cfg(test)]
use crate::http::generate_content::openapi::samples;
use crate::http::generate_content::part::PartData;
#[cfg(test)]
use crate::http::openapi::BodyReader;
use crate::http::openapi::RequestBody;
use crate::http::openapi::schema::{Schema, answer, any_of, base64, list, request, text, word};
use crate::http::wire::WireError;
use crate::http::wire::json_reader::Node;
use domain::interaction::usage::LETTERS_PER_TOKEN;
use domain::interaction::{Content, Step};

pub static COMPUTE: RequestBody = RequestBody {
    schema: &COMPUTE_TOKENS_REQUEST,
    #[cfg(test)]
    reader: BodyReader::new(|body| compute(body).map(drop), samples::contents),
};

static COMPUTE_TOKENS_REQUEST: Schema = Schema::new("ComputeTokensRequest", |schemas| {
    let content = || schemas.named(&GENERATE_CONTENT);
    let contents = any_of(&[content(), list(content())]);
    request(&["contents"], json!({"contents": contents, "model": {"type": "string"}}))
});

pub static COMPUTE_TOKENS_RESPONSE: Schema = Schema::new("ComputeTokensResponse", |_| {
    let tokens = answer(
        &[],
        json!({
            "role": word(&["user", "model"]),
            "tokenIds": list(text("A number.")),
            "tokens": list(base64("The letters of a token, in UTF-8.")),
        }),
    );
    answer(&[], json!({"tokensInfo": list(tokens)}))
});

/// The tokens of each content.
pub fn compute(body: Value) -> Result<Value, WireError> {
    let mut fields = Node::root(body).object()?.camel()?;
    let turns = content::turns(fields.take("contents"))?;
    fields.string("model")?;
    fields.done()?;
    let of_turn = |turn: content::ContentTurn| {
        let texts = turn.parts.iter().filter_map(|part| match &part.data {
            PartData::Content(Content::Text { text, .. }) => Some(text.as_str()),
            _ => None,
        });
        let tokens: Vec<String> = texts.flat_map(split).collect();
        let role = match turn.role {
            Role::User => "user",
            Role::Model => "model",
        };
        json!({
            "role": role,
            "tokenIds": tokens.iter().map(|token| id(token)).collect::<Vec<_>>(),
            "tokens": tokens.iter().map(|token| STANDARD.encode(token)).collect::<Vec<_>>(),
        })
    };
    Ok(json!({"tokensInfo": turns.into_iter().map(of_turn).collect::<Vec<_>>()}))
}

fn split(text: &str) -> impl Iterator<Item = String> {
    let mut letters = text.chars();
    std::iter::from_fn(move || {
        let token: String = letters.by_ref().take(LETTERS_PER_TOKEN).collect();
        Some(token).filter(|token| !token.is_empty())
    })
}

/// A number for a token, the same everywhere. A string, as protobuf's JSON has 64-bit numbers.
fn id(token: &str) -> String {
    let [a, b, c, d, ..] = <[u8; 32]>::from(Sha256::digest(token));
    u32::from_be_bytes([a, b, c, d]).to_string()
}

/// The characters of a request that Vertex AI would charge for: those of its texts that are no spaces.
pub fn billable_characters(request: &Request) -> u64 {
    let of_step = |step: &Step| match step {
        Step::UserInput(contents) | Step::ModelOutput(contents) => billable_characters_of(contents),
        _ => 0,
    };
    let instruction = request.system_instruction.as_deref().map_or(0, letters);
    instruction + request.input.iter().map(of_step).sum::<u64>()
}

pub fn billable_characters_of(contents: &[Content]) -> u64 {
    let texts = contents.iter().map(|content| match content {
        Content::Text { text, .. } => letters(text),
        _ => 0,
    });
    texts.sum()
}

fn letters(text: &str) -> u64 {
    text.chars().filter(|letter| !letter.is_whitespace()).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_have_four_letters_and_an_id_each() {
        let contents = json!([
            {"role": "user", "parts": [{"text": "hello"}, {"text": "äöü"}]},
            {"role": "model", "parts": [{"text": "o"}]},
        ]);
        let computed = compute(json!({"contents": contents})).expect("it is valid");
        let tokens = |at: usize| &computed["tokensInfo"][at]["tokens"];
        assert_eq!(*tokens(0), json!(["aGVsbA==", "bw==", "w6TDtsO8"]));
        assert_eq!(*tokens(1), json!(["bw=="]));
        let ids = |at: usize| &computed["tokensInfo"][at]["tokenIds"];
        assert_eq!(ids(0)[1], ids(1)[0], "the same token has the same id");
        assert_ne!(ids(0)[0], ids(0)[1]);
        assert_eq!(computed["tokensInfo"][1]["role"], "model");
    }
}
