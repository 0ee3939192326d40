//! A cell, and the runs in it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use protocol::{CellLimits, Refusal, Tier, WardenReply, WardenRequest};
use tokio::sync::Notify;

use crate::connection::{Dialer, WardenConnection};
use crate::run::{LivePiece, RunOutput, RunRequest};
use crate::{Image, MAX_FILES_BYTES, MAX_IMAGES_BYTES, OutputFile, SandboxError, unexpected};
use metrics::{CellUse, CodeMetrics};
use resources::budget::{Budget, Share};

/// An interpreter and its work directory, for the runs of one interaction.
#[derive(Debug)]
pub struct CellClient {
    pub(crate) connection: WardenConnection,
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
pub(crate) struct Opening {
    pub(crate) least: Tier,
    pub(crate) files: usize,
    pub(crate) requested: Instant,
}

/// A receiver of output while the code runs.
type OnPiece<'r> = Option<&'r mut (dyn FnMut(LivePiece) + Send)>;

impl CellClient {
    pub(crate) fn new(
        connection: WardenConnection,
        opening: Opening,
        warden_at: Dialer,
        budget: Budget,
        metrics: CodeMetrics,
    ) -> CellClient {
        let (state, requested) = (CellState::Opening(opening), Some(opening.requested));
        CellClient { connection, state, warden_at, budget, requested, metrics }
    }

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
        self.ask(run(None, false, false), code, FilesOfRun::None).await
    }

    /// Runs Python code, and returns those files that it creates for which there is room.
    pub async fn run_with_files(
        &mut self,
        code: &str,
        bytes: usize,
    ) -> Result<RunOutput, SandboxError> {
        self.ask(run(None, true, false), code, FilesOfRun::UpTo(bytes)).await
    }

    /// Runs Python code with a lower time limit, and returns the files that it creates.
    pub async fn run_for_files(
        &mut self,
        code: &str,
        at_most: Option<Duration>,
    ) -> Result<RunOutput, SandboxError> {
        self.ask(run(at_most, true, false), code, FilesOfRun::Requested).await
    }

    /// The same, while the code can be interrupted, and with its output as it comes, if requested.
    pub async fn run_kept(
        &mut self,
        request: RunRequest<'_>,
        on_piece: OnPiece<'_>,
    ) -> Result<RunOutput, SandboxError> {
        let RunRequest { code, at_most, interrupts } = request;
        let order = run(at_most, true, on_piece.is_some());
        let ran = async {
            self.send_code(&order, code).await?;
            self.output(FilesOfRun::Requested, Some(interrupts), on_piece).await
        };
        let ran = ran.await;
        self.measured(ran)
    }

    async fn ask(
        &mut self,
        request: WardenRequest,
        code: &str,
        wanted: FilesOfRun,
    ) -> Result<RunOutput, SandboxError> {
        let ran = async {
            self.send_code(&request, code).await?;
            self.output(wanted, None, None).await
        };
        let ran = ran.await;
        self.measured(ran)
    }

    fn measured(
        &mut self,
        ran: Result<RunOutput, SandboxError>,
    ) -> Result<RunOutput, SandboxError> {
        let requested = self.requested.take();
        let cell = requested.map_or(CellUse::Again, |at| CellUse::Fresh(at.elapsed()));
        match &ran {
            Ok(output) => self.metrics.ran(&output.finished, cell),
            Err(error) => self.metrics.failed(error.reason()),
        }
        ran
    }

    async fn send_code(&mut self, run: &WardenRequest, code: &str) -> Result<(), SandboxError> {
        self.connection.send(run, code.as_bytes()).await?;
        self.connection.flush().await
    }

    async fn output(
        &mut self,
        wanted: FilesOfRun,
        interrupts: Option<&Notify>,
        mut on_piece: OnPiece<'_>,
    ) -> Result<RunOutput, SandboxError> {
        let (tier, limits) = self.opened().await?;
        let (mut stdout, mut stderr) = ((Bytes::new(), 0), (Bytes::new(), 0));
        let (mut images, mut files) = (Vec::new(), Vec::new());
        let (mut room_for_images, mut room_for_files) = match wanted {
            FilesOfRun::UpTo(bytes) => (MAX_IMAGES_BYTES, bytes),
            FilesOfRun::None | FilesOfRun::Requested => (MAX_IMAGES_BYTES, MAX_FILES_BYTES),
        };
        let (mut images_left_out, mut files_left_out) = (0, 0);
        let (mut share, mut has_memory) = (Share::default(), true);
        let mut finished = loop {
            let (reply, blob) = self.reply_or_interrupt(interrupts).await?;
            if let Some(piece) = live(&reply, &blob) {
                on_piece.as_mut().ok_or(SandboxError::OutOfTurn)?(piece);
                continue;
            }
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
                // The other replies are read too: the cell may be used further.
                None => has_memory = false,
            }
            if !has_memory && !matches!(reply, WardenReply::Finished(_)) {
                continue;
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
        if !has_memory {
            return Err(SandboxError::NoMemory);
        }
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

    /// The next reply. Passes interruptions on meanwhile.
    async fn reply_or_interrupt(
        &mut self,
        interrupts: Option<&Notify>,
    ) -> Result<(WardenReply, Bytes), SandboxError> {
        let Some(interrupts) = interrupts else { return self.connection.reply().await };
        loop {
            tokio::select! {
                reply = self.connection.reply() => return reply,
                () = interrupts.notified() => {
                    self.connection.send(&WardenRequest::Interrupt, &[]).await?;
                    self.connection.flush().await?;
                }
            }
        }
    }

    pub(crate) async fn file_put(&mut self) -> Result<(), SandboxError> {
        self.connection.flush().await?;
        match self.connection.answer().await? {
            (WardenReply::FilePut, _) => Ok(()),
            (reply, _) => Err(unexpected(reply)),
        }
    }

    /// Waits until the warden has given a cell, or has refused it.
    pub async fn wait_until_open(&mut self) -> Result<(), SandboxError> {
        self.connection.flush().await?;
        self.requested = None; // its first run may come much later
        self.opened().await.map(drop)
    }

    /// Whether the connection to the warden, and so the cell, still exists. Only between two requests.
    pub fn is_alive(&self) -> bool {
        self.connection.is_alive()
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

fn run(at_most: Option<Duration>, files: bool, live: bool) -> WardenRequest {
    let wall_ms = at_most.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    WardenRequest::Run { wall_ms, files, live }
}

/// The output that a reply carries while the code runs.
fn live(reply: &WardenReply, blob: &Bytes) -> Option<LivePiece> {
    match reply {
        WardenReply::LiveText { stream } => Some(LivePiece::Text(*stream, blob.clone())),
        WardenReply::LiveImage { mime_type } => {
            Some(LivePiece::Image(Image { mime_type: mime_type.clone(), data: blob.clone() }))
        }
        _ => None,
    }
}
