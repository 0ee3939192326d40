//! Counts tokens. The counts of a model that counts each of its turns are used; for other models
//! they are estimated from the log, as docs/src/concepts/tokens.md explains.

use tokio::task::spawn_blocking;

use crate::engine::input::files::{self, FileData, LoadedFile};
use domain::interaction::usage::{self, letters, of_letters};
use domain::interaction::{Event, Media, Source, Step, Tokens, Usage, UsageEstimate, media};
use store::{Files, StoreError};

#[derive(Debug, Default)]
pub struct Counter {
    /// Estimate of what is in the log.
    tally: UsageEstimate,
    /// Letters of output that no client sees.
    unseen_letters: u64,
    /// Prompts that asked the model to correct such output.
    unseen_prompts: Tokens,
    /// Sums of the model's own counts.
    measured: Measured,
    turns: u32,
    /// Replaces all other counts.
    replacement: Option<Usage>,
}

/// A model's own counts, which are not split by modality.
#[derive(Debug, Default)]
struct Measured {
    turns: u32,
    input: u64,
    output: u64,
    thought: u64,
    tool_use: u64,
    cached: u64,
}

impl Counter {
    /// Starts with the events that are already in the log.
    pub fn new<'a>(events: impl IntoIterator<Item = &'a Event>) -> Counter {
        Counter { tally: UsageEstimate::new(events), turns: 1, ..Counter::default() }
    }

    /// Counts an event that will be in the log.
    pub fn add(&mut self, event: &Event) {
        self.tally.add(event);
    }

    /// Counts output that will not be in the log.
    pub fn add_unseen_text(&mut self, text: &str) {
        self.unseen_letters += letters(text);
    }

    /// An answer was rejected, and the model is asked to correct it.
    pub fn corrected(&mut self, answer: &str, prompt: &str) {
        self.asked();
        self.add_unseen_text(answer);
        self.unseen_prompts += self.tally.reread();
        self.unseen_prompts += Tokens::text(usage::text(answer) + usage::text(prompt));
    }

    /// Another turn of the model begins.
    pub fn asked(&mut self) {
        self.turns += 1;
    }

    /// Adds the model's own count of a turn. The prompts of all turns but the first count as tool use.
    pub fn turn_counted(&mut self, usage: Usage) {
        let measured = &mut self.measured;
        if measured.turns == 0 {
            measured.input = usage.input.total();
        } else {
            measured.tool_use = measured.tool_use.saturating_add(usage.input.total());
        }
        measured.output = measured.output.saturating_add(usage.output.total());
        measured.thought = measured.thought.saturating_add(usage.thought);
        measured.cached = measured.cached.saturating_add(usage.cached);
        measured.turns += 1;
    }

    /// Replaces all other counts.
    pub fn replace(&mut self, usage: Usage) {
        self.replacement = Some(usage);
    }

    pub fn total(&self) -> Usage {
        let mut estimate = self.tally.estimate();
        if self.unseen_letters > 0 {
            estimate.output += Tokens::text(of_letters(self.unseen_letters));
        }
        estimate.tool_use += self.unseen_prompts;
        let total = self.replacement.or_else(|| self.measured(&estimate)).unwrap_or(estimate);
        Usage { searches: estimate.searches, ..total }
    }

    /// None if the model did not count every turn: then the estimate is better.
    fn measured(&self, estimate: &Usage) -> Option<Usage> {
        let measured = &self.measured;
        (measured.turns == self.turns).then(|| Usage {
            input: estimate.input.scaled_to(measured.input),
            output: estimate.output.scaled_to(measured.output),
            thought: measured.thought,
            tool_use: estimate.tool_use.scaled_to(measured.tool_use),
            cached: measured.cached,
            searches: estimate.searches,
        })
    }
}

/// A step of this size takes a millisecond or more.
const LARGE_BYTES: usize = 1 << 20;

/// Estimated tokens of the prompt of the first turn. `files` are those of the conversation's input,
/// in their order.
pub async fn of_prompt(
    instruction: Option<&str>,
    steps: &[Step],
    files: &[LoadedFile],
    uploads: &Files,
) -> Result<Tokens, StoreError> {
    let mut tokens = Tokens::text(instruction.map_or(0, usage::text));
    tokens += of_steps(steps).await;
    for (of_input, file) in files::media(steps).zip(files) {
        if matches!(of_input.source, Source::Uri(_)) {
            tokens += of_file(of_input, file, uploads).await?;
        }
    }
    Ok(tokens)
}

/// Tokens of the conversation itself. Large documents are read on a blocking thread.
async fn of_steps(steps: &[Step]) -> Tokens {
    let is_large = |step: &&Step| step.memory_bytes() > LARGE_BYTES;
    let (large, small): (Vec<&Step>, Vec<&Step>) = steps.iter().partition(is_large);
    let mut tokens: Tokens = small.into_iter().map(usage::step).sum();
    let large: Vec<Step> = large.into_iter().cloned().collect();
    if !large.is_empty() {
        let counted = spawn_blocking(move || large.iter().map(usage::step).sum::<Tokens>()).await;
        tokens += counted.unwrap_or_default();
    }
    tokens
}

/// Tokens of a file that is not in the request itself.
async fn of_file(
    of_input: &Media,
    file: &LoadedFile,
    uploads: &Files,
) -> Result<Tokens, StoreError> {
    let (kind, mime_type) = (of_input.kind, Some(file.about.mime_type.as_str()));
    let stored = match &file.content {
        FileData::InMemory(content) => return Ok(media::tokens(kind, mime_type, content)),
        FileData::OnDisk(stored) => stored,
    };
    let bytes = match media::needs(kind, mime_type) {
        media::Needs::Pages => return Ok(media::of_pages(uploads.pages(stored).await?)),
        media::Needs::Nothing => Default::default(),
        media::Needs::Head => uploads.head(stored, media::HEAD_BYTES as u64).await?,
    };
    Ok(media::of_file(kind, mime_type, stored.bytes, &bytes))
}
