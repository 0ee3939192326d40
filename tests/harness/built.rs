//! The programs under test, which `cargo build` has built.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::SystemTime;

/// The server's program.
pub fn belljar() -> PathBuf {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| built("belljar")).clone()
}

/// The warden's program.
pub fn warden() -> PathBuf {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| built("belljar-warden")).clone()
}

/// The folder of Cargo's output that test programs write to, and that survives them.
pub fn scratch() -> PathBuf {
    target().with_file_name("tmp")
}

/// The folder of this build's programs, such as `target/debug`.
fn target() -> PathBuf {
    let test = std::env::current_exe().expect("a program has a path");
    let deps = test.parent().expect("a program is in a folder");
    deps.parent().expect("Cargo builds tests into a folder of their own").to_owned()
}

/// Fails if the program is missing or older than its source: Cargo does not build it for the tests of
/// another package.
fn built(name: &str) -> PathBuf {
    let program = target().join(name);
    let Some(when) = changed(&program) else {
        panic!("{} is not built: `cargo build` first", program.display());
    };
    // Cargo writes `PROGRAM: SOURCE SOURCE …`, as make reads it. It escapes spaces in paths.
    let sources = std::fs::read_to_string(program.with_extension("d")).unwrap_or_default();
    let sources = sources.split_once(": ").map_or("", |(_, sources)| sources).replace("\\ ", "\0");
    // A commit changes no source; the program only shows its name.
    let sources = sources.split_whitespace().filter(|source| !source.contains("/.git/"));
    for source in sources {
        let source = source.replace('\0', " ");
        let is_newer = changed(Path::new(&source)).is_some_and(|source| source > when);
        assert!(!is_newer, "{} is older than {source}: `cargo build` first", program.display());
    }
    program
}

fn changed(file: &Path) -> Option<SystemTime> {
    file.metadata().ok()?.modified().ok()
}
