//! The texts of a file's parts: the names that their templates use, and their code.

use super::{CheckedFile, Mistake};
use parse::yaml::{NodeKind, YamlNode};
use scenario::{Position, SYNTAX, ValueKind};

fn value_kind(key: &str) -> ValueKind {
    SYNTAX.iter().find(|part| part.key == key).map_or(ValueKind::Other, |part| part.value)
}

/// Code in a file.
#[derive(Debug)]
pub struct CodePart<'f> {
    pub node: &'f YamlNode,
    pub text: &'f str,
    /// Whether it is a template.
    pub is_template: bool,
    pub scenario: Option<String>,
}

/// Reports unknown names in the templates of a file.
pub fn check(file: &mut CheckedFile) {
    let mut found = Vec::new();
    for part in all(file) {
        if part.is_raw || value_kind(part.key) == ValueKind::Other {
            continue;
        }
        let mut nodes = vec![part.value];
        while let Some(node) = nodes.pop() {
            match &node.kind {
                NodeKind::Scalar { text, .. } => {
                    found.extend(scenario::unknown(text).into_iter().map(|unknown| Mistake {
                        place: place(node, unknown.line),
                        kind: "template",
                        scenario: part.scenario.clone(),
                        message: format!("{} in the template of `{}`", unknown.message, part.key),
                        hint: unknown.hint,
                    }));
                }
                NodeKind::List(items) => nodes.extend(items),
                NodeKind::Map(fields) => nodes.extend(fields.iter().map(|(_, value)| value)),
                NodeKind::Alias => {}
            }
        }
    }
    file.mistakes.extend(found);
}

/// All code of a file.
pub fn codes(file: &CheckedFile) -> Vec<CodePart<'_>> {
    let codes = all(file).into_iter().filter(|part| value_kind(part.key) == ValueKind::Code);
    let codes = codes.filter_map(|part| {
        let text = part.value.text()?;
        let is_template = !part.is_raw && ["{{", "{%", "{#"].iter().any(|hole| text.contains(hole));
        Some(CodePart { node: part.value, text, is_template, scenario: part.scenario })
    });
    codes.collect()
}

/// The position of a line in a text at this node.
pub fn place(node: &YamlNode, line: usize) -> Position {
    match node.kind {
        // A block scalar begins in the line after its indicator.
        NodeKind::Scalar { is_block: true, .. } => Position::at(node.line + line - 1, node.column),
        _ => Position::at(node.line, node.column),
    }
}

struct PartAt<'f> {
    key: &'f str,
    value: &'f YamlNode,
    is_raw: bool,
    scenario: Option<String>,
}

/// All parts, including those within conditions.
fn all(file: &CheckedFile) -> Vec<PartAt<'_>> {
    let scenarios = file.tree.as_ref().and_then(|tree| tree.get("scenarios"));
    let mut found = Vec::new();
    for scenario in scenarios.map(YamlNode::items).unwrap_or_default() {
        let name = scenario.get("name").and_then(YamlNode::text).map(str::to_owned);
        let mut lists: Vec<&YamlNode> = scenario.get("script").into_iter().collect();
        while let Some(list) = lists.pop() {
            for part in list.items() {
                let is_raw = part.get("raw").and_then(YamlNode::text) == Some("true");
                for (key, value) in part.fields() {
                    match key.text() {
                        Some("if_error" | "if_ok") => lists.push(value),
                        Some("raw") | None => {}
                        Some(key) => {
                            found.push(PartAt { key, value, is_raw, scenario: name.clone() });
                        }
                    }
                }
            }
        }
    }
    found
}
