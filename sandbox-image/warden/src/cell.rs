//! One cell, from its fork to its death.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use jail::{LayerReport, Report};
use protocol::{CellLimits, Finished, Limit, Outcome, Usage};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::task::coop::consume_budget;
use tokio::task::yield_now;

use crate::capture::Capture;
use crate::channel::{self, Channel};
use crate::images::Frames;
use crate::memory;
use crate::process::{Ended, Process};
use crate::workspace::{Picture, Workspace};
use crate::zygote::Zygote;

/// How long a fork may take to be jailed.
const UP_WITHIN: Duration = Duration::from_secs(10);
/// Once a run has ended, this much may still lie in a pipe.
const PIPE_BYTES: usize = 1 << 20;
/// A run that writes so many times what is kept is stopped.
const FLOOD_FACTOR: u64 = 10;

/// A jailed process tree that waits for code, or has run some.
#[derive(Debug)]
pub struct Cell {
    /// When it dies all others of the cell do.
    init: Process,
    /// Runs the code.
    code: Process,
    /// The numbers of both.
    roots: [Option<i32>; 2],
    /// While it is open, init lives.
    _status: Channel,
    control: UnixStream,
    stdout: pipe::Receiver,
    stderr: pipe::Receiver,
    display: UnixStream,
    frames: Frames,
    pub workspace: Workspace,
    pub layers: Vec<LayerReport>,
    limits: CellLimits,
}

/// What a run left.
#[derive(Debug)]
pub struct Ran {
    pub finished: Finished,
    pub stdout: (Vec<u8>, u64),
    pub stderr: (Vec<u8>, u64),
    pub pictures: Vec<Picture>,
}

/// What ended a run.
enum End {
    /// The runner's word: whether the code raised.
    Word {
        raised: bool,
    },
    /// The code's process is gone.
    Process(Ended),
    Stopped(Limit),
}

impl Cell {
    /// Has a zygote fork one, and waits until it is jailed.
    pub async fn make(zygote: &Zygote, limits: CellLimits) -> anyhow::Result<Cell> {
        let (stdout, stdout_end) = pipe_with(PipeFlags::CLOEXEC)?;
        let (stderr, stderr_end) = pipe_with(PipeFlags::CLOEXEC)?;
        let (control, control_end) = stream_pair()?;
        let (display, display_end) = stream_pair()?;
        let (status, status_end) = channel::pair()?;
        zygote
            .fork([control_end, stdout_end, stderr_end, display_end, status_end])
            .await
            .context("asking the zygote for a cell")?;
        let up = tokio::time::timeout(UP_WITHIN, come_up(&status));
        let (init, code, workspace, layers) =
            up.await.context("a cell did not come up in time")??;
        Ok(Cell {
            roots: [init.id(), code.id()],
            init,
            code,
            _status: status,
            control,
            stdout: pipe::Receiver::from_owned_fd(stdout)?,
            stderr: pipe::Receiver::from_owned_fd(stderr)?,
            display,
            frames: Frames::new(limits.images as usize, usize::try_from(limits.image_bytes)?),
            workspace: Workspace::new(workspace),
            layers,
            limits,
        })
    }

    /// Whether it still waits for code.
    pub fn is_alive(&self) -> bool {
        self.init.is_alive() && self.code.is_alive()
    }

    /// Runs one piece of code. The verdict is made here: from the clock, from how processes ended,
    /// and from the bytes in the pipes. It gets `wall_ms`, and never more than the limit.
    pub async fn run(&mut self, code: &str, wall_ms: u64) -> io::Result<Ran> {
        self.workspace.remember();
        self.frames.begin();
        let kept = usize::try_from(self.limits.output_bytes).unwrap_or(usize::MAX);
        let (mut stdout, mut stderr) = (Capture::new(kept), Capture::new(kept));
        let mut shown = Vec::new();

        let began = Instant::now();
        let end = self.until_the_end(code, wall_ms, &mut stdout, &mut stderr, &mut shown).await;
        let wall = began.elapsed();

        let lost = !matches!(end, End::Word { .. });
        if lost {
            self.init.kill();
            // In this order: init is not gone before its last process has been reaped, and that one
            // is ours to reap.
            self.code.ended().await;
            self.init.ended().await;
        }
        drain(&self.stdout, &mut stdout);
        drain(&self.stderr, &mut stderr);
        self.drain_display(&mut shown);

        let (pictures, images_left_out) = self.pictures(shown);
        let finished = Finished {
            outcome: verdict(end),
            usage: Usage { wall_us: u64::try_from(wall.as_micros()).unwrap_or(u64::MAX) },
            cell_lost: lost,
            images_left_out,
            files_left_out: 0,
        };
        Ok(Ran { finished, stdout: stdout.finish(), stderr: stderr.finish(), pictures })
    }

    async fn until_the_end(
        &mut self,
        code: &str,
        wall_ms: u64,
        stdout: &mut Capture,
        stderr: &mut Capture,
        shown: &mut Vec<Picture>,
    ) -> End {
        let wall_ms = wall_ms.min(self.limits.wall_ms);
        let memory_bytes = self.limits.memory_bytes;
        let roots = self.roots;
        let flood = self.limits.output_bytes.saturating_mul(FLOOD_FACTOR);
        let (mut from_code, mut to_code) = self.control.split();
        let handed_over = async {
            let length = u32::try_from(code.len()).unwrap_or(u32::MAX).to_be_bytes();
            // Where that fails the cell died before it had read it all, and its status says how.
            if to_code.write_all(&[&length, code.as_bytes()].concat()).await.is_ok() {
                std::future::pending().await
            }
        };
        tokio::select! {
            biased;
            ended = self.code.ended() => End::Process(ended),
            word = from_code.read_u8() => match word {
                Ok(word) => End::Word { raised: word != 0 },
                // The code closed its side. How the process ends is the only word left.
                Err(_) => tokio::select! {
                    ended = self.code.ended() => End::Process(ended),
                    limit = deadline(wall_ms) => End::Stopped(limit),
                },
            },
            limit = deadline(wall_ms) => End::Stopped(limit),
            () = memory::exceeds(roots, memory_bytes) => {
                End::Stopped(Limit::MemoryBytes(memory_bytes))
            }
            () = pump(&self.stdout, stdout, flood) => {
                End::Stopped(Limit::OutputBytes(flood))
            }
            () = pump(&self.stderr, stderr, u64::MAX) => unreachable!("stderr never stops a run"),
            () = pump_display(&self.display, &mut self.frames, shown) => {
                unreachable!("pictures never stop a run")
            }
            () = handed_over => End::Process(self.code.ended().await),
        }
    }

    fn drain_display(&mut self, shown: &mut Vec<Picture>) {
        let mut buffer = [0; 64 << 10];
        let mut total = 0;
        while total < PIPE_BYTES {
            match self.display.try_read(&mut buffer) {
                Ok(read @ 1..) => {
                    total += read;
                    shown.extend(self.frames.add(&buffer[..read]));
                }
                _ => return,
            }
        }
    }

    /// What was shown and what was written, in the order of their making, each once.
    fn pictures(&mut self, shown: Vec<Picture>) -> (Vec<Picture>, u32) {
        let most = self.limits.images as usize;
        let written = self.workspace.new_pictures(most, self.limits.image_bytes);
        let mut left_out = written.left_out.saturating_add(self.frames.left_out());
        let mut pictures = written.found;
        pictures.extend(shown);
        pictures.sort_by_key(|picture| picture.written);
        let mut seen: Vec<Vec<u8>> = Vec::new();
        pictures.retain(|picture| {
            let new = !seen.contains(&picture.data);
            if new {
                seen.push(picture.data.clone());
            }
            new
        });
        let too_many = u32::try_from(pictures.len().saturating_sub(most)).unwrap_or(u32::MAX);
        left_out = left_out.saturating_add(too_many);
        pictures.truncate(most);
        (pictures, left_out)
    }
}

/// Listens to a cell that is being made. Its parent announces it and it announces itself, and
/// either may be first.
async fn come_up(
    status: &Channel,
) -> anyhow::Result<(Process, Process, OwnedFd, Vec<LayerReport>)> {
    let (mut born, mut ready) = (None, None);
    loop {
        let (report, mut files) = next_report(status).await?;
        match (report, files.next(), files.next()) {
            // From here on they are killed if anything goes wrong.
            (Report::Born, Some(init), Some(code)) => {
                born = Some((Process::new(init)?, Process::new(code)?));
            }
            (Report::Ready { layers }, Some(workspace), None) => ready = Some((workspace, layers)),
            _ => bail!("a cell spoke out of turn"),
        }
        match (born, ready) {
            (Some((init, code)), Some((workspace, layers))) => {
                return Ok((init, code, workspace, layers));
            }
            unfinished => (born, ready) = unfinished,
        }
    }
}

async fn next_report(
    status: &Channel,
) -> anyhow::Result<(Report, impl Iterator<Item = OwnedFd> + use<>)> {
    let Some((text, files)) = status.receive().await.context("listening to a cell")? else {
        bail!("a cell died while it was being made");
    };
    match serde_json::from_slice(&text).context("reading a cell's report")? {
        Report::Broken { why } => bail!("a cell could not be made: {why}"),
        report => Ok((report, files.into_iter())),
    }
}

async fn deadline(wall_ms: u64) -> Limit {
    tokio::time::sleep(Duration::from_millis(wall_ms)).await;
    Limit::WallMs(wall_ms)
}

/// Reads until more than `flood` bytes have come. An end of file is not the end of a run: the code
/// may have closed its output and go on.
async fn pump(from: &pipe::Receiver, to: &mut Capture, flood: u64) {
    let mut buffer = vec![0; 64 << 10];
    while to.total() <= flood {
        if from.readable().await.is_err() {
            return std::future::pending().await;
        }
        match from.try_read(&mut buffer) {
            Ok(0) => return std::future::pending().await,
            Ok(read) => to.add(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return std::future::pending().await,
        }
        consume_budget().await; // or a flood would not let even the deadline have its turn
    }
}

async fn pump_display(from: &UnixStream, frames: &mut Frames, shown: &mut Vec<Picture>) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        if from.readable().await.is_err() {
            return std::future::pending().await;
        }
        match from.try_read(&mut buffer) {
            Ok(0) => return std::future::pending().await,
            Ok(read) => shown.extend(frames.add(&buffer[..read])),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return std::future::pending().await,
        }
        yield_now().await; // as above, and more often: to look at many small ones takes time
    }
}

/// What still lies in the pipe. Bounded, since a leftover of the code may go on writing.
fn drain(from: &pipe::Receiver, to: &mut Capture) {
    let mut buffer = [0; 64 << 10];
    let mut total = 0;
    while total < PIPE_BYTES {
        match from.try_read(&mut buffer) {
            Ok(read @ 1..) => {
                total += read;
                to.add(&buffer[..read]);
            }
            _ => return,
        }
    }
}

fn verdict(end: End) -> Outcome {
    match end {
        End::Word { raised: false } | End::Process(Ended::Exited(0)) => Outcome::Ok,
        End::Word { raised: true } => Outcome::Raised,
        End::Process(Ended::Exited(code)) => Outcome::Exited { code },
        End::Process(Ended::Signalled(signal)) => Outcome::Signalled { signal },
        End::Stopped(limit) => Outcome::Stopped { limit },
    }
}

fn stream_pair() -> io::Result<(UnixStream, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC;
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    let ours = std::os::unix::net::UnixStream::from(ours);
    ours.set_nonblocking(true)?;
    Ok((UnixStream::from_std(ours)?, theirs))
}
