//! A folder of documents, ranked with BM25.
//!
//! Before each search the folder is compared with its state at the last read, and changed files are
//! read again. There is no watcher that could miss a change.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use reqwest::Url;

use super::passage::{Document, PassageKind};
use super::ranking::Ranking;
use super::{Search, SearchError};
use domain::interaction::Found;

/// Maximum depth of nested folders.
const MAX_DEPTH: usize = 16;

/// How much of a folder is searched. Omitted files are logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FolderLimits {
    pub files: usize,
    pub file_bytes: u64,
    /// Total size of all files.
    pub bytes: u64,
}

#[derive(Debug)]
pub struct Folder(Arc<Documents>);

#[derive(Debug)]
struct Documents {
    folder: PathBuf,
    /// Prefix of the URLs of documents.
    base_url: Url,
    results: usize,
    limits: FolderLimits,
    index: Mutex<Index>,
}

/// Why a folder cannot be searched.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    #[error("could not read the folder of documents {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("invalid URL of documents {0}: expected a URL that ends with a slash")]
    NoAddress(String),
    #[error("a search did not finish")]
    Lost,
}

/// Identifies the version of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    modified: Option<SystemTime>,
}

#[derive(Default)]
struct Index {
    /// By path in the folder.
    documents: BTreeMap<PathBuf, (Stamp, Document)>,
    /// Number of files that the limits exclude.
    left_out: usize,
    ranked: Option<Ranked>,
}

/// Passages with their ranking data.
struct Ranked {
    ranking: Ranking,
    /// Path of the document and position in it, by passage number.
    passages: Vec<(PathBuf, usize)>,
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index").field("documents", &self.documents.len()).finish_non_exhaustive()
    }
}

impl Folder {
    /// Reads the folder. `base_url` is the URL of the folder and ends with a slash; `results` is
    /// the maximum number of documents per query.
    pub fn open(
        folder: &Path,
        base_url: &str,
        results: usize,
        limits: FolderLimits,
    ) -> Result<Folder, FolderError> {
        let address = Url::parse(base_url).ok().filter(|_| base_url.ends_with('/'));
        let base_url = address.ok_or_else(|| FolderError::NoAddress(base_url.to_owned()))?;
        let index = Mutex::default();
        let documents = Documents { folder: folder.to_owned(), base_url, results, limits, index };
        documents.find("")?;
        Ok(Folder(documents.into()))
    }
}

impl Search for Folder {
    fn find<'a>(&'a self, query: &'a str) -> BoxFuture<'a, Result<Vec<Found>, SearchError>> {
        let (documents, query) = (Arc::clone(&self.0), query.to_owned());
        Box::pin(async move {
            let found = tokio::task::spawn_blocking(move || documents.find(&query)).await;
            Ok(found.map_err(|_| FolderError::Lost)??)
        })
    }
}

impl Documents {
    fn find(&self, query: &str) -> Result<Vec<Found>, FolderError> {
        let mut index = self.index.lock();
        let (files, left_out) = self.files()?;
        if std::mem::replace(&mut index.left_out, left_out) != left_out && left_out > 0 {
            tracing::warn!(left_out, limits = ?self.limits, "some documents are not searched");
        }
        if index.keep_up(&self.folder, &files) || index.ranked.is_none() {
            index.ranked = Some(Ranked::of(&index.documents));
        }
        let Some(ranked) = &index.ranked else { return Ok(Vec::new()) };
        let mut known = HashSet::new();
        let best = ranked.ranking.matches(query);
        let best = best.filter_map(|passage| ranked.passages.get(passage));
        // The best passage of each document.
        let best = best.filter(|(path, _)| known.insert(path));
        let page = |(path, at): &(PathBuf, usize)| {
            let (_, document) = index.documents.get(path)?;
            let url = self.address(path)?;
            Some(Found {
                title: document.title.clone(),
                url,
                snippet: document.passages.get(*at)?.clone(),
            })
        };
        Ok(best.filter_map(page).take(self.results).collect())
    }

    /// `notes/moss.md` relative to the base URL of the folder.
    fn address(&self, path: &Path) -> Option<String> {
        let mut address = self.base_url.clone();
        let mut segments = address.path_segments_mut().ok()?;
        segments.pop_if_empty();
        for part in path {
            segments.push(part.to_str()?);
        }
        drop(segments);
        Some(address.into())
    }

    /// The documents in the order of their paths, and how many more exceed the limits.
    fn files(&self) -> Result<(BTreeMap<PathBuf, Stamp>, usize), FolderError> {
        let unreadable = |source| FolderError::Unreadable { path: self.folder.clone(), source };
        let mut found = BTreeMap::new();
        let mut folders = vec![(PathBuf::new(), 0)];
        while let Some((below, depth)) = folders.pop() {
            let entries = match std::fs::read_dir(self.folder.join(&below)) {
                Ok(entries) => entries,
                Err(error) if depth == 0 => return Err(unreadable(error)),
                // The file may have been deleted, or may not be readable.
                Err(_) => continue,
            };
            for entry in entries.flatten() {
                let path = below.join(entry.file_name());
                let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
                // Links are not followed, because they could lead out of the folder.
                let Ok(about) = entry.metadata() else { continue };
                let is_document = path.extension().and_then(|kind| kind.to_str());
                let is_document = is_document.and_then(PassageKind::of_extension).is_some();
                if is_hidden {
                    continue;
                } else if about.is_dir() && depth < MAX_DEPTH {
                    folders.push((path, depth + 1));
                } else if about.is_file() && is_document {
                    let stamp = Stamp { bytes: about.len(), modified: about.modified().ok() };
                    found.insert(path, stamp);
                }
            }
        }
        Ok(self.within_limits(found))
    }

    fn within_limits(&self, found: BTreeMap<PathBuf, Stamp>) -> (BTreeMap<PathBuf, Stamp>, usize) {
        let (all, mut bytes) = (found.len(), 0);
        let small = found.into_iter().filter(|(_, stamp)| stamp.bytes <= self.limits.file_bytes);
        let fitting = small.take(self.limits.files).take_while(|(_, stamp)| {
            bytes += stamp.bytes;
            bytes <= self.limits.bytes
        });
        let files: BTreeMap<_, _> = fitting.collect();
        let left_out = all - files.len();
        (files, left_out)
    }
}

impl Index {
    /// Reads new and changed files. Returns whether there were any.
    fn keep_up(&mut self, folder: &Path, files: &BTreeMap<PathBuf, Stamp>) -> bool {
        let before = self.documents.len();
        self.documents.retain(|path, (stamp, _)| files.get(path) == Some(stamp));
        let mut changed = self.documents.len() < before;
        for (path, stamp) in files {
            if self.documents.contains_key(path) {
                continue;
            }
            let kind = path.extension().and_then(|kind| kind.to_str());
            let Some(kind) = kind.and_then(PassageKind::of_extension) else { continue };
            // An unreadable file is tried again at the next search.
            let Ok(content) = std::fs::read(folder.join(path)) else { continue };
            let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
            let document = Document::read(kind, &content, &name);
            self.documents.insert(path.clone(), (stamp.clone(), document));
            changed = true;
        }
        changed
    }
}

impl Ranked {
    fn of(documents: &BTreeMap<PathBuf, (Stamp, Document)>) -> Ranked {
        let mut texts = Vec::new();
        let mut passages = Vec::new();
        for (path, (_, document)) in documents {
            for (at, passage) in document.passages.iter().enumerate() {
                // The title is part of each passage.
                texts.push(format!("{}\n{passage}", document.title));
                passages.push((path.clone(), at));
            }
        }
        let corpus: Vec<&str> = texts.iter().map(String::as_str).collect();
        Ranked { ranking: Ranking::new(&corpus), passages }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: FolderLimits = FolderLimits { files: 100, file_bytes: 10_000, bytes: 100_000 };

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        for (name, content) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("it is in the folder")).expect("ours");
            std::fs::write(path, content).expect("it can be written");
        }
        folder
    }

    fn open(folder: &Path, limits: FolderLimits) -> Folder {
        Folder::open(folder, "document:///", 5, limits).expect("it can be read")
    }

    fn urls(folder: &Folder, query: &str) -> Vec<String> {
        let found = folder.0.find(query).expect("it can be read");
        found.into_iter().map(|page| page.url).collect()
    }

    #[test]
    fn the_passage_that_fits_best_is_found_with_its_document() {
        let long =
            format!("# Plants\n\n{}\n\nMoss grows on stones.\n", "Other words. ".repeat(100));
        let files = folder(&[
            ("plants.md", long.as_str()),
            ("notes/a b.txt", "Moss, moss, moss and stones."),
            ("table.csv", "plant,height\nfern,80\n"),
            ("苔.txt", "苔は緑です"),
            ("picture.png", "moss"),
            (".hidden.txt", "moss"),
        ]);
        let found = open(files.path(), LIMITS);
        assert_eq!(urls(&found, "MOSS"), ["document:///notes/a%20b.txt", "document:///plants.md"]);
        assert_eq!(urls(&found, "fern"), ["document:///table.csv"]);
        assert_eq!(urls(&found, "緑"), ["document:///%E8%8B%94.txt"]);
        assert!(urls(&found, "nothing").is_empty() && urls(&found, "").is_empty());
        let pages = found.0.find("grows").expect("it can be read");
        assert_eq!((pages[0].title.as_str(), pages.len()), ("Plants", 1));
        assert!(pages[0].snippet.ends_with("Moss grows on stones."), "{}", pages[0].snippet);
    }

    #[test]
    fn changed_files_are_read_again() {
        let files = folder(&[("a.txt", "moss"), ("b.txt", "fern")]);
        let found = open(files.path(), LIMITS);
        std::fs::write(files.path().join("a.txt"), "lichen, now").expect("it can be written");
        std::fs::write(files.path().join("c.txt"), "moss").expect("it can be written");
        std::fs::remove_file(files.path().join("b.txt")).expect("it is there");
        assert_eq!(urls(&found, "moss"), ["document:///c.txt"]);
        assert_eq!(urls(&found, "lichen"), ["document:///a.txt"]);
        assert!(urls(&found, "fern").is_empty());
    }

    #[test]
    fn files_beyond_the_limits_are_not_searched() {
        let big = "moss ".repeat(3000);
        let files = folder(&[
            ("a.txt", "moss"),
            ("b.txt", big.as_str()),
            ("c.txt", "moss"),
            ("d.txt", "moss"),
        ]);
        for (limits, wanted) in [
            (LIMITS, 3),
            (FolderLimits { files: 2, ..LIMITS }, 2),
            (FolderLimits { bytes: 9, ..LIMITS }, 2),
            (FolderLimits { file_bytes: 3, ..LIMITS }, 0),
            (FolderLimits { file_bytes: 100_000, ..LIMITS }, 4),
        ] {
            assert_eq!(urls(&open(files.path(), limits), "moss").len(), wanted, "{limits:?}");
        }
    }

    #[test]
    fn links_are_not_followed() {
        let outside = folder(&[("secret.txt", "moss")]);
        let files = folder(&[("a.txt", "fern")]);
        for (name, to) in
            [("link.txt", outside.path().join("secret.txt")), ("link", outside.path().into())]
        {
            std::os::unix::fs::symlink(to, files.path().join(name)).expect("links can be made");
        }
        assert!(urls(&open(files.path(), LIMITS), "moss").is_empty());
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        let error = Folder::open(Path::new("/no/such"), "document:///", 5, LIMITS);
        assert!(matches!(error, Err(FolderError::Unreadable { .. })), "{error:?}");
        let error = Folder::open(Path::new("/"), "docs", 5, LIMITS);
        assert!(matches!(error, Err(FolderError::NoAddress(_))), "{error:?}");
    }
}
