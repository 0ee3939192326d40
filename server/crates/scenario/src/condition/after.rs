//! `after` and `earlier`: conditions about the client's earlier messages and its newest answers.

use std::fmt;

use serde::de::{Error, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Deserializer};
use serde_json::Value as Json;

use super::asked::ClientMessage;
use super::same::{same_json, same_text};
use super::time::Ignoring;
use super::when::{cut, quoted};

/// Maximum number of messages that are described.
const MAX_LISTED: usize = 10;
/// Maximum size of a value that is described, before it is cut.
const MAX_JSON_BYTES: usize = 1000;

/// A function result: any result, or a specific one.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a map with `function_result`, and if you like `equals`")]
pub struct ResultCondition {
    pub function_result: String,
    /// Compared without the wrapping that clients put around a result.
    #[serde(default)]
    pub equals: Option<Json>,
}

/// One function result, or several.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct After(pub Vec<ResultCondition>);

/// A user text or a function result.
#[derive(Debug, Clone, PartialEq)]
pub enum Before {
    Text(String),
    Answer(ResultCondition),
}

impl ResultCondition {
    fn is(&self, message: &ClientMessage, ignoring: Ignoring<'_>) -> bool {
        let same = |value: &Json| match &self.equals {
            Some(wanted) => {
                same_json(&super::conversation::plain(wanted), &ignoring.without_json(value))
            }
            None => true,
        };
        matches!(message, ClientMessage::Result { name, value } if *name == self.function_result && same(value))
    }

    fn describe(&self) -> String {
        match &self.equals {
            None => format!("the result of the function {}", self.function_result),
            Some(value) => format!("the result {value} of the function {}", self.function_result),
        }
    }
}

impl After {
    pub fn holds(&self, results: &[&ClientMessage], ignoring: Ignoring<'_>) -> bool {
        self.0.iter().all(|answer| results.iter().any(|message| answer.is(message, ignoring)))
    }

    pub fn wanted(&self) -> String {
        self.0.iter().map(ResultCondition::describe).collect::<Vec<_>>().join(" and ")
    }

    /// The results that came instead: names, and values where only the values differ.
    pub fn got(&self, results: &[&ClientMessage]) -> String {
        if results.is_empty() {
            return "no function result".into();
        }
        listed(results.iter().copied(), |message| match message {
            ClientMessage::Result { name, value }
                if self.0.iter().any(|a| a.function_result == *name && a.equals.is_some()) =>
            {
                format!("{}: {}", cut(name), beginning_of(value))
            }
            ClientMessage::Result { name, .. } => cut(name),
            ClientMessage::Text(text) => quoted(text),
        })
    }
}

impl Before {
    fn is(&self, message: &ClientMessage, ignoring: Ignoring<'_>) -> bool {
        match (self, message) {
            (Before::Text(wanted), ClientMessage::Text(text)) => {
                let text = ignoring.without(text).trim().to_lowercase();
                same_text(&wanted.trim().to_lowercase(), &text)
            }
            (Before::Answer(answer), message) => answer.is(message, ignoring),
            (Before::Text(_), ClientMessage::Result { .. }) => false,
        }
    }

    fn describe(&self) -> String {
        match self {
            Before::Text(text) => format!("{text:?}"),
            Before::Answer(answer) => answer.describe(),
        }
    }
}

/// Whether the earlier messages are exactly these, in this order.
pub fn were(wanted: &[Before], messages: &[ClientMessage], ignoring: Ignoring<'_>) -> bool {
    let pairs = || wanted.iter().zip(messages);
    wanted.len() == messages.len() && pairs().all(|(wanted, message)| wanted.is(message, ignoring))
}

pub fn describe_wanted(wanted: &[Before]) -> String {
    if wanted.is_empty() {
        return "nothing".into();
    }
    wanted.iter().map(Before::describe).collect::<Vec<_>>().join(", ")
}

pub fn describe_messages(messages: &[ClientMessage]) -> String {
    if messages.is_empty() {
        return "nothing".into();
    }
    listed(messages.iter(), |message| match message {
        ClientMessage::Text(text) => quoted(text),
        ClientMessage::Result { name, value } => {
            format!("the result {} of the function {}", beginning_of(value), cut(name))
        }
    })
}

/// The first messages.
fn listed<'m>(
    mut messages: impl Iterator<Item = &'m ClientMessage>,
    describe: impl Fn(&ClientMessage) -> String,
) -> String {
    let mut described: Vec<String> = messages.by_ref().take(MAX_LISTED).map(describe).collect();
    if messages.next().is_some() {
        described.push("…".to_owned());
    }
    described.join(", ")
}

/// The beginning of a value's JSON, which is not written to its end.
pub fn beginning_of(value: &Json) -> String {
    struct Beginning(Vec<u8>);
    impl std::io::Write for Beginning {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            if self.0.len() > MAX_JSON_BYTES {
                return Err(std::io::ErrorKind::FileTooLarge.into());
            }
            self.0.extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut beginning = Beginning(Vec::new());
    // An error means that there is enough.
    let _ = serde_json::to_writer(&mut beginning, value);
    cut(&String::from_utf8_lossy(&beginning.0))
}

impl<'de> Deserialize<'de> for After {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<After, D::Error> {
        deserializer.deserialize_any(AfterVisitor)
    }
}

struct AfterVisitor;

impl<'de> Visitor<'de> for AfterVisitor {
    type Value = After;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map with `function_result`, or a list of such maps")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<After, A::Error> {
        Ok(After(vec![ResultCondition::deserialize(MapAccessDeserializer::new(map))?]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<After, A::Error> {
        let mut answers = Vec::new();
        while let Some(answer) = items.next_element()? {
            answers.push(answer);
        }
        Ok(After(answers))
    }
}

impl<'de> Deserialize<'de> for Before {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Before, D::Error> {
        deserializer.deserialize_any(BeforeVisitor)
    }
}

struct BeforeVisitor;

impl<'de> Visitor<'de> for BeforeVisitor {
    type Value = Before;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text of the user's, or a map with `function_result`")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Before, E> {
        Ok(Before::Text(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Before, A::Error> {
        Ok(Before::Answer(ResultCondition::deserialize(MapAccessDeserializer::new(map))?))
    }
}
