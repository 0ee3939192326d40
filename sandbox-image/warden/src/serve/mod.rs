//! `belljar-warden serve`: the listener, its settings, and the connections of the server.

mod connection;
mod ulimits;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use protocol::{CellLimits, Description, Tier};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};

use self::connection::Shared;
use crate::pool::{Pool, Size, State};
use crate::resources::uid_claim::UidClaim;
use crate::resources::uid_pool::{Rights, UidPool};
use crate::zygote::kit::Kit;
use crate::zygote::python_install;
use crate::zygote::spec::{DEVFD, DICE, INIT, ZygoteSpec};

/// Options of the warden.
#[derive(Debug, Clone, clap::Args)]
pub struct Settings {
    /// Path of the socket.
    #[arg(long)]
    socket: PathBuf,
    /// Folder of Python's libraries, as `install-libraries` prints it.
    #[arg(long)]
    libraries: PathBuf,
    /// Folder for temporary folders; default: beside the socket.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// `libjail.so`, with `belljar-init`, `libdevfd.so` and `libdice.so` beside it; default: beside this program.
    #[arg(long)]
    jail: Option<PathBuf>,
    /// Exit when the process that started this one does.
    #[arg(long)]
    die_with_parent: bool,
    /// Kits: libraries that zygotes import in advance, out of `bare`, `science` and `tensorflow`. Code runs
    /// with the smallest kit that has its imports; it imports other libraries itself.
    #[arg(long, value_delimiter = ',', default_values_t = Kit::SERVING)]
    kits: Vec<Kit>,
    /// Minimum number of standbys (cells that wait for code) of each kit.
    #[arg(long, default_value_t = 4)]
    standbys: usize,
    /// Maximum memory of standbys beyond that minimum, in MiB. After a request had to wait, more standbys are
    /// kept for a while.
    #[arg(long, default_value_t = 1024)]
    standby_mib: u64,
    /// Standbys do not copy memory in advance: they take a tenth of the memory, and the first plot takes
    /// several times as long.
    #[arg(long)]
    cool_standbys: bool,
    /// Maximum number of cells in use at once.
    #[arg(long, default_value_t = 64)]
    places: usize,
    /// Maximum wait of a request for a cell, in milliseconds.
    #[arg(long, default_value_t = 30_000)]
    queue_ms: u64,
    /// Wall-clock time of one run, in milliseconds.
    #[arg(long, default_value_t = 30_000)]
    wall_ms: u64,
    /// CPU time of one run, of all its processes together, in milliseconds; default: twice the isolation-clock
    /// time.
    #[arg(long)]
    cpu_ms: Option<u64>,
    /// Memory of one cell, processes and files together, in MiB.
    #[arg(long, default_value_t = 2048)]
    memory_mib: u64,
    /// Processes of one cell.
    #[arg(long, default_value_t = 64)]
    processes: u64,
    /// Threads of all processes of one cell together. Each process has at least one.
    #[arg(long, default_value_t = 512)]
    threads: u64,
    /// Open files of one process of a cell.
    #[arg(long, default_value_t = 256)]
    open_files: u64,
    /// Memory mappings of all processes of one cell together, if cells have no control groups: each one makes
    /// measuring the cell's memory slower.
    #[arg(long, default_value_t = 400_000)]
    mappings: u64,
    /// File locks of one cell, of whole files or of ranges.
    #[arg(long, default_value_t = 10_000)]
    locks: u64,
    /// Registrations with epoll of all processes of one cell together. A descriptor in a socket's queue counts
    /// as 160. Counted if cells share a user outside, or have no control groups.
    #[arg(long, default_value_t = 20_000)]
    watches: u64,
    /// Work directory, `/tmp` and `/dev/shm` of one cell together, in MiB.
    #[arg(long, default_value_t = 512)]
    scratch_mib: u64,
    /// Files and folders in them.
    #[arg(long, default_value_t = 10_000)]
    scratch_files: u64,
    /// Kept output of one run, of stdout and stderr each, in bytes.
    #[arg(long, default_value_t = 1 << 20)]
    output_bytes: u64,
    /// Pictures that one run may return.
    #[arg(long, default_value_t = 20)]
    images: u32,
    /// Bytes of one picture.
    #[arg(long, default_value_t = 10 << 20)]
    image_bytes: u64,
    /// Bytes of those pictures together.
    #[arg(long, default_value_t = 32 << 20)]
    all_images_bytes: u64,
    /// Files that one run may return.
    #[arg(long, default_value_t = 100)]
    files: u32,
    /// Bytes of those files together.
    #[arg(long, default_value_t = 32 << 20)]
    files_bytes: u64,
    /// Bytes of the code of one run.
    #[arg(long, default_value_t = 1 << 20)]
    code_bytes: u64,
    /// First of 1024 user ids, of which each cell gets one outside if the warden is root. No other program
    /// should use them [default: 1900000000 or more, or 52000 if only small numbers exist].
    #[arg(long)]
    first_user: Option<u32>,
    /// Weakest isolation tier to start with: `namespaced`, `landlocked` or `seccomp-only`.
    #[arg(long, default_value = "landlocked")]
    min_isolation: Tier,
    /// Number of forks after which a zygote is replaced.
    #[arg(long, default_value_t = 10_000)]
    zygote_forks: u32,
    /// Age at which a zygote is replaced, in seconds.
    #[arg(long, default_value_t = 6 * 3600)]
    zygote_seconds: u64,
    /// Make runs reproducible: the same random numbers and clock in every cell.
    #[arg(long)]
    seed: Option<u64>,
}

pub fn serve(settings: Settings) -> anyhow::Result<()> {
    if settings.die_with_parent {
        rustix::process::set_parent_process_death_signal(Some(Signal::TERM))
            .context("could not set the signal at the end of the parent")?;
    }
    let standbys = settings.standbys.max(1).saturating_mul(settings.kits.len());
    ulimits::check(&limits(&settings), standbys)?;
    // The process that forks a cell's init exits at once, so that init becomes a child of the warden.
    let me = rustix::process::getpid();
    rustix::process::set_child_subreaper(Some(me)).context("could not become a subreaper")?;
    // The maximum: the warden holds descriptors of all cells. The jail sets a cell's own limit later.
    let files = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: files.maximum, maximum: files.maximum })
        .context("could not raise the limit on open files")?;
    // Two, so that reading a flood of output does not delay other cells.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("could not start the runtime")?;
    runtime.block_on(async { tokio::spawn(listen(settings)).await.context("the listener failed")? })
}

async fn listen(settings: Settings) -> anyhow::Result<()> {
    let listener = bind(&settings.socket)?;
    let install = python_install::inspect(&settings.libraries)?;
    let limits = limits(&settings);
    let users = users(&settings);
    let _claim = users.as_deref().and_then(claim);
    let spec = ZygoteSpec {
        python: install.python,
        jail: jail_library(settings.jail.clone(), settings.seed.is_some())?,
        folder: settings.folder.clone().unwrap_or_else(|| beside(&settings.socket)),
        kit: Kit::Science,
        warm: !settings.cool_standbys,
        limits,
        own_root: true,
        users,
        cgroups: None,
        user: None,
        seed: settings.seed,
    };
    let size = Size {
        standbys: settings.standbys.max(1),
        standby_bytes: settings.standby_mib << 20,
        places: settings.places.max(1),
        queue: Duration::from_millis(settings.queue_ms),
        zygote_forks: settings.zygote_forks.max(1),
        zygote_age: Duration::from_secs(settings.zygote_seconds),
    };
    let shared = Arc::new(Shared {
        pool: Pool::start(spec, &settings.kits, settings.min_isolation, size, install.standard),
        limits,
        describe,
        python: install.full_version,
    });
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let broken = async {
        match shared.pool.first().await {
            State::Failing { why } => why,
            _ => std::future::pending().await,
        }
    };
    tokio::pin!(broken);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(tokio::spawn(connection::serve(stream, Arc::clone(&shared)))),
                Err(error) => {
                    tracing::error!(%error, "could not accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            // If the first cell cannot be made, no cell can be made on this host.
            why = &mut broken => bail!("{why}"),
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    drop(std::fs::remove_file(&settings.socket));
    Ok(())
}

/// Only the warden's user and group can connect.
fn bind(socket: &Path) -> anyhow::Result<UnixListener> {
    if std::os::unix::net::UnixStream::connect(socket).is_ok() {
        bail!("another warden already listens at {}", socket.display());
    }
    drop(std::fs::remove_file(socket)); // left by a warden that has ended
    let listener = UnixListener::bind(socket)
        .with_context(|| format!("could not listen at {}", socket.display()))?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o660))
        .context("could not set permissions of the socket")?;
    Ok(listener)
}

fn beside(socket: &Path) -> PathBuf {
    socket.parent().map_or_else(|| ".".into(), Path::to_owned)
}

fn jail_library(given: Option<PathBuf>, with_dice: bool) -> anyhow::Result<PathBuf> {
    let path = match given {
        Some(path) => path,
        None => std::env::current_exe()
            .context("could not find this program")?
            .with_file_name("libjail.so"),
    };
    let dice = with_dice.then(|| path.with_file_name(DICE));
    for file in
        [path.clone(), path.with_file_name(INIT), path.with_file_name(DEVFD)].iter().chain(&dice)
    {
        if !file.is_file() {
            bail!("{} is missing: run `cargo build`", file.display());
        }
    }
    Ok(path)
}

fn limits(settings: &Settings) -> CellLimits {
    CellLimits {
        wall_ms: settings.wall_ms,
        cpu_ms: settings.cpu_ms.unwrap_or(settings.wall_ms.saturating_mul(2)),
        memory_bytes: settings.memory_mib << 20,
        processes: settings.processes,
        threads: settings.threads,
        open_files: settings.open_files,
        mappings: settings.mappings,
        locks: settings.locks,
        watches: settings.watches,
        scratch_bytes: settings.scratch_mib << 20,
        scratch_files: settings.scratch_files,
        output_bytes: settings.output_bytes,
        images: settings.images,
        image_bytes: settings.image_bytes,
        all_images_bytes: settings.all_images_bytes,
        files: settings.files,
        files_bytes: settings.files_bytes,
        code_bytes: settings.code_bytes,
    }
}

/// UidPool for cells, if this process may change users.
fn users(settings: &Settings) -> Option<Arc<UidPool>> {
    let root = rustix::process::geteuid().is_root();
    let may = root && Rights::of_this_process().change_users;
    may.then(|| UidPool::from(settings.first_user)).flatten()
}

/// Claims the users, and removes shared memory that cells of killed wardens have left.
fn claim(users: &UidPool) -> Option<UidClaim> {
    let folder = Path::new(jail::shared::SHARED_MEMORY);
    let claim = UidClaim::of(folder, users.first())?;
    if let Err(error) = claim.sweep(folder) {
        tracing::warn!(%error, "could not list shared memory");
    }
    Some(claim)
}

fn describe(shared: &Shared) -> Description {
    let (waiting_for, isolation) = match shared.pool.state() {
        State::Starting => ("libraries are being imported".to_owned(), None),
        State::Failing { why } => (why, None),
        State::Ready { isolation } => (String::new(), Some(isolation)),
    };
    Description {
        ready: isolation.is_some(),
        waiting_for,
        tier: isolation.as_ref().map_or(Tier::None, |isolation| isolation.tier),
        layers: isolation.map(|isolation| isolation.layers.clone()).unwrap_or_default(),
        limits: shared.limits,
        python: shared.python.clone(),
    }
}
