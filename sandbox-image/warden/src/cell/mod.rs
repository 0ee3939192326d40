//! One cell, from its fork to its end.
//!
//! ```text
//! pending ──jailed──▶ standby ──run──▶ running ──run ended──▶ frozen ──next run──▶ running
//! ```
//!
//! A cell whose run did not end by itself is killed.

mod capture;
mod freezer;
mod images;
pub mod live;
mod pump;
mod runner_status;
pub mod workspace;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use jail::{Entered, Report};
use protocol::{CellLimits, Limit, ResourceUsage, RunOutcome, RunResult, TextStream};
use rustix::fs::Mode;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{Mutex, Notify};
use tokio::task::block_in_place;

use self::capture::Capture;
use self::images::PictureFrames;
use self::live::LiveSender;
use self::pump::TextSource;
use self::runner_status::RunnerStatus;
use self::workspace::{Workspace, WrittenPicture};
use crate::channel::{self, Channel};
use crate::meter::disk::CellDisk;
use crate::meter::{self, Meter, Used};
use crate::process::tree::ProcessTree;
use crate::process::{Process, ProcessEnd};
use crate::resources::CellResources;
use crate::zygote::Zygote;

/// Maximum time from the fork until the cell is jailed.
const JAILED_WITHIN: Duration = Duration::from_secs(10);
/// Maximum wait for the report of a fork. If the process that forks is killed, no report comes.
const BORN_WITHIN: Duration = Duration::from_secs(2);
/// A run is stopped when it has written this many times the output that is kept.
const FLOOD_FACTOR: u64 = 10;

/// How long a cell that is kept survives its time limit, for the code to end after its interruption.
const INTERRUPTED_WITHIN: Duration = Duration::from_secs(2);

/// A jailed process tree that waits for code or has run code.
#[derive(Debug)]
pub struct Cell {
    /// First process of the cell. Its death kills all others.
    init: Process,
    /// Runs the code.
    code: Process,
    /// Init's control socket. Closing it makes init exit.
    init_control: Channel,
    leftovers: Leftovers,
    /// Shared with the sample that is being taken.
    meter: Arc<Mutex<Meter>>,
    control: UnixStream,
    stdout: OwnedFd,
    stderr: OwnedFd,
    display: OwnedFd,
    frames: PictureFrames,
    pub workspace: Workspace,
    pub entered: Entered,
    limits: CellLimits,
    /// Dropped last: it kills what is left of the fields above.
    pub resources: CellResources,
}

/// A cell that has been forked and is not jailed yet.
#[derive(Debug)]
pub struct PendingCell {
    status: Channel,
    control: UnixStream,
    stdout: OwnedFd,
    stderr: OwnedFd,
    display: OwnedFd,
    limits: CellLimits,
    /// Dropped last, as in [`Cell`].
    resources: CellResources,
}

/// State of the processes that earlier runs have left in the cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leftovers {
    /// No run has begun yet.
    None,
    Running,
    Stopped,
}

/// One piece of code, and how to run it.
#[derive(Debug)]
pub struct RunOrder<'r> {
    pub code: &'r str,
    /// Time limit, if it is less than the cell's.
    pub wall_ms: u64,
    /// Whether the cell is kept: code that exceeds the time limit is interrupted before it is killed.
    pub keep: bool,
    pub live: LiveSender,
    /// Each notification raises `KeyboardInterrupt` in the code.
    pub interrupts: Arc<Notify>,
}

impl<'r> RunOrder<'r> {
    /// A run of a cell that is not kept.
    pub fn new(code: &'r str, wall_ms: u64) -> RunOrder<'r> {
        RunOrder {
            code,
            wall_ms,
            keep: false,
            live: LiveSender::default(),
            interrupts: Arc::default(),
        }
    }
}

/// Result of a run.
#[derive(Debug)]
pub struct Ran {
    pub finished: RunResult,
    pub stdout: (Vec<u8>, u64),
    pub stderr: (Vec<u8>, u64),
    pub pictures: Vec<WrittenPicture>,
    /// The cell died before it had received the code, so nothing was executed.
    pub never_began: bool,
}

/// Output of the run so far.
struct OutputSoFar {
    stdout: Capture,
    stderr: Capture,
    shown: Vec<WrittenPicture>,
}

/// Why a run ended.
enum RunEnd {
    /// The code ended, and the runner reported how.
    Reported(RunnerStatus),
    /// The code ended after it had been interrupted because of this limit.
    Interrupted(Limit),
    /// The code's process exited without a report.
    Exited,
    /// The code's process exited before it had received all of the code.
    NeverBegan,
    Stopped(Limit),
}

impl PendingCell {
    /// Asks a zygote to fork a cell.
    pub async fn fork(zygote: &Zygote, limits: CellLimits) -> anyhow::Result<PendingCell> {
        let (stdout, stdout_end) = pipe()?;
        let (stderr, stderr_end) = pipe()?;
        let (control, control_end) = stream_pair()?;
        let (display, display_end) = stream_pair()?;
        let control = UnixStream::from_std(control.into())?;
        let (status, status_end) = channel::pair()?;
        let resources = zygote
            .fork([control_end, stdout_end, stderr_end, display_end, status_end])
            .await
            .context("could not ask the zygote for a cell")?;
        Ok(PendingCell { status, control, stdout, stderr, display, limits, resources })
    }

    /// Waits until the cell is jailed.
    pub async fn wait_until_jailed(self) -> anyhow::Result<Cell> {
        let PendingCell { status, control, stdout, stderr, display, limits, mut resources } = self;
        let NewCell { init, code, network, workspace, entered } = receive_reports(&status).await?;
        if let Some(handle) = init.handle() {
            resources.record_network(network, handle).context("could not keep a network")?;
        }
        let user = resources.folder().and_then(|_| resources.user());
        let tree = ProcessTree { init: init.id(), code: code.id(), user };
        for process in [init.id(), code.id()] {
            resources.add_process(process).context("could not apply limits to a cell")?;
        }
        let disk = match resources.folder() {
            Some(folder) => CellDisk::shared(folder),
            None => CellDisk::own(&workspace),
        };
        let disk = disk.context("could not open a cell's disk")?;
        let mut meter = Meter::new(tree, disk, resources.group(), limits);
        if resources.user().is_none() || resources.group().is_none() {
            meter.count_watches(resources.owner);
        }
        Ok(Cell {
            init,
            code,
            init_control: status,
            leftovers: Leftovers::None,
            meter: Arc::new(Mutex::new(meter)),
            control,
            stdout,
            stderr,
            display,
            frames: PictureFrames::new(
                limits.images as usize,
                usize::try_from(limits.image_bytes)?,
                usize::try_from(limits.all_images_bytes)?,
            ),
            workspace: Workspace::new(workspace),
            entered,
            limits,
            resources,
        })
    }
}

impl Cell {
    /// Asks a zygote to fork a cell, and waits until it is jailed.
    pub async fn make(zygote: &Zygote, limits: CellLimits) -> anyhow::Result<Cell> {
        PendingCell::fork(zygote, limits).await?.wait_until_jailed().await
    }

    /// Whether the cell can take code.
    pub fn is_alive(&self) -> bool {
        self.init.is_alive() && self.code.is_alive()
    }

    /// Runs one piece of code. Decides the outcome from the clock, the exit of the processes and the
    /// bytes in the pipes.
    pub async fn run(&mut self, order: RunOrder<'_>) -> io::Result<Ran> {
        if self.leftovers != Leftovers::None {
            self.workspace.remember(); // files written between two runs belong to neither
        }
        self.frames.begin();
        let kept = usize::try_from(self.limits.output_bytes).unwrap_or(usize::MAX);
        let mut written = OutputSoFar {
            stdout: Capture::new(kept),
            stderr: Capture::new(kept),
            shown: Vec::new(),
        };
        self.meter.lock().await.begin();
        if self.leftovers == Leftovers::Stopped {
            freezer::thaw(&self.init_control).await?;
        }
        let is_first = self.leftovers == Leftovers::None;
        self.leftovers = Leftovers::Running;

        let began = Instant::now();
        let end = self.until_the_end(&order, &mut written).await;
        let never_began = is_first && matches!(end, RunEnd::NeverBegan);
        let wall = began.elapsed();
        let used = self.last_look(wall).await;
        // The limit on processes can have been exceeded since the last sample.
        let end = match end {
            RunEnd::Reported(RunnerStatus::Ended)
                if self.meter.lock().await.has_too_many_processes() =>
            {
                RunEnd::Stopped(Limit::Processes(self.limits.processes))
            }
            end => end,
        };

        let cell_lost = !matches!(end, RunEnd::Reported(_) | RunEnd::Interrupted(_));
        let outcome = self.outcome(end).await;
        let OutputSoFar { mut stdout, mut stderr, mut shown } = written;
        pump::rest_of_text(self.text_of(TextStream::Stdout, &order), &mut stdout).await;
        pump::rest_of_text(self.text_of(TextStream::Stderr, &order), &mut stderr).await;
        let frames = &mut self.frames;
        pump::rest_of_pictures(&self.display, frames, &mut shown, &order.live).await;

        let (pictures, images_left_out) = self.pictures(shown);
        let microseconds = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let usage = ResourceUsage {
            wall_us: microseconds(wall),
            cpu_us: microseconds(used.cpu),
            peak_memory_bytes: used.peak_bytes,
            held_memory_bytes: match order.keep && !cell_lost {
                true => self.meter.lock().await.held_bytes(),
                false => 0,
            },
        };
        let finished = RunResult { outcome, usage, cell_lost, images_left_out, files_left_out: 0 };
        let (stdout, stderr) = (stdout.finish(), stderr.finish());
        Ok(Ran { finished, stdout, stderr, pictures, never_began })
    }

    /// Whether a run has begun, so that processes may have to be stopped.
    pub fn has_run(&self) -> bool {
        self.leftovers != Leftovers::None
    }

    /// Stops all processes that earlier runs have left, until the next run. After an error the cell cannot
    /// be kept.
    pub async fn freeze(&mut self) -> io::Result<()> {
        self.leftovers = Leftovers::Stopped;
        let tree = self.meter.lock().await.tree();
        freezer::freeze(&self.init_control, tree).await
    }

    fn text_of<'s>(&'s self, stream: TextStream, order: &'s RunOrder<'_>) -> TextSource<'s> {
        let from = match stream {
            TextStream::Stdout => &self.stdout,
            TextStream::Stderr => &self.stderr,
        };
        TextSource { from, stream, live: &order.live }
    }

    async fn until_the_end(&mut self, order: &RunOrder<'_>, written: &mut OutputSoFar) -> RunEnd {
        let (code, wall_ms) = (order.code, order.wall_ms.min(self.limits.wall_ms));
        let is_late = AtomicBool::new(false);
        let flood = self.limits.output_bytes.saturating_mul(FLOOD_FACTOR);
        let OutputSoFar { stdout, stderr, shown } = written;
        let (mut from_code, mut to_code) = self.control.split();
        let (is_handed_over, is_unread) = (AtomicBool::new(false), AtomicBool::new(false));
        let handed_over = async {
            let length = u32::try_from(code.len()).unwrap_or(u32::MAX).to_be_bytes();
            // An error means that the code has closed its end, or died before it had read everything.
            let written = to_code.write_all(&[&length, code.as_bytes()].concat()).await;
            is_handed_over.store(written.is_ok(), Ordering::Relaxed);
            std::future::pending().await
        };
        let report = async {
            match from_code.read_u8().await {
                Ok(byte) => RunnerStatus::from_byte(byte),
                // The code closed its end. Only the exit of the process can now show how the run ended.
                Err(error) => {
                    is_unread.store(is_reset(&error), Ordering::Relaxed);
                    std::future::pending().await
                }
            }
        };
        let deadline = async {
            tokio::time::sleep(Duration::from_millis(wall_ms)).await;
            if order.keep {
                is_late.store(true, Ordering::Relaxed);
                self.code.signal(Signal::INT);
                tokio::time::sleep(INTERRUPTED_WITHIN).await;
            }
            Limit::WallMs(wall_ms)
        };
        let interrupts = async {
            loop {
                order.interrupts.notified().await;
                self.code.signal(Signal::INT);
            }
        };
        let [text, errors] =
            [(TextStream::Stdout, &self.stdout), (TextStream::Stderr, &self.stderr)]
                .map(|(stream, from)| TextSource { from, stream, live: &order.live });
        let end = tokio::select! {
            biased;
            () = self.code.exited() => RunEnd::Exited,
            status = report => RunEnd::Reported(status),
            limit = deadline => RunEnd::Stopped(limit),
            limit = meter::exceeded(Arc::clone(&self.meter), self.limits) => RunEnd::Stopped(limit),
            () = pump::text(text, stdout, flood) => {
                RunEnd::Stopped(Limit::OutputBytes(flood))
            }
            () = pump::text(errors, stderr, u64::MAX) => {
                unreachable!("stderr never stops a run")
            }
            () = pump::pictures(&self.display, &mut self.frames, shown, &order.live) => {
                unreachable!("pictures never stop a run")
            }
            () = interrupts => unreachable!("an interruption does not end a run by itself"),
            () = handed_over => unreachable!("sending the code does not end a run"),
        };
        match end {
            RunEnd::Reported(_) if is_late.load(Ordering::Relaxed) => {
                RunEnd::Interrupted(Limit::WallMs(wall_ms))
            }
            // The kernel reports a reset once, to the first read or write.
            RunEnd::Exited
                if !is_handed_over.load(Ordering::Relaxed)
                    || is_unread.load(Ordering::Relaxed)
                    || self.has_unread_code() =>
            {
                RunEnd::NeverBegan
            }
            end => end,
        }
    }

    /// Whether the code's end was closed with unread bytes in it.
    fn has_unread_code(&self) -> bool {
        self.control.try_read(&mut [0]).is_err_and(|error| is_reset(&error))
    }

    /// Must be called while the processes still exist.
    async fn last_look(&self, wall: Duration) -> Used {
        let mut meter = self.meter.lock().await;
        match wall < meter::LOOK_EVERY {
            true => meter.last_look(), // after so short a run there are few processes
            false => block_in_place(|| meter.last_look()),
        }
    }

    /// Decides the outcome. The cell survives only if the code ended by itself.
    async fn outcome(&mut self, end: RunEnd) -> RunOutcome {
        if let RunEnd::Reported(status) = end {
            let meter = self.meter.lock().await;
            let too_many = meter.has_too_many_processes();
            return status.outcome(&self.limits, too_many, || meter.space().ok());
        }
        if let RunEnd::Interrupted(limit) = end {
            return RunOutcome::Stopped { limit };
        }
        self.init.kill();
        self.resources.kill();
        // In this order: init does not end before its last process has been reaped, and the warden is the
        // one that reaps it.
        let ended = self.code.ended().await;
        self.init.ended().await;
        let meter = self.meter.lock().await;
        let was_out_of_memory = meter.was_out_of_memory();
        let is_killed = ended == ProcessEnd::Signalled(Signal::KILL.as_raw());
        match (end, ended) {
            (RunEnd::Stopped(limit), _) => RunOutcome::Stopped { limit },
            (_, ProcessEnd::Signalled(_)) if was_out_of_memory => {
                RunOutcome::Stopped { limit: Limit::MemoryBytes(self.limits.memory_bytes) }
            }
            // The kernel sent SIGKILL: the warden had not sent one yet.
            (_, _) if is_killed && meter.was_memory_full() => {
                RunOutcome::Stopped { limit: Limit::SandboxMemory }
            }
            (_, ProcessEnd::Exited(0)) => RunOutcome::Ok,
            (_, ProcessEnd::Exited(code)) => RunOutcome::Exited { code },
            (_, ProcessEnd::Signalled(signal)) => RunOutcome::Signalled { signal },
        }
    }

    /// Displayed and written pictures in order of creation, without duplicates.
    fn pictures(&mut self, shown: Vec<WrittenPicture>) -> (Vec<WrittenPicture>, u32) {
        let CellLimits { images, image_bytes, all_images_bytes, .. } = self.limits;
        let most = images as usize;
        let written = self.workspace.new_pictures(most, image_bytes, all_images_bytes);
        let mut left_out = written.left_out.saturating_add(self.frames.left_out());
        let mut pictures = written.found;
        pictures.extend(shown);
        pictures.sort_by_key(|picture| picture.written);
        let (mut kept, mut room) = (Vec::<WrittenPicture>::new(), all_images_bytes);
        for picture in pictures {
            let bytes = picture.data.len() as u64;
            if kept.iter().any(|other| other.data == picture.data) {
                continue;
            }
            if kept.len() == most || bytes > room {
                left_out = left_out.saturating_add(1);
                continue;
            }
            room -= bytes;
            kept.push(picture);
        }
        (kept, left_out)
    }
}

/// What the two reports about a new cell contain.
struct NewCell {
    init: Process,
    code: Process,
    /// Its network namespace, if that is new.
    network: Option<OwnedFd>,
    workspace: OwnedFd,
    entered: Entered,
}

/// Receives the two reports about a new cell: its parent sends `Born`, the cell itself sends `Ready`,
/// in either order.
async fn receive_reports(status: &Channel) -> anyhow::Result<NewCell> {
    let (mut born, mut ready) = (None, None);
    loop {
        let patience = if born.is_none() { BORN_WITHIN } else { JAILED_WITHIN };
        let next = tokio::time::timeout(patience, next_report(status));
        let (report, mut files) = next.await.context("a cell was not ready in time")??;
        match (report, files.next(), files.next()) {
            // From here on they are killed on any error.
            (Report::Born, Some(init), Some(code)) => {
                born = Some((Process::new(init)?, Process::new(code)?, files.next()));
            }
            (Report::Ready { entered }, Some(workspace), None) => {
                ready = Some((workspace, entered))
            }
            _ => bail!("unexpected report from a cell"),
        }
        match (born, ready) {
            (Some((init, code, network)), Some((workspace, entered))) => {
                return Ok(NewCell { init, code, network, workspace, entered });
            }
            unfinished => (born, ready) = unfinished,
        }
    }
}

async fn next_report(
    status: &Channel,
) -> anyhow::Result<(Report, impl Iterator<Item = OwnedFd> + use<>)> {
    let Some((text, files)) =
        status.receive().await.context("could not receive a cell's report")?
    else {
        bail!("a cell died during its start");
    };
    match serde_json::from_slice(&text).context("invalid report from a cell")? {
        Report::Broken { why } => bail!("could not start a cell: {why}"),
        report => Ok((report, files.into_iter())),
    }
}

fn is_reset(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionReset
}

/// The warden's end, which does not block, and the cell's end.
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (ours, theirs) = pipe_with(PipeFlags::CLOEXEC)?;
    // The cell has another user, and reopens the pipe through `/dev/stdout`. Nothing else can reach it.
    rustix::fs::fchmod(&theirs, Mode::from_raw_mode(0o666))?;
    rustix::io::ioctl_fionbio(&ours, true)?;
    Ok((ours, theirs))
}

/// The same for both directions.
fn stream_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC;
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::io::ioctl_fionbio(&ours, true)?;
    Ok((ours, theirs))
}
