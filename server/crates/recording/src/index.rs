//! The existing recordings of a folder, and the place of the next one.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use super::question::Question;
use scenario::ScenarioError;

/// Maximum length of an input in the name of a file.
const SLUG_CHARS: usize = 40;
/// Number of hash digits in the name.
const HASH_DIGITS: usize = 8;

/// How existing recordings of the same question are handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecordMode {
    /// Every question goes to the model, and its recordings are replaced.
    #[default]
    Replace,
    /// Recorded questions are answered from the recordings; only new ones go to the model.
    New,
    /// Every question goes to the model, and its answers are added after the existing ones.
    All,
}

impl RecordMode {
    pub const ALL: [RecordMode; 3] = [RecordMode::Replace, RecordMode::New, RecordMode::All];

    pub fn as_str(self) -> &'static str {
        match self {
            RecordMode::Replace => "replace",
            RecordMode::New => "new",
            RecordMode::All => "all",
        }
    }
}

impl std::fmt::Display for RecordMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for RecordMode {
    type Err = String;

    fn from_str(word: &str) -> Result<RecordMode, String> {
        let found = RecordMode::ALL.into_iter().find(|mode| mode.as_str() == word);
        found.ok_or_else(|| "expected replace, new or all".to_owned())
    }
}

/// The recordings of a folder, by question.
#[derive(Debug, Default)]
pub struct RecordingIndex(HashMap<(String, RecordedOutcome), Kept>);

/// Whether the model answered successfully.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RecordedOutcome {
    Answered,
    Failed,
}

#[derive(Debug, Default)]
struct Kept {
    /// By take.
    files: BTreeMap<u64, PathBuf>,
    /// Number of recordings by this server.
    recorded: u64,
    /// Content of the recordings that will be replaced; they are deleted until then.
    before: BTreeMap<u64, String>,
}

/// The place of a new recording.
#[derive(Debug, PartialEq, Eq)]
pub struct Place {
    pub file: PathBuf,
    pub take: u64,
    /// Recordings that it replaces.
    pub stale: Vec<PathBuf>,
    /// The previous content of the file.
    pub before: Option<String>,
}

impl RecordingIndex {
    pub fn read(folder: &Path) -> Result<RecordingIndex, ScenarioError> {
        let mut index = RecordingIndex::default();
        for path in scenario::files(folder)? {
            // Invalid files, and files that a person assembled from several recordings, are
            // ignored.
            let Ok(scenarios) = scenario::read(&path) else { continue };
            let [scenario] = &scenarios[..] else { continue };
            let (Some(question), Some(take)) = (&scenario.question, scenario.take) else {
                continue;
            };
            let outcome =
                if scenario.fails() { RecordedOutcome::Failed } else { RecordedOutcome::Answered };
            let kept = index.0.entry((question.clone(), outcome)).or_default();
            kept.files.insert(take.get(), path);
        }
        Ok(index)
    }

    pub fn place(
        &mut self,
        folder: &Path,
        question: &Question,
        outcome: RecordedOutcome,
        mode: RecordMode,
    ) -> Place {
        let mut stale = Vec::new();
        if mode == RecordMode::Replace && !self.has_recorded(question) {
            for (outcome, first) in [(RecordedOutcome::Answered, 2), (RecordedOutcome::Failed, 1)] {
                if let Some(kept) = self.0.get_mut(&(question.hash.clone(), outcome)) {
                    let files = kept.files.split_off(&first);
                    let content = |(take, path): (&u64, &PathBuf)| {
                        Some((*take, std::fs::read_to_string(path).ok()?))
                    };
                    kept.before.extend(files.iter().filter_map(content));
                    stale.extend(files.into_values());
                }
            }
        }
        let kept = self.0.entry((question.hash.clone(), outcome)).or_default();
        kept.recorded += 1;
        let take = match mode {
            RecordMode::Replace => kept.recorded,
            RecordMode::New | RecordMode::All => {
                kept.files.last_key_value().map_or(1, |(last, _)| last + 1)
            }
        };
        // A file that a person renamed keeps its name.
        let file =
            kept.files.entry(take).or_insert_with(|| folder.join(name(question, outcome, take)));
        let file = file.clone();
        stale.retain(|path| *path != file);
        let before = std::fs::read_to_string(&file).ok().or_else(|| kept.before.remove(&take));
        Place { file, take, stale, before }
    }

    fn has_recorded(&self, question: &Question) -> bool {
        [RecordedOutcome::Answered, RecordedOutcome::Failed].into_iter().any(|outcome| {
            self.0.get(&(question.hash.clone(), outcome)).is_some_and(|kept| kept.recorded > 0)
        })
    }
}

/// The name is the same each time the question is recorded. It starts with the turn, so that the
/// recordings of a conversation are sorted together, and before scenarios whose names start with a
/// letter.
fn name(question: &Question, outcome: RecordedOutcome, take: u64) -> String {
    let mut name = question.turn.to_string();
    let slug = slug(&question.input);
    if !slug.is_empty() {
        name += &format!("-{slug}");
    }
    name += &format!("-{}", &question.hash[..HASH_DIGITS]);
    if outcome == RecordedOutcome::Failed {
        name += "-failed";
    }
    if take > 1 {
        name += &format!("-{take}");
    }
    name + ".yaml"
}

/// The first words of an input.
fn slug(input: &str) -> String {
    let input = input.to_lowercase();
    let words = input.split(|letter: char| !letter.is_ascii_alphanumeric());
    let mut slug = String::new();
    for word in words.filter(|word| !word.is_empty()) {
        let dash = usize::from(!slug.is_empty());
        if slug.len() + dash + word.len() > SLUG_CHARS {
            if slug.is_empty() {
                slug.push_str(&word[..SLUG_CHARS]);
            }
            break;
        }
        slug.push_str(&"-"[..dash]);
        slug.push_str(word);
    }
    slug
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn question(input: &str) -> Question {
        let hash = "0123456789abcdef".to_owned();
        Question { input: input.to_owned(), turn: 2, when: json!({}), hash }
    }

    fn write(folder: &Path, name: &str, question: &str, take: u64, part: &str) {
        let text = format!(
            "scenarios: [{{ name: a, question: '{question}', take: {take}, script: [{part}] }}]"
        );
        std::fs::write(folder.join(name), text).expect("the folder is ours");
    }

    #[test]
    fn a_name_is_cut_between_words_and_is_the_same_each_time() {
        for (input, outcome, take, wanted) in [
            (
                "What's the weather in Rome?",
                RecordedOutcome::Answered,
                1,
                "2-what-s-the-weather-in-rome-01234567.yaml",
            ),
            (
                "median of sales in north, please tell me soon",
                RecordedOutcome::Answered,
                2,
                "2-median-of-sales-in-north-please-tell-me-01234567-2.yaml",
            ),
            (
                "median of sales in north, please tell us soon",
                RecordedOutcome::Failed,
                1,
                "2-median-of-sales-in-north-please-tell-us-01234567-failed.yaml",
            ),
            (
                &"x".repeat(50),
                RecordedOutcome::Answered,
                1,
                &format!("2-{}-01234567.yaml", "x".repeat(40)),
            ),
            ("何時ですか", RecordedOutcome::Answered, 1, "2-01234567.yaml"),
        ] {
            assert_eq!(name(&question(input), outcome, take), wanted);
        }
    }

    #[test]
    fn recordings_of_a_question_are_replaced_or_follow_one_another() {
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        let path = folder.path();
        for (name, take) in [("mine.yaml", 1), ("2.yaml", 2), ("3.yaml", 3)] {
            write(path, name, "0123456789abcdef", take, "text: a");
        }
        write(path, "failed.yaml", "0123456789abcdef", 1, "disconnect: true");
        write(path, "other.yaml", "other", 1, "text: a");
        std::fs::write(path.join("broken.yaml"), "x").expect("the folder is ours");
        let index = || RecordingIndex::read(path).expect("it is there");
        let question = question("q");

        let mut shelf_of_one = index();
        let first =
            shelf_of_one.place(path, &question, RecordedOutcome::Answered, RecordMode::Replace);
        assert_eq!((first.file, first.take), (path.join("mine.yaml"), 1), "it keeps its name");
        let mut stale = first.stale;
        stale.sort();
        assert_eq!(stale, ["2.yaml", "3.yaml", "failed.yaml"].map(|name| path.join(name)));
        let second =
            shelf_of_one.place(path, &question, RecordedOutcome::Answered, RecordMode::Replace);
        let file = path.join("2-q-01234567-2.yaml");
        assert_eq!((second.file, second.take, second.stale.len()), (file, 2, 0));
        assert!(second.before.is_some_and(|before| before.contains("take: 2")));

        for mode in [RecordMode::New, RecordMode::All] {
            let place = index().place(path, &question, RecordedOutcome::Answered, mode);
            assert_eq!((place.take, place.stale.len()), (4, 0));
        }
    }
}
