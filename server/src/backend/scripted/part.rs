//! The parts of a script, and how they are written down.

use std::fmt;
use std::time::Duration;

use serde::de::{Error, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::template::{Arguments, Template};
use crate::backend::Finish;
use crate::interaction::Usage;

/// One thing that the scripted model says or does.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    Thought(Template),
    Text(Template),
    Code(Template),
    /// The same code again for as long as it fails.
    RepeatCodeUntilOk(Template),
    FunctionCall(Call),
    IfError(Vec<Part>),
    IfOk(Vec<Part>),
    Delay(Duration),
    /// What the model counted, instead of what the server counts.
    Usage(Usage),
    /// The turn ends here.
    Finish(Finish),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    pub name: String,
    pub arguments: Arguments,
}

const KINDS: &[&str] = &[
    "thought",
    "text",
    "code",
    "function_call",
    "if_error",
    "if_ok",
    "repeat_code_until_ok",
    "delay",
    "usage",
    "finish",
];

impl Part {
    /// Its key in a scenario file.
    pub fn kind(&self) -> &'static str {
        match self {
            Part::Thought(_) => "thought",
            Part::Text(_) => "text",
            Part::Code(_) => "code",
            Part::RepeatCodeUntilOk(_) => "repeat_code_until_ok",
            Part::FunctionCall(_) => "function_call",
            Part::IfError(_) => "if_error",
            Part::IfOk(_) => "if_ok",
            Part::Delay(_) => "delay",
            Part::Usage(_) => "usage",
            Part::Finish(_) => "finish",
        }
    }
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Part, D::Error> {
        // Not `deserialize_map`: for what is no map, the YAML parser would then answer by itself.
        deserializer.deserialize_any(PartVisitor)
    }
}

struct PartVisitor;

impl<'de> Visitor<'de> for PartVisitor {
    type Value = Part;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a part of a script, such as `text: …`, with one of the keys {}", listed(KINDS))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Part, A::Error> {
        let mut written: Option<(String, Written)> = None;
        let mut raw = None;
        while let Some(key) = map.next_key::<String>()? {
            if key == "raw" {
                raw = Some(map.next_value()?);
                continue;
            }
            let value = Written::read(&key, &mut map)?;
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
                Err(A::Error::custom(format!("an empty part: it needs one of {}", listed(KINDS))))
            }
        }
    }
}

/// A part whose `raw`, which may stand below it, is not known yet.
enum Written {
    Template(fn(Template) -> Part, String),
    Call(CallKeys),
    Whole(Part),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a map with the keys `name` and `arguments`")]
struct CallKeys {
    name: String,
    #[serde(default)]
    arguments: serde_json::Map<String, Value>,
}

impl Written {
    fn read<'de, A: MapAccess<'de>>(key: &str, map: &mut A) -> Result<Written, A::Error> {
        Ok(match key {
            "thought" => Written::Template(Part::Thought, map.next_value()?),
            "text" => Written::Template(Part::Text, map.next_value()?),
            "code" => Written::Template(Part::Code, map.next_value()?),
            "repeat_code_until_ok" => Written::Template(Part::RepeatCodeUntilOk, map.next_value()?),
            "function_call" => Written::Call(map.next_value()?),
            "if_error" => Written::Whole(Part::IfError(map.next_value()?)),
            "if_ok" => Written::Whole(Part::IfOk(map.next_value()?)),
            "delay" => Written::Whole(Part::Delay(map.next_value::<DelayText>()?.0)),
            "usage" => Written::Whole(Part::Usage(map.next_value::<UsageKeys>()?.into())),
            "finish" => Written::Whole(Part::Finish(map.next_value::<FinishWord>()?.0)),
            "search" | "fail" | "disconnect" => {
                map.next_value::<IgnoredAny>()?;
                return Err(A::Error::custom(format!("part `{key}` is not supported yet")));
            }
            unknown => return Err(A::Error::unknown_field(unknown, KINDS)),
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
            Written::Template(part, text) => {
                Template::new(text, raw.unwrap_or(false)).map(part).map_err(broken)
            }
            Written::Call(CallKeys { name, arguments }) => {
                let arguments = Arguments::new(Value::Object(arguments), raw.unwrap_or(false));
                let arguments = arguments.map_err(broken)?;
                Ok(Part::FunctionCall(Call { name, arguments }))
            }
            Written::Whole(_) if raw.is_some() => Err(E::custom(format!(
                "`raw` beside `{key}`, which has no text to leave untouched"
            ))),
            Written::Whole(part) => Ok(part),
        }
    }
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct DelayText(Duration);

impl TryFrom<String> for DelayText {
    type Error = String;

    fn try_from(text: String) -> Result<DelayText, String> {
        humantime::parse_duration(&text)
            .map(DelayText)
            .map_err(|_| format!("`delay` is a time such as `500ms` or `2s`, not `{text}`"))
    }
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct FinishWord(Finish);

impl TryFrom<String> for FinishWord {
    type Error = String;

    fn try_from(word: String) -> Result<FinishWord, String> {
        match word.as_str() {
            "STOP" => Ok(FinishWord(Finish::Stop)),
            "MAX_TOKENS" => Ok(FinishWord(Finish::MaxTokens)),
            _ => {
                Err(format!("`finish: {word}` is not supported yet: only STOP and MAX_TOKENS are"))
            }
        }
    }
}

/// Token counts under the names that they have in the reply.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a map of token counts")]
struct UsageKeys {
    total_input_tokens: u64,
    total_output_tokens: u64,
    total_thought_tokens: u64,
    total_tool_use_tokens: u64,
    total_cached_tokens: u64,
}

impl From<UsageKeys> for Usage {
    fn from(keys: UsageKeys) -> Usage {
        Usage {
            input: keys.total_input_tokens,
            output: keys.total_output_tokens,
            thought: keys.total_thought_tokens,
            tool_use: keys.total_tool_use_tokens,
            cached: keys.total_cached_tokens,
        }
    }
}

fn listed(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
