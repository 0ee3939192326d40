//! One zygote: a child process that orders go to.

use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::fs::{MemfdFlags, Mode, OFlags};
use rustix::io::FdFlags;
use rustix::net::SendFlags;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::process::{Child, Command};

use crate::channel::{self, Channel};
use crate::lodging::{Lodging, Lodgings, Tenants};
use crate::recipe::{Recipe, Start};

/// How long the imports may take. TensorFlow from a cold disk is the slowest known.
const START_WITHIN: Duration = Duration::from_secs(120);

/// How long a fork may take.
const FORK_WITHIN: Duration = Duration::from_secs(5);

/// Stack of each thread of a cell but the first.
const THREAD_STACK_BYTES: u64 = 4 << 20;

/// A zygote that is ready to be forked. Dropping it ends it; cells that it made live on.
#[derive(Debug)]
pub struct Zygote {
    orders: Channel,
    lodgings: Lodgings,
    _process: Child,
    /// Its scripts, and what was mounted on while the root was built.
    _folders: [tempfile::TempDir; 2],
}

/// What a zygote says when it has imported everything. Anything else is why it could not.
const READY: &[u8] = b"ready";

impl Zygote {
    /// Starts one and waits until it has imported everything.
    pub async fn start(recipe: &Recipe) -> anyhow::Result<Zygote> {
        let began = Instant::now();
        let (scripts, work) = (recipe.scripts()?, recipe.folder("work-")?);
        let start = recipe.start(scripts.path(), work.path());
        let (orders, theirs) = channel::pair().context("making the zygote's socket")?;
        let cell = recipe.cell(scripts.path());
        let spec = inheritable(memory_file(&serde_json::to_vec(&cell)?)?)?;
        let process = Command::new(std::env::current_exe().context("finding this program")?)
            .arg("zygote")
            .args(["--start", &serde_json::to_string(&start)?])
            .args(["--spec", &spec.as_raw_fd().to_string()])
            .args(recipe.warm.then_some("--warm"))
            .arg("--")
            .args(recipe.kit.modules())
            .stdin(theirs)
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("starting a zygote")?;
        drop(spec);

        let word = tokio::time::timeout(START_WITHIN, orders.receive())
            .await
            .context("a zygote did not come up in time")?
            .context("listening to a zygote")?;
        match word {
            Some((word, _)) if word == READY => {}
            Some((why, _)) => bail!("{}", String::from_utf8_lossy(&why)),
            None => bail!("a zygote ended before it was ready; its own words are above"),
        }
        tracing::debug!(
            kit = %recipe.kit,
            duration_ms = began.elapsed().as_millis(),
            "zygote ready"
        );
        let tenants = match (recipe.user, &recipe.users) {
            (Some(user), _) => Tenants::One(user),
            (None, Some(users)) => Tenants::Each(Arc::clone(users)),
            (None, None) => Tenants::Ourselves,
        };
        let folder = (!recipe.own_root).then(|| work.path().to_owned());
        let lodgings = Lodgings { tenants, folder, cgroups: recipe.cgroups.clone() };
        Ok(Zygote { orders, lodgings, _process: process, _folders: [scripts, work] })
    }

    /// Has a cell forked. Its maker has announced it when this returns, or never will; whether it comes
    /// up is said on its own status channel.
    pub async fn fork(&self, channels: [OwnedFd; 5]) -> io::Result<Lodging> {
        let lodging = self.lodgings.next()?;
        let files: Vec<_> = channels.iter().map(AsFd::as_fd).chain(lodging.folder()).collect();
        let user = lodging.user().map(|user| user.to_string()).unwrap_or_default();
        self.orders.send(format!("fork {user}").as_bytes(), &files).await?;
        match tokio::time::timeout(FORK_WITHIN, self.orders.receive()).await {
            Ok(Ok(Some(_))) => Ok(lodging),
            Ok(Ok(None)) => Err(io::Error::other("the zygote is gone")),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

/// Gives up what can be given up, and becomes a zygote that takes orders from standard input. What
/// goes wrong is said there.
pub fn become_one(start: &str, spec: i32, warm: bool, modules: &[String]) -> anyhow::Error {
    let error = match prepare(start) {
        Ok((start, proc)) => become_python(&start, &proc, spec, warm, modules),
        Err(error) => error,
    };
    // A warden that is gone need not know.
    rustix::net::send(std::io::stdin(), format!("{error:#}").as_bytes(), SendFlags::NOSIGNAL).ok();
    error
}

fn prepare(start: &str) -> anyhow::Result<(Start, OwnedFd)> {
    let start: Start = serde_json::from_str(start).context("reading --start")?;
    // Stays open across the exec: it is the only way in which a cell can write its user map.
    let proc = rustix::fs::open("/proc", OFlags::PATH | OFlags::DIRECTORY, Mode::empty())
        .context("opening /proc")?;
    match &start.root {
        Some(root) => jail::enter_root(root, proc.as_fd())?,
        None => jail::stay_on_root(proc.as_fd())?,
    }
    Ok((start, proc))
}

fn become_python(
    start: &Start,
    proc: &OwnedFd,
    spec: i32,
    warm: bool,
    modules: &[String],
) -> anyhow::Error {
    if let Err(error) = limit_thread_stacks() {
        return error;
    }
    let error = std::process::Command::new(&start.python)
        .args(["-u", "-s", "-B"])
        .arg(start.scripts.join("zygote.py"))
        .arg(&start.jail)
        .args([spec, proc.as_raw_fd()].map(|number| number.to_string()))
        .arg(if warm { "1" } else { "0" })
        .args(modules)
        .env_clear()
        .envs(start.environment.iter().cloned())
        .exec();
    anyhow::Error::new(error).context(format!("starting {}", start.python.display()))
}

/// The C library gives each thread as much stack as the first one may have when a program starts. A cell's
/// first thread gets more later; its other threads together have to fit into the cell's memory.
fn limit_thread_stacks() -> anyhow::Result<()> {
    let maximum = getrlimit(Resource::Stack).maximum;
    let current = Some(maximum.map_or(THREAD_STACK_BYTES, |most| most.min(THREAD_STACK_BYTES)));
    setrlimit(Resource::Stack, Rlimit { current, maximum }).context("limiting stacks of threads")
}

fn memory_file(content: &[u8]) -> anyhow::Result<OwnedFd> {
    let file = rustix::fs::memfd_create("spec", MemfdFlags::CLOEXEC).context("making a file")?;
    let mut file = std::fs::File::from(file);
    file.write_all(content).context("writing a file")?;
    std::io::Seek::rewind(&mut file).context("rewinding a file")?;
    Ok(file.into())
}

fn inheritable(file: OwnedFd) -> anyhow::Result<OwnedFd> {
    rustix::io::fcntl_setfd(&file, FdFlags::empty()).context("handing a file on")?;
    Ok(file)
}
