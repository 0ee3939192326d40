//! Renders templates that are not simple in child processes: some lines can take minutes or gigabytes.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use minijinja::Value;
use minijinja::machinery::{Token, tokenize};
use minijinja::value::Serde;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::{MAX_RENDERED_BYTES, TemplateError, render_here, simple, syntax};
use resources::child::{self, ChildError};

/// The argument that makes this program a child.
pub const ARGUMENT: &str = "render-template";
/// A byte may be escaped to six.
const MAX_OUTPUT_BYTES: u64 = 6 * MAX_RENDERED_BYTES as u64 + 1000;

/// Variables with JSON of the client.
const FUNCTION_RESULT: &str = "function_result";
/// How long the children of one answer may take together.
const TIME_OF_ANSWER: Duration = Duration::from_secs(20);

/// Maximum work of all simple templates of one answer.
const WORK_OF_ANSWER_BYTES: u64 = 4 << 20;

thread_local! {
    /// What is left of both for the answer that this thread renders.
    static TIME_LEFT: Cell<Duration> = const { Cell::new(TIME_OF_ANSWER) };
    static WORK_LEFT: Cell<u64> = const { Cell::new(WORK_OF_ANSWER_BYTES) };
}

/// Begins another answer on this thread.
pub fn begin_answer() {
    TIME_LEFT.set(TIME_OF_ANSWER);
    WORK_LEFT.set(WORK_OF_ANSWER_BYTES);
}

/// Whether a template may be rendered in this process.
pub fn may_render_here(source: &str, names: &Value) -> bool {
    let left = WORK_LEFT.get();
    match simple::work(source, names).and_then(|work| left.checked_sub(work)) {
        Some(rest) => {
            WORK_LEFT.set(rest);
            true
        }
        None => false,
    }
}

/// The server borrows what it sends.
#[derive(Debug, Serialize, Deserialize)]
struct RenderTask<S, N> {
    source: S,
    /// Only the variables that the source may use.
    names: N,
}

/// Renders a template. Blocks the thread.
pub fn render(source: &str, names: &Value) -> Result<String, TemplateError> {
    let names: BTreeMap<&str, Value> = identifiers(source)
        .filter_map(|name| Some((name, names.get_attr(name).ok()?)))
        .filter(|(_, value)| !value.is_undefined())
        .collect();
    let task = serde_json::to_vec(&RenderTask { source, names }).map_err(|_| ChildError::Limit)?;
    if TIME_LEFT.get().is_zero() {
        return Err(ChildError::Limit.into());
    }
    let began = Instant::now();
    let output = child::run(ARGUMENT, &task, MAX_OUTPUT_BYTES);
    TIME_LEFT.set(TIME_LEFT.get().saturating_sub(began.elapsed()));
    let output = output?;
    let rendered: Result<String, String> =
        serde_json::from_slice(&output).map_err(|_| ChildError::Limit)?;
    rendered.map_err(TemplateError::InChild)
}

/// All identifiers of a template, repeatedly.
pub fn identifiers(source: &str) -> impl Iterator<Item = &str> {
    tokenize(source, false, syntax()).filter_map(|token| match token {
        Ok((Token::Ident(name), _)) => Some(name),
        _ => None,
    })
}

/// The main function of a child.
pub fn main() -> ExitCode {
    match child::limit_resources().and_then(|()| work()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn work() -> std::io::Result<()> {
    let RenderTask::<String, serde_json::Map<String, Json>> { source, names } =
        serde_json::from_reader(std::io::stdin().lock())?;
    // As the server makes them, so that they are printed in the same order.
    let names = names.into_iter().map(|(name, value)| match name.starts_with(FUNCTION_RESULT) {
        true => (name, Value::from(Serde(value))),
        false => (name, variable(value)),
    });
    let names = Value::from_pairs(names);
    let rendered = render_here(&source, &names).map_err(|error| error.to_string());
    serde_json::to_writer(std::io::stdout().lock(), &rendered)?;
    Ok(())
}

/// A variable that is no JSON of the client.
fn variable(json: Json) -> Value {
    match json {
        Json::Array(items) => items.into_iter().map(variable).collect(),
        Json::Object(fields) => {
            Value::from_pairs(fields.into_iter().map(|(name, value)| (name, variable(value))))
        }
        scalar => Value::from(Serde(scalar)),
    }
}
