//! Unusual but valid responses that real users got from the real service or a compatible one, and
//! that broke their clients. Each has a name and the public issue that describes it.
//!
//! `http/middleware/quirk` produces the responses; this module only names them.

use serde::Deserialize;

/// A response that a real client did not expect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub enum Quirk {
    SeveralResults,
    CodeTwice,
    PictureBeforeResult,
    MalformedFunctionCall,
    CandidateWithoutContent,
    UnexpectedToolCall,
    StopWithoutParts,
    BlockedPrompt,
    ChunkWithoutContent,
    StopInEveryChunk,
    EarlyFinish,
    LeadingFinish,
    FinishAlone,
    CutShort,
    BareError,
    UnknownEvents,
    CompletedWithoutSteps,
    NoCompletedEvent,
}

/// Which responses a quirk changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Where {
    /// `generateContent`, unary and streamed.
    Generate,
    /// `streamGenerateContent`.
    GenerateStream,
    /// Interactions, unary and streamed.
    Interactions,
    /// Streamed interactions.
    InteractionsStream,
}

/// Description of a quirk.
#[derive(Debug, Clone, Copy)]
pub struct QuirkDescription {
    pub quirk: Quirk,
    pub name: &'static str,
    /// The issue or change that describes it.
    pub issue: &'static str,
    pub place: Where,
    pub what: &'static str,
}

/// All quirks, in the order in which `belljar doctor --client` tests them.
pub const QUIRKS: [QuirkDescription; 18] = [
    QuirkDescription {
        quirk: Quirk::SeveralResults,
        name: "several_results",
        issue: "https://github.com/vercel/ai/issues/11485",
        place: Where::Generate,
        what: "one `executableCode` followed by two `codeExecutionResult`s, all without an id: \
               the printed output, and the error",
    },
    QuirkDescription {
        quirk: Quirk::CodeTwice,
        name: "code_twice",
        issue: "https://github.com/pydantic/pydantic-ai/pull/3396",
        place: Where::GenerateStream,
        what: "the chunk with the `executableCode` comes twice",
    },
    QuirkDescription {
        quirk: Quirk::PictureBeforeResult,
        name: "picture_before_result",
        // No issue contains such a response; this one is about images of code that were lost.
        issue: "https://github.com/langchain-ai/langchain-google/issues/1048",
        place: Where::Generate,
        what: "the image that the code made comes before the `codeExecutionResult`",
    },
    QuirkDescription {
        quirk: Quirk::MalformedFunctionCall,
        name: "malformed_function_call",
        issue: "https://github.com/vercel/ai/pull/5039",
        place: Where::Generate,
        what: "`MALFORMED_FUNCTION_CALL` with an empty object as content",
    },
    QuirkDescription {
        quirk: Quirk::CandidateWithoutContent,
        name: "candidate_without_content",
        issue: "https://github.com/pydantic/pydantic-ai/pull/3300",
        place: Where::Generate,
        what: "`MALFORMED_FUNCTION_CALL` without any content, model or id",
    },
    QuirkDescription {
        quirk: Quirk::UnexpectedToolCall,
        name: "unexpected_tool_call",
        issue: "https://github.com/epam/ai-dial-adapter-vertexai/issues/325",
        place: Where::Generate,
        what: "a call of an undeclared function, with `UNEXPECTED_TOOL_CALL`",
    },
    QuirkDescription {
        quirk: Quirk::StopWithoutParts,
        name: "stop_without_parts",
        issue: "https://github.com/google-gemini/deprecated-generative-ai-python/issues/744",
        place: Where::Generate,
        what: "`STOP` with a content that has only a role",
    },
    QuirkDescription {
        quirk: Quirk::BlockedPrompt,
        name: "blocked_prompt",
        issue: "https://github.com/vercel/ai/issues/19758",
        place: Where::Generate,
        what: "no candidate, and a `promptFeedback` with the reason",
    },
    QuirkDescription {
        quirk: Quirk::ChunkWithoutContent,
        name: "chunk_without_content",
        issue: "https://github.com/BerriAI/litellm/issues/28884",
        place: Where::GenerateStream,
        what: "a chunk in the middle whose candidate has metadata but neither content nor finish reason",
    },
    QuirkDescription {
        quirk: Quirk::StopInEveryChunk,
        name: "stop_in_every_chunk",
        issue: "https://github.com/songquanpeng/one-api/issues/1408",
        place: Where::GenerateStream,
        what: "every chunk has `STOP`, and the stream continues",
    },
    QuirkDescription {
        quirk: Quirk::EarlyFinish,
        name: "early_finish",
        issue: "https://github.com/0xPlaygrounds/rig/pull/2328",
        place: Where::GenerateStream,
        what: "the chunk with the `codeExecutionResult` has `STOP`, and the answer follows",
    },
    QuirkDescription {
        quirk: Quirk::LeadingFinish,
        name: "leading_finish",
        issue: "https://github.com/Chevey339/kelivo/issues/1003",
        place: Where::GenerateStream,
        what: "two chunks with `STOP` and without parts, the first and the last of the stream",
    },
    QuirkDescription {
        quirk: Quirk::FinishAlone,
        name: "finish_alone",
        issue: "https://github.com/agentjido/req_llm/issues/638",
        place: Where::GenerateStream,
        what: "a last chunk with only the finish reason and the token counts, without content",
    },
    QuirkDescription {
        quirk: Quirk::CutShort,
        name: "cut_short",
        issue: "https://github.com/tashfeenahmed/freellmapi/pull/1288",
        place: Where::GenerateStream,
        what: "a stream that ends without error, and without a finish reason in any chunk",
    },
    QuirkDescription {
        quirk: Quirk::BareError,
        name: "bare_error",
        issue: "https://github.com/googleapis/js-genai/issues/1973",
        place: Where::Interactions,
        what: "a stream that ends after its second event with an error as a bare line of JSON; \
               without a stream, 400 `prohibited_content`",
    },
    QuirkDescription {
        quirk: Quirk::UnknownEvents,
        name: "unknown_events",
        issue: "https://github.com/CopilotKit/aimock/issues/277",
        place: Where::InteractionsStream,
        what: "events with the names used before May 2026, none of which a current client \
               knows",
    },
    QuirkDescription {
        quirk: Quirk::CompletedWithoutSteps,
        name: "completed_without_steps",
        issue: "https://github.com/mozilla-ai/any-llm/pull/1383",
        place: Where::InteractionsStream,
        what: "`interaction.completed` without the steps, which is how Belljar always sends it",
    },
    QuirkDescription {
        quirk: Quirk::NoCompletedEvent,
        name: "no_completed_event",
        issue: "https://github.com/LionSR/TeXRA/pull/6550",
        place: Where::InteractionsStream,
        what: "a stream that ends without error, and without `interaction.completed` and `done`",
    },
];

impl Quirk {
    pub fn about(self) -> &'static QuirkDescription {
        QUIRKS.iter().find(|about| about.quirk == self).expect("every quirk has a row")
    }
}

impl TryFrom<String> for Quirk {
    type Error = String;

    fn try_from(name: String) -> Result<Quirk, String> {
        let found = QUIRKS.iter().find(|about| about.name == name);
        found.map(|about| about.quirk).ok_or_else(|| {
            let known: Vec<&str> = QUIRKS.iter().map(|about| about.name).collect();
            format!("unknown quirk `{name}`: expected one of {}", known.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_quirk_has_one_name_and_one_issue() {
        for about in &QUIRKS {
            assert_eq!(Quirk::try_from(about.name.to_owned()), Ok(about.quirk));
            assert_eq!(about.quirk.about().name, about.name, "a quirk has one row");
            assert!(about.issue.starts_with("https://github.com/"), "{}", about.issue);
        }
        let error = Quirk::try_from("odd".to_owned()).expect_err("there is none");
        assert!(error.contains("several_results"), "{error}");
    }
}
