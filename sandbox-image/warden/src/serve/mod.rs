//! `belljar-warden serve`: the listener, its settings, and the connections of the server.

mod connection;
mod settings;
mod ulimits;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use protocol::{Description, Tier};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};

use self::connection::WardenState;
pub use self::settings::WardenSettings;
use crate::pool::{Pool, PoolState, Size};
use crate::resources::uid_claim::UidClaim;
use crate::resources::uid_pool::{Rights, UidPool};
use crate::zygote::kit::Kit;
use crate::zygote::python_install;
use crate::zygote::spec::{DEVFD, DICE, INIT, ZygoteSpec};

pub fn serve(settings: WardenSettings) -> anyhow::Result<()> {
    settings::warn_of_former_names(std::env::args_os().filter_map(|one| one.into_string().ok()));
    if settings.die_with_parent {
        rustix::process::set_parent_process_death_signal(Some(Signal::TERM))
            .context("could not set the signal at the end of the parent")?;
    }
    let standbys = settings.standbys.max(1).saturating_mul(settings.kits.len());
    ulimits::check(&settings.limits.with_cpu_time(), standbys)?;
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

async fn listen(settings: WardenSettings) -> anyhow::Result<()> {
    let listener = bind(&settings.socket)?;
    let install = python_install::inspect(&settings.libraries)?;
    let limits = settings.limits.with_cpu_time();
    let users = users(&settings);
    let _claim = users.as_deref().and_then(claim);
    let spec = ZygoteSpec {
        python: install.python,
        jail: jail_library(settings.jail_library.clone(), settings.seed.is_some())?,
        folder: settings.runtime_dir.clone().unwrap_or_else(|| beside(&settings.socket)),
        kit: Kit::Science,
        warm: !settings.no_prewarm,
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
        max_cells: settings.max_cells.max(1),
        queue: Duration::from_millis(settings.queue_ms),
        zygote_forks: settings.zygote_forks.max(1),
        zygote_age: Duration::from_secs(settings.zygote_seconds),
    };
    let shared = Arc::new(WardenState {
        pool: Pool::start(spec, &settings.kits, settings.min_isolation, size, install.standard),
        limits,
        describe,
        python: install.full_version,
    });
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let broken = async {
        match shared.pool.first().await {
            PoolState::Failing { why } => why,
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

/// Users for cells, if this process may change users.
fn users(settings: &WardenSettings) -> Option<Arc<UidPool>> {
    let root = rustix::process::geteuid().is_root();
    let may = root && Rights::of_this_process().change_users;
    may.then(|| UidPool::from(settings.first_user)).flatten()
}

/// Claims the users, and removes shared memory that cells of killed wardens have left.
fn claim(users: &UidPool) -> Option<UidClaim> {
    let folder = Path::new(jail::host_root::SHARED_MEMORY);
    let claim = UidClaim::of(folder, users.first())?;
    if let Err(error) = claim.sweep(folder) {
        tracing::warn!(%error, "could not list shared memory");
    }
    Some(claim)
}

fn describe(shared: &WardenState) -> Description {
    let (waiting_for, isolation) = match shared.pool.state() {
        PoolState::Starting => ("libraries are being imported".to_owned(), None),
        PoolState::Failing { why } => (why, None),
        PoolState::Ready { isolation } => (String::new(), Some(isolation)),
    };
    Description {
        ready: isolation.is_some(),
        waiting_for,
        tier: isolation.as_ref().map_or(Tier::None, |isolation| isolation.tier),
        layers: isolation.map(|isolation| isolation.layers.clone()).unwrap_or_default(),
        libraries: shared.pool.images(),
        limits: shared.limits,
        python: shared.python.clone(),
        pool: shared.pool.report(),
    }
}
