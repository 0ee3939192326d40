//! The texts of a file's parts: the names that their templates use, and their code.

use super::{File, Mistake};
use crate::backend::scripted::{self, Place, SYNTAX, ValueKind};
use crate::parse::yaml::{Kind, Node};

fn value_kind(key: &str) -> ValueKind {
    SYNTAX.iter().find(|part| part.key == key).map_or(ValueKind::Other, |part| part.value)
}

/// Code in a file.
#[derive(Debug)]
pub struct Code<'f> {
    pub node: &'f Node,
    pub text: &'f str,
    /// Whether it is a template.
    pub is_template: bool,
    pub scenario: Option<String>,
}

/// Reports unknown names in the templates of a file.
pub fn check(file: &mut File) {
    let mut found = Vec::new();
    for part in all(file) {
        if part.is_raw || value_kind(part.key) == ValueKind::Other {
            continue;
        }
        let mut nodes = vec![part.value];
        while let Some(node) = nodes.pop() {
            match &node.kind {
                Kind::Scalar { text, .. } => {
                    found.extend(scripted::unknown(text).into_iter().map(|unknown| Mistake {
                        place: place(node, unknown.line),
                        kind: "template",
                        scenario: part.scenario.clone(),
                        message: format!("{} in the template of `{}`", unknown.message, part.key),
                        hint: unknown.hint,
                    }));
                }
                Kind::List(items) => nodes.extend(items),
                Kind::Map(fields) => nodes.extend(fields.iter().map(|(_, value)| value)),
                Kind::Alias => {}
            }
        }
    }
    file.mistakes.extend(found);
}

/// All code of a file.
pub fn codes(file: &File) -> Vec<Code<'_>> {
    let codes = all(file).into_iter().filter(|part| value_kind(part.key) == ValueKind::Code);
    let codes = codes.filter_map(|part| {
        let text = part.value.text()?;
        let is_template = !part.is_raw && ["{{", "{%", "{#"].iter().any(|hole| text.contains(hole));
        Some(Code { node: part.value, text, is_template, scenario: part.scenario })
    });
    codes.collect()
}

/// The position of a line in a text at this node.
pub fn place(node: &Node, line: usize) -> Place {
    match node.kind {
        // A block scalar begins in the line after its indicator.
        Kind::Scalar { is_block: true, .. } => Place::at(node.line + line - 1, node.column),
        _ => Place::at(node.line, node.column),
    }
}

struct PartAt<'f> {
    key: &'f str,
    value: &'f Node,
    is_raw: bool,
    scenario: Option<String>,
}

/// All parts, including those within conditions.
fn all(file: &File) -> Vec<PartAt<'_>> {
    let scenarios = file.tree.as_ref().and_then(|tree| tree.get("scenarios"));
    let mut found = Vec::new();
    for scenario in scenarios.map(Node::items).unwrap_or_default() {
        let name = scenario.get("name").and_then(Node::text).map(str::to_owned);
        let mut lists: Vec<&Node> = scenario.get("script").into_iter().collect();
        while let Some(list) = lists.pop() {
            for part in list.items() {
                let is_raw = part.get("raw").and_then(Node::text) == Some("true");
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
