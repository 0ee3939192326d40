//! A virtual environment for a peer that needs one, installed once, exactly as locked, into the cache folder.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::Context;
use sha2::{Digest as _, Sha256};

use crate::Place;
use crate::report::NotHere;

#[derive(Debug)]
pub struct Environment(PathBuf);

impl Environment {
    /// The one that was made for exactly this lock and this interpreter, or a new one.
    pub fn find(
        place: &Place,
        name: &str,
        lock: &str,
    ) -> anyhow::Result<Result<Environment, NotHere>> {
        let python = place.python().canonicalize().context("the libraries have a Python")?;
        let mut hash = Sha256::new();
        hash.update(lock);
        hash.update(python.as_os_str().as_encoded_bytes());
        let key: String =
            hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let folder = place.cache.join(format!("bench-{name}-{key}"));
        if folder.exists() {
            return Ok(Ok(Environment(folder)));
        }
        std::fs::create_dir_all(&place.cache)?;
        let building = tempfile::Builder::new().prefix("building-").tempdir_in(&place.cache)?;
        let list = building.path().join("lock.txt");
        std::fs::write(&list, lock)?;
        let venv = building.path().join("venv");
        let mut make = Command::new(&python);
        make.args(["-I", "-m", "venv"]).arg(&venv);
        let mut install = Command::new(venv.join("bin/python"));
        install
            .args(["-I", "-m", "pip", "--disable-pip-version-check", "--no-input", "install"])
            .args(["--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:", "-r"])
            .arg(&list);
        for mut step in [make, install] {
            let done = step.stdin(Stdio::null()).stdout(Stdio::null()).status()?;
            if !done.success() {
                return Ok(Err(NotHere("could not be installed".to_owned())));
            }
        }
        // It is renamed when it is complete, so what is there can be used.
        std::fs::rename(venv, &folder)?;
        Ok(Ok(Environment(folder)))
    }

    pub fn python(&self) -> Command {
        Command::new(self.0.join("bin/python"))
    }
}
