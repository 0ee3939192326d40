//! Converts a recording to a scenario: the request becomes the conditions, the output becomes the
//! script.

use std::collections::HashMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value, json};
use serde_saphyr::{ser_options, to_string_with_options};
use strum::VariantNames as _;

use super::question::{Question, start_of};
use super::session::{RecordedEvent, RecordedEventKind, Recording};
use super::{RecordingError, RecordingMetadata};
use backend::{BackendError, FileContent, Finish, Prompt};
use domain::chaos::fault;
use domain::interaction::{
    CodeResult, Failure, FailureDelivery, FailureKind, Media, ServerTool, Source, ToolRequest,
    ToolResult, ToolUse, Usage,
};
use redaction::Secrets;

/// Maximum length of an input in the name of a scenario.
const NAME_CHARS: usize = 60;
/// Number of hash digits in the name.
const NAME_DIGITS: usize = 8;
/// Lines are not folded, because folded text is hard to search and to edit.
const LINE_CHARS: usize = 1 << 30;

/// The scenario and the pictures that are stored beside it.
#[derive(Debug)]
pub struct Script<'s> {
    secrets: &'s Secrets,
    parts: Vec<TimedPart>,
    pub pictures: Vec<Picture>,
    /// Kinds of steps that no part can represent.
    left_out: Vec<String>,
    /// Queries of a search whose result is still missing.
    queries: Value,
    /// Calls of other tools whose results are still missing, by id.
    calls: HashMap<String, ToolRequest>,
}

/// The content of a picture file and the parts of its name.
#[derive(Debug)]
pub struct Picture {
    /// A prefix of its SHA-256.
    hash: String,
    extension: &'static str,
    pub content: Bytes,
}

/// A part and its time.
#[derive(Debug)]
struct TimedPart {
    value: Value,
    when: String,
}

/// All of a scenario except its script.
#[derive(Serialize)]
struct ScenarioHead<'f> {
    name: &'f str,
    question: &'f str,
    take: u64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    unoffered: bool,
    when: &'f Value,
    #[serde(skip_serializing_if = "<[Value]>::is_empty")]
    given: &'f [Value],
}

impl<'s> Script<'s> {
    pub fn of(recording: &Recording, usage: Option<Usage>, secrets: &'s Secrets) -> Script<'s> {
        let mut script = Script {
            secrets,
            parts: Vec::new(),
            pictures: Vec::new(),
            left_out: Vec::new(),
            queries: Value::Null,
            calls: HashMap::new(),
        };
        let counted =
            recording.events.iter().any(|event| matches!(event.kind, RecordedEventKind::Counted));
        // Added first, because output after a function call belongs to another interaction.
        if let Some(usage) = usage.filter(|_| counted) {
            script.add(String::new(), json!({"usage": tokens(usage)}));
        }
        for event in &recording.events {
            script.event(event);
        }
        if script.parts.is_empty() {
            script.add(String::new(), json!({"finish": "STOP"}));
        }
        script
    }

    /// The complete file. It is an error if it does not parse to the recorded output.
    pub fn file(
        &self,
        recording: &Recording,
        metadata: &RecordingMetadata,
        question: &Question,
        take: u64,
        given: Vec<Value>,
    ) -> Result<String, RecordingError> {
        let name = name(question, take);
        let head = ScenarioHead {
            name: &name,
            question: &question.hash,
            take,
            unoffered: self.takes_what_was_not_offered(&recording.asked),
            when: &question.when,
            given: &given,
        };
        let mut wanted = json!({"scenarios": [head]});
        wanted["scenarios"][0]["script"] =
            self.parts.iter().map(|part| part.value.clone()).collect();
        // A YAML error would change the output of the model, so the result is checked. JSON is the
        // fallback, because it is valid YAML.
        let body = match self.yaml(&head) {
            Ok(yaml) if serde_saphyr::from_str::<Value>(&yaml).is_ok_and(|read| read == wanted) => {
                yaml
            }
            _ => serde_json::to_string_pretty(&wanted)? + "\n",
        };
        Ok(self.head(recording, metadata) + &body)
    }

    /// Whether the model used tools that the client had not offered, as some models do.
    fn takes_what_was_not_offered(&self, asked: &Prompt) -> bool {
        let allowed = asked.allowed();
        self.parts.iter().any(|part| {
            let tool = match &part.value {
                part if part.get("code").is_some() => "code_execution",
                part if part.get("search").is_some() => "google_search",
                part => {
                    let is_tool = |name: &&str| part.get(name).is_some();
                    match ServerTool::VARIANTS.iter().copied().find(is_tool) {
                        Some(tool) => tool,
                        None => match part["function_call"]["name"].as_str() {
                            Some(name) => name,
                            None => return false,
                        },
                    }
                }
            };
            !allowed.contains(&tool) && !asked.tools.has_predefined(tool)
        })
    }

    fn yaml(&self, head: &ScenarioHead<'_>) -> Result<String, serde_saphyr::ser::Error> {
        let mut yaml = "scenarios:\n".to_owned() + &indented(2, &listed(head)?) + "    script:\n";
        for TimedPart { value, when } in &self.parts {
            if !when.is_empty() {
                yaml += &format!("      # {when}\n");
            }
            yaml += &indented(6, &listed(value)?);
        }
        Ok(yaml)
    }

    fn head(&self, recording: &Recording, metadata: &RecordingMetadata) -> String {
        let at = metadata.at.strftime("%Y-%m-%d %H:%M:%S");
        let took = recording.events.last().map_or(Duration::ZERO, |event| event.until);
        let mut head = format!(
            "# Recorded by belljar {} at {at} UTC: {}, after {:.3} s.\n\
             # `belljar validate` checks it, `belljar verify` runs its code again.\n",
            env!("CARGO_PKG_VERSION"),
            metadata.status,
            took.as_secs_f64(),
        );
        for kind in &self.left_out {
            head += &format!("# Omitted, because no part can represent it: a step {kind:?}.\n");
        }
        for name in &metadata.files_left_out {
            head += &format!("# Omitted, because it is too large: {name}.\n");
        }
        head
    }

    fn event(&mut self, event: &RecordedEvent) {
        let when = times(event);
        match &event.kind {
            RecordedEventKind::Thought(text) => self.text(when, "thought", text),
            RecordedEventKind::Text(text) => self.text(when, "text", text),
            RecordedEventKind::Code(code) => self.text(when, "code", code),
            RecordedEventKind::Call { name, arguments } => self.call(when, name, arguments),
            RecordedEventKind::Search { queries, found } => {
                let pages: Vec<Value> = found
                    .iter()
                    .map(|page| json!({"title": page.title, "url": page.url, "snippet": page.snippet}))
                    .collect();
                self.structure(when, "search", json!({"queries": queries, "results": pages}));
            }
            RecordedEventKind::Tool(used) => self.tool(when, used.clone()),
            RecordedEventKind::Step(step) => self.step(when, step),
            RecordedEventKind::Counted => {}
            RecordedEventKind::Ended(end) => match end.finish {
                Finish::Stop | Finish::Searched => {}
                Finish::MaxTokens => self.add(when, json!({"finish": "MAX_TOKENS"})),
                Finish::Stopped(reason) => self.add(when, json!({"finish": reason.as_str()})),
            },
            RecordedEventKind::Failed(error) => self.failed(when, error),
            RecordedEventKind::Ran(result, pictures) => self.ran(when, result, pictures),
        }
    }

    fn add(&mut self, when: String, value: Value) {
        self.parts.push(TimedPart { value, when });
    }

    fn text(&mut self, when: String, kind: &str, text: &str) {
        let text = self.secrets.redact(text).into_owned();
        let is_template = means_something(&text);
        self.structure_of(when, kind, text.into(), is_template);
    }

    fn call(&mut self, when: String, name: &str, arguments: &Value) {
        let arguments = self.secrets.redact_json(arguments);
        self.structure(when, "function_call", json!({"name": name, "arguments": arguments}));
    }

    /// A part that contains strings, which are templates unless marked otherwise.
    fn structure(&mut self, when: String, kind: &str, value: Value) {
        let value = self.secrets.redact_json(&value);
        let is_template = has_template(&value);
        self.structure_of(when, kind, value, is_template);
    }

    fn structure_of(&mut self, when: String, kind: &str, value: Value, is_template: bool) {
        let mut part = Map::new();
        part.insert(kind.to_owned(), value);
        if is_template {
            part.insert("raw".to_owned(), true.into());
        }
        self.add(when, part.into());
    }

    fn ran(&mut self, when: String, result: &CodeResult, pictures: &[Media]) {
        self.expect(when, &result.result, result.outcome.is_error());
        for picture in pictures {
            if let Source::Inline(content) = &picture.source {
                self.picture(picture.mime_type.as_deref().unwrap_or_default(), content.clone());
            }
        }
    }

    fn expect(&mut self, when: String, result: &str, is_error: bool) {
        let mut expect = json!({"result": self.secrets.redact(result)});
        if is_error {
            expect["is_error"] = true.into();
        }
        expect["pictures"] = json!([]);
        self.add(when, json!({"expect": expect}));
    }

    /// Adds a picture of the newest run.
    fn picture(&mut self, mime_type: &str, content: Bytes) {
        let picture = Picture::new(mime_type, content);
        let last = self.parts.iter_mut().rev().find_map(|part| part.value.get_mut("expect"));
        if let Some(Value::Array(pictures)) = last.and_then(|expect| expect.get_mut("pictures")) {
            pictures.push(picture.path().into());
            self.pictures.push(picture);
        }
    }

    fn failed(&mut self, when: String, error: &BackendError) {
        let (kind, message, retry_after, delivery) = match error {
            BackendError::Refused(why) => {
                (FailureKind::InvalidRequest, why, None, FailureDelivery::Reported)
            }
            BackendError::Unavailable(why) => {
                (FailureKind::Unavailable, why, None, FailureDelivery::Reported)
            }
            BackendError::Failed(Failure { kind, message, retry_after, delivery }) => {
                (*kind, message, *retry_after, *delivery)
            }
        };
        if delivery == FailureDelivery::ConnectionDrop {
            return self.add(when, json!({"disconnect": true}));
        }
        let has_output = self.parts.iter().any(|part| part.value.get("usage").is_none());
        let message = self.secrets.redact(message).into_owned();
        let mut fail = json!({"status": fault::status(kind), "message": message});
        if let Some(wait) = retry_after {
            fail["retry_after"] = humantime::format_duration(wait).to_string().into();
        }
        if has_output && delivery == FailureDelivery::Reported {
            fail["told"] = true.into();
        }
        self.structure(when, "fail", fail);
    }

    /// A step of an upstream server, in Google's JSON.
    fn step(&mut self, when: String, step: &Value) {
        let texts = |contents: &Value| -> String {
            let contents = contents.as_array().into_iter().flatten();
            contents.filter_map(|content| content["text"].as_str()).collect()
        };
        match step["type"].as_str().unwrap_or_default() {
            "thought" => {
                let summary = texts(&step["summary"]);
                if !summary.is_empty() {
                    self.text(when, "thought", &summary);
                }
            }
            "model_output" => {
                for content in step["content"].as_array().into_iter().flatten() {
                    let data = content["data"].as_str().and_then(|data| STANDARD.decode(data).ok());
                    if let Some(data) = data {
                        let mime_type = content["mime_type"].as_str().unwrap_or_default();
                        self.picture(mime_type, data.into());
                    }
                }
                let text = texts(&step["content"]);
                if !text.is_empty() {
                    self.text(when, "text", &text);
                }
            }
            "code_execution_call" => {
                let code = step["arguments"]["code"].as_str().unwrap_or_default();
                self.text(when, "code", code);
            }
            "code_execution_result" => {
                let result = step["result"].as_str().unwrap_or_default();
                self.expect(when, result, step["is_error"] == true);
            }
            "function_call" => {
                let name = step["name"].as_str().unwrap_or_default();
                self.call(when, name, &step["arguments"]);
            }
            "google_search_call" => self.queries = step["arguments"]["queries"].clone(),
            "google_search_result" => {
                let queries = std::mem::take(&mut self.queries);
                let queries = if queries.is_array() { queries } else { json!([]) };
                let pages: Vec<Value> = step["result"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(|page| {
                        let (title, url) = (page["title"].as_str()?, page["url"].as_str()?);
                        let snippet = page["snippet"].as_str().unwrap_or_default();
                        Some(json!({"title": title, "url": url, "snippet": snippet}))
                    })
                    .collect();
                self.structure(when, "search", json!({"queries": queries, "results": pages}));
            }
            other => {
                let id = |name: &str| step[name].as_str().unwrap_or_default().to_owned();
                if let Some(request) = ToolRequest::of_step(step) {
                    self.calls.insert(id("id"), request);
                    return;
                }
                let request = self.calls.remove(&id("call_id"));
                match (request, ToolResult::of_step(step)) {
                    (Some(request), result @ Some(_)) => {
                        self.tool(when, ToolUse { request, result });
                    }
                    _ => self.left_out.push(other.to_owned()),
                }
            }
        }
    }

    fn tool(&mut self, when: String, used: ToolUse) {
        let tool = used.request.tool();
        self.structure(when, tool.as_str(), scenario::tool_part(used));
    }
}

impl Picture {
    pub fn new(mime_type: &str, content: Bytes) -> Picture {
        let hash = start_of(&FileContent::Here(content.clone()));
        let extension = match mime_type {
            "image/jpeg" => "jpeg",
            other => mime_guess::get_mime_extensions_str(other)
                .and_then(|known| known.first())
                .map_or("bin", |extension| extension),
        };
        Picture { hash, extension, content }
    }

    /// Path relative to the recording. The same content has the same name.
    pub fn path(&self) -> String {
        format!("files/{}.{}", self.hash, self.extension)
    }
}

/// The name contains the input and the hash: questions that differ only in their tools have
/// different names.
fn name(question: &Question, take: u64) -> String {
    let input = scenario::beginning(&question.input, NAME_CHARS);
    let input = if input.is_empty() { "recorded".to_owned() } else { input };
    let number = if take > 1 { format!(" {take}") } else { String::new() };
    format!("{input} ({}{number})", &question.hash[..NAME_DIGITS])
}

/// A list item in YAML.
fn listed(item: &impl Serialize) -> Result<String, serde_saphyr::ser::Error> {
    yaml(&[item])
}

/// A map in YAML, indented by this many spaces. Its last line has no line break.
pub fn map_at(spaces: usize, map: &Value) -> Result<String, serde_saphyr::ser::Error> {
    Ok(indented(spaces, &yaml(map)?).trim().to_owned())
}

fn yaml(value: &impl Serialize) -> Result<String, serde_saphyr::ser::Error> {
    let options = ser_options! {
        compact_list_indent: false,
        folded_wrap_chars: LINE_CHARS,
        min_fold_chars: LINE_CHARS,
    };
    to_string_with_options(value, options)
}

/// Indents all lines except empty ones.
fn indented(spaces: usize, yaml: &str) -> String {
    let indent = " ".repeat(spaces);
    let lines = yaml.lines().map(|line| match line {
        "" => "\n".to_owned(),
        line => format!("{indent}{line}\n"),
    });
    lines.collect()
}

/// The time of a part, for people.
fn times(RecordedEvent { at, until, pieces, .. }: &RecordedEvent) -> String {
    let at = at.as_secs_f64();
    match pieces {
        1 => format!("{at:.3} s"),
        pieces => format!("{at:.3} s, {pieces} pieces until {:.3} s", until.as_secs_f64()),
    }
}

/// Whether a text would be parsed as a template.
fn means_something(text: &str) -> bool {
    ["{{", "{%", "{#"].iter().any(|opening| text.contains(opening))
}

fn has_template(value: &Value) -> bool {
    match value {
        Value::String(text) => means_something(text),
        Value::Array(items) => items.iter().any(has_template),
        Value::Object(fields) => fields.values().any(has_template),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn tokens(usage: Usage) -> Value {
    json!({
        "total_input_tokens": usage.input.total(),
        "total_output_tokens": usage.output.total(),
        "total_thought_tokens": usage.thought,
        "total_tool_use_tokens": usage.tool_use.total(),
        "total_cached_tokens": usage.cached,
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use jiff::Timestamp;

    use super::*;
    use crate::{RecordingSession, RecordingWriter};
    use backend::{End, ModelEvent, Prompt};

    /// Texts that are difficult in YAML, in a template, or on a screen.
    const AWKWARD: &[&str] = &[
        " ",
        "\n",
        "a\n\n",
        "\n\na",
        "\ta\t",
        "  leading",
        "trailing  ",
        "a\n  \nb\n ",
        "#x",
        "- a",
        "a: b #c",
        "'",
        "\"\\",
        "null",
        "~",
        "true",
        "1e3",
        "0x1f",
        "2026-01-01",
        "|",
        "> folded",
        "@`%&*!",
        "---",
        "a\n---\n...\nb",
        "%YAML 1.2",
        "{{ not a hole }}",
        "{% if %}",
        "{# c",
        "{a}",
        "[a]",
        "\r\n",
        "a\rb",
        "\0\u{1}\u{1b}[31m",
        "\u{7f}\u{85}\u{a0}",
        "\u{2028}\u{2029}\u{feff}",
        "\u{fffe}🦀ä\u{10ffff}",
    ];

    #[test]
    fn every_text_survives_the_file() {
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        let writer = RecordingWriter::open(folder.path(), Secrets::default()).expect("it is ours");
        let (writer, long) = (Arc::new(writer), "long words ".repeat(500));
        for text in AWKWARD.iter().copied().chain([long.as_str()]) {
            let session = RecordingSession::enabled();
            session.turn(&writer, &Prompt::text("m[1]*", text));
            let arguments = json!({text: [text, {"x": text}]});
            for event in [
                ModelEvent::Thought(text.into()),
                ModelEvent::Text(text.into()),
                ModelEvent::FunctionCall { name: "f".into(), arguments: arguments.clone() },
                ModelEvent::End(End::default()),
            ] {
                session.model_event(&Ok(event));
            }
            let recording = session.finish().expect("something is on it").expect("it is short");
            let secrets = Secrets::default();
            let script = Script::of(&recording, None, &secrets);
            let metadata = RecordingMetadata {
                at: Timestamp::UNIX_EPOCH,
                status: "completed",
                usage: None,
                files: Vec::new(),
                files_left_out: Vec::new(),
            };
            let question = Question::of(&recording.asked, &secrets, &scenario::Ignore::default());
            let file = script.file(&recording, &metadata, &question, 1, Vec::new());
            let file = file.expect("it can be written");
            let read: Value = serde_saphyr::from_str(&file).expect("it is YAML");
            let scenario = &read["scenarios"][0];
            assert_eq!(scenario["when"]["input"]["equals"], text, "{file}");
            assert_eq!(scenario["script"][0]["thought"], text, "{file}");
            assert_eq!(scenario["script"][1]["text"], text, "{file}");
            let call = &scenario["script"][2]["function_call"];
            assert_eq!(call["arguments"], arguments, "{file}");
            assert!(file.contains("# 0.0"), "it is readable YAML:\n{file}");
            scenario::parse(Path::new("it.yaml"), &file).unwrap_or_else(|error| {
                panic!("{error} in\n{file}");
            });
        }
    }
}
