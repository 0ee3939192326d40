//! The scenarios of a folder, reloaded when its files change.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::watch;

use crate::scenario::{self, Scenario, ScenarioError};

/// How long a folder must be unchanged before it is read: editors write a file in several steps.
const QUIET: Duration = Duration::from_millis(50);

/// Maximum delay of a reload while changes continue.
const MAX_WAIT: Duration = Duration::from_secs(2);

/// All loaded scenarios, in matching order.
pub type Scenarios = Arc<[Scenario]>;

#[derive(Debug)]
pub struct Library {
    current: watch::Receiver<Scenarios>,
    /// Dropping the watcher ends the thread that reloads the folder.
    _watcher: Option<RecommendedWatcher>,
}

impl Library {
    /// Scenarios that never change.
    pub fn fixed(scenarios: Vec<Scenario>) -> Library {
        Library { current: watch::channel(scenarios.into()).1, _watcher: None }
    }

    pub fn open(folder: &Path) -> Result<Library, ScenarioError> {
        // The watcher starts before the first read, so no change is missed.
        let watched = watch_folder(folder);
        let mut shelf = Shelf::default();
        if let Some(error) = shelf.read(folder)?.into_iter().next() {
            return Err(error);
        }
        let (publish, current) = watch::channel(shelf.scenarios());
        let watcher = match watched {
            Ok((watcher, changes)) => {
                let folder = folder.to_path_buf();
                std::thread::spawn(move || keep_up(&folder, shelf, &changes, &publish));
                Some(watcher)
            }
            Err(error) => {
                tracing::warn!(
                    folder = %folder.display(),
                    %error,
                    "could not watch scenario folder"
                );
                None
            }
        };
        Ok(Library { current, _watcher: watcher })
    }

    pub fn current(&self) -> Scenarios {
        self.current.borrow().clone()
    }

    pub fn follow(&self) -> watch::Receiver<Scenarios> {
        self.current.clone()
    }
}

/// The scenarios of each file, in its last valid version.
#[derive(Debug, Default)]
struct Shelf(BTreeMap<PathBuf, Vec<Scenario>>);

impl Shelf {
    /// An invalid file keeps its previous scenarios, and its error is returned.
    fn read(&mut self, folder: &Path) -> Result<Vec<ScenarioError>, ScenarioError> {
        let files = files(folder)?;
        self.0.retain(|path, _| files.contains(path));
        let mut broken = Vec::new();
        for path in files {
            match scenario::read(&path) {
                Ok(scenarios) => drop(self.0.insert(path, scenarios)),
                Err(error) => broken.push(error),
            }
        }
        Ok(broken)
    }

    fn scenarios(&self) -> Scenarios {
        self.0.values().flatten().cloned().collect()
    }
}

/// All scenarios of a folder, in matching order.
pub fn read(folder: &Path) -> Result<Vec<Scenario>, ScenarioError> {
    let mut shelf = Shelf::default();
    match shelf.read(folder)?.into_iter().next() {
        Some(error) => Err(error),
        None => Ok(shelf.scenarios().to_vec()),
    }
}

/// The scenario files of a folder, unordered.
pub fn files(folder: &Path) -> Result<Vec<PathBuf>, ScenarioError> {
    let unreadable = |source| ScenarioError::Unreadable { path: folder.into(), source };
    let mut files = Vec::new();
    for entry in folder.read_dir().map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if scenario::is_scenario_file(&path) && path.is_file() {
            files.push(path);
        }
    }
    Ok(files)
}

fn watch_folder(folder: &Path) -> notify::Result<(RecommendedWatcher, mpsc::Receiver<()>)> {
    let (changed, changes) = mpsc::channel();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| is_a_change(&event)) {
            // The receiver is gone when the library is being dropped.
            let _ = changed.send(());
        }
    })?;
    watcher.watch(folder, RecursiveMode::NonRecursive)?;
    Ok((watcher, changes))
}

/// Reading a file is an event too and must not trigger a reload. File names are ignored, because
/// some tools replace a file by moving a link beside it.
fn is_a_change(event: &notify::Event) -> bool {
    match event.kind {
        EventKind::Access(kind) => kind == AccessKind::Close(AccessMode::Write),
        _ => true,
    }
}

/// Runs until the watcher is dropped.
fn keep_up(
    folder: &Path,
    mut shelf: Shelf,
    changes: &mpsc::Receiver<()>,
    publish: &watch::Sender<Scenarios>,
) {
    while changes.recv().is_ok() {
        let first = Instant::now();
        while first.elapsed() < MAX_WAIT && changes.recv_timeout(QUIET).is_ok() {}
        match shelf.read(folder) {
            Ok(broken) => {
                for error in broken {
                    tracing::warn!(%error, "invalid scenario file; keeping previous version");
                }
            }
            Err(error) => tracing::warn!(%error, "could not reload scenarios; keeping previous"),
        }
        let scenarios = shelf.scenarios();
        tracing::info!(scenarios = scenarios.len(), "scenarios reloaded");
        publish.send_replace(scenarios);
    }
}

/// A folder of scenarios that could not be loaded.
#[derive(Debug, thiserror::Error)]
#[error("could not load the scenarios in {}: {source}", folder.display())]
pub struct BrokenScenarios {
    pub folder: PathBuf,
    pub source: ScenarioError,
}

impl BrokenScenarios {
    /// Adds the folder to an error.
    pub fn of(folder: &Path) -> impl FnOnce(ScenarioError) -> BrokenScenarios {
        move |source| BrokenScenarios { folder: folder.to_owned(), source }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn file(name: &str) -> String {
        format!("scenarios: [{{ name: {name}, script: [text: hi] }}]")
    }

    fn names(scenarios: &[Scenario]) -> Vec<&str> {
        scenarios.iter().map(|scenario| scenario.name.as_str()).collect()
    }

    #[test]
    fn files_are_read_in_the_order_of_their_names() {
        let folder = tempfile::tempdir().expect("a folder");
        for (path, name) in [("b.yml", "second"), ("a.yaml", "first"), ("c.json", "third")] {
            let text = file(name);
            let json =
                format!(r#"{{"scenarios":[{{"name":"{name}","script":[{{"text":"hi"}}]}}]}}"#);
            let text = if path.ends_with("json") { json } else { text };
            fs::write(folder.path().join(path), text).expect("written");
        }
        fs::write(folder.path().join("notes.txt"), "not a scenario").expect("written");

        let library = Library::open(folder.path()).expect("all files are right");

        assert_eq!(names(&library.current()), ["first", "second", "third"]);
    }

    #[test]
    fn a_broken_file_is_an_error_at_the_start_and_keeps_the_old_ones_later() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("a.yaml"), file("old")).expect("written");
        let mut shelf = Shelf::default();
        shelf.read(folder.path()).expect("readable");

        fs::write(folder.path().join("a.yaml"), "scenarios: 1").expect("written");
        fs::write(folder.path().join("b.yaml"), file("new")).expect("written");
        let broken = shelf.read(folder.path()).expect("readable");

        assert_eq!(names(&shelf.scenarios()), ["old", "new"]);
        assert!(broken[0].to_string().contains("a.yaml:1:"), "{broken:?}");
        Library::open(folder.path())
            .expect_err("a server does not start with half of its scenarios");
    }

    #[test]
    fn scenarios_of_a_removed_file_are_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("a.yaml"), file("gone")).expect("written");
        let mut shelf = Shelf::default();
        shelf.read(folder.path()).expect("readable");
        fs::remove_file(folder.path().join("a.yaml")).expect("removed");
        shelf.read(folder.path()).expect("readable");
        assert!(shelf.scenarios().is_empty());
    }

    #[tokio::test]
    async fn a_change_is_noticed() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("a.yaml"), file("old")).expect("written");
        let mut library = Library::open(folder.path()).expect("right");

        fs::write(folder.path().join("a.yaml"), file("new")).expect("written");

        let noticed = library.current.wait_for(|scenarios| names(scenarios) == ["new"]).await;
        noticed.expect("the folder is watched");
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        let error =
            Library::open(Path::new("/nowhere/at/all")).expect_err("there is no such folder");
        assert!(error.to_string().starts_with("/nowhere/at/all: "), "{error}");
    }
}
