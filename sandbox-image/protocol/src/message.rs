//! Requests, replies and their parts.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Maximum number of input files of one cell.
pub const MAX_INPUT_FILES: usize = 100;

/// A request from the server.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Request {
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
    },
}

/// A reply of the warden.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Reply {
    Description(Description),
    Opened {
        tier: Tier,
        limits: CellLimits,
    },
    FilePut,
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
    Finished(Finished),
    /// Nothing was executed.
    Refused(Refusal),
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    pub outcome: Outcome,
    pub usage: Usage,
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
pub enum Outcome {
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

impl Outcome {
    /// The limit that ended the run, if any.
    pub fn limit(&self) -> Option<Limit> {
        match self {
            Outcome::Raised { limit } => *limit,
            Outcome::Stopped { limit } => Some(*limit),
            Outcome::Ok | Outcome::Exited { .. } | Outcome::Signalled { .. } => None,
        }
    }
}

/// A limit that a run exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Limit {
    /// Wall-clock time of one run, in milliseconds.
    WallMs(u64),
    /// Processor time of one run, of all processes together, in milliseconds.
    CpuMs(u64),
    /// Memory of the whole cell, in bytes.
    MemoryBytes(u64),
    /// Memory of all cells together: the container or the machine ran out of memory, and the kernel
    /// killed this cell although it was within its own limit.
    SandboxMemory,
    /// Processes of the whole cell.
    Processes(u64),
    /// Threads of all processes of the cell together; each process has at least one.
    Threads(u64),
    /// Open files of one process.
    OpenFiles(u64),
    /// Memory mappings of all processes of the cell together.
    Mappings(u64),
    /// File locks, including those of ranges, of the whole cell.
    Locks(u64),
    /// epoll registrations of the whole cell. A descriptor in a socket counts as several.
    Watches(u64),
    /// Files of the whole cell, in total and each, in bytes.
    DiskBytes(u64),
    /// Files and folders of the whole cell.
    DiskFiles(u64),
    /// Output of one run, in bytes. Far above the limit on output that is kept.
    OutputBytes(u64),
    /// Size of the code, in bytes. The code was not run.
    CodeBytes(u64),
    /// Processes of the previous run could not be frozen between the two runs, so the cell was ended.
    /// The code was not run.
    Rest,
}

/// Resources that a run used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    pub wall_us: u64,
    /// Processor time of all processes together.
    pub cpu_us: u64,
    /// Peak memory of the cell's processes so far, without the libraries.
    pub peak_memory_bytes: u64,
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

/// Limits of one cell. There is no default: the caller that starts a warden sets them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CellLimits {
    /// Wall-clock time of one run, from the moment it receives the code, in milliseconds.
    pub wall_ms: u64,
    /// Processor time of one run, of all processes together, in milliseconds.
    pub cpu_ms: u64,
    /// Memory of all processes and files together, in bytes.
    pub memory_bytes: u64,
    /// Processes of one cell.
    pub processes: u64,
    /// Threads of all its processes together; each process has at least one.
    pub threads: u64,
    /// Open files of one process.
    pub open_files: u64,
    /// Memory mappings of all its processes together.
    #[serde(default = "no_limit")]
    pub mappings: u64,
    /// File locks, including those of ranges, of the whole cell.
    #[serde(default = "no_limit")]
    pub locks: u64,
    /// epoll registrations of the whole cell. A descriptor in a socket counts as several.
    #[serde(default = "no_limit")]
    pub watches: u64,
    /// Work directory, `/tmp` and `/dev/shm` together, in bytes.
    pub scratch_bytes: u64,
    /// Files and directories in them.
    pub scratch_files: u64,
    /// Bytes kept of each of stdout and stderr. A run that writes ten times as much to stdout is stopped.
    pub output_bytes: u64,
    /// Images that one run may return.
    pub images: u32,
    /// Bytes of one image.
    pub image_bytes: u64,
    /// Bytes of all images of a run together.
    #[serde(default)]
    pub all_images_bytes: u64,
    /// Files that one run may return.
    pub files: u32,
    /// Bytes of those files together.
    pub files_bytes: u64,
    /// Bytes of the code of one run.
    pub code_bytes: u64,
}

/// Default for the message of a warden that does not have such a limit.
fn no_limit() -> u64 {
    u64::MAX
}

impl CellLimits {
    /// All limits zero. Tests set the ones they need.
    pub const NOTHING: CellLimits = CellLimits {
        wall_ms: 0,
        cpu_ms: 0,
        memory_bytes: 0,
        processes: 0,
        threads: 0,
        open_files: 0,
        mappings: 0,
        locks: 0,
        watches: 0,
        scratch_bytes: 0,
        scratch_files: 0,
        output_bytes: 0,
        images: 0,
        image_bytes: 0,
        all_images_bytes: 0,
        files: 0,
        files_bytes: 0,
        code_bytes: 0,
    };
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
    pub limits: CellLimits,
    /// `3.12.1`
    pub python: String,
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
