//! The protocol for models that have no tools: code, or what to search for, stands in a fenced block,
//! which ends the turn.

use crate::backend::ModelEvent;

/// What may stand in blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Blocks {
    pub python: bool,
    pub search: bool,
}

/// Reads text as it comes. A line is held back for as long as it may still open a block.
#[derive(Debug)]
pub struct Reader {
    blocks: Blocks,
    /// Of the line that is not complete: what was not handed on.
    line: String,
    /// Whether the beginning of the line has been handed on, so that it opens nothing.
    is_text: bool,
    block: Option<Block>,
}

/// A block that is open.
#[derive(Debug)]
enum Block {
    Python(String),
    Search(String),
}

impl Block {
    fn content(&mut self) -> &mut String {
        let (Block::Python(content) | Block::Search(content)) = self;
        content
    }

    fn is_empty(&self) -> bool {
        let (Block::Python(content) | Block::Search(content)) = self;
        content.trim().is_empty()
    }

    /// As it was written.
    fn text(self) -> String {
        match self {
            Block::Python(code) => format!("```python\n{code}"),
            Block::Search(lines) => format!("```google_search\n{lines}"),
        }
    }

    fn event(self) -> ModelEvent {
        match self {
            Block::Python(code) => ModelEvent::Code(code),
            Block::Search(lines) => {
                let queries = lines.lines().map(str::trim).filter(|line| !line.is_empty());
                ModelEvent::Lookup { queries: queries.map(str::to_owned).collect() }
            }
        }
    }
}

impl Reader {
    pub fn new(blocks: Blocks) -> Reader {
        Reader { blocks, line: String::new(), is_text: false, block: None }
    }

    /// What a piece of text makes of what was held back. Nothing is to be read after a block.
    pub fn read(&mut self, text: &str) -> Vec<ModelEvent> {
        let mut said = Vec::new();
        for part in text.split_inclusive('\n') {
            self.line.push_str(part);
            if part.ends_with('\n') {
                let line = std::mem::take(&mut self.line);
                if let Some(event) = self.whole_line(line) {
                    let is_text = matches!(event, ModelEvent::Text(_));
                    said.push(event);
                    if !is_text {
                        return said;
                    }
                }
                self.is_text = false;
            } else if self.block.is_none() && (self.is_text || !may_be_fence(&self.line)) {
                self.is_text = true;
                said.push(ModelEvent::Text(std::mem::take(&mut self.line)));
            }
        }
        said
    }

    /// The model has ended. A block that it did not close is one all the same, unless it had to stop
    /// in the middle of it.
    pub fn end(&mut self, is_cut: bool) -> Vec<ModelEvent> {
        let line = std::mem::take(&mut self.line);
        let mut said: Vec<ModelEvent> = self.whole_line(line).into_iter().collect();
        said.retain(|event| !matches!(event, ModelEvent::Text(text) if text.is_empty()));
        match self.block.take() {
            Some(block) if is_cut => said.push(ModelEvent::Text(block.text())),
            Some(block) if !block.is_empty() => said.push(block.event()),
            _ => {}
        }
        said
    }

    fn whole_line(&mut self, line: String) -> Option<ModelEvent> {
        match &mut self.block {
            Some(_) if closes(&line) => self.block.take().map(Block::event),
            Some(block) => {
                block.content().push_str(&line);
                None
            }
            None => {
                self.block = if self.is_text { None } else { self.opened(&line) };
                self.block.is_none().then_some(ModelEvent::Text(line))
            }
        }
    }

    /// The block that a line opens.
    fn opened(&self, line: &str) -> Option<Block> {
        let language = line.trim().strip_prefix("```")?.trim().to_lowercase();
        match language.as_str() {
            "python" | "py" | "python3" if self.blocks.python => Some(Block::Python(String::new())),
            "google_search" | "search" if self.blocks.search => Some(Block::Search(String::new())),
            _ => None,
        }
    }
}

/// Whether more letters could make this the opening of a block.
fn may_be_fence(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("```") || "```".starts_with(line)
}

/// Servers that do not know a model's own marks let them through: "```<|im_end|>".
fn closes(line: &str) -> bool {
    line.trim().strip_prefix("```").is_some_and(|rest| rest.is_empty() || rest.starts_with('<'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: Blocks = Blocks { python: true, search: true };

    /// What is read from a text that comes in pieces of this many letters. A search is its queries.
    fn read(blocks: Blocks, text: &str, letters: usize) -> (String, Option<String>) {
        let mut reader = Reader::new(blocks);
        let mut said = Vec::new();
        let chars: Vec<char> = text.chars().collect();
        for piece in chars.chunks(letters) {
            said.extend(reader.read(&piece.iter().collect::<String>()));
            if is_block(said.last()) {
                break;
            }
        }
        if !is_block(said.last()) {
            said.extend(reader.end(false));
        }
        let mut text = String::new();
        let mut code = None;
        for event in said {
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
    fn a_block_is_found_however_it_comes_in_pieces() {
        for (text, wanted, code) in [
            ("No code.", "No code.", None),
            ("So:\n```python\nprint(1)\n```\nThe output is 2.", "So:\n", Some("print(1)\n")),
            ("```py\r\nx\r\n```\r\n", "", Some("x\r\n")),
            (" ```Python\na\n\nb\n ```\n", "", Some("a\n\nb\n")),
            ("```python\nprint('```')\n```", "", Some("print('```')\n")),
            ("```python\nx = 1", "", Some("x = 1")),
            ("```python\nx\n```<|im_end|>\n", "", Some("x\n")),
            ("```js\nx\n```\n", "```js\nx\n```\n", None),
            ("a ```python\nx\n```", "a ```python\nx\n```", None),
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
            (Blocks { python: false, search: true }, "```python\nx\n```\n"),
            (Blocks { python: true, search: false }, "```google_search\nx\n```\n"),
        ] {
            assert_eq!(read(blocks, text, 5), (text.to_owned(), None));
        }
    }

    #[test]
    fn what_is_cut_in_the_middle_of_a_block_is_text() {
        for (text, wanted) in [("```python\nfor x", "```python\nfor x"), ("Hm.\n``", "Hm.\n``")] {
            let mut reader = Reader::new(BOTH);
            let mut said = reader.read(text);
            said.extend(reader.end(true));
            let texts = said.iter().map(|event| match event {
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
}
