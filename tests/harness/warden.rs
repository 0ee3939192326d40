//! The warden that all tests of a program share.

use std::io::Read as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Limit of one run, so that a test of it is short. A warden that somebody else runs needs the same.
pub const RUN_LIMIT: Duration = Duration::from_secs(5);
/// Names the socket of a warden that somebody else runs: in a container, say.
const FOREIGN: &str = "BELLJAR_TEST_SANDBOX";
/// How long a warden may take to clear up when it is asked to end.
const ENDS_WITHIN: Duration = Duration::from_secs(10);
/// How long a warden may take to listen.
const LISTENS_WITHIN: Duration = Duration::from_secs(10);

/// Where it listens.
pub fn socket() -> PathBuf {
    static SOCKET: OnceLock<PathBuf> = OnceLock::new();
    SOCKET.get_or_init(|| foreign().unwrap_or_else(start)).clone()
}

fn foreign() -> Option<PathBuf> {
    std::env::var_os(FOREIGN).map(PathBuf::from)
}

/// For what a test starts itself: it would say nothing about the warden that is to be tested.
pub(super) fn only_without_a_foreign_one() {
    assert_eq!(foreign(), None, "a test with a warden of its own; tests/wall/run leaves it out");
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
        Warden::start_by(Command::new(program()), arguments)
    }

    /// The same by way of another program, which becomes the warden with the arguments that follow
    /// its own.
    pub fn start_by(mut program: Command, arguments: &[&str]) -> Warden {
        let mut warden = Warden::spawn(&mut program, arguments);
        let deadline = Instant::now() + LISTENS_WITHIN;
        while UnixStream::connect(warden.socket()).is_err() {
            let ended = warden.process.try_wait().expect("it is our child");
            assert!(ended.is_none(), "the warden ended with {ended:?}; its own words are above");
            assert!(Instant::now() < deadline, "the warden does not listen");
            std::thread::yield_now();
        }
        warden
    }

    /// Starts one that cannot do its work, and returns its last words.
    pub fn fail_by(program: &mut Command, arguments: &[&str]) -> String {
        let mut warden = Warden::spawn(program.stderr(Stdio::piped()), arguments);
        let mut words = String::new();
        let stderr = warden.process.stderr.as_mut().expect("it is piped");
        stderr.read_to_string(&mut words).expect("they are text");
        assert!(!warden.process.wait().expect("it is our child").success(), "{words}");
        words
    }

    fn spawn(program: &mut Command, arguments: &[&str]) -> Warden {
        only_without_a_foreign_one();
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        let process = program
            .args(["serve", "--libraries"])
            .arg(libraries())
            .arg("--socket")
            .arg(folder.path().join("s"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("the warden is a program");
        Warden { process, folder }
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("s")
    }

    /// Number of the process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Warden {
    fn drop(&mut self) {
        // It may have ended already, which is what was wanted. One that is only killed leaves its
        // control groups behind.
        let id = Pid::from_raw(self.process.id().cast_signed()).expect("no process is 0");
        let _ = kill_process(id, Signal::TERM);
        let deadline = Instant::now() + ENDS_WITHIN;
        while Instant::now() < deadline && matches!(self.process.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(1));
        }
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
