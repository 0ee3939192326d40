//! `belljar doctor`: the report about the machine and about clients.

use std::process::Command;

use harness::{libraries, socket};

#[test]
fn doctor_runs_code_and_lists_every_isolation_layer() {
    let output = Command::new(harness::belljar())
        .args(["doctor", "--libraries"])
        .arg(libraries())
        .output()
        .expect("the server is a program");
    let text = String::from_utf8(output.stdout).expect("it is text");
    assert!(output.status.success(), "{text}");
    for part in ["namespaces: ", "landlock: ", "seccomp: ", "printed 42"] {
        assert!(text.contains(part), "nothing about {part}:\n{text}");
    }
    assert!(text.lines().all(|line| line.starts_with("ok     ")), "{text}");
}

#[test]
fn doctor_reports_missing_libraries() {
    let folder = tempfile::tempdir().expect("the temporary folder can be created");
    let output = Command::new(harness::belljar())
        .args(["doctor", "--libraries"])
        .arg(folder.path())
        .output()
        .expect("the server is a program");
    let stderr = String::from_utf8(output.stderr).expect("it is text");
    assert!(!output.status.success());
    assert!(stderr.contains("`belljar libraries install`"), "{stderr}");
}

/// A client that retries where that may help, and assumes that an answer has parts.
const CARELESS: &str = r#"
import json, os, sys, time, urllib.error, urllib.request
body = {"contents": [{"parts": [{"text": "print(6 * 7)"}]}], "tools": [{"codeExecution": {}}]}
request = urllib.request.Request(
    os.environ["GOOGLE_GEMINI_BASE_URL"] + "/v1beta/models/direct:generateContent",
    json.dumps(body).encode(), {"x-goog-api-key": os.environ["GEMINI_API_KEY"]})
try:
    answer = urllib.request.urlopen(request).read()
except urllib.error.HTTPError as error:
    if error.code not in (429, 500, 503, 504): raise
    answer = urllib.request.urlopen(request).read()
parts = json.loads(answer)["candidates"][0]["content"]["parts"]
sys.exit(0 if parts else "no parts")
"#;

fn doctor(client: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(harness::belljar())
        .args(["doctor", "--client", "--client-timeout", "20s", "--sandbox-socket"])
        .arg(socket())
        .arg("--")
        .args(client)
        .env_remove("BELLJAR_API_KEYS")
        .output()
        .expect("the server is a program");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it is text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn doctor_reports_which_failures_a_client_survives() {
    let (code, stdout, stderr) = doctor(&["python3", "-c", CARELESS]);
    assert_eq!((code, stderr.as_str()), (Some(1), ""), "{stdout}");
    let of = |what: &str| {
        let line = stdout.lines().find(|line| line.contains(what));
        line.unwrap_or_else(|| panic!("nothing about {what}:\n{stdout}"))
    };
    assert!(stdout.starts_with("ok        without any failure\n"), "{stdout}");
    for (what, verdict) in [
        ("429 with Retry-After", "survived "),
        ("begins after 3 s", "survived "),
        ("dropped after 100 bytes", "failed "),
        ("100 ms between its events", "not met "),
        ("stops for SAFETY", "survived "),
        ("quirk several_results", "survived "),
        ("quirk stop_without_parts", "failed "),
        ("quirk blocked_prompt", "failed "),
        ("quirk bare_error", "not met "),
        ("quirk finish_alone", "not met "),
    ] {
        assert!(of(what).starts_with(verdict), "{}", of(what));
    }
    let blocked = of("quirk blocked_prompt");
    assert!(blocked.contains("https://github.com/vercel/ai/issues/19758"), "{blocked}");
    assert!(blocked.ends_with("exit code 1: KeyError: 'candidates'"), "{blocked}");
    let last = stdout.lines().last().expect("it has lines");
    let counted = |verdict: &str| stdout.lines().filter(|line| line.starts_with(verdict)).count();
    let wanted = format!(
        "{} survived, {} failed, {} not met",
        counted("survived  "),
        counted("failed  "),
        counted("not met  ")
    );
    assert_eq!(last, wanted);
}

#[test]
fn a_client_that_fails_without_a_fault_is_not_tested_further() {
    let (code, stdout, _) = doctor(&["sh", "-c", "echo no >&2; exit 3"]);
    assert_eq!(
        (code, stdout.as_str()),
        (Some(1), "failed    without any failure: exit code 3: no\n")
    );
    let (code, _, stderr) = doctor(&["no-such-command"]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("could not run no-such-command"), "{stderr}");
}

#[test]
fn a_client_has_a_time_limit() {
    let output = Command::new(harness::belljar())
        .args(["doctor", "--client", "--client-timeout", "1s", "--sandbox-socket"])
        .arg(socket())
        .args(["--", "sleep", "60"])
        .output()
        .expect("the server is a program");
    let stdout = String::from_utf8(output.stdout).expect("it is text");
    assert_eq!(stdout, "failed    without any failure: it did not exit within 1 s\n");
}

#[test]
fn a_client_that_sends_no_request_gets_no_verdict() {
    let (code, stdout, _) = doctor(&["true"]);
    assert_eq!(code, Some(0), "{stdout}");
    assert!(
        stdout.lines().last().is_some_and(|line| line.starts_with("0 survived, 0 failed, ")),
        "{stdout}"
    );
}
