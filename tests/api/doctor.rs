//! What the program says about the machine that it is on.

use std::process::Command;

use crate::harness::{libraries, socket};

#[test]
fn the_doctor_has_code_run_and_names_every_layer() {
    let said = Command::new(env!("CARGO_BIN_EXE_belljar"))
        .args(["doctor", "--libraries"])
        .arg(libraries())
        .output()
        .expect("the server is a program");
    let text = String::from_utf8(said.stdout).expect("it is text");
    assert!(said.status.success(), "{text}");
    for part in ["namespaces: ", "landlock: ", "seccomp: ", "printed 42"] {
        assert!(text.contains(part), "nothing about {part}:\n{text}");
    }
    assert!(text.lines().all(|line| line.starts_with("ok     ")), "{text}");
}

#[test]
fn the_doctor_says_what_is_missing() {
    let folder = tempfile::tempdir().expect("there is a place for temporary files");
    let said = Command::new(env!("CARGO_BIN_EXE_belljar"))
        .args(["doctor", "--libraries"])
        .arg(folder.path())
        .output()
        .expect("the server is a program");
    let words = String::from_utf8(said.stderr).expect("it is text");
    assert!(!said.status.success());
    assert!(words.contains("install-libraries"), "{words}");
}

/// A client that asks twice where that may help, and believes that an answer has parts.
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
    let said = Command::new(env!("CARGO_BIN_EXE_belljar"))
        .args(["doctor", "--client", "--client-within", "20s", "--sandbox-socket"])
        .arg(socket())
        .arg("--")
        .args(client)
        .env_remove("BELLJAR_API_KEYS")
        .output()
        .expect("the server is a program");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it is text");
    (said.status.code(), text(said.stdout), text(said.stderr))
}

#[test]
fn the_doctor_says_which_failures_a_client_survives() {
    let (code, said, words) = doctor(&["python3", "-c", CARELESS]);
    assert_eq!((code, words.as_str()), (Some(1), ""), "{said}");
    let of = |what: &str| {
        let line = said.lines().find(|line| line.contains(what));
        line.unwrap_or_else(|| panic!("nothing about {what}:\n{said}"))
    };
    assert!(said.starts_with("ok        without any failure\n"), "{said}");
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
    let last = said.lines().last().expect("it has lines");
    let counted = |verdict: &str| said.lines().filter(|line| line.starts_with(verdict)).count();
    let wanted = format!(
        "{} survived, {} failed, {} not met",
        counted("survived  "),
        counted("failed  "),
        counted("not met  ")
    );
    assert_eq!(last, wanted);
}

#[test]
fn a_client_that_fails_anyway_is_not_tried_further() {
    let (code, said, _) = doctor(&["sh", "-c", "echo no >&2; exit 3"]);
    assert_eq!(
        (code, said.as_str()),
        (Some(1), "failed    without any failure: exit code 3: no\n")
    );
    let (code, _, words) = doctor(&["no-such-command"]);
    assert_eq!(code, Some(1));
    assert!(words.contains("could not run no-such-command"), "{words}");
}

#[test]
fn a_client_has_so_much_time() {
    let said = Command::new(env!("CARGO_BIN_EXE_belljar"))
        .args(["doctor", "--client", "--client-within", "1s", "--sandbox-socket"])
        .arg(socket())
        .args(["--", "sleep", "60"])
        .output()
        .expect("the server is a program");
    let said = String::from_utf8(said.stdout).expect("it is text");
    assert_eq!(said, "failed    without any failure: it did not exit within 1 s\n");
}

#[test]
fn a_client_that_asks_nothing_meets_nothing() {
    let (code, said, _) = doctor(&["true"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.lines().last().is_some_and(|line| line.starts_with("0 survived, 0 failed, ")),
        "{said}"
    );
}
