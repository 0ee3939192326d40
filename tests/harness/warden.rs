//! The warden that the tests of a program share.

use std::io::Read as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::built;

/// Time limit of one run, low so that its test is short. An external warden needs the same limit.
pub const RUN_LIMIT: Duration = Duration::from_secs(5);
/// The variable with the socket of an external warden, such as one in a container.
const EXTERNAL: &str = "BELLJAR_TEST_SANDBOX";
/// Limit for a warden to clean up after SIGTERM.
const ENDS_WITHIN: Duration = Duration::from_secs(10);
/// Limit for a warden to listen.
const LISTENS_WITHIN: Duration = Duration::from_secs(10);

/// The socket of the shared warden.
pub fn socket() -> PathBuf {
    static SOCKET: OnceLock<PathBuf> = OnceLock::new();
    SOCKET.get_or_init(|| external().unwrap_or_else(start)).clone()
}

fn external() -> Option<PathBuf> {
    std::env::var_os(EXTERNAL).map(PathBuf::from)
}

/// Fails with an external warden, which a warden started by the test would not test.
pub(super) fn require_no_external_warden() {
    assert_eq!(external(), None, "a test with a warden of its own; tests/wall/run leaves it out");
}

fn start() -> PathBuf {
    let socket = std::env::temp_dir().join(format!("belljar-test-{}.sock", std::process::id()));
    let mut command = Command::new(built::warden());
    command
        .args(["serve", "--die-with-parent", "--libraries"])
        .arg(libraries())
        .args(["--wall-ms", &RUN_LIMIT.as_millis().to_string(), "--socket"])
        .arg(&socket)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let (spawned, is_spawned) = mpsc::channel();
    // With PDEATHSIG, the parent of a child is the thread that started it, and a test's thread ends
    // with the test. This thread stays.
    std::thread::spawn(move || {
        let child = command.spawn().expect("the warden is a program");
        spawned.send(()).expect("the test waits for it");
        let status = child.wait_with_output().expect("it is our child").status;
        panic!("the warden ended with {status}; its log is above");
    });
    is_spawned.recv().expect("the thread sends or panics");
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

/// A separate warden, for a test of its settings. Killed when dropped.
#[derive(Debug)]
pub struct Warden {
    process: Child,
    folder: tempfile::TempDir,
}

impl Warden {
    /// Starts a warden and waits until it listens. It may not be ready yet.
    pub fn start(arguments: &[&str]) -> Warden {
        Warden::start_by(Command::new(built::warden()), arguments)
    }

    /// The same through another program, which executes the warden with the arguments that follow
    /// its own.
    pub fn start_by(mut program: Command, arguments: &[&str]) -> Warden {
        let mut warden = Warden::spawn(&mut program, arguments);
        let deadline = Instant::now() + LISTENS_WITHIN;
        while UnixStream::connect(warden.socket()).is_err() {
            let ended = warden.process.try_wait().expect("it is our child");
            assert!(ended.is_none(), "the warden ended with {ended:?}; its log is above");
            assert!(Instant::now() < deadline, "the warden does not listen");
            std::thread::yield_now();
        }
        warden
    }

    /// Starts a warden that is expected to fail, and returns its error output.
    pub fn fail_by(program: &mut Command, arguments: &[&str]) -> String {
        let mut warden = Warden::spawn(program.stderr(Stdio::piped()), arguments);
        let mut text = String::new();
        let stderr = warden.process.stderr.as_mut().expect("it is piped");
        stderr.read_to_string(&mut text).expect("the log is text");
        assert!(!warden.process.wait().expect("it is our child").success(), "{text}");
        text
    }

    fn spawn(program: &mut Command, arguments: &[&str]) -> Warden {
        require_no_external_warden();
        let folder = tempfile::tempdir().expect("the temporary folder can be created");
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

    /// The process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Warden {
    fn drop(&mut self) {
        // It may have ended already. SIGTERM comes first, because a killed warden leaves its control
        // groups behind.
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

/// The folder made by `install-libraries`: named by `BELLJAR_LIBRARIES`, or the newest in the cache.
pub fn libraries() -> PathBuf {
    let variable = |name: &str| std::env::var(name).ok();
    let named = variable("BELLJAR_LIBRARIES").map(PathBuf::from);
    named
        .or_else(|| server::config::installed_libraries(&variable))
        .expect("there are no libraries: run sandbox-image/install-libraries first")
}
