//! Reports Python syntax errors. The sandbox's interpreter is used if it is installed, because the
//! syntax depends on the version.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde::Deserialize;

use super::parts::{self, CodePart};
use super::{CheckedFile, Mistake};

/// Timeout for compiling all code.
const WITHIN: Duration = Duration::from_secs(20);

/// Used without the sandbox's Python.
const CANDIDATES: [&str; 4] = ["python3.12", "python3.13", "python3.11", "python3"];

/// Replacements for a template expression. The code is valid if it is valid with one of them.
const FILLINGS: [&str; 5] = ["belljar_hole", "1", "", "pass", "+"];

/// Compiles texts without running them.
const COMPILE: &str = r#"
import json, sys, warnings
warnings.simplefilter("ignore")
def why(text):
    try:
        compile(text, "<code>", "exec", dont_inherit=True)
    except SyntaxError as error:
        return {"line": error.lineno or 1, "message": error.msg}
    except Exception as error:
        return {"line": 1, "message": str(error)}
version = "%d.%d" % sys.version_info[:2]
json.dump({"version": version, "found": [[why(text) for text in texts] for texts in json.load(sys.stdin)]}, sys.stdout)
"#;

/// A Python interpreter.
#[derive(Debug)]
pub struct Python {
    program: PathBuf,
    is_sandbox: bool,
}

#[derive(Deserialize)]
struct Answer {
    version: String,
    /// The errors of each code with each replacement.
    found: Vec<Vec<Option<Wrong>>>,
}

#[derive(Deserialize)]
struct Wrong {
    line: usize,
    message: String,
}

impl Python {
    /// The sandbox's interpreter, or any in `PATH`.
    pub fn find(sandbox: Option<&Path>) -> Option<Python> {
        if let Some(program) = sandbox.filter(|program| runs(program)) {
            return Some(Python { program: program.to_owned(), is_sandbox: true });
        }
        let found = CANDIDATES.iter().map(PathBuf::from).find(|program| runs(program))?;
        Some(Python { program: found, is_sandbox: false })
    }

    /// Adds the syntax errors in these files. Returns a note about the check, if there is one.
    pub fn check(&self, files: &mut [CheckedFile]) -> Option<String> {
        let mut texts: Vec<Vec<String>> = Vec::new();
        let mut places = Vec::new();
        for (at, file) in files.iter().enumerate() {
            for code in parts::codes(file) {
                let variants = variants(&code);
                if !variants.is_empty() {
                    texts.push(variants);
                    places.push((at, code));
                }
            }
        }
        let answer = match self.compile(&texts) {
            Ok(answer) => answer,
            Err(error) => return Some(format!("code was not checked: {error}")),
        };
        let mut found = Vec::new();
        for ((at, code), wrong) in places.iter().zip(answer.found) {
            // Report an error only if every variant is invalid.
            let Some(wrong) = wrong.into_iter().collect::<Option<Vec<_>>>() else { continue };
            let Some(Wrong { line, message }) = wrong.into_iter().next() else { continue };
            let mistake = Mistake {
                place: parts::place(code.node, line),
                kind: "python",
                scenario: code.scenario.clone(),
                message: format!("Python syntax error: {message} (line {line} of the code)"),
                hint: None,
            };
            found.push((*at, mistake));
        }
        for (at, mistake) in found {
            files[at].mistakes.push(mistake);
        }
        (!self.is_sandbox).then(|| {
            format!(
                "code was checked with Python {}, because the sandbox's libraries are not installed",
                answer.version
            )
        })
    }

    fn compile(&self, texts: &[Vec<String>]) -> anyhow::Result<Answer> {
        let mut child = Command::new(&self.program)
            .args(["-I", "-S", "-B", "-X", "utf8", "-c", COMPILE])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let input = serde_json::to_vec(texts)?;
        let writer = std::thread::spawn(move || stdin.map(|mut stdin| stdin.write_all(&input)));
        let (done, answer) = mpsc::channel();
        std::thread::spawn(move || {
            let mut output = Vec::new();
            let read = stdout.map_or(Ok(0), |mut stdout| stdout.read_to_end(&mut output));
            // The receiver is gone after a timeout.
            let _ = done.send(read.map(|_| output));
        });
        let output = answer.recv_timeout(WITHIN);
        end(child);
        // The thread ends with the process that it writes to.
        let _ = writer.join();
        let output = output.map_err(|_| anyhow::anyhow!("timeout after {WITHIN:?}"))??;
        serde_json::from_slice(&output).map_err(|_| anyhow::anyhow!("Python exited without output"))
    }
}

fn end(mut child: Child) {
    // It may have exited already.
    let _ = child.kill();
    let _ = child.wait();
}

fn runs(program: &Path) -> bool {
    let mut command = Command::new(program);
    let command = command.args(["-I", "-S", "-c", ""]).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|it| it.success())
}

/// The code with its template expressions replaced in each way. Empty if it contains template
/// statements, because the rendered lines are unknown.
fn variants(code: &CodePart<'_>) -> Vec<String> {
    if !code.is_template {
        return vec![code.text.to_owned()];
    }
    if code.text.contains("{%") {
        return Vec::new();
    }
    FILLINGS.iter().map(|filling| filled(code.text, filling)).collect()
}

fn filled(text: &str, filling: &str) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("{{").into_iter().chain(rest.find("{#")).min() {
        let (before, hole) = rest.split_at(at);
        let (end, filling) = if hole.starts_with("{{") { ("}}", filling) } else { ("#}", "") };
        let Some(until) = hole.find(end) else { break };
        filled += before;
        filled += filling;
        rest = &hole[until + end.len()..];
    }
    filled + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_filled_and_comments_are_left_out() {
        let filled = filled("a = {{ x | tojson }} + '{{ y }}' {# no #}\nb", "1");
        assert_eq!(filled, "a = 1 + '1' \nb");
    }
}
