//! The program's output at a terminal: its log, its first lines and its last lines.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use harness::{libraries, socket};

/// Limit for a line to be written, and for a program that was asked to end at once.
const WITHIN: Duration = Duration::from_secs(20);
/// A stop that waits for running interactions takes all of this.
const GRACE: &str = "60s";

const SCENARIOS: &str = "
scenarios:
  - name: the answer
    when: { input: { contains: six times seven } }
    script:
      - code: print(6 * 7)
      - text: It is {{ stdout | trim }}.
  - name: too many
    when: { input: { contains: again } }
    script:
      - fail: { status: 429 }
";

/// A `belljar` whose standard error is read while it runs. Killed when dropped.
struct Console {
    process: Child,
    stdout: BufReader<std::process::ChildStdout>,
    lines: Arc<(Mutex<Vec<String>>, Condvar)>,
    /// Temporary files, removed after the program is killed.
    scratch: Option<tempfile::TempDir>,
}

fn belljar(arguments: &[&str]) -> Command {
    let mut command = Command::new(harness::belljar());
    command.args(arguments).stdin(Stdio::null());
    for name in ["BELLJAR_API_KEYS", "BELLJAR_LOG", "NO_COLOR", "CLICOLOR_FORCE"] {
        command.env_remove(name);
    }
    command
}

fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    output_of(&mut belljar(arguments))
}

fn output_of(command: &mut Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().expect("it is a program");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it is text");
    (status.code(), text(stdout), text(stderr))
}

impl Console {
    fn start(mut command: Command) -> Console {
        let mut process =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it is a program");
        let lines = Arc::<(Mutex<Vec<String>>, Condvar)>::default();
        let stderr = BufReader::new(process.stderr.take().expect("it is piped"));
        let received = Arc::clone(&lines);
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                received.0.lock().push(line);
                received.1.notify_all();
            }
        });
        let stdout = BufReader::new(process.stdout.take().expect("it is piped"));
        Console { process, stdout, lines, scratch: None }
    }

    /// A server with no data folder that uses the tests' warden, and its address.
    fn serve(arguments: &[&str], change: impl FnOnce(&mut Command)) -> (Console, String) {
        Console::serve_on("127.0.0.1:0", arguments, change)
    }

    /// The same with this value for `--listen`.
    fn serve_on(
        listen: &str,
        arguments: &[&str],
        change: impl FnOnce(&mut Command),
    ) -> (Console, String) {
        let mut command = belljar(&["serve", "--listen", listen, "--ephemeral"]);
        command.arg("--sandbox-socket").arg(socket()).args(arguments);
        let scratch = tempfile::tempdir().expect("the temporary folder can be created");
        command.env("TMPDIR", scratch.path());
        change(&mut command);
        let mut console = Console::start(command);
        console.scratch = Some(scratch);
        let line = console.stdout_line();
        let url = line.strip_prefix("belljar listening on http://").expect(&line).to_owned();
        (console, url)
    }

    fn stdout_line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("it is text");
        line.trim_end().to_owned()
    }

    /// Waits for a line that contains all of these words.
    fn line(&self, words: &[&str]) -> String {
        let (lines, changed) = &*self.lines;
        let deadline = Instant::now() + WITHIN;
        let mut lines = lines.lock();
        loop {
            let fits = |line: &&String| words.iter().all(|word| line.contains(word));
            if let Some(line) = lines.iter().find(fits) {
                return line.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no line has {words:?}:\n{}", lines.join("\n"));
            changed.wait_for(&mut lines, left);
        }
    }

    fn all(&self) -> String {
        self.lines.0.lock().join("\n")
    }

    fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.process.id()).expect("Linux has smaller numbers");
        let id = Pid::from_raw(id).expect("no process is 0");
        kill_process(id, signal).expect("it is our child");
    }

    /// Waits for the program to end.
    fn ends(&mut self) -> Option<i32> {
        let deadline = Instant::now() + WITHIN;
        loop {
            if let Some(status) = self.process.try_wait().expect("it is our child") {
                return status.code();
            }
            assert!(Instant::now() < deadline, "it does not end:\n{}", self.all());
            std::thread::yield_now();
        }
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn send(address: &str, request: &str, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("the server listens");
    let length = body.len();
    let head = format!(
        "{request} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n"
    );
    write!(stream, "{head}\r\n{body}").expect("the server reads");
    stream
}

fn ask(address: &str, request: &str, body: &str) -> String {
    let mut answer = Vec::new();
    send(address, request, body).read_to_end(&mut answer).expect("the server answers");
    String::from_utf8_lossy(&answer).into_owned()
}

fn request_id(answer: &str) -> &str {
    let (_, rest) = answer.split_once("x-request-id: ").expect(answer);
    rest.lines().next().unwrap_or_default()
}

fn interaction(model: &str, input: &str, stream: bool) -> String {
    serde_json::json!({
        "model": model, "input": input, "stream": stream, "tools": [{"type": "code_execution"}],
    })
    .to_string()
}

fn scenarios() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("the temporary folder can be created");
    std::fs::write(folder.path().join("a.yaml"), SCENARIOS).expect("the folder is ours");
    folder
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a temporary path is text")
}

const CREATE: &str = "POST /v1beta/interactions";

#[test]
fn each_request_is_logged_once_with_its_outcome_and_responder() {
    let folder = scenarios();
    let (mut server, at) = Console::serve(&["--scenarios", text(folder.path())], |_| {});

    let answer = ask(&at, CREATE, &interaction("m", "What is six times seven?", false));
    let line = server.line(&[request_id(&answer)]);
    for part in [
        " INFO server::request: request completed method=POST path=/v1beta/interactions status=200",
        "answered_by=\"scenario\" scenario=\"the answer\" runs=1 failed_runs=0",
        "interaction.id=\"v1_",
        "interaction.status=\"completed\"",
        "duration_ms=",
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
    let answer = ask(&at, CREATE, &interaction("m", "Geheim: which scenario is this?", false));
    let line = server.line(&[request_id(&answer)]);
    assert!(line.contains(" WARN ") && line.contains("request rejected"), "{line}");
    assert!(line.contains("status=400") && line.contains("error=\"invalid_request\""), "{line}");

    // A failure that the scenario orders is not an error of the server.
    let answer = ask(&at, CREATE, &interaction("m", "and again", false));
    let line = server.line(&[request_id(&answer)]);
    assert!(line.contains(" INFO ") && line.contains("status=429"), "{line}");
    assert!(line.contains("scenario=\"too many\" error=\"resource_exhausted\""), "{line}");

    let answer = ask(&at, CREATE, &interaction("direct", "geheim = 1 / 0", true));
    let line = server.line(&[request_id(&answer)]);
    assert!(line.contains("answered_by=\"direct\" runs=1 failed_runs=1"), "{line}");
    let events = answer.matches("\ndata: ").count();
    assert!(line.contains(&format!(" events={events} ")), "{events}: {line}");

    let fault =
        format!("{CREATE} HTTP/1.1\r\nx-belljar-fault: {{\"status\":503}}\r\nx-a: b\r\nx-c:");
    let answer = ask(&at, fault.trim_end_matches(" HTTP/1.1"), "{}");
    let line = server.line(&[request_id(&answer)]);
    assert!(line.contains(" INFO ") && line.contains("status=503"), "{line}");
    assert!(line.contains("answered_by=\"fault\""), "{line}");

    let answer = ask(&at, "POST /x/execute", "{\"code\": \"geheim\"}");
    let line = server.line(&[request_id(&answer)]);
    assert!(line.contains("answered_by=\"sandbox\" runs=1 failed_runs=1"), "{line}");

    let answer = ask(&at, "GET /v1beta/models?key=geheim", "");
    let line = server.line(&[request_id(&answer)]);
    assert!(line.contains("path=/v1beta/models status=200"), "{line}");
    let answer = ask(&at, "GET /nowhere", "");
    assert!(server.line(&[request_id(&answer)]).contains("status=404"));
    let answer = ask(&at, "HEAD /docs", "");
    let line = server.line(&[request_id(&answer)]);
    assert!(line.contains("request completed method=HEAD"), "{line}");

    // Neither a client that waits for its reply nor one that reads a stream.
    for stream in [false, true] {
        let body = interaction("direct", "while True: pass", stream);
        let mut connection = send(&at, CREATE, &body);
        if stream {
            connection.read_exact(&mut [0; 15]).expect("it has begun");
        } else {
            // Nothing is logged before the end, so the journal shows whether it has begun.
            while !ask(&at, "GET /x/journal", "").contains("while True: pass") {}
        }
        drop(connection);
        let status = if stream { "status=200" } else { "path=/v1beta/interactions duration_ms" };
        server.line(&["client disconnected", status]);
    }

    let answer = ask(&at, "GET /healthz", "");
    let probe = request_id(&answer).to_owned();
    server.signal(Signal::TERM);
    assert_eq!(server.ends(), Some(0));
    let all = server.all();
    assert!(!all.contains(&probe), "probes are not logged: {all}");
    assert!(!all.to_lowercase().contains("geheim"), "{all}");
    assert!(!all.contains("six times") && !all.contains("print("), "{all}");
    assert!(!all.contains('\u{1b}'), "colours in a file: {all}");
    let count = all
        .lines()
        .filter(|line| line.contains(" server::request: ") && !line.contains("path=/x/journal"));
    let count = count.count();
    assert_eq!(count, 11, "a line for each request: {all}");
}

#[test]
fn the_log_is_json_when_configured() {
    let (mut server, at) = Console::serve(&["--log-format", "json"], |_| {});
    let answer = ask(&at, CREATE, &interaction("direct", "print(1)", false));
    server.line(&[request_id(&answer)]);
    server.signal(Signal::INT);
    assert_eq!(server.ends(), Some(0));
    let all = server.all();
    let events: Vec<Value> =
        all.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let event = events.iter().find(|event| event["message"] == "request completed");
    let event = event.expect(&all);
    assert_eq!((&event["status"], &event["runs"]), (&200.into(), &1.into()), "{event}");
    assert_eq!(event["request.id"], request_id(&answer));
    let ready = events.iter().find(|event| event["message"] == "server ready").expect(&all);
    assert_eq!(ready["url"], format!("http://{at}"));
}

#[test]
fn colours_are_used_on_terminals_and_when_forced() {
    for (variable, has_colours) in [("CLICOLOR_FORCE", true), ("NO_COLOR", false)] {
        let (mut server, at) = Console::serve(&[], |command| {
            command.env(variable, "1");
        });
        ask(&at, "GET /v1beta/models", "");
        let line = server.line(&["request completed"]);
        assert_eq!(line.contains('\u{1b}'), has_colours, "{line}");
        server.signal(Signal::TERM);
        server.ends();
    }
}

#[test]
fn debug_level_excludes_dependencies() {
    let folder = scenarios();
    let flags = ["--scenarios", text(folder.path())];
    let (mut server, at) = Console::serve(&flags, |command| {
        command.env("BELLJAR_LOG", "trace");
    });
    ask(&at, "GET /healthz", "");
    server.line(&["DEBUG server::request: ", "path=/healthz"]);
    ask(&at, CREATE, &interaction("m", "What is six times seven?", false));
    server.signal(Signal::TERM);
    assert_eq!(server.ends(), Some(0));
    let all = server.all();
    for name in ["sqlx", "globset", "mio", "hyper", "notify", "h2"] {
        assert!(!all.contains(&format!(" {name}::")), "{all}");
    }
    assert!(!all.contains("six times"), "{all}");
}

#[test]
fn localhost_answers_on_both_loopback_addresses() {
    let has_ipv6 = std::net::TcpListener::bind("[::1]:0").is_ok();
    for listen in ["0", "localhost:0", "127.0.0.1:0"] {
        let (mut server, at) = Console::serve_on(listen, &[], |_| {});
        let port = at.strip_prefix("127.0.0.1:").expect("the line names the address of IPv4");
        let other = format!("[::1]:{port}");
        assert!(ask(&at, "GET /healthz", "").starts_with("HTTP/1.1 200 "), "{listen}");
        if has_ipv6 && listen != "127.0.0.1:0" {
            assert!(ask(&other, "GET /healthz", "").starts_with("HTTP/1.1 200 "), "{listen}");
            server.line(&["address ", &format!("http://{at}, http://{other}")]);
        } else {
            TcpStream::connect(&other).expect_err("nothing listens there");
        }
        server.signal(Signal::TERM);
        assert_eq!(server.ends(), Some(0));
    }
}

#[test]
fn a_port_in_use_on_one_address_family_is_reported_with_its_address() {
    let taken = ["127.0.0.1:0", "[::1]:0"].map(std::net::TcpListener::bind);
    for other in taken.into_iter().flatten() {
        let address = other.local_addr().expect("it is bound");
        let listen = format!("localhost:{}", address.port());
        let (code, _, stderr) = run(&["serve", "--ephemeral", "--listen", &listen]);
        assert_eq!(code, Some(1), "{stderr}");
        for part in [&format!("could not listen on {address}"), "already in use", "--listen PORT"] {
            assert!(stderr.contains(part), "{part} is missing in {stderr}");
        }
    }
}

#[test]
fn the_banner_lists_models_settings_and_the_address() {
    let folder = scenarios();
    let (mut server, at) = Console::serve(&["--scenarios", text(folder.path())], |command| {
        command.env("BELLJAR_API_KEYS", "geheim");
    });
    server.line(&["export GOOGLE_GEMINI_BASE_URL=http://", &at, "GEMINI_API_KEY=KEY"]);
    server.signal(Signal::TERM);
    assert_eq!(server.ends(), Some(0));
    let all = server.all();
    for part in [
        concat!("Belljar ", env!("CARGO_PKG_VERSION")).to_owned(),
        format!("address    http://{at}"),
        format!("http://{at}/docs"),
        format!("2 in {}", text(folder.path())),
        "direct, *".to_owned(),
        "deleted when the server stops".to_owned(),
        "keys       1, required".to_owned(),
        "isolation  namespaced".to_owned(),
    ] {
        assert!(all.contains(&part), "{part} is missing in {all}");
    }
    assert!(!all.contains("geheim"), "{all}");
    assert_eq!(server.stdout_line(), "", "nothing else is on standard output");
}

#[test]
fn a_server_without_scenarios_names_the_searched_folders() {
    let folder = tempfile::tempdir().expect("the temporary folder can be created");
    let (mut server, at) = Console::serve(&[], |command| {
        command.current_dir(folder.path());
    });
    let looked = folder.path().join("scenarios");
    server.line(&["scenarios  none: ", text(&looked)]);
    let answer = ask(&at, CREATE, &interaction("m", "Hi", false));
    assert!(answer.contains("no folder ./scenarios"), "{answer}");
    server.signal(Signal::TERM);
    server.ends();
    let folder = folder.path().join("empty");
    std::fs::create_dir(&folder).expect("the folder is ours");
    let (_server, at) = Console::serve(&["--scenarios", text(&folder)], |_| {});
    let answer = ask(&at, CREATE, &interaction("m", "Hi", false));
    assert!(answer.contains(text(&folder)), "{answer}");
}

#[test]
fn a_stop_reports_running_interactions_and_a_second_signal_ends_it() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let (mut server, at) = Console::serve(&["--shutdown-grace", GRACE], |_| {});
        let body = interaction("direct", "while True: pass", true);
        let mut connection = send(&at, CREATE, &body);
        connection.read_exact(&mut [0; 15]).expect("it has begun");
        let began = Instant::now();
        server.signal(signal);
        server
            .line(&["stopping, signal again to force", "interactions=1 requests=1 grace=\"60s\""]);
        server.signal(signal);
        assert_eq!(server.ends(), Some(code));
        assert!(began.elapsed() < WITHIN, "it waited for what runs");
    }
    // With nothing running, the stop is immediate.
    let (mut server, _) = Console::serve(&[], |_| {});
    server.signal(Signal::INT);
    assert_eq!(server.ends(), Some(0));
    server.line(&[" stopping"]);
}

/// Prints `up`, and does not end.
const DEAF: &str = "trap '' INT TERM; echo up; while :; do read -r x <&0 || exec sleep 600; done";

#[test]
fn waiting_for_a_command_is_reported_and_a_second_signal_kills_it() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let mut command = belljar(&["exec", "--sandbox-socket"]);
        command.arg(socket()).args(["--", "sh", "-c", DEAF]);
        let mut exec = Console::start(command);
        assert_eq!(exec.stdout_line(), "up");
        exec.signal(signal);
        exec.line(&["belljar: waiting for sh to exit"]);
        exec.signal(signal);
        assert_eq!(exec.ends(), Some(code));
    }
}

#[test]
fn an_error_shows_each_cause_once_with_a_hint() {
    let folder = tempfile::tempdir().expect("the temporary folder can be created");
    let missing = folder.path().join("missing");
    let missing = text(&missing);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback is there");
    let taken = taken.local_addr().expect("it is bound").to_string();
    let own = folder.path().join("own");
    let no_database = folder.path().join("data");
    std::fs::create_dir(&no_database).expect("the folder is ours");
    let database = no_database.join("belljar.sqlite");
    std::fs::write(&database, "no database ".repeat(100)).expect("the folder is ours");
    let enoent = "No such file or directory (os error 2)";
    for (arguments, parts) in [
        (
            &["--scenarios", missing][..],
            &["could not load the scenarios", enoent, "--scenarios DIR"][..],
        ),
        (&["--config", missing], &["could not read the configuration", enoent]),
        (&["--warden", missing], &["could not start the warden", enoent, "--sandbox-socket"]),
        (&["--data-dir", "/proc/x"], &["could not use the data folder", enoent]),
        (&["--record", "/proc/x"], &["could not write recordings to /proc/x", enoent]),
        (&["--search", missing], &["could not read the folder of documents", enoent]),
        (&["--libraries", text(folder.path())], &["no sandbox libraries in", "--libraries DIR"]),
        (
            &["--listen", &taken],
            &["could not listen on", "Address already in use", "--listen PORT"],
        ),
        (
            &["--data-dir", text(&no_database)],
            &["could not open the database", text(&database), "file is not a database"],
        ),
        (&["--listen", "0.0.0.0:0"], &["no API keys", "BELLJAR_API_KEYS", "--no-auth"]),
    ] {
        let mut all = vec!["serve"];
        for (flag, value) in [("--listen", "127.0.0.1:0"), ("--data-dir", text(&own))] {
            if !arguments.contains(&flag) {
                all.extend([flag, value]);
            }
        }
        all.extend(arguments);
        // Folders that killed servers left in the temporary folder are removed, and logged, first.
        let (code, stdout, stderr) = output_of(
            belljar(&all).env("BELLJAR_LIBRARIES", libraries()).env("BELLJAR_LOG", "warn"),
        );
        assert_eq!((code, stdout.as_str()), (Some(1), ""), "{arguments:?}: {stderr}");
        assert!(stderr.starts_with("belljar: "), "{stderr}");
        for part in parts {
            assert_eq!(stderr.matches(part).count(), 1, "{part}: {stderr}");
        }
    }
    let (code, _, stderr) = output_of(belljar(&["serve"]).env("BELLJAR_LOG", "inof"));
    assert_eq!(code, Some(1));
    assert!(stderr.contains("did you mean info?"), "{stderr}");
    // A program installed without its libraries.
    let (_, _, stderr) = output_of(
        belljar(&["serve", "--ephemeral", "--no-install"])
            .env("BELLJAR_LIBRARIES", "")
            .env("BELLJAR_CACHE", "")
            .env("HOME", folder.path()),
    );
    assert!(stderr.contains("libraries are not installed\n  hint: "), "{stderr}");
}

#[test]
fn an_invalid_variable_is_refused_first() {
    let wrong = ("BELLJAR_LIBARIES", "/libraries");
    for command in [&["serve"][..], &["exec", "--", "true"], &["config"], &["doctor"]] {
        let (code, _, stderr) =
            output_of(belljar(command).env(wrong.0, wrong.1).env("BELLJAR_LIBRARIES", ""));
        assert_eq!(code, Some(1), "{command:?}");
        let wanted = "unknown variable BELLJAR_LIBARIES: did you mean BELLJAR_LIBRARIES?";
        assert!(stderr.contains(wanted), "{stderr}");
    }
    let (code, ..) = output_of(belljar(&["--help"]).env(wrong.0, wrong.1));
    assert_eq!(code, Some(0), "help is there all the same");
}

#[test]
fn every_invalid_scenario_file_is_reported_with_its_line() {
    let folder = scenarios();
    let write = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).expect("the folder is ours");
    };
    write("b.yaml", "scenarios:\n  - name: x\n    wen: {}\n    script: []\n");
    write("c.yaml", "scenarios:\n  - name: y\n    when: {}\n    skript: [text: hi]\n");
    let folder = text(folder.path());
    let flags = ["serve", "--listen", "0", "--ephemeral", "--scenarios", folder];
    let (code, _, stderr) = output_of(belljar(&flags).env("BELLJAR_LIBRARIES", libraries()));
    assert_eq!(code, Some(1));
    for part in [
        "b.yaml:3:5: ",
        "3 |     wen: {}",
        "did you mean `when`?",
        "c.yaml:4:5: ",
        "did you mean `script`?",
        &format!("`belljar validate {folder}`"),
    ] {
        assert!(stderr.contains(part), "{part}: {stderr}");
    }
    assert!(!stderr.contains("a.yaml"), "{stderr}");
}

#[test]
fn two_ephemeral_servers_run_side_by_side_and_leave_no_files() {
    let home = tempfile::tempdir().expect("the temporary folder can be created");
    let scratch = tempfile::tempdir().expect("the temporary folder can be created");
    let start = || {
        Console::serve(&[], |command| {
            command.env("HOME", home.path()).env("TMPDIR", scratch.path());
            command.env_remove("XDG_DATA_HOME");
        })
    };
    let (mut first, at) = start();
    let (mut second, _) = start();
    ask(&at, CREATE, &interaction("direct", "print(1)", false));
    for server in [&mut first, &mut second] {
        server.signal(Signal::TERM);
        assert_eq!(server.ends(), Some(0));
    }
    for folder in [&home, &scratch] {
        let left: Vec<_> = folder.path().read_dir().expect("it is ours").collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn the_first_page_links_to_all_pages() {
    let (_server, at) = Console::serve(&[], |_| {});
    let answer = ask(&at, "GET /", "");
    let body = answer.split("\r\n\r\n").nth(1).expect(&answer);
    let index: Value = serde_json::from_str(body).expect(body);
    assert_eq!(index["version"], env!("CARGO_PKG_VERSION"));
    let links = index["links"].as_object().expect("it is one");
    for (name, path) in links {
        let path = path.as_str().expect("it is a path");
        let found = ask(&at, &format!("GET {path}"), "");
        assert!(found.starts_with("HTTP/1.1 200"), "{name}: {found}");
    }
    assert_eq!(links["console"], "/console");
    let (_server, at) = Console::serve(&["--no-console"], |_| {});
    let answer = ask(&at, "GET /", "");
    let body = answer.split("\r\n\r\n").nth(1).expect(&answer);
    let index: Value = serde_json::from_str(body).expect(body);
    let links = index["links"].as_object().expect("it is one");
    assert_eq!(links.get("console"), None);
    let html = "GET / HTTP/1.1\r\naccept: text/html,application/xhtml+xml,*/*;q=0.8\r\nx-a:";
    let page = ask(&at, html, "");
    assert!(page.to_lowercase().contains("content-type: text/html"), "{page}");
    assert!(page.contains(concat!("Belljar ", env!("CARGO_PKG_VERSION"))), "{page}");
    for path in links.values().filter_map(Value::as_str) {
        let link = format!("href=\"{}\"", path.trim_start_matches('/'));
        assert!(page.contains(&link), "{link}: {page}");
    }
}

#[test]
fn the_program_documents_itself() {
    let (code, version, _) = run(&["--version"]);
    assert_eq!(code, Some(0));
    for part in [env!("CARGO_PKG_VERSION"), "\ncommit: ", "\nbuild: "] {
        assert!(version.contains(part), "{version}");
    }
    for shell in ["bash", "zsh", "fish"] {
        let (code, script, _) = run(&["completions", shell]);
        assert_eq!(code, Some(0));
        assert!(script.contains("scenarios") && script.contains("validate"), "{shell}: {script}");
    }
    let (code, page, _) = run(&["man"]);
    assert_eq!(code, Some(0));
    assert!(page.contains(".TH belljar 1"), "{page}");
    let (code, page, _) = run(&["man", "serve"]);
    assert_eq!(code, Some(0));
    assert!(page.contains("data\\-dir"), "{page}");
    let (code, table, _) = output_of(
        belljar(&["config", "--request-bytes", "1MiB"]).env("BELLJAR_LIBRARIES", libraries()),
    );
    assert_eq!(code, Some(0));
    let row = table.lines().find(|line| line.starts_with("request_bytes ")).expect(&table);
    assert!(row.contains(" 1MiB ") && row.ends_with("--request-bytes"), "{row}");
}
