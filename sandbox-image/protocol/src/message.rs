//! The messages.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Files that may be put into one cell.
pub const MAX_INPUT_FILES: usize = 100;

/// What the server asks for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Request {
    /// What the warden is and whether it could serve at once. Answered by [`Reply::Description`].
    Describe,
    /// A fresh cell. Answered by [`Reply::Opened`] or [`Reply::Refused`]; what was sent along after a
    /// refusal is refused as well.
    Open {
        /// The weakest wall that will do.
        least: Tier,
        /// Packages that the code is likely to import. What is wrong here costs time, and nothing
        /// else.
        #[serde(default)]
        imports: Vec<String>,
        /// Whether other code is likely to follow, which may import more.
        #[serde(default)]
        more: bool,
    },
    /// Puts the blob into the work directory under this plain name, for the code to read and
    /// write. Answered by [`Reply::FilePut`] or [`Reply::Refused`].
    PutFile { name: String },
    /// Runs the blob, Python in UTF-8, in the cell. Answered by [`Reply::Stdout`], [`Reply::Stderr`], any number of
    /// [`Reply::Image`] and [`Reply::File`], and [`Reply::Finished`]; or by [`Reply::Refused`].
    Run {
        /// Less time than the limit, in milliseconds.
        #[serde(default)]
        wall_ms: Option<u64>,
        /// Give back the files that the run leaves new or changed in the work directory.
        #[serde(default)]
        files: bool,
    },
}

/// What the warden answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Reply {
    Description(Description),
    Opened {
        tier: Tier,
        limits: CellLimits,
    },
    FilePut,
    /// The blob is what the run wrote to its standard output: raw bytes, head and tail where it was
    /// more than the limit.
    Stdout {
        /// Bytes that were left out between head and tail.
        left_out: u64,
    },
    /// As [`Reply::Stdout`]; the traceback of a failed run is at its end.
    Stderr {
        left_out: u64,
    },
    /// The blob is a picture that the run showed or saved. The type was read off its first bytes,
    /// outside the cell.
    Image {
        mime_type: String,
    },
    /// The blob is a file of the work directory; only where files were asked for.
    File {
        /// Its path in the work directory. Bytes that are no text are replaced.
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
    /// The cell did not survive: the next `Run` on this connection is refused, and another
    /// connection is needed.
    pub cell_lost: bool,
    /// Pictures that were beyond the limits on their number or size.
    pub images_left_out: u32,
    /// Files that were asked for, beyond the limits on their number or size.
    #[serde(default)]
    pub files_left_out: u32,
}

/// The verdict. All but `Ok` and `Raised` are observed from outside the cell; those two are the
/// code's own word, which it could choose freely anyway by catching what it raised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    Ok,
    /// An exception reached the top; its traceback is on stderr.
    Raised {
        /// What the exception was about, where it came of a limit. Which one is the code's word too;
        /// how much it is, is not.
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
    /// What the run ran into, if that is what ended it.
    pub fn limit(&self) -> Option<Limit> {
        match self {
            Outcome::Raised { limit } => *limit,
            Outcome::Stopped { limit } => Some(*limit),
            Outcome::Ok | Outcome::Exited { .. } | Outcome::Signalled { .. } => None,
        }
    }
}

/// What a run ran into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Limit {
    /// Wall-clock time of one run, in milliseconds.
    WallMs(u64),
    /// Processor time of one run, of all processes together, in milliseconds.
    CpuMs(u64),
    /// Memory of the whole cell, in bytes.
    MemoryBytes(u64),
    /// Memory of all cells together: the container's or the machine's was full, and the kernel killed this
    /// cell, though it was within its own limit.
    SandboxMemory,
    /// Processes of the whole cell.
    Processes(u64),
    /// Threads of all processes of the cell together, of which each has one at least.
    Threads(u64),
    /// Open files of one process.
    OpenFiles(u64),
    /// Mappings of memory of all processes of the cell together.
    Mappings(u64),
    /// Locks of files, and of ranges of them, of the whole cell.
    Locks(u64),
    /// Registrations with epoll of the whole cell, and descriptors in its sockets, each as several of them.
    Watches(u64),
    /// Files of the whole cell, together and each, in bytes.
    DiskBytes(u64),
    /// Files and folders of the whole cell.
    DiskFiles(u64),
    /// Output of one run, in bytes; reached only far beyond what is kept.
    OutputBytes(u64),
    /// The code itself, in bytes. It has not been run.
    CodeBytes(u64),
    /// What the run before had left could not be stopped between the two, so the cell was ended. The code
    /// has not been run.
    Rest,
}

/// What a run used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    pub wall_us: u64,
    /// Processor time of all processes together.
    pub cpu_us: u64,
    /// The most memory that the cell's processes have had so far, beyond what the libraries take.
    pub peak_memory_bytes: u64,
}

/// Why nothing was executed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// The wall is weaker than was asked for.
    TooThin { found: Tier },
    /// All cells are taken and the queue's deadline has passed.
    Busy,
    /// No cell could be made; the text is for the operator.
    Unavailable { why: String },
    /// The request itself is wrong: the text says how.
    Invalid { why: String },
    /// The cell of this connection is gone.
    CellLost,
}

/// What one cell may use up. There is no default: whoever starts a warden decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CellLimits {
    /// Wall-clock time of one run, counted from handing the code over, in milliseconds.
    pub wall_ms: u64,
    /// Processor time of one run, of all processes together, in milliseconds.
    pub cpu_ms: u64,
    /// Memory of all processes and files together, in bytes.
    pub memory_bytes: u64,
    /// Processes of one cell.
    pub processes: u64,
    /// Threads of all its processes together, of which each has one at least.
    pub threads: u64,
    /// Open files of one process.
    pub open_files: u64,
    /// Mappings of memory of all its processes together.
    #[serde(default = "no_limit")]
    pub mappings: u64,
    /// Locks of files, and of ranges of them, of the whole cell.
    #[serde(default = "no_limit")]
    pub locks: u64,
    /// Registrations with epoll of the whole cell, and descriptors in its sockets, each as several of them.
    #[serde(default = "no_limit")]
    pub watches: u64,
    /// Work directory, `/tmp` and `/dev/shm` together, in bytes.
    pub scratch_bytes: u64,
    /// Files and directories in them.
    pub scratch_files: u64,
    /// Kept of each of stdout and stderr, in bytes. A run that writes ten times as much to stdout
    /// is stopped.
    pub output_bytes: u64,
    /// Pictures that one run may give back.
    pub images: u32,
    /// Bytes of one picture.
    pub image_bytes: u64,
    /// Bytes of those pictures together.
    #[serde(default)]
    pub all_images_bytes: u64,
    /// Files that one run may give back.
    pub files: u32,
    /// Bytes of those files together.
    pub files_bytes: u64,
    /// Bytes of the code of one run.
    pub code_bytes: u64,
}

/// Of a warden that has no such limit.
fn no_limit() -> u64 {
    u64::MAX
}

impl CellLimits {
    /// Of everything, for a test to change what it is about.
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

/// What a warden is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Description {
    /// A cell stands ready, so that a run would begin at once.
    pub ready: bool,
    /// What is being waited for, where it is not ready.
    pub waiting_for: String,
    pub tier: Tier,
    pub layers: Vec<Layer>,
    pub limits: CellLimits,
    /// `3.12.1`
    pub python: String,
}

/// How strong the wall is, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// No cell has come up yet, or none can.
    None,
    /// A system-call filter and a user for each cell. Not for code of people whom you do not trust.
    SeccompOnly,
    /// Landlock as well, on the machine's own root: files and signals of others are out of reach,
    /// and can be seen to exist.
    Landlocked,
    /// Namespaces, a root of its own, no capabilities, Landlock and a system-call filter; one kernel.
    Namespaced,
}

/// One layer of the wall, as a cell found it when it tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// `user namespace`, `landlock`, …
    pub name: String,
    pub holds: bool,
    /// What was found, or why it does not hold and what would change that.
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
        let [_, rest @ ..] = Tier::NAMES; // none is no wall to ask for
        let known = rest.iter().find(|(name, _)| *name == text);
        known
            .map(|(_, tier)| *tier)
            .ok_or_else(|| format!("it is one of {}", rest.map(|(name, _)| name).join(", ")))
    }
}
