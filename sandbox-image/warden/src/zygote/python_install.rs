//! Finds the interpreter and its libraries in a folder that `install-libraries` created.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use jail::PythonHome;

/// A Python installation with libraries.
#[derive(Debug, Clone)]
pub struct PythonInstall {
    pub python: PythonHome,
    /// `3.12.1`
    pub full_version: String,
    /// Names of the modules of the standard library.
    pub standard: HashSet<String>,
}

/// Inspects a folder by running its interpreter.
pub fn inspect(libraries: &Path) -> anyhow::Result<PythonInstall> {
    let executable = libraries.join("python");
    let site_packages = libraries.join("site-packages");
    if !site_packages.is_dir() {
        bail!(
            "invalid libraries folder {}: create one with sandbox-image/install-libraries",
            libraries.display()
        );
    }
    let executable = executable
        .canonicalize()
        .with_context(|| format!("could not find the interpreter {}", executable.display()))?;
    let script = "import sys; print(sys.base_prefix); print('%d.%d.%d' % sys.version_info[:3]); \
                  print(*sys.stdlib_module_names)";
    let answer = Command::new(&executable)
        .args(["-I", "-S", "-c", script])
        .output()
        .with_context(|| format!("could not run {}", executable.display()))?;
    let answer = String::from_utf8_lossy(&answer.stdout).into_owned();
    let mut lines = answer.lines();
    let (Some(prefix), Some(full_version), Some(standard)) =
        (lines.next(), lines.next(), lines.next())
    else {
        bail!("unexpected output of {}", executable.display());
    };
    let version = full_version.rsplit_once('.').map_or(full_version, |(short, _)| short);
    Ok(PythonInstall {
        python: PythonHome {
            prefix: PathBuf::from(prefix)
                .canonicalize()
                .context("could not find Python's prefix")?,
            executable,
            version: version.to_owned(),
            site_packages: site_packages.canonicalize().context("could not find the libraries")?,
        },
        full_version: full_version.to_owned(),
        standard: standard.split(' ').map(str::to_owned).collect(),
    })
}
