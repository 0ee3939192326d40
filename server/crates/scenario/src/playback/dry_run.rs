//! Runs a scenario without a client, to check the results of its code.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value as Json, json};

use super::speech::{self, Line};
use crate::condition::after::Before;
use crate::condition::conversation::{ClientMessages, Conversation};
use crate::condition::time::ComparisonTime;
use crate::condition::when::When;
use crate::matching::matcher;
use crate::scenario::part::{Expect, Part};
use crate::scenario::{GivenFile, Scenario};
use backend::{FileContent, InputFile, ModelEvent, Prompt, Tools};
use domain::interaction::{Content, FunctionResult, GenerationConfig, Step};

const CODE_EXECUTION: &str = "code_execution";

/// A single scenario, and the request that it was made for.
#[derive(Debug)]
pub struct DryRun {
    scenario: Scenario,
    prompt: Prompt,
}

/// Code of a script.
#[derive(Debug)]
pub struct NextCode {
    pub code: String,
    pub expect: Option<Expect>,
}

impl DryRun {
    /// `bytes` are the sizes of its given files.
    pub fn of(scenario: &Scenario, bytes: &[u64]) -> DryRun {
        let when = &scenario.when;
        let mut steps = Vec::new();
        for before in when.earlier() {
            match before {
                Before::Text(text) => {
                    steps.push(user(text));
                    steps.push(Step::ModelOutput(vec![Content::text("…")]));
                }
                Before::Answer(answer) => {
                    steps.push(result(&answer.function_result, answer.equals.as_ref()));
                    steps.push(Step::ModelOutput(vec![Content::text("…")]));
                }
            }
        }
        steps.push(user(when.text()));
        let answers = &when.answers().0;
        steps.extend(answers.iter().map(|a| result(&a.function_result, a.equals.as_ref())));
        let files = scenario.given.iter().zip(bytes).map(|(given, bytes)| InputFile {
            name: given.name.clone(),
            mime_type: given.mime_type.clone(),
            bytes: *bytes,
            content: FileContent::Here(Bytes::new()), // not read
        });
        let prompt = Prompt {
            model: when.model_name().to_owned(),
            system_instruction: None,
            tools: Tools {
                code_execution: true,
                offered: vec![CODE_EXECUTION.to_owned()],
                ..Tools::default()
            },
            generation_config: GenerationConfig::default(),
            steps: steps.into(),
            files: files.collect::<Vec<_>>().into(),
        };
        // Conditions on anything else are removed, so that this scenario always applies.
        DryRun { scenario: Scenario { when: When::default(), ..scenario.clone() }, prompt }
    }

    /// The initial steps of the conversation.
    pub fn steps(&self) -> Vec<Step> {
        self.prompt.steps.to_vec()
    }

    /// The next code of the script and its expected result. `None` if the script has finished or
    /// continues with a function result of the client.
    pub fn next(&self, steps: &[Step], may_run_code: bool) -> Result<Option<NextCode>, String> {
        let tools = Tools { code_execution: may_run_code, ..self.prompt.tools.clone() };
        let prompt = Prompt { steps: Arc::from(steps), tools, ..self.prompt.clone() };
        let read = ClientMessages::of(&prompt);
        let conversation = Conversation::new(&read);
        let (scenarios, time) = ([&self.scenario], ComparisonTime::endless());
        let matched = matcher::next(&scenarios, conversation, &|_| 0, &time);
        let matched = matched.map_err(|none| none.to_string())?;
        let expect = matched.speech.expect.cloned();
        let lines = speech::lines(&matched, &conversation.names())?;
        Ok(lines.into_iter().find_map(|line| match line {
            Line::Event(ModelEvent::Code(code)) => Some(NextCode { code, expect: expect.clone() }),
            _ => None,
        }))
    }
}

impl Scenario {
    /// Whether it runs any code.
    pub fn has_code(&self) -> bool {
        fn any(parts: &[Part]) -> bool {
            parts.iter().any(|part| match part {
                Part::Code(_) | Part::RepeatCodeUntilOk(_) => true,
                Part::IfError(parts) | Part::IfOk(parts) => any(parts),
                _ => false,
            })
        }
        any(&self.script)
    }

    pub fn given(&self) -> &[GivenFile] {
        &self.given
    }
}

fn user(text: &str) -> Step {
    Step::UserInput(vec![Content::text(text)])
}

fn result(name: &str, value: Option<&Json>) -> Step {
    Step::FunctionResult(FunctionResult {
        call_id: name.to_owned(),
        name: Some(name.to_owned()),
        result: value.cloned().unwrap_or_else(|| json!({})),
        is_error: false,
    })
}
