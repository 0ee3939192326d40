//! What a zygote and its cells are told: made by the warden, handed over as JSON.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Where the code finds itself, and the only place that survives from one run to the next.
pub const WORKSPACE: &str = "/workspace";

/// Where the program of a cell's first process lies on a root of our own.
pub const INIT: &str = "/opt/belljar/init";

/// Where a zygote and its cells stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ground {
    /// A root of their own, made of nothing but Python, and namespaces for each cell.
    Own,
    /// The machine's root, of which Landlock leaves next to nothing to see: for machines without
    /// user namespaces. Each cell needs a user of its own, to be kept from the others.
    Shared {
        python: PythonHome,
        /// Our own files, and folders of them, which cells may read.
        ours: Vec<PathBuf>,
        /// The program of a cell's init.
        init: PathBuf,
    },
}

impl Ground {
    /// Where the program of a cell's first process lies.
    pub(crate) fn init(&self) -> &Path {
        match self {
            Ground::Own => Path::new(INIT),
            Ground::Shared { init, .. } => init,
        }
    }
}

/// What the zygote's root is made of.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RootSpec {
    /// An empty folder of the warden's that serves as a mount point while the root is built.
    pub staging: PathBuf,
    pub python: PythonHome,
    /// Our own files, path in the root and content: zygote, runner, this library.
    pub files: Vec<(PathBuf, PathBuf)>,
    /// User and group to become first, where the warden is root but may not mount: root without the
    /// capability for it. Anyone else stays who it is.
    pub user: Option<u32>,
}

/// An interpreter and its libraries, as they lie on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PythonHome {
    /// `sys.base_prefix`
    pub prefix: PathBuf,
    /// The interpreter itself, no link.
    pub executable: PathBuf,
    /// `3.12`
    pub version: String,
    /// A plain folder of packages. Laid over the interpreter's own `site-packages`.
    pub site_packages: PathBuf,
}

/// What each cell of a zygote may use up, and what it is told about itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CellSpec {
    pub ground: Ground,
    pub memory_bytes: u64,
    pub threads: u64,
    pub open_files: u64,
    pub scratch_bytes: u64,
    pub scratch_files: u64,
}
