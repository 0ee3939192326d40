//! Zygotes: a child process that has imported libraries and forks cells on request, and its
//! specification.

pub mod image;
pub mod kit;
pub mod python_install;
pub mod spec;

use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use jail::Relocated;
use parking_lot::Mutex;
use rustix::fs::{MemfdFlags, Mode, OFlags};
use rustix::io::FdFlags;
use rustix::net::SendFlags;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::process::{Child, Command};

use self::spec::{Start, ZygoteSpec};
use crate::channel::{self, Channel};
use crate::resources::{CellResources, ResourceAllocator, UidPolicy};

/// Maximum time for the imports. TensorFlow from a cold disk is the slowest known case.
const START_WITHIN: Duration = Duration::from_secs(120);

/// Maximum time for a fork.
const FORK_WITHIN: Duration = Duration::from_secs(5);

/// Stack size of each thread of a cell except the first.
const THREAD_STACK_BYTES: u64 = 4 << 20;

/// A zygote that is ready to be forked. Dropping it ends it, but not its cells.
#[derive(Debug)]
pub struct Zygote {
    requests: Channel,
    /// A report that came while a cell was being forked.
    report: Mutex<Option<Relocated>>,
    allocator: ResourceAllocator,
    process: Child,
    /// Its scripts, and the mount point that the root was built on.
    _folders: [tempfile::TempDir; 2],
}

/// Message of a zygote that has imported everything. Any other message is an error.
const READY: &[u8] = b"ready";
/// Its answer to a request.
const FORKED: &[u8] = b"forked";

impl Zygote {
    /// Starts a zygote and waits until it has imported everything.
    pub async fn start(spec: &ZygoteSpec) -> anyhow::Result<Zygote> {
        let began = Instant::now();
        let (scripts, work) = (spec.scripts()?, spec.folder("work-")?);
        let start = spec.start(scripts.path(), work.path());
        let (requests, theirs) = channel::pair().context("could not create the zygote's socket")?;
        let cell = spec.cell(scripts.path());
        let file = inheritable(memory_file(&serde_json::to_vec(&cell)?)?)?;
        let process = Command::new(std::env::current_exe().context("could not find this program")?)
            .arg("zygote")
            .args(["--start", &serde_json::to_string(&start)?])
            .args(["--spec", &file.as_raw_fd().to_string()])
            .args(spec.warm.then_some("--warm"))
            .args(image::why_not_moved(spec.kit).is_none().then_some("--move-libraries"))
            .arg("--")
            .args(spec.kit.modules())
            .stdin(theirs)
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("could not start the process")?;
        drop(file);

        let answer = tokio::time::timeout(START_WITHIN, requests.receive())
            .await
            .context("a zygote was not ready in time")?
            .context("could not receive a zygote's message")?;
        match answer {
            Some((message, _)) if message == READY => {}
            Some((why, _)) => bail!("{}", String::from_utf8_lossy(&why)),
            None => bail!("a zygote ended before it was ready; its error is on standard error"),
        }
        tracing::debug!(
            kit = %spec.kit,
            duration_ms = began.elapsed().as_millis(),
            "zygote ready"
        );
        let uid_policy = match (spec.user, &spec.users) {
            (Some(user), _) => UidPolicy::Single(user),
            (None, Some(users)) => UidPolicy::PerCell(Arc::clone(users)),
            (None, None) => UidPolicy::Warden,
        };
        let folder = (!spec.own_root).then(|| work.path().to_owned());
        let networks = spec.own_root.then(Arc::default);
        let cgroups = spec.cgroups.clone();
        let allocator = ResourceAllocator { uid_policy, folder, networks, cgroups };
        let report = Mutex::default();
        Ok(Zygote { requests, report, allocator, process, _folders: [scripts, work] })
    }

    /// The id of its process, while that runs.
    pub fn process(&self) -> Option<u32> {
        self.process.id()
    }

    /// Forks a cell. When this returns, the report of the fork has been sent, or never will be. The cell reports
    /// on its own status channel whether it becomes ready.
    pub async fn fork(&self, channels: [OwnedFd; 5]) -> io::Result<CellResources> {
        let resources = self.allocator.allocate()?;
        let files: Vec<_> = channels.iter().map(AsFd::as_fd).chain(resources.own_file()).collect();
        let user = resources.user().map(|user| user.to_string()).unwrap_or_default();
        self.requests.send(format!("fork {user}").as_bytes(), &files).await?;
        tokio::time::timeout(FORK_WITHIN, self.forked()).await??;
        Ok(resources)
    }

    async fn forked(&self) -> io::Result<()> {
        loop {
            match self.requests.receive().await? {
                Some((message, _)) if message == FORKED => return Ok(()),
                Some((message, _)) => *self.report.lock() = serde_json::from_slice(&message).ok(),
                None => return Err(io::Error::other("the zygote has ended")),
            }
        }
    }

    /// Waits for the report about the zygote's libraries, which comes at most once. Must not be called while
    /// a cell is being forked.
    pub async fn relocated(&self) -> Relocated {
        loop {
            if let Some(report) = self.report.lock().take() {
                return report;
            }
            match self.requests.receive().await {
                Ok(Some((message, _))) => {
                    *self.report.lock() = serde_json::from_slice(&message).ok();
                }
                // The next fork notices it.
                Ok(None) | Err(_) => std::future::pending().await,
            }
        }
    }
}

/// The command line of a zygote.
#[derive(Debug, clap::Args)]
pub struct ZygoteOptions {
    /// JSON of a `Start`.
    #[arg(long)]
    start: String,
    /// Descriptor of the file with the cells' specification.
    #[arg(long)]
    spec: i32,
    /// Learn which pages code writes to, and give each cell its own.
    #[arg(long)]
    warm: bool,
    /// Move libraries into large pages.
    #[arg(long)]
    move_libraries: bool,
    /// Modules to import.
    modules: Vec<String>,
}

/// Drops privileges, and becomes a zygote that takes requests from standard input, where it also reports
/// errors.
pub fn become_one(options: &ZygoteOptions) -> anyhow::Error {
    let error = match prepare(&options.start) {
        Ok((start, files)) => become_python(&start, &files, options),
        Err(error) => error,
    };
    // Fails only if the warden has ended.
    rustix::net::send(std::io::stdin(), format!("{error:#}").as_bytes(), SendFlags::NOSIGNAL).ok();
    error
}

/// Descriptors that stay open across the exec.
struct KeptFiles {
    proc: OwnedFd,
    network_owner: Option<OwnedFd>,
}

fn prepare(start: &str) -> anyhow::Result<(Start, KeptFiles)> {
    let start: Start = serde_json::from_str(start).context("invalid --start")?;
    // Stays open across the exec: without it a cell cannot write its user map.
    let proc = rustix::fs::open("/proc", OFlags::PATH | OFlags::DIRECTORY, Mode::empty())
        .context("could not open /proc")?;
    let network_owner = match &start.root {
        Some(root) => jail::enter_root(root, proc.as_fd())?,
        None => {
            jail::stay_on_root(proc.as_fd())?;
            None
        }
    };
    Ok((start, KeptFiles { proc, network_owner }))
}

fn become_python(start: &Start, files: &KeptFiles, options: &ZygoteOptions) -> anyhow::Error {
    if let Err(error) = limit_thread_stacks() {
        return error;
    }
    let network_owner = files.network_owner.as_ref().map_or(-1, AsRawFd::as_raw_fd);
    let error = std::process::Command::new(&start.python)
        .args(["-u", "-s", "-B"])
        .arg(start.scripts.join("zygote.py"))
        .arg(&start.jail)
        .args([options.spec, files.proc.as_raw_fd(), network_owner].map(|file| file.to_string()))
        .args([options.warm, options.move_libraries].map(|on| if on { "1" } else { "0" }))
        .args(&options.modules)
        .env_clear()
        .envs(start.environment.iter().cloned())
        .exec();
    anyhow::Error::new(error).context(format!("could not start {}", start.python.display()))
}

/// The C library gives each thread a stack as large as the limit at the start of the program. The limit of a
/// cell's first thread is raised later; the stacks of all other threads have to fit into the cell's memory.
fn limit_thread_stacks() -> anyhow::Result<()> {
    let maximum = getrlimit(Resource::Stack).maximum;
    let current = Some(maximum.map_or(THREAD_STACK_BYTES, |most| most.min(THREAD_STACK_BYTES)));
    setrlimit(Resource::Stack, Rlimit { current, maximum })
        .context("could not limit stacks of threads")
}

fn memory_file(content: &[u8]) -> anyhow::Result<OwnedFd> {
    let file = rustix::fs::memfd_create("spec", MemfdFlags::CLOEXEC)
        .context("could not create a memory file")?;
    let mut file = std::fs::File::from(file);
    file.write_all(content).context("could not write a memory file")?;
    std::io::Seek::rewind(&mut file).context("could not rewind a memory file")?;
    Ok(file.into())
}

fn inheritable(file: OwnedFd) -> anyhow::Result<OwnedFd> {
    rustix::io::fcntl_setfd(&file, FdFlags::empty())
        .context("could not make a file inheritable")?;
    Ok(file)
}
