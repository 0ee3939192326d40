//! Finds the scenario of a conversation and its next output.

use std::cmp::Reverse;
use std::ops::Range;

use crate::condition::conversation::{AwaitedResult, Conversation, MatchContext};
use crate::condition::time::ComparisonTime;
use crate::condition::when::Comparison;
use crate::condition::words::{self, WordSet};
use crate::position::{self, Next, Speech};
use crate::scenario::Scenario;
use journal::{MissedCondition, NearMiss};

/// Maximum length of an input in the name of a scenario.
const NAME_CHARS: usize = 40;
/// Number of levels of text similarity. Between scenarios of one level, the conditions decide.
const LIKENESS_STEPS: f64 = 4.0;

/// A scenario and its next output.
#[derive(Debug)]
pub struct Matched<'a> {
    pub scenario: &'a Scenario,
    pub speech: Speech<'a>,
}

/// Maximum number of scenarios that are named as near misses.
const MAX_NEAR_MISSES: usize = 3;

/// Why no scenario answers.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum NoAnswer {
    #[error("{text}")]
    Refused {
        /// For the client.
        text: String,
        /// The scenarios that are nearest to the request, nearest first.
        near_misses: Vec<NearMiss>,
    },
    #[error("comparing the request with {scenarios} scenarios takes too long")]
    TakesTooLong { scenarios: usize },
}

impl From<String> for NoAnswer {
    fn from(text: String) -> NoAnswer {
        NoAnswer::Refused { text, near_misses: Vec::new() }
    }
}

/// Number of earlier interactions with a recorded question.
type Take<'t> = &'t dyn Fn(&str) -> u64;

pub fn next<'a>(
    scenarios: &[&'a Scenario],
    conversation: Conversation<'a>,
    take: Take<'_>,
    time: &ComparisonTime<'_>,
) -> Result<Matched<'a>, NoAnswer> {
    if scenarios.is_empty() {
        return Err("No scenarios are loaded.".to_owned().into());
    }
    let mut start = conversation.newest_input();
    let mut tried = Vec::new();
    // The loop ends, because each answer is later in the chain than the one before.
    loop {
        let (scenario, next) =
            Choice { scenarios, conversation, start: &start, tried: &tried, take, time }.make()?;
        match next {
            Next::Output(speech) => return Ok(Matched { scenario, speech }),
            Next::Ended => return Err(ended(scenario).into()),
            Next::Answered(answers) => {
                tried.push(scenario);
                start = answers.steps;
            }
        }
    }
}

/// The search for the scenario that began at `start`.
struct Choice<'a, 'c> {
    scenarios: &'c [&'a Scenario],
    conversation: Conversation<'a>,
    start: &'c Range<usize>,
    /// The scenarios that led here since the newest user text. The same text still matches them,
    /// but they are finished, unless they require the result of a call.
    tried: &'c [&'a Scenario],
    take: Take<'c>,
    time: &'c ComparisonTime<'c>,
}

impl<'a> Choice<'a, '_> {
    /// The first scenario that applies and whose script can have led to the current state of the
    /// conversation.
    fn make(&self) -> Result<(&'a Scenario, Next<'a>), NoAnswer> {
        let context = self.conversation.match_context(self.start, self.time);
        let opening = self.conversation.answers(self.start).map(AwaitedResult::FunctionResults);
        let awaited = self.conversation.awaited_after(self.start);
        let mut judged: Vec<(&'a Scenario, Comparison)> = Vec::new();
        for scenario in self.scenarios.iter().copied().filter(|scenario| self.is_left(scenario)) {
            judged.push((scenario, scenario.when.judge(&context)));
            if self.time.is_over() {
                return Err(NoAnswer::TakesTooLong { scenarios: self.scenarios.len() });
            }
        }
        let next = |scenario: &'a Scenario| {
            position::next(&scenario.script, opening.as_ref(), &awaited).ok()
        };
        let first = |applies: fn(&Comparison) -> bool| {
            let applying = || judged.iter().filter(move |(_, v)| applies(v)).map(|(s, _)| *s);
            let fits = |scenario: &&'a Scenario| next(scenario).is_some();
            let first = applying().find(fits)?;
            // Recordings that are otherwise equal are distinguished by the model's earlier output.
            let first = match first.when.has_history_of(&context) {
                true => first,
                false => {
                    let same = |s: &&'a Scenario| {
                        !self.time.is_over()
                            && s.question.is_some()
                            && s.when.has_history_of(&context)
                    };
                    applying().filter(same).find(fits).unwrap_or(first)
                }
            };
            let chosen = match &first.question {
                Some(question) => self.take_of(question, first, next(first), applying()),
                None => first,
            };
            let chosen = if next(chosen).is_some() { chosen } else { first };
            Some((chosen, next(chosen)?))
        };
        let found = first(Comparison::applies);
        if self.time.is_over() {
            return Err(NoAnswer::TakesTooLong { scenarios: self.scenarios.len() });
        }
        if let Some(found) = found {
            return Ok(found);
        }
        let has_begun = !awaited.is_empty();
        if has_begun && let Some(found) = first(Comparison::applies_to_conversation) {
            return Ok(found);
        }
        Err(match judged.iter().find(|(_, verdict)| verdict.applies()) {
            Some((scenario, _)) => misfit(scenario).into(),
            None => no_match(&context, &judged, self.tried),
        })
    }

    /// Selects the recording of a question: the first one for the first request, and the last one
    /// when there are more requests than recordings. Failed recordings are used only if no other
    /// exists, because a client that retried got its answer in the end.
    fn take_of(
        &self,
        question: &str,
        first: &'a Scenario,
        next: Option<Next<'a>>,
        applying: impl Iterator<Item = &'a Scenario>,
    ) -> &'a Scenario {
        // It has already answered, in an earlier interaction.
        if let Some(Next::Answered(_)) = next {
            return first;
        }
        let same = |scenario: &&Scenario| scenario.question.as_deref() == Some(question);
        let mut takes: Vec<&Scenario> = applying.filter(same).collect();
        if takes.iter().any(|scenario| !scenario.fails()) {
            takes.retain(|scenario| !scenario.fails());
        }
        takes.sort_by_key(|scenario| scenario.take);
        let number = usize::try_from((self.take)(question)).unwrap_or(usize::MAX);
        takes.get(number).or(takes.last()).copied().unwrap_or(first)
    }

    fn is_left(&self, scenario: &Scenario) -> bool {
        let is_over = self.tried.iter().any(|tried| std::ptr::eq(*tried, scenario));
        scenario.when.follows_a_call() || !is_over
    }
}

fn ended(scenario: &Scenario) -> String {
    format!(
        "The script of the scenario `{}` has ended, but the model is called again. Add a part after \
         the code, such as a `text`, to answer its result.",
        scenario.name
    )
}

fn misfit(scenario: &Scenario) -> String {
    format!(
        "The scenario `{}` matches, but its script does not lead to this conversation: other \
         code ran, or other functions were called. Was the scenario changed in the meantime?",
        scenario.name
    )
}

fn no_match(
    context: &MatchContext<'_>,
    judged: &[(&Scenario, Comparison)],
    tried: &[&Scenario],
) -> NoAnswer {
    let mut text = String::from("No scenario matches this request.");
    if let Some(last) = tried.last() {
        text += &format!(
            " The script of `{}` ended with its function call, and nothing follows the result of {}.",
            last.name,
            context.answered.join(", ")
        );
    }
    let input = WordSet::of(context.input);
    let likeness = |scenario: &Scenario| {
        let likeness = input.likeness(&WordSet::of(scenario.when.text()));
        (likeness * LIKENESS_STEPS).round() as u64
    };
    let mut by_distance: Vec<_> = judged
        .iter()
        .map(|(scenario, verdict)| {
            let distance =
                Reverse((likeness(scenario), verdict.held, Reverse(verdict.missed.len())));
            (distance, *scenario)
        })
        .collect();
    // Stable: of equals, the first scenario stays first.
    by_distance.sort_by_key(|(distance, _)| *distance);
    by_distance.truncate(MAX_NEAR_MISSES);
    let explained =
        |(_, scenario): (_, &Scenario)| near_miss(scenario, scenario.when.explain(context));
    let near_misses: Vec<NearMiss> = by_distance.into_iter().map(explained).collect();
    if let Some(NearMiss { scenario, missed }) = near_misses.first()
        && let [miss, others @ ..] = &missed[..]
    {
        text += &format!(
            " The nearest is `{}`: its condition `{}` wants {}, and got {}",
            scenario, miss.condition, miss.wanted, miss.got
        );
        let others: Vec<String> =
            others.iter().map(|miss| format!("`{}`", miss.condition)).collect();
        if others.is_empty() {
            text += ".";
        } else {
            text += &format!("; {} does not hold either.", others.join(", "));
        }
    }
    text += "\nA scenario that would match it, for a file:\n\n";
    text += &to_paste(context);
    NoAnswer::Refused { text, near_misses }
}

fn near_miss(scenario: &Scenario, verdict: Comparison) -> NearMiss {
    let missed = verdict.missed.into_iter().map(|miss| MissedCondition {
        condition: miss.condition,
        wanted: miss.wanted,
        got: miss.got,
    });
    NearMiss { scenario: scenario.name.clone(), missed: missed.collect() }
}

/// A scenario for exactly this request. Texts are quoted as in JSON, which YAML accepts.
fn to_paste(context: &MatchContext<'_>) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let name = words::beginning(context.input, NAME_CHARS);
    let mut when = format!("input: {{ equals: {} }}", quoted(context.input));
    if context.turn > 1 {
        when += &format!("\n      turn: {}", context.turn);
    }
    if let [function, ..] = context.answered[..] {
        when += &format!("\n      after: {{ function_result: {} }}", quoted(function));
    }
    format!(
        "scenarios:\n  - name: {}\n    when:\n      {when}\n    script:\n      - text: \"…\"\n",
        quoted(&name)
    )
}
