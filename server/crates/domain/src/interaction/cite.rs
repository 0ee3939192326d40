//! Finds the citations in a text.
//!
//! The prompt asks models to write the number of a page in brackets, `[1]`, after each statement that
//! they took from it. The numbers stay in the text, which is not changed. Each citation has the range
//! of bytes of the statement before its number.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::step::{Citation, CitedSource, Step};

/// Maximum number of citations in one text. Further numbers are only text.
const MAX_CITATIONS: usize = 1000;
/// Maximum size of the titles and addresses of all citations of an interaction. Each citation repeats those
/// of its page.
pub const MAX_CITATION_BYTES: usize = 1 << 20;

/// The sources found in a conversation, with their numbers.
#[derive(Debug, Default)]
pub struct CitedPages {
    pages: Vec<CitedSource>,
    /// The number of each source by URL.
    numbers: HashMap<String, usize>,
    /// Number of steps whose sources are here.
    steps: usize,
}

impl CitedPages {
    /// Adds the sources of the steps after those that were added before.
    pub fn add(&mut self, steps: &[Step]) {
        for step in steps.get(self.steps..).unwrap_or_default() {
            for source in step.sources() {
                self.number(source);
            }
        }
        self.steps = steps.len();
    }

    /// The number of a source, from 1. A source that was found before keeps its number.
    pub fn number(&mut self, source: CitedSource) -> usize {
        if let Some(number) = self.numbers.get(&source.url) {
            return *number;
        }
        self.numbers.insert(source.url.clone(), self.pages.len() + 1);
        self.pages.push(source);
        self.pages.len()
    }

    fn get(&self, number: usize) -> Option<&CitedSource> {
        self.pages.get(number.checked_sub(1)?)
    }
}

/// The citations in a text, in order, each page once for a statement. Reads the text once. Takes the size of
/// the citations from `left`, and ends if it is not enough.
pub fn citations(text: &str, sources: &CitedPages, left: &mut usize) -> Vec<Citation> {
    let mut found: Vec<Citation> = Vec::new();
    if sources.pages.is_empty() {
        return found;
    }
    // The statement of the previous numbers, and the end of those numbers.
    let mut last: Option<(Range<usize>, usize)> = None;
    // Pages already cited for that statement.
    let mut cited: HashSet<&str> = HashSet::new();
    let mut in_code = false;
    let mut at = 0;
    while let Some(open) = text[at..].find('[').map(|found| at + found) {
        in_code ^= has_odd_backticks(&text[at..open]);
        at = open + 1;
        if in_code {
            continue;
        }
        let Some(inside) = bracketed(&text[at..]) else { continue };
        let pages = cited_pages(inside, sources);
        if pages.is_empty() {
            continue;
        }
        let range = match &last {
            Some((range, end)) if after_marks(&text[*end..open]).is_empty() => range.clone(),
            Some((_, end)) => statement(text, *end, open),
            None => statement(text, 0, open),
        };
        if last.as_ref().is_none_or(|(before, _)| *before != range) {
            cited.clear();
        }
        let pages = pages.into_iter().filter(|_| !range.is_empty());
        for page in pages.filter(|page| cited.insert(&page.url)) {
            let after = left.checked_sub(page.title.len() + page.url.len());
            let Some(after) = after.filter(|_| found.len() < MAX_CITATIONS) else {
                return found;
            };
            *left = after;
            found.push(Citation { source: page.clone(), range: range.clone() });
        }
        at += inside.len() + 1;
        last = Some((range, at));
    }
    found
}

/// `1, 2`: the inside of a bracket with only numbers. The search stops at the first other character,
/// so that a text full of open brackets is read once.
fn bracketed(text: &str) -> Option<&str> {
    let other =
        |letter: char| !(letter.is_ascii_digit() || letter == ',' || letter.is_whitespace());
    let end = text.find(other)?;
    text[end..].starts_with(']').then(|| &text[..end])
}

/// The pages with the numbers in a bracket, each once. Empty if a part is no number.
fn cited_pages<'a>(inside: &str, sources: &'a CitedPages) -> Vec<&'a CitedSource> {
    let mut seen = HashSet::new();
    let mut pages = Vec::new();
    for number in inside.split(',') {
        let Ok(number) = number.trim().parse() else { return Vec::new() };
        if seen.insert(number) {
            pages.extend(sources.get(number));
        }
    }
    pages
}

/// Whether code in backticks begins or ends in this text. Brackets in code are no citations.
fn has_odd_backticks(text: &str) -> bool {
    !text.bytes().filter(|byte| *byte == b'`').count().is_multiple_of(2)
}

/// The statement that ends before `end` and does not begin before `least`.
fn statement(text: &str, least: usize, end: usize) -> Range<usize> {
    // Marks right after the previous number belong to the previous statement: "… [1]. Then".
    let skipped =
        if least == 0 { text[..end].trim_start() } else { after_marks(&text[least..end]) };
    let from = end - skipped.len();
    let trimmed = skipped.trim_end();
    // The mark at the end belongs to the statement.
    let body = trimmed.trim_end_matches(is_mark);
    let mut ends = body.char_indices().filter(|(at, letter)| {
        let next = body[at + letter.len_utf8()..].chars().next();
        let before_space = is_mark(*letter) && next.is_some_and(char::is_whitespace);
        *letter == '\n' || is_wide_mark(*letter) || before_space
    });
    let begin = ends.next_back().map_or(0, |(at, letter)| at + letter.len_utf8());
    let begin = trimmed.len() - trimmed[begin..].trim_start().len();
    from + begin..from + trimmed.len()
}

fn after_marks(text: &str) -> &str {
    text.trim_start_matches(|letter: char| {
        is_mark(letter) || letter.is_whitespace() || matches!(letter, ',' | ';' | ':')
    })
}

fn is_mark(letter: char) -> bool {
    matches!(letter, '.' | '!' | '?') || is_wide_mark(letter)
}

/// Marks that are not followed by a space.
fn is_wide_mark(letter: char) -> bool {
    matches!(letter, '。' | '！' | '？')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_citations(text: &str, sources: &CitedPages) -> Vec<Citation> {
        let mut left = MAX_CITATION_BYTES;
        citations(text, sources, &mut left)
    }
    use crate::interaction::{Found, SearchResult};

    fn sources(steps: &[Step]) -> CitedPages {
        let mut sources = CitedPages::default();
        sources.add(steps);
        sources
    }

    fn page(name: &str) -> Found {
        Found {
            title: name.to_uppercase(),
            url: format!("https://{name}.org/"),
            ..Found::default()
        }
    }

    fn search(names: &[&str]) -> Step {
        let found = names.iter().map(|name| page(name)).collect();
        Step::SearchResult(SearchResult { found, ..SearchResult::default() })
    }

    /// Each citation as `page: statement`.
    fn cited(text: &str) -> Vec<String> {
        let steps = [search(&["a", "b"]), search(&["b", "c"])];
        let citations = all_citations(text, &sources(&steps));
        let name = |citation: &Citation| citation.source.title.to_lowercase();
        citations
            .iter()
            .map(|citation| format!("{}: {}", name(citation), &text[citation.range.clone()]))
            .collect()
    }

    #[test]
    fn a_number_cites_for_the_statement_before_it() {
        for (text, wanted) in [
            ("Moss is green [1].", &["a: Moss is green"][..]),
            ("Moss is green.[1] It grows [2].", &["a: Moss is green.", "b: It grows"]),
            ("Look. Moss is green, 3.5 mm high [3]", &["c: Moss is green, 3.5 mm high"]),
            ("Grün ist es [1]. 苔は緑です。育つ[2]。", &["a: Grün ist es", "b: 育つ"]),
            ("Both say so [1][2].", &["a: Both say so", "b: Both say so"]),
            ("Both say so [1, 3].", &["a: Both say so", "c: Both say so"]),
            ("* Green [1]\n* Soft [2]", &["a: * Green", "b: * Soft"]),
            ("This [1] and that [2].", &["a: This", "b: and that"]),
        ] {
            assert_eq!(cited(text), wanted, "{text}");
        }
    }

    #[test]
    fn citations_repeat_no_more_than_a_mebibyte_of_titles_and_addresses() {
        let long = Found { title: "a".repeat(100_000), ..page("a") };
        let steps =
            [Step::SearchResult(SearchResult { found: vec![long], ..SearchResult::default() })];
        let text = "It is so [1]. ".repeat(1000);
        assert_eq!(all_citations(&text, &sources(&steps)).len(), 10);
    }

    #[test]
    fn other_brackets_are_no_citations() {
        for text in [
            "",
            "No page [4] has this number, nor [0].",
            "A list [1, x] and [] and [ and ]",
            "Take `list[1]` of it.",
            "```\nlist[1]\n",
            "[1]",
        ] {
            assert_eq!(cited(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn ranges_count_bytes() {
        let steps = [search(&["a"])];
        let citations = all_citations("Ja. Grüße 👋 [1]", &sources(&steps));
        assert_eq!(citations[0].range, 4..16);
    }

    /// All pages are different, so that none is left out.
    fn many_pages(count: usize) -> Step {
        let found = (0..count).map(|number| page(&format!("p{number}"))).collect();
        Step::SearchResult(SearchResult { found, ..SearchResult::default() })
    }

    /// With quadratic time each of these would take minutes at this size.
    #[test]
    fn the_time_for_a_long_text_grows_with_its_length() {
        const BYTES: usize = 4 << 20;
        let steps = [search(&["a"])];
        let sources = sources(&steps);
        for unit in ["`[9] ", "[1", "[", "[ ", "[9] ", "`", "a. [9] ", "[1,", "``[x] "] {
            let text = unit.repeat(BYTES / unit.len());
            assert_eq!(all_citations(&text, &sources), [], "{unit}");
        }
        let code = "`[1] ".repeat(BYTES / 5);
        assert_eq!(all_citations(&code, &CitedPages::default()), []);
        let cited = "It is so [1]. ".repeat(BYTES / 14);
        assert_eq!(all_citations(&cited, &sources).len(), MAX_CITATIONS);
        assert_eq!(all_citations(&cited, &CitedPages::default()), []);
    }

    #[test]
    fn many_pages_are_numbered_in_time_that_grows_with_their_number() {
        const PAGES: usize = 200_000;
        let steps = [many_pages(PAGES), many_pages(PAGES)];
        let sources = sources(&steps);
        assert_eq!(sources.pages.len(), PAGES);
        let all = format!("All [{}].", vec![PAGES.to_string(); 100_000].join(","));
        assert_eq!(all_citations(&all, &sources).len(), 1);
    }

    #[test]
    fn a_text_has_no_more_than_the_limit_of_citations() {
        let steps = [many_pages(2 * MAX_CITATIONS)];
        let numbers: Vec<String> = (1..=2 * MAX_CITATIONS).map(|n| n.to_string()).collect();
        let text = format!("All [{}].", numbers.join(", "));
        assert_eq!(all_citations(&text, &sources(&steps)).len(), MAX_CITATIONS);
    }

    /// An answer may have thousands of texts.
    #[test]
    fn all_texts_share_the_size_of_their_citations() {
        let steps = [many_pages(1)];
        let sources = sources(&steps);
        let one = all_citations("It is so [1].", &sources);
        let bytes = one[0].source.title.len() + one[0].source.url.len();
        let mut left = 2 * bytes + 1;
        let texts = (0..4).map(|_| citations("It is so [1].", &sources, &mut left).len());
        assert_eq!(texts.collect::<Vec<_>>(), [1, 1, 0, 0]);
    }

    #[test]
    fn a_page_is_cited_once_for_a_statement() {
        assert_eq!(cited("Green [1][1, 1] [1]. Soft [1]."), ["a: Green", "a: Soft"]);
        assert_eq!(cited("Green [1][2][1]."), ["a: Green", "b: Green"]);
    }
}
