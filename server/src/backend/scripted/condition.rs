//! When a scenario applies, and where it differs when it does not.

use std::num::NonZeroUsize;

use globset::{Glob, GlobMatcher};
use regex::Regex;
use serde::Deserialize;

use super::after::{self, After, Before};
use super::chain::Scene;
use super::template;

/// How much of a text is shown to say what was got.
const QUOTED_CHARS: usize = 120;

/// Every condition that is there must hold; where there is none, the scenario always applies.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a map of conditions")]
pub struct When {
    input: Option<Input>,
    model: Option<ModelGlob>,
    tools: Vec<String>,
    turn: Option<NonZeroUsize>,
    files: Option<Files>,
    after: After,
    /// All that the client said before, in this order.
    earlier: Option<Vec<Before>>,
}

/// The newest user text.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a map with `contains`, `equals` or `matches`")]
struct Input {
    contains: Option<String>,
    equals: Option<String>,
    matches: Option<Pattern>,
}

/// What lies in the working directory.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a map with `count` or `mime_type`")]
struct Files {
    /// Exactly so many: of the MIME type, where there is one beside it.
    count: Option<usize>,
    /// At least one such file, where there is no count beside it.
    mime_type: Option<String>,
    /// What is in all files, in their order: hashes in hexadecimal digits, or the beginnings of them.
    sha256: Option<Vec<String>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
struct Pattern(Regex);

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(pattern: String) -> Result<Pattern, String> {
        template::compile(&pattern).map(Pattern).map_err(|error| error.to_string())
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
struct ModelGlob(GlobMatcher);

impl TryFrom<String> for ModelGlob {
    type Error = String;

    fn try_from(glob: String) -> Result<ModelGlob, String> {
        Glob::new(&glob).map(|glob| ModelGlob(glob.compile_matcher())).map_err(|e| e.to_string())
    }
}

/// How a scene compares with all the conditions of a scenario.
#[derive(Debug, Default)]
pub struct Verdict {
    pub held: usize,
    pub missed: Vec<Miss>,
}

/// A condition that does not hold.
#[derive(Debug, PartialEq, Eq)]
pub struct Miss {
    pub condition: &'static str,
    pub wanted: String,
    pub got: String,
    /// Whether it asks about the conversation, rather than about what else the request holds.
    pub about_chain: bool,
}

impl Verdict {
    pub fn applies(&self) -> bool {
        self.missed.is_empty()
    }

    /// Whether the conversation is the right one, whatever else the request holds. A client that
    /// answers a function call may well leave out the tools that it offered before.
    pub fn applies_to_chain(&self) -> bool {
        self.missed.iter().all(|miss| !miss.about_chain)
    }

    fn about_chain(&mut self, name: &'static str, held: bool, texts: impl FnOnce() -> [String; 2]) {
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
        about_chain: bool,
        held: bool,
        texts: impl FnOnce() -> [String; 2],
    ) {
        if held {
            self.held += 1;
        } else {
            let [wanted, got] = texts();
            self.missed.push(Miss { condition, wanted, got, about_chain });
        }
    }
}

impl When {
    /// Whether the scenario waits for the answer to a function call.
    pub fn follows_a_call(&self) -> bool {
        !self.after.0.is_empty()
    }

    /// How many patterns it has, each of which takes memory.
    pub fn patterns(&self) -> usize {
        self.input.iter().filter(|input| input.matches.is_some()).count()
    }

    /// The text that it asks for, or what comes nearest to one.
    pub fn text(&self) -> &str {
        let Some(input) = &self.input else { return "" };
        let texts = [&input.equals, &input.contains].into_iter().flatten().map(String::as_str);
        texts.chain(input.matches.iter().map(|pattern| pattern.0.as_str())).next().unwrap_or("")
    }

    /// The model that it asks for, or the pattern of its name.
    pub fn model_name(&self) -> &str {
        self.model.as_ref().map_or("*", |glob| glob.0.glob().glob())
    }

    pub fn answers(&self) -> &After {
        &self.after
    }

    pub fn earlier(&self) -> &[Before] {
        self.earlier.as_deref().unwrap_or_default()
    }

    pub fn judge(&self, scene: &Scene<'_>) -> Verdict {
        let mut verdict = Verdict::default();
        if !self.after.0.is_empty() {
            verdict.about_chain("after", self.after.holds(&scene.results), || {
                [self.after.wanted(), self.after.got(&scene.results)]
            });
        }
        if let Some(earlier) = &self.earlier {
            verdict.about_chain("earlier", after::were(earlier, &scene.earlier), || {
                [after::told_before(earlier), after::told_said(&scene.earlier)]
            });
        }
        if let Some(input) = &self.input {
            input.judge(scene, &mut verdict);
        }
        if let Some(turn) = self.turn {
            verdict.about_chain("turn", turn.get() == scene.turn, || {
                [turn.to_string(), scene.turn.to_string()]
            });
        }
        if let Some(ModelGlob(glob)) = &self.model {
            verdict.about_request("model", glob.is_match(scene.model), || {
                [glob.glob().to_string(), scene.model.to_string()]
            });
        }
        if !self.tools.is_empty() {
            let held = self.tools.iter().all(|tool| scene.offered.contains(tool));
            verdict.about_request("tools", held, || {
                [listed("", &self.tools), listed("no tools", scene.offered)]
            });
        }
        if let Some(files) = &self.files {
            files.judge(scene, &mut verdict);
        }
        verdict
    }
}

impl Input {
    fn judge(&self, scene: &Scene<'_>, verdict: &mut Verdict) {
        let Scene { input, lower_input, .. } = scene;
        if let Some(text) = &self.contains {
            verdict.about_chain(
                "input.contains",
                lower_input.contains(&text.to_lowercase()),
                || [quoted(text), quoted(input)],
            );
        }
        if let Some(text) = &self.equals {
            verdict.about_chain("input.equals", *lower_input == text.to_lowercase(), || {
                [quoted(text), quoted(input)]
            });
        }
        if let Some(Pattern(regex)) = &self.matches {
            verdict.about_chain("input.matches", regex.is_match(input), || {
                [format!("/{regex}/"), quoted(input)]
            });
        }
    }
}

impl Files {
    fn judge(&self, scene: &Scene<'_>, verdict: &mut Verdict) {
        let types: Vec<&str> = scene.files.iter().map(|file| file.mime_type.as_str()).collect();
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
            [wanted, listed("no files", &types)]
        });
        if let Some(wanted) = &self.sha256 {
            let found: Vec<String> = scene.files.iter().map(|file| file.content.sha256()).collect();
            let held = wanted.len() == found.len()
                && wanted.iter().zip(&found).all(|(w, found)| found.starts_with(&w.to_lowercase()));
            verdict.about_request("files.sha256", held, || {
                [listed("no files", wanted), listed("no files", &found)]
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

fn quoted(text: &str) -> String {
    let text = text.trim();
    match text.char_indices().nth(QUOTED_CHARS) {
        Some((end, _)) => format!("{:?} …", &text[..end]),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::backend::scripted::asked::Said;
    use crate::backend::{FileContent, InputFile};

    fn verdict(when: &str) -> Verdict {
        let when: When = serde_saphyr::from_str(when).expect(when);
        let file = |name: &str, mime_type: &str| InputFile {
            name: name.into(),
            mime_type: mime_type.into(),
            bytes: 1,
            content: FileContent::Here(name.to_owned().into()),
        };
        when.judge(&Scene {
            input: "What is the sum of the first 50 PRIME numbers?".into(),
            lower_input: "what is the sum of the first 50 prime numbers?".into(),
            turn: 2,
            answered: vec!["get_weather"],
            results: vec![Said::Result {
                name: "get_weather".into(),
                value: json!({"temperature": 21}),
            }],
            earlier: vec![Said::Text("Hi!".into())],
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
        assert!(verdict("{ turn: 2, tools: [browser], model: gpt }").applies_to_chain());
        assert!(!verdict("turn: 1").applies_to_chain());
    }
}
