//! Finds the interpreter and its libraries: a folder that `install-libraries` made.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use jail::PythonHome;

/// What a libraries folder says about itself.
#[derive(Debug, Clone)]
pub struct Home {
    pub python: PythonHome,
    /// `3.12.1`
    pub full_version: String,
    /// Names of the modules that come with it.
    pub standard: HashSet<String>,
}

/// Asks the interpreter of this folder what it is.
pub fn at(libraries: &Path) -> anyhow::Result<Home> {
    let executable = libraries.join("python");
    let site_packages = libraries.join("site-packages");
    if !site_packages.is_dir() {
        bail!(
            "{} is no folder of libraries: sandbox-image/install-libraries makes one",
            libraries.display()
        );
    }
    let executable = executable
        .canonicalize()
        .with_context(|| format!("the interpreter {} is gone", executable.display()))?;
    let script = "import sys; print(sys.base_prefix); print('%d.%d.%d' % sys.version_info[:3]); \
                  print(*sys.stdlib_module_names)";
    let answer = Command::new(&executable)
        .args(["-I", "-S", "-c", script])
        .output()
        .with_context(|| format!("running {}", executable.display()))?;
    let answer = String::from_utf8_lossy(&answer.stdout).into_owned();
    let mut lines = answer.lines();
    let (Some(prefix), Some(full_version), Some(standard)) =
        (lines.next(), lines.next(), lines.next())
    else {
        bail!("{} does not say what it is", executable.display());
    };
    let version = full_version.rsplit_once('.').map_or(full_version, |(short, _)| short);
    Ok(Home {
        python: PythonHome {
            prefix: PathBuf::from(prefix).canonicalize().context("finding Python's prefix")?,
            executable,
            version: version.to_owned(),
            site_packages: site_packages.canonicalize().context("finding the libraries")?,
        },
        full_version: full_version.to_owned(),
        standard: standard.split(' ').map(str::to_owned).collect(),
    })
}
