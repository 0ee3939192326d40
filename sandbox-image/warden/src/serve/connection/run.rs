//! Runs code in the connection's cell.

use std::sync::Arc;

use bytes::Bytes;
use protocol::{
    FrameError, FrameReader, Limit, Refusal, ResourceUsage, RunOutcome, RunResult, WardenReply,
    WardenRequest,
};
use tokio::io::{AsyncWriteExt, BufWriter};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, mpsc};

use super::{Connection, invalid};
use crate::cell::live::{self, LiveOutput, LiveSender};
use crate::cell::workspace::WrittenFile;
use crate::cell::{Ran, RunOrder};

/// Maximum number of standbys tried in a row if they die before they receive the code.
const MAX_STANDBYS_TRIED: usize = 4;

/// The parts of a request for a run besides the code.
pub(super) struct RunWishes {
    pub(super) wall_ms: Option<u64>,
    pub(super) files: bool,
    pub(super) live: bool,
}

impl Connection {
    pub(super) async fn run(&mut self, code: &[u8], wishes: RunWishes) -> Result<(), FrameError> {
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
            let ran = match self.run_once(code, &wishes).await? {
                Some(ran) => ran,
                None => return self.answer(&WardenReply::Refused(Refusal::CellLost), &[]).await,
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
        let (written, left_out) = match wishes.files {
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

    /// Runs the code in the current cell, if there is one. If the client closes the connection, the run
    /// and the cell end at once.
    async fn run_once(
        &mut self,
        code: &str,
        wishes: &RunWishes,
    ) -> Result<Option<std::io::Result<Ran>>, FrameError> {
        let Some(taken) = &mut self.taken else { return Ok(None) };
        let (live, pieces) = match wishes.live {
            true => {
                let (live, pieces) = live::channel();
                (live, Some(pieces))
            }
            false => (LiveSender::default(), None),
        };
        let order = RunOrder {
            keep: self.asked_for.keep,
            live,
            ..RunOrder::new(code, wishes.wall_ms.unwrap_or(u64::MAX))
        };
        let interrupts = Arc::clone(&order.interrupts);
        let running = async {
            match pieces {
                None => Ok(taken.cell.run(order).await),
                // The run ends the pieces.
                Some(pieces) => {
                    let sending = send_live(&mut self.writer, pieces);
                    let (ran, sent) = tokio::join!(taken.cell.run(order), sending);
                    sent.map(|()| ran)
                }
            }
        };
        let requests = requests_during(&mut self.requests, &mut self.next, &interrupts);
        tokio::select! {
            ran = running => ran.map(Some),
            error = requests => {
                self.taken = None;
                Err(error)
            }
        }
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
}

/// Reads requests while code runs: passes interruptions on, and leaves any other request for later. Returns
/// when the connection has ended.
async fn requests_during(
    requests: &mut FrameReader<OwnedReadHalf>,
    next: &mut Option<(WardenRequest, Bytes)>,
    interrupts: &Notify,
) -> FrameError {
    while next.is_none() {
        match requests.next().await {
            Ok((WardenRequest::Interrupt, _)) => interrupts.notify_one(),
            Ok(later) => *next = Some(later),
            Err(error) => return error,
        }
    }
    std::future::pending().await
}

/// Sends pieces of output until the run ends.
async fn send_live(
    writer: &mut BufWriter<OwnedWriteHalf>,
    mut pieces: mpsc::Receiver<Vec<LiveOutput>>,
) -> Result<(), FrameError> {
    while let Some(pieces) = pieces.recv().await {
        for piece in pieces {
            match piece {
                LiveOutput::Text(stream, text) => {
                    protocol::write(writer, &WardenReply::LiveText { stream }, &text).await?;
                }
                LiveOutput::Picture { mime_type, data } => {
                    let reply = WardenReply::LiveImage { mime_type: mime_type.to_owned() };
                    protocol::write(writer, &reply, &data).await?;
                }
            }
        }
        writer.flush().await?;
    }
    Ok(())
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
