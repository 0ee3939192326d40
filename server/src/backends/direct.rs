//! A model that runs its input as code: no scenario and no network.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::kind::{self, BackendConfig, BackendKind, SharedParts};
use super::markdown::{self, Language};
use backend::{Backend, End, Finish, ModelEvent, ModelStream, Prompt, RequestContext};
use domain::interaction::Step;

pub const KIND: BackendKind = BackendKind {
    name: "direct",
    without_table: Some("direct"),
    configure: |keys, _| {
        kind::read_none(&keys)?;
        Ok(Arc::new(Direct))
    },
};

const ANSWER: &str = "done";
const TOOL: &str = "code_execution";
const NO_TOOL: &str = "The model `direct` runs the code of its input, and for that it needs the \
                       tool `code_execution` in the request.";

/// Emits the code blocks of the newest user input, one per turn, and then `done`.
///
/// The result of a block makes no difference: after a failed block the next one runs as well.
#[derive(Debug, Clone, Copy, Default)]
pub struct Direct;

impl BackendConfig for Direct {
    fn shown(&self) -> String {
        KIND.name.to_owned()
    }

    fn build(&self, _: &SharedParts) -> anyhow::Result<Arc<dyn Backend>> {
        Ok(Arc::new(Direct))
    }
}

impl Backend for Direct {
    fn generate(&self, prompt: Prompt, context: &RequestContext) -> ModelStream {
        context.journal.answered_by("direct");
        let output = answer(&prompt);
        // The answer has two events at most, so the channel holds all of them and no task is
        // needed.
        let (events, stream) = mpsc::channel(output.len());
        for event in output {
            events.try_send(Ok(event)).expect("the channel is as long as the answer");
        }
        stream
    }
}

fn answer(prompt: &Prompt) -> Vec<ModelEvent> {
    let text = |text: &str| vec![ModelEvent::Text(text.into()), ModelEvent::End(End::default())];
    if !prompt.tools.code_execution || !prompt.allowed().contains(&TOOL) {
        // The engine removes the tool after too many errors. That is no mistake of the client,
        // unlike a request that never offered the tool.
        let was_offered = prompt.allowed().contains(&TOOL);
        if !was_offered {
            return text(NO_TOOL);
        }
        let (ran, left) = progress(&prompt.steps);
        return if left.is_empty() { text(ANSWER) } else { stopped(ran, left.len()) };
    }
    match progress(&prompt.steps).1.into_iter().next() {
        Some(code) => vec![ModelEvent::Code(code)],
        None => text(ANSWER),
    }
}

/// The answer when blocks are left over that may no longer be run.
fn stopped(ran: usize, left: usize) -> Vec<ModelEvent> {
    let blocks = ran + left;
    let why = format!(
        "stopped: {left} of {blocks} blocks were not run. The server's limit on model turns or on \
         runs that fail was reached (--max-model-turns, --max-code-retries)."
    );
    let end = End { finish: Finish::MaxTokens, usage: None };
    vec![ModelEvent::Text(why), ModelEvent::End(end)]
}

/// How many blocks of the newest user input ran, counted by the results since then, and the blocks
/// that did not run.
fn progress(steps: &[Step]) -> (usize, Vec<String>) {
    let newest = steps.iter().rposition(|step| matches!(step, Step::UserInput(_)));
    let Some(newest) = newest else { return (0, Vec::new()) };
    let ran = steps[newest..].iter().filter(|step| matches!(step, Step::CodeResult(_))).count();
    let codes = codes(&steps[newest].user_text().unwrap_or_default());
    (ran, codes.into_iter().skip(ran).collect())
}

/// The Python blocks of a text. A text without blocks is code as a whole.
fn codes(text: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let opening = markdown::opening(line);
        let Some(opening) = opening.filter(|opening| opening.language == Language::Python) else {
            continue;
        };
        let (mut code, mut is_whole) = opening.first.unwrap_or_default();
        // An unclosed block extends to the end.
        while !is_whole && let Some(line) = lines.next() {
            let before = opening.closing.closes(line);
            is_whole = before.is_some();
            let line = before.unwrap_or(line);
            if !is_whole || !line.is_empty() {
                code.extend([line, "\n"]);
            }
        }
        blocks.push(markdown::dedent(&code));
    }
    if blocks.is_empty() && !text.trim().is_empty() {
        blocks.push(text.to_string());
    }
    blocks
}

#[cfg(test)]
mod tests {

    use super::*;
    use backend::Tools;
    use domain::interaction::{CodeResult, Content, GenerationConfig, Outcome};

    #[test]
    fn blocks_of_python_are_the_code() {
        let cases: [(&str, &[&str]); 10] = [
            ("```python\nprint(1)\n```", &["print(1)\n"]),
            (
                "Run\n```py\na = 1\n\nb = 2\n```\nand\n```python\nc\n```\n.",
                &["a = 1\n\nb = 2\n", "c\n"],
            ),
            ("```python\nprint('```')\n```\n", &["print('```')\n"]),
            ("```python\nx = 1\ny = 2", &["x = 1\ny = 2\n"]),
            ("```python\r\nx\r\n```\r\n", &["x\n"]),
            ("print(6 * 7)", &["print(6 * 7)"]),
            ("1. So:\n\n   ```Python\n   if a:\n     b\n   ```\n", &["if a:\n  b\n"]),
            ("```\n```python\nx\n```", &["x\n"]),
            ("```js\nalert(1)\n```", &["```js\nalert(1)\n```"]),
            (" \n", &[]),
        ];
        for (text, expected) in cases {
            assert_eq!(codes(text), expected, "{text}");
        }
    }

    fn prompt(runs: usize, tools: Tools) -> Prompt {
        let result = Step::CodeResult(CodeResult {
            call_id: "c".into(),
            outcome: Outcome::Failed,
            result: String::new(),
            stdout: String::new(),
            images: 0,
            signature: String::new(),
        });
        let mut steps = vec![
            Step::UserInput(vec![Content::text("1 + 1")]),
            result.clone(),
            Step::UserInput(vec![Content::text("```py\na\n```"), Content::text("```py\nb\n```")]),
        ];
        steps.extend(std::iter::repeat_n(result, runs));
        Prompt {
            model: "direct".into(),
            system_instruction: None,
            tools,
            generation_config: GenerationConfig::default(),
            steps: steps.into(),
            files: [].into(),
        }
    }

    fn with_tool() -> Tools {
        Tools { code_execution: true, offered: vec![TOOL.into()], ..Tools::default() }
    }

    fn done() -> Vec<ModelEvent> {
        vec![ModelEvent::Text("done".into()), ModelEvent::End(End::default())]
    }

    #[test]
    fn one_block_a_turn_and_then_done() {
        assert_eq!(answer(&prompt(0, with_tool())), [ModelEvent::Code("a\n".into())]);
        assert_eq!(answer(&prompt(1, with_tool())), [ModelEvent::Code("b\n".into())]);
        assert_eq!(answer(&prompt(2, with_tool())), done());
    }

    #[test]
    fn after_the_tool_is_removed_the_answer_counts_the_blocks_that_did_not_run() {
        let tools = || Tools { code_execution: false, ..with_tool() };
        assert_eq!(answer(&prompt(2, tools())), done());
        let output = answer(&prompt(1, tools()));
        let [ModelEvent::Text(text), ModelEvent::End(end)] = &output[..] else {
            panic!("{output:?}")
        };
        assert!(text.starts_with("stopped: 1 of 2 blocks were not run."), "{text}");
        assert_eq!(end.finish, Finish::MaxTokens);
    }

    #[test]
    fn without_the_tool_the_answer_asks_for_it() {
        let output = answer(&prompt(0, Tools::default()));
        assert_eq!(output[0], ModelEvent::Text(NO_TOOL.into()));
    }
}
