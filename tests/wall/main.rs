//! What the wall promises, each promise attacked as a client would: through the API, with code.
//!
//! Every attack reaches only for what the test itself has set up, and carries its own end. What the
//! marks above them mean, such as `[C06]`, stands in `cases.rs`; `run` beside it tries all of it as
//! root and as an ordinary user.

#[path = "../harness/mod.rs"]
mod harness;

mod accidents;
mod arguments;
mod bombs;
mod cases;
mod collected;
mod crowd;
mod degraded;
mod devices;
mod dice;
mod drawing;
mod escapes;
mod files;
mod fonts;
mod growth;
mod hoards;
mod host;
mod information;
mod ipc;
mod kernel;
mod kits;
mod left_open;
mod libraries;
mod limits;
mod memory;
mod neighbours;
mod network;
mod nothing_left;
mod out_of_memory;
mod output;
mod pictures;
mod processes;
mod races;
mod rest;
mod results;
mod secrets;
mod shared;
mod signals;
mod slow_readers;
mod source;
mod spawned;
mod state;
mod streams;
mod syscalls;
mod tampering;
mod time;

use std::time::{Duration, Instant};

use harness::{Client, direct};
use serde_json::{Value, json};

/// For a run that needs milliseconds, on a machine that has other things to do.
const ALIVE_WITHIN: Duration = Duration::from_secs(10);

/// What came of one run.
#[derive(Debug)]
struct Ran {
    is_error: bool,
    result: String,
    /// MIME type and bytes of the pictures that came back, in their order.
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

/// Runs code in a cell of its own.
async fn run(client: &Client, code: &str) -> Ran {
    let reply = client.create(direct(code)).await;
    let mut runs = ran(&reply);
    assert_eq!(runs.len(), 1, "{reply}");
    runs.remove(0)
}

/// Runs code without a model: what came of it is told in more detail.
async fn execute(client: &Client, code: &str) -> Value {
    execute_within(client, code, Duration::MAX).await
}

/// The same, in less time than everybody has.
async fn execute_within(client: &Client, code: &str, limit: Duration) -> Value {
    let limit = if limit == Duration::MAX { Value::Null } else { limit.as_secs_f64().into() };
    let reply = client.post("/x/execute", &json!({"code": code, "timeout_s": limit})).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.body
}

/// After an attack: the next run works, before a time limit would end it, and has all that code needs.
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

/// Where code may write: what it is called on a root of the cell's own, and elsewhere on the machine's.
const PLACES: &str =
    "import os, tempfile\nPLACES = [os.getcwd(), tempfile.gettempdir(), '/dev/shm']\n";

/// Whether cells have namespaces and a root of their own, as the server says. Where they have not, some
/// promises are others: `sandbox-image/TIERS.md` has them all.
async fn is_namespaced(client: &Client) -> bool {
    let tier = client.get("/x/isolation").await.body["tier"].clone();
    assert!(tier == "namespaced" || tier == "landlocked", "the battery is not for {tier}");
    tier == "namespaced"
}

/// Python as it stands in a test, without the test's own indentation.
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

/// Code that tries each expression of a list and prints what came of it, a line each: `ok` or the
/// name of the exception.
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
