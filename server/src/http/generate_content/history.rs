//! Validates a conversation as the service does before it calls a model: function calls and
//! responses must match, and models from Gemini 3 on must get their signatures back.
//!
//! Consecutive contents of the model are one turn, because clients send back the chunks of a
//! stream. Contents of the user are not joined: all responses of a turn arrive in one.

use std::ops::Range;

use serde_json::Value;

use super::content::{ContentTurn, Role};
use super::generation::Generation;
use super::part::PartData;
use crate::http::wire::WireError;
use crate::http::wire::content::bytes_of;
use domain::ids;

/// Messages of the real service.
const CALL_COMES_AFTER: &str = "Please ensure that function call turn comes immediately after a user \
                                turn or after a function response turn.";
const RESPONSE_COMES_AFTER: &str =
    "Please ensure that function response turn comes immediately after a function call turn.";
const NUMBER: &str = "Please ensure that the number of function response parts is equal to the \
                      number of function call parts of the function call turn.";
/// Our message: the real service only reports an invalid argument.
const NAMES: &str = "Please ensure that the names of the function response parts are those of the function \
                     call parts of the function call turn.";
const OTHER_SIGNATURE: &str = "Corrupted thought signature.";
const DOCS: &str = "https://ai.google.dev/gemini-api/docs/thought-signatures";

/// Values that Google documents for calls that no model made, instead of a signature.
const DUMMIES: [&str; 2] =
    ["skip_thought_signature_validator", "context_engineering_is_the_way_to_go"];

/// Whether and how the signatures of this conversation are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signatures {
    /// A model before Gemini 3, or one of another vendor.
    Optional,
    Required,
}

impl Signatures {
    pub fn of_model(name: &str) -> Signatures {
        match Generation::of_model(name) {
            Some(Generation::Three) => Signatures::Required,
            Some(Generation::BeforeThree) | None => Signatures::Optional,
        }
    }
}

/// Validates a conversation, oldest first. Before Gemini 3 a call may have another name than its
/// response: it gets the response's name, which is the declared one. semantic-kernel sends such
/// calls.
pub fn check(turns: &mut [ContentTurn], signatures: Signatures) -> Result<(), WireError> {
    let steps = order(turns).map_err(|text| WireError::Whole(text.to_owned()))?;
    match signatures {
        Signatures::Optional => {
            steps.into_iter().for_each(|step| rename(turns, step));
            Ok(())
        }
        Signatures::Required => {
            if steps.iter().any(|step| !has_names_of_calls(turns, step)) {
                return Err(WireError::Whole(NAMES.to_owned()));
            }
            signed(turns)
        }
    }
}

/// Consecutive calls and their responses: the model's turns, and the user's turn after them.
type Step = (Range<usize>, usize);

/// The steps in which functions are called and answered, if their order is valid.
fn order(turns: &[ContentTurn]) -> Result<Vec<Step>, &'static str> {
    let mut steps = Vec::new();
    // Start of the current turns of the model, and their number of calls.
    let (mut first, mut calls) = (0, 0);
    for (at, turn) in turns.iter().enumerate() {
        let (called, answered) = (calls_of(turn).count(), responses(turn).count());
        match turn.role {
            Role::Model if answered > 0 => return Err(RESPONSE_COMES_AFTER),
            // A conversation that begins with the model's call has no user turn before it.
            Role::Model if at == 0 && called > 0 => return Err(CALL_COMES_AFTER),
            Role::Model => calls += called,
            Role::User if called > 0 => return Err(CALL_COMES_AFTER),
            Role::User if calls == 0 && answered > 0 => return Err(RESPONSE_COMES_AFTER),
            Role::User if calls != answered => return Err(NUMBER),
            Role::User => {
                if calls > 0 {
                    steps.push((first..at, at));
                }
                (first, calls) = (at + 1, 0);
            }
        }
    }
    // Calls in the last turn have no response.
    if calls == 0 { Ok(steps) } else { Err(NUMBER) }
}

/// Whether the responses name exactly the called functions, with the same frequency.
fn has_names_of_calls(turns: &[ContentTurn], (calls, responses_at): &Step) -> bool {
    let mut called: Vec<&str> = turns[calls.clone()].iter().flat_map(calls_of).collect();
    let mut answered: Vec<&str> = responses(&turns[*responses_at]).collect();
    called.sort_unstable();
    answered.sort_unstable();
    called == answered
}

/// Renames calls to the names of their responses, in order.
fn rename(turns: &mut [ContentTurn], step: Step) {
    if has_names_of_calls(turns, &step) {
        return;
    }
    let (calls, responses_at) = step;
    let names: Vec<String> = responses(&turns[responses_at]).map(str::to_owned).collect();
    let parts = turns[calls].iter_mut().flat_map(|turn| &mut turn.parts);
    let calls = parts.filter_map(|part| match &mut part.data {
        PartData::FunctionCall(call) => Some(call),
        _ => None,
    });
    let named = calls.zip(names).filter(|(_, name)| !name.is_empty());
    named.for_each(|(call, name)| call.name = name);
}

fn calls_of(turn: &ContentTurn) -> impl Iterator<Item = &str> {
    turn.parts.iter().filter_map(|part| match &part.data {
        PartData::FunctionCall(call) => Some(call.name.as_str()),
        _ => None,
    })
}

fn responses(turn: &ContentTurn) -> impl Iterator<Item = &str> {
    turn.parts.iter().filter_map(|part| match &part.data {
        PartData::FunctionResult(result) => Some(result.name.as_deref().unwrap_or_default()),
        _ => None,
    })
}

/// The first call of each step of the current turn carries the shared signature.
fn signed(turns: &[ContentTurn]) -> Result<(), WireError> {
    let is_input = |turn: &ContentTurn| turn.role == Role::User && responses(turn).next().is_none();
    let current = turns.iter().rposition(is_input).map_or(0, |at| at + 1);
    let mut is_first = true;
    for (at, turn) in turns.iter().enumerate().skip(current) {
        if turn.role == Role::User {
            is_first = true;
            continue;
        }
        for (place, part) in turn.parts.iter().enumerate() {
            let PartData::FunctionCall(call) = &part.data else { continue };
            let signature = part.signature.as_deref();
            match signature {
                None if is_first => return Err(missing(&call.name, at)),
                None => {}
                Some(signature) => valid(signature, &call.name, at, place)?,
            }
            is_first = false;
        }
    }
    Ok(())
}

fn missing(name: &str, at: usize) -> WireError {
    WireError::Whole(format!(
        "Function call is missing a thought_signature in functionCall parts. This is required for \
         tools to work correctly, and missing thought_signature may lead to degraded model \
         performance. Additional data, function call `default_api:{name}` , position {}. Please refer \
         to {DOCS} for more details.",
        at + 1,
    ))
}

fn valid(signature: &str, name: &str, at: usize, place: usize) -> Result<(), WireError> {
    if DUMMIES.contains(&signature) {
        return Ok(());
    }
    let wrong = |why: &str| {
        let place = format!("contents[{at}].parts[{place}].thought_signature");
        WireError::Whole(format!("{why} Invalid value at '{place}'. See {DOCS}."))
    };
    let Some(bytes) = bytes_of(&Value::from(signature)) else {
        return Err(wrong("Base64 decoding of a thought_signature failed."));
    };
    let is_dummy = DUMMIES.iter().any(|dummy| dummy.as_bytes() == bytes);
    if is_dummy || ids::is_signature_of_call(&bytes, name) {
        Ok(())
    } else {
        Err(wrong(OTHER_SIGNATURE))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::content::turns;
    use super::*;
    use crate::http::wire::json_reader::Node;

    fn read(contents: Value, signatures: Signatures) -> Result<(), String> {
        let mut body = Node::root(json!({"contents": contents})).object().expect("it is one");
        let mut turns = turns(body.take("contents")).expect("it is well-formed");
        check(&mut turns, signatures).map_err(|error| error.to_string())
    }

    fn user(parts: Value) -> Value {
        json!({"role": "user", "parts": parts})
    }

    fn model(parts: Value) -> Value {
        json!({"role": "model", "parts": parts})
    }

    fn call(name: &str) -> Value {
        json!({"functionCall": {"name": name, "args": {}}})
    }

    fn signed(name: &str, signature: &str) -> Value {
        json!({"functionCall": {"name": name}, "thoughtSignature": signature})
    }

    fn response(name: &str) -> Value {
        json!({"functionResponse": {"name": name, "response": {}}})
    }

    #[test]
    fn calls_and_responses_must_match() {
        let ask = || user(json!([{"text": "?"}]));
        for (contents, wanted) in [
            (json!([ask(), model(json!([call("f")])), user(json!([response("f")]))]), None),
            // In another order, and beside a text.
            (
                json!([
                    ask(),
                    model(json!([call("f"), call("g"), call("f")])),
                    user(json!([response("f"), response("f"), response("g"), {"text": "?"}])),
                ]),
                None,
            ),
            // Chunks of a stream.
            (
                json!([
                    ask(),
                    model(json!([{"text": "I ask."}])),
                    model(json!([call("f")])),
                    model(json!([call("g")])),
                    user(json!([response("f"), response("g")])),
                    model(json!([{"text": "Done."}])),
                    ask(),
                ]),
                None,
            ),
            (
                json!([ask(), model(json!([call("f"), call("g")])), user(json!([response("f")]))]),
                Some(NUMBER),
            ),
            (
                json!([
                    ask(),
                    model(json!([call("f"), call("g")])),
                    user(json!([response("f")])),
                    user(json!([response("g")])),
                ]),
                Some(NUMBER),
            ),
            (
                json!([
                    ask(),
                    model(json!([call("f")])),
                    user(json!([response("f"), response("f")]))
                ]),
                Some(NUMBER),
            ),
            (json!([ask(), model(json!([call("f")])), ask()]), Some(NUMBER)),
            (json!([ask(), model(json!([call("f")]))]), Some(NUMBER)),
            (json!([user(json!([response("f")]))]), Some(RESPONSE_COMES_AFTER)),
            (
                json!([ask(), model(json!([{"text": "."}])), user(json!([response("f")]))]),
                Some(RESPONSE_COMES_AFTER),
            ),
            (json!([ask(), model(json!([response("f")]))]), Some(RESPONSE_COMES_AFTER)),
            (
                json!([model(json!([call("f")])), user(json!([response("f")]))]),
                Some(CALL_COMES_AFTER),
            ),
            (json!([user(json!([call("f")])), ask()]), Some(CALL_COMES_AFTER)),
        ] {
            let read = read(contents.clone(), Signatures::Optional);
            assert_eq!(read.err().as_deref(), wanted, "{contents}");
        }
        let other = json!([ask(), model(json!([call("f")])), user(json!([response("g")]))]);
        assert_eq!(read(other.clone(), Signatures::Optional), Ok(()));
        let error = read(other, Signatures::Required).expect_err("it was not called");
        assert!(error.contains("names of the function response parts"), "{error}");
    }

    #[test]
    fn the_first_call_of_each_step_needs_its_signature() {
        let ask = || user(json!([{"text": "?"}]));
        let own = ids::Ids::random().signature_of_call("f");
        let url_safe = own.replace('+', "-").replace('/', "_");
        let dummy = "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I=";
        for (parts, wanted) in [
            (json!([signed("f", &own)]), None),
            (json!([signed("f", &url_safe)]), None),
            (json!([signed("f", own.trim_end_matches('='))]), None),
            (json!([signed("f", "skip_thought_signature_validator")]), None),
            (json!([signed("f", "context_engineering_is_the_way_to_go")]), None),
            (json!([signed("f", dummy)]), None),
            (json!([signed("f", &own), call("f")]), None),
            (json!([call("f"), signed("f", &own)]), Some("is missing a thought_signature")),
            (json!([call("f")]), Some("`default_api:f` , position 2.")),
            (json!([signed("f", "")]), Some("is missing a thought_signature")),
            (json!([signed("f", "QUJDRA==")]), Some("Corrupted thought signature.")),
            (
                json!([signed("f", &ids::Ids::random().signature_of_call("g"))]),
                Some("thought_signature'"),
            ),
            (json!([signed("f", "€")]), Some("Base64 decoding")),
        ] {
            let answers = vec![response("f"); parts.as_array().expect("it is a list").len()];
            let contents = json!([ask(), model(parts.clone()), user(json!(answers))]);
            let error = read(contents.clone(), Signatures::Required).err();
            assert_eq!(error.is_some(), wanted.is_some(), "{parts} gave {error:?}");
            assert!(error.unwrap_or_default().contains(wanted.unwrap_or_default()), "{parts}");
            read(contents, Signatures::Optional).expect("older models ask for none");
        }
        // Earlier turns are not checked.
        let past = json!([ask(), model(json!([call("f")])), user(json!([response("f")])), ask()]);
        read(past, Signatures::Required).expect("it is over");
        // The second step of a turn is.
        let second = json!([
            ask(),
            model(json!([signed("f", &own)])),
            user(json!([response("f")])),
            model(json!([call("f")])),
            user(json!([response("f")])),
        ]);
        let error = read(second, Signatures::Required).expect_err("it has no signature");
        assert!(error.contains("position 4"), "{error}");
    }
}
