//! Quirks of `generateContent`.

use axum::body::{Body, Bytes};
use futures_util::Stream;
use serde_json::{Value, json};

use super::{Oddity, Replacement, changed, data_of};
use domain::chaos::quirk::Quirk;
use domain::interaction::Reason;

/// An undeclared function name.
const UNDECLARED: &str = "undeclaredTool";

/// Changes a complete response.
pub fn whole(oddity: Oddity, mut answer: Value) -> Value {
    if let Some(other) = instead(oddity, &answer) {
        return other;
    }
    if oddity == Oddity::MaxTokens && answer.pointer("/candidates/0").is_some() {
        answer["candidates"][0]["finishReason"] = "MAX_TOKENS".into();
    }
    reorder(oddity, &mut answer);
    answer
}

/// Changes the elements of a list.
pub fn list(oddity: Oddity, chunks: Vec<Value>) -> Value {
    let mut stream = Chunks::new(oddity);
    let mut odd: Vec<Value> = chunks.into_iter().flat_map(|chunk| stream.next(chunk)).collect();
    odd.extend(stream.end());
    odd.into()
}

/// Changes a stream of events.
pub fn events(oddity: Oddity, body: Body) -> impl Stream<Item = Result<Bytes, axum::Error>> {
    let mut stream = Chunks::new(oddity);
    changed(body, move |piece| {
        let chunks = match &piece {
            None => stream.end(),
            Some(piece) => match data_of(piece) {
                Some((_, chunk)) => stream.next(chunk),
                // A late error is not an event.
                None => {
                    let text = String::from_utf8_lossy(piece).into_owned();
                    return Replacement { pieces: vec![text], is_over: false };
                }
            },
        };
        let pieces = chunks.iter().map(|chunk| format!("data: {chunk}\r\n\r\n")).collect();
        Replacement { pieces, is_over: false }
    })
}

/// A stream of chunks.
struct Chunks {
    oddity: Oddity,
    /// A chunk that is held back until the next one arrives.
    held: Option<Value>,
    count: usize,
}

impl Chunks {
    fn new(oddity: Oddity) -> Chunks {
        Chunks { oddity, held: None, count: 0 }
    }

    fn next(&mut self, mut chunk: Value) -> Vec<Value> {
        // A late error.
        if chunk.pointer("/candidates/0").is_none() {
            return vec![chunk];
        }
        self.count += 1;
        let is_last = finish(&chunk).is_some();
        let has = |name: &str| parts(&chunk).iter().any(|part| part.get(name).is_some());
        let quirk = match self.oddity {
            Oddity::Quirk(quirk) => quirk,
            Oddity::Stopped(_) => {
                return instead(self.oddity, &chunk).filter(|_| is_last).into_iter().collect();
            }
            Oddity::MaxTokens => {
                if is_last {
                    chunk["candidates"][0]["finishReason"] = "MAX_TOKENS".into();
                }
                return vec![chunk];
            }
        };
        match quirk {
            Quirk::CodeTwice if has("executableCode") => vec![chunk.clone(), chunk],
            Quirk::PictureBeforeResult => {
                if has("codeExecutionResult") {
                    return self.held.replace(chunk).into_iter().collect();
                }
                if has("inlineData") {
                    return vec![chunk]; // the result is held until no more of them arrive
                }
                self.held.take().into_iter().chain([chunk]).collect()
            }
            Quirk::ChunkWithoutContent if self.count == 2 => {
                let candidate = json!({"index": 0, "groundingMetadata": {}});
                vec![with_candidate(&chunk, candidate), chunk]
            }
            Quirk::StopInEveryChunk => {
                chunk["candidates"][0]["finishReason"] = "STOP".into();
                vec![chunk]
            }
            Quirk::EarlyFinish if has("codeExecutionResult") => {
                chunk["candidates"][0]["finishReason"] = "STOP".into();
                vec![chunk]
            }
            Quirk::LeadingFinish if self.count == 1 || is_last => {
                let candidate = json!({"content": {"parts": [], "role": "model"},
                                       "finishReason": "STOP", "index": 0});
                let empty = with_candidate(&chunk, candidate);
                if !is_last {
                    return vec![empty.clone(), empty, chunk];
                }
                let mut last = empty.clone();
                if let Some(counts) = chunk.get("usageMetadata") {
                    last["usageMetadata"] = counts.clone();
                }
                // The content of the last chunk is sent before it.
                let candidate = chunk["candidates"][0].as_object_mut();
                candidate.and_then(|candidate| candidate.remove("finishReason"));
                let content = (!is_empty_chunk(&chunk)).then_some(chunk);
                let before = (self.count == 1).then(|| vec![empty.clone(), empty.clone()]);
                before.into_iter().flatten().chain(content).chain([empty, last]).collect()
            }
            Quirk::FinishAlone if is_last => {
                let reason = finish(&chunk).unwrap_or_default().to_owned();
                let counts = chunk["usageMetadata"].clone();
                let candidate = chunk["candidates"][0].as_object_mut();
                candidate.and_then(|candidate| candidate.remove("finishReason"));
                let content = (!is_empty_chunk(&chunk)).then_some(chunk);
                let last =
                    json!({"candidates": [{"finishReason": reason}], "usageMetadata": counts});
                content.into_iter().chain([last]).collect()
            }
            Quirk::CutShort if is_last => Vec::new(),
            _ if is_replaced(quirk) => {
                let whole = instead(self.oddity, &chunk).filter(|_| is_last);
                whole.into_iter().collect()
            }
            _ => {
                reorder(self.oddity, &mut chunk);
                vec![chunk]
            }
        }
    }

    fn end(&mut self) -> Vec<Value> {
        self.held.take().into_iter().collect()
    }
}

/// Whether the quirk replaces the whole answer.
fn is_replaced(quirk: Quirk) -> bool {
    matches!(
        quirk,
        Quirk::MalformedFunctionCall
            | Quirk::CandidateWithoutContent
            | Quirk::UnexpectedToolCall
            | Quirk::StopWithoutParts
            | Quirk::BlockedPrompt
    )
}

/// The replacement of an answer, if the quirk replaces it. It keeps the answer's usage, model and
/// id.
fn instead(oddity: Oddity, answer: &Value) -> Option<Value> {
    let quirk = match oddity {
        Oddity::Stopped(reason) => return Some(stopped(reason, answer)),
        Oddity::MaxTokens => return None,
        Oddity::Quirk(quirk) => quirk,
    };
    let prompt = answer["usageMetadata"]["promptTokenCount"].clone();
    let counts = json!({
        "promptTokenCount": prompt,
        "totalTokenCount": prompt,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": prompt}],
    });
    let named = |mut json: Value, names: &[&str]| {
        for name in names {
            json[*name] = answer[*name].clone();
        }
        json
    };
    Some(match quirk {
        Quirk::MalformedFunctionCall => named(
            json!({
                "candidates": [{"content": {}, "finishReason": "MALFORMED_FUNCTION_CALL"}],
                "usageMetadata": counts,
            }),
            &["modelVersion"],
        ),
        Quirk::CandidateWithoutContent => json!({
            "candidates": [{"finishReason": "MALFORMED_FUNCTION_CALL", "index": 0}],
            "usageMetadata": counts,
        }),
        Quirk::UnexpectedToolCall => {
            let arguments = json!({"arg1": "value1", "arg2": "value2"});
            let call = json!({"functionCall": {"args": arguments, "name": UNDECLARED}});
            let why = format!(
                "Unexpected tool call: Model tried to call an undeclared function: {UNDECLARED}"
            );
            named(
                json!({"candidates": [{
                    "content": {"parts": [call], "role": "model"},
                    "finishMessage": why,
                    "finishReason": "UNEXPECTED_TOOL_CALL",
                }]}),
                &["usageMetadata", "modelVersion", "responseId"],
            )
        }
        Quirk::StopWithoutParts => named(
            json!({
                "candidates": [{"content": {"role": "model"}, "finishReason": "STOP", "index": 0}],
                "usageMetadata": counts,
            }),
            &["modelVersion", "responseId"],
        ),
        Quirk::BlockedPrompt => {
            let mut counts = counts;
            counts["serviceTier"] = "standard".into();
            named(
                json!({
                    "promptFeedback": {"blockReason": "PROHIBITED_CONTENT"},
                    "usageMetadata": counts,
                }),
                &["modelVersion", "responseId"],
            )
        }
        _ => return None,
    })
}

/// As the server reports a model that stopped without output.
fn stopped(reason: Reason, answer: &Value) -> Value {
    let content = json!({"parts": [{"text": ""}], "role": "model"});
    let candidate = json!({"content": content, "index": 0, "finishReason": reason.as_str()});
    let mut odd = json!({"candidates": [candidate]});
    for name in ["modelVersion", "responseId"] {
        odd[name] = answer[name].clone();
    }
    odd
}

/// Quirks of the parts of an answer or a chunk.
fn reorder(oddity: Oddity, answer: &mut Value) {
    let parts = answer.pointer_mut("/candidates/0/content/parts").and_then(Value::as_array_mut);
    let Some(parts) = parts else { return };
    match oddity {
        Oddity::Quirk(Quirk::SeveralResults) => {
            *parts = std::mem::take(parts).into_iter().flat_map(several).collect();
        }
        Oddity::Quirk(Quirk::PictureBeforeResult) => {
            let mut at = 1;
            while at < parts.len() {
                let is_late = parts[at].get("inlineData").is_some()
                    && parts[at - 1].get("codeExecutionResult").is_some();
                if is_late {
                    parts.swap(at - 1, at);
                }
                at += 1;
            }
        }
        _ => {}
    }
}

/// Splits a result in two: the output and the error, or its first line and the rest.
fn several(mut part: Value) -> Vec<Value> {
    if let Some(code) = part.get_mut("executableCode").and_then(Value::as_object_mut) {
        code.remove("id");
    }
    let Some(result) = part.get("codeExecutionResult") else { return vec![part] };
    let output = result["output"].as_str().unwrap_or_default();
    let outcome = result["outcome"].as_str().unwrap_or_default();
    let of = |outcome: &str, output: String| json!({"codeExecutionResult": {"outcome": outcome, "output": output}});
    let (printed, rest) = if outcome == "OUTCOME_OK" {
        let end = output.find('\n').map_or(output.len(), |end| end + 1);
        (&output[..end], output[end..].to_owned())
    } else {
        let at = output.find("Traceback (most recent call last):").unwrap_or(output.len());
        let (printed, traceback) = output.split_at(at);
        let last = traceback.lines().last().unwrap_or_default();
        let why = last.split_once(": ").map_or(last, |(_, why)| why);
        (printed, format!("{why}\n{traceback}"))
    };
    vec![of("OUTCOME_OK", printed.to_owned()), of(outcome, rest)]
}

fn parts(chunk: &Value) -> &[Value] {
    chunk["candidates"][0]["content"]["parts"].as_array().map_or(&[], Vec::as_slice)
}

fn finish(chunk: &Value) -> Option<&str> {
    chunk["candidates"][0]["finishReason"].as_str()
}

fn is_empty_chunk(chunk: &Value) -> bool {
    parts(chunk).iter().all(|part| *part == json!({"text": ""}))
}

/// A chunk with another candidate and without usage.
fn with_candidate(chunk: &Value, candidate: Value) -> Value {
    let mut odd = json!({"candidates": [candidate]});
    for name in ["modelVersion", "responseId"] {
        odd[name] = chunk[name].clone();
    }
    odd
}
