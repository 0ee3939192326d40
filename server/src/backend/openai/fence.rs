//! The protocol for models that have no tools: code stands in a fenced block, which ends the turn.

use crate::backend::ModelEvent;

/// Reads text as it comes. A line is held back for as long as it may still open a block.
#[derive(Debug, Default)]
pub struct Reader {
    /// Of the line that is not complete: what was not handed on.
    line: String,
    /// Whether the beginning of the line has been handed on, so that it opens nothing.
    is_text: bool,
    code: Option<String>,
}

impl Reader {
    /// What a piece of text makes of what was held back. Nothing is to be read after code.
    pub fn read(&mut self, text: &str) -> Vec<ModelEvent> {
        let mut said = Vec::new();
        for part in text.split_inclusive('\n') {
            self.line.push_str(part);
            if part.ends_with('\n') {
                let line = std::mem::take(&mut self.line);
                if let Some(event) = self.whole_line(line) {
                    let is_code = matches!(event, ModelEvent::Code(_));
                    said.push(event);
                    if is_code {
                        return said;
                    }
                }
                self.is_text = false;
            } else if self.code.is_none() && (self.is_text || !may_be_fence(&self.line)) {
                self.is_text = true;
                said.push(ModelEvent::Text(std::mem::take(&mut self.line)));
            }
        }
        said
    }

    /// The model has ended. A block that it did not close is code all the same, unless it had to
    /// stop in the middle of it.
    pub fn end(&mut self, is_cut: bool) -> Vec<ModelEvent> {
        let line = std::mem::take(&mut self.line);
        let mut said: Vec<ModelEvent> = self.whole_line(line).into_iter().collect();
        said.retain(|event| !matches!(event, ModelEvent::Text(text) if text.is_empty()));
        match self.code.take() {
            Some(code) if is_cut => said.push(ModelEvent::Text(format!("```python\n{code}"))),
            Some(code) if !code.trim().is_empty() => said.push(ModelEvent::Code(code)),
            _ => {}
        }
        said
    }

    fn whole_line(&mut self, line: String) -> Option<ModelEvent> {
        match &mut self.code {
            Some(code) if closes(&line) => {
                let code = std::mem::take(code);
                self.code = None;
                Some(ModelEvent::Code(code))
            }
            Some(code) => {
                code.push_str(&line);
                None
            }
            None if !self.is_text && opens_python(&line) => {
                self.code = Some(String::new());
                None
            }
            None => Some(ModelEvent::Text(line)),
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

fn opens_python(line: &str) -> bool {
    let language = line.trim().strip_prefix("```").map(|info| info.trim().to_lowercase());
    matches!(language.as_deref(), Some("python" | "py" | "python3"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read from a text that comes in pieces of this many letters.
    fn read(text: &str, letters: usize) -> (String, Option<String>) {
        let mut reader = Reader::default();
        let mut said = Vec::new();
        let chars: Vec<char> = text.chars().collect();
        for piece in chars.chunks(letters) {
            said.extend(reader.read(&piece.iter().collect::<String>()));
            if matches!(said.last(), Some(ModelEvent::Code(_))) {
                break;
            }
        }
        if !matches!(said.last(), Some(ModelEvent::Code(_))) {
            said.extend(reader.end(false));
        }
        let mut text = String::new();
        let mut code = None;
        for event in said {
            match event {
                ModelEvent::Text(piece) => text.push_str(&piece),
                ModelEvent::Code(block) => assert_eq!(code.replace(block), None, "one a turn"),
                other => panic!("{other:?}"),
            }
        }
        (text, code)
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
            ("", "", None),
        ] {
            for letters in [1, 2, 3, 7, 1000] {
                let (found, block) = read(text, letters);
                assert_eq!(
                    (found.as_str(), block.as_deref()),
                    (wanted, code),
                    "{text:?} by {letters}"
                );
            }
        }
    }

    #[test]
    fn what_is_cut_in_the_middle_of_a_block_is_text() {
        for (text, wanted) in [("```python\nfor x", "```python\nfor x"), ("Hm.\n``", "Hm.\n``")] {
            let mut reader = Reader::default();
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
        let mut reader = Reader::default();
        assert_eq!(reader.read("Hel"), [ModelEvent::Text("Hel".into())]);
        assert_eq!(reader.read("lo\n``"), [ModelEvent::Text("lo\n".into())]);
        assert_eq!(reader.read(" x"), [ModelEvent::Text("`` x".into())]);
    }
}
