//! A cell on the machine's own root: what it may read, and where it may write.
//!
//! Without mounts, isolation here consists of permissions: the cell's own user, and Landlock, which
//! refuses every path that is not listed.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, Mode, OFlags, access, openat};

use crate::error::{Context, JailError};
use crate::root::{DEVICES, LIBRARIES, TOOLS};
use crate::spec::PythonHome;

/// Folders in a cell's folder that take the place of `/workspace` and `/tmp`.
pub const FOLDERS: [&str; 2] = ["workspace", "tmp"];

/// Where semaphores and shared memory must be. All cells share it, and none can list it: a file there
/// can be opened only by its own user, who has to know its name.
pub const SHARED_MEMORY: &str = "/dev/shm";

/// System files that libraries read. They reveal little, and nothing about other users. Libraries
/// tolerate a missing file, but not one that exists and cannot be read.
const TEXTS: &[&str] = &[
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/mime.types", // and those below: `mimetypes`, used by openpyxl
    "/etc/apache/mime.types",
    "/etc/apache2/mime.types",
    "/etc/httpd/mime.types",
    "/etc/httpd/conf/mime.types",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/self/cmdline",
    "/proc/self/maps",
    "/sys/fs/cgroup/cpu.max", // and those below: joblib, for its number of workers
    "/sys/fs/cgroup/cpu/cpu.cfs_period_us",
    "/sys/fs/cgroup/cpu/cpu.cfs_quota_us",
    "/usr/lib/locale", // the locale in `LANG`
    "/usr/share/zoneinfo",
    "/usr/share/fonts",
    "/usr/local/share/fonts",
];

/// Enters the code's work directory and returns it open.
pub(crate) fn enter(folder: BorrowedFd<'_>) -> Result<OwnedFd, JailError> {
    let [workspace, _] = FOLDERS;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let workspace =
        openat(folder, workspace, flags, Mode::empty()).doing("opening", "the work directory")?;
    rustix::process::fchdir(&workspace).doing("entering", "the work directory")?;
    // Files in shared memory belong to the cell's user, even if another user guesses a name.
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    Ok(workspace)
}

/// What may be read and executed. Python is required; of the rest, what exists.
pub(crate) fn readable(python: &PythonHome, ours: &[PathBuf]) -> Result<Vec<PathBuf>, JailError> {
    let library = match python.prefix.to_str() {
        // The system's own interpreter: its library and executable, not all of /usr.
        Some("/usr") => Path::new("/usr/lib").join(format!("python{}", python.version)),
        _ => python.prefix.clone(),
    };
    let mut all = vec![library, python.executable.clone(), python.site_packages.clone()];
    all.extend(ours.iter().cloned());
    for path in &all {
        access(path, Access::READ_OK).doing(
            "reading, as the cell's user who has no other rights,",
            path.display().to_string(),
        )?;
    }
    let tools =
        TOOLS.iter().flat_map(|tool| ["/usr/bin", "/bin"].map(|dir| Path::new(dir).join(tool)));
    let libraries = LIBRARIES.iter().map(|folder| Path::new("/").join(folder));
    let rest = libraries.chain(TEXTS.iter().map(PathBuf::from)).chain(tools);
    all.extend(rest.filter(|path| access(path, Access::READ_OK).is_ok()));
    Ok(all)
}

/// Devices that may be read and written.
pub(crate) fn devices() -> impl Iterator<Item = PathBuf> {
    DEVICES.iter().map(|device| Path::new("/dev").join(device))
}
