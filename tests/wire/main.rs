//! The wire format: whether Google's SDKs know everything that the server sends, whether the answers
//! conform to the OpenAPI document, and whether Schemathesis finds errors with that document.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;
use std::time::UNIX_EPOCH;

use harness::{Client, Program, recorder};
use regex::Regex;
use serde_json::{Value, json};

const HERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/wire");

/// Answers that must be present; otherwise the answers are not those of the API tests.
const NEEDED: [&str; 14] = [
    "/interactions answer 200",
    "/interactions answer 400",
    "/interactions interaction.created",
    "/interactions interaction.status_update",
    "/interactions step.start",
    "/interactions step.delta",
    "/interactions step.stop",
    "/interactions interaction.completed",
    "/interactions error",
    "/models answer 200",
    "/models piece 200",
    "/models answer 404",
    "/files answer 200",
    "/x/execute answer 200",
];

/// The answers that the API tests got from this build of the server. Runs the API tests if they have not
/// run yet, so that the test programs may run in any order.
static ANSWERS: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let answers = recorded();
    if missing(&answers).is_empty() {
        return answers;
    }
    let passed =
        Command::new(env!("CARGO")).args(["test", "-p", "tests", "--test", "api"]).status();
    assert!(passed.expect("cargo built this program").success(), "the API tests failed; see above");
    let answers = recorded();
    let missing = missing(&answers);
    assert!(missing.is_empty(), "there is no {missing:?} among {} answers", answers.len());
    answers
});

/// The recorded answers that are not older than the server.
fn recorded() -> Vec<Value> {
    let built = |path: &Path| {
        let built = fs::metadata(path).and_then(|about| about.modified()).expect("it is there");
        built.duration_since(UNIX_EPOCH).expect("it is past")
    };
    let server = built(&harness::belljar());
    let files = fs::read_dir(recorder::folder()).into_iter().flatten().flatten();
    let current = files.map(|file| file.path()).filter(|file| built(file) > server);
    let texts = current.map(|file| fs::read_to_string(file).expect("it is text"));
    let parsed = |line: &str| serde_json::from_str(line).expect("it is JSON");
    texts.flat_map(|text| text.lines().map(parsed).collect::<Vec<Value>>()).collect()
}

/// The kinds of answers that must be present, and are not.
fn missing(answers: &[Value]) -> Vec<&'static str> {
    let seen: BTreeSet<String> = answers.iter().filter_map(kind_of).collect();
    NEEDED.into_iter().filter(|name| !seen.contains(*name)).collect()
}

fn kind_of(answer: &Value) -> Option<String> {
    let path = answer["path"].as_str()?;
    let place = ["/interactions", "/models", "/files", "/x/execute"];
    let place = place.iter().find(|place| path.contains(**place))?;
    let kind = answer["kind"].as_str()?;
    Some(match kind {
        "event" => format!("{place} {}", answer["body"]["event_type"].as_str()?),
        _ => format!("{place} {kind} {}", answer["status"]),
    })
}

#[test]
fn every_answer_is_known_to_googles_sdks() {
    let lines: Vec<String> = ANSWERS.iter().map(Value::to_string).collect();
    let scratch = tempfile::tempdir().expect("there is a place for temporary files");
    let file = scratch.path().join("answers.jsonl");
    fs::write(&file, lines.join("\n")).expect("the disk has space");
    let passed = Command::new(Path::new(HERE).join("known")).arg(&file).status();
    assert!(
        passed.expect("the script is there").success(),
        "an SDK does not know a member; its output is above"
    );
}

#[tokio::test]
async fn everything_in_the_newest_sdk_is_served_or_declined_with_a_reason() {
    let server = harness::TestServer::start("").await;
    let document = server.get("/openapi.json").await.body;
    let scratch = tempfile::tempdir().expect("there is a place for temporary files");
    let file = scratch.path().join("openapi.json");
    fs::write(&file, document.to_string()).expect("the disk has space");
    let passed = Command::new(Path::new(HERE).join("newest")).arg(&file).status();
    assert!(
        passed.expect("the script is there").success(),
        "the newest SDK and tests/wire/python/declined.toml differ; see above"
    );
}

/// A path of the document as a pattern. Its operations name the versions that it has.
fn pattern(path: &str, operations: &Value) -> Regex {
    let all = operations.as_object().into_iter().flat_map(|operations| operations.values());
    let parameters = all.filter_map(|operation| operation["parameters"].as_array()).flatten();
    let mut versions = parameters.filter(|parameter| parameter["name"] == "version");
    let versions = versions.find_map(|version| version["schema"]["enum"].as_array());
    let versions = versions.into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>();
    let gap = Regex::new(r"\\\{[a-z]+\\\}").expect("it is one");
    let pattern = regex::escape(path).replace(r"\{version\}", &format!("({})", versions.join("|")));
    let pattern = gap.replace_all(&pattern, "[^/:]+").into_owned();
    Regex::new(&format!("^{pattern}$")).expect("it was escaped")
}

#[tokio::test]
async fn every_answer_conforms_to_the_document() {
    let server = harness::TestServer::start("").await;
    let document = server.get("/openapi.json").await.body;
    let paths = document["paths"].as_object().expect("it is one");
    let paths: Vec<(Regex, &Value)> =
        paths.iter().map(|(path, operations)| (pattern(path, operations), operations)).collect();
    let (mut held, mut unlike) = (0, Vec::new());
    for answer in &*ANSWERS {
        let Some(schema) = schema_of(answer, &paths) else { continue };
        let mut whole = schema.clone();
        whole["components"] = document["components"].clone();
        let validator = jsonschema::validator_for(&whole).expect("it is a schema");
        held += 1;
        if let Some(error) = validator.iter_errors(&answer["body"]).next() {
            unlike.push(format!("{answer}\n  does not fit {schema}:\n  {error}"));
        }
    }
    assert!(unlike.is_empty(), "{} of {held}:\n{}", unlike.len(), unlike.join("\n"));
    assert!(held > 200, "only {held} answers were checked");
}

/// The schema of an answer in the document, or `None` for an undocumented request.
fn schema_of<'a>(answer: &Value, paths: &[(Regex, &'a Value)]) -> Option<&'a Value> {
    let path = answer["path"].as_str()?;
    let mut of_path = paths.iter().filter(|(pattern, _)| pattern.is_match(path));
    let operations = of_path.next()?.1;
    let method = answer["method"].as_str()?.to_lowercase();
    let kind = answer["kind"].as_str()?;
    let operation = match kind {
        // A stream is of a new interaction or of an existing one.
        "event" => operations.get("get").or_else(|| operations.get("post")),
        _ => operations.get(&method),
    }?;
    let status = answer["status"].as_u64()?;
    let media = if kind == "answer" { "application/json" } else { "text/event-stream" };
    let (status, media) = match status {
        200 => ("200", media),
        400..500 => ("4XX", "application/json"),
        _ => ("5XX", "application/json"),
    };
    if kind == "piece" && answer["body"].get("error").is_some() {
        return None; // the classic envelope, as in a whole reply
    }
    let schema = &operation["responses"][status]["content"][media]["schema"];
    // For an event, the schema of its data.
    Some(schema.pointer("/anyOf/0/properties/data/contentSchema").unwrap_or(schema))
}

/// One minute here; `make schemathesis` runs for ten.
#[test]
fn schemathesis_finds_nothing() {
    let data = tempfile::tempdir().expect("there is a place for temporary files");
    let server = Program::start(data.path(), &[]);
    let passed = Command::new(Path::new(HERE).join("schemathesis")).arg(server.url()).status();
    assert!(passed.expect("the script is there").success(), "it found something; see above");
    // The server is still running.
    let runtime = tokio::runtime::Runtime::new().expect("there are threads");
    let alive = runtime.block_on(Client::new(server.url().to_owned()).get("/healthz"));
    assert_eq!(alive.body, json!({"status": "ok"}));
}
