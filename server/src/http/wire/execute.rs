//! The request and the response of `/x/execute`, which is not a Google API.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use protocol::MAX_INPUT_FILES;
use serde_json::{Value, json};

use super::WireError;
use super::content::decode;
use super::json_reader::{Node, ObjectReader};
use crate::engine::RunReport;
use crate::http::response::pieces::base64;
use sandbox_client::RunOutput;

/// The code to run, and its files.
#[derive(Debug, PartialEq, Eq)]
pub struct Execute {
    pub code: String,
    pub files: Vec<(String, Bytes)>,
    pub timeout: Option<Duration>,
}

pub fn read(body: Value) -> Result<Execute, WireError> {
    let mut fields = Node::root(body).object()?;
    let code = fields.require("code")?.string()?;
    let timeout = fields.take("timeout_s").map(seconds).transpose()?;
    let files = files(&mut fields)?;
    fields.done()?;
    Ok(Execute { code, files, timeout })
}

/// The files that code is given, from the field `files`.
pub fn files(fields: &mut ObjectReader) -> Result<Vec<(String, Bytes)>, WireError> {
    let (mut files, mut names) = (Vec::new(), HashSet::new());
    for node in fields.take("files").map(Node::list).transpose()?.unwrap_or_default() {
        if files.len() == MAX_INPUT_FILES {
            return Err(node.wrong(format!("more than {MAX_INPUT_FILES} files")));
        }
        let mut file = node.object()?;
        let name = plain_name(file.require("name")?)?;
        if !names.insert(name.clone()) {
            return Err(file.wrong(format!("two files are named '{name}'")));
        }
        files.push((name, decode(file.require("data")?)?));
        file.done()?;
    }
    Ok(files)
}

pub fn seconds(node: Node) -> Result<Duration, WireError> {
    match Duration::try_from_secs_f64(node.number()?) {
        Ok(time) if !time.is_zero() => Ok(time),
        _ => Err(node.wrong("must be a number of seconds above 0")),
    }
}

/// Files are stored directly in the work directory.
fn plain_name(node: Node) -> Result<String, WireError> {
    let Value::String(name) = node.value() else {
        return Err(node.not("a string"));
    };
    let why = match name.as_str() {
        "" => "must not be empty",
        name if name.len() > 255 => "longer than 255 bytes",
        name if name.contains('/') => "must be a plain name, not a path",
        name if name.starts_with('.') => "must not start with a dot",
        name if name.contains(char::is_control) => "must not contain control characters",
        _ => return node.string(),
    };
    Err(node.wrong(why))
}

pub fn answer(output: &RunOutput) -> Value {
    let report = RunReport::new(output);
    let images = output
        .images
        .iter()
        .map(|image| json!({"mime_type": image.mime_type, "data": base64(&image.data)}));
    let files =
        output.files.iter().map(|file| json!({"name": file.path, "data": base64(&file.content)}));
    let finished = &output.finished;
    let mut answer = json!({
        "outcome": report.outcome.as_str(),
        "stdout": report.stdout,
        "stdout_bytes_left_out": output.stdout_left_out,
        "stderr": report.stderr,
        "stderr_bytes_left_out": output.stderr_left_out,
        "images": images.collect::<Vec<_>>(),
        "images_left_out": finished.images_left_out,
        "files": files.collect::<Vec<_>>(),
        "files_left_out": finished.files_left_out,
        "usage": {
            "wall_ms": finished.usage.wall_us as f64 / 1000.0,
            "cpu_ms": finished.usage.cpu_us as f64 / 1000.0,
            "peak_memory_bytes": finished.usage.peak_memory_bytes,
        },
        "isolation": {"tier": output.tier},
    });
    if let Some(limit) = finished.outcome.limit() {
        answer["limit"] = json!({"name": limit.name(), "value": limit.value()});
    }
    answer
}
