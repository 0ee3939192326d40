//! Positions of values in a YAML text. JSON is YAML too.

use serde_saphyr::granit_parser::{Event, Marker, Parser, ScalarStyle, Span};

/// Maximum nesting. A deeper text is not parsed.
const MAX_DEPTH: usize = 64;

/// A value and its position.
#[derive(Debug)]
pub struct YamlNode {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// In bytes.
    pub start: usize,
    pub end: usize,
    pub kind: NodeKind,
}

#[derive(Debug)]
pub enum NodeKind {
    Scalar {
        text: String,
        /// Whether its text begins on a later line, as after `|`.
        is_block: bool,
    },
    List(Vec<YamlNode>),
    Map(Vec<(YamlNode, YamlNode)>),
    /// A reference to another value.
    Alias,
}

impl YamlNode {
    /// The first document of the text, if it is YAML.
    pub fn parse(text: &str) -> Option<YamlNode> {
        let mut open: Vec<YamlNode> = Vec::new();
        // Keys of maps that are waiting for their values.
        let mut keys: Vec<Option<YamlNode>> = Vec::new();
        for next in Parser::new_from_str(text) {
            let (event, span) = next.ok()?;
            let closed = match event {
                Event::Scalar(text, style, ..) => {
                    let is_block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
                    let text = text.into_owned();
                    YamlNode::new(span, NodeKind::Scalar { text, is_block })?
                }
                Event::Alias(_) => YamlNode::new(span, NodeKind::Alias)?,
                Event::SequenceStart(..) | Event::MappingStart(..) => {
                    let kind = match event {
                        Event::SequenceStart(..) => NodeKind::List(Vec::new()),
                        _ => NodeKind::Map(Vec::new()),
                    };
                    open.push(YamlNode::new(span, kind)?);
                    keys.push(None);
                    if open.len() > MAX_DEPTH {
                        return None;
                    }
                    continue;
                }
                Event::SequenceEnd | Event::MappingEnd => {
                    let mut node = open.pop()?;
                    keys.pop();
                    // A block ends where the next token begins.
                    node.end = node.end.max(byte(span.end)?);
                    node
                }
                Event::DocumentEnd => return None,
                _ => continue,
            };
            let (Some(parent), Some(key)) = (open.last_mut(), keys.last_mut()) else {
                return Some(closed);
            };
            match &mut parent.kind {
                NodeKind::List(items) => items.push(closed),
                NodeKind::Map(fields) => match key.take() {
                    Some(key) => fields.push((key, closed)),
                    None => *key = Some(closed),
                },
                NodeKind::Scalar { .. } | NodeKind::Alias => return None,
            }
        }
        None
    }

    fn new(span: Span, kind: NodeKind) -> Option<YamlNode> {
        let (start, end) = (byte(span.start)?, byte(span.end)?);
        Some(YamlNode { line: span.start.line(), column: span.start.col() + 1, start, end, kind })
    }

    pub fn items(&self) -> &[YamlNode] {
        match &self.kind {
            NodeKind::List(items) => items,
            _ => &[],
        }
    }

    pub fn fields(&self) -> &[(YamlNode, YamlNode)] {
        match &self.kind {
            NodeKind::Map(fields) => fields,
            _ => &[],
        }
    }

    pub fn get(&self, name: &str) -> Option<&YamlNode> {
        let found = self.fields().iter().find(|(key, _)| key.text() == Some(name));
        found.map(|(_, value)| value)
    }

    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            NodeKind::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// The text with everything but this node blanked, so that its position is unchanged.
    pub fn alone(&self, file: &str) -> String {
        let lines = "\n".repeat(self.line - 1);
        let indent = " ".repeat(self.column - 1);
        format!("{lines}{indent}{}", file.get(self.start..self.end).unwrap_or_default())
    }

    /// Whether it contains references.
    pub fn has_aliases(&self) -> bool {
        match &self.kind {
            NodeKind::Alias => true,
            NodeKind::Scalar { .. } => false,
            NodeKind::List(items) => items.iter().any(YamlNode::has_aliases),
            NodeKind::Map(fields) => fields.iter().any(|(k, v)| k.has_aliases() || v.has_aliases()),
        }
    }
}

fn byte(marker: Marker) -> Option<usize> {
    marker.byte_offset()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_their_positions() {
        let text = "# ä\nscenarios:\n  - name: a\n    script:\n      - code: |\n          x = 1\n          y\n      - {text: b}\n  - name: c\n";
        let file = YamlNode::parse(text).expect("it is YAML");
        let scenarios = file.get("scenarios").expect("it is there").items();
        let names: Vec<_> = scenarios.iter().filter_map(|s| s.get("name")?.text()).collect();
        assert_eq!(names, ["a", "c"]);
        assert_eq!((scenarios[1].line, scenarios[1].column), (9, 5));
        let script = scenarios[0].get("script").expect("it is there").items();
        let code = script[0].get("code").expect("it is there");
        assert_eq!(code.text(), Some("x = 1\ny\n"));
        assert_eq!(&text[script[1].start..script[1].end], "{text: b}");
        assert!(scenarios[1].alone(text).starts_with("\n\n\n\n\n\n\n\n    name: c"));
        assert!(!file.has_aliases());
    }

    #[test]
    fn invalid_or_deeply_nested_yaml_is_not_parsed() {
        for text in
            ["a: [", "", "a:\n\t- b", &"[".repeat(1000), &("[".repeat(70) + &"]".repeat(70))]
        {
            assert!(YamlNode::parse(text).is_none(), "{text}");
        }
        assert!(YamlNode::parse("a: &x 1\nb: *x").is_some_and(|node| node.has_aliases()));
    }
}
