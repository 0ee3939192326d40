//! Client of the warden: cells, their files, their runs. Independent of interactions.
//!
//! If the configuration names no socket, [`supervisor`] runs the warden as a child process of the
//! server.

#![forbid(unsafe_code)]

mod again;
mod cell;
mod connection;
mod failure;
mod files;
mod imports;
pub mod libraries;
mod run;
mod supervisor;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use protocol::{Description, FrameError, Refusal, Tier, WardenReply, WardenRequest};

use self::cell::Opening;
use self::connection::{Dialer, LOOK_AGAIN_AFTER};
use self::supervisor::Supervisor;
use metrics::CodeMetrics;
use resources::budget::{self, Budget};

pub use again::Again;
pub use cell::CellClient;
pub use domain::output::{Image, OutputFile};
pub use files::{FileList, FilePart};
pub use protocol::{FileEntry, TextStream};
pub use run::{Expected, LivePiece, RunOutput, RunRequest};
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
    #[error("the cell is gone")]
    CellLost,
}

impl SandboxError {
    /// A word for metrics.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            SandboxError::Busy => "busy",
            SandboxError::TooThin { .. } => "isolation",
            SandboxError::Invalid(_) => "invalid",
            SandboxError::Unavailable(_) => "unavailable",
            SandboxError::Start { .. } | SandboxError::Ended(_) | SandboxError::Connect { .. } => {
                "unreachable"
            }
            SandboxError::Frame(_) | SandboxError::OutOfTurn | SandboxError::CellLost => {
                "connection"
            }
            SandboxError::Silent => "silent",
            SandboxError::NoMemory => "memory",
        }
    }
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
        let open = WardenRequest::Open {
            least: self.least,
            imports: imports::of(code.text()),
            more: matches!(code, Expected::First(_)),
            keep: false,
        };
        let mut cell = self.request_cell(&open).await?;
        for (name, content) in files {
            cell.put(name, content).await?;
        }
        Ok(cell)
    }

    /// Opens a cell that is kept between runs for a long time. Such cells leave some free for others, and
    /// this does not wait for one.
    pub async fn open_to_keep(&self) -> Result<CellClient, SandboxError> {
        let (least, imports) = (self.least, Vec::new());
        let open = WardenRequest::Open { least, imports, more: true, keep: true };
        let mut cell = self.request_cell(&open).await?;
        cell.wait_until_open().await?;
        Ok(cell)
    }

    async fn request_cell(&self, open: &WardenRequest) -> Result<CellClient, SandboxError> {
        let requested = Instant::now();
        let connected = self.warden_at.connect().await;
        let mut connection = connected.inspect_err(|error| self.metrics.failed(error.reason()))?;
        connection.send(open, &[]).await?;
        let opening = Opening { least: self.least, files: 0, requested };
        let (warden_at, budget) = (self.warden_at.clone(), self.budget.clone());
        Ok(CellClient::new(connection, opening, warden_at, budget, self.metrics.clone()))
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
        WardenReply::Refused(Refusal::CellLost) => SandboxError::CellLost,
        _ => SandboxError::OutOfTurn,
    }
}
