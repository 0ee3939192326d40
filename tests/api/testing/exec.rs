//! `belljar exec`: a command with a server of its own.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use harness::{below, libraries, socket};

const GONE_WITHIN: Duration = Duration::from_secs(10);

/// Sends a request to the server that the variables name, as any client would, and prints the reply.
const ASK: &str = r#"
import json, os, urllib.request
key, url = os.environ["GEMINI_API_KEY"], os.environ["GOOGLE_GEMINI_BASE_URL"]
for name in ("GOOGLE_API_KEY", "GOOGLE_GENERATIVE_AI_API_KEY"):
    assert os.environ[name] == key, name
for name, path in (("GOOGLE_VERTEX_BASE_URL", ""), ("VERTEXAI_API_BASE", ""), ("GEMINI_API_BASE", "/v1beta")):
    assert os.environ[name] == url + path, name
# Set, so that a file of variables does not set them, and empty, so that they count as unset.
assert os.environ["GOOGLE_CLOUD_PROJECT"] == os.environ["GOOGLE_CLOUD_LOCATION"] == ""
# The program's own choice of a service, and no credentials unless they are requested.
assert os.environ["GOOGLE_GENAI_USE_VERTEXAI"] == "true" and "GOOGLE_APPLICATION_CREDENTIALS" not in os.environ
request = urllib.request.Request(
    os.environ["GOOGLE_GEMINI_BASE_URL"] + "/v1beta/interactions",
    json.dumps({"model": "direct", "input": "print(6 * 7)", "tools": [{"type": "code_execution"}]}).encode(),
    {"x-goog-api-key": os.environ["GEMINI_API_KEY"]},
)
print(json.load(urllib.request.urlopen(request))["steps"][1]["result"], end="")
"#;

fn exec(command: &[&str]) -> Command {
    let mut belljar = Command::new(harness::belljar());
    belljar
        .args(["exec", "--sandbox-socket"])
        .arg(socket())
        .arg("--")
        .args(command)
        .env_remove("BELLJAR_API_KEYS")
        .stdin(Stdio::null());
    belljar
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("it is text")
}

#[test]
fn a_command_gets_its_server_and_exclusive_use_of_the_terminal() {
    for keys in ["", "first,second"] {
        let Output { status, stdout, stderr } = exec(&["python3", "-c", ASK])
            .env("BELLJAR_API_KEYS", keys)
            // Proxy settings must not lead the client past the server.
            .env("http_proxy", "http://127.0.0.1:9")
            .env("GOOGLE_API_KEY", "a real one")
            .env("GOOGLE_CLOUD_PROJECT", "a real one")
            .env_remove("GOOGLE_APPLICATION_CREDENTIALS")
            .env("GOOGLE_GENAI_USE_VERTEXAI", "true")
            .output()
            .expect("it is a program");
        assert!(status.success(), "{}", text(&stderr));
        assert_eq!((text(&stdout), text(&stderr)), ("42\n", ""));
    }
}

/// Fetches a token as Google's libraries do, and sends a request of Vertex AI with it.
const LOG_IN: &str = r#"
import json, os, stat, urllib.parse, urllib.request
path = os.environ["GOOGLE_APPLICATION_CREDENTIALS"]
assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
file = json.load(open(path))
form = {"grant_type": "refresh_token", "refresh_token": file["refresh_token"]}
answer = urllib.request.urlopen(file["token_url"], urllib.parse.urlencode(form).encode())
request = urllib.request.Request(
    os.environ["GOOGLE_VERTEX_BASE_URL"] + "/v1beta1/projects/p/locations/l/publishers/google/models/direct:countTokens",
    json.dumps({"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}).encode(),
    {"authorization": "Bearer " + json.load(answer)["access_token"]},
)
print(json.load(urllib.request.urlopen(request))["totalTokens"], end="")
"#;

#[test]
fn a_client_of_vertex_logs_in_with_the_credentials_file() {
    for keys in ["", "first,second"] {
        let mut belljar = Command::new(harness::belljar());
        belljar.args(["exec", "--fake-credentials", "--sandbox-socket"]).arg(socket());
        belljar.args(["--", "python3", "-c", LOG_IN]).env("BELLJAR_API_KEYS", keys);
        let Output { status, stdout, stderr } = belljar.output().expect("it is a program");
        assert!(status.success(), "{}", text(&stderr));
        assert_eq!(text(&stdout), "2", "{}", text(&stderr));
    }
}

#[test]
fn the_exit_code_is_that_of_the_command() {
    for (command, wanted) in [
        (&["true"][..], 0),
        (&["sh", "-c", "exit 7"], 7),
        (&["sh", "-c", "kill -TERM $$"], 128 + 15),
        (&["sh", "-c", "kill -KILL $$"], 128 + 9),
        (&["no-such-command"], 127),
        (&["/etc/passwd"], 126),
    ] {
        let Output { status, stderr, .. } = exec(command).output().expect("it is a program");
        assert_eq!(status.code(), Some(wanted), "{command:?}: {}", text(&stderr));
    }
}

/// Prints `up`, and the name of each signal; ends with 3 after it.
const REPORTS_SIGNALS: &str = r#"
import signal, sys
def on_signal(number, _):
    print(signal.Signals(number).name, flush=True)
    sys.exit(3)
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, on_signal)
print("up", flush=True)
while True:
    signal.pause()
"#;

/// The process, and the lines that its command prints.
fn until_up(mut belljar: Command) -> (Child, std::io::Lines<BufReader<std::process::ChildStdout>>) {
    let mut child = belljar.stdout(Stdio::piped()).spawn().expect("it is a program");
    let stdout = child.stdout.take().expect("it is piped");
    let mut lines = BufReader::new(stdout).lines();
    let first = lines.next().expect("the command prints something").expect("it is text");
    assert_eq!(first, "up");
    (child, lines)
}

fn send(signal: Signal, child: &Child) {
    let id = i32::try_from(child.id()).expect("Linux has smaller numbers");
    kill_process(Pid::from_raw(id).expect("no process is 0"), signal).expect("it is our child");
}

#[test]
fn signals_are_forwarded_to_the_command() {
    for (signal, name) in
        [(Signal::INT, "SIGINT"), (Signal::TERM, "SIGTERM"), (Signal::HUP, "SIGHUP")]
    {
        let (mut child, mut lines) = until_up(exec(&["python3", "-c", REPORTS_SIGNALS]));
        send(signal, &child);
        assert_eq!(lines.next().expect("it got the signal").expect("it is text"), name);
        assert_eq!(child.wait().expect("it is our child").code(), Some(3));
    }
}

#[test]
fn no_files_or_processes_remain() {
    let scratch = tempfile::tempdir().expect("the temporary folder can be created");
    let home = tempfile::tempdir().expect("the temporary folder can be created");
    let mut belljar = Command::new(harness::belljar());
    belljar
        .args(["exec", "--libraries"])
        .arg(libraries())
        .args(["--", "python3", "-c", REPORTS_SIGNALS])
        .env("TMPDIR", scratch.path())
        .env("HOME", home.path())
        .env_remove("XDG_DATA_HOME");
    let (mut child, _lines) = until_up(belljar);
    let processes = below(child.id());
    assert!(processes.len() > 3, "the command, the warden, a zygote and standbys: {processes:?}");

    send(Signal::TERM, &child);
    let status = child.wait().expect("it is our child");

    assert_eq!((status.code(), status.signal()), (Some(3), None));
    // Processes killed with their parent are reaped a moment after it.
    let deadline = Instant::now() + GONE_WITHIN;
    let is_there = |id: i32| Pid::from_raw(id).is_some_and(|id| test_kill_process(id).is_ok());
    while let Some(left) = processes.iter().find(|id| is_there(**id)) {
        assert!(Instant::now() < deadline, "{left} still runs");
        std::thread::yield_now();
    }
    for folder in [&scratch, &home] {
        let left: Vec<_> = folder.path().read_dir().expect("it is ours").collect();
        assert!(left.is_empty(), "{left:?}");
    }
}
