//! The limits of a cell, each once: its field, option and default in [`CellLimits`], and its name and message in
//! [`Limit`]. The warden enforces them.

use serde::{Deserialize, Serialize};

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

impl Limit {
    /// Name in answers. It includes the unit.
    pub fn name(self) -> &'static str {
        match self {
            Limit::WallMs(_) => "wall_ms",
            Limit::CpuMs(_) => "cpu_ms",
            Limit::MemoryBytes(_) => "memory_bytes",
            Limit::SandboxMemory => "sandbox_memory",
            Limit::Processes(_) => "processes",
            Limit::Threads(_) => "threads",
            Limit::OpenFiles(_) => "open_files",
            Limit::Mappings(_) => "mappings",
            Limit::Locks(_) => "locks",
            Limit::Watches(_) => "watches",
            Limit::DiskBytes(_) => "disk_bytes",
            Limit::DiskFiles(_) => "disk_files",
            Limit::OutputBytes(_) => "output_bytes",
            Limit::CodeBytes(_) => "code_bytes",
            Limit::Rest => "rest",
        }
    }

    /// The number that was exceeded; 0 for limits without one.
    pub fn value(self) -> u64 {
        match self {
            Limit::WallMs(value)
            | Limit::CpuMs(value)
            | Limit::MemoryBytes(value)
            | Limit::Processes(value)
            | Limit::Threads(value)
            | Limit::OpenFiles(value)
            | Limit::Mappings(value)
            | Limit::Locks(value)
            | Limit::Watches(value)
            | Limit::DiskBytes(value)
            | Limit::DiskFiles(value)
            | Limit::OutputBytes(value)
            | Limit::CodeBytes(value) => value,
            Limit::SandboxMemory | Limit::Rest => 0,
        }
    }

    /// The limit with its unit.
    pub fn amount(self) -> String {
        match self {
            Limit::WallMs(ms) => format!("{} s (the limit of one run)", seconds(ms)),
            Limit::CpuMs(ms) => format!("{} s of processor time", seconds(ms)),
            Limit::MemoryBytes(bytes) => format!("{} of memory", size(bytes)),
            Limit::SandboxMemory => "the sandbox's memory was full".to_owned(),
            Limit::Processes(count) => format!("{count} processes"),
            Limit::Threads(count) => format!("{count} threads"),
            Limit::OpenFiles(count) => format!("{count} open files"),
            Limit::Mappings(count) => format!("{count} mappings of memory"),
            Limit::Locks(count) => format!("{count} locks of files"),
            Limit::Watches(count) => format!("{count} epoll registrations"),
            Limit::DiskBytes(bytes) => format!("{} of files", size(bytes)),
            Limit::DiskFiles(count) => format!("{count} files and folders"),
            Limit::OutputBytes(bytes) => size(bytes),
            Limit::CodeBytes(bytes) => format!("{bytes} bytes"),
            Limit::Rest => "not run: processes of an earlier run could not be stopped, so its \
                            variables and files are lost"
                .to_owned(),
        }
    }

    /// The last line of a run that this limit stopped, in the form of Python's exceptions.
    pub fn message(self) -> String {
        let (exception, what) = match self {
            Limit::WallMs(_) => ("TimeoutError", "stopped after "),
            Limit::CpuMs(_) => ("TimeoutError", "stopped, used more than "),
            Limit::MemoryBytes(_) => ("MemoryError", "stopped, used more than "),
            Limit::SandboxMemory => ("MemoryError", "killed, "),
            Limit::OutputBytes(_) => ("OutputError", "stopped, wrote more than "),
            Limit::CodeBytes(_) => ("CodeError", "not run, the code is longer than "),
            Limit::Rest => ("StateError", ""),
            // The kernel refuses more than most of these, so they rarely stop a run.
            _ => ("OSError", "stopped, used more than "),
        };
        format!("{exception}: {what}{}", self.amount())
    }
}

/// `30`, `0.5`
fn seconds(ms: u64) -> String {
    if ms.is_multiple_of(1000) {
        (ms / 1000).to_string()
    } else {
        format!("{}", ms as f64 / 1000.0)
    }
}

/// `512 MiB`, `1000 bytes`
pub fn size(bytes: u64) -> String {
    match bytes {
        bytes if bytes > 0 && bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        bytes => format!("{bytes} bytes"),
    }
}

/// Limits of one cell. With the feature `options`, each is an option of the command line, and these texts are
/// its help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "options", derive(clap::Args))]
pub struct CellLimits {
    /// Wall-clock time of one run, in milliseconds.
    #[cfg_attr(feature = "options", arg(long, default_value_t = 30_000))]
    pub wall_ms: u64,
    /// CPU time of one run, of all its processes together, in milliseconds; default: twice the wall-clock
    /// time.
    #[cfg_attr(feature = "options", arg(long, default_value_t = 0, hide_default_value = true))]
    pub cpu_ms: u64,
    /// Memory of one cell, processes and files together, in MiB.
    #[cfg_attr(feature = "options", arg(long = "memory-mib", value_name = "MEMORY_MIB", value_parser = mebibytes, default_value = "2048"))]
    pub memory_bytes: u64,
    /// Processes of one cell.
    #[cfg_attr(feature = "options", arg(long, default_value_t = 64))]
    pub processes: u64,
    /// Threads of all processes of one cell together. Each process has at least one.
    #[cfg_attr(feature = "options", arg(long, default_value_t = 512))]
    pub threads: u64,
    /// Open files of one process of a cell.
    #[cfg_attr(feature = "options", arg(long, default_value_t = 256))]
    pub open_files: u64,
    /// Memory mappings of all processes of one cell together, if cells have no control groups: each one makes
    /// measuring the cell's memory slower.
    #[cfg_attr(feature = "options", arg(long, default_value_t = 400_000))]
    #[serde(default = "no_limit")]
    pub mappings: u64,
    /// File locks of one cell, of whole files or of ranges.
    #[cfg_attr(feature = "options", arg(long, default_value_t = 10_000))]
    #[serde(default = "no_limit")]
    pub locks: u64,
    /// Registrations with epoll of all processes of one cell together. A descriptor in a socket's queue counts
    /// as 160. Counted if cells share a user outside, or have no control groups.
    #[cfg_attr(feature = "options", arg(long, default_value_t = 20_000))]
    #[serde(default = "no_limit")]
    pub watches: u64,
    /// Work directory, `/tmp` and `/dev/shm` of one cell together, in MiB.
    #[cfg_attr(feature = "options", arg(long = "scratch-mib", value_name = "SCRATCH_MIB", value_parser = mebibytes, default_value = "512"))]
    pub scratch_bytes: u64,
    /// Files and folders in them.
    #[cfg_attr(feature = "options", arg(long, default_value_t = 10_000))]
    pub scratch_files: u64,
    /// Kept output of one run, of stdout and stderr each, in bytes.
    #[cfg_attr(feature = "options", arg(long, default_value_t = 1 << 20))]
    pub output_bytes: u64,
    /// Pictures that one run may return.
    #[cfg_attr(feature = "options", arg(long, default_value_t = 20))]
    pub images: u32,
    /// Bytes of one picture.
    #[cfg_attr(feature = "options", arg(long, default_value_t = 10 << 20))]
    pub image_bytes: u64,
    /// Bytes of those pictures together.
    #[cfg_attr(feature = "options", arg(long, default_value_t = 32 << 20))]
    #[serde(default)]
    pub all_images_bytes: u64,
    /// Files that one run may return.
    #[cfg_attr(feature = "options", arg(long, default_value_t = 100))]
    pub files: u32,
    /// Bytes of those files together.
    #[cfg_attr(feature = "options", arg(long, default_value_t = 32 << 20))]
    pub files_bytes: u64,
    /// Bytes of the code of one run.
    #[cfg_attr(feature = "options", arg(long, default_value_t = 1 << 20))]
    pub code_bytes: u64,
}

#[cfg(feature = "options")]
fn mebibytes(text: &str) -> Result<u64, String> {
    let mebibytes: u64 = text.parse().map_err(|error| format!("{error}"))?;
    mebibytes.checked_mul(1 << 20).ok_or_else(|| "number too large".to_owned())
}

/// Default for the message of a warden that does not have such a limit.
fn no_limit() -> u64 {
    u64::MAX
}

impl CellLimits {
    /// With the processor time of a warden that sets none: twice the wall-clock time.
    pub fn with_cpu_time(self) -> CellLimits {
        let cpu_ms = if self.cpu_ms == 0 { self.wall_ms.saturating_mul(2) } else { self.cpu_ms };
        CellLimits { cpu_ms, ..self }
    }

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
