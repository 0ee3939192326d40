//! The parts of a script, and their syntax.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::keys::{CallKeys, ExpectKeys, FailKeys, FinishWord, SearchKeys, UsageKeys, Yes};
use crate::backend::Finish;
use crate::backend::scripted::template::{Arguments, Template};
use crate::chaos::fault::{Fault, Time};
use crate::interaction::{FailureKind, Usage};

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
    Search(Arguments),
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
            Part::Search(search) => search.is_heavy(),
            Part::IfError(parts) | Part::IfOk(parts) => parts.iter().any(Part::is_heavy),
            _ => false,
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
    pub arguments: Arguments,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Fail {
    pub kind: FailureKind,
    pub message: Template,
    pub retry_after: Option<Duration>,
    /// Whether the interaction fails with its output so far, rather than the request.
    pub told: bool,
}

pub const KINDS: &[&str] = &[
    "thought",
    "text",
    "code",
    "function_call",
    "search",
    "if_error",
    "if_ok",
    "repeat_code_until_ok",
    "delay",
    "pace",
    "usage",
    "finish",
    "fail",
    "disconnect",
    "expect",
    "quirk",
    "fault",
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
            Part::Search(_) => "search",
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

/// A part before its `raw` flag is known, which may follow it.
enum Written {
    Template(fn(Template) -> Part, String),
    Call(CallKeys),
    Search(SearchKeys),
    Fail(FailKeys),
    Whole(Part),
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
            "search" => Written::Search(map.next_value()?),
            "fail" => Written::Fail(map.next_value()?),
            "disconnect" => {
                map.next_value::<Yes>()?;
                Written::Whole(Part::Disconnect)
            }
            "expect" => {
                let ExpectKeys { result, is_error, pictures } = map.next_value()?;
                Written::Whole(Part::Expect(Expect { result, is_error, pictures, number: 0 }))
            }
            "delay" => Written::Whole(Part::Delay(map.next_value::<Time>()?.0)),
            "pace" => Written::Whole(Part::Pace(map.next_value::<Time>()?.0)),
            "usage" => Written::Whole(Part::Usage(map.next_value::<UsageKeys>()?.into())),
            "quirk" => {
                let fault = Fault::of_quirk(map.next_value()?);
                Written::Whole(Part::Fault(Box::new(fault)))
            }
            "fault" => {
                let fault: Fault = map.next_value()?;
                if !fault.is_about_the_answer() {
                    return Err(A::Error::custom(
                        "`fault` in a script is damage to the answer; there are `fail` and `delay` \
                         for what happens before it",
                    ));
                }
                Written::Whole(Part::Fault(Box::new(fault)))
            }
            "finish" => Written::Whole(Part::Finish(map.next_value::<FinishWord>()?.0)),
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
            Written::Search(search) => {
                let search = Arguments::new(search.into(), raw.unwrap_or(false)).map_err(broken)?;
                Ok(Part::Search(search))
            }
            Written::Fail(FailKeys { status, message, retry_after, told }) => {
                let message = message.unwrap_or_else(|| format!("The scenario requests {key}."));
                let message = Template::new(message, raw.unwrap_or(false)).map_err(broken)?;
                let retry_after = retry_after.map(|time| time.0);
                Ok(Part::Fail(Fail { kind: status.0, message, retry_after, told }))
            }
            Written::Whole(_) if raw.is_some() => Err(E::custom(format!(
                "`raw` beside `{key}`, which has no text to leave untouched"
            ))),
            Written::Whole(part) => Ok(part),
        }
    }
}

fn listed(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
