//! Extracts text from documents and splits it into short passages.

use std::sync::LazyLock;

use regex::Regex;

use super::markup;

/// Maximum length of a passage. A longer paragraph is cut between words.
const PASSAGE_CHARS: usize = 800;
/// Line width of text from HTML, so that practically no line is wrapped.
const LINE_CHARS: usize = 10_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PassageKind {
    Text,
    Markdown,
    Html,
    Csv,
}

/// The searchable content of a document.
#[derive(Debug, PartialEq, Eq)]
pub struct Document {
    pub title: String,
    pub passages: Vec<String>,
}

impl PassageKind {
    /// The kind for a file extension; `None` for files that are not documents.
    pub fn of_extension(extension: &str) -> Option<PassageKind> {
        match extension.to_ascii_lowercase().as_str() {
            "txt" | "text" | "rst" => Some(PassageKind::Text),
            "md" | "markdown" => Some(PassageKind::Markdown),
            "html" | "htm" => Some(PassageKind::Html),
            "csv" | "tsv" => Some(PassageKind::Csv),
            _ => None,
        }
    }
}

impl PassageKind {
    /// The kind for a MIME type; `None` for content that is no text.
    pub fn of_mime_type(mime_type: &str) -> Option<PassageKind> {
        match mime_type {
            "text/html" | "application/xhtml+xml" => Some(PassageKind::Html),
            "text/markdown" => Some(PassageKind::Markdown),
            "text/csv" | "text/tab-separated-values" => Some(PassageKind::Csv),
            "application/json" | "application/xml" | "application/yaml" => Some(PassageKind::Text),
            text if text.starts_with("text/") => Some(PassageKind::Text),
            _ => None,
        }
    }
}

impl Document {
    /// `name` is the title of documents without their own.
    pub fn read(kind: PassageKind, content: &[u8], name: &str) -> Document {
        let text = String::from_utf8_lossy(content);
        let (title, passages) = match kind {
            PassageKind::Text => (None, passages(&text)),
            PassageKind::Markdown => (heading(&text), passages(&text)),
            PassageKind::Html => (html_title(&text), passages(&plain(content))),
            PassageKind::Csv => (None, rows(&text)),
        };
        let title = title.filter(|title| !title.is_empty()).unwrap_or_else(|| name.to_owned());
        Document { title, passages }
    }
}

/// The first heading outside code blocks.
fn heading(text: &str) -> Option<String> {
    let mut in_block = false;
    text.lines().find_map(|line| {
        in_block ^= line.trim_start().starts_with("```");
        let heading = line.strip_prefix("# ").filter(|_| !in_block)?;
        Some(heading.trim().to_owned())
    })
}

fn html_title(html: &str) -> Option<String> {
    static TITLE: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"(?is)<title[^>]*>(.*?)</title>").expect("it is an expression")
    });
    let title = TITLE.captures(html)?;
    let words = plain(title[1].as_bytes());
    Some(words.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// HTML without tags, scripts and styles.
fn plain(html: &[u8]) -> String {
    if !markup::is_ordinary(html) {
        return markup::stripped(&String::from_utf8_lossy(html));
    }
    let text = html2text::config::plain_no_decorate().string_from_read(html, LINE_CHARS);
    // Failed layout is not an error, because other documents can still be searched.
    text.unwrap_or_default()
}

/// Paragraphs, with short ones joined.
fn passages(text: &str) -> Vec<String> {
    let text = text.replace("\r\n", "\n");
    let paragraphs = text.split("\n\n").map(str::trim).filter(|paragraph| !paragraph.is_empty());
    gathered(paragraphs.flat_map(pieces), "\n\n", "")
}

/// Rows, each passage with the header of the table.
fn rows(table: &str) -> Vec<String> {
    let mut rows = table.lines().map(str::trim_end).filter(|row| !row.is_empty());
    let Some(head) = rows.next() else { return Vec::new() };
    let head: String = head.chars().take(PASSAGE_CHARS / 2).collect();
    let found = gathered(rows.flat_map(pieces), "\n", &head);
    if found.is_empty() { vec![head] } else { found }
}

/// Joins pieces up to the maximum length; each passage starts with `head`.
fn gathered<'a>(pieces: impl Iterator<Item = &'a str>, between: &str, head: &str) -> Vec<String> {
    let mut passages: Vec<String> = Vec::new();
    let mut room = 0;
    for piece in pieces {
        let chars = piece.chars().count() + between.len();
        match passages.last_mut() {
            Some(last) if chars <= room => {
                last.push_str(between);
                last.push_str(piece);
                room -= chars;
            }
            _ => {
                let above = if head.is_empty() { "" } else { between };
                passages.push(format!("{head}{above}{piece}"));
                room = PASSAGE_CHARS.saturating_sub(chars + head.chars().count());
            }
        }
    }
    passages
}

/// Splits a text into pieces no longer than a passage.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (piece, after) = match rest.char_indices().nth(PASSAGE_CHARS) {
            None => (rest, ""),
            Some((end, _)) => {
                let space = rest[..end].rfind(char::is_whitespace).filter(|at| *at > 0);
                rest.split_at(space.unwrap_or(end))
            }
        };
        rest = after.trim_start();
        (!piece.is_empty()).then_some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: PassageKind, text: &str) -> (String, Vec<String>) {
        let Document { title, passages } = Document::read(kind, text.as_bytes(), "name");
        (title, passages)
    }

    #[test]
    fn each_kind_has_its_title_and_its_text() {
        let md = "```\n# no\n```\n\n# Moss \n\nIt is green.";
        let html = "<html><head><title>Moss &amp;\n fern</title><style>p {}</style></head>\
                    <body><script>no()</script><h1>Moss</h1><p>It is <b>green</b>.</p></body></html>";
        assert_eq!(read(PassageKind::Markdown, md).0, "Moss");
        assert_eq!(
            read(PassageKind::Text, "# It is green."),
            ("name".into(), vec!["# It is green.".into()])
        );
        let (title, passages) = read(PassageKind::Html, html);
        assert_eq!(title, "Moss & fern");
        let text = passages.join(" ");
        assert!(text.contains("It is green.") && !text.contains("no()"), "{text}");
        assert_eq!(read(PassageKind::Csv, "a,b\n1,2\n3,4\n").1, ["a,b\n1,2\n3,4"]);
        assert_eq!(read(PassageKind::Text, " \n\n "), ("name".into(), vec![]));
    }

    #[test]
    fn html_that_is_expensive_to_lay_out_is_read_as_text() {
        let deep =
            format!("{}Moss &amp; fern{}", "<div>".repeat(100_000), "</div>".repeat(100_000));
        let bold: String = (0..20_000).map(|n| format!("<b id={n}>")).collect();
        let bold = format!("<style>no</style>{bold}{}Moss &#38; fern", "<p>x</p>".repeat(20_000));
        let wide: String = (0..200_000).map(|n| format!(" a{n}=1")).collect();
        let wide = format!("<script>no()</script><div{wide}>Moss &amp; fern</div>");
        let spans = "<table><tr><td colspan=1000000000>Moss &amp; fern</table>".to_owned();
        for html in [deep, bold, wide, spans] {
            let text = read(PassageKind::Html, &html).1.join(" ");
            assert!(text.contains("Moss & fern") && !text.contains("no"), "{}", &text[..20]);
        }
    }

    #[test]
    fn passages_are_short_and_nothing_is_lost() {
        let word = "mossy ".repeat(1000);
        for text in [word.as_str(), &"ä".repeat(3000), &"One.\n\nTwo.\n\n".repeat(300)] {
            let (_, passages) = read(PassageKind::Text, text);
            assert!(passages.len() > 1);
            assert!(passages.iter().all(|passage| passage.chars().count() <= PASSAGE_CHARS + 2));
            let letters = |text: &str| text.chars().filter(|c| !c.is_whitespace()).count();
            assert_eq!(letters(&passages.concat()), letters(text));
        }
        let table = format!("plant,height\n{}", "moss,3\n".repeat(500));
        let (_, passages) = read(PassageKind::Csv, &table);
        assert!(
            passages.len() > 1 && passages.iter().all(|rows| rows.starts_with("plant,height\n"))
        );
    }
}
