//! Counts tokens. A model that counts each of its turns is believed; for the others it is what the
//! log comes to, which is an estimate that docs/src/concepts/tokens.md explains.

use crate::engine::input::files::{self, File, FileData};
use crate::interaction::usage::{self, letters, of_letters};
use crate::interaction::{Event, Media, Source, Step, Tally, Tokens, Usage, media};
use crate::store::{Files, StoreError};

#[derive(Debug, Default)]
pub struct Counter {
    /// What is in the log.
    tally: Tally,
    /// What the model said and nobody was shown.
    unseen_letters: u64,
    /// What it was asked because of that.
    unseen_prompts: Tokens,
    /// What the turns of the model counted that count.
    measured: Measured,
    turns: u32,
    /// What a script says.
    counted: Option<Usage>,
}

/// A model's own counts, which tell no kinds.
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
    /// Goes on with what has been written down before.
    pub fn new<'a>(events: impl IntoIterator<Item = &'a Event>) -> Counter {
        Counter { tally: Tally::new(events), turns: 1, ..Counter::default() }
    }

    /// What is being written down.
    pub fn add(&mut self, event: &Event) {
        self.tally.add(event);
    }

    /// The model said something that will not be written down.
    pub fn add_unseen_text(&mut self, text: &str) {
        self.unseen_letters += letters(text);
    }

    /// An answer was not taken, and the model is asked again with the reason.
    pub fn repaired(&mut self, answer: &str, complaint: &str) {
        self.asked();
        self.add_unseen_text(answer);
        self.unseen_prompts += self.tally.between();
        self.unseen_prompts += Tokens::text(usage::text(answer) + usage::text(complaint));
    }

    /// The model is asked for another turn.
    pub fn asked(&mut self) {
        self.turns += 1;
    }

    /// The model's own count of a turn. The prompts of later turns are what was read between.
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

    /// A count that replaces all others.
    pub fn counted(&mut self, usage: Usage) {
        self.counted = Some(usage);
    }

    pub fn total(&self) -> Usage {
        let mut estimate = self.tally.estimate();
        if self.unseen_letters > 0 {
            estimate.output += Tokens::text(of_letters(self.unseen_letters));
        }
        estimate.tool_use += self.unseen_prompts;
        let total = self.counted.or_else(|| self.measured(&estimate)).unwrap_or(estimate);
        Usage { searches: estimate.searches, ..total }
    }

    /// A count with a hole in it says less than an estimate.
    fn measured(&self, estimate: &Usage) -> Option<Usage> {
        let measured = &self.measured;
        (measured.turns == self.turns).then(|| Usage {
            input: estimate.input.shared_out(measured.input),
            output: estimate.output.shared_out(measured.output),
            thought: measured.thought,
            tool_use: estimate.tool_use.shared_out(measured.tool_use),
            cached: measured.cached,
            searches: estimate.searches,
        })
    }
}

/// What a model has to read before it says its first word. `files` are those of the conversation's
/// input, in their order.
pub async fn of_prompt(
    instruction: Option<&str>,
    steps: &[Step],
    files: &[File],
    sent_ahead: &Files,
) -> Result<Tokens, StoreError> {
    let mut tokens = Tokens::text(instruction.map_or(0, usage::text));
    tokens += steps.iter().map(usage::step).sum();
    for (of_input, file) in files::media(steps).zip(files) {
        if matches!(of_input.source, Source::Uri(_)) {
            tokens += of_file(of_input, file, sent_ahead).await?;
        }
    }
    Ok(tokens)
}

/// A file that is not in the request itself.
async fn of_file(of_input: &Media, file: &File, sent_ahead: &Files) -> Result<Tokens, StoreError> {
    let (kind, mime_type) = (of_input.kind, Some(file.about.mime_type.as_str()));
    let stored = match &file.content {
        FileData::InMemory(content) => return Ok(media::tokens(kind, mime_type, content)),
        FileData::OnDisk(stored) => stored,
    };
    let bytes = match media::needs(kind, mime_type) {
        media::Needs::Nothing => Default::default(),
        media::Needs::Head => sent_ahead.head(stored, media::HEAD_BYTES as u64).await?,
        media::Needs::All => sent_ahead.content(stored).await?,
    };
    Ok(media::of_file(kind, mime_type, stored.bytes, &bytes))
}
