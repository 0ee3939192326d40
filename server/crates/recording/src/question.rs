//! The request as the conditions of a scenario: all input of the model.

use serde_json::{Map, Value, json};

use backend::{FileContent, Prompt};
use redaction::{REDACTED, Secrets};
use scenario::{Asked, ClientMessage, Ignore};

/// Number of digits of a written hash.
const HASH_DIGITS: usize = 16;

/// A question, without secrets and without ignored text.
#[derive(Debug)]
pub struct Question {
    pub input: String,
    pub turn: usize,
    pub when: Value,
    /// Identifies the question. The same question has the same hash in every recording.
    pub hash: String,
}

impl Question {
    pub fn of(prompt: &Prompt, secrets: &Secrets, ignore: &Ignore) -> Question {
        let asked = scenario::asked(prompt);
        let writer = HashWriter { secrets, ignore };
        let input = writer.text(&asked.input);
        let turn = asked.turn;
        let mut when = writer.when(prompt, asked);
        let hash = scenario::hash(&scenario::canonical(&when));
        if !ignore.is_empty() {
            when["ignore"] = ignore.patterns().collect();
        }
        Question { input, turn, when, hash }
    }

    /// The question without secrets that were found in its answer. Hashes stay unchanged.
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

struct HashWriter<'w> {
    secrets: &'w Secrets,
    ignore: &'w Ignore,
}

impl HashWriter<'_> {
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
        let config = prompt.generation_config.fields();
        let config = config.map(|_| self.json(prompt.generation_config.as_json()));
        when["generation_config"] = config.unwrap_or_else(|| json!({}));
        if let Some(first) = prompt.files.first() {
            when["files"] = json!({"count": prompt.files.len()});
            if prompt.files.iter().all(|file| file.mime_type == first.mime_type) {
                when["files"]["mime_type"] = first.mime_type.as_str().into();
            }
            let hashes = prompt.files.iter().map(|file| start_of(&file.content));
            when["files"]["sha256"] = hashes.collect();
        }
        // An empty list is a condition too: the same text is still the newest one when a function
        // result arrives.
        when["earlier"] = asked.earlier.iter().map(|message| self.message(message)).collect();
        if !asked.earlier.is_empty() {
            let before = &prompt.steps[..asked.start];
            when["history"] = scenario::history_before(before, self.secrets, self.ignore).into();
        }
        let results =
            asked.answered.iter().filter(|message| matches!(message, ClientMessage::Result { .. }));
        let answered: Vec<Value> = results.map(|message| self.message(message)).collect();
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

    /// Secrets are replaced first, because an ignored match could split one.
    fn text(&self, text: &str) -> String {
        self.ignore.without(&self.secrets.redact(text)).into_owned()
    }

    fn json(&self, value: &Value) -> Value {
        self.ignore.without_json(&self.secrets.redact_json(value)).into_owned()
    }

    fn message(&self, message: &ClientMessage) -> Value {
        match message {
            ClientMessage::Text(text) => self.text(text).into(),
            ClientMessage::Result { name, value } => {
                json!({"function_result": name, "equals": self.json(value)})
            }
        }
    }

    /// A key of this server is unknown where the recording is replayed, and so is its hash.
    fn functions(&self, prompt: &Prompt) -> Map<String, Value> {
        let unknown = Secrets::default();
        let hashes = scenario::functions(&prompt.tools.functions, self.ignore);
        let hashes = hashes.into_iter().map(|(name, hash)| {
            let function = prompt.tools.functions.iter().find(|function| function.name == name);
            let declaration =
                function.map_or(Value::Null, |f| json!([f.description, f.parameters]));
            let has_key =
                self.secrets.redact_json(&declaration) != unknown.redact_json(&declaration);
            (name, if has_key { scenario::ANY.into() } else { hash.into() })
        });
        hashes.collect()
    }
}

/// The part of a file's hash that identifies the file.
pub fn start_of(content: &FileContent) -> String {
    content.sha256().chars().take(HASH_DIGITS).collect()
}
