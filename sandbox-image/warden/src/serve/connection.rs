//! A connection of the server, which owns one cell: answers requests in order, and ends the cell when the
//! connection ends.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use protocol::{
    CellLimits, Description, FrameError, Limit, Refusal, ResourceUsage, RunOutcome, RunResult,
    Tier, WardenReply, WardenRequest,
};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, BufWriter};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use crate::cell::Ran;
use crate::cell::workspace::WrittenFile;
use crate::pool::{NoCell, Pool, Taken};

/// Delay after a run before its remaining processes are stopped. By then most cells have ended and many of
/// the others have begun their next run.
const FREEZE_AFTER: Duration = Duration::from_millis(5);

/// Maximum number of standbys tried in a row if they die before they receive the code.
const MAX_STANDBYS_TRIED: usize = 4;

/// Interval at which a frozen cell is checked again.
const CHECK_FROZEN_EVERY: Duration = Duration::from_secs(1);

/// Maximum delay of the end of a cell in favour of other runs.
const END_DELAY: Duration = Duration::from_millis(5);

/// State that all connections of a warden share.
#[derive(Debug)]
pub struct WardenState {
    pub pool: Pool,
    pub limits: CellLimits,
    pub describe: fn(&WardenState) -> Description,
    /// `3.12.1`
    pub python: String,
}

/// Serves a connection until the other side closes it.
pub async fn serve(stream: UnixStream, shared: Arc<WardenState>) {
    let (reader, writer) = stream.into_split();
    let mut connection = Connection {
        reader: BufReader::new(reader),
        writer: BufWriter::new(writer),
        shared,
        taken: None,
        asked_for: (Vec::new(), false),
        lost_between_runs: false,
    };
    match connection.requests().await {
        Ok(()) | Err(FrameError::Closed) => {}
        Err(error) => tracing::warn!(%error, "connection failed"),
    }
    connection.end().await;
}

struct Connection {
    reader: BufReader<OwnedReadHalf>,
    writer: BufWriter<OwnedWriteHalf>,
    shared: Arc<WardenState>,
    taken: Option<Taken>,
    /// Parameters of the request for the cell: imports, and whether more code will follow.
    asked_for: (Vec<String>, bool),
    /// Whether the cell was ended between two runs. The next run reports it.
    lost_between_runs: bool,
}

impl Connection {
    async fn requests(&mut self) -> Result<(), FrameError> {
        loop {
            let (request, blob) = protocol::read(&mut self.reader).await?;
            match request {
                WardenRequest::Describe => {
                    let description = (self.shared.describe)(&self.shared);
                    self.answer(&WardenReply::Description(description), &[]).await?;
                }
                WardenRequest::Open { least, imports, more } => {
                    self.asked_for = (imports, more);
                    let reply = self.open(least).await;
                    self.answer(&reply, &[]).await?;
                }
                WardenRequest::PutFile { name } => {
                    let reply = self.put(&name, &blob);
                    self.answer(&reply, &[]).await?;
                }
                WardenRequest::Run { wall_ms, files } => self.run(&blob, wall_ms, files).await?,
            }
            // Requests that arrived together are answered together.
            if self.reader.buffer().is_empty() {
                self.writer.flush().await?;
                self.freeze_when_idle().await;
            }
        }
    }

    /// Ending a cell takes a millisecond of CPU time, so it waits until the answer is sent and other runs
    /// have ended. If the maximum number of cells is in use it does not wait.
    async fn end(self) {
        let Some(taken) = self.taken else { return };
        if !self.shared.pool.is_full() {
            self.shared.pool.wait_idle(END_DELAY).await;
        }
        drop(taken);
    }

    /// Freezes the cell until the next request, unless one is already there. Checks it again at intervals,
    /// because the kernel may wake stopped processes when it kills one for lack of memory.
    async fn freeze_when_idle(&mut self) {
        let mut after = FREEZE_AFTER;
        while let Some(taken) = &mut self.taken
            && taken.cell.has_run()
            && tokio::time::timeout(after, self.reader.fill_buf()).await.is_err()
        {
            if let Err(error) = taken.cell.freeze().await {
                tracing::warn!(%error, "cell ended between two runs");
                self.taken = None;
                self.lost_between_runs = true;
            }
            after = CHECK_FROZEN_EVERY;
        }
    }

    async fn open(&mut self, least: Tier) -> WardenReply {
        if self.taken.is_some() {
            return invalid("this connection already has a cell");
        }
        let (imports, more) = &self.asked_for;
        match self.shared.pool.take(imports, *more).await {
            Ok((_, tier)) if tier < least => WardenReply::Refused(Refusal::TooThin { found: tier }),
            Ok((taken, tier)) => {
                self.taken = Some(taken);
                WardenReply::Opened { tier, limits: self.shared.limits }
            }
            Err(NoCell::Busy) => WardenReply::Refused(Refusal::Busy),
            Err(NoCell::Failing { why }) => WardenReply::Refused(Refusal::Unavailable { why }),
        }
    }

    /// Replaces a standby that died before it received any code: the kernel kills standbys first when memory
    /// is short. Nothing was executed, so another one takes its place, with the same files.
    async fn take_another(&mut self) -> Result<(), WardenReply> {
        let Some(dead) = self.taken.take() else {
            return Err(WardenReply::Refused(Refusal::CellLost));
        };
        tracing::warn!("standby died before its first code");
        let (imports, more) = &self.asked_for;
        let (mut taken, dead) = match self.shared.pool.replace(dead, imports, *more).await {
            Ok(both) => both,
            Err(NoCell::Busy) => return Err(WardenReply::Refused(Refusal::Busy)),
            Err(NoCell::Failing { why }) => {
                return Err(WardenReply::Refused(Refusal::Unavailable { why }));
            }
        };
        let owner = taken.cell.resources.owner;
        if let Err(error) = dead.workspace.put_into(&mut taken.cell.workspace, owner) {
            return Err(invalid(&format!("could not write the input files: {error}")));
        }
        self.taken = Some(taken);
        Ok(())
    }

    fn put(&mut self, name: &str, content: &Bytes) -> WardenReply {
        let Some(taken) = &mut self.taken else { return WardenReply::Refused(Refusal::CellLost) };
        let owner = taken.cell.resources.owner;
        match taken.cell.workspace.put(name, content, owner) {
            Ok(()) => WardenReply::FilePut,
            Err(error) => invalid(&format!("could not write {name}: {error}")),
        }
    }

    async fn run(
        &mut self,
        code: &[u8],
        wall_ms: Option<u64>,
        files: bool,
    ) -> Result<(), FrameError> {
        let limits = self.shared.limits;
        if code.len() as u64 > limits.code_bytes {
            return self.ran(not_run(Limit::CodeBytes(limits.code_bytes), false), Vec::new()).await;
        }
        if std::mem::take(&mut self.lost_between_runs) {
            return self.ran(not_run(Limit::Rest, true), Vec::new()).await;
        }
        let Ok(code) = std::str::from_utf8(code) else {
            return self.answer(&invalid("invalid code: not UTF-8"), &[]).await;
        };
        let shared = Arc::clone(&self.shared);
        let active = shared.pool.begin_run();
        let mut tries = 0;
        let ran = loop {
            let Some(taken) = &mut self.taken else {
                return self.answer(&WardenReply::Refused(Refusal::CellLost), &[]).await;
            };
            let ran = tokio::select! {
                ran = taken.cell.run(code, wall_ms.unwrap_or(u64::MAX)) => ran,
                () = gone(&mut self.reader) => {
                    // The client is gone, so the run is stopped at once.
                    self.taken = None;
                    return Err(FrameError::Closed);
                }
            };
            tries += 1;
            match ran {
                Ok(ran) if ran.never_began && tries < MAX_STANDBYS_TRIED => {
                    if let Err(reply) = self.take_another().await {
                        return self.answer(&reply, &[]).await;
                    }
                }
                ran => break ran,
            }
        };
        let Some(taken) = &mut self.taken else {
            return self.answer(&WardenReply::Refused(Refusal::CellLost), &[]).await;
        };
        let mut ran = match ran {
            Ok(ran) => ran,
            Err(error) => {
                self.taken = None;
                let why = format!("could not follow the run: {error}");
                return self.answer(&WardenReply::Refused(Refusal::Unavailable { why }), &[]).await;
            }
        };
        let (written, left_out) = match files {
            true => taken.cell.workspace.new_files(limits.files as usize, limits.files_bytes),
            false => (Vec::new(), 0),
        };
        ran.finished.files_left_out = left_out;
        if ran.finished.cell_lost {
            self.taken = None;
        }
        self.ran(ran, written).await?;
        // Other work may use the CPU only after the answer has been sent.
        self.writer.flush().await?;
        drop(active);
        Ok(())
    }

    async fn ran(&mut self, ran: Ran, written: Vec<WrittenFile>) -> Result<(), FrameError> {
        let ((stdout, stdout_left_out), (stderr, stderr_left_out)) = (ran.stdout, ran.stderr);
        self.answer(&WardenReply::Stdout { left_out: stdout_left_out }, &stdout).await?;
        self.answer(&WardenReply::Stderr { left_out: stderr_left_out }, &stderr).await?;
        for picture in ran.pictures {
            let reply = WardenReply::Image { mime_type: picture.mime_type.to_owned() };
            self.answer(&reply, &picture.data).await?;
        }
        for file in written {
            self.answer(&WardenReply::File { path: file.path }, &file.data).await?;
        }
        self.answer(&WardenReply::Finished(ran.finished), &[]).await
    }

    async fn answer(&mut self, reply: &WardenReply, blob: &[u8]) -> Result<(), FrameError> {
        protocol::write(&mut self.writer, reply, blob).await
    }
}

/// Waits until the other side closes the connection. Bytes that arrive meanwhile are later requests, and
/// stay in the buffer.
async fn gone(reader: &mut BufReader<OwnedReadHalf>) {
    if !reader.buffer().is_empty() {
        return std::future::pending().await;
    }
    match reader.fill_buf().await {
        Ok([]) | Err(_) => {}
        Ok(_) => std::future::pending().await,
    }
}

/// The result of a run that is refused because of a limit. Nothing is executed.
fn not_run(limit: Limit, cell_lost: bool) -> Ran {
    Ran {
        finished: RunResult {
            outcome: RunOutcome::Stopped { limit },
            usage: ResourceUsage::default(),
            cell_lost,
            images_left_out: 0,
            files_left_out: 0,
        },
        stdout: (Vec::new(), 0),
        stderr: (Vec::new(), 0),
        pictures: Vec::new(),
        never_began: false,
    }
}

fn invalid(why: &str) -> WardenReply {
    WardenReply::Refused(Refusal::Invalid { why: why.to_owned() })
}
