//! A connection of the server, which owns one cell: answers requests in order, and ends the cell when the
//! connection ends. Running code is in `run`, access to files between two runs in `files`.

mod files;
mod run;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use protocol::{
    CellLimits, Description, FrameError, FrameReader, Refusal, Tier, WardenReply, WardenRequest,
};
use tokio::io::{AsyncWriteExt, BufWriter};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use crate::pool::{NoCell, Pool, Taken};

/// Delay after a run before its remaining processes are stopped. By then most cells have ended and many of
/// the others have begun their next run.
const FREEZE_AFTER: Duration = Duration::from_millis(5);

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
        requests: FrameReader::new(reader),
        next: None,
        writer: BufWriter::new(writer),
        shared,
        taken: None,
        asked_for: CellRequest::default(),
        lost_between_runs: false,
    };
    match connection.requests().await {
        Ok(()) | Err(FrameError::Closed) => {}
        Err(error) => tracing::warn!(%error, "connection failed"),
    }
    connection.end().await;
}

struct Connection {
    requests: FrameReader<OwnedReadHalf>,
    /// A request that arrived while the connection waited for something else.
    next: Option<(WardenRequest, Bytes)>,
    writer: BufWriter<OwnedWriteHalf>,
    shared: Arc<WardenState>,
    taken: Option<Taken>,
    asked_for: CellRequest,
    /// Whether the cell was ended between two runs. The next run reports it.
    lost_between_runs: bool,
}

/// Parameters of the request for the cell.
#[derive(Debug, Default)]
struct CellRequest {
    imports: Vec<String>,
    more: bool,
    keep: bool,
}

impl Connection {
    async fn requests(&mut self) -> Result<(), FrameError> {
        loop {
            let (request, blob) = match self.next.take() {
                Some(request) => request,
                None => self.requests.next().await?,
            };
            match request {
                WardenRequest::Describe => {
                    let description = (self.shared.describe)(&self.shared);
                    self.answer(&WardenReply::Description(description), &[]).await?;
                }
                WardenRequest::Open { least, imports, more, keep } => {
                    self.asked_for = CellRequest { imports, more, keep };
                    let reply = self.open(least).await;
                    self.answer(&reply, &[]).await?;
                }
                WardenRequest::PutFile { name } => {
                    let reply = self.put(&name, &blob);
                    self.answer(&reply, &[]).await?;
                }
                WardenRequest::Run { wall_ms, files, live } => {
                    self.run(&blob, run::RunWishes { wall_ms, files, live }).await?;
                }
                WardenRequest::Interrupt => {} // the code has just ended
                WardenRequest::ListFiles => {
                    let (reply, list) = self.list_files();
                    self.answer(&reply, &list).await?;
                }
                WardenRequest::ReadFile { path, offset, bytes } => {
                    let (reply, part) = self.read_file(&path, offset, bytes);
                    self.answer(&reply, &part).await?;
                }
                WardenRequest::WriteFile { path } => {
                    let reply = self.write_file(&path, &blob);
                    self.answer(&reply, &[]).await?;
                }
                WardenRequest::DeleteFile { path } => {
                    let reply = self.delete_file(&path);
                    self.answer(&reply, &[]).await?;
                }
            }
            // Requests that arrived together are answered together.
            if self.next.is_none() && !self.requests.has_more() {
                self.writer.flush().await?;
                self.freeze_when_idle().await?;
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
    async fn freeze_when_idle(&mut self) -> Result<(), FrameError> {
        let mut after = FREEZE_AFTER;
        while let Some(taken) = &mut self.taken
            && taken.cell.has_run()
        {
            if let Ok(request) = tokio::time::timeout(after, self.requests.next()).await {
                self.next = Some(request?);
                return Ok(());
            }
            if let Err(error) = taken.cell.freeze().await {
                tracing::warn!(%error, "cell ended between two runs");
                self.taken = None;
                self.lost_between_runs = true;
            }
            after = CHECK_FROZEN_EVERY;
        }
        Ok(())
    }

    async fn open(&mut self, least: Tier) -> WardenReply {
        if self.taken.is_some() {
            return invalid("this connection already has a cell");
        }
        let CellRequest { imports, more, keep } = &self.asked_for;
        let taken = match keep {
            true => self.shared.pool.take_to_keep(imports).await,
            false => self.shared.pool.take(imports, *more).await,
        };
        match taken {
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
        let CellRequest { imports, more, keep } = &self.asked_for;
        let (mut taken, dead) = match self.shared.pool.replace(dead, imports, *more || *keep).await
        {
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

    async fn answer(&mut self, reply: &WardenReply, blob: &[u8]) -> Result<(), FrameError> {
        protocol::write(&mut self.writer, reply, blob).await
    }
}

fn invalid(why: &str) -> WardenReply {
    WardenReply::Refused(Refusal::Invalid { why: why.to_owned() })
}
