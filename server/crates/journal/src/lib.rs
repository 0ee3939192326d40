//! Records requests, the scenarios that answered and the results of their code, in memory, for the
//! assertions of tests.

#![forbid(unsafe_code)]

pub mod outputs;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use serde_json::Value;

use domain::chaos::fault::Fault;
use domain::counts::Tally;
use domain::interaction::{Outcome, Status};
use domain::namespace::{Namespace, PerNamespace};
use domain::output::OutputFile;
use domain::owner::Owner;
use outputs::{KeptOutput, KeptOutputs, WholeOutput};

/// Maximum number of requests kept per namespace. The oldest is dropped first.
const MAX_ENTRIES: usize = 1000;
/// Maximum size of all texts of a namespace.
const MAX_BYTES: usize = 512 << 10;
/// Maximum size of one text; the rest is cut.
const MAX_TEXT_BYTES: usize = 8 << 10;
/// Maximum size of a run's code, stdout and stderr, and of a call's arguments; the rest is cut.
const MAX_EXCERPT_BYTES: usize = 2 << 10;
/// Maximum number of runs, of calls and of warnings kept per request; the first are kept.
const MAX_OF_A_KIND: usize = 32;

/// The requests of each namespace.
#[derive(Debug)]
pub struct Journal {
    namespaces: PerNamespace<Records>,
    outputs: KeptOutputs,
    is_on: bool,
}

#[derive(Debug, Default)]
struct Records {
    entries: VecDeque<JournalHandle>,
    /// Number of requests so far.
    count: u64,
}

/// Handle to the entry of a request that may still run. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct JournalHandle {
    record: Arc<JournalRecord>,
    /// Counters of its namespace.
    tally: Arc<Tally>,
    outputs: KeptOutputs,
}

#[derive(Debug, Default)]
struct JournalRecord {
    owner: Owner,
    number: u64,
    at: Timestamp,
    asked: RequestSummary,
    result: Mutex<RequestOutcome>,
    /// Size of all its texts. It grows while the request runs.
    bytes: AtomicUsize,
}

/// What a client requested.
#[derive(Debug, Clone, Default)]
pub struct RequestSummary {
    pub model: String,
    /// The newest user text.
    pub input: String,
    pub system_instruction: Option<String>,
    /// Names of the offered tools.
    pub tools: Vec<String>,
    pub turn: usize,
    /// Names of all input files.
    pub files: Vec<String>,
    /// The first function results in this request.
    pub function_results: Vec<Value>,
    pub generation_config: Value,
    pub previous_interaction_id: Option<String>,
}

/// The result of a request, as far as it is known.
#[derive(Debug, Clone, Default)]
pub struct RequestOutcome {
    pub interaction_id: Option<String>,
    pub scenario: Option<String>,
    /// Why it was rejected or failed.
    pub error: Option<String>,
    pub status: Option<Status>,
    /// The backend that answered, if no scenario did.
    pub backend: Option<&'static str>,
    /// Number of runs, and of failed ones.
    pub runs: u32,
    pub failed_runs: u32,
    /// Faults that the scenario requests for the response.
    pub faults: Vec<Fault>,
    /// Which of the recorded answers to the question it gets, from 0. Set in its first turn.
    pub take: Option<u64>,
    /// The answer's text, cut to its maximum size.
    pub text: String,
    pub code_runs: Vec<KeptRun>,
    pub function_calls: Vec<Called>,
    /// Warnings for the author of the scenario.
    pub warnings: Vec<String>,
    /// If no scenario matches: the nearest ones, nearest first.
    pub near_misses: Vec<NearMiss>,
    /// Number of runs, calls and warnings that were not kept.
    pub left_out: usize,
}

/// Code that ran, and its result.
#[derive(Debug, Clone, PartialEq)]
pub struct CodeRun {
    pub code: String,
    pub outcome: Outcome,
    pub stdout: String,
    /// If cut, its end is kept, because the error is there.
    pub stderr: String,
    pub pictures: usize,
    /// The files that the code wrote.
    pub files: Vec<FileSummary>,
    pub wall_ms: f64,
    /// Whether one of the texts is cut.
    pub is_cut: bool,
}

/// A file that code wrote to its work directory.
#[derive(Debug, Clone, PartialEq)]
pub struct FileSummary {
    pub name: String,
    pub bytes: usize,
}

/// A scenario that does not match a request.
#[derive(Debug, Clone, PartialEq)]
pub struct NearMiss {
    pub scenario: String,
    pub missed: Vec<MissedCondition>,
}

/// A condition that does not hold.
#[derive(Debug, Clone, PartialEq)]
pub struct MissedCondition {
    pub condition: &'static str,
    pub wanted: String,
    pub got: String,
}

/// A run, and its output while that is kept.
#[derive(Debug, Clone)]
pub struct KeptRun {
    pub run: CodeRun,
    output: Arc<KeptOutput>,
}

/// A function call for the client.
#[derive(Debug, Clone, PartialEq)]
pub struct Called {
    pub name: String,
    pub arguments: Value,
}

/// A copy of an entry.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Number in the namespace, from 1.
    pub number: u64,
    pub at: Timestamp,
    pub asked: RequestSummary,
    pub result: RequestOutcome,
}

impl Default for Journal {
    fn default() -> Journal {
        Journal { namespaces: PerNamespace::default(), outputs: KeptOutputs::new(), is_on: true }
    }
}

impl Journal {
    /// A journal that keeps nothing.
    pub fn off() -> Journal {
        Journal { is_on: false, ..Journal::default() }
    }

    pub fn write(&self, namespace: &Namespace, mut asked: RequestSummary) -> JournalHandle {
        asked.shorten();
        if self.is_on {
            let owner = namespace.owner().clone();
            let outputs = self.outputs.clone();
            self.namespaces.with(namespace, |pages| pages.write(owner, outputs, asked))
        } else {
            Records::default().write(Owner::default(), KeptOutputs::default(), asked)
        }
    }

    /// A run of the request with this number, both from 1.
    pub fn run(&self, namespace: &Namespace, request: u64, run: usize) -> Option<KeptRun> {
        self.namespaces.with(namespace, |pages| {
            let mut entries = pages.entries.iter();
            let found = entries.find(|entry| entry.record.number == request)?;
            found.result().code_runs.get(run.checked_sub(1)?).cloned()
        })
    }

    /// The kept entries, oldest first, and the number of dropped ones.
    pub fn read(&self, namespace: &Namespace) -> (Vec<Entry>, u64) {
        self.namespaces.with(namespace, |pages| {
            let entries: Vec<Entry> = pages.entries.iter().map(JournalHandle::entry).collect();
            let forgotten = pages.count - entries.len() as u64;
            (entries, forgotten)
        })
    }

    pub fn clear(&self, namespace: &Namespace) {
        self.namespaces.clear(namespace);
    }
}

impl Records {
    fn write(
        &mut self,
        owner: Owner,
        outputs: KeptOutputs,
        asked: RequestSummary,
    ) -> JournalHandle {
        self.count += 1;
        let bytes = AtomicUsize::new(asked.bytes());
        let (number, at, result) = (self.count, Timestamp::now(), Mutex::default());
        let record = Arc::new(JournalRecord { owner, number, at, asked, result, bytes });
        let note = JournalHandle { record, tally: Arc::default(), outputs };
        self.entries.push_back(note.clone());
        // Entries of running requests grow, so sizes are summed again.
        let mut bytes: usize = self.entries.iter().map(JournalHandle::bytes).sum();
        while self.entries.len() > MAX_ENTRIES || bytes > MAX_BYTES && self.entries.len() > 1 {
            let Some(oldest) = self.entries.pop_front() else { break };
            bytes -= oldest.bytes().min(bytes);
        }
        note
    }
}

impl JournalHandle {
    /// Attaches the counters of its namespace.
    #[must_use]
    pub fn counting(self, tally: Arc<Tally>) -> JournalHandle {
        JournalHandle { tally, ..self }
    }

    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Sets the scenario that answers. Returns whether this is the first turn; turns after code use
    /// the same scenario.
    pub fn matched(&self, scenario: &str) -> bool {
        let scenario = beginning(scenario);
        let bytes = scenario.len();
        let is_first = self.result().scenario.replace(scenario).is_none();
        if is_first {
            self.grew(bytes);
        }
        is_first
    }

    /// Which recorded answer the interaction gets. Settled on first use, so that all turns come
    /// from the same recording.
    pub fn take(&self, settle: impl FnOnce() -> u64) -> u64 {
        *self.result().take.get_or_insert_with(settle)
    }

    /// Appends to the answer's text.
    pub fn add_text(&self, piece: &str) {
        let mut result = self.result();
        let free = MAX_TEXT_BYTES.saturating_sub(result.text.len());
        let piece = &piece[..piece.floor_char_boundary(free)];
        result.text.push_str(piece);
        self.grew(piece.len());
    }

    /// Whether whole outputs are kept.
    pub fn keeps_outputs(&self) -> bool {
        self.outputs.keeps_any()
    }

    /// Adds a run of code.
    pub fn code_ran(&self, outcome: Outcome, output: WholeOutput, wall_ms: f64) {
        {
            let mut result = self.result();
            result.runs += 1;
            result.failed_runs += u32::from(outcome.is_error());
        }
        let written =
            |file: &OutputFile| FileSummary { name: file.path.clone(), bytes: file.content.len() };
        let texts = [&output.code, &output.stdout, &output.stderr];
        let run = CodeRun {
            code: beginning(&output.code),
            outcome,
            stdout: beginning(&output.stdout),
            stderr: end(&output.stderr),
            pictures: output.images.len(),
            files: output.files.iter().map(written).collect(),
            wall_ms,
            is_cut: texts.into_iter().any(|text| text.len() > MAX_EXCERPT_BYTES),
        };
        let names = run.files.iter().map(|file| file.name.len()).sum::<usize>();
        let bytes = run.code.len() + run.stdout.len() + run.stderr.len() + names;
        let output = match run.is_cut || run.pictures > 0 || !run.files.is_empty() {
            true => self.outputs.keep(&self.record.owner, output),
            false => Arc::default(),
        };
        self.keep(|result| &mut result.code_runs, KeptRun { run, output }, bytes);
    }

    /// Adds a function call for the client.
    pub fn called(&self, name: &str, arguments: &Value) {
        let text = arguments.to_string();
        let is_short = text.len() <= MAX_EXCERPT_BYTES;
        let arguments = if is_short { arguments.clone() } else { beginning(&text).into() };
        let bytes = name.len() + text.len().min(MAX_EXCERPT_BYTES);
        self.keep(
            |result| &mut result.function_calls,
            Called { name: name.to_owned(), arguments },
            bytes,
        );
    }

    pub fn warn(&self, warning: String) {
        let warning = beginning(&warning);
        let bytes = warning.len();
        self.keep(|result| &mut result.warnings, warning, bytes);
    }

    /// Adds the scenarios that are nearest to the request.
    pub fn missed(&self, near_misses: Vec<NearMiss>) {
        for NearMiss { scenario, missed } in near_misses {
            let scenario = beginning(&scenario);
            let missed: Vec<MissedCondition> = missed
                .into_iter()
                .map(|MissedCondition { condition, wanted, got }| MissedCondition {
                    condition,
                    wanted: beginning(&wanted),
                    got: beginning(&got),
                })
                .collect();
            let texts = missed.iter().map(|missed| missed.wanted.len() + missed.got.len());
            let bytes = scenario.len() + texts.sum::<usize>();
            self.keep(|result| &mut result.near_misses, NearMiss { scenario, missed }, bytes);
        }
    }

    fn keep<T>(&self, list: fn(&mut RequestOutcome) -> &mut Vec<T>, item: T, bytes: usize) {
        let mut result = self.result();
        if list(&mut result).len() < MAX_OF_A_KIND {
            list(&mut result).push(item);
            self.grew(bytes);
        } else {
            result.left_out += 1;
        }
    }

    fn grew(&self, bytes: usize) {
        self.record.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn bytes(&self) -> usize {
        self.record.bytes.load(Ordering::Relaxed)
    }

    pub fn warnings(&self) -> Vec<String> {
        self.result().warnings.clone()
    }

    /// The scenario that answers, if known.
    pub fn scenario(&self) -> Option<String> {
        self.result().scenario.clone()
    }

    /// Sets the faults for the response.
    pub fn wants(&self, faults: Vec<Fault>) {
        self.result().faults = faults;
    }

    pub fn wanted(&self) -> Vec<Fault> {
        self.result().faults.clone()
    }

    /// Sets the backend, if it has no scenarios.
    pub fn answered_by(&self, backend: &'static str) {
        self.result().backend = Some(backend);
    }

    /// The backend that answers, if that is known. Scenarios are those of the scripted model.
    pub fn backend(&self) -> Option<&'static str> {
        let result = self.result();
        result.backend.or(result.scenario.is_some().then_some("scripted"))
    }

    pub fn outcome_so_far(&self) -> RequestOutcome {
        self.result().clone()
    }

    pub fn began(&self, interaction_id: &str) {
        self.result().interaction_id = Some(interaction_id.to_owned());
    }

    pub fn ended(&self, status: Status) {
        self.result().status = Some(status);
    }

    pub fn failed(&self, why: &str) {
        self.result().error = Some(start_of(why).to_owned());
    }

    fn entry(&self) -> Entry {
        let JournalRecord { number, at, asked, .. } = &*self.record;
        Entry { number: *number, at: *at, asked: asked.clone(), result: self.result().clone() }
    }

    fn result(&self) -> MutexGuard<'_, RequestOutcome> {
        self.record.result.lock()
    }
}

impl KeptRun {
    /// The whole output. Short ones are whole in the journal itself. `None` if it had to make room.
    pub fn whole(&self) -> Option<WholeOutput> {
        let CodeRun { code, stdout, stderr, pictures, files, is_cut, .. } = &self.run;
        if *is_cut || *pictures > 0 || !files.is_empty() {
            return self.output.read();
        }
        let [code, stdout, stderr] = [code, stdout, stderr].map(String::clone);
        Some(WholeOutput { code, stdout, stderr, images: Vec::new(), files: Vec::new() })
    }
}

impl RequestSummary {
    fn shorten(&mut self) {
        let texts =
            [Some(&mut self.model), Some(&mut self.input), self.system_instruction.as_mut()];
        for text in texts.into_iter().flatten() {
            // A shortened text would keep the memory of the whole.
            *text = start_of(text).to_owned();
        }
        self.function_results.truncate(MAX_OF_A_KIND);
        self.previous_interaction_id.take_if(|id| id.len() > MAX_TEXT_BYTES);
        for value in self.function_results.iter_mut().chain([&mut self.generation_config]) {
            let text = value.to_string();
            if text.len() > MAX_TEXT_BYTES {
                *value = start_of(&text).into();
            }
        }
    }

    fn bytes(&self) -> usize {
        let texts = [Some(&self.model), Some(&self.input), self.system_instruction.as_ref()];
        let texts = texts.into_iter().flatten().chain(&self.tools).chain(&self.files);
        let values = self.function_results.iter().chain([&self.generation_config]);
        // The result may be as large as one more text.
        texts.map(String::len).sum::<usize>()
            + values.map(|value| value.to_string().len()).sum::<usize>()
    }
}

fn start_of(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT_BYTES)]
}

/// The beginning of a text, cut to the maximum size.
fn beginning(text: &str) -> String {
    if text.len() <= MAX_EXCERPT_BYTES {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(MAX_EXCERPT_BYTES)])
}

/// The end of a text, cut to the maximum size.
fn end(text: &str) -> String {
    match text.len().checked_sub(MAX_EXCERPT_BYTES) {
        None | Some(0) => text.to_owned(),
        Some(from) => format!("…{}", &text[text.ceil_char_boundary(from)..]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(input: &str) -> RequestSummary {
        RequestSummary { input: input.into(), ..RequestSummary::default() }
    }

    #[test]
    fn results_are_added_to_the_same_entry() {
        let journal = Journal::default();
        let note = journal.write(&Namespace::default(), asked("6 * 7?"));
        note.matched("products");
        note.ended(Status::Completed);
        let (entries, _) = journal.read(&Namespace::default());
        assert_eq!(entries[0].number, 1);
        assert_eq!(entries[0].result.scenario.as_deref(), Some("products"));
        assert_eq!(entries[0].result.status, Some(Status::Completed));
    }

    #[test]
    fn the_oldest_entries_are_dropped_above_the_limit() {
        let journal = Journal::default();
        for _ in 0..MAX_ENTRIES + 5 {
            journal.write(&Namespace::default(), asked("?"));
        }
        let (entries, forgotten) = journal.read(&Namespace::default());
        assert_eq!((entries.len(), forgotten), (MAX_ENTRIES, 5));
    }

    #[test]
    fn long_texts_are_cut_and_their_total_is_limited() {
        let journal = Journal::default();
        let long = "ä".repeat(MAX_TEXT_BYTES);
        for _ in 0..100 {
            journal.write(&Namespace::default(), asked(&long));
        }
        let (entries, forgotten) = journal.read(&Namespace::default());
        assert_eq!(entries[0].asked.input.len(), MAX_TEXT_BYTES);
        assert_eq!(entries[0].asked.input.capacity(), MAX_TEXT_BYTES);
        assert_eq!(entries.len() as u64 + forgotten, 100);
        let kept: usize = entries.iter().map(|entry| entry.asked.bytes()).sum();
        assert!((MAX_BYTES - 2 * MAX_TEXT_BYTES..=MAX_BYTES).contains(&kept), "{kept}");
    }

    #[test]
    fn results_of_code_are_cut_and_count_towards_the_limit() {
        let journal = Journal::default();
        let long = "ä".repeat(MAX_EXCERPT_BYTES);
        for _ in 0..10 {
            let note = journal.write(&Namespace::default(), asked("?"));
            for _ in 0..MAX_OF_A_KIND + 3 {
                let output = WholeOutput {
                    code: long.clone(),
                    stdout: "short".into(),
                    stderr: long.clone() + "ZeroDivisionError",
                    images: Vec::new(),
                    files: Vec::new(),
                };
                note.code_ran(Outcome::Failed, output, 1.0);
                note.called("f", &Value::from(long.as_str()));
                note.add_text(&long);
            }
        }
        let (entries, forgotten) = journal.read(&Namespace::default());
        // The newest entry may still grow and is always kept.
        assert_eq!((entries.len(), forgotten), (3, 7));
        let result = &entries[0].result;
        assert_eq!((result.code_runs.len(), result.left_out), (MAX_OF_A_KIND, 6));
        assert_eq!(result.text.len(), MAX_TEXT_BYTES);
        let run = &result.code_runs[0].run;
        assert!(run.is_cut);
        let whole = result.code_runs[0].whole().expect("it is kept");
        assert_eq!((whole.code, whole.stdout.as_str()), (long, "short"));
        assert!(run.stderr.starts_with('…') && run.stderr.ends_with("äZeroDivisionError"));
        assert!(run.code.len() <= MAX_EXCERPT_BYTES + '…'.len_utf8());
        assert_eq!(run.stdout, "short");
    }
}
