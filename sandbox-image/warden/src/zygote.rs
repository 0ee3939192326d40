//! One zygote: a child process that orders go to.

use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use jail::{CellSpec, PythonHome, RootSpec};
use rustix::fs::MemfdFlags;
use rustix::io::FdFlags;
use tokio::process::{Child, Command};

use crate::channel::{self, Channel};

/// How long the imports may take. TensorFlow from a cold disk is the slowest known.
const START_WITHIN: Duration = Duration::from_secs(120);

/// A zygote that is ready to be forked. Dropping it ends it; cells that it made live on.
#[derive(Debug)]
pub struct Zygote {
    orders: Channel,
    _process: Child,
    /// Empty, and only there to be mounted on while the root was built.
    _staging: tempfile::TempDir,
}

/// What a zygote is made from.
#[derive(Debug, Clone)]
pub struct Recipe {
    pub python: PythonHome,
    /// `libjail.so`; `belljar-init` is beside it.
    pub jail: PathBuf,
    /// Where folders may be made. Whoever started the warden clears it away, should we be killed.
    pub folder: PathBuf,
    /// Imported before the first fork.
    pub modules: Vec<String>,
    pub cell: CellSpec,
    /// User and group of the cells outside, where the warden is root.
    pub outer_id: u32,
}

/// Our own files in the zygote's root.
const SCRIPTS: &[(&str, &str)] = &[
    ("zygote.py", include_str!("../../python/zygote.py")),
    ("runner.py", include_str!("../../python/runner.py")),
    ("belljar_display.py", include_str!("../../python/belljar_display.py")),
    ("belljar_backend.py", include_str!("../../python/belljar_backend.py")),
    ("path/pip.py", include_str!("../../python/path/pip.py")),
];
const HOME: &str = "/opt/belljar";

impl Zygote {
    /// Starts one and waits until it has imported everything.
    pub async fn start(recipe: &Recipe) -> anyhow::Result<Zygote> {
        let began = Instant::now();
        let scripts = tempfile::tempdir_in(&recipe.folder)
            .context("making a folder for the zygote's scripts")?;
        let init = jail::init::PATH.to_str().context("the path of init")?;
        let mut files = vec![
            (PathBuf::from(HOME).join("jail.so"), recipe.jail.clone()),
            (init.into(), recipe.jail.with_file_name("belljar-init")),
        ];
        for (name, text) in SCRIPTS {
            let path = scripts.path().join(name.replace('/', "_"));
            std::fs::write(&path, text).context("writing the zygote's scripts")?;
            files.push((PathBuf::from(HOME).join(name), path));
        }
        let staging =
            tempfile::tempdir_in(&recipe.folder).context("making a folder for the root")?;
        let root = RootSpec {
            staging: staging.path().to_owned(),
            python: recipe.python.clone(),
            files,
            outer_id: recipe.outer_id,
        };
        let (orders, theirs) = channel::pair().context("making the zygote's socket")?;
        let spec = inheritable(memory_file(&serde_json::to_vec(&recipe.cell)?)?)?;
        let theirs = inheritable(theirs)?;
        let process = Command::new(std::env::current_exe().context("finding this program")?)
            .arg("zygote")
            .args(["--root", &serde_json::to_string(&root)?])
            .args(["--command", &theirs.as_raw_fd().to_string()])
            .args(["--spec", &spec.as_raw_fd().to_string()])
            .arg("--")
            .args(&recipe.modules)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("starting a zygote")?;
        drop((theirs, spec));

        let word = tokio::time::timeout(START_WITHIN, orders.receive())
            .await
            .context("a zygote did not come up in time")?
            .context("listening to a zygote")?;
        if word.is_none() {
            bail!("a zygote ended before it was ready; its own words are above");
        }
        tracing::info!(
            modules = recipe.modules.len(),
            ms = began.elapsed().as_millis(),
            "a zygote is ready"
        );
        Ok(Zygote { orders, _process: process, _staging: staging })
    }

    /// Has a cell forked. Whether it comes up is said on its own status channel.
    pub async fn fork(&self, channels: [OwnedFd; 5]) -> std::io::Result<()> {
        let files = channels.each_ref().map(AsFd::as_fd);
        self.orders.send(b"f", &files).await
    }
}

/// All that Python and the code are told by their environment.
pub fn environment(python: &PythonHome) -> Vec<(&'static str, String)> {
    let packages = format!("/usr/local/lib/python{}/site-packages", python.version);
    // The system's own interpreter looks elsewhere by itself.
    let path = match python.prefix.to_str() {
        Some("/usr") => format!("{HOME}/path:{packages}"),
        _ => format!("{HOME}/path"),
    };
    [
        ("HOME", "/tmp"),
        ("LANG", "C.UTF-8"),
        // An interpreter that was built with a shared library finds it beside itself.
        ("LD_LIBRARY_PATH", "/usr/local/lib"),
        ("MPLBACKEND", "agg"),
        // One thread each: a fork keeps one, and locks that the others held stay locked.
        ("MKL_NUM_THREADS", "1"),
        ("NUMEXPR_NUM_THREADS", "1"),
        ("OMP_NUM_THREADS", "1"),
        ("OPENBLAS_NUM_THREADS", "1"),
        ("PATH", "/usr/bin:/usr/local/bin"),
        ("PYTHONDONTWRITEBYTECODE", "1"),
        ("TF_CPP_MIN_LOG_LEVEL", "3"),
        ("TF_ENABLE_ONEDNN_OPTS", "0"),
        ("TMPDIR", "/tmp"),
        ("TZ", "UTC"),
        ("USER", "user"),
    ]
    .into_iter()
    .map(|(name, value)| (name, value.to_owned()))
    .chain([("PYTHONPATH", path)])
    .collect()
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
