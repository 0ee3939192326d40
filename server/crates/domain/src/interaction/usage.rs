//! Token counts by modality, and their estimate from the events of a log.
//!
//! Four letters count as one token. At the end of an interaction the
//! model's own counts replace the estimate; during it, and for single steps, there is only the
//! estimate.

use strum::{EnumIter, IntoEnumIterator as _, IntoStaticStr, VariantNames};

use super::event::{Delta, Event, StepStart};
use super::step::{Content, Media, MediaKind, Source, Step};

/// Google's rule of thumb.
pub const LETTERS_PER_TOKEN: usize = 4;

/// What tokens represent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumIter, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum Modality {
    Text,
    Image,
    Audio,
    Video,
    Document,
}

impl Modality {
    /// The name in the interactions API. The other API has it in capitals.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Numbers of tokens by modality.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tokens([u64; Modality::VARIANTS.len()]);

impl Tokens {
    pub fn new(modality: Modality, count: u64) -> Tokens {
        let mut tokens = Tokens::default();
        tokens.0[modality as usize] = count;
        tokens
    }

    pub fn text(count: u64) -> Tokens {
        Tokens::new(Modality::Text, count)
    }

    pub fn count(&self, modality: Modality) -> u64 {
        self.0[modality as usize]
    }

    pub fn total(&self) -> u64 {
        self.0.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Text, and every other modality that is not zero.
    pub fn by_modality(&self) -> impl Iterator<Item = (Modality, u64)> {
        let counts = self.0;
        let all = Modality::iter().zip(counts);
        all.filter(|(modality, count)| *modality == Modality::Text || *count > 0)
    }

    /// A total without modalities, split in the same proportions as these counts.
    #[must_use]
    pub fn scaled_to(&self, total: u64) -> Tokens {
        let estimated = u128::from(self.total());
        let mut tokens = Tokens::default();
        for modality in Modality::iter().skip(1) {
            let share = u128::from(self.count(modality)) * u128::from(total);
            let share = share.checked_div(estimated).unwrap_or_default();
            tokens.0[modality as usize] = u64::try_from(share).unwrap_or(total);
        }
        tokens.0[Modality::Text as usize] = total.saturating_sub(tokens.total());
        tokens
    }

    fn since(&self, before: &Tokens) -> Tokens {
        let mut tokens = *self;
        for (count, before) in tokens.0.iter_mut().zip(before.0) {
            *count = count.saturating_sub(before);
        }
        tokens
    }
}

impl std::ops::AddAssign for Tokens {
    fn add_assign(&mut self, more: Tokens) {
        for (count, more) in self.0.iter_mut().zip(more.0) {
            *count = count.saturating_add(more);
        }
    }
}

impl std::iter::Sum for Tokens {
    fn sum<I: Iterator<Item = Tokens>>(all: I) -> Tokens {
        all.fold(Tokens::default(), |mut sum, tokens| {
            sum += tokens;
            sum
        })
    }
}

/// Token counts. `total` is derived, never stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// The prompt, counted once.
    pub input: Tokens,
    /// Output that the client sees: code and text.
    pub output: Tokens,
    pub thought: u64,
    /// Prompts of later turns: earlier code and its results, which the model reads again.
    pub tool_use: Tokens,
    pub cached: u64,
    /// Number of searches.
    pub searches: u64,
}

impl Usage {
    pub fn total(&self) -> u64 {
        let parts = [self.input.total(), self.output.total(), self.thought, self.tool_use.total()];
        parts.into_iter().fold(0, u64::saturating_add)
    }

    /// The difference to an earlier count.
    #[must_use]
    pub fn since(&self, before: &Usage) -> Usage {
        Usage {
            input: self.input.since(&before.input),
            output: self.output.since(&before.output),
            thought: self.thought.saturating_sub(before.thought),
            tool_use: self.tool_use.since(&before.tool_use),
            cached: self.cached.saturating_sub(before.cached),
            searches: self.searches.saturating_sub(before.searches),
        }
    }
}

/// Estimates the usage of a log, event by event.
#[derive(Debug, Clone, Copy, Default)]
pub struct UsageEstimate {
    prompt: Option<Tokens>,
    /// Letters are counted, not tokens, so that the split into pieces makes no difference.
    thought_letters: u64,
    output_letters: u64,
    /// Tokens of the code that runs.
    code: u64,
    /// Code and results, which the model reads again in each later turn of this interaction.
    reread: Tokens,
    tool_use: Tokens,
    searches: u64,
    /// The estimate at the start of the current step.
    at_step_start: Usage,
    /// Whether steps are passed through from an upstream, which counts them itself.
    has_passthrough: bool,
    /// Whether the current step is of a tool of this server.
    of_tool: bool,
    /// The counts in the last event.
    ended: Option<Usage>,
}

impl UsageEstimate {
    pub fn new<'a>(events: impl IntoIterator<Item = &'a Event>) -> UsageEstimate {
        let mut tally = UsageEstimate::default();
        events.into_iter().for_each(|event| tally.add(event));
        tally
    }

    pub fn add(&mut self, event: &Event) {
        match event {
            Event::Created(settings) => self.prompt = settings.prompt,
            Event::StepStarted { start, .. } => {
                self.at_step_start = self.estimate();
                self.has_passthrough |= matches!(start, StepStart::Passthrough(_));
                self.of_tool = matches!(start, StepStart::Tool(_));
            }
            Event::StepDelta { delta, .. } => self.delta(delta),
            Event::Finished { usage, .. } => self.ended = Some(*usage),
            Event::StepStopped { .. } | Event::UpstreamUsage(_) | Event::Failed(_) => {}
        }
    }

    fn delta(&mut self, delta: &Delta) {
        match delta {
            Delta::ThoughtSummary(text) => self.thought_letters += letters(text),
            Delta::Text(text) | Delta::FunctionArguments(text) => {
                self.output_letters += letters(text);
            }
            Delta::CodeCall { code, .. } => {
                self.output_letters += letters(code);
                self.code = text(code);
            }
            Delta::CodeResult(result) => {
                self.reread += Tokens::text(self.code + text(&result.result));
                self.tool_use += self.reread;
            }
            // A picture of a run. It follows the result, and the model reads both.
            Delta::Media(picture) => {
                let tokens = media(picture);
                self.reread += tokens;
                self.tool_use += tokens;
            }
            // Clients are not charged for search results.
            Delta::SearchResult(_) => self.searches += 1,
            // What a tool returned, and the model reads.
            Delta::Passthrough(json) if self.of_tool => {
                if let Some(result) = json.get("result") {
                    self.reread += Tokens::text(text(&result.to_string()));
                    self.tool_use += self.reread;
                }
            }
            Delta::ThoughtSignature(_)
            | Delta::SearchCall { .. }
            | Delta::Citations(_)
            | Delta::Passthrough(_) => {}
        }
    }

    /// Tokens that the model reads again in a further turn.
    pub fn reread(&self) -> Tokens {
        self.reread
    }

    /// The estimate so far.
    pub fn estimate(&self) -> Usage {
        Usage {
            input: self.prompt.unwrap_or_default(),
            output: Tokens::text(of_letters(self.output_letters)),
            thought: of_letters(self.thought_letters),
            tool_use: self.tool_use,
            cached: 0,
            searches: self.searches,
        }
    }

    /// The usage so far. None if an old log lacks the size of its prompt, or if steps are passed
    /// through.
    pub fn so_far(&self) -> Option<Usage> {
        self.ended.or_else(|| self.can_estimate().then(|| self.estimate()))
    }

    /// The estimate of the newest step.
    pub fn of_step(&self) -> Option<Usage> {
        self.can_estimate().then(|| self.estimate().since(&self.at_step_start))
    }

    fn can_estimate(&self) -> bool {
        self.prompt.is_some() && !self.has_passthrough
    }
}

/// Tokens of a step in a prompt. Media that are not in the request are not counted here.
pub fn step(step: &Step) -> Tokens {
    match step {
        Step::UserInput(contents) | Step::ModelOutput(contents) => {
            contents.iter().map(content).sum()
        }
        Step::Thought { summary, .. } => Tokens::text(text(summary)),
        Step::CodeCall(call) => Tokens::text(text(&call.code)),
        Step::CodeResult(result) => Tokens::text(text(&result.result)),
        Step::FunctionCall(call) => Tokens::text(text(&call.arguments.to_string())),
        Step::FunctionResult(result) => Tokens::text(text(&result.result.to_string())),
        // Clients are not charged for search results.
        Step::SearchCall(_) | Step::SearchResult(_) => Tokens::default(),
        Step::Passthrough(step) => Tokens::text(text(&step.to_string())),
    }
}

fn content(content: &Content) -> Tokens {
    match content {
        Content::Text { text: words, .. } => Tokens::text(text(words)),
        Content::Media(content) => media(content),
        Content::Passthrough(_) => Tokens::default(),
    }
}

fn media(media: &Media) -> Tokens {
    match &media.source {
        Source::Inline(bytes) => {
            super::media::tokens(media.kind, media.mime_type.as_deref(), bytes)
        }
        Source::Uri(_) => Tokens::default(),
    }
}

/// Tokens of a text.
pub fn text(text: &str) -> u64 {
    of_letters(letters(text))
}

pub fn letters(text: &str) -> u64 {
    text.chars().count() as u64
}

pub fn of_letters(letters: u64) -> u64 {
    letters.div_ceil(LETTERS_PER_TOKEN as u64)
}

pub fn modality(kind: MediaKind) -> Modality {
    match kind {
        MediaKind::Image => Modality::Image,
        MediaKind::Audio => Modality::Audio,
        MediaKind::Video => Modality::Video,
        MediaKind::Document => Modality::Document,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interaction::{CodeResult, InteractionSettings, Outcome, Status};

    fn result(text: &str) -> Delta {
        Delta::CodeResult(CodeResult {
            call_id: "c".into(),
            outcome: Outcome::Ok,
            result: text.into(),
            stdout: text.into(),
            images: 0,
            signature: String::new(),
        })
    }

    fn of_step(index: usize, start: StepStart, deltas: Vec<Delta>) -> Vec<Event> {
        let mut events = vec![Event::StepStarted { index, start }];
        events.extend(deltas.into_iter().map(|delta| Event::StepDelta { index, delta }));
        events.push(Event::StepStopped { index });
        events
    }

    #[test]
    fn the_total_is_the_sum_of_prompt_and_steps() {
        let settings = InteractionSettings {
            prompt: Some(Tokens::text(10)),
            ..InteractionSettings::default()
        };
        let code = |code: &str| Delta::CodeCall { code: code.into(), signature: String::new() };
        let mut events = vec![Event::Created(settings)];
        for (index, pieces) in [vec!["12345", "678"], vec!["9"]].into_iter().enumerate() {
            let thoughts = pieces.into_iter().map(|text| Delta::ThoughtSummary(text.into()));
            events.extend(of_step(3 * index, StepStart::Thought, thoughts.collect()));
            let start = StepStart::CodeCall { id: "c".into() };
            events.extend(of_step(3 * index + 1, start, vec![code("print(1)")]));
            let start = StepStart::CodeResult { call_id: "c".into() };
            events.extend(of_step(3 * index + 2, start, vec![result("1\n")]));
        }
        events.extend(of_step(6, StepStart::ModelOutput, vec![Delta::Text("12345".into())]));

        let mut tally = UsageEstimate::default();
        let mut of_steps = 0;
        for event in &events {
            tally.add(event);
            if matches!(event, Event::StepStopped { .. }) {
                of_steps += tally.of_step().expect("the prompt is known").total();
            }
        }
        let usage = tally.so_far().expect("the prompt is known");
        // Nine letters of thoughts; twice eight of code and five of text. The first result and its
        // code are read twice, because the second result follows them.
        assert_eq!((usage.thought, usage.output.total(), usage.tool_use.total()), (3, 6, 3 + 6));
        assert_eq!(usage.total(), 10 + of_steps);

        let counted = Usage { output: Tokens::text(1), ..Usage::default() };
        tally.add(&Event::Finished { status: Status::Completed, usage: counted });
        assert_eq!(tally.so_far(), Some(counted), "the model's own count is used");
    }

    #[test]
    fn an_old_log_without_a_prompt_size_has_no_estimate() {
        let mut tally = UsageEstimate::new(&[Event::Created(InteractionSettings::default())]);
        tally.add(&Event::StepStarted { index: 0, start: StepStart::ModelOutput });
        assert_eq!((tally.so_far(), tally.of_step()), (None, None));
    }

    #[test]
    fn a_total_without_modalities_is_split_like_the_estimate() {
        let mut estimate = Tokens::text(10);
        estimate += Tokens::new(Modality::Image, 30);
        let shared = estimate.scaled_to(101);
        assert_eq!(shared.count(Modality::Image), 75);
        assert_eq!((shared.count(Modality::Text), shared.total()), (26, 101));
        assert_eq!(Tokens::default().scaled_to(7), Tokens::text(7));
        assert_eq!(estimate.scaled_to(u64::MAX).total(), u64::MAX);
    }
}
