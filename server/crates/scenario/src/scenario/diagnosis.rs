//! Shows a mistake in a scenario file with its line and, if possible, a hint.

use crate::nearest::nearest;
use crate::scenario::{Position, ScenarioError};

/// Maximum length of the displayed line.
const LINE_CHARS: usize = 120;

impl ScenarioError {
    /// The mistake, its line and a hint. `text` is the content of the file.
    pub fn explained(&self, text: &str) -> String {
        let ScenarioError::Invalid { place, .. } = self else {
            return self.to_string();
        };
        self.to_string() + &frame(text, *place, self.hint(text).as_deref())
    }

    /// A hint for the mistake, if there is one.
    pub fn hint(&self, text: &str) -> Option<String> {
        let ScenarioError::Invalid { place, message, .. } = self else { return None };
        hint(message, line(text, *place).map_or("", |(_, line)| line))
    }
}

/// The line of a mistake and a hint, for display below the mistake.
pub fn frame(text: &str, place: Position, hint: Option<&str>) -> String {
    let mut frame = String::new();
    if let Some((number, line)) = line(text, place) {
        frame += &excerpt(number, line, place);
    }
    if let Some(hint) = hint {
        frame += &format!("\n  hint: {hint}");
    }
    frame
}

fn line(text: &str, place: Position) -> Option<(u64, &str)> {
    let number = place.line()?;
    let line = text.lines().nth(usize::try_from(number).ok()?.checked_sub(1)?)?;
    Some((number, line))
}

fn excerpt(number: u64, line: &str, place: Position) -> String {
    let margin = " ".repeat(number.to_string().len());
    let shown: String =
        line.chars().take(LINE_CHARS).map(|c| if c == '\t' { ' ' } else { c }).collect();
    let column = place.column().and_then(|column| usize::try_from(column).ok()).unwrap_or(1);
    let mut excerpt = format!("\n  {margin} |\n  {number} | {shown}");
    if (1..=shown.chars().count() + 1).contains(&column) {
        excerpt += &format!("\n  {margin} | {}^", " ".repeat(column - 1));
    }
    excerpt
}

fn hint(message: &str, line: &str) -> Option<String> {
    if let Some(meant) = misspelt(message) {
        return Some(format!("did you mean `{meant}`?"));
    }
    let value = line.split_once(':').map_or(line, |(_, value)| value).trim_start();
    if value.starts_with("{{") || value.starts_with("{%") {
        return Some("a text that begins with `{` needs quotes around it in YAML".into());
    }
    if line.trim_start_matches(' ').starts_with('\t') {
        return Some("YAML is indented with spaces, not with tabs".into());
    }
    message.contains("missing field").then(|| {
        "a scenario is `name`, `when` and `script`; `belljar schema scenario` has every key".into()
    })
}

/// The closest known name to an unknown field, taken from serde's list.
fn misspelt(message: &str) -> Option<String> {
    let (_, after) = message.split_once("unknown field `")?;
    let (written, known) = after.split_once('`')?;
    let known = known.split_once("expected")?.1;
    let known =
        known.split([' ', ',', '`']).filter(|name| !matches!(*name, "" | "one" | "of" | "or"));
    nearest(written, known).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::parse;

    fn explained(file: &str, text: &str) -> String {
        parse(Path::new(file), text).expect_err(text).explained(text)
    }

    #[test]
    fn a_mistake_is_shown_with_its_line_and_what_was_probably_meant() {
        let text = "scenarios:\n  - name: s\n    script:\n      - txet: hi\n";
        let explained = explained("s.yaml", text);
        assert!(explained.starts_with("s.yaml:4:9: unknown field `txet`, expected one of"));
        let rest = "\n    |\n  4 |       - txet: hi\n    |         ^\n  hint: did you mean `text`?";
        assert!(explained.ends_with(rest), "{explained}");
    }

    #[test]
    fn common_mistakes_have_a_hint() {
        for (file, text, hint) in [
            (
                "s.yaml",
                "scenarios:\n  - name: s\n    script:\n      - text: {{ stdout }}\n",
                "needs quotes around it",
            ),
            ("s.yaml", "scenarios:\n\t- name: s\n", "not with tabs"),
            ("s.yaml", "scenarios:\n  - name: s\n", "`belljar schema scenario`"),
            (
                "s.yaml",
                "scenarios: [{ name: s, when: { tool: [x] }, script: [text: a] }]",
                "`tools`",
            ),
            ("s.json", "{\"scenarios\": [\n{\"nam\": 1}]}", "did you mean `name`?"),
        ] {
            let explained = explained(file, text);
            assert!(explained.contains("\n  hint: ") && explained.contains(hint), "{explained}");
        }
    }

    #[test]
    fn a_line_of_any_length_or_script_can_be_shown() {
        let text = format!("scenarios: [{{ name: s, script: [{{ '{}': 1 }}] }}]", "ä".repeat(500));
        let explained = explained("s.yaml", &text);
        assert!(explained.lines().count() >= 3, "{explained}");
        let shown = explained.lines().find(|line| line.contains("| scenarios")).expect("the line");
        assert!(shown.chars().count() < 130, "{shown}");
    }
}
