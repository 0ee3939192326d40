//! The client of the warden: a cell, its files, its runs. Knows no interaction.
//!
//! Without a socket in the configuration the warden is a child process of this one, and dies with
//! it.

mod again;
mod connection;
mod imports;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use protocol::{CellLimits, Description, Finished, FrameError, Refusal, Reply, Request, Tier};
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::scratch::Scratch;

use self::connection::{Connection, Dialer, LOOK_AGAIN_AFTER};
use crate::budget::{self, Budget, Share};

pub use again::Again;

/// How long a warden may take to answer what costs it nothing.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How long one may take to clear up.
const END_WITHIN: Duration = Duration::from_secs(5);
/// Pictures of one run together, and its files together: what is more is left out, whatever the warden's
/// own limits are.
pub const MAX_IMAGES_BYTES: usize = 32 << 20;
pub const MAX_FILES_BYTES: usize = 32 << 20;
/// What outputs may take at a time is this part of the memory that there is.
const PART_OF_MEMORY: u64 = 4;
/// At least one output of the largest has room.
const MIN_BUDGET_BYTES: usize = 2 * (MAX_IMAGES_BYTES + MAX_FILES_BYTES);
/// What the warden's process gets of this one's environment. It has no use for keys.
const ENVIRONMENT: [&str; 8] = [
    "PATH",
    "HOME",
    "TMPDIR",
    "TERM",
    "NO_COLOR",
    "CLICOLOR_FORCE",
    "RUST_BACKTRACE",
    "LD_LIBRARY_PATH",
];
/// Between the end of a warden and the start of the next.
const START_AGAIN_AFTER: Duration = Duration::from_millis(200);

/// The sandboxes of this machine.
#[derive(Debug)]
pub struct Sandbox {
    warden_at: Dialer,
    /// The weakest wall behind which it runs anything.
    least: Tier,
    /// The warden, where it is ours. Killed when this is dropped.
    warden: Option<Warden>,
    /// Of outputs, and of answers that are made of them.
    budget: Budget,
}

#[derive(Debug)]
struct Warden {
    /// Owns the process, and starts another one when it dies.
    keeper: Mutex<AbortOnDropHandle<()>>,
    stopping: CancellationToken,
    _folder: Scratch,
}

/// How to start a warden of our own.
#[derive(Debug, Clone)]
pub struct WardenCommand {
    pub program: PathBuf,
    /// Handed on as they are.
    pub arguments: Vec<String>,
    /// What its log is to hold, as `BELLJAR_LOG` says it.
    pub log: String,
    /// `plain` or `json`.
    pub log_format: &'static str,
}

/// Why the sandbox did not do its work. Code that fails is no error but an output.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    #[error("no place for another run")]
    Busy,
    #[error("sandbox isolation is {found}, and at least {wanted} is required (--min-isolation)")]
    TooThin { found: Tier, wanted: Tier },
    #[error("the request to the sandbox was wrong: {0}")]
    Invalid(String),
    #[error("the sandbox cannot make a cell: {0}")]
    Unavailable(String),
    #[error("could not start the warden {}: {source}", program.display())]
    Start { program: PathBuf, source: std::io::Error },
    #[error("the warden ended before it was ready ({0})")]
    Ended(std::process::ExitStatus),
    #[error("the warden at {} does not answer: {source}", socket.display())]
    Connect { socket: PathBuf, source: std::io::Error },
    #[error("the warden broke off: {0}")]
    Frame(#[from] FrameError),
    #[error("the warden did not answer within {} s", ANSWER_WITHIN.as_secs())]
    Silent,
    #[error("the warden answered out of turn")]
    OutOfTurn,
    #[error("no memory is left for the output of a run")]
    NoMemory,
}

/// What one run left.
#[derive(Debug, Clone)]
pub struct RunOutput {
    pub finished: Finished,
    /// How strong the wall around it was.
    pub tier: Tier,
    /// What it could not have more of.
    pub limits: CellLimits,
    pub stdout: Bytes,
    /// Bytes that were left out in the middle.
    pub stdout_left_out: u64,
    pub stderr: Bytes,
    pub stderr_left_out: u64,
    pub images: Vec<Image>,
    pub files: Vec<File>,
    /// The memory that it takes, for as long as it is there.
    pub share: Arc<Share>,
}

/// A picture that a run showed or saved.
#[derive(Debug, Clone)]
pub struct Image {
    pub mime_type: String,
    pub data: Bytes,
}

/// A file that a run wrote or changed.
#[derive(Debug, Clone)]
pub struct File {
    /// In the work directory.
    pub path: String,
    pub content: Bytes,
}

impl Sandbox {
    /// A warden that somebody else runs.
    pub fn at(socket: PathBuf, least: Tier) -> Sandbox {
        Sandbox { warden_at: Dialer::new(socket), least, warden: None, budget: budget() }
    }

    /// The same with other memory for outputs.
    pub fn with_output_bytes(self, bytes: usize) -> Sandbox {
        Sandbox { budget: Budget::new(bytes), ..self }
    }

    /// The memory for outputs, and for answers that are made of them.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Starts a warden of our own. It listens when this returns, but need not be ready.
    pub async fn start(command: WardenCommand, least: Tier) -> Result<Sandbox, SandboxError> {
        let failed = |source| SandboxError::Start { program: command.program.clone(), source };
        // Cells that have no root of their own have to get through it, and no further than they may.
        let folder = Scratch::new(0o711).map_err(failed)?;
        let socket = folder.path().join("warden.sock");
        let mut process = command.spawn(&socket).map_err(failed)?;
        while UnixStream::connect(&socket).await.is_err() {
            if let Some(status) = process.try_wait().map_err(failed)? {
                return Err(SandboxError::Ended(status));
            }
            tokio::time::sleep(LOOK_AGAIN_AFTER).await;
        }
        let stopping = CancellationToken::new();
        let warden_at = Dialer::new(socket.clone());
        let keeper = keep(process, command, socket, stopping.clone());
        let keeper = Mutex::new(AbortOnDropHandle::new(tokio::spawn(keeper)));
        let warden = Some(Warden { keeper, stopping, _folder: folder });
        Ok(Sandbox { warden_at, least, warden, budget: budget() })
    }

    /// Has a warden of our own clear away what it has made, and end. One that was only dropped leaves
    /// that to the next.
    pub async fn stop(&self) {
        if let Some(warden) = &self.warden {
            warden.stopping.cancel();
            drop((&mut *warden.keeper.lock().await).await); // one that panicked has said so
        }
    }

    /// Whether the warden was started here, so that one which does not come up never will.
    pub fn is_ours(&self) -> bool {
        self.warden.is_some()
    }

    /// What the warden is, and whether a run would begin at once.
    pub async fn describe(&self) -> Result<Description, SandboxError> {
        let mut connection = self.warden_at.connect_now().await?;
        connection.send(&Request::Describe, &[]).await?;
        connection.flush().await?;
        match connection.answer().await? {
            (Reply::Description(description), _) => Ok(description),
            (reply, _) => Err(unexpected(reply)),
        }
    }

    /// Waits until a run would begin at once.
    pub async fn ready(&self) -> Result<Description, SandboxError> {
        loop {
            let description = self.describe().await?;
            if description.ready {
                self.require(description.tier)?;
                return Ok(description);
            }
            tokio::time::sleep(LOOK_AGAIN_AFTER).await;
        }
    }

    fn require(&self, found: Tier) -> Result<(), SandboxError> {
        let wanted = self.least;
        if found < wanted { Err(SandboxError::TooThin { found, wanted }) } else { Ok(()) }
    }
    /// A fresh cell with these files in its work directory. Dropping it kills all that is in it.
    /// Whether there is a place for it is known once something has been run.
    pub async fn open<'f>(
        &self,
        code: Expected<'_>,
        files: impl IntoIterator<Item = (&'f str, &'f Bytes)>,
    ) -> Result<Cell, SandboxError> {
        let mut connection = self.warden_at.connect().await?;
        let open = Request::Open {
            least: self.least,
            imports: imports::of(code.text()),
            more: matches!(code, Expected::First(_)),
        };
        connection.send(&open, &[]).await?;
        let opening = Opening { least: self.least, files: 0 };
        let warden_at = self.warden_at.clone();
        let budget = self.budget.clone();
        let mut cell = Cell { connection, state: CellState::Opening(opening), warden_at, budget };
        for (name, content) in files {
            cell.put(name, content).await?;
        }
        Ok(cell)
    }
}

/// What a cell is asked for. Something else may be run in it as well, and may take longer.
#[derive(Debug, Clone, Copy)]
pub enum Expected<'c> {
    /// This code and no other.
    Only(&'c str),
    /// This code first.
    First(&'c str),
}

impl<'c> Expected<'c> {
    fn text(self) -> &'c str {
        let (Expected::Only(code) | Expected::First(code)) = self;
        code
    }
}

/// One interpreter and its work directory, for the runs of one interaction.
#[derive(Debug)]
pub struct Cell {
    connection: Connection,
    state: CellState,
    warden_at: Dialer,
    budget: Budget,
}

#[derive(Debug)]
enum CellState {
    /// Asked for, and not answered yet.
    Opening(Opening),
    Open {
        tier: Tier,
        limits: CellLimits,
    },
}

/// The answers that are still to come.
#[derive(Debug, Clone, Copy)]
struct Opening {
    least: Tier,
    files: usize,
}

impl Cell {
    /// Puts one more file into the work directory.
    pub async fn put(&mut self, name: &str, content: &Bytes) -> Result<(), SandboxError> {
        self.connection.send(&Request::PutFile { name: name.to_owned() }, content).await?;
        match &mut self.state {
            CellState::Opening(opening) => opening.files += 1,
            CellState::Open { .. } => self.file_put().await?,
        }
        Ok(())
    }

    /// Runs Python in the cell and waits for its end. The warden keeps the time.
    pub async fn run(&mut self, code: &str) -> Result<RunOutput, SandboxError> {
        self.ask(Request::Run { wall_ms: None, files: false }, code).await
    }

    /// The same, in at most this time, and with the files that the code leaves.
    pub async fn run_for_files(
        &mut self,
        code: &str,
        at_most: Option<Duration>,
    ) -> Result<RunOutput, SandboxError> {
        let wall_ms = at_most.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        self.ask(Request::Run { wall_ms, files: true }, code).await
    }

    async fn ask(&mut self, request: Request, code: &str) -> Result<RunOutput, SandboxError> {
        self.connection.send(&request, code.as_bytes()).await?;
        self.connection.flush().await?;
        let (tier, limits) = self.opened().await?;
        let (mut stdout, mut stderr) = ((Bytes::new(), 0), (Bytes::new(), 0));
        let (mut images, mut files) = (Vec::new(), Vec::new());
        let (mut room_for_images, mut room_for_files) = (MAX_IMAGES_BYTES, MAX_FILES_BYTES);
        let (mut images_left_out, mut files_left_out) = (0, 0);
        let mut share = Share::default();
        let mut finished = loop {
            let (reply, blob) = self.connection.reply().await?;
            let room = match reply {
                Reply::Image { .. } => Some((&mut room_for_images, &mut images_left_out)),
                Reply::File { .. } => Some((&mut room_for_files, &mut files_left_out)),
                _ => None,
            };
            if let Some((room, left_out)) = room {
                let Some(left) = room.checked_sub(blob.len()) else {
                    *left_out += 1;
                    continue;
                };
                *room = left;
            }
            share.add(self.budget.take(blob.len()).ok_or(SandboxError::NoMemory)?);
            match reply {
                Reply::Stdout { left_out } => stdout = (blob, left_out),
                Reply::Stderr { left_out } => stderr = (blob, left_out),
                Reply::Image { mime_type } => images.push(Image { mime_type, data: blob }),
                Reply::File { path } => files.push(File { path, content: blob }),
                Reply::Finished(finished) => break finished,
                reply => return Err(unexpected(reply)),
            }
        };
        finished.images_left_out += images_left_out;
        finished.files_left_out += files_left_out;
        let ((stdout, stdout_left_out), (stderr, stderr_left_out)) = (stdout, stderr);
        Ok(RunOutput {
            finished,
            tier,
            limits,
            stdout,
            stdout_left_out,
            stderr,
            stderr_left_out,
            images,
            files,
            share: Arc::new(share),
        })
    }

    async fn file_put(&mut self) -> Result<(), SandboxError> {
        self.connection.flush().await?;
        match self.connection.answer().await? {
            (Reply::FilePut, _) => Ok(()),
            (reply, _) => Err(unexpected(reply)),
        }
    }

    /// What came of asking for the cell. Where it was refused, nothing that was sent after it is done.
    async fn opened(&mut self) -> Result<(Tier, CellLimits), SandboxError> {
        let opening = match self.state {
            CellState::Open { tier, limits } => return Ok((tier, limits)),
            CellState::Opening(opening) => opening,
        };
        let (tier, limits) = match self.connection.reply().await? {
            (Reply::Opened { tier, limits }, _) => (tier, limits),
            (Reply::Refused(Refusal::TooThin { found }), _) => {
                return Err(SandboxError::TooThin { found, wanted: opening.least });
            }
            (reply, _) => return Err(unexpected(reply)),
        };
        for _ in 0..opening.files {
            self.file_put().await?;
        }
        self.state = CellState::Open { tier, limits };
        Ok((tier, limits))
    }
}

impl Drop for Cell {
    fn drop(&mut self) {
        if self.connection.is_alive() {
            self.warden_at.prepare(); // or the warden may be about to die
        }
    }
}

impl WardenCommand {
    fn spawn(&self, socket: &Path) -> std::io::Result<Child> {
        Command::new(&self.program)
            .arg("serve")
            .arg("--socket")
            .arg(socket)
            .arg("--die-with-parent")
            .args(&self.arguments)
            .env_clear()
            .envs(ENVIRONMENT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
            .env("BELLJAR_LOG", &self.log)
            .env("BELLJAR_LOG_FORMAT", self.log_format)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            // A key typed at the terminal is for the server: it lets what runs come to its end.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
    }
}

/// Waits for the end of the warden, which nobody wants before `stopping`, and starts another one.
/// Nothing of what the old one had is left: its cells die with it.
async fn keep(
    mut process: Child,
    command: WardenCommand,
    socket: PathBuf,
    stopping: CancellationToken,
) {
    loop {
        tokio::select! {
            ended = process.wait() => match ended {
                Ok(status) => tracing::error!(%status, "the warden has ended, and is started again"),
                Err(error) => tracing::error!(%error, "the warden cannot be watched"),
            },
            () = stopping.cancelled() => return terminate(process).await,
        }
        process = loop {
            tokio::select! {
                () = tokio::time::sleep(START_AGAIN_AFTER) => {}
                () = stopping.cancelled() => return,
            }
            match command.spawn(&socket) {
                Ok(process) => break process,
                Err(error) => tracing::error!(%error, "the warden cannot be started"),
            }
        };
    }
}

/// Asks it to end, and kills it where it does not.
async fn terminate(mut process: Child) {
    let id = process.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let asked = id.is_some_and(|id| kill_process(id, Signal::TERM).is_ok());
    if !asked || tokio::time::timeout(END_WITHIN, process.wait()).await.is_err() {
        tracing::warn!("the warden does not end by itself");
    }
}

fn budget() -> Budget {
    let part = usize::try_from(budget::memory_bytes() / PART_OF_MEMORY).unwrap_or(usize::MAX);
    Budget::new(part.max(MIN_BUDGET_BYTES))
}

fn unexpected(reply: Reply) -> SandboxError {
    match reply {
        Reply::Refused(Refusal::Busy) => SandboxError::Busy,
        Reply::Refused(Refusal::Unavailable { why }) => SandboxError::Unavailable(why),
        Reply::Refused(Refusal::Invalid { why }) => SandboxError::Invalid(why),
        _ => SandboxError::OutOfTurn,
    }
}
