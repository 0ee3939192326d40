//! Specification of a zygote, with a root of its own or on the host's root.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use jail::{CellSpec, PythonHome, RootFs, RootSpec};
use protocol::CellLimits;
use serde::{Deserialize, Serialize};

use crate::resources::cgroup::Cgroups;
use crate::resources::uid_pool::UidPool;
use crate::zygote::kit::Kit;

/// Specification of a zygote and its cells.
#[derive(Debug, Clone)]
pub struct ZygoteSpec {
    pub python: PythonHome,
    /// `libjail.so`; [`INIT`], [`DEVFD`] and [`DICE`] are beside it.
    pub jail: PathBuf,
    /// Parent of temporary folders. If the warden is killed, the process that started it removes them.
    pub folder: PathBuf,
    /// Modules to import before the first fork.
    pub kit: Kit,
    /// Whether standbys copy pages in advance that code is likely to write to.
    pub warm: bool,
    pub limits: CellLimits,
    /// Whether it gets a root of its own, or uses the host's.
    pub own_root: bool,
    /// Users for cells, if the warden may change users.
    pub users: Option<Arc<UidPool>>,
    /// Control groups for cells, if the warden may create them.
    pub cgroups: Option<Arc<Cgroups>>,
    /// User to switch to before the root is built.
    pub user: Option<u32>,
    /// Seed of reproducible cells: fixed random numbers and clock.
    pub seed: Option<u64>,
}

/// Belljar's own scripts.
const SCRIPTS: &[(&str, &str)] = &[
    ("zygote.py", include_str!("../../../python/zygote.py")),
    ("runner.py", include_str!("../../../python/runner.py")),
    ("belljar_dice.py", include_str!("../../../python/belljar_dice.py")),
    ("belljar_immortal.py", include_str!("../../../python/belljar_immortal.py")),
    ("belljar_pages.py", include_str!("../../../python/belljar_pages.py")),
    ("belljar_usual.py", include_str!("../../../python/belljar_usual.py")),
    ("belljar_imports.py", include_str!("../../../python/belljar_imports.py")),
    ("belljar_display.py", include_str!("../../../python/belljar_display.py")),
    ("belljar_backend.py", include_str!("../../../python/belljar_backend.py")),
    ("belljar_files.py", include_str!("../../../python/belljar_files.py")),
    ("belljar_hidden.py", include_str!("../../../python/belljar_hidden.py")),
    ("belljar_fonts.py", include_str!("../../../python/belljar_fonts.py")),
    ("belljar_spawn.py", include_str!("../../../python/belljar_spawn.py")),
    ("belljar_streams.py", include_str!("../../../python/belljar_streams.py")),
    ("ld.so.preload", "/opt/belljar/libdevfd.so\n"),
    ("path/pip.py", include_str!("../../../python/path/pip.py")),
];
/// Folder of the scripts and the jail library in a root of its own.
const HOME: &str = "/opt/belljar";
/// Folder in the scripts folder with programs for cells on a shared root.
const PROGRAMS: &str = "bin";
/// The first process of a cell.
pub const INIT: &str = "belljar-init";
/// Library that makes `/dev/fd` work in every program in a root of its own.
pub const DEVFD: &str = "libdevfd.so";
/// File in which the dynamic loader finds libraries to preload.
const PRELOAD: &str = "/etc/ld.so.preload";
/// Library with the clock and random numbers of reproducible cells.
pub const DICE: &str = "libdice.so";

/// Parameters of the process that becomes a zygote, as JSON on its command line.
#[derive(Debug, Serialize, Deserialize)]
pub struct Start {
    /// `None` if it stays on the host's root.
    pub root: Option<RootSpec>,
    pub python: PathBuf,
    pub scripts: PathBuf,
    pub jail: PathBuf,
    pub environment: Vec<(String, String)>,
}

impl ZygoteSpec {
    /// Creates a folder that all users can read and only the warden can write.
    pub fn folder(&self, prefix: &str) -> anyhow::Result<tempfile::TempDir> {
        tempfile::Builder::new()
            .prefix(prefix)
            .permissions(Permissions::from_mode(0o755))
            .tempdir_in(&self.folder)
            .with_context(|| format!("could not create a folder in {}", self.folder.display()))
    }

    /// Creates a folder with the scripts. On a shared root it also has programs, because there `python3` may
    /// be another interpreter, and `pip` the host's.
    pub fn scripts(&self) -> anyhow::Result<tempfile::TempDir> {
        let folder = self.folder("scripts-")?;
        for (name, text) in SCRIPTS {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap_or(folder.path()))
                .and_then(|()| std::fs::write(&path, text))
                .context("could not write the zygote's scripts")?;
        }
        if !self.own_root {
            self.programs(&folder.path().join(PROGRAMS))
                .context("could not write the cells' programs")?;
        }
        Ok(folder)
    }

    fn programs(&self, folder: &Path) -> io::Result<()> {
        std::fs::create_dir(folder)?;
        for name in ["python", "python3"] {
            symlink(&self.python.executable, folder.join(name))?;
        }
        let pip = folder.join("pip");
        std::fs::write(&pip, jail::PIP)?;
        std::fs::set_permissions(&pip, Permissions::from_mode(0o555))?;
        symlink("pip", folder.join("pip3"))
    }

    pub fn cell(&self, scripts: &Path) -> CellSpec {
        let limits = self.limits;
        CellSpec {
            root_fs: match self.own_root {
                true => RootFs::Private,
                false => RootFs::Host {
                    python: self.python.clone(),
                    ours: [scripts.to_owned(), self.jail.clone(), self.beside_the_jail(INIT)]
                        .into_iter()
                        .chain(self.seed.map(|_| self.beside_the_jail(DICE)))
                        .collect(),
                    init: self.beside_the_jail(INIT),
                },
            },
            memory_bytes: limits.memory_bytes,
            threads: limits.threads,
            open_files: limits.open_files,
            scratch_bytes: limits.scratch_bytes,
            scratch_files: limits.scratch_files,
        }
    }

    /// `staging` is the folder on which the root is mounted.
    pub fn start(&self, scripts: &Path, staging: &Path) -> Start {
        match self.own_root {
            true => self.start_on_own_root(scripts, staging),
            false => self.start_on_shared_root(scripts),
        }
    }

    fn start_on_own_root(&self, scripts: &Path, staging: &Path) -> Start {
        let home = Path::new(HOME);
        let mut files = vec![
            (home.join("jail.so"), self.jail.clone()),
            (jail::INIT.into(), self.beside_the_jail(INIT)),
            (home.join(DEVFD), self.beside_the_jail(DEVFD)),
            (PRELOAD.into(), scripts.join("ld.so.preload")),
        ];
        files.extend(SCRIPTS.iter().map(|(name, _)| (home.join(name), scripts.join(name))));
        files.extend(self.seed.map(|_| (home.join(DICE), self.beside_the_jail(DICE))));
        let mut path = vec![home.join("path")];
        if self.python.prefix == Path::new("/usr") {
            // The system's interpreter does not search this folder by default.
            let packages = format!("/usr/local/lib/python{}/site-packages", self.python.version);
            path.push(packages.into());
        }
        Start {
            root: Some(RootSpec {
                staging: staging.to_owned(),
                python: self.python.clone(),
                files,
                user: self.user,
            }),
            python: self.python.executable_inside(),
            scripts: home.to_owned(),
            jail: home.join("jail.so"),
            environment: environment(
                &path,
                Path::new("/usr/local/lib"),
                &Path::new("/usr/local/lib")
                    .join(format!("python{}/site-packages", self.python.version)),
                self.dice(home),
            ),
        }
    }

    fn start_on_shared_root(&self, scripts: &Path) -> Start {
        let path = [scripts.join("path"), self.python.site_packages.clone()];
        let beside_the_jail = self.jail.parent().unwrap_or(scripts);
        let mut environment = environment(
            &path,
            &self.python.prefix.join("lib"),
            &self.python.site_packages,
            self.dice(beside_the_jail),
        );
        for (_, folders) in environment.iter_mut().filter(|(name, _)| name == "PATH") {
            *folders = format!("{}:{folders}", scripts.join(PROGRAMS).display());
        }
        Start {
            root: None,
            python: self.python.executable.clone(),
            scripts: scripts.to_owned(),
            jail: self.jail.clone(),
            environment,
        }
    }

    fn beside_the_jail(&self, name: &str) -> PathBuf {
        self.jail.with_file_name(name)
    }

    fn dice(&self, folder: &Path) -> Option<(u64, PathBuf)> {
        self.seed.map(|seed| (seed, folder.join(DICE)))
    }
}

/// Environment variables of Python and of the code.
fn environment(
    path: &[PathBuf],
    libraries: &Path,
    packages: &Path,
    dice: Option<(u64, PathBuf)>,
) -> Vec<(String, String)> {
    let path: Vec<_> = path.iter().map(|folder| folder.display().to_string()).collect();
    [
        ("HOME", "/tmp"),
        ("LANG", "C.UTF-8"),
        ("MPLBACKEND", "agg"),
        // One thread each: after a fork only one thread exists, and locks of the others stay locked.
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
    .chain([
        // For interpreters that are built as a shared library.
        ("LD_LIBRARY_PATH", libraries.display().to_string()),
        ("PYTHONPATH", path.join(":")),
        // Pillow searches for fonts in the folder `fonts` of each.
        ("XDG_DATA_DIRS", format!("{}:/usr/share", packages.join("matplotlib/mpl-data").display())),
    ])
    .chain(dice.map(|(seed, library)| seeded(seed, &library)).into_iter().flatten())
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

/// Environment variables of reproducible cells.
fn seeded(seed: u64, dice: &Path) -> [(&'static str, String); 3] {
    [
        ("BELLJAR_SEED", seed.to_string()),
        ("LD_PRELOAD", dice.display().to_string()),
        // The order of sets. Python takes 32 bits.
        ("PYTHONHASHSEED", (seed % (1 << 32)).to_string()),
    ]
}
