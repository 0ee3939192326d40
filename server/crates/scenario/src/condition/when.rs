//! Evaluates whether a scenario applies, and reports the conditions that fail.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use globset::GlobMatcher;
use serde::Deserialize;
use serde_json::Value as Json;

use super::after::{self, After, Before, beginning_of};
use super::conversation::MatchContext;
use super::given;
use super::same::{Ignore, same_json, same_text};
use super::time::Ignoring;
use crate::pattern::{self, Pattern};

/// Maximum length of an actual text in an error.
const QUOTED_CHARS: usize = 120;

/// All conditions must hold; without any, the scenario always applies.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a map of conditions")]
pub struct When {
    pub(crate) input: Option<Input>,
    pub(crate) model: Option<ModelGlob>,
    pub(crate) tools: Vec<String>,
    pub(crate) turn: Option<NonZeroUsize>,
    pub(crate) files: Option<FileCondition>,
    pub(crate) after: After,
    /// All earlier messages of the client, in this order.
    pub(crate) earlier: Option<Vec<Before>>,
    /// Empty if the request has none.
    pub(crate) system_instruction: Option<Input>,
    /// Exactly these tools are offered.
    pub(crate) only_tools: Option<Vec<String>>,
    /// Hashes of the function declarations, by name.
    pub(crate) functions: Option<BTreeMap<String, String>>,
    /// The whole generation config, including `response_format` and `tool_choice`.
    pub(crate) generation_config: Option<Json>,
    /// A hash of the model's earlier output. If several scenarios apply, those with a matching hash
    /// come first.
    pub(crate) history: Option<String>,
    /// Patterns that are ignored in texts that are compared as a whole.
    pub(crate) ignore: Ignore,
}

/// The newest user text, or another text.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a map with `contains`, `equals` or `matches`")]
pub struct Input {
    pub(crate) contains: Option<String>,
    pub(crate) equals: Option<String>,
    pub(crate) matches: Option<Matches>,
}

/// Files in the working directory.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a map with `count` or `mime_type`")]
pub struct FileCondition {
    /// The exact number of files; of this MIME type, if one is given.
    pub(crate) count: Option<usize>,
    /// At least one such file, if no count is given.
    pub(crate) mime_type: Option<String>,
    /// The contents of all files, in order: SHA-256 hashes in hexadecimal, or their prefixes.
    pub(crate) sha256: Option<Vec<String>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct Matches(pub(crate) Pattern);

impl TryFrom<String> for Matches {
    type Error = String;

    fn try_from(pattern: String) -> Result<Matches, String> {
        Pattern::compile(&pattern).map(Matches)
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct ModelGlob(pub(crate) GlobMatcher);

impl TryFrom<String> for ModelGlob {
    type Error = String;

    fn try_from(glob: String) -> Result<ModelGlob, String> {
        pattern::count_pattern()?;
        parse::glob::matcher(&glob).map(ModelGlob).map_err(|error| error.to_string())
    }
}

/// The result of comparing all conditions of a scenario.
#[derive(Debug, Default)]
pub struct Comparison {
    pub held: usize,
    pub missed: Vec<Miss>,
    /// Whether misses have texts. Most scenarios do not apply, and are never shown.
    explains: bool,
}

/// A condition that does not hold.
#[derive(Debug, PartialEq, Eq)]
pub struct Miss {
    pub condition: &'static str,
    /// Empty unless it is explained, as `got` is.
    pub wanted: String,
    pub got: String,
    /// Whether it is about the conversation rather than the rest of the request.
    pub about_conversation: bool,
}

impl Comparison {
    pub fn applies(&self) -> bool {
        self.missed.is_empty()
    }

    /// Whether the conversation matches, regardless of the rest of the request. A client that
    /// answers a function call may omit the tools that it offered before.
    pub fn applies_to_conversation(&self) -> bool {
        self.missed.iter().all(|miss| !miss.about_conversation)
    }

    fn about_conversation(
        &mut self,
        name: &'static str,
        held: bool,
        texts: impl FnOnce() -> [String; 2],
    ) {
        self.add(name, true, held, texts);
    }

    fn about_request(
        &mut self,
        name: &'static str,
        held: bool,
        texts: impl FnOnce() -> [String; 2],
    ) {
        self.add(name, false, held, texts);
    }

    fn add(
        &mut self,
        condition: &'static str,
        about_conversation: bool,
        held: bool,
        texts: impl FnOnce() -> [String; 2],
    ) {
        if held {
            self.held += 1;
        } else {
            let [wanted, got] = if self.explains { texts() } else { Default::default() };
            self.missed.push(Miss { condition, wanted, got, about_conversation });
        }
    }
}

impl When {
    /// Whether the scenario requires a function result.
    pub fn follows_a_call(&self) -> bool {
        !self.after.0.is_empty()
    }

    /// Number of patterns, each of which takes memory.
    pub fn patterns(&self) -> usize {
        let texts = self.input.iter().chain(&self.system_instruction);
        let of_texts = texts.filter(|text| text.matches.is_some()).count();
        of_texts + usize::from(self.model.is_some()) + self.ignore.patterns().count()
    }

    /// The text of the condition, or the closest equivalent.
    pub fn text(&self) -> &str {
        let Some(input) = &self.input else { return "" };
        let texts = [&input.equals, &input.contains].into_iter().flatten().map(String::as_str);
        texts
            .chain(input.matches.iter().map(|matches| matches.0.regex.as_str()))
            .next()
            .unwrap_or("")
    }

    /// The name or pattern of the model.
    pub fn model_name(&self) -> &str {
        self.model.as_ref().map_or("*", |glob| glob.0.glob().glob())
    }

    pub fn answers(&self) -> &After {
        &self.after
    }

    pub fn earlier(&self) -> &[Before] {
        self.earlier.as_deref().unwrap_or_default()
    }

    /// Whether the model's earlier output equals that of the recording. Not a condition, because
    /// the output may differ while the rest of the request is the same.
    pub fn has_history_of(&self, context: &MatchContext<'_>) -> bool {
        self.history
            .as_ref()
            .is_none_or(|hash| *hash == context.given.history(self.ignoring(context)))
    }

    fn ignoring<'c>(&'c self, context: &MatchContext<'c>) -> Ignoring<'c> {
        Ignoring { ignore: &self.ignore, time: context.time }
    }

    pub fn judge(&self, context: &MatchContext<'_>) -> Comparison {
        self.compare(context, Comparison::default())
    }

    /// The same, with a text for each miss.
    pub fn explain(&self, context: &MatchContext<'_>) -> Comparison {
        self.compare(context, Comparison { explains: true, ..Comparison::default() })
    }

    fn compare(&self, context: &MatchContext<'_>, mut verdict: Comparison) -> Comparison {
        let ignoring = self.ignoring(context);
        if !self.after.0.is_empty() {
            let held = self.after.holds(&context.results, ignoring);
            verdict.about_conversation("after", held, || {
                [self.after.wanted(), self.after.got(&context.results)]
            });
        }
        if let Some(earlier) = &self.earlier {
            let held = after::were(earlier, context.earlier, ignoring);
            verdict.about_conversation("earlier", held, || {
                [after::describe_wanted(earlier), after::describe_messages(context.earlier)]
            });
        }
        if let Some(input) = &self.input {
            let names = ["input.contains", "input.equals", "input.matches"];
            let text = (context.input, context.lower_input);
            input.judge(names, text, ignoring, |name, held, texts| {
                verdict.about_conversation(name, held, texts);
            });
        }
        if let Some(turn) = self.turn {
            verdict.about_conversation("turn", turn.get() == context.turn, || {
                [turn.to_string(), context.turn.to_string()]
            });
        }
        if let Some(ModelGlob(glob)) = &self.model {
            verdict.about_request("model", glob.is_match(context.model), || {
                [glob.glob().to_string(), cut(context.model)]
            });
        }
        if !self.tools.is_empty() {
            let held = self.tools.iter().all(|tool| context.offered.contains(tool));
            verdict.about_request("tools", held, || {
                [listed("", &self.tools), listed("no tools", context.offered)]
            });
        }
        if let Some(files) = &self.files {
            files.judge(context, &mut verdict);
        }
        self.judge_given(context, &mut verdict);
        verdict
    }

    /// Compares the rest of the model's input.
    fn judge_given(&self, context: &MatchContext<'_>, verdict: &mut Comparison) {
        let ignoring = self.ignoring(context);
        if let Some(instruction) = &self.system_instruction {
            let names = [
                "system_instruction.contains",
                "system_instruction.equals",
                "system_instruction.matches",
            ];
            let text = (context.given.instruction(), context.given.lower_instruction());
            instruction.judge(names, text, ignoring, |name, held, texts| {
                verdict.about_request(name, held, texts);
            });
        }
        if let Some(tools) = &self.only_tools {
            let all =
                |of: &[String], are_in: &[String]| of.iter().all(|tool| are_in.contains(tool));
            let held = all(tools, context.offered) && all(context.offered, tools);
            verdict.about_request("only_tools", held, || {
                [listed("no tools", tools), listed("no tools", context.offered)]
            });
        }
        if let Some(wanted) = &self.functions {
            let found = context.given.functions(ignoring);
            let differs = |(name, hash): (&String, &String)| {
                let got = found.get(name);
                let same = got.is_some_and(|got| got == hash || hash == given::ANY);
                (!same).then(|| (format!("{name} as {hash}"), got.cloned()))
            };
            let other = wanted.iter().find_map(differs);
            let surplus = found.keys().find(|name| !wanted.contains_key(*name));
            verdict.about_request(
                "functions",
                other.is_none() && surplus.is_none(),
                || match other {
                    Some((wanted, Some(got))) => {
                        [wanted, format!("a declaration with the hash {got}")]
                    }
                    Some((wanted, None)) => [wanted, "no such function".to_owned()],
                    None => [
                        listed("no functions", &wanted.keys().collect::<Vec<_>>()),
                        format!("{} as well", surplus.map_or("another", String::as_str)),
                    ],
                },
            );
        }
        if let Some(wanted) = &self.generation_config {
            let found = ignoring.without_json(context.given.config());
            verdict.about_request("generation_config", same_json(wanted, &found), || {
                [beginning_of(wanted), beginning_of(&found)]
            });
        }
    }
}

impl Input {
    /// `text` is the original, `lower` the same in lower case.
    fn judge(
        &self,
        [contains, equals, matches]: [&'static str; 3],
        (text, lower): (&str, &str),
        ignoring: Ignoring<'_>,
        mut verdict: impl FnMut(&'static str, bool, &dyn Fn() -> [String; 2]),
    ) {
        if let Some(wanted) = &self.contains {
            let held = lower.contains(&wanted.to_lowercase());
            verdict(contains, held, &|| [quoted(wanted), quoted(text)]);
        }
        if let Some(wanted) = &self.equals {
            let held = if ignoring.is_empty() {
                same_text(&wanted.to_lowercase(), lower)
            } else {
                same_text(&wanted.to_lowercase(), &ignoring.without(text).to_lowercase())
            };
            verdict(equals, held, &|| [quoted(wanted), quoted(text)]);
        }
        if let Some(Matches(pattern)) = &self.matches {
            let is_short = ignoring.time.allows(pattern, text.len());
            verdict(matches, is_short && pattern.regex.is_match(text), &|| {
                let got = match text.len() <= pattern.max_text_bytes {
                    true => quoted(text),
                    false => format!(
                        "a text of {} bytes, of which this pattern may search {}",
                        text.len(),
                        pattern.max_text_bytes
                    ),
                };
                [format!("/{}/", pattern.regex), got]
            });
        }
    }
}

impl FileCondition {
    fn judge(&self, context: &MatchContext<'_>, verdict: &mut Comparison) {
        let types: Vec<&str> = context.files.iter().map(|file| file.mime_type.as_str()).collect();
        let fitting = match &self.mime_type {
            Some(wanted) => types.iter().filter(|found| found.eq_ignore_ascii_case(wanted)).count(),
            None => types.len(),
        };
        let held = match self.count {
            Some(count) => fitting == count,
            None => self.mime_type.is_none() || fitting > 0,
        };
        verdict.about_request("files", held, || {
            let mut wanted = match self.count {
                None => "at least one file".to_string(),
                Some(1) => "1 file".to_string(),
                Some(count) => format!("{count} files"),
            };
            if let Some(mime_type) = &self.mime_type {
                wanted += &format!(" of the type {mime_type}");
            }
            let types: Vec<String> = types.iter().map(|found| cut(found)).collect();
            [wanted, listed("no files", &types)]
        });
        if let Some(wanted) = &self.sha256 {
            let found = context.given.file_hashes(context.files);
            let held = wanted.len() == found.len()
                && wanted.iter().zip(found).all(|(w, found)| found.starts_with(&w.to_lowercase()));
            verdict.about_request("files.sha256", held, || {
                [listed("no files", wanted), listed("no files", found)]
            });
        }
    }
}

fn listed<T: AsRef<str>>(none: &str, names: &[T]) -> String {
    match names {
        [] => none.into(),
        names => names.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", "),
    }
}

pub(crate) fn quoted(text: &str) -> String {
    let text = text.trim();
    match text.char_indices().nth(QUOTED_CHARS) {
        Some((end, _)) => format!("{:?} …", &text[..end]),
        None => format!("{text:?}"),
    }
}

pub(crate) fn cut(text: &str) -> String {
    match text.char_indices().nth(QUOTED_CHARS) {
        Some((end, _)) => format!("{} …", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::condition::asked::ClientMessage;
    use crate::condition::given::Given;
    use crate::condition::time::ComparisonTime;
    use backend::{FileContent, Function, InputFile, Prompt};

    fn verdict(when: &str) -> Comparison {
        let when: When = serde_saphyr::from_str(when).expect(when);
        let file = |name: &str, mime_type: &str| InputFile {
            name: name.into(),
            mime_type: mime_type.into(),
            bytes: 1,
            content: FileContent::Here(name.to_owned().into()),
        };
        let mut prompt = Prompt::text("m", "?");
        prompt.system_instruction = Some("Be brief on 2026-11-28.".into());
        prompt.generation_config = json!({"temperature": 1.0}).into();
        prompt.tools.functions = vec![Function {
            name: "get_weather".into(),
            description: None,
            parameters: Some(json!({"type": "object"})),
        }];
        when.explain(&MatchContext {
            given: Given::new(&prompt, 0),
            input: "What is the sum of the first 50 PRIME numbers?",
            lower_input: "what is the sum of the first 50 prime numbers?",
            turn: 2,
            answered: vec!["get_weather"],
            results: vec![&ClientMessage::Result {
                name: "get_weather".into(),
                value: json!({"temperature": 21}),
            }],
            earlier: &[ClientMessage::Text("Hi!".into())],
            time: &ComparisonTime::endless(),
            model: "gemini-3-flash-preview",
            offered: &["code_execution".into(), "get_weather".into()],
            files: &[
                file("input_file_0.csv", "text/csv"),
                file("input_file_1.jpeg", "image/jpeg"),
                file("input_file_2.jpeg", "image/jpeg"),
            ],
        })
    }

    #[test]
    fn a_condition_that_holds_applies() {
        for when in [
            "{}",
            "input: { contains: First 50 prime }",
            "input: { equals: what is the sum of the first 50 prime numbers? }",
            "input: { matches: '^What .*PRIME' }",
            "model: 'gemini-*'",
            "model: gemini-3-flash-preview",
            "tools: [code_execution]",
            "tools: [get_weather, code_execution]",
            "turn: 2",
            "files: { count: 3 }",
            "files: { mime_type: image/jpeg }",
            "files: { count: 1, mime_type: text/csv }",
            "files: { sha256: ['1291e1dbde6fd639', '253B9843', ''] }",
            "after: { function_result: get_weather }",
            "after: { function_result: get_weather, equals: { temperature: 21 } }",
            "after: [{ function_result: get_weather, equals: '{\"temperature\": 21}' }]",
            "earlier: [hi!]",
            "input: { equals: 'what is the sum of the first [redacted] numbers?' }",
            "{ input: { equals: 'what is the [ignored] numbers?' }, ignore: ['sum .* PRIME'] }",
            "system_instruction: { contains: be BRIEF }",
            "{ system_instruction: { equals: 'be brief on [ignored].' }, ignore: ['[0-9-]{10}'] }",
            "only_tools: [get_weather, code_execution]",
            "functions: { get_weather: 813cfbbb5fdff93c }",
            "functions: { get_weather: any }",
            "generation_config: { temperature: 1 }",
        ] {
            assert!(verdict(when).applies(), "{when}");
        }
    }

    #[test]
    fn a_condition_that_fails_says_what_it_wanted_and_what_it_got() {
        for (when, condition, wanted, got) in [
            ("input: { contains: pedal }", "input.contains", "\"pedal\"", "\"What is"),
            ("input: { equals: 50 prime }", "input.equals", "\"50 prime\"", "\"What is"),
            ("input: { matches: prime }", "input.matches", "/prime/", "\"What is"),
            ("model: gpt-*", "model", "gpt-*", "gemini-3-flash-preview"),
            ("tools: [google_search]", "tools", "google_search", "code_execution, get_weather"),
            ("turn: 1", "turn", "1", "2"),
            ("files: { count: 1 }", "files", "1 file", "text/csv, image/jpeg, image/jpeg"),
            (
                "files: { mime_type: image/png }",
                "files",
                "at least one file of the type image/png",
                "text",
            ),
            (
                "files: { sha256: ['00'] }",
                "files.sha256",
                "00",
                "1291e1dbde6fd63912f9d9f87e757e2f03808bd333c2a6238e517b11912dc90d",
            ),
            (
                "after: { function_result: f }",
                "after",
                "the result of the function f",
                "get_weather",
            ),
            (
                "after: { function_result: get_weather, equals: { temperature: 22 } }",
                "after",
                "the result {\"temperature\":22} of the function get_weather",
                "get_weather: {\"temperature\":21}",
            ),
            ("earlier: [hello]", "earlier", "\"hello\"", "\"Hi!\""),
            ("earlier: []", "earlier", "nothing", "\"Hi!\""),
            (
                "earlier: [hi!, { function_result: f }]",
                "earlier",
                "\"hi!\", the result of the function f",
                "\"Hi!\"",
            ),
            (
                "system_instruction: { equals: '' }",
                "system_instruction.equals",
                "\"\"",
                "\"Be brief on",
            ),
            ("only_tools: [code_execution]", "only_tools", "code_execution", "code_execution, get"),
            (
                "only_tools: [f, code_execution]",
                "only_tools",
                "f, code_execution",
                "code_execution",
            ),
            ("functions: {}", "functions", "no functions", "get_weather as well"),
            ("functions: { get_weather: 0a }", "functions", "get_weather as 0a", "a declaration"),
            (
                "functions: { f: any, get_weather: any }",
                "functions",
                "f as any",
                "no such function",
            ),
            ("generation_config: {}", "generation_config", "{}", "{\"temperature\":1.0}"),
        ] {
            let verdict = verdict(when);
            let [miss] = &verdict.missed[..] else { panic!("{when}: {verdict:?}") };
            assert_eq!((miss.condition, miss.wanted.as_str()), (condition, wanted));
            assert!(miss.got.starts_with(got), "{when}: {}", miss.got);
        }
    }

    #[test]
    fn conditions_that_hold_are_counted() {
        let verdict =
            verdict("{ turn: 2, model: 'gemini-*', tools: [browser], input: { contains: x } }");
        assert_eq!((verdict.held, verdict.missed.len()), (2, 2));
    }

    #[test]
    fn only_what_the_request_holds_besides_may_change_during_a_conversation() {
        assert!(verdict("{ turn: 2, tools: [browser], model: gpt }").applies_to_conversation());
        assert!(!verdict("turn: 1").applies_to_conversation());
    }
}
