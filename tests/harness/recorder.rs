//! Records the server's answers in tests, one of each shape, so that `tests/wire` can check them.

use std::cell::Cell;
use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::hash::{DefaultHasher, Hash as _, Hasher};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::UNIX_EPOCH;

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::built;

/// Limit of shapes for each program.
const MAX_SHAPES: usize = 2000;
/// Longer texts are cut to this length, at which base64 data stays valid base64.
const MAX_TEXT: usize = 4096;
/// Fields whose value is a part of the shape. Of other fields only the type counts.
const WORDS: [&str; 9] = [
    "type",
    "status",
    "event_type",
    "modality",
    "outcome",
    "finishReason",
    "service_tier",
    "serviceTier",
    "language",
];

/// The folder with one file for each program. `BELLJAR_TEST_ANSWERS` names another one, for a user
/// who cannot write here.
pub fn folder() -> PathBuf {
    match std::env::var_os("BELLJAR_TEST_ANSWERS") {
        Some(folder) => folder.into(),
        None => built::scratch().join("answers"),
    }
}

/// The kind of JSON.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    Answer,
    /// From a stream of the interactions API.
    Event,
    /// From a stream of `generateContent`.
    Piece,
}

#[derive(Debug)]
struct Recorder {
    file: File,
    shapes: HashSet<u64>,
}

thread_local! {
    /// Whether this thread's test gets answers of another server, or deliberately wrong ones.
    static LEAVES_OUT: Cell<bool> = const { Cell::new(false) };
}

/// Stops recording for this test, whose answers are not the server's own.
pub fn leave_out() {
    LEAVES_OUT.set(true);
}

static RECORDER: LazyLock<Mutex<Recorder>> = LazyLock::new(|| Mutex::new(Recorder::open()));

/// Whether a client asked for enums as numbers. Google's SDKs do not, and their types know names alone.
fn has_enum_numbers(query: &str) -> bool {
    query.contains("enum-encoding")
}

/// The path as the document has it.
fn without_namespace(path: &str) -> &str {
    let Some(rest) = path.strip_prefix("/n/") else { return path };
    rest.find('/').map_or("/", |at| &rest[at..])
}

/// Records an answer if it is the first of its shape. `path` may have a query.
pub fn record(kind: Kind, method: &str, path: &str, status: u16, body: &Value) {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let path = without_namespace(path);
    if has_enum_numbers(query) || LEAVES_OUT.get() || !body.is_object() && !body.is_array() {
        return;
    }
    if let (true, Some(pieces)) = (path.ends_with(":streamGenerateContent"), body.as_array()) {
        return pieces.iter().for_each(|piece| record(Kind::Piece, method, path, status, piece));
    }
    let mut shape = DefaultHasher::new();
    (method, route(path), status).hash(&mut shape);
    shape_of(body, &mut shape);
    let mut recorder = RECORDER.lock();
    if recorder.shapes.len() == MAX_SHAPES || !recorder.shapes.insert(shape.finish()) {
        return;
    }
    let kind = format!("{kind:?}").to_lowercase();
    let line =
        json!({"kind": kind, "method": method, "path": path, "status": status, "body": cut(body)});
    recorder.write(&format!("{line}\n"));
}

impl Recorder {
    /// A new build of a program replaces the file of the old one.
    fn open() -> Recorder {
        let program = std::env::current_exe().expect("it runs");
        let built = fs::metadata(&program).and_then(|about| about.modified()).expect("it is there");
        let built = built.duration_since(UNIX_EPOCH).expect("it is past").as_nanos();
        let name = program.file_name().and_then(|name| name.to_str()).expect("it has a name");
        let name = name.split('-').next().unwrap_or(name);
        let folder = folder();
        fs::create_dir_all(&folder).expect("the folder is ours");
        let own = format!("{name}-{built}.jsonl");
        for other in fs::read_dir(&folder).expect("it was made above").flatten() {
            let file = other.file_name();
            let file = file.to_string_lossy();
            if file != own && file.starts_with(&format!("{name}-")) {
                // Another process may have removed it first.
                let _ = fs::remove_file(other.path());
            }
        }
        let file = OpenOptions::new().append(true).create(true).open(folder.join(own));
        Recorder { file: file.expect("the folder is ours"), shapes: HashSet::new() }
    }

    /// Several test processes append to this file.
    fn write(&mut self, line: &str) {
        self.file.lock().expect("it can be locked");
        self.file.write_all(line.as_bytes()).expect("the disk has space");
        self.file.unlock().expect("it was locked");
    }
}

/// The fixed parts of a path. Ids, as in `/v1beta/interactions/v1_…/cancel`, are removed.
fn route(path: &str) -> Vec<&str> {
    let names = path.split(['/', ':']).filter(|part| part.len() < 30);
    names.filter(|part| !part.contains('_')).collect()
}

fn shape_of(value: &Value, shape: &mut DefaultHasher) {
    std::mem::discriminant(value).hash(shape);
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                name.hash(shape);
                match value.as_str() {
                    Some(word) if WORDS.contains(&name.as_str()) => word.hash(shape),
                    _ => shape_of(value, shape),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| shape_of(value, shape)),
        _ => {}
    }
}

fn cut(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| (name.clone(), cut(value))).collect()
        }
        Value::Array(values) => values.iter().map(cut).collect(),
        Value::String(text) => text.chars().take(MAX_TEXT).collect::<String>().into(),
        other => other.clone(),
    }
}
