//! The listener, and the settings it is started with.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use jail::CellSpec;
use protocol::{CellLimits, Description, Layer, Tier};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::connection::{self, Shared};
use crate::home;
use crate::pool::{Pool, Size, State};
use crate::zygote::Recipe;

/// What a data scientist's script begins with. The rest of the libraries, TensorFlow above all, is
/// imported by the code that wants it.
const SCIENCE: &[&str] = &[
    "numpy",
    "pandas",
    "matplotlib.pyplot",
    "scipy.stats",
    "scipy.optimize",
    "scipy.ndimage",
    "sklearn.linear_model",
    "sklearn.ensemble",
    "sympy",
    "cv2",
    "seaborn",
    "PIL.Image",
    "PIL.ImageDraw",
    "PIL.ImageShow",
];

/// How a warden is started.
#[derive(Debug, Clone, clap::Args)]
pub struct Settings {
    /// Where to listen.
    #[arg(long)]
    socket: PathBuf,
    /// Folder of Python's libraries, as `install-libraries` prints it.
    #[arg(long)]
    libraries: PathBuf,
    /// `libjail.so`; default: beside this program.
    #[arg(long)]
    jail: Option<PathBuf>,
    /// End when the process that started this one does.
    #[arg(long)]
    die_with_parent: bool,
    /// Cells that wait for work.
    #[arg(long, default_value_t = 4)]
    standbys: usize,
    /// Cells that work at the same time.
    #[arg(long, default_value_t = 64)]
    places: usize,
    /// How long a request may wait for a place, in milliseconds.
    #[arg(long, default_value_t = 30_000)]
    queue_ms: u64,
    /// Wall-clock time of one run, in milliseconds.
    #[arg(long, default_value_t = 30_000)]
    wall_ms: u64,
    /// Memory of one process of a cell, on top of what the libraries take, in MiB.
    #[arg(long, default_value_t = 2048)]
    memory_mib: u64,
    /// Processes and threads of one cell.
    #[arg(long, default_value_t = 64)]
    processes: u64,
    /// Work directory, `/tmp` and `/dev/shm` of one cell together, in MiB.
    #[arg(long, default_value_t = 512)]
    scratch_mib: u64,
    /// Files and folders in them.
    #[arg(long, default_value_t = 10_000)]
    scratch_files: u64,
    /// Kept of each of stdout and stderr of one run, in bytes.
    #[arg(long, default_value_t = 1 << 20)]
    output_bytes: u64,
    /// Pictures that one run may give back.
    #[arg(long, default_value_t = 20)]
    images: u32,
    /// Bytes of one picture.
    #[arg(long, default_value_t = 10 << 20)]
    image_bytes: u64,
    /// Bytes of the code of one run.
    #[arg(long, default_value_t = 1 << 20)]
    code_bytes: u64,
    /// User and group that cells have outside, where the warden is root. Nobody else should have it.
    #[arg(long, default_value_t = 64_117)]
    outer_id: u32,
}

/// Open files of one process of a cell.
const OPEN_FILES: u64 = 1024;

pub fn serve(settings: Settings) -> anyhow::Result<()> {
    if settings.die_with_parent {
        rustix::process::set_parent_process_death_signal(Some(Signal::TERM))
            .context("binding this program to its parent")?;
    }
    // The processes that fork a cell's init end at once, so that it becomes our child to reap.
    let me = rustix::process::getpid();
    rustix::process::set_child_subreaper(Some(me)).context("becoming a reaper")?;
    // As many as there may be; a cell gets its own limit later, and has a reason for that.
    let files = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: files.maximum, maximum: files.maximum })
        .context("raising the limit on open files")?;
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("starting the runtime")?
        .block_on(listen(settings))
}

async fn listen(settings: Settings) -> anyhow::Result<()> {
    let listener = bind(&settings.socket)?;
    let home = home::at(&settings.libraries)?;
    let limits = limits(&settings);
    let recipe = Recipe {
        python: home.python,
        jail: jail_library(settings.jail.clone())?,
        folder: settings.socket.parent().map_or_else(|| ".".into(), Path::to_owned),
        modules: SCIENCE.iter().map(|&module| module.to_owned()).collect(),
        cell: CellSpec {
            memory_bytes: limits.memory_bytes,
            processes: limits.processes,
            open_files: limits.open_files,
            scratch_bytes: limits.scratch_bytes,
            scratch_files: limits.scratch_files,
        },
        outer_id: settings.outer_id,
    };
    let size = Size {
        standbys: settings.standbys.max(1),
        places: settings.places.max(1),
        queue: Duration::from_millis(settings.queue_ms),
    };
    let root = rustix::process::geteuid().is_root();
    let shared = Arc::new(Shared {
        pool: Pool::start(recipe, limits, size),
        limits,
        owner: root.then_some(settings.outer_id),
        describe,
        python: home.full_version,
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
                    tracing::error!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            // A first cell that cannot be made is a host on which none can.
            why = &mut broken => bail!("{why}"),
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    drop(std::fs::remove_file(&settings.socket));
    Ok(())
}

/// Only the user who started the warden, and its group, may speak to it.
fn bind(socket: &Path) -> anyhow::Result<UnixListener> {
    if std::os::unix::net::UnixStream::connect(socket).is_ok() {
        bail!("another warden listens at {}", socket.display());
    }
    drop(std::fs::remove_file(socket)); // one that nobody listens at any more
    let listener =
        UnixListener::bind(socket).with_context(|| format!("listening at {}", socket.display()))?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o660))
        .context("closing the socket to others")?;
    Ok(listener)
}

fn jail_library(given: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let path = match given {
        Some(path) => path,
        None => {
            std::env::current_exe().context("finding this program")?.with_file_name("libjail.so")
        }
    };
    if !path.is_file() {
        bail!("{} is not there: `cargo build` makes it", path.display());
    }
    Ok(path)
}

fn limits(settings: &Settings) -> CellLimits {
    CellLimits {
        wall_ms: settings.wall_ms,
        memory_bytes: settings.memory_mib << 20,
        processes: settings.processes,
        open_files: OPEN_FILES,
        scratch_bytes: settings.scratch_mib << 20,
        scratch_files: settings.scratch_files,
        output_bytes: settings.output_bytes,
        images: settings.images,
        image_bytes: settings.image_bytes,
        code_bytes: settings.code_bytes,
    }
}

fn describe(shared: &Shared) -> Description {
    let (ready, waiting_for, layers) = match shared.pool.state() {
        State::Starting => (false, "the libraries are being imported".to_owned(), Vec::new()),
        State::Failing { why } => (false, why, Vec::new()),
        State::Ready { layers } => (true, String::new(), layers),
    };
    let layers: Vec<Layer> = layers
        .into_iter()
        .map(|layer| Layer { name: layer.name, holds: layer.holds, detail: layer.detail })
        .collect();
    Description {
        ready,
        waiting_for,
        tier: if ready { Tier::Namespaced } else { Tier::None },
        layers,
        limits: shared.limits,
        python: shared.python.clone(),
    }
}
