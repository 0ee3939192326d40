//! A scenario file: its contents and its errors.

pub mod diagnosis;
pub mod keys;
pub mod library;
pub mod part;
pub mod tool_keys;

use std::fmt;
use std::io;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_saphyr::MessageFormatter;

use crate::condition::when::When;
use domain::counts::Counted;
use part::Part;

/// Maximum size of a file.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// A script with the conditions for its use.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a scenario: a map with `name`, `when` and `script`")]
pub struct Scenario {
    pub name: String,
    /// The recorded question that it answers. Recordings of the same question answer in the order
    /// of their takes.
    pub question: Option<String>,
    pub take: Option<NonZeroU64>,
    /// Whether it may run code, call functions and search even if the request does not offer these
    /// tools.
    #[serde(default)]
    pub unoffered: bool,
    /// The file that contains it; none if a client added it.
    #[serde(skip)]
    pub file: Option<Arc<str>>,
    #[serde(default)]
    pub when: When,
    /// The input's files, if they are kept, for running the code without a client.
    #[serde(default)]
    pub given: Vec<GivenFile>,
    #[serde(deserialize_with = "script")]
    pub script: Vec<Part>,
}

impl Scenario {
    /// The key under which its uses are counted.
    pub fn counted(&self) -> Counted<'_> {
        let file = self.file.as_deref().unwrap_or_default();
        Counted::Uses { file, scenario: &self.name }
    }

    /// Whether the model fails in it instead of answering.
    pub fn fails(&self) -> bool {
        self.script.iter().any(|part| matches!(part, Part::Fail(_) | Part::Disconnect))
    }
}

/// An input file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a map with `name`, `mime_type` and `file`")]
pub struct GivenFile {
    /// Name in the working directory.
    pub name: String,
    pub mime_type: String,
    /// Below the folder of the scenario file.
    pub file: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a map with the key `scenarios`")]
struct ScenarioFile {
    scenarios: Vec<Scenario>,
}

/// Why a scenario file is invalid.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    #[error("{}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{}:{place}{message}", path.display())]
    Invalid { path: PathBuf, place: Position, message: String },
}

/// Line and column, both starting with 1; empty if the parser does not know them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position(Option<(u64, u64)>);

impl Position {
    pub fn at(line: usize, column: usize) -> Position {
        Position(Some((line as u64, column as u64)))
    }

    pub fn nowhere() -> Position {
        Position(None)
    }

    pub fn line(self) -> Option<u64> {
        self.0.map(|(line, _)| line)
    }

    pub fn column(self) -> Option<u64> {
        self.0.map(|(_, column)| column)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some((line, column)) => write!(f, "{line}:{column}: "),
            None => f.write_str(" "),
        }
    }
}

/// Whether a file of this name contains scenarios.
pub fn is_scenario_file(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("yaml" | "yml" | "json"))
}

pub fn read(path: &Path) -> Result<Vec<Scenario>, ScenarioError> {
    parse(path, &text(path)?)
}

/// The content of a file.
pub fn text(path: &Path) -> Result<String, ScenarioError> {
    let unreadable = |source| ScenarioError::Unreadable { path: path.into(), source };
    check_size(path, path.metadata().map_err(unreadable)?.len())?;
    std::fs::read_to_string(path).map_err(unreadable)
}

fn check_size(path: &Path, bytes: u64) -> Result<(), ScenarioError> {
    if bytes <= MAX_FILE_BYTES {
        return Ok(());
    }
    let why = format!("file too large: {bytes} bytes, at most {MAX_FILE_BYTES} are allowed");
    let source = io::Error::new(io::ErrorKind::FileTooLarge, why);
    Err(ScenarioError::Unreadable { path: path.into(), source })
}

/// Parses the text of a file. The extension of `path` selects JSON or YAML, and `path` appears in
/// errors.
pub fn parse(path: &Path, text: &str) -> Result<Vec<Scenario>, ScenarioError> {
    // A recording that no server can read again must not be written.
    check_size(path, text.len() as u64)?;
    let is_json = path.extension().is_some_and(|extension| extension == "json");
    let mut file: ScenarioFile = if is_json {
        serde_json::from_str(text).map_err(|error| {
            let place = Position(Some((error.line() as u64, error.column() as u64)));
            let message = error.to_string();
            // serde_json appends the position, which our error already starts with.
            let message = message.split(" at line ").next().unwrap_or(&message).to_string();
            ScenarioError::Invalid { path: path.into(), place, message }
        })?
    } else {
        parse_value(path, text)?
    };
    let name: Option<Arc<str>> = path.file_name().map(|name| name.to_string_lossy().into());
    for scenario in &mut file.scenarios {
        scenario.file.clone_from(&name);
        number(&mut scenario.script, &mut 0);
    }
    Ok(file.scenarios)
}

/// Parses one YAML value.
pub fn parse_value<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, ScenarioError> {
    serde_saphyr::from_str(text).map_err(|error| {
        let place = Position(error.location().map(|at| (at.line(), at.column())));
        let message = serde_saphyr::DefaultMessageFormatter.format_message(&error).into_owned();
        ScenarioError::Invalid { path: path.into(), place, message }
    })
}

/// Numbers the `expect` parts in the order of the file.
fn number(parts: &mut [Part], next: &mut usize) {
    for part in parts {
        match part {
            Part::Expect(expect) => {
                expect.number = *next;
                *next += 1;
            }
            Part::IfError(parts) | Part::IfOk(parts) => number(parts, next),
            _ => {}
        }
    }
}

/// A list of parts in a valid order.
fn script<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Part>, D::Error> {
    let parts = Vec::<Part>::deserialize(deserializer)?;
    if parts.is_empty() {
        return Err(D::Error::custom("a script without parts: add at least a `text`"));
    }
    check_order(&parts).map_err(D::Error::custom)?;
    Ok(parts)
}

/// A condition applies to the result right before it, and nothing may follow the end.
///
/// The first part of a script may be a condition too: it applies to the function result that the
/// scenario follows.
fn check_order(parts: &[Part]) -> Result<(), String> {
    for pair in parts.windows(2) {
        let [before, part] = pair else { continue };
        let after_result = matches!(
            before,
            Part::Code(_)
                | Part::RepeatCodeUntilOk(_)
                | Part::FunctionCall(_)
                | Part::Expect(_)
                | Part::IfError(_)
                | Part::IfOk(_)
        );
        if matches!(part, Part::IfError(_) | Part::IfOk(_)) && !after_result {
            return Err(format!(
                "`{}` after `{}`: it may only stand right after a result, so after `code`, \
                 `repeat_code_until_ok`, `function_call` or another condition",
                part.kind(),
                before.kind()
            ));
        }
        if matches!(part, Part::Expect(_))
            && !matches!(before, Part::Code(_) | Part::RepeatCodeUntilOk(_))
        {
            return Err(format!(
                "`expect` after `{}`: it may only stand right after `code` or \
                 `repeat_code_until_ok`",
                before.kind()
            ));
        }
        if before.is_last() {
            return Err(format!("`{}` after `{}`, which is the end", part.kind(), before.kind()));
        }
    }
    if let Some(Part::Expect(_)) = parts.first() {
        return Err("`expect` before any code: there is nothing that it could be about".into());
    }
    parts.iter().try_for_each(|part| match part {
        Part::IfError(parts) | Part::IfOk(parts) => check_order(parts),
        _ => Ok(()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(file: &str, text: &str) -> String {
        parse(Path::new(file), text).expect_err(text).to_string()
    }

    fn error_in_part(part: &str) -> String {
        error("s.yaml", &format!("scenarios:\n  - name: s\n    script:\n      - {part}\n"))
    }

    #[test]
    fn yaml_and_json_are_equivalent() {
        let yaml = "scenarios: [{ name: a, when: { turn: 1 }, script: [{ text: hi, raw: true }] }]";
        let json =
            r#"{"scenarios":[{"name":"a","when":{"turn":1},"script":[{"raw":true,"text":"hi"}]}]}"#;
        let yaml = parse(Path::new("a.yaml"), yaml).expect("valid YAML");
        let json = parse(Path::new("a.json"), json).expect("valid JSON");
        assert_eq!(yaml[0].script, json[0].script);
    }

    #[test]
    fn an_error_has_its_position_and_the_expected_values() {
        for (part, expected) in [
            ("txt: hi", "s.yaml:4:9: unknown field `txt`, expected one of thought, text"),
            ("{ text: a, code: b }", "`text` and `code` in one part"),
            ("{ raw: true }", "it needs one of `thought`, `text`"),
            ("hi", "a part of a script, such as `text: …`"),
            ("text: '{{ a'", "`text` is not a template"),
            ("function_call: { name: f, args: {} }", "expected one of name, arguments"),
            ("function_call: { arguments: {} }", "name"),
            ("delay: soon", "expected a duration such as `500ms`"),
            ("{ delay: 1s, raw: true }", "`raw` beside `delay`"),
            ("usage: { tokens: 1 }", "expected one of total_input_tokens"),
            ("search: { queries: a }", "sequence"),
            ("search: { queries: [a], results: [{ titel: b }] }", "unknown field `titel`"),
            ("fail: { status: 418 }", "unknown status 418: expected one of 400, 401"),
            ("fail: { status: 429, retry_after: soon }", "expected a duration such as `500ms`"),
            ("expect: { output: a }", "unknown field `output`"),
            ("disconnect: false", "it can only be `true`"),
            ("quirk: odd", "unknown quirk `odd`: expected one of several_results"),
            ("fault: { status: 500 }", "`fault` in a script is damage to the answer"),
            ("finish: SAFTY", "`SAFTY` is no finish reason; there are STOP, MAX_TOKENS, SAFETY"),
        ] {
            let error = error_in_part(part);
            assert!(error.contains(expected), "{part}: {error}");
            assert!(error.starts_with("s.yaml:4:"), "{part}: {error}");
        }
    }

    #[test]
    fn an_invalid_order_of_parts_is_an_error() {
        for (parts, expected) in [
            ("text: a\n      - if_error: [text: b]", "`if_error` after `text`"),
            ("code: a\n      - if_ok: [text: b, if_ok: [text: c]]", "`if_ok` after `text`"),
            ("finish: STOP\n      - text: a", "`text` after `finish`"),
            ("text: a\n      - expect: {}", "`expect` after `text`: it may only stand right after"),
            ("expect: {}", "`expect` before any code"),
            ("fail: { status: 500 }\n      - text: a", "`text` after `fail`, which is the end"),
            ("disconnect: true\n      - finish: STOP", "`finish` after `disconnect`"),
        ] {
            assert!(error_in_part(parts).contains(expected), "{}", error_in_part(parts));
        }
        assert!(error("s.yaml", "scenarios: [{ name: s, script: [] }]").contains("without parts"));
    }

    #[test]
    fn a_text_that_could_not_be_read_from_a_file_is_an_error() {
        let text = format!("scenarios: []\n#{}", " ".repeat(16 << 20));
        assert!(error("s.yaml", &text).contains("file too large: 16777231 bytes"));
    }

    #[test]
    fn an_unknown_condition_is_an_error() {
        for (when, expected) in [
            ("imput: { contains: a }", "unknown field `imput`, expected one of input, model"),
            ("input: prime", "expected mapping start"),
            ("input: { matches: '(' }", "unclosed group"),
            ("model: '['", "error parsing glob"),
            ("turn: 0", "nonzero"),
        ] {
            let text = format!("scenarios:\n- name: s\n  when: {{ {when} }}\n  script: [text: a]");
            let error = error("s.yaml", &text);
            assert!(error.starts_with("s.yaml:3:") && error.contains(expected), "{error}");
        }
    }

    #[test]
    fn invalid_json_is_reported_with_its_position() {
        let error = error("s.json", "{\"scenarios\": [\n  {\"name\": 1}\n]}");
        assert!(error.starts_with("s.json:2:"), "{error}");
        assert!(!error.contains("at line"), "{error}");
    }
}
