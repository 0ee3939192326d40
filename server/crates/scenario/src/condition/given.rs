//! The model's input besides the newest user input: system instruction, tools, settings and earlier
//! output. Recordings are distinguished by all of it.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};

use super::same::Ignore;
use super::time::Ignoring;
use backend::{Function, InputFile, Prompt};
use domain::interaction::Step;
use redaction::Secrets;

/// Number of digits of a written hash.
const HASH_DIGITS: usize = 16;
/// In place of a hash: any declaration with that name matches.
pub const ANY: &str = "any";

/// The parts of a prompt that are compared by hash. Each hash is computed on first use.
#[derive(Debug)]
pub struct Given<'a> {
    prompt: &'a Prompt,
    /// Index of the first of the client's newest steps.
    start: usize,
    lower_instruction: OnceCell<String>,
    config: OnceCell<Json>,
    lines: OnceCell<Vec<String>>,
    functions: OnceCell<BTreeMap<String, String>>,
    history: OnceCell<String>,
    files: OnceCell<Vec<String>>,
}

impl<'a> Given<'a> {
    pub fn new(prompt: &'a Prompt, start: usize) -> Given<'a> {
        let (lower_instruction, config, lines, functions) = Default::default();
        let (history, files) = Default::default();
        Given { prompt, start, lower_instruction, config, lines, functions, history, files }
    }

    /// The hashes of the files, which are the same for each scenario.
    pub fn file_hashes(&self, files: &[InputFile]) -> &[String] {
        let hashes = || files.iter().map(|file| file.content.sha256()).collect();
        self.files.get_or_init(hashes)
    }

    pub fn instruction(&self) -> &'a str {
        self.prompt.system_instruction.as_deref().unwrap_or_default()
    }

    pub fn lower_instruction(&self) -> &str {
        self.lower_instruction.get_or_init(|| self.instruction().to_lowercase())
    }

    /// The client's object unchanged; an empty object if there was none.
    pub fn config(&self) -> &Json {
        let config = &self.prompt.generation_config;
        self.config.get_or_init(|| config.fields().cloned().unwrap_or_default().into())
    }

    /// Hashes of the function declarations, by name.
    pub fn functions(&self, ignoring: Ignoring<'_>) -> Cow<'_, BTreeMap<String, String>> {
        let hashes = || {
            hashes(&self.prompt.tools.functions, |json| ignoring.without_json(json).into_owned())
        };
        match ignoring.is_empty() {
            true => Cow::Borrowed(self.functions.get_or_init(hashes)),
            false => Cow::Owned(hashes()),
        }
    }

    /// A hash of the model's output before the client's newest steps.
    pub fn history(&self, ignoring: Ignoring<'_>) -> String {
        let lines = || self.lines.get_or_init(|| output_lines(&self.prompt.steps[..self.start]));
        let hash =
            || history(lines(), &Secrets::default(), |line| ignoring.without(line).into_owned());
        if ignoring.is_empty() { self.history.get_or_init(hash).clone() } else { hash() }
    }
}

/// A hash of the model's output before this step, without secrets.
pub fn history_before(steps: &[Step], secrets: &Secrets, ignore: &Ignore) -> String {
    history(&output_lines(steps), secrets, |line| ignore.without(line).into_owned())
}

/// A hash of each declaration. Possible secrets are removed first, because a description that
/// contains a key has a different one elsewhere.
pub fn functions(functions: &[Function], ignore: &Ignore) -> BTreeMap<String, String> {
    hashes(functions, |json| ignore.without_json(json).into_owned())
}

fn hashes(functions: &[Function], without: impl Fn(&Json) -> Json) -> BTreeMap<String, String> {
    let secrets = Secrets::default();
    let hashes = functions.iter().map(|function| {
        let declaration = json!([function.description, function.parameters]);
        let declaration = without(&secrets.redact_json(&declaration));
        (function.name.clone(), hash(&canonical(&declaration)))
    });
    hashes.collect()
}

fn history(lines: &[String], secrets: &Secrets, without: impl Fn(&str) -> String) -> String {
    let lines = lines.iter().map(|line| without(&secrets.redact(line)));
    hash(&lines.collect::<Vec<_>>().join("\u{1}"))
}

/// The model's output in these steps, one line per item, without values that change each time: ids,
/// signatures and results of code.
fn output_lines(steps: &[Step]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut add = |kind: &str, text: &str| {
        // A text may be split over several steps with pictures between them.
        match lines.last_mut().filter(|line| kind == "text" && line.starts_with("text ")) {
            Some(line) => line.push_str(text),
            None if text.is_empty() => {}
            None => lines.push(format!("{kind} {text}")),
        }
    };
    for step in steps {
        match step {
            Step::ModelOutput(_) => add("text", &step.model_text().unwrap_or_default()),
            Step::CodeCall(call) => add("code", &call.code),
            Step::FunctionCall(call) => {
                add("call", &format!("{} {}", call.name, canonical(&call.arguments)));
            }
            Step::UserInput(_) | Step::FunctionResult(_) => add("client", "."),
            Step::Passthrough(step) => foreign(step, &mut add),
            Step::Thought { .. }
            | Step::CodeResult(_)
            | Step::SearchCall(_)
            | Step::SearchResult(_) => {}
        }
    }
    lines
}

/// A step of an upstream server, in the form that it has when it is replayed here.
fn foreign(step: &Json, add: &mut impl FnMut(&str, &str)) {
    match step["type"].as_str().unwrap_or_default() {
        "model_output" => {
            let contents = step["content"].as_array().into_iter().flatten();
            let texts = contents.filter_map(|content| content["text"].as_str());
            add("text", &texts.collect::<String>());
        }
        "code_execution_call" => {
            add("code", step["arguments"]["code"].as_str().unwrap_or_default())
        }
        "function_call" => {
            let name = step["name"].as_str().unwrap_or_default();
            add("call", &format!("{name} {}", canonical(&step["arguments"])));
        }
        _ => {}
    }
}

/// JSON with sorted keys and normalized numbers, so that equal values give equal texts.
pub fn canonical(json: &Json) -> String {
    match json {
        Json::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() => float.to_string(),
            _ => number.to_string(),
        },
        Json::Array(items) => {
            format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(","))
        }
        Json::Object(fields) => {
            let fields: BTreeMap<&String, &Json> = fields.iter().collect();
            let fields = fields.into_iter();
            let fields =
                fields.map(|(k, v)| format!("{}:{}", Json::from(k.as_str()), canonical(v)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
        }
        Json::Null | Json::Bool(_) | Json::String(_) => json.to_string(),
    }
}

/// A prefix of the SHA-256.
pub fn hash(text: &str) -> String {
    hex::encode(Sha256::digest(text))[..HASH_DIGITS].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::interaction::{CodeCall, Content};

    #[test]
    fn the_order_of_keys_does_not_change_a_declaration() {
        let function = |parameters: Json| Function {
            name: "f".into(),
            description: Some("d".into()),
            parameters: Some(parameters),
        };
        let none = Ignore::default();
        let of = |parameters: &str| {
            functions(&[function(serde_json::from_str(parameters).expect("it is JSON"))], &none)
        };
        assert_eq!(of(r#"{"a": 1, "b": {"c": 2}}"#), of(r#"{"b": {"c": 2.0}, "a": 1.0}"#));
        assert_ne!(of(r#"{"a": 1}"#), of(r#"{"a": 2}"#));
    }

    #[test]
    fn a_step_of_an_upstream_equals_its_replay() {
        let (secrets, ignore) = (Secrets::default(), Ignore::default());
        let ours = [
            Step::CodeCall(CodeCall { id: "a".into(), code: "x".into(), signature: "s".into() }),
            Step::ModelOutput(vec![Content::text("It "), Content::text("is.")]),
        ];
        let theirs = [
            Step::Passthrough(json!({"type": "code_execution_call", "arguments": {"code": "x"}})),
            Step::Passthrough(json!({"type": "telepathy_call"})),
            Step::Passthrough(json!({"type": "model_output", "content": [{"text": "It is."}]})),
        ];
        let hash = |steps: &[Step]| history_before(steps, &secrets, &ignore);
        assert_eq!(hash(&ours), hash(&theirs));
        assert_ne!(hash(&ours), hash(&ours[..1]));
    }
}
