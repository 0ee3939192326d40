//! A cell on the machine's own root: what it may read there, and where it may write.
//!
//! There is no mount to hide behind, so everything here is permission: the cell's own user, and
//! Landlock, which refuses whatever is not named.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, Mode, OFlags, access, openat};

use crate::error::{Doing, JailError};
use crate::root::{DEVICES, LIBRARIES, TOOLS};
use crate::spec::PythonHome;

/// Below a cell's folder: what stands for `/workspace` and `/tmp` on a root of its own.
pub const FOLDERS: [&str; 2] = ["workspace", "tmp"];

/// Where semaphores and shared memory have to lie. All cells have the same, and none can list it: a
/// file there is known to whom its name is told, and open to its own user.
pub const SHARED_MEMORY: &str = "/dev/shm";

/// Files of the system that libraries read. They tell little, and nothing of others. Libraries do
/// without one that is not there, but not without one that is there and closed.
const TEXTS: &[&str] = &[
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/mime.types", // the standard library's `mimetypes`, which openpyxl asks, and these with it
    "/etc/apache/mime.types",
    "/etc/apache2/mime.types",
    "/etc/httpd/mime.types",
    "/etc/httpd/conf/mime.types",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/self/cmdline",
    "/proc/self/maps",
    "/sys/fs/cgroup/cpu.max", // joblib, for the number of its workers, and these with it
    "/sys/fs/cgroup/cpu/cpu.cfs_period_us",
    "/sys/fs/cgroup/cpu/cpu.cfs_quota_us",
    "/usr/lib/locale", // the one that `LANG` names
    "/usr/share/zoneinfo",
    "/usr/share/fonts",
    "/usr/local/share/fonts",
];

/// Goes to where the code works, and hands it out open.
pub(crate) fn enter(folder: BorrowedFd<'_>) -> Result<OwnedFd, JailError> {
    let [workspace, _] = FOLDERS;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let workspace =
        openat(folder, workspace, flags, Mode::empty()).doing("opening", "the work directory")?;
    rustix::process::fchdir(&workspace).doing("entering", "the work directory")?;
    // What lies in shared memory is the cell's own, whoever guesses its name.
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    Ok(workspace)
}

/// What may be read and executed. Without Python there is no cell; of the rest, what is there.
pub(crate) fn readable(python: &PythonHome, ours: &[PathBuf]) -> Result<Vec<PathBuf>, JailError> {
    let library = match python.prefix.to_str() {
        // The system's own interpreter: its library and itself, not all of /usr.
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

/// What may be read and written, and is no file.
pub(crate) fn devices() -> impl Iterator<Item = PathBuf> {
    DEVICES.iter().map(|device| Path::new("/dev").join(device))
}
