//! The environment of a peer, installed once, exactly as locked, into the cache folder.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context;
use sha2::{Digest as _, Sha256};

use crate::Place;
use crate::report::NotHere;

#[derive(Debug)]
pub struct Environment(PathBuf);

type Found = anyhow::Result<Result<Environment, NotHere>>;

impl Environment {
    /// A virtual environment of the libraries' Python.
    pub fn of_python(place: &Place, name: &str, lock: &str) -> Found {
        let python = place.python().canonicalize().context("the libraries have a Python")?;
        let key = [lock.as_bytes(), python.as_os_str().as_encoded_bytes()];
        Environment::find(place, name, &key, |building| {
            let list = building.join("lock.txt");
            std::fs::write(&list, lock)?;
            let venv = building.join("venv");
            let mut make = Command::new(&python);
            make.args(["-I", "-m", "venv"]).arg(&venv);
            let mut install = Command::new(venv.join("bin/python"));
            install
                .args(["-I", "-m", "pip", "--disable-pip-version-check", "--no-input", "install"])
                .args(["--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:", "-r"])
                .arg(&list);
            Ok((venv, vec![make, install]))
        })
    }

    /// A folder with npm packages.
    pub fn of_node(place: &Place, name: &str, package: &str, lock: &str) -> Found {
        let node = match Command::new("node").arg("--version").output() {
            Ok(output) if output.status.success() => output.stdout,
            _ => return Ok(Err(NotHere("there is no Node".to_owned()))),
        };
        let key = [package.as_bytes(), lock.as_bytes(), &node];
        Environment::find(place, name, &key, |building| {
            let folder = building.join("node");
            std::fs::create_dir(&folder)?;
            std::fs::write(folder.join("package.json"), package)?;
            std::fs::write(folder.join("package-lock.json"), lock)?;
            let mut install = Command::new("npm");
            install
                .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"])
                .current_dir(&folder);
            Ok((folder, vec![install]))
        })
    }

    /// The environment for exactly this key, which is made if it does not exist. `steps` makes it in a temporary
    /// folder, and returns its path there.
    fn find(
        place: &Place,
        name: &str,
        key: &[&[u8]],
        steps: impl FnOnce(&Path) -> anyhow::Result<(PathBuf, Vec<Command>)>,
    ) -> Found {
        let mut hash = Sha256::new();
        key.iter().for_each(|part| hash.update(part));
        let key: String =
            hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let folder = place.cache.join(format!("bench-{name}-{key}"));
        if folder.exists() {
            return Ok(Ok(Environment(folder)));
        }
        std::fs::create_dir_all(&place.cache)?;
        let building = tempfile::Builder::new().prefix("building-").tempdir_in(&place.cache)?;
        let (made, steps) = steps(building.path())?;
        for mut step in steps {
            let done = step.stdin(Stdio::null()).stdout(Stdio::null()).status();
            if !done.is_ok_and(|status| status.success()) {
                return Ok(Err(NotHere("could not be installed".to_owned())));
            }
        }
        // It is renamed when it is complete, so an existing folder can be used.
        std::fs::rename(made, &folder)?;
        Ok(Ok(Environment(folder)))
    }

    pub fn folder(&self) -> &Path {
        &self.0
    }

    pub fn python(&self) -> Command {
        Command::new(self.0.join("bin/python"))
    }
}
