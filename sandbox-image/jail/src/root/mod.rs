//! A new child of the warden gives up access to the machine and sees only Python.
//!
//! Where the machine does not allow that, it gives up what it can, and its cells the rest.

pub mod host_root;
pub(crate) mod mounts;

use std::fs;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, unshare};

use self::mounts::Use;
use crate::error::{Context, JailError};
use crate::spec::{PythonHome, RootSpec};
use crate::{namespaces, networks, sys, users};

/// Prepares this process to become a zygote: a private root and almost no privileges.
///
/// `proc` is an open `/proc`; it stays open, because each cell writes its own user map later. Returns the user
/// namespace that owns the cells' network namespaces, if this machine permits one. Without it, each cell has a
/// network namespace of its own.
pub fn enter_root(spec: &RootSpec, proc: BorrowedFd<'_>) -> Result<Option<OwnedFd>, JailError> {
    sys::require_one_thread(proc)?;
    if let Some(user) = spec.user {
        users::become_user(user)?;
    }
    // Root builds the tree as root, because the interpreter may be in a folder that only root can read.
    let as_root = rustix::process::geteuid().is_root() && unshare(CloneFlags::CLONE_NEWNS).is_ok();
    if !as_root {
        namespaces::users_and_mounts(proc)?;
    }
    mounts::detach_from_outside()?;
    mounts::empty_root(&spec.staging)?;
    build(spec)?;
    mounts::pivot_into(&spec.staging)?;
    mounts::zygote_scratch()?;
    let owner = networks::create_owner(proc).ok();
    give_up_rights()?;
    Ok(owner.filter(networks::is_usable))
}

/// The same on the machine's own root.
pub fn stay_on_root(proc: BorrowedFd<'_>) -> Result<(), JailError> {
    sys::require_one_thread(proc)?;
    give_up_rights()
}

fn give_up_rights() -> Result<(), JailError> {
    users::keep_only_changing_them()?;
    rustix::thread::set_no_new_privs(true).doing("refusing", "new privileges")
}

/// Folders that are mount points, or that programs expect.
const FOLDERS: &[&str] = &[
    "dev/shm",
    "etc",
    "mnt",
    "opt/belljar",
    "proc/self/fd",
    "run",
    "tmp",
    "usr/bin",
    "usr/lib",
    "usr/local",
    "usr/share",
    "var",
    "workspace",
];

/// The harmless devices. A cell has no others.
pub(crate) const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom"];

/// Links in `/dev`, as on every Linux. Their targets do not exist here: the library `devfd`, which is
/// preloaded into every program, handles them.
const DEVICE_LINKS: &[(&str, &str)] = &[
    ("dev/fd", "/proc/self/fd"),
    ("dev/stdin", "/proc/self/fd/0"),
    ("dev/stdout", "/proc/self/fd/1"),
    ("dev/stderr", "/proc/self/fd/2"),
];

/// Folders of the system's shared objects, on Debian and its derivatives and on others.
pub(crate) const LIBRARIES: &[&str] = &[
    "usr/lib/x86_64-linux-gnu",
    "usr/lib/aarch64-linux-gnu",
    "usr/lib64",
    "lib/x86_64-linux-gnu",
    "lib/aarch64-linux-gnu",
    "lib64",
];

/// Programs that Python code calls: `subprocess.run(["ls"])`, `os.system("cat …")`.
pub(crate) const TOOLS: &[&str] = &[
    "awk",
    "basename",
    "bash",
    "cat",
    "cp",
    "cut",
    "date",
    "df",
    "dirname",
    "du",
    "echo",
    "env",
    "expr",
    "false",
    "find",
    "grep",
    "gunzip",
    "gzip",
    "head",
    "hostname",
    "id",
    "ln",
    "ls",
    "mkdir",
    "mktemp",
    "mv",
    "od",
    "printf",
    "pwd",
    "readlink",
    "rm",
    "rmdir",
    "sed",
    "seq",
    "sh",
    "sha256sum",
    "sleep",
    "sort",
    "stat",
    "tail",
    "tar",
    "tee",
    "test",
    "timeout",
    "touch",
    "tr",
    "true",
    "uname",
    "uniq",
    "wc",
    "which",
    "xargs",
];

/// The program `pip`. It runs Belljar's own module, which prints that nothing can be installed.
pub const PIP: &str = "#!/bin/sh\nexec python3 -m pip \"$@\"\n";

/// Small files that programs read. They reveal nothing about the machine.
const TEXTS: &[(&str, &str)] = &[
    ("etc/passwd", "user:x:1000:1000:user:/tmp:/bin/sh\n"),
    ("etc/group", "user:x:1000:\n"),
    ("etc/hosts", "127.0.0.1 localhost\n"),
    ("etc/hostname", "sandbox\n"),
    ("usr/bin/pip", PIP),
    ("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n"),
    // TensorFlow aborts without these; their values do not matter.
    ("proc/self/cmdline", "python3\0"),
    ("proc/self/maps", ""),
    ("proc/cpuinfo", "processor\t: 0\nmodel name\t: sandbox\n"),
    (
        "proc/meminfo",
        "MemTotal:        2097152 kB\nMemFree:         2097152 kB\nMemAvailable:    2097152 kB\n",
    ),
];

/// System data that Python reads. The locale is the one in `LANG`.
const DATA: &[&str] = &["usr/share/zoneinfo", "usr/share/fonts/belljar", "usr/lib/locale/C.utf8"];

/// Folders where Debian installs fonts that code opens by path: Matplotlib's, and the libraries' own.
const FONT_FOLDERS: &[&str] = &["truetype/dejavu", "opentype/noto"];

fn build(spec: &RootSpec) -> Result<(), JailError> {
    let root = &spec.staging;
    for folder in FOLDERS {
        fs::create_dir_all(root.join(folder)).doing("making", *folder)?;
    }
    for (name, text) in TEXTS {
        fs::write(root.join(name), text).doing("writing", *name)?;
    }
    fs::set_permissions(root.join("usr/bin/pip"), fs::Permissions::from_mode(0o555))
        .doing("writing", "usr/bin/pip")?;
    symlink("pip", root.join("usr/bin/pip3")).doing("linking", "pip3")?;
    for device in DEVICES {
        let at = root.join("dev").join(device);
        fs::write(&at, "").doing("making", at.display().to_string())?;
        mounts::show(&Path::new("/dev").join(device), &at, Use::Device)?;
    }
    for (link, target) in DEVICE_LINKS {
        symlink(target, root.join(link)).doing("linking", *link)?;
    }
    // `/lib` and `/bin` are links on most systems, and folders on the others.
    for link in ["bin", "lib", "lib64", "sbin"] {
        if let Ok(target) = fs::read_link(Path::new("/").join(link)) {
            symlink(target, root.join(link)).doing("linking", link)?;
        }
    }
    for folder in LIBRARIES.iter().chain(DATA) {
        show_folder(root, folder)?;
    }
    font_folders(root, &spec.python)?;
    for tool in TOOLS {
        copy_tool(root, tool)?;
    }
    python(root, &spec.python)?;
    for (inside, outside) in &spec.files {
        let to = root.join(inside.strip_prefix("/").unwrap_or(inside));
        let what = to.display().to_string();
        fs::create_dir_all(to.parent().unwrap_or(root)).doing("making a folder for", &what)?;
        copy(outside, &to, 0o555)?;
    }
    Ok(())
}

fn font_folders(root: &Path, python: &PythonHome) -> Result<(), JailError> {
    let target = format!(
        "/usr/local/lib/python{}/site-packages/matplotlib/mpl-data/fonts/ttf",
        python.version
    );
    for folder in FONT_FOLDERS {
        let link = root.join("usr/share/fonts").join(folder);
        fs::create_dir_all(link.parent().unwrap_or(root)).doing("making", *folder)?;
        symlink(&target, &link).doing("linking", *folder)?;
    }
    Ok(())
}

/// Shows a folder of the system at the same path, unless it is missing or reached through a link.
fn show_folder(root: &Path, folder: &str) -> Result<(), JailError> {
    let (from, to) = (Path::new("/").join(folder), root.join(folder));
    if !from.is_dir() || from.canonicalize().is_ok_and(|real| real != from) {
        return Ok(());
    }
    fs::create_dir_all(&to).doing("making", folder)?;
    mounts::show(&from, &to, Use::Files)
}

fn copy_tool(root: &Path, tool: &str) -> Result<(), JailError> {
    let Some(from) =
        ["/usr/bin", "/bin"].iter().map(|dir| Path::new(dir).join(tool)).find(|p| p.is_file())
    else {
        return Ok(()); // not installed on this system
    };
    copy(&from, &root.join("usr/bin").join(tool), 0o555)
}

fn copy(from: &Path, to: &Path, mode: u32) -> Result<(), JailError> {
    let what = from.display().to_string();
    fs::copy(from, to).doing("copying", &what)?;
    fs::set_permissions(to, fs::Permissions::from_mode(mode)).doing("copying", what)
}

/// Shows the interpreter, and mounts the packages installed for the sandbox over its own.
fn python(root: &Path, home: &PythonHome) -> Result<(), JailError> {
    let library = format!("lib/python{}", home.version);
    if home.prefix == Path::new("/usr") {
        // The system's own interpreter: show its library and executable, not all of /usr.
        show_folder(root, &format!("usr/{library}"))?;
    } else {
        mounts::show(&home.prefix, &root.join("usr/local"), Use::Files)?;
    }
    let packages = root.join("usr/local").join(&library).join("site-packages");
    if home.prefix == Path::new("/usr") {
        fs::create_dir_all(&packages).doing("making", "site-packages")?;
        copy(&home.executable, &root.join("usr/bin/python3"), 0o555)?;
    } else {
        symlink(inside(home), root.join("usr/bin/python3")).doing("linking", "python3")?;
    }
    symlink("python3", root.join("usr/bin/python")).doing("linking", "python")?;
    symlink("/usr/bin/python3", root.join("proc/self/exe")).doing("linking", "/proc/self/exe")?;
    mounts::show(&home.site_packages, &packages, Use::Files)
}

/// Path of the interpreter inside the new root.
pub(crate) fn inside(home: &PythonHome) -> PathBuf {
    match home.executable.strip_prefix(&home.prefix) {
        Ok(below) if home.prefix != Path::new("/usr") => Path::new("/usr/local").join(below),
        _ => PathBuf::from("/usr/bin/python3"),
    }
}

impl PythonHome {
    /// Path of the interpreter inside the new root.
    pub fn executable_inside(&self) -> PathBuf {
        inside(self)
    }
}
