//! The warden that all tests of a program share.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Limit of one run, so that a test of it is short.
pub const RUN_LIMIT: Duration = Duration::from_secs(3);
/// How long a warden may take to listen.
const LISTENS_WITHIN: Duration = Duration::from_secs(10);

/// Where it listens.
pub fn socket() -> PathBuf {
    static SOCKET: OnceLock<PathBuf> = OnceLock::new();
    SOCKET.get_or_init(start).clone()
}

/// Programs that are built together lie together.
pub fn program() -> PathBuf {
    let belljar = Path::new(env!("CARGO_BIN_EXE_belljar"));
    let warden = belljar.with_file_name("belljar-warden");
    assert!(
        warden.exists(),
        "{} is not built: `cargo build --workspace` first, for `cargo test -p server` does not",
        warden.display()
    );
    warden
}

fn start() -> PathBuf {
    let socket = std::env::temp_dir().join(format!("belljar-test-{}.sock", std::process::id()));
    let mut command = Command::new(program());
    command
        .args(["serve", "--die-with-parent", "--libraries"])
        .arg(libraries())
        .args(["--wall-ms", &RUN_LIMIT.as_millis().to_string(), "--socket"])
        .arg(&socket)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let (spawned, is_spawned) = mpsc::channel();
    // The kernel takes the thread that starts a child for its parent, and a test's thread ends with
    // the test. This one stays.
    std::thread::spawn(move || {
        let child = command.spawn().expect("the warden is a program");
        spawned.send(()).expect("the test waits for it");
        let status = child.wait_with_output().expect("it is our child").status;
        panic!("the warden ended with {status}; its own words are above");
    });
    is_spawned.recv().expect("the thread says so or panics");
    until_it_listens(&socket);
    socket
}

fn until_it_listens(socket: &Path) {
    let deadline = Instant::now() + LISTENS_WITHIN;
    while UnixStream::connect(socket).is_err() {
        assert!(Instant::now() < deadline, "the warden does not listen");
        std::thread::yield_now();
    }
}

/// A warden of its own, for a test of its settings. Killed when dropped.
#[derive(Debug)]
pub struct Warden {
    process: Child,
    folder: tempfile::TempDir,
}

impl Warden {
    /// Starts it and waits until it listens. It need not be ready.
    pub fn start(arguments: &[&str]) -> Warden {
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        let process = Command::new(program())
            .args(["serve", "--libraries"])
            .arg(libraries())
            .arg("--socket")
            .arg(folder.path().join("s"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("the warden is a program");
        let warden = Warden { process, folder };
        until_it_listens(&warden.socket());
        warden
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("s")
    }
}

impl Drop for Warden {
    fn drop(&mut self) {
        // It may have ended already, which is what was wanted.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What `install-libraries` made: named by `BELLJAR_LIBRARIES`, or the newest in the cache.
pub fn libraries() -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    if let Some(folder) = variable("BELLJAR_LIBRARIES") {
        return folder;
    }
    let cache = variable("BELLJAR_CACHE")
        .or_else(|| variable("XDG_CACHE_HOME").map(|cache| cache.join("belljar")))
        .or_else(|| variable("HOME").map(|home| home.join(".cache").join("belljar")))
        .expect("a user has a home");
    let complete = |folder: PathBuf| {
        let finished = folder.join(".key").metadata().ok()?.modified().ok()?;
        Some((finished, folder))
    };
    let folders = std::fs::read_dir(&cache).into_iter().flatten().flatten();
    folders
        .filter_map(|entry| complete(entry.path()))
        .max()
        .map(|(_, folder)| folder)
        .unwrap_or_else(|| {
            panic!("no libraries in {}: run sandbox-image/install-libraries first", cache.display())
        })
}
