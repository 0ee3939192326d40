//! What was asked, as the conditions of a scenario: all that the model was given.

use serde_json::{Map, Value, json};

use super::redact::{REDACTED, Secrets};
use crate::backend::scripted::{self, Asked, Ignore, ClientMessage};
use crate::backend::{FileContent, Prompt};

/// Digits of a hash that are written down.
const HASH_DIGITS: usize = 16;

/// A question, without secrets and without what is ignored.
#[derive(Debug)]
pub struct Question {
    pub input: String,
    pub turn: usize,
    pub when: Value,
    /// Tells questions apart. The same question has the same one, wherever it is recorded.
    pub hash: String,
}

impl Question {
    pub fn of(prompt: &Prompt, secrets: &Secrets, ignore: &Ignore) -> Question {
        let asked = scripted::asked(prompt);
        let writer = Writer { secrets, ignore };
        let input = writer.text(&asked.input);
        let turn = asked.turn;
        let mut when = writer.when(prompt, asked);
        let hash = scripted::hash(&scripted::canonical(&when));
        if !ignore.is_empty() {
            when["ignore"] = ignore.patterns().collect();
        }
        Question { input, turn, when, hash }
    }

    /// The same without what its answer has shown to be a secret. Hashes stay as they are.
    pub fn without(mut self, secrets: &Secrets) -> Question {
        self.input = secrets.redact(&self.input).into_owned();
        let texts = ["input", "system_instruction", "generation_config", "earlier", "after"];
        for text in texts {
            if let Some(value) = self.when.get_mut(text) {
                *value = secrets.redact_json(value);
            }
        }
        self
    }
}

struct Writer<'w> {
    secrets: &'w Secrets,
    ignore: &'w Ignore,
}

impl Writer<'_> {
    fn when(&self, prompt: &Prompt, asked: Asked) -> Value {
        let mut when = json!({"model": self.model(&prompt.model)});
        when["input"] = json!({"equals": self.text(&asked.input)});
        when["turn"] = asked.turn.into();
        let instruction = prompt.system_instruction.as_deref().unwrap_or_default();
        when["system_instruction"] = json!({"equals": self.text(instruction)});
        when["only_tools"] = json!(prompt.tools.offered);
        if !prompt.tools.functions.is_empty() {
            when["functions"] = self.functions(prompt).into();
        }
        let config = match &prompt.generation_config {
            Value::Null => json!({}),
            config => self.json(config),
        };
        when["generation_config"] = config;
        if let Some(first) = prompt.files.first() {
            when["files"] = json!({"count": prompt.files.len()});
            if prompt.files.iter().all(|file| file.mime_type == first.mime_type) {
                when["files"]["mime_type"] = first.mime_type.as_str().into();
            }
            let hashes = prompt.files.iter().map(|file| start_of(&file.content));
            when["files"]["sha256"] = hashes.collect();
        }
        // Where there was nothing, that is a condition too: the same text is still the newest one when
        // the result of a function comes.
        when["earlier"] = asked.earlier.iter().map(|said| self.said(said)).collect();
        if !asked.earlier.is_empty() {
            let before = &prompt.steps[..asked.start];
            when["history"] = scripted::history_before(before, self.secrets, self.ignore).into();
        }
        let results = asked.answered.iter().filter(|said| matches!(said, ClientMessage::Result { .. }));
        let answered: Vec<Value> = results.map(|said| self.said(said)).collect();
        match &answered[..] {
            [] => {}
            [one] => when["after"] = one.clone(),
            _ => when["after"] = answered.into(),
        }
        when
    }

    fn model(&self, name: &str) -> String {
        let redacted = self.secrets.redact(name);
        globset::escape(&redacted).replace(&globset::escape(REDACTED), "*")
    }

    /// Secrets first: what is ignored must not tear one apart.
    fn text(&self, text: &str) -> String {
        self.ignore.without(&self.secrets.redact(text)).into_owned()
    }

    fn json(&self, value: &Value) -> Value {
        self.ignore.without_json(&self.secrets.redact_json(value))
    }

    fn said(&self, said: &ClientMessage) -> Value {
        match said {
            ClientMessage::Text(text) => self.text(text).into(),
            ClientMessage::Result { name, value } => {
                json!({"function_result": name, "equals": self.json(value)})
            }
        }
    }

    /// A key that this server knows is not known where it is replayed, and its hash neither.
    fn functions(&self, prompt: &Prompt) -> Map<String, Value> {
        let unknown = Secrets::default();
        let hashes = scripted::functions(&prompt.tools.functions, self.ignore);
        let hashes = hashes.into_iter().map(|(name, hash)| {
            let function = prompt.tools.functions.iter().find(|function| function.name == name);
            let declaration =
                function.map_or(Value::Null, |f| json!([f.description, f.parameters]));
            let has_key =
                self.secrets.redact_json(&declaration) != unknown.redact_json(&declaration);
            (name, if has_key { scripted::ANY.into() } else { hash.into() })
        });
        hashes.collect()
    }
}

/// As much of a file's hash as tells files apart.
pub fn start_of(content: &FileContent) -> String {
    content.sha256().chars().take(HASH_DIGITS).collect()
}
