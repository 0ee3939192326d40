//! Client of the warden: cells, their files, their runs. Independent of interactions.
//!
//! If the configuration names no socket, [`supervisor`] runs the warden as a child process of the
//! server.

#![forbid(unsafe_code)]

mod again;
mod connection;
mod failure;
mod imports;
pub mod libraries;
mod supervisor;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use protocol::{
    CellLimits, Description, FrameError, Refusal, RunResult, Tier, WardenReply, WardenRequest,
};

use self::connection::{Dialer, LOOK_AGAIN_AFTER, WardenConnection};
use self::supervisor::Supervisor;
use metrics::{CellUse, CodeMetrics};
use resources::budget::{self, Budget, Share};

pub use again::Again;
pub use domain::output::{Image, OutputFile};
pub use supervisor::WardenCommand;

/// Timeout of requests that are cheap for the warden.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Maximum total size of a run's images, and of its files. Further ones are dropped, independently
/// of the warden's limits.
pub const MAX_IMAGES_BYTES: usize = 32 << 20;
pub const MAX_FILES_BYTES: usize = 32 << 20;
/// Share of the memory for all outputs: one quarter.
const PART_OF_MEMORY: u64 = 4;
/// Space for at least two outputs of the maximum size.
const MIN_BUDGET_BYTES: usize = 2 * (MAX_IMAGES_BYTES + MAX_FILES_BYTES);
/// The sandbox of this machine.
#[derive(Debug)]
pub struct Sandbox {
    warden_at: Dialer,
    /// The weakest isolation that it accepts.
    least: Tier,
    /// Runs the warden, if the server started it.
    supervisor: Option<Supervisor>,
    /// For outputs and for responses made of them.
    budget: Budget,
    metrics: CodeMetrics,
}

/// Why the sandbox failed. Code that fails is an output, not an error.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    #[error("all cells are in use")]
    Busy,
    #[error("sandbox isolation is {found}, but --min-isolation requires {wanted}")]
    TooThin { found: Tier, wanted: Tier },
    #[error("invalid sandbox request: {0}")]
    Invalid(String),
    #[error("could not create a cell: {0}")]
    Unavailable(String),
    #[error("could not start the warden {}: {source}", program.display())]
    Start { program: PathBuf, source: std::io::Error },
    #[error("the warden exited before it was ready ({0})")]
    Ended(std::process::ExitStatus),
    #[error("could not connect to the warden at {}: {source}", socket.display())]
    Connect { socket: PathBuf, source: std::io::Error },
    #[error("connection to the warden failed: {0}")]
    Frame(#[from] FrameError),
    #[error("the warden did not reply within {} s", ANSWER_WITHIN.as_secs())]
    Silent,
    #[error("unexpected reply of the warden")]
    OutOfTurn,
    #[error("no memory left for the output of a run")]
    NoMemory,
}

impl SandboxError {
    /// A word for metrics.
    fn reason(&self) -> &'static str {
        match self {
            SandboxError::Busy => "busy",
            SandboxError::TooThin { .. } => "isolation",
            SandboxError::Invalid(_) => "invalid",
            SandboxError::Unavailable(_) => "unavailable",
            SandboxError::Start { .. } | SandboxError::Ended(_) | SandboxError::Connect { .. } => {
                "unreachable"
            }
            SandboxError::Frame(_) | SandboxError::OutOfTurn => "connection",
            SandboxError::Silent => "silent",
            SandboxError::NoMemory => "memory",
        }
    }
}

/// Output of one run.
#[derive(Debug, Clone)]
pub struct RunOutput {
    pub finished: RunResult,
    /// The isolation of its cell.
    pub tier: Tier,
    /// The limits of its cell.
    pub limits: CellLimits,
    pub stdout: Bytes,
    /// Number of bytes omitted from the middle.
    pub stdout_left_out: u64,
    pub stderr: Bytes,
    pub stderr_left_out: u64,
    pub images: Vec<Image>,
    pub files: Vec<OutputFile>,
    /// Reserves the memory of the output while it exists.
    pub share: Arc<Share>,
}

impl Sandbox {
    /// Uses a warden that runs already.
    pub fn at(socket: PathBuf, least: Tier) -> Sandbox {
        let warden_at = Dialer::new(socket);
        let metrics = CodeMetrics::default();
        Sandbox { warden_at, least, supervisor: None, budget: budget(), metrics }
    }

    /// Replaces the memory budget for outputs.
    pub fn with_output_bytes(self, bytes: usize) -> Sandbox {
        Sandbox { budget: Budget::new(bytes), ..self }
    }

    /// The memory budget for outputs and for responses made of them.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Measures of the runs.
    pub fn metrics(&self) -> &CodeMetrics {
        &self.metrics
    }

    /// Starts a warden. It accepts connections when this returns, but may not be ready.
    pub async fn start(command: WardenCommand, least: Tier) -> Result<Sandbox, SandboxError> {
        let supervisor = Supervisor::start(command).await?;
        let warden_at = Dialer::new(supervisor.socket());
        let metrics = CodeMetrics::default();
        Ok(Sandbox { warden_at, least, supervisor: Some(supervisor), budget: budget(), metrics })
    }

    /// Lets the warden clean up and exit. After a drop without `stop`, the next warden cleans up.
    pub async fn stop(&self) {
        if let Some(supervisor) = &self.supervisor {
            supervisor.stop().await;
        }
    }

    /// Whether the server started the warden, so that its exit is permanent.
    pub fn is_ours(&self) -> bool {
        self.supervisor.is_some()
    }

    /// The warden's properties, and whether code can run without delay.
    pub async fn describe(&self) -> Result<Description, SandboxError> {
        let mut connection = self.warden_at.connect_now().await?;
        connection.send(&WardenRequest::Describe, &[]).await?;
        connection.flush().await?;
        match connection.answer().await? {
            (WardenReply::Description(description), _) => Ok(description),
            (reply, _) => Err(unexpected(reply)),
        }
    }

    /// Waits until code can run without delay.
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

    /// Opens a new cell with these files in its work directory. Dropping the cell kills its
    /// processes. The first run reports whether a cell was available.
    pub async fn open<'f>(
        &self,
        code: Expected<'_>,
        files: impl IntoIterator<Item = (&'f str, &'f Bytes)>,
    ) -> Result<CellClient, SandboxError> {
        let requested = Instant::now();
        let connected = self.warden_at.connect().await;
        let mut connection = connected.inspect_err(|error| self.metrics.failed(error.reason()))?;
        let open = WardenRequest::Open {
            least: self.least,
            imports: imports::of(code.text()),
            more: matches!(code, Expected::First(_)),
        };
        connection.send(&open, &[]).await?;
        let opening = Opening { least: self.least, files: 0 };
        let mut cell = CellClient {
            connection,
            state: CellState::Opening(opening),
            warden_at: self.warden_at.clone(),
            budget: self.budget.clone(),
            requested: Some(requested),
            metrics: self.metrics.clone(),
        };
        for (name, content) in files {
            cell.put(name, content).await?;
        }
        Ok(cell)
    }
}

/// The code that a cell is requested for.
#[derive(Debug, Clone, Copy)]
pub enum Expected<'c> {
    /// This code only.
    Only(&'c str),
    /// This code first, then possibly code that needs more libraries or time.
    First(&'c str),
}

impl<'c> Expected<'c> {
    fn text(self) -> &'c str {
        let (Expected::Only(code) | Expected::First(code)) = self;
        code
    }
}

/// An interpreter and its work directory, for the runs of one interaction.
#[derive(Debug)]
pub struct CellClient {
    connection: WardenConnection,
    state: CellState,
    warden_at: Dialer,
    budget: Budget,
    /// When the cell was requested, until its first run.
    requested: Option<Instant>,
    metrics: CodeMetrics,
}

#[derive(Debug)]
enum CellState {
    /// Requested; the warden has not replied yet.
    Opening(Opening),
    Open {
        tier: Tier,
        limits: CellLimits,
    },
}

/// What to do with the files that a run creates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FilesOfRun {
    None,
    /// Keep those for which there is room. Others are not missed.
    UpTo(usize),
    /// The client requested them.
    Requested,
}

/// Replies that are outstanding.
#[derive(Debug, Clone, Copy)]
struct Opening {
    least: Tier,
    files: usize,
}

impl CellClient {
    /// Takes the memory of outputs from this part of the budget.
    #[must_use]
    pub fn charged_to(mut self, budget: Budget) -> CellClient {
        self.budget = budget;
        self
    }

    /// Puts a file into the work directory.
    pub async fn put(&mut self, name: &str, content: &Bytes) -> Result<(), SandboxError> {
        self.connection.send(&WardenRequest::PutFile { name: name.to_owned() }, content).await?;
        match &mut self.state {
            CellState::Opening(opening) => opening.files += 1,
            CellState::Open { .. } => self.file_put().await?,
        }
        Ok(())
    }

    /// Runs Python code and waits for its end. The warden enforces the time limit.
    pub async fn run(&mut self, code: &str) -> Result<RunOutput, SandboxError> {
        self.ask(WardenRequest::Run { wall_ms: None, files: false }, code, FilesOfRun::None).await
    }

    /// Runs Python code, and returns those files that it creates for which there is room.
    pub async fn run_with_files(
        &mut self,
        code: &str,
        bytes: usize,
    ) -> Result<RunOutput, SandboxError> {
        let request = WardenRequest::Run { wall_ms: None, files: true };
        self.ask(request, code, FilesOfRun::UpTo(bytes)).await
    }

    /// Runs Python code with a lower time limit, and returns the files that it creates.
    pub async fn run_for_files(
        &mut self,
        code: &str,
        at_most: Option<Duration>,
    ) -> Result<RunOutput, SandboxError> {
        let wall_ms = at_most.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        self.ask(WardenRequest::Run { wall_ms, files: true }, code, FilesOfRun::Requested).await
    }

    async fn ask(
        &mut self,
        request: WardenRequest,
        code: &str,
        wanted: FilesOfRun,
    ) -> Result<RunOutput, SandboxError> {
        let ran = self.carry_out(request, code, wanted).await;
        let requested = self.requested.take();
        let cell = requested.map_or(CellUse::Again, |at| CellUse::Fresh(at.elapsed()));
        match &ran {
            Ok(output) => self.metrics.ran(&output.finished, cell),
            Err(error) => self.metrics.failed(error.reason()),
        }
        ran
    }

    async fn carry_out(
        &mut self,
        request: WardenRequest,
        code: &str,
        wanted: FilesOfRun,
    ) -> Result<RunOutput, SandboxError> {
        self.connection.send(&request, code.as_bytes()).await?;
        self.connection.flush().await?;
        let (tier, limits) = self.opened().await?;
        let (mut stdout, mut stderr) = ((Bytes::new(), 0), (Bytes::new(), 0));
        let (mut images, mut files) = (Vec::new(), Vec::new());
        let (mut room_for_images, mut room_for_files) = match wanted {
            FilesOfRun::UpTo(bytes) => (MAX_IMAGES_BYTES, bytes),
            FilesOfRun::None | FilesOfRun::Requested => (MAX_IMAGES_BYTES, MAX_FILES_BYTES),
        };
        let (mut images_left_out, mut files_left_out) = (0, 0);
        let mut share = Share::default();
        let mut finished = loop {
            let (reply, blob) = self.connection.reply().await?;
            let room = match reply {
                WardenReply::Image { .. } => Some((&mut room_for_images, &mut images_left_out)),
                WardenReply::File { .. } => Some((&mut room_for_files, &mut files_left_out)),
                _ => None,
            };
            if let Some((room, left_out)) = room {
                let Some(left) = room.checked_sub(blob.len()) else {
                    *left_out += 1;
                    continue;
                };
                *room = left;
            }
            let is_optional =
                matches!(reply, WardenReply::File { .. }) && wanted != FilesOfRun::Requested;
            match self.budget.take(blob.len()) {
                Some(memory) => share.add(memory),
                None if is_optional => continue,
                None => return Err(SandboxError::NoMemory),
            }
            match reply {
                WardenReply::Stdout { left_out } => stdout = (blob, left_out),
                WardenReply::Stderr { left_out } => stderr = (blob, left_out),
                WardenReply::Image { mime_type } => images.push(Image { mime_type, data: blob }),
                WardenReply::File { path } => files.push(OutputFile { path, content: blob }),
                WardenReply::Finished(finished) => break finished,
                reply => return Err(unexpected(reply)),
            }
        };
        finished.images_left_out += images_left_out;
        finished.files_left_out += files_left_out;
        if wanted != FilesOfRun::Requested {
            finished.files_left_out = 0; // the client did not request them
        }
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
            (WardenReply::FilePut, _) => Ok(()),
            (reply, _) => Err(unexpected(reply)),
        }
    }

    /// Waits for the reply to the request for the cell. If the warden refuses it, it ignores all
    /// later requests.
    async fn opened(&mut self) -> Result<(Tier, CellLimits), SandboxError> {
        let opening = match self.state {
            CellState::Open { tier, limits } => return Ok((tier, limits)),
            CellState::Opening(opening) => opening,
        };
        let (tier, limits) = match self.connection.reply().await? {
            (WardenReply::Opened { tier, limits }, _) => (tier, limits),
            (WardenReply::Refused(Refusal::TooThin { found }), _) => {
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

impl Drop for CellClient {
    fn drop(&mut self) {
        if self.connection.is_alive() {
            self.warden_at.prepare(); // a closed connection means that the warden may be dying
        }
    }
}

fn budget() -> Budget {
    let part = usize::try_from(budget::memory_bytes() / PART_OF_MEMORY).unwrap_or(usize::MAX);
    Budget::new(part.max(MIN_BUDGET_BYTES))
}

fn unexpected(reply: WardenReply) -> SandboxError {
    match reply {
        WardenReply::Refused(Refusal::Busy) => SandboxError::Busy,
        WardenReply::Refused(Refusal::Unavailable { why }) => SandboxError::Unavailable(why),
        WardenReply::Refused(Refusal::Invalid { why }) => SandboxError::Invalid(why),
        _ => SandboxError::OutOfTurn,
    }
}
