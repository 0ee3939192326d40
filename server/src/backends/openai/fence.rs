//! The protocol for models without tool calls: code or search queries in a fenced block, which ends
//! the turn.

use crate::backends::markdown::{self, Closing, Language};
use backend::ModelEvent;

/// Which blocks are recognized.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Blocks {
    pub python: bool,
    /// Whether unfenced code, or a fence without a language, counts as code. After code has run,
    /// such text more likely shows its output.
    pub unmarked: bool,
    pub search: bool,
}

/// Reads streamed text. Text that may still open a block is held back.
#[derive(Debug)]
pub struct Reader {
    blocks: Blocks,
    /// The unreturned part of the incomplete line.
    line: String,
    /// Whether the beginning of that line was already returned.
    is_text: bool,
    block: Option<Block>,
    /// All returned text, as long as it may turn out to be code.
    handed_on: String,
}

/// An open block.
#[derive(Debug)]
struct Block {
    kind: BlockKind,
    closing: Closing,
    content: String,
    /// The original text, including its first line.
    written: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BlockKind {
    Python,
    Search,
    /// Code if it looks like Python.
    Unmarked,
    /// Returned as text.
    Text,
}

impl Block {
    fn text(self) -> ModelEvent {
        ModelEvent::Text(self.written)
    }

    fn event(self) -> ModelEvent {
        match self.kind {
            BlockKind::Python => ModelEvent::Code(markdown::dedent(&self.content)),
            BlockKind::Unmarked if markdown::is_python(&self.content) => {
                ModelEvent::Code(markdown::dedent(&self.content))
            }
            BlockKind::Search => {
                let queries = self.content.lines().map(str::trim).filter(|line| !line.is_empty());
                ModelEvent::Lookup { queries: queries.map(str::to_owned).collect() }
            }
            BlockKind::Unmarked | BlockKind::Text => self.text(),
        }
    }
}

impl Reader {
    pub fn new(blocks: Blocks) -> Reader {
        Reader {
            blocks,
            line: String::new(),
            is_text: false,
            block: None,
            handed_on: String::new(),
        }
    }

    /// The events that a piece of text completes. Nothing must be read after a block.
    pub fn read(&mut self, text: &str) -> Vec<ModelEvent> {
        let mut events = Vec::new();
        for part in text.split_inclusive('\n') {
            self.line.push_str(part);
            if part.ends_with('\n') {
                let line = std::mem::take(&mut self.line);
                self.whole_line(line, &mut events);
                self.is_text = false;
                if events.last().is_some_and(|event| !matches!(event, ModelEvent::Text(_))) {
                    return events;
                }
            } else if self.block.is_none() {
                let is_text = self.is_text && self.line.trim().is_empty();
                let at = if is_text { self.line.len() } else { markdown::may_open(&self.line) };
                let held = self.line.split_off(at);
                let text = std::mem::replace(&mut self.line, held);
                self.is_text |= !text.is_empty();
                events.extend((!text.is_empty()).then_some(ModelEvent::Text(text)));
            }
        }
        self.remember(&events);
        events
    }

    /// Handles the end of the model's output. An unclosed block counts, unless the output was cut
    /// off inside it.
    pub fn end(&mut self, is_cut: bool) -> Vec<ModelEvent> {
        let mut events = Vec::new();
        let line = std::mem::take(&mut self.line);
        if !line.is_empty() {
            self.whole_line(line, &mut events);
        }
        if let Some(block) = self.block.take() {
            let is_empty = block.content.trim().is_empty();
            match block.kind {
                BlockKind::Text => {}
                _ if is_cut => events.push(block.text()),
                BlockKind::Python | BlockKind::Search if is_empty => {}
                _ => events.push(block.event()),
            }
        }
        self.remember(&events);
        let has_block = events.iter().any(|event| !matches!(event, ModelEvent::Text(_)));
        if self.blocks.unmarked && !has_block && !is_cut && markdown::is_python(&self.handed_on) {
            events.push(ModelEvent::Code(markdown::dedent(&self.handed_on)));
        }
        events
    }

    fn whole_line(&mut self, line: String, events: &mut Vec<ModelEvent>) {
        if let Some(block) = &mut self.block {
            let before = block.closing.closes(&line);
            if block.kind == BlockKind::Text {
                self.block.take_if(|_| before.is_some());
                return events.push(ModelEvent::Text(line));
            }
            block.written.push_str(&line);
            match before {
                None => block.content.push_str(&line),
                Some(before) => {
                    if !before.is_empty() {
                        block.content.push_str(before);
                        block.content.push('\n');
                    }
                    events.extend(self.block.take().map(Block::event));
                }
            }
            return;
        }
        let Some(opening) = markdown::opening(&line) else {
            return events.push(ModelEvent::Text(line));
        };
        let kind = self.kind(opening.language);
        let (content, is_whole) = opening.first.unwrap_or_default();
        let closing = opening.closing;
        if kind == BlockKind::Text {
            events.push(ModelEvent::Text(line));
            let (content, written) = Default::default();
            self.block = (!is_whole).then_some(Block { kind, closing, content, written });
            return;
        }
        let indent = line.len() - line.trim_start().len();
        let (before, written) =
            line.split_at(if self.is_text { opening.at.max(indent) } else { opening.at });
        events.extend((!before.is_empty()).then(|| ModelEvent::Text(before.to_owned())));
        let block = Block { kind, closing, content, written: written.to_owned() };
        match is_whole {
            true => events.push(block.event()),
            false => self.block = Some(block),
        }
    }

    /// How a block of this language is treated.
    fn kind(&self, language: Language) -> BlockKind {
        match language {
            Language::Python if self.blocks.python => BlockKind::Python,
            Language::Search if self.blocks.search => BlockKind::Search,
            Language::Unnamed if self.blocks.unmarked => BlockKind::Unmarked,
            _ => BlockKind::Text,
        }
    }

    fn remember(&mut self, events: &[ModelEvent]) {
        for event in events {
            if let ModelEvent::Text(text) = event
                && self.blocks.unmarked
            {
                self.handed_on.push_str(text);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: Blocks = Blocks { python: true, unmarked: true, search: true };

    /// The text and block that are read from pieces of this many letters. A search is represented
    /// by its queries.
    fn read(blocks: Blocks, text: &str, letters: usize) -> (String, Option<String>) {
        let mut reader = Reader::new(blocks);
        let mut events = Vec::new();
        let chars: Vec<char> = text.chars().collect();
        for piece in chars.chunks(letters) {
            events.extend(reader.read(&piece.iter().collect::<String>()));
            if is_block(events.last()) {
                break;
            }
        }
        if !is_block(events.last()) {
            events.extend(reader.end(false));
        }
        let mut text = String::new();
        let mut code = None;
        for event in events {
            match event {
                ModelEvent::Text(piece) => text.push_str(&piece),
                ModelEvent::Code(block) => assert_eq!(code.replace(block), None, "one a turn"),
                ModelEvent::Lookup { queries } => code = Some(queries.join("|")),
                other => panic!("{other:?}"),
            }
        }
        (text, code)
    }

    fn is_block(event: Option<&ModelEvent>) -> bool {
        matches!(event, Some(ModelEvent::Code(_) | ModelEvent::Lookup { .. }))
    }

    #[test]
    fn a_block_is_found_however_the_text_is_split() {
        for (text, wanted, code) in [
            ("No code.", "No code.", None),
            ("So:\n```python\nprint(1)\n```\nThe output is 2.", "So:\n", Some("print(1)\n")),
            ("```py\r\nx\r\n```\r\n", "", Some("x\r\n")),
            (" ```Python\na\n\nb\n ```\n", "", Some("a\n\nb\n")),
            ("```python\nprint('```')\n```", "", Some("print('```')\n")),
            ("```python\nx = 1", "", Some("x = 1")),
            ("```python\nx\n```<|im_end|>\n", "", Some("x\n")),
            ("```js\nx\n```\n", "```js\nx\n```\n", None),
            ("a ```python\nx\n```", "a ", Some("x\n")),
            ("1. Run:\n\n   ```python\n   x\n     y\n   ```\n", "1. Run:\n\n", Some("x\n  y\n")),
            ("- ```Python3\n  x\n  ```", "- ", Some("x\n")),
            ("~~~python\nx\n~~~\n", "", Some("x\n")),
            ("````python\n```\n````\n", "", Some("```\n")),
            ("```{.python}\nx```", "", Some("x\n")),
            ("Run ```python x``` now.", "Run ```python x``` now.", None),
            ("```python print(1)```\n", "", Some("print(1)\n")),
            ("<tool_code>\nprint(1)\n</tool_code>\n", "", Some("print(1)\n")),
            ("Hm.\n<|python_tag|>print(1)", "Hm.\n", Some("print(1)\n")),
            ("So:\n```\nprint(1)\n```\n", "So:\n", Some("print(1)\n")),
            ("So:\n```\n42\n```\nso.", "So:\n```\n42\n```\nso.", None),
            (
                "import math\nprint(math.pi)",
                "import math\nprint(math.pi)",
                Some("import math\nprint(math.pi)"),
            ),
            ("```js\nprint(1)\n```\n```python\nx\n```", "```js\nprint(1)\n```\n", Some("x\n")),
            ("``` \n", "``` \n", None),
            ("`", "`", None),
            ("```python\n```\nthen", "", Some("")),
            ("Hm.\n```google_search\nmoss \n\nfern\n```\n[1]", "Hm.\n", Some("moss|fern")),
            ("```Search\nmoss", "", Some("moss")),
            ("", "", None),
        ] {
            for letters in [1, 2, 3, 7, 1000] {
                let (found, block) = read(BOTH, text, letters);
                assert_eq!(
                    (found.as_str(), block.as_deref()),
                    (wanted, code),
                    "{text:?} by {letters}"
                );
            }
        }
    }

    #[test]
    fn a_block_of_a_tool_that_was_not_offered_is_text() {
        for (blocks, text) in [
            (Blocks { search: true, ..Blocks::default() }, "```python\nx\n```\n"),
            (
                Blocks { search: true, ..Blocks::default() },
                "So: <python>x</python>\n```\nprint(1)\n```",
            ),
            (Blocks { search: true, ..Blocks::default() }, "<python>print(1)</python>\nprint(1)"),
            (Blocks { python: true, ..Blocks::default() }, "```google_search\nx\n```\n"),
            (Blocks { python: true, ..Blocks::default() }, "```\nprint(1)\n```\n"),
            (Blocks { python: true, ..Blocks::default() }, "print(1)\n"),
        ] {
            assert_eq!(read(blocks, text, 5), (text.to_owned(), None));
        }
    }

    #[test]
    fn a_block_that_is_cut_off_is_text() {
        for (text, wanted) in [("```python\nfor x", "```python\nfor x"), ("Hm.\n``", "Hm.\n``")] {
            let mut reader = Reader::new(BOTH);
            let mut events = reader.read(text);
            events.extend(reader.end(true));
            let texts = events.iter().map(|event| match event {
                ModelEvent::Text(text) => text.as_str(),
                other => panic!("{other:?}"),
            });
            assert_eq!(texts.collect::<String>(), wanted);
        }
    }

    #[test]
    fn text_is_not_held_back_longer_than_it_must() {
        let mut reader = Reader::new(BOTH);
        assert_eq!(reader.read("Hel"), [ModelEvent::Text("Hel".into())]);
        assert_eq!(reader.read("lo\n``"), [ModelEvent::Text("lo\n".into())]);
        assert_eq!(reader.read(" x"), [ModelEvent::Text("`` x".into())]);
    }

    /// A line that could still open a block was looked through again for each of its letters.
    #[test]
    fn a_long_line_in_small_pieces_takes_time_that_grows_with_its_length() {
        const LETTERS: usize = 1 << 18;
        for letter in [" ", "`", "~", "a", "\u{3000}"] {
            let mut reader = Reader::new(BOTH);
            let mut bytes = 0;
            for _ in 0..LETTERS {
                bytes += written(&reader.read(letter));
            }
            bytes += written(&reader.end(true));
            assert_eq!(bytes, LETTERS * letter.len(), "{letter:?}");
        }
    }

    fn written(said: &[ModelEvent]) -> usize {
        let texts = said.iter().map(|event| match event {
            ModelEvent::Text(text) => text.len(),
            _ => 0,
        });
        texts.sum()
    }
}
