//! `after` and `earlier`: conditions about the client's earlier messages and its newest answers.

use std::fmt;

use serde::de::{Error, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Deserializer};
use serde_json::Value as Json;

use super::asked::Said;
use super::same::{Ignore, same_json, same_text};

/// A function result: any result, or a specific one.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a map with `function_result`, and if you like `equals`")]
pub struct Answer {
    pub function_result: String,
    /// Compared without the wrapping that clients put around a result.
    #[serde(default)]
    pub equals: Option<Json>,
}

/// One function result, or several.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct After(pub Vec<Answer>);

/// A user text or a function result.
#[derive(Debug, Clone, PartialEq)]
pub enum Before {
    Text(String),
    Answer(Answer),
}

impl Answer {
    fn is(&self, said: &Said, ignore: &Ignore) -> bool {
        let same = |value: &Json| match &self.equals {
            Some(wanted) => same_json(&super::chain::plain(wanted), &ignore.without_json(value)),
            None => true,
        };
        matches!(said, Said::Result { name, value } if *name == self.function_result && same(value))
    }

    fn told(&self) -> String {
        match &self.equals {
            None => format!("the result of the function {}", self.function_result),
            Some(value) => format!("the result {value} of the function {}", self.function_result),
        }
    }
}

impl After {
    pub fn holds(&self, results: &[Said], ignore: &Ignore) -> bool {
        self.0.iter().all(|answer| results.iter().any(|said| answer.is(said, ignore)))
    }

    pub fn wanted(&self) -> String {
        self.0.iter().map(Answer::told).collect::<Vec<_>>().join(" and ")
    }

    /// The results that came instead: names, and values where only the values differ.
    pub fn got(&self, results: &[Said]) -> String {
        if results.is_empty() {
            return "no function result".into();
        }
        let told = results.iter().map(|said| match said {
            Said::Result { name, value }
                if self.0.iter().any(|a| a.function_result == *name && a.equals.is_some()) =>
            {
                format!("{name}: {value}")
            }
            Said::Result { name, .. } => name.clone(),
            Said::Text(text) => format!("{text:?}"),
        });
        told.collect::<Vec<_>>().join(", ")
    }
}

impl Before {
    fn is(&self, said: &Said, ignore: &Ignore) -> bool {
        match (self, said) {
            (Before::Text(wanted), Said::Text(text)) => {
                let text = ignore.without(text).trim().to_lowercase();
                same_text(&wanted.trim().to_lowercase(), &text)
            }
            (Before::Answer(answer), said) => answer.is(said, ignore),
            (Before::Text(_), Said::Result { .. }) => false,
        }
    }

    fn told(&self) -> String {
        match self {
            Before::Text(text) => format!("{text:?}"),
            Before::Answer(answer) => answer.told(),
        }
    }
}

/// Whether the earlier messages are exactly these, in this order.
pub fn were(wanted: &[Before], said: &[Said], ignore: &Ignore) -> bool {
    let pairs = || wanted.iter().zip(said);
    wanted.len() == said.len() && pairs().all(|(wanted, said)| wanted.is(said, ignore))
}

pub fn told_before(wanted: &[Before]) -> String {
    if wanted.is_empty() {
        return "nothing".into();
    }
    wanted.iter().map(Before::told).collect::<Vec<_>>().join(", ")
}

pub fn told_said(said: &[Said]) -> String {
    let told = said.iter().map(|said| match said {
        Said::Text(text) => format!("{text:?}"),
        Said::Result { name, value } => format!("the result {value} of the function {name}"),
    });
    let told: Vec<String> = told.collect();
    if told.is_empty() { "nothing".into() } else { told.join(", ") }
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
        Ok(After(vec![Answer::deserialize(MapAccessDeserializer::new(map))?]))
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
        Ok(Before::Answer(Answer::deserialize(MapAccessDeserializer::new(map))?))
    }
}
