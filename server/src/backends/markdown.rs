//! Code blocks in text of models and people: their opening, their closing, and their code without
//! the indentation of an enclosing list.

use std::sync::LazyLock;

use regex::Regex;

/// Tags that some models write around code instead of a fence, in lower case, with their closing
/// tags.
const TAGS: [(&str, &str); 7] = [
    ("<|python_tag|>", "<|eom_id|>"),
    ("<execute_python>", "</execute_python>"),
    ("<python_code>", "</python_code>"),
    ("<tool_code>", "</tool_code>"),
    ("<python>", "</python>"),
    ("[python]", "[/python]"),
    ("<code>", "</code>"),
];
const FENCE_LENGTH: usize = 3;
/// White space before a block in its line. What has more of it is handed on as it comes.
const MAX_INDENT_BYTES: usize = 1000;

/// The language in the info string of a fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    Python,
    Search,
    /// No language is named.
    Unnamed,
    Other,
}

/// A line that opens a block.
#[derive(Debug, PartialEq, Eq)]
pub struct BlockOpening {
    /// Length in bytes of the text before the opening.
    pub at: usize,
    pub language: Language,
    pub closing: Closing,
    /// Code on the opening line, and whether the block also ends there.
    pub first: Option<(String, bool)>,
}

/// The marker that closes a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    Fence { mark: char, length: usize },
    Tag(&'static str),
}

/// The block that a line opens. A backtick fence may follow text: "Run this: ```python".
pub fn opening(line: &str) -> Option<BlockOpening> {
    let indent = line.len() - line.trim_start().len();
    if let Some(opening) = opening_tag(line, indent) {
        return Some(opening);
    }
    let at = if line[indent..].starts_with("~~~") { indent } else { line.find("```")? };
    let mark = line[at..].chars().next()?;
    let rest = line[at..].trim_start_matches(mark);
    let length = line.len() - at - rest.len();
    let (language, info) = language(rest.trim());
    let closing = Closing::Fence { mark, length };
    let is_alone = line[..at].trim().is_empty();
    if info.contains(mark) {
        // A whole block on one line: ```python print(1)```. Anything else is an inline code span.
        let code = info.strip_suffix(&mark.to_string().repeat(length))?;
        let is_block = !code.contains(mark) && !code.trim().is_empty();
        let first = (is_block && language != Language::Unnamed)
            .then(|| (format!("{}\n", code.trim()), true));
        return Some(BlockOpening {
            at: text_before(line, at),
            language,
            closing,
            first: Some(first?),
        });
    }
    if !is_alone && language == Language::Unnamed {
        return None;
    }
    Some(BlockOpening { at: text_before(line, at), language, closing, first: None })
}

/// White space before a fence is not text.
fn text_before(line: &str, at: usize) -> usize {
    if line[..at].trim().is_empty() { 0 } else { at }
}

fn opening_tag(line: &str, indent: usize) -> Option<BlockOpening> {
    let text = &line[indent..];
    let (tag, end) = TAGS.iter().find(|(tag, _)| starts_with(text, tag))?;
    let closing = Closing::Tag(end);
    let rest = text.get(tag.len()..)?.trim();
    let first = match closing.closes(rest) {
        _ if rest.is_empty() => None,
        Some(code) => Some((format!("{code}\n"), true)),
        None => Some((format!("{rest}\n"), false)),
    };
    Some(BlockOpening { at: 0, language: Language::Python, closing, first })
}

fn starts_with(text: &str, lower: &str) -> bool {
    text.get(..lower.len()).is_some_and(|start| start.eq_ignore_ascii_case(lower))
}

/// The language of an info string, and the rest: `python`, `Python3`, `{.py}`, `python title=…`.
fn language(info: &str) -> (Language, &str) {
    let begin = info.trim_start_matches(['{', '.', ' ']);
    let is_name = |letter: char| letter.is_alphanumeric() || "_.+#-".contains(letter);
    let end = begin.find(|letter| !is_name(letter)).unwrap_or(begin.len());
    let name = begin[..end].to_lowercase();
    let name = name.trim_end_matches(|letter: char| letter.is_ascii_digit() || letter == '.');
    let language = match name {
        "python" | "py" | "ipython" | "tool_code" | "python_code" => Language::Python,
        "google_search" | "search" => Language::Search,
        "" | "code" => Language::Unnamed,
        _ => Language::Other,
    };
    (language, begin[end..].trim())
}

/// Offset of the last part of a line that could become an opening if more text follows; otherwise
/// the line's length.
pub fn may_open(line: &str) -> usize {
    let indent = line.len() - line.trim_start().len();
    if indent > MAX_INDENT_BYTES {
        return line.len();
    }
    let text = &line[indent..];
    let is_tag = |tag: &str| starts_with(text, tag) || starts_with(tag, text);
    if text.is_empty() || text.starts_with('~') || TAGS.iter().any(|(tag, _)| is_tag(tag)) {
        return 0;
    }
    let at = line.find("```").unwrap_or_else(|| {
        let ticks = line.bytes().rev().take(FENCE_LENGTH).take_while(|byte| *byte == b'`').count();
        line.len() - ticks
    });
    text_before(line, at)
}

impl Closing {
    /// The text before the closing marker, if the line has one. Servers that do not know a model's
    /// special tokens pass them through: "```<|im_end|>".
    pub fn closes<'a>(&self, line: &'a str) -> Option<&'a str> {
        let text = line.trim_end();
        match *self {
            Closing::Fence { mark, length } => {
                let start = text.trim_start();
                let rest = start.trim_start_matches(mark);
                let is_fence = start.len() - rest.len() >= length;
                if is_fence && (rest.is_empty() || rest.starts_with('<')) {
                    return Some("");
                }
                let code = text.trim_end_matches(mark);
                let ends = mark == '`' && text.len() - code.len() == length;
                (ends && !code.contains(mark)).then_some(code)
            }
            Closing::Tag(tag) => {
                let at = text.len().checked_sub(tag.len())?;
                let end = text.get(at..)?;
                end.eq_ignore_ascii_case(tag).then(|| text[..at].trim_end())
            }
        }
    }
}

/// The code of a call without a surrounding fence and without indentation.
pub fn unfenced(code: String) -> String {
    let text = code.trim_matches(['\r', '\n']);
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    let opening = opening(first).filter(|opening| {
        opening.at == 0 && matches!(opening.language, Language::Python | Language::Unnamed)
    });
    let Some(opening) = opening else { return dedent(&code) };
    let (mut inside, is_whole) = opening.first.unwrap_or_default();
    for line in rest.split_inclusive('\n').take_while(|_| !is_whole) {
        match opening.closing.closes(line) {
            Some(before) => {
                inside.push_str(before);
                break;
            }
            None => inside.push_str(line),
        }
    }
    dedent(&inside)
}

/// Removes the indentation that all lines of the code share.
pub fn dedent(code: &str) -> String {
    let lines = || code.split_inclusive('\n').filter(|line| !line.trim().is_empty());
    let indent = |line: &str| line.len() - line.trim_start_matches([' ', '\t']).len();
    let Some(first) = lines().next() else { return code.to_owned() };
    let common = lines().fold(&first[..indent(first)], |common, line| {
        let same = common.bytes().zip(line.bytes()).take_while(|(a, b)| a == b).count();
        &common[..same]
    });
    if common.is_empty() {
        return code.to_owned();
    }
    code.split_inclusive('\n')
        .map(|line| {
            line.strip_prefix(common).unwrap_or_else(|| line.trim_start_matches([' ', '\t']))
        })
        .collect()
}

/// Whether a text is a Python program: each statement starts like a Python statement, and something
/// is imported, printed or shown. Text such as `x = 5` alone does not count.
pub fn is_python(text: &str) -> bool {
    static STATEMENT: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(
            r#"^(import [\w.]+( as \w+)?( ?, ?[\w.]+( as \w+)?)* ?(#.*)?$|from [\w.]+ import |(async )?def \w+\(|class \w+.*:$|@\w|#|["')\]}]|(for|async for) .+ in .+:|(while|with|if|elif|except|match|case) .*:|(else|try|finally|except):|(return|pass|break|continue)\b|(raise|assert|del|global|nonlocal) \w|[\w.]+(\[.*\])?(, ?[\w.]+(\[.*\])?)*(: ?[\w\[\], .]+)? ?([-+*/%@&|^]|//|\*\*|<<|>>)?= ?\S|[\w.]+\(|print\()"#,
        )
        .expect("it is a pattern")
    });
    static ACTS: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"(?m)^\s*(import \w|from [\w.]+ import |print\(|.*\.show\()")
            .expect("it is a pattern")
    });
    let (mut depth, mut quoted) = (0_i64, None::<&str>);
    for line in dedent(text).lines() {
        let is_inside = depth > 0 || quoted.is_some() || line.starts_with([' ', '\t']);
        if !is_inside && !line.trim().is_empty() && !STATEMENT.is_match(line) {
            return false;
        }
        for quote in [r#"""""#, "'''"] {
            let count = line.matches(quote).count();
            if count % 2 == 1 && quoted.is_none_or(|open| open == quote) {
                quoted = if quoted.is_some() { None } else { Some(quote) };
            }
        }
        if quoted.is_none() {
            let count = |letters: [char; 3]| line.matches(letters).count().cast_signed() as i64;
            depth = (depth + count(['(', '[', '{']) - count([')', ']', '}'])).max(0);
        }
    }
    ACTS.is_match(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fences_are_found_in_all_their_spellings() {
        for line in [
            "```python",
            "``` python\n",
            "   ```Python",
            "```python3",
            "```py",
            "```Python 3\r\n",
            "````python",
            "~~~python",
            "```{python}",
            "```{.python .numberLines}",
            "```tool_code",
            "```python title=\"a.py\"",
            "```python3.12",
            "```ipython3",
            "- ```python",
            "1. ```python",
            "Run this: ```python",
            "<tool_code>",
            "<|python_tag|>",
            "[PYTHON]",
        ] {
            let opening = opening(line).unwrap_or_else(|| panic!("{line:?} opens nothing"));
            assert_eq!((opening.language, opening.first), (Language::Python, None), "{line:?}");
        }
        for (line, language) in [
            ("```", Language::Unnamed),
            ("```js", Language::Other),
            ("```output", Language::Other),
            ("```google_search", Language::Search),
            ("```pythonic", Language::Other),
        ] {
            assert_eq!(opening(line).expect("it opens one").language, language, "{line:?}");
        }
        for line in
            ["", "text", "`code`", "use ```x``` here", "use ```python x``` here", "a ```", "a < b"]
        {
            assert_eq!(opening(line), None, "{line:?}");
        }
    }

    #[test]
    fn a_block_may_stand_on_one_line() {
        for line in ["```python print(6 * 7)```", "<python>print(6 * 7)</python>\n"] {
            let opening = opening(line).expect("it is one");
            assert_eq!(opening.first, Some(("print(6 * 7)\n".to_owned(), true)), "{line:?}");
        }
    }

    #[test]
    fn a_block_ends_where_its_own_fence_does() {
        let fence = |line: &str| opening(line).expect("it opens one").closing;
        let three = fence("```python");
        assert_eq!(three.closes("   ```  \r\n"), Some(""));
        assert_eq!(three.closes("```<|im_end|>\n"), Some(""));
        assert_eq!(three.closes("print(1)```\n"), Some("print(1)"));
        assert_eq!(three.closes("print('```')\n"), None);
        assert_eq!(three.closes("~~~\n"), None);
        assert_eq!(fence("````python").closes("```\n"), None);
        assert_eq!(fence("````python").closes("````\n"), Some(""));
        assert_eq!(fence("~~~python").closes("~~~\n"), Some(""));
        assert_eq!(fence("[PYTHON]").closes("print(1)[/PYTHON]\n"), Some("print(1)"));
    }

    #[test]
    fn code_loses_the_indentation_of_its_list_and_keeps_its_own() {
        for (code, wanted) in [
            ("   print(6 * 7)\n", "print(6 * 7)\n"),
            ("  for n in x:\n\n      y\n  z\n", "for n in x:\n\n    y\nz\n"),
            ("\tif a:\n\t\tb\n", "if a:\n\tb\n"),
            ("a\n  b\n", "a\n  b\n"),
            ("  a\n b\n", " a\nb\n"),
            ("   x\r\n   \r\n   y", "x\r\n\r\ny"),
            ("", ""),
        ] {
            assert_eq!(dedent(code), wanted, "{code:?}");
        }
    }

    #[test]
    fn the_fence_around_the_code_of_a_call_is_taken_off() {
        for (code, wanted) in [
            ("```python\nprint(1)\n```", "print(1)\n"),
            ("\n  ```\n  x\n  ```\n", "x\n"),
            ("print('```')", "print('```')"),
            ("  x\n  y", "x\ny"),
            ("<code>x</code>", "x\n"),
        ] {
            assert_eq!(unfenced(code.to_owned()), wanted, "{code:?}");
        }
    }

    #[test]
    fn programs_are_distinguished_from_prose() {
        for code in [
            "print(6 * 7)",
            "import numpy as np\n\nx = np.arange(3)\nprint(\n  x,\n)\n",
            "def f(n):\n    return n\n\nfor n in range(3):\n    print(f(n))\n",
            "text = \"\"\"\nThe sea is wide.\n\"\"\"\nprint(text)",
            "a, b = 1, 2\nx: int = 3\nx += 1\nprint(a)",
            "   import math\n   print(math.pi)",
        ] {
            assert!(is_python(code), "{code}");
        }
        for text in [
            "The answer is 42.",
            "42",
            "x = 5",
            "",
            "import duties are high.\nprint(1)",
            "print(1) gives 1.\nThat is all.",
            "Sure!\nprint(1)",
            "{\"a\": 1}",
            "for example: x",
            "import numpy\nThen call it.",
        ] {
            assert!(!is_python(text), "{text}");
        }
    }
}
