//! Detects HTML that is expensive to lay out, and extracts its text without a layout.
//!
//! Layout takes time and memory that grow with the square of some quantities in a document. One
//! such document would delay the searches of all others. The functions here run in linear time.

/// Maximum depth of nested elements.
const MAX_DEPTH: usize = 100;
/// Maximum number of attributes of an element.
const MAX_ATTRIBUTES: usize = 64;
/// Maximum number of open formatting elements such as `<b>`, summed over all elements: parsers
/// reopen them in each element.
const MAX_REOPENED: usize = 200_000;
/// Maximum number of columns or rows that a table cell spans.
const MAX_SPAN: usize = 1000;

/// Elements without an end tag, or with an optional one.
const ENDLESS: [&str; 29] = [
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source",
    "track", "wbr", "p", "li", "dt", "dd", "tr", "td", "th", "thead", "tbody", "tfoot", "option",
    "optgroup", "colgroup", "rp", "rt",
];
/// Elements that parsers reopen if they were not closed.
const FORMATTING: [&str; 14] = [
    "a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u",
];
/// Elements whose content is not text.
const SILENT: [&str; 3] = ["script", "style", "template"];
/// Elements that do not break a line.
const INLINE: [&str; 8] = ["span", "sub", "sup", "mark", "kbd", "var", "abbr", "wbr"];

const ENTITIES: [(&str, &str); 6] =
    [("amp", "&"), ("lt", "<"), ("gt", ">"), ("quot", "\""), ("apos", "'"), ("nbsp", " ")];

/// A tag of a document.
#[derive(Debug)]
struct Tag<'h> {
    /// As it is written.
    name: &'h str,
    is_end: bool,
    attributes: &'h str,
}

impl Tag<'_> {
    fn is_one_of(&self, names: &[&str]) -> bool {
        names.iter().any(|name| name.eq_ignore_ascii_case(self.name))
    }
}

/// A part of a document.
#[derive(Debug)]
enum MarkupPart<'h> {
    Text(&'h str),
    Tag(Tag<'h>),
}

/// The parts of a document, without comments and silent elements.
struct Parts<'h> {
    rest: &'h str,
}

impl<'h> Iterator for Parts<'h> {
    type Item = MarkupPart<'h>;

    fn next(&mut self) -> Option<MarkupPart<'h>> {
        loop {
            let start = self.rest.find('<').unwrap_or(self.rest.len());
            if start > 0 || self.rest.is_empty() {
                let text = self.take(start);
                return (!text.is_empty()).then_some(MarkupPart::Text(text));
            }
            if self.rest.starts_with("<!--") {
                self.skip_to("-->");
                continue;
            }
            let is_end = self.rest.starts_with("</");
            let name = &self.rest[1 + usize::from(is_end)..];
            if !name.starts_with(|first: char| first.is_ascii_alphabetic() || "!?".contains(first))
            {
                return Some(MarkupPart::Text(self.take(1)));
            }
            let tag = self.rest.find('>').map_or(self.rest.len(), |end| end + 1);
            let tag = self.take(tag).trim_end_matches('>').trim_start_matches(['<', '/']);
            let end = tag.find(|c: char| c.is_whitespace() || c == '/').unwrap_or(tag.len());
            let (name, attributes) = tag.split_at(end);
            let tag = Tag { name, is_end, attributes };
            if !is_end && tag.is_one_of(&SILENT) {
                self.skip_element(name);
                continue;
            }
            return Some(MarkupPart::Tag(tag));
        }
    }
}

impl<'h> Parts<'h> {
    fn take(&mut self, bytes: usize) -> &'h str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        taken
    }

    fn skip_to(&mut self, end: &str) {
        let at = self.rest.find(end).map_or(self.rest.len(), |at| at + end.len());
        self.take(at);
    }

    /// Skips to the end tag of this element.
    fn skip_element(&mut self, name: &str) {
        while !self.rest.is_empty() {
            self.skip_to("</");
            let found = self.rest.get(..name.len());
            if found.is_some_and(|found| found.eq_ignore_ascii_case(name)) {
                return self.skip_to(">");
            }
        }
    }
}

/// Whether layout takes time and memory proportional to the document.
pub fn is_ordinary(html: &[u8]) -> bool {
    let html = String::from_utf8_lossy(html);
    let (mut depth, mut formatting, mut reopened) = (0usize, 0usize, 0usize);
    for part in (Parts { rest: &html }) {
        let MarkupPart::Tag(tag) = part else { continue };
        reopened += formatting;
        if tag.is_end {
            depth = depth.saturating_sub(usize::from(!tag.is_one_of(&ENDLESS)));
            formatting = formatting.saturating_sub(usize::from(tag.is_one_of(&FORMATTING)));
            continue;
        }
        depth += usize::from(!tag.is_one_of(&ENDLESS));
        formatting += usize::from(tag.is_one_of(&FORMATTING));
        let spans = tag.attributes.split_whitespace().any(spans_too_much);
        if depth > MAX_DEPTH
            || reopened > MAX_REOPENED
            || spans
            || attributes(tag.attributes) > MAX_ATTRIBUTES
        {
            return false;
        }
    }
    true
}

/// An upper bound for the number of attributes.
fn attributes(text: &str) -> usize {
    let (mut count, mut quote, mut apart) = (0, None, true);
    for letter in text.chars() {
        match quote {
            Some(end) => quote = Some(end).filter(|end| letter != *end),
            None if letter.is_whitespace() || letter == '/' => apart = true,
            None => {
                quote = Some(letter).filter(|letter| "\"'".contains(*letter));
                count += usize::from(std::mem::take(&mut apart));
            }
        }
    }
    count
}

/// `colspan=1000000`
fn spans_too_much(attribute: &str) -> bool {
    let Some((name, value)) = attribute.split_once('=') else { return false };
    let is_span = ["colspan", "rowspan", "span"].iter().any(|span| span.eq_ignore_ascii_case(name));
    let value = value.trim_matches(['"', '\'', '/']);
    is_span && value.parse::<usize>().map_or(value.len() > 3, |span| span > MAX_SPAN)
}

/// The text of a document without tags, each block as a paragraph.
pub fn stripped(html: &str) -> String {
    let mut text = String::new();
    for part in (Parts { rest: html }) {
        match part {
            MarkupPart::Text(piece) => decode(piece, &mut text),
            MarkupPart::Tag(tag) if tag.is_one_of(&FORMATTING) || tag.is_one_of(&INLINE) => {}
            MarkupPart::Tag(_) if text.is_empty() || text.ends_with("\n\n") => {}
            MarkupPart::Tag(_) => text.push_str("\n\n"),
        }
    }
    text
}

/// Decodes the most common entities.
fn decode(piece: &str, text: &mut String) {
    let mut parts = piece.split('&');
    text.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let known = part.split_once(';').and_then(|(name, rest)| Some((entity(name)?, rest)));
        match known {
            Some((meaning, rest)) => {
                text.push_str(&meaning);
                text.push_str(rest);
            }
            None => {
                text.push('&');
                text.push_str(part);
            }
        }
    }
}

fn entity(name: &str) -> Option<String> {
    let number = match name.strip_prefix('#') {
        None => {
            let known = ENTITIES.iter().find(|(known, _)| *known == name);
            return known.map(|(_, meaning)| (*meaning).to_owned());
        }
        Some(number) => match number.strip_prefix(['x', 'X']) {
            Some(digits) => u32::from_str_radix(digits, 16),
            None => number.parse(),
        },
    };
    char::from_u32(number.ok()?).map(String::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_documents_are_laid_out() {
        let row = "<tr><td colspan=2><b>x</b> <a href='y' class=\"a b\">z</a></td>";
        let table = format!("<table>{}</table>", row.repeat(5000));
        let list = format!("<ul>{}</ul>", "<li>x<br>".repeat(5000));
        let text = "<p>x > y && a < b".repeat(5000);
        for html in [table, list, text, "<div>".repeat(50), String::new()] {
            assert!(is_ordinary(html.as_bytes()), "{}", &html[..html.len().min(60)]);
        }
    }

    #[test]
    fn attributes_are_counted_in_all_notations() {
        for (text, wanted) in [
            ("", 0),
            (" a=1  b='x y z'\n\n   c=\"1 / 2\"", 3),
            ("/a/b/c/", 3),
            (" src=\"data:image/png;base64,A/B/C\"", 1),
        ] {
            assert_eq!(attributes(text), wanted, "{text}");
        }
    }

    #[test]
    fn the_text_of_a_document_is_extracted() {
        for (html, wanted) in [
            ("<h1>A</h1><p>b <b>c</b>d</p>", "A\n\nb cd\n\n"),
            ("a<!-- <p>no</p> -->b<STYLE>no</ x></style >c", "abc"),
            ("1 < 2 &lt; 3 &#x41;&#66; &unknown; & &amp", "1 < 2 < 3 AB &unknown; & &amp"),
            ("<script>no", ""),
            ("a<b", "a"),
            ("a<!--b", "a"),
            ("", ""),
        ] {
            assert_eq!(stripped(html), wanted, "{html}");
        }
    }
}
