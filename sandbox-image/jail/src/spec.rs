//! Settings of a zygote and its cells, written by the warden and passed as JSON.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The code's work directory, and the only folder that is kept from one run to the next.
pub const WORKSPACE: &str = "/workspace";

/// Path of init's program on a private root.
pub const INIT: &str = "/opt/belljar/init";

/// The root file system of a zygote and its cells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RootFs {
    /// A private root with nothing but Python, and namespaces for each cell.
    Private,
    /// The machine's root, restricted by Landlock: for machines without user namespaces. Each cell
    /// needs its own user, to be isolated from the others.
    Host {
        python: PythonHome,
        /// Belljar's own files and folders, which cells may read.
        ours: Vec<PathBuf>,
        /// The program of a cell's init.
        init: PathBuf,
    },
}

impl RootFs {
    /// Path of init's program.
    pub(crate) fn init(&self) -> &Path {
        match self {
            RootFs::Private => Path::new(INIT),
            RootFs::Host { init, .. } => init,
        }
    }
}

/// Contents of the zygote's root.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RootSpec {
    /// An empty folder of the warden, used as a mount point while the root is built.
    pub staging: PathBuf,
    pub python: PythonHome,
    /// Belljar's own files, as path in the root and source: zygote, runner, this library.
    pub files: Vec<(PathBuf, PathBuf)>,
    /// User and group to change to first, if the warden is root but may not mount, because it lacks the
    /// capability. Otherwise the user stays the same.
    pub user: Option<u32>,
}

/// An interpreter and its libraries, as installed on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PythonHome {
    /// `sys.base_prefix`
    pub prefix: PathBuf,
    /// The executable itself, not a link.
    pub executable: PathBuf,
    /// `3.12`
    pub version: String,
    /// A plain folder of packages, mounted over the interpreter's own `site-packages`.
    pub site_packages: PathBuf,
}

/// Limits of each cell of a zygote, and the root that it is on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CellSpec {
    pub root_fs: RootFs,
    pub memory_bytes: u64,
    pub threads: u64,
    pub open_files: u64,
    pub scratch_bytes: u64,
    pub scratch_files: u64,
}
