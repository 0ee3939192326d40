//! Which parts of a text a model took from which page.
//!
//! Models are told to write the number of a page in brackets, `[1]`, after what they took from it. The
//! numbers stay where they are: a text is what the model wrote. Beside it stands, for each of them,
//! which bytes it is about: the statement before it.

use std::ops::Range;

use super::step::{Citation, Found, Step};

/// The pages that were found in a conversation, each with its number.
#[derive(Debug, Default)]
pub struct Sources<'a>(Vec<&'a Found>);

impl<'a> Sources<'a> {
    /// Those of all searches, in the order in which they were found.
    pub fn of(steps: &'a [Step]) -> Sources<'a> {
        let mut sources = Sources::default();
        for step in steps {
            if let Step::SearchResult(result) = step {
                for page in &result.found {
                    sources.number(page);
                }
            }
        }
        sources
    }

    /// The number of a page, from 1. One that was found before keeps its number.
    pub fn number(&mut self, page: &'a Found) -> usize {
        let before = self.0.iter().position(|source| source.url == page.url);
        before.unwrap_or_else(|| {
            self.0.push(page);
            self.0.len() - 1
        }) + 1
    }

    fn get(&self, number: usize) -> Option<&'a Found> {
        self.0.get(number.checked_sub(1)?).copied()
    }
}

/// The citations in a text, in its order.
pub fn citations(text: &str, sources: &Sources<'_>) -> Vec<Citation> {
    let mut found = Vec::new();
    // The statement of the numbers before, and where they ended.
    let mut last: Option<(Range<usize>, usize)> = None;
    let mut at = 0;
    while let Some(open) = text[at..].find('[').map(|found| at + found) {
        at = open + 1;
        let Some(numbers) = bracketed(&text[at..]) else { continue };
        if in_code(&text[..open]) {
            continue;
        }
        let pages: Vec<&Found> = numbers.iter().filter_map(|number| sources.get(*number)).collect();
        if pages.is_empty() {
            continue;
        }
        let range = match &last {
            Some((range, end)) if after_marks(&text[*end..open]).is_empty() => range.clone(),
            Some((_, end)) => statement(text, *end, open),
            None => statement(text, 0, open),
        };
        found.extend(pages.into_iter().filter(|_| !range.is_empty()).map(|page| Citation {
            title: page.title.clone(),
            url: page.url.clone(),
            range: range.clone(),
        }));
        at += text[at..].find(']').map_or(0, |close| close + 1);
        last = Some((range, at));
    }
    found
}

/// `1]`, `1, 2]`: the numbers before the bracket that closes.
fn bracketed(text: &str) -> Option<Vec<usize>> {
    let (inside, _) = text.split_once(']')?;
    inside.split(',').map(|number| number.trim().parse().ok()).collect()
}

/// Whether what follows stands between backticks, where brackets mean something else.
fn in_code(before: &str) -> bool {
    !before.matches('`').count().is_multiple_of(2)
}

/// The statement that ends before `end`, and does not begin before `least`.
fn statement(text: &str, least: usize, end: usize) -> Range<usize> {
    // What stands right behind the number before belongs to the statement there: "… [1]. Then".
    let skipped =
        if least == 0 { text[..end].trim_start() } else { after_marks(&text[least..end]) };
    let from = end - skipped.len();
    let said = skipped.trim_end();
    // The mark at its end is the statement's own.
    let body = said.trim_end_matches(is_mark);
    let mut ends = body.char_indices().filter(|(at, letter)| {
        let next = body[at + letter.len_utf8()..].chars().next();
        let before_space = is_mark(*letter) && next.is_some_and(char::is_whitespace);
        *letter == '\n' || is_wide_mark(*letter) || before_space
    });
    let begin = ends.next_back().map_or(0, |(at, letter)| at + letter.len_utf8());
    let begin = said.len() - said[begin..].trim_start().len();
    from + begin..from + said.len()
}

fn after_marks(text: &str) -> &str {
    text.trim_start_matches(|letter: char| {
        is_mark(letter) || letter.is_whitespace() || matches!(letter, ',' | ';' | ':')
    })
}

fn is_mark(letter: char) -> bool {
    matches!(letter, '.' | '!' | '?') || is_wide_mark(letter)
}

/// Marks that no space follows.
fn is_wide_mark(letter: char) -> bool {
    matches!(letter, '。' | '！' | '？')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interaction::SearchResult;

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

    /// Each citation as `a: what it is about`.
    fn cited(text: &str) -> Vec<String> {
        let steps = [search(&["a", "b"]), search(&["b", "c"])];
        let citations = citations(text, &Sources::of(&steps));
        let name = |citation: &Citation| citation.title.to_lowercase();
        citations
            .iter()
            .map(|citation| format!("{}: {}", name(citation), &text[citation.range.clone()]))
            .collect()
    }

    #[test]
    fn a_number_is_about_the_statement_before_it() {
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
    fn brackets_that_mean_something_else_are_none() {
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
        let citations = citations("Ja. Grüße 👋 [1]", &Sources::of(&steps));
        assert_eq!(citations[0].range, 4..16);
    }
}
