//! Isolation tests: each promise is attacked as a client would, through the API, with code.
//!
//! Attacks target only objects that the test itself has created, and each ends by itself. `cases.rs`
//! explains the marks above the tests, such as `[C06]`; the script `run` runs all tests as root and as an
//! ordinary user.

mod attacks;
mod cases;
mod degraded;
mod host;
mod lifecycle;
mod python;
mod resources;

use std::time::{Duration, Instant};

use harness::{Client, direct};
use serde_json::{Value, json};

/// Time limit of a run that needs milliseconds, on a busy machine.
const ALIVE_WITHIN: Duration = Duration::from_secs(10);

/// The result of one run.
#[derive(Debug)]
struct Ran {
    is_error: bool,
    result: String,
    /// MIME type and bytes of the returned images, in order.
    pictures: Vec<(String, Vec<u8>)>,
}

impl Ran {
    #[track_caller]
    fn ok(self) -> String {
        assert!(!self.is_error, "the code failed:\n{}", self.result);
        self.result
    }

    #[track_caller]
    fn failed(self) -> String {
        assert!(self.is_error, "the code did not fail:\n{}", self.result);
        self.result
    }
}

/// Runs code in its own cell.
async fn run(client: &Client, code: &str) -> Ran {
    let reply = client.create(direct(code)).await;
    let mut runs = ran(&reply);
    assert_eq!(runs.len(), 1, "{reply}");
    runs.remove(0)
}

/// Runs code without a model, which returns more details.
async fn execute(client: &Client, code: &str) -> Value {
    execute_within(client, code, Duration::MAX).await
}

/// The same with a shorter time limit.
async fn execute_within(client: &Client, code: &str, limit: Duration) -> Value {
    let limit = if limit == Duration::MAX { Value::Null } else { limit.as_secs_f64().into() };
    let reply = client.post("/x/execute", &json!({"code": code, "timeout_s": limit})).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.body
}

/// After an attack: the next run works, well within a time limit, and has every resource that code needs.
async fn alive(client: &Client) {
    let began = Instant::now();
    assert_eq!(run(client, "print(1)").await.ok(), "1\n");
    let took = began.elapsed();
    assert!(took < ALIVE_WITHIN, "a fresh run took {took:?}");
    let needs = "import os, subprocess, tempfile, threading\n\
        print(os.listdir() + os.listdir(tempfile.gettempdir()))\n\
        open('f', 'wb').write(bytes(1 << 20))\n\
        print(subprocess.run(['cat', 'f'], capture_output=True).stdout.count(0))\n\
        t = threading.Thread(target=print, args=['done']); t.start(); t.join()";
    assert_eq!(run(client, needs).await.ok(), "[]\n1048576\ndone\n");
}

/// Where code may write: the fixed paths of a private root, and other paths on a shared root.
const PLACES: &str =
    "import os, tempfile\nPLACES = [os.getcwd(), tempfile.gettempdir(), '/dev/shm']\n";

/// Whether cells have namespaces and a private root, as the server reports. Without them some promises
/// differ: see `sandbox-image/TIERS.md`.
async fn is_namespaced(client: &Client) -> bool {
    let tier = client.get("/x/isolation").await.body["tier"].clone();
    assert!(
        tier == "namespaced" || tier == "landlocked",
        "these tests do not support the tier {tier}"
    );
    tier == "namespaced"
}

/// Python code without the indentation of the test around it.
fn python(text: &str) -> String {
    let lines = || text.lines().skip_while(|line| line.trim().is_empty());
    let indent = lines().next().map_or(0, |line| line.len() - line.trim_start().len());
    lines().map(|line| line.get(indent..).unwrap_or_default().to_owned() + "\n").collect()
}

/// Runs pieces of code one after another in one cell.
async fn run_all(client: &Client, codes: &[&str]) -> Vec<Ran> {
    let blocks: String = codes.iter().map(|code| format!("```python\n{code}\n```\n")).collect();
    let runs = ran(&client.create(direct(&blocks)).await);
    assert_eq!(runs.len(), codes.len());
    runs
}

fn ran(reply: &Value) -> Vec<Ran> {
    use base64::Engine as _;
    let mut runs: Vec<Ran> = Vec::new();
    for step in reply["steps"].as_array().expect("a reply has steps") {
        match step["type"].as_str() {
            Some("code_execution_result") => runs.push(Ran {
                is_error: step["is_error"] == true,
                result: step["result"].as_str().expect("a result is text").to_owned(),
                pictures: Vec::new(),
            }),
            Some("model_output") => {
                for content in step["content"].as_array().expect("an output has contents") {
                    if content["type"] == "image" {
                        let data = content["data"].as_str().expect("a picture is base64");
                        let data = base64::engine::general_purpose::STANDARD.decode(data);
                        let kind = content["mime_type"].as_str().expect("it has a type").to_owned();
                        let run = runs.last_mut().expect("a picture comes after a run");
                        run.pictures.push((kind, data.expect("a picture is base64")));
                    }
                }
            }
            _ => {}
        }
    }
    runs
}

/// Code that evaluates each expression of a list and prints a line for each: `ok`, or the name of the
/// exception and its error number.
fn try_each(setup: &str, expressions: &[&str]) -> String {
    let tries: String = expressions
        .iter()
        .map(|expression| {
            format!(
                "try:\n    {expression}\n    print('ok')\n\
                 except BaseException as e:\n    print(type(e).__name__, getattr(e, 'errno', None))\n"
            )
        })
        .collect();
    format!("{setup}\n{tries}")
}
