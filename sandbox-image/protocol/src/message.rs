//! Requests, replies and their parts.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::limit::{CellLimits, Limit};
use crate::pool::PoolReport;

/// Maximum number of input files of one cell.
pub const MAX_INPUT_FILES: usize = 100;
/// Maximum number of files in a list, which has to fit into a blob.
pub const MAX_LISTED_FILES: usize = 10_000;

/// A request from the server.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum WardenRequest {
    /// Asks for the warden's state and isolation. Answered by [`Reply::Description`].
    Describe,
    /// Opens a new cell. Answered by [`Reply::Opened`] or [`Reply::Refused`]; requests that were sent
    /// after a refused one are refused as well.
    Open {
        /// The weakest acceptable tier.
        least: Tier,
        /// Packages that the code is likely to import. An error here costs time only.
        #[serde(default)]
        imports: Vec<String>,
        /// Whether more code is likely to follow, which may import more packages.
        #[serde(default)]
        more: bool,
        /// Whether the cell is kept between runs for a long time. A part of the cells is reserved for
        /// others, and such a request does not wait. A run that exceeds its time limit is interrupted
        /// first, so that the cell survives it if the code ends.
        #[serde(default)]
        keep: bool,
    },
    /// Writes the blob to the work directory under this plain name, readable and writable by the code.
    /// Answered by [`Reply::FilePut`] or [`Reply::Refused`].
    PutFile { name: String },
    /// Runs the blob, Python source in UTF-8, in the cell. Answered by [`Reply::Stdout`],
    /// [`Reply::Stderr`], any number of [`Reply::Image`] and [`Reply::File`], and [`Reply::Finished`]; or
    /// by [`Reply::Refused`].
    Run {
        /// A time limit below the cell's, in milliseconds.
        #[serde(default)]
        wall_ms: Option<u64>,
        /// Return the files that the run creates or changes in the work directory.
        #[serde(default)]
        files: bool,
        /// Also send output while the code runs: any number of [`Reply::LiveText`] and
        /// [`Reply::LiveImage`]. The whole output follows at the end, as without it.
        #[serde(default)]
        live: bool,
    },
    /// Raises `KeyboardInterrupt` in the code that runs. Has no reply, and no effect if none runs.
    Interrupt,
    /// Answered by [`Reply::Files`].
    ListFiles,
    /// Reads a part of a regular file of the work directory. Answered by [`Reply::FilePart`] or
    /// [`Reply::NoFile`].
    ReadFile {
        /// Relative to the work directory.
        path: String,
        offset: u64,
        bytes: u64,
    },
    /// Writes the blob to a file of the work directory, replaces an existing one, and creates missing
    /// folders. Answered by [`Reply::FilePut`] or [`Reply::Refused`].
    WriteFile { path: String },
    /// Deletes a file or an empty folder of the work directory. Answered by [`Reply::FileDeleted`],
    /// [`Reply::NoFile`] or [`Reply::Refused`].
    DeleteFile { path: String },
}

/// A reply of the warden.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum WardenReply {
    Description(Description),
    Opened {
        tier: Tier,
        limits: CellLimits,
    },
    FilePut,
    FileDeleted,
    /// There is no such file.
    NoFile,
    /// The blob is a JSON list of [`FileEntry`], sorted by path.
    Files {
        /// Whether entries are missing because there are too many.
        is_cut: bool,
    },
    /// The blob is a part of a file.
    FilePart {
        /// Size of the whole file.
        total_bytes: u64,
        /// Differs after a change of the file.
        version: u64,
    },
    /// The blob is text that the code has just written: raw bytes.
    LiveText {
        stream: TextStream,
    },
    /// The blob is an image that the code has just shown.
    LiveImage {
        mime_type: String,
    },
    /// The blob is the run's standard output: raw bytes; head and tail if the output exceeded the
    /// limit.
    Stdout {
        /// Bytes omitted between head and tail.
        left_out: u64,
    },
    /// As [`Reply::Stdout`]; the traceback of a failed run is at its end.
    Stderr {
        left_out: u64,
    },
    /// The blob is an image that the run showed or saved. The warden detects its type from the first
    /// bytes, outside the cell.
    Image {
        mime_type: String,
    },
    /// The blob is a file of the work directory. Sent only if files were requested.
    File {
        /// Path in the work directory. Bytes that are not UTF-8 are replaced.
        path: String,
    },
    Finished(RunResult),
    /// Nothing was executed.
    Refused(Refusal),
}

/// A file of the work directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Relative to the work directory.
    pub path: String,
    pub bytes: u64,
    /// Time of the last change, in milliseconds since 1970.
    pub modified_ms: u64,
}

/// A standard stream of the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TextStream {
    Stdout,
    Stderr,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunResult {
    pub outcome: RunOutcome,
    pub usage: ResourceUsage,
    /// The cell is lost: the next `Run` on this connection is refused. Open another connection.
    pub cell_lost: bool,
    /// Images omitted because of the limits on number or size.
    pub images_left_out: u32,
    /// Requested files omitted because of the limits on number or size.
    #[serde(default)]
    pub files_left_out: u32,
}

/// The result of a run. All but `Ok` and `Raised` are observed from outside the cell. Those two are
/// reported by the code's process, which could fake them anyway by catching the exception.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RunOutcome {
    Ok,
    /// An uncaught exception; its traceback is on stderr.
    Raised {
        /// The limit that caused the exception, if any. The kind of limit is reported from inside the cell;
        /// its value is not.
        limit: Option<Limit>,
    },
    /// The process ended itself.
    Exited {
        code: i32,
    },
    Signalled {
        signal: i32,
    },
    /// Stopped by the warden.
    Stopped {
        limit: Limit,
    },
}

impl RunOutcome {
    /// The limit that ended the run, if any.
    pub fn limit(&self) -> Option<Limit> {
        match self {
            RunOutcome::Raised { limit } => *limit,
            RunOutcome::Stopped { limit } => Some(*limit),
            RunOutcome::Ok | RunOutcome::Exited { .. } | RunOutcome::Signalled { .. } => None,
        }
    }
}

/// Resources that a run used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ResourceUsage {
    pub wall_us: u64,
    /// Processor time of all processes together.
    pub cpu_us: u64,
    /// Peak memory of the cell's processes so far, without the libraries.
    pub peak_memory_bytes: u64,
    /// Memory that the processes and files of a cell that is kept hold after the run, without the
    /// libraries.
    #[serde(default)]
    pub held_memory_bytes: u64,
}

/// Why no code was executed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// The isolation is weaker than requested.
    TooThin { found: Tier },
    /// All cells are in use, and the queue's deadline has passed.
    Busy,
    /// No cell could be created. The text is for the operator.
    Unavailable { why: String },
    /// The request is invalid. The text gives the reason.
    Invalid { why: String },
    /// The cell of this connection is gone.
    CellLost,
}

/// State and isolation of a warden.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Description {
    /// A standby cell is ready, so a run would begin at once.
    pub ready: bool,
    /// What the warden waits for, if it is not ready.
    pub waiting_for: String,
    pub tier: Tier,
    pub layers: Vec<Layer>,
    /// For each kit whose libraries are moved into large pages.
    #[serde(default)]
    pub libraries: Vec<LibraryImage>,
    pub limits: CellLimits,
    /// `3.12.1`
    pub python: String,
    #[serde(default)]
    pub pool: PoolReport,
}

/// Strength of the isolation, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// No cell has started yet, or none can.
    None,
    /// A system-call filter and a user for each cell. Not for untrusted code.
    SeccompOnly,
    /// Landlock in addition, on the machine's own root: files and signals of other processes are out of
    /// reach, but their existence is visible.
    Landlocked,
    /// Namespaces, a private root, no capabilities, Landlock and a system-call filter; shared kernel.
    Namespaced,
}

/// One layer of the isolation, as tested from inside a cell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// `user namespace`, `landlock`, …
    pub name: String,
    pub holds: bool,
    /// What was found; or why the layer is not effective, and what would change that.
    pub detail: String,
}

/// The form of a kit's libraries in memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LibraryImage {
    /// `science`, …
    pub kit: String,
    pub form: ImageForm,
    /// Sizes; or why libraries stay mapped from files.
    pub detail: String,
}

/// How much of the libraries is in large pages, which makes cells several times as fast to create and end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImageForm {
    /// Not known yet.
    Pending,
    /// Nothing: all are mapped from files.
    None,
    Split,
    Whole,
}

impl fmt::Display for ImageForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ImageForm::Pending => "pending",
            ImageForm::None => "none",
            ImageForm::Split => "split",
            ImageForm::Whole => "whole",
        })
    }
}

impl Tier {
    const NAMES: [(&'static str, Tier); 4] = [
        ("none", Tier::None),
        ("seccomp-only", Tier::SeccompOnly),
        ("landlocked", Tier::Landlocked),
        ("namespaced", Tier::Namespaced),
    ];
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Tier::NAMES.iter().find(|(_, tier)| tier == self);
        f.write_str(name.map_or("none", |(name, _)| name))
    }
}

impl FromStr for Tier {
    type Err = String;

    fn from_str(text: &str) -> Result<Tier, String> {
        let [_, rest @ ..] = Tier::NAMES; // `none` cannot be required
        let known = rest.iter().find(|(name, _)| *name == text);
        known
            .map(|(_, tier)| *tier)
            .ok_or_else(|| format!("expected one of {}", rest.map(|(name, _)| name).join(", ")))
    }
}
