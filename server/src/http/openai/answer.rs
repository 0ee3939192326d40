//! Builds completions: converts the parts of an answer into a choice, whole or in pieces.

use serde_json::{Map, Value, json};

use crate::http::generate_content::answer::AnswerEnd;
use domain::interaction::Usage;

/// Properties of a completion and of each of its chunks.
#[derive(Debug, Clone)]
pub struct CompletionHead {
    pub id: String,
    pub model: String,
    /// In seconds since 1970.
    pub created: i64,
}

/// Converts the parts of one answer into additions to its message, one at a time and in order.
#[derive(Debug, Default)]
pub struct DeltaEncoder {
    /// Whether the text so far ends inside of a thought.
    in_thought: bool,
    calls: usize,
}

impl DeltaEncoder {
    /// The addition for a part; `None` if this API has no place for it.
    pub fn of(&mut self, part: &Value) -> Option<Map<String, Value>> {
        let text = part["text"].as_str();
        let call = part.get("functionCall");
        let is_thought = part["thought"] == true;
        if text.is_none_or(str::is_empty) && call.is_none() {
            return None;
        }
        // As in the real service, which has no field for thoughts.
        let mut content = match (self.in_thought, is_thought) {
            (false, true) => "<thought>",
            (true, false) => "</thought>",
            _ => "",
        }
        .to_owned();
        self.in_thought = is_thought;
        content.push_str(text.unwrap_or_default());
        let mut delta = Map::new();
        if !content.is_empty() {
            delta.insert("content".to_owned(), content.into());
        }
        if let Some(call) = call {
            delta.insert("tool_calls".to_owned(), json!([self.call(call, part)]));
        }
        Some(delta)
    }

    /// The end of a thought that no text follows.
    pub fn end(self) -> Option<Map<String, Value>> {
        self.in_thought.then(|| Map::from_iter([("content".to_owned(), "</thought>".into())]))
    }

    /// A whole call. Its index is OpenAI's: the real service sends none, and the helpers of both SDKs
    /// need one.
    fn call(&mut self, call: &Value, part: &Value) -> Value {
        let mut json = json!({
            "index": self.calls,
            "id": call["id"],
            "type": "function",
            "function": {"name": call["name"], "arguments": call["args"].to_string()},
        });
        self.calls += 1;
        if let Some(signature) = part.get("thoughtSignature") {
            json["extra_content"] = json!({"google": {"thought_signature": signature}});
        }
        json
    }
}

/// A choice of a whole completion.
pub fn choice(index: usize, parts: &[Value], end: AnswerEnd) -> Value {
    let mut encoder = DeltaEncoder::default();
    let deltas: Vec<_> = parts.iter().filter_map(|part| encoder.of(part)).collect();
    let (mut content, mut calls) = (String::new(), Vec::new());
    for mut delta in deltas.into_iter().chain(encoder.end()) {
        content.push_str(delta.get("content").and_then(Value::as_str).unwrap_or_default());
        if let Some(Value::Array(more)) = delta.remove("tool_calls") {
            calls.extend(more);
        }
    }
    for call in &mut calls {
        call.as_object_mut().map(|call| call.remove("index"));
    }
    let reason = finish_reason(end, !calls.is_empty());
    let content =
        if content.is_empty() && !calls.is_empty() { Value::Null } else { content.into() };
    let mut message = json!({"role": "assistant", "content": content});
    if !calls.is_empty() {
        message["tool_calls"] = calls.into();
    }
    json!({"index": index, "message": message, "finish_reason": reason})
}

pub fn completion(head: &CompletionHead, choices: Vec<Value>, used: Value) -> Value {
    let mut json = with_head(head, "chat.completion", choices);
    json["usage"] = used;
    json
}

/// A chunk of a choice; the last one has the reason.
pub fn chunk(
    head: &CompletionHead,
    index: usize,
    delta: Map<String, Value>,
    finish_reason: Option<&str>,
) -> Value {
    let mut choice = json!({"index": index, "delta": delta});
    if let Some(reason) = finish_reason {
        choice["finish_reason"] = reason.into();
    }
    with_head(head, "chat.completion.chunk", vec![choice])
}

/// The chunk after those of all choices.
pub fn usage_chunk(head: &CompletionHead, used: Value) -> Value {
    let mut json = with_head(head, "chat.completion.chunk", Vec::new());
    json["usage"] = used;
    json
}

fn with_head(head: &CompletionHead, object: &str, choices: Vec<Value>) -> Value {
    json!({
        "id": head.id,
        "object": object,
        "created": head.created,
        "model": head.model,
        "choices": choices,
    })
}

pub fn finish_reason(end: AnswerEnd, has_calls: bool) -> &'static str {
    match end.finish_reason() {
        "STOP" if has_calls => "tool_calls",
        "STOP" => "stop",
        "MAX_TOKENS" => "length",
        // Every other reason means that the answer was withheld.
        _ => "content_filter",
    }
}

/// The usage of all choices, which share their prompt, of which `cached` tokens came from a cached
/// content. As in the real service, thoughts count in the total only.
pub fn usage(choices: &[Usage], cached: u64) -> Value {
    let prompt = choices.iter().map(|usage| usage.input.total()).max().unwrap_or_default();
    let sum = |count: fn(&Usage) -> u64| choices.iter().map(count).fold(0, u64::saturating_add);
    let completion = sum(|usage| usage.output.total());
    let others = sum(|usage| usage.thought.saturating_add(usage.tool_use.total()));
    let mut json = json!({
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt.saturating_add(completion).saturating_add(others),
    });
    let counted = choices.iter().map(|usage| usage.cached).max().unwrap_or_default();
    let cached = if cached > 0 { cached.min(prompt) } else { counted };
    if cached > 0 {
        json["prompt_tokens_details"] = json!({"cached_tokens": cached});
    }
    json
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::interaction::{Event, Status, Tokens};

    fn ended(status: Status) -> AnswerEnd {
        let event = Event::Finished { status, usage: Usage::default() };
        AnswerEnd::of(&event).expect("it is the last event").expect("it did not fail")
    }

    #[test]
    fn thoughts_are_marked_in_the_text() {
        let thought = |text: &str| json!({"text": text, "thought": true});
        let parts = [thought("a"), thought("b"), json!({"text": "c"}), json!({"text": ""})];
        let choice = choice(1, &parts, ended(Status::Completed));
        let wanted = json!({"index": 1, "finish_reason": "stop", "message":
            {"role": "assistant", "content": "<thought>ab</thought>c"}});
        assert_eq!(choice, wanted);
        let open = super::choice(0, &[thought("a")], ended(Status::Incomplete));
        assert_eq!(open["message"]["content"], "<thought>a</thought>");
        assert_eq!(open["finish_reason"], "length");
    }

    #[test]
    fn calls_have_their_index_in_streams_only() {
        let part = |name: &str, rest: Value| {
            let mut part = json!({"functionCall": {"id": "i", "name": name, "args": {"a": 1}}});
            if !rest.is_null() {
                part["thoughtSignature"] = rest;
            }
            part
        };
        let parts = [part("f", json!("c2ln")), part("g", Value::Null)];
        let mut encoder = DeltaEncoder::default();
        let deltas: Vec<_> = parts.iter().filter_map(|part| encoder.of(part)).collect();
        assert_eq!(deltas[1]["tool_calls"][0]["index"], 1);

        let choice = choice(0, &parts, ended(Status::RequiresAction));
        let call = json!({"id": "i", "type": "function",
            "function": {"name": "f", "arguments": "{\"a\":1}"},
            "extra_content": {"google": {"thought_signature": "c2ln"}}});
        assert_eq!(choice["message"]["tool_calls"][0], call);
        assert_eq!(choice["message"]["content"], Value::Null);
        assert_eq!(choice["finish_reason"], "tool_calls");
    }

    #[test]
    fn the_prompt_counts_once_and_thoughts_in_the_total() {
        let used = Usage {
            input: Tokens::text(10),
            output: Tokens::text(3),
            thought: 5,
            ..Usage::default()
        };
        let wanted = json!({"prompt_tokens": 10, "completion_tokens": 6, "total_tokens": 26});
        assert_eq!(usage(&[used, used], 0), wanted);
        let details = json!({"cached_tokens": 10});
        assert_eq!(usage(&[used], 99)["prompt_tokens_details"], details, "at most the prompt");
    }
}
