//! The parts of a script and their syntax, each once: its variant of [`Part`], and its row of [`SYNTAX`] with key,
//! JSON Schema and examples. `playback/speech.rs` turns parts into output.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr as _;
use std::sync::LazyLock;
use std::time::Duration;

use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use strum::VariantNames as _;

use super::keys::{CallKeys, ExpectKeys, FailKeys, FinishWord, SearchKeys, UsageKeys, Yes};
use super::tool_keys::ToolKeys;
use crate::template::{ArgumentTemplate, Template};
use backend::Finish;
use domain::chaos::fault::{Fault, FaultTime};
use domain::chaos::quirk::QUIRKS;
use domain::interaction::{FailureKind, RetrievalStatus, ServerTool, Usage};

/// One piece of output or one action of the scripted model.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    Thought(Template),
    Text(Template),
    Code(Template),
    /// Repeats the same code as long as it fails.
    RepeatCodeUntilOk(Template),
    FunctionCall(Call),
    /// `queries` and `results`, with their templates.
    Search(ArgumentTemplate),
    /// The value of a [`ToolKeys`], with its templates.
    Tool(ServerTool, ArgumentTemplate),
    IfError(Vec<Part>),
    IfOk(Vec<Part>),
    Delay(Duration),
    /// From here on a wait before each piece of a thought or a text.
    Pace(Duration),
    /// Token counts that replace the server's.
    Usage(Usage),
    /// Ends the turn.
    Finish(Finish),
    /// Makes the request fail.
    Fail(Fail),
    /// Closes the connection.
    Disconnect,
    /// A fault in the answer as a whole.
    Fault(Box<Fault>),
    /// The recorded result of the preceding code. Not part of the output.
    Expect(Expect),
}

impl Part {
    /// Whether rendering it may block other requests for too long.
    pub fn is_heavy(&self) -> bool {
        match self {
            Part::Thought(text) | Part::Text(text) => text.is_heavy(),
            Part::Code(code) | Part::RepeatCodeUntilOk(code) => code.is_heavy(),
            Part::FunctionCall(call) => call.arguments.is_heavy(),
            Part::Search(value) | Part::Tool(_, value) => value.is_heavy(),
            Part::IfError(parts) | Part::IfOk(parts) => parts.iter().any(Part::is_heavy),
            Part::Fail(fail) => fail.message.is_heavy(),
            // None of them has a template.
            Part::Delay(_)
            | Part::Pace(_)
            | Part::Usage(_)
            | Part::Finish(_)
            | Part::Disconnect
            | Part::Fault(_)
            | Part::Expect(_) => false,
        }
    }
}

/// The expected result of a run, for comparison.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expect {
    /// The result as the client and the model see it.
    pub result: Option<String>,
    pub is_error: bool,
    /// Files below the folder of the scenario file.
    pub pictures: Option<Vec<PathBuf>>,
    /// Its number within the script, starting with 0.
    pub number: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    pub name: String,
    pub arguments: ArgumentTemplate,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Fail {
    pub kind: FailureKind,
    pub message: Template,
    pub retry_after: Option<Duration>,
    /// Whether the interaction fails with its output so far, rather than the request.
    pub told: bool,
}

/// What the value of a part contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueKind {
    /// Python, as a template.
    Code,
    /// Templates.
    Template,
    Other,
}

/// How a part is written in a file.
#[derive(Debug)]
pub struct Syntax {
    pub key: &'static str,
    pub value: ValueKind,
    /// JSON Schema of its value.
    pub schema: fn() -> Value,
    /// Values in YAML that the parser and the schema accept.
    #[cfg(test)]
    pub valid: &'static [&'static str],
    /// Values that both reject.
    #[cfg(test)]
    pub invalid: &'static [&'static str],
}

/// Every part. [`Written::read`] parses its value.
pub const SYNTAX: [Syntax; 22] = [
    Syntax {
        key: "thought",
        value: ValueKind::Template,
        schema: || json!({"description": "A thought's summary.", "type": "string"}),
        #[cfg(test)]
        valid: &["a"],
        #[cfg(test)]
        invalid: &["{}"],
    },
    Syntax {
        key: "text",
        value: ValueKind::Template,
        schema: || json!({"description": "Text of the answer.", "type": "string"}),
        #[cfg(test)]
        valid: &["a"],
        #[cfg(test)]
        invalid: &["[a]"],
    },
    Syntax {
        key: "code",
        value: ValueKind::Code,
        schema: || json!({"description": "Python that really runs. The model's turn ends here.", "type": "string"}),
        #[cfg(test)]
        valid: &["a"],
        #[cfg(test)]
        invalid: &["[]"],
    },
    Syntax {
        key: "function_call",
        value: ValueKind::Template,
        schema: || json!({"description": "A function for the client to call.", "type": "object", "required": ["name"], "additionalProperties": false, "properties": {"name": {"type": "string"}, "arguments": {"type": "object"}}}),
        #[cfg(test)]
        valid: &["{ name: f, arguments: { a: [1] } }"],
        #[cfg(test)]
        invalid: &["{ arguments: {} }"],
    },
    Syntax {
        key: "search",
        value: ValueKind::Template,
        schema: || json!({"description": "A search of the web, and what it found. Without `results` the server looks, where it has something to search.", "type": "object", "required": ["queries"], "additionalProperties": false, "properties": {"queries": {"type": "array", "items": {"type": "string"}}, "results": {"type": "array", "items": {"type": "object", "required": ["title", "url"], "additionalProperties": false, "properties": {"title": {"type": "string"}, "url": {"type": "string"}, "snippet": {"type": "string"}}}}}}),
        #[cfg(test)]
        valid: &["{ queries: [q], results: [{ title: t, url: u }] }"],
        #[cfg(test)]
        invalid: &["{ results: [] }", "{ queries: [q], results: [{ title: t }] }"],
    },
    Syntax {
        key: "url_context",
        value: ValueKind::Template,
        schema: || json!({"description": "URLs that the model reads, and what is there. Without `results` the server reads those that it may.", "type": "object", "required": ["urls"], "additionalProperties": false, "properties": {"urls": {"type": "array", "items": {"type": "string"}}, "results": {"type": "array", "items": {"type": "object", "required": ["url"], "additionalProperties": false, "properties": {"url": {"type": "string"}, "status": {"enum": RetrievalStatus::VARIANTS}, "title": {"type": "string"}, "text": {"type": "string"}}}}}}),
        #[cfg(test)]
        valid: &[
            "{ urls: [u], results: [{ url: u, status: paywall, title: t, text: x }] }",
            "{ urls: [u] }",
        ],
        #[cfg(test)]
        invalid: &[
            "{ results: [] }",
            "{ urls: [u], results: [{ url: u, status: gone }] }",
            "{ urls: [u], results: [{ url: u, titel: t }] }",
        ],
    },
    Syntax {
        key: "google_maps",
        value: ValueKind::Template,
        schema: || json!({"description": "A search for places, and what it found.", "type": "object", "required": ["queries"], "additionalProperties": false, "properties": {"queries": {"type": "array", "items": {"type": "string"}}, "places": {"type": "array", "items": {"type": "object", "required": ["name", "place_id", "url"], "additionalProperties": false, "properties": {"name": {"type": "string"}, "place_id": {"type": "string"}, "url": {"type": "string"}, "review_snippets": {"type": "array", "items": {"type": "object", "required": ["title", "url", "review_id"], "additionalProperties": false, "properties": {"title": {"type": "string"}, "url": {"type": "string"}, "review_id": {"type": "string"}}}}}}}, "widget_context_token": {"type": "string"}}}),
        #[cfg(test)]
        valid: &[
            "{ queries: [q], places: [{ name: c, place_id: places/p, url: u, review_snippets: [{ title: t, url: u, review_id: r }] }], widget_context_token: t }",
        ],
        #[cfg(test)]
        invalid: &[
            "{ places: [] }",
            "{ queries: [q], places: [{ name: c }] }",
            "{ queries: [q], places: [{ name: c, place_id: p, url: u, review_snippets: [{ title: t, url: u, review_id: r, stars: 5 }] }] }",
        ],
    },
    Syntax {
        key: "file_search",
        value: ValueKind::Template,
        schema: || json!({"description": "A search of the file search stores that the request names. Without `results` the server searches; without a `query`, for the user's newest text.", "type": "object", "additionalProperties": false, "properties": {"query": {"type": "string"}, "results": {"type": "array", "items": {"type": "object", "required": ["title", "text"], "additionalProperties": false, "properties": {"title": {"type": "string"}, "text": {"type": "string"}, "file_search_store": {"type": "string"}, "document_uri": {"type": "string"}}}}}}),
        #[cfg(test)]
        valid: &[
            "{ query: q, results: [{ title: t, text: x, file_search_store: fileSearchStores/s, document_uri: d }] }",
            "{}",
        ],
        #[cfg(test)]
        invalid: &["{ queries: [q] }", "{ results: [{ title: t }] }"],
    },
    Syntax {
        key: "mcp_server",
        value: ValueKind::Template,
        schema: || json!({"description": "A call of an MCP server's tool. Without `result` the server calls it, if it may.", "type": "object", "required": ["server", "name"], "additionalProperties": false, "properties": {"server": {"type": "string"}, "name": {"type": "string"}, "arguments": {"type": "object"}, "result": {}}}),
        #[cfg(test)]
        valid: &["{ server: m, name: f, arguments: { a: 1 }, result: [{ type: text, text: t }] }"],
        #[cfg(test)]
        invalid: &["{ name: f }", "{ server: m, name: f, arguments: [] }"],
    },
    Syntax {
        key: "tool_search",
        value: ValueKind::Template,
        schema: || json!({"description": "A search for declared functions. Its result has their declarations.", "type": "object", "required": ["function_names"], "additionalProperties": false, "properties": {"function_names": {"type": "array", "items": {"type": "string"}}}}),
        #[cfg(test)]
        valid: &["{ function_names: [f] }"],
        #[cfg(test)]
        invalid: &["{}", "{ function_names: f }"],
    },
    Syntax {
        key: "if_error",
        value: ValueKind::Other,
        schema: || json!({"description": "Only if the previous result was an error.", "type": "array", "items": {"$ref": "#/$defs/part"}}),
        #[cfg(test)]
        valid: &["[text: a]"],
        #[cfg(test)]
        invalid: &["a"],
    },
    Syntax {
        key: "if_ok",
        value: ValueKind::Other,
        schema: || json!({"description": "Only if the previous result was no error.", "type": "array", "items": {"$ref": "#/$defs/part"}}),
        #[cfg(test)]
        valid: &["[text: a]"],
        #[cfg(test)]
        invalid: &["[txt: a]"],
    },
    Syntax {
        key: "repeat_code_until_ok",
        value: ValueKind::Code,
        schema: || json!({"description": "Python that is repeated as long as it fails.", "type": "string"}),
        #[cfg(test)]
        valid: &["a"],
        #[cfg(test)]
        invalid: &["{}"],
    },
    Syntax {
        key: "delay",
        value: ValueKind::Other,
        schema: || json!({"$ref": "#/$defs/time"}),
        #[cfg(test)]
        valid: &["1s"],
        #[cfg(test)]
        invalid: &["{}"],
    },
    Syntax {
        key: "pace",
        value: ValueKind::Other,
        schema: || json!({"description": "From here on a wait before each piece of text.", "$ref": "#/$defs/time"}),
        #[cfg(test)]
        valid: &["1s"],
        #[cfg(test)]
        invalid: &["[]"],
    },
    Syntax {
        key: "usage",
        value: ValueKind::Other,
        schema: || json!({"description": "Overrides the counted tokens.", "type": "object", "additionalProperties": false, "properties": {"total_input_tokens": {"$ref": "#/$defs/count"}, "total_output_tokens": {"$ref": "#/$defs/count"}, "total_thought_tokens": {"$ref": "#/$defs/count"}, "total_tool_use_tokens": {"$ref": "#/$defs/count"}, "total_cached_tokens": {"$ref": "#/$defs/count"}}}),
        #[cfg(test)]
        valid: &["{ total_output_tokens: 1 }"],
        #[cfg(test)]
        invalid: &["{ tokens: 1 }", "{ total_output_tokens: -1 }"],
    },
    Syntax {
        key: "finish",
        value: ValueKind::Other,
        schema: || json!({"description": "The turn ends here, for this reason.", "enum": ["STOP", "MAX_TOKENS", "SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION", "IMAGE_OTHER", "NO_IMAGE", "MISSING_THOUGHT_SIGNATURE", "MALFORMED_RESPONSE", "MODEL_ARMOR", "OTHER"]}),
        #[cfg(test)]
        valid: &["SPII", "STOP"],
        #[cfg(test)]
        invalid: &["STOPP"],
    },
    Syntax {
        key: "fail",
        value: ValueKind::Template,
        schema: || json!({"description": "The request, or the stream in its place, fails like this.", "type": "object", "required": ["status"], "additionalProperties": false, "properties": {"status": {"enum": [400, 401, 403, 404, 408, 409, 413, 429, 499, 500, 501, 502, 503, 504]}, "message": {"type": "string"}, "retry_after": {"$ref": "#/$defs/time"}, "told": {"description": "The interaction fails with its output so far, instead of the request.", "type": "boolean"}}}),
        #[cfg(test)]
        valid: &["{ status: 503, message: m, retry_after: 1s }"],
        #[cfg(test)]
        invalid: &["{ status: 418 }"],
    },
    Syntax {
        key: "disconnect",
        value: ValueKind::Other,
        schema: || json!({"description": "The connection ends here, without a word.", "const": true}),
        #[cfg(test)]
        valid: &["true"],
        #[cfg(test)]
        invalid: &["false"],
    },
    Syntax {
        key: "expect",
        value: ValueKind::Other,
        schema: || json!({"description": "The expected result of the previous code, which `belljar verify` compares. It is not output.", "type": "object", "additionalProperties": false, "properties": {"result": {"type": "string"}, "is_error": {"type": "boolean"}, "pictures": {"description": "Files below the folder of this file.", "type": "array", "items": {"type": "string"}}}}),
        #[cfg(test)]
        valid: &["{ result: a, is_error: true }"],
        #[cfg(test)]
        invalid: &["{ results: a }"],
    },
    Syntax {
        key: "quirk",
        value: ValueKind::Other,
        schema: || json!({"description": "The answer has a form that broke a real client. docs/src/reference/faults.md lists them.", "enum": QUIRKS.iter().map(|about| about.name).collect::<Vec<_>>()}),
        #[cfg(test)]
        valid: &["code_twice"],
        #[cfg(test)]
        invalid: &["none"],
    },
    Syntax {
        key: "fault",
        value: ValueKind::Other,
        schema: || json!({"description": "Damage to the answer, as the header `x-belljar-fault` orders it.", "type": "object", "additionalProperties": false, "properties": {"quirk": {"type": "string"}, "finish": {"type": "string"}, "between_events": {"$ref": "#/$defs/time"}, "drop_after_events": {"$ref": "#/$defs/count"}, "drop_after_bytes": {"$ref": "#/$defs/count"}, "malformed_event": {"$ref": "#/$defs/count"}, "chance": {"type": "number", "minimum": 0, "maximum": 1}, "seed": {"$ref": "#/$defs/count"}, "times": {"$ref": "#/$defs/count"}}}),
        #[cfg(test)]
        valid: &["{ drop_after_events: 1 }"],
        #[cfg(test)]
        invalid: &["{ drop: 1 }"],
    },
];

/// The keys of all parts.
pub static KINDS: LazyLock<Vec<&'static str>> =
    LazyLock::new(|| SYNTAX.iter().map(|part| part.key).collect());

impl Part {
    /// Its key in a scenario file.
    pub fn kind(&self) -> &'static str {
        match self {
            Part::Thought(_) => "thought",
            Part::Text(_) => "text",
            Part::Code(_) => "code",
            Part::RepeatCodeUntilOk(_) => "repeat_code_until_ok",
            Part::FunctionCall(_) => "function_call",
            Part::Search(_) => "search",
            Part::Tool(tool, _) => tool.as_str(),
            Part::IfError(_) => "if_error",
            Part::IfOk(_) => "if_ok",
            Part::Delay(_) => "delay",
            Part::Pace(_) => "pace",
            Part::Usage(_) => "usage",
            Part::Finish(_) => "finish",
            Part::Fail(_) => "fail",
            Part::Disconnect => "disconnect",
            Part::Expect(_) => "expect",
            Part::Fault(fault) if fault.quirk().is_some() => "quirk",
            Part::Fault(_) => "fault",
        }
    }

    /// Whether it must be the last part.
    pub fn is_last(&self) -> bool {
        matches!(self, Part::Finish(_) | Part::Fail(_) | Part::Disconnect)
    }
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Part, D::Error> {
        // `deserialize_map` is not used, because the YAML parser then reports other types with its
        // own error.
        deserializer.deserialize_any(PartVisitor)
    }
}

struct PartVisitor;

impl<'de> Visitor<'de> for PartVisitor {
    type Value = Part;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a part of a script, such as `text: …`, with one of the keys {}", listed(&KINDS))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Part, A::Error> {
        let mut written: Option<(String, UnresolvedPart)> = None;
        let mut raw = None;
        while let Some(key) = map.next_key::<String>()? {
            if key == "raw" {
                raw = Some(map.next_value()?);
                continue;
            }
            let value = UnresolvedPart::read(&key, &mut map)?;
            if let Some((first, _)) = &written {
                return Err(A::Error::custom(format!(
                    "`{first}` and `{key}` in one part: a part is one thing, so begin another \
                     with `- {key}:`"
                )));
            }
            written = Some((key, value));
        }
        match written {
            Some((key, written)) => written.part(&key, raw),
            None => {
                Err(A::Error::custom(format!("an empty part: it needs one of {}", listed(&KINDS))))
            }
        }
    }
}

/// A part before its `raw` flag is known, which may follow it.
enum UnresolvedPart {
    Template(fn(Template) -> Part, String),
    Call(CallKeys),
    Search(SearchKeys),
    Tool(ServerTool, ToolKeys),
    Fail(FailKeys),
    Whole(Part),
}

impl UnresolvedPart {
    fn read<'de, A: MapAccess<'de>>(key: &str, map: &mut A) -> Result<UnresolvedPart, A::Error> {
        Ok(match key {
            "thought" => UnresolvedPart::Template(Part::Thought, map.next_value()?),
            "text" => UnresolvedPart::Template(Part::Text, map.next_value()?),
            "code" => UnresolvedPart::Template(Part::Code, map.next_value()?),
            "repeat_code_until_ok" => {
                UnresolvedPart::Template(Part::RepeatCodeUntilOk, map.next_value()?)
            }
            "function_call" => UnresolvedPart::Call(map.next_value()?),
            "if_error" => UnresolvedPart::Whole(Part::IfError(map.next_value()?)),
            "if_ok" => UnresolvedPart::Whole(Part::IfOk(map.next_value()?)),
            "search" => UnresolvedPart::Search(map.next_value()?),
            key if let Ok(tool) = ServerTool::from_str(key) => {
                UnresolvedPart::Tool(tool, ToolKeys::read(tool, map)?)
            }
            "fail" => UnresolvedPart::Fail(map.next_value()?),
            "disconnect" => {
                map.next_value::<Yes>()?;
                UnresolvedPart::Whole(Part::Disconnect)
            }
            "expect" => {
                let ExpectKeys { result, is_error, pictures } = map.next_value()?;
                UnresolvedPart::Whole(Part::Expect(Expect {
                    result,
                    is_error,
                    pictures,
                    number: 0,
                }))
            }
            "delay" => UnresolvedPart::Whole(Part::Delay(map.next_value::<FaultTime>()?.0)),
            "pace" => UnresolvedPart::Whole(Part::Pace(map.next_value::<FaultTime>()?.0)),
            "usage" => UnresolvedPart::Whole(Part::Usage(map.next_value::<UsageKeys>()?.into())),
            "quirk" => {
                let fault = Fault::of_quirk(map.next_value()?);
                UnresolvedPart::Whole(Part::Fault(Box::new(fault)))
            }
            "fault" => {
                let fault: Fault = map.next_value()?;
                if !fault.is_about_the_answer() {
                    return Err(A::Error::custom(
                        "`fault` in a script is damage to the answer; there are `fail` and `delay` \
                         for what happens before it",
                    ));
                }
                UnresolvedPart::Whole(Part::Fault(Box::new(fault)))
            }
            "finish" => UnresolvedPart::Whole(Part::Finish(map.next_value::<FinishWord>()?.0)),
            unknown => return Err(A::Error::unknown_field(unknown, &KINDS)),
        })
    }

    fn part<E: Error>(self, key: &str, raw: Option<bool>) -> Result<Part, E> {
        let broken = |error| {
            E::custom(format!(
                "`{key}` is not a template: {error}. If the braces are meant as they stand, put \
                 `raw: true` beside it"
            ))
        };
        match self {
            UnresolvedPart::Template(part, text) => {
                Template::new(text, raw.unwrap_or(false)).map(part).map_err(broken)
            }
            UnresolvedPart::Call(CallKeys { name, arguments }) => {
                let arguments =
                    ArgumentTemplate::new(Value::Object(arguments), raw.unwrap_or(false));
                let arguments = arguments.map_err(broken)?;
                Ok(Part::FunctionCall(Call { name, arguments }))
            }
            UnresolvedPart::Search(search) => {
                let search =
                    ArgumentTemplate::new(search.into(), raw.unwrap_or(false)).map_err(broken)?;
                Ok(Part::Search(search))
            }
            UnresolvedPart::Tool(tool, keys) => {
                let keys = ArgumentTemplate::new(keys.into_json(), raw.unwrap_or(false));
                Ok(Part::Tool(tool, keys.map_err(broken)?))
            }
            UnresolvedPart::Fail(FailKeys { status, message, retry_after, told }) => {
                let message = message.unwrap_or_else(|| format!("The scenario requests {key}."));
                let message = Template::new(message, raw.unwrap_or(false)).map_err(broken)?;
                let retry_after = retry_after.map(|time| time.0);
                Ok(Part::Fail(Fail { kind: status.0, message, retry_after, told }))
            }
            UnresolvedPart::Whole(_) if raw.is_some() => Err(E::custom(format!(
                "`raw` beside `{key}`, which has no text to leave untouched"
            ))),
            UnresolvedPart::Whole(part) => Ok(part),
        }
    }
}

fn listed(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
