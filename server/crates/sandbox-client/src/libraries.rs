//! Installs the sandbox's libraries. The installer is a shell script, which is a part of this program.

use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};

use resources::scratch::Scratch;

const INSTALLER: &str = include_str!("../../../../sandbox-image/install-libraries");
const LOCK: &str = include_str!("../../../../sandbox-image/requirements.lock");

/// Number of lines of the installer's output in an error.
const LAST_LINES: usize = 20;

/// Which libraries to install, and where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Installation {
    /// Instead of the first suitable interpreter.
    pub python: Option<PathBuf>,
    /// Instead of a folder in the cache folder.
    pub into: Option<PathBuf>,
    pub without_tensorflow: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum InstallStage {
    /// Looking for libraries and for a Python.
    #[default]
    Preparing,
    Downloading,
    Installing,
    Compiling,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct InstallProgress {
    pub stage: InstallStage,
    /// The package that is being downloaded, and its number.
    pub package: String,
    pub number: usize,
    /// Number of packages to download.
    pub packages: usize,
    /// Size of the downloads so far. Packages in pip's cache count too.
    pub megabytes: f64,
}

#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    #[error("could not run the installer of the libraries: {0}")]
    Run(#[from] io::Error),
    #[error("could not install the libraries ({status}):\n{last_lines}")]
    Failed { status: ExitStatus, last_lines: String },
}

impl Installation {
    /// Installs what is missing and returns the folder. Dropping the future stops the installer; the next
    /// one continues.
    pub async fn run(
        &self,
        mut show: impl FnMut(&InstallProgress),
    ) -> Result<PathBuf, InstallError> {
        let scratch = Scratch::new(0o700)?;
        let script = scratch.path().join("install-libraries");
        std::fs::write(&script, INSTALLER)?;
        std::fs::write(scratch.path().join("requirements.lock"), LOCK)?;
        let mut command = Command::new("sh");
        command.arg(&script).args(self.arguments()).stdin(Stdio::null());
        // A group of its own, so that pip is stopped with the script.
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut installer = InstallerProcess(command.spawn()?);

        let mut progress = InstallProgress::default();
        let mut last = Vec::new();
        if let Some(stderr) = installer.0.stderr.take() {
            let mut lines = BufReader::new(stderr).lines();
            while let Some(line) = lines.next_line().await? {
                if progress.read(&line) {
                    show(&progress);
                }
                last.push(line);
                if last.len() > LAST_LINES {
                    last.remove(0);
                }
            }
        }
        let mut folder = String::new();
        if let Some(mut stdout) = installer.0.stdout.take() {
            stdout.read_to_string(&mut folder).await?;
        }
        let status = installer.0.wait().await?;
        if !status.success() {
            return Err(InstallError::Failed { status, last_lines: last.join("\n") });
        }
        Ok(PathBuf::from(folder.trim_end()))
    }

    fn arguments(&self) -> Vec<PathBuf> {
        let mut arguments: Vec<PathBuf> = Vec::new();
        for (option, value) in [("--python", &self.python), ("--into", &self.into)] {
            if let Some(value) = value {
                arguments.extend([option.into(), value.clone()]);
            }
        }
        if self.without_tensorflow {
            arguments.extend(["--without".into(), "tensorflow".into()]);
        }
        arguments
    }
}

impl InstallProgress {
    /// Reads a line of the installer or of pip. Returns whether something changed.
    fn read(&mut self, line: &str) -> bool {
        let line = line.trim();
        let first = |text: &str| text.split([' ', '=']).next().unwrap_or_default().to_owned();
        if let Some(count) = line.strip_prefix("downloading ") {
            self.stage = InstallStage::Downloading;
            self.packages = first(count).parse().unwrap_or_default();
        } else if let Some(package) = line.strip_prefix("Collecting ") {
            self.stage = InstallStage::Downloading;
            self.package = first(package);
            self.number += 1;
        } else if line.starts_with("Downloading ") || line.starts_with("Using cached ") {
            self.megabytes += megabytes(line);
        } else if line.starts_with("Installing collected packages") && self.number > 1 {
            self.stage = InstallStage::Installing;
        } else if line == "compiling the libraries" {
            self.stage = InstallStage::Compiling;
        } else {
            return false;
        }
        true
    }
}

/// The size at the end of pip's line: `Downloading x.whl (16.4 MB)`.
fn megabytes(line: &str) -> f64 {
    let size = line.rsplit_once('(').and_then(|(_, size)| size.strip_suffix(')'));
    let Some((number, unit)) = size.and_then(|size| size.split_once(' ')) else { return 0.0 };
    let number: f64 = number.parse().unwrap_or_default();
    match unit {
        "GB" => number * 1e3,
        "MB" => number,
        "kB" => number / 1e3,
        _ => number / 1e6,
    }
}

/// Stops the script and its children on drop.
#[derive(Debug)]
struct InstallerProcess(Child);

impl Drop for InstallerProcess {
    fn drop(&mut self) {
        // Without an id it has exited.
        let id = self.0.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(id) = id {
            let _ = kill_process_group(id, Signal::TERM);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_pip_are_progress() {
        let mut progress = InstallProgress::default();
        for (line, changes) in [
            ("installing the sandbox's libraries for Python 3.12, 2.3 GB, into /x", false),
            ("downloading 58 packages", true),
            ("Collecting setuptools==84.2.1 (from -r /x/build.txt (line 1))", true),
            ("Installing collected packages: setuptools", false),
            ("Collecting numpy==2.3.5 (from -r /x/all.txt (line 4))", true),
            ("  Downloading numpy-2.3.5-cp312-manylinux_x86_64.whl (16.5 MB)", true),
            ("     ━━━━━ 16.5/16.5 MB 90.1 MB/s eta 0:00:00", false),
            ("  Using cached six-1.17.0-py2.py3-none-any.whl (500 kB)", true),
        ] {
            assert_eq!(progress.read(line), changes, "{line}");
        }
        let wanted = InstallProgress {
            stage: InstallStage::Downloading,
            package: "numpy".to_owned(),
            number: 2,
            packages: 58,
            megabytes: 17.0,
        };
        assert_eq!(progress, wanted);
        assert!(progress.read("Installing collected packages: six, numpy"));
        assert_eq!(progress.stage, InstallStage::Installing);
        assert!(progress.read("compiling the libraries"));
        assert_eq!(progress.stage, InstallStage::Compiling);
    }

    #[test]
    fn sizes_have_pips_units() {
        for (line, wanted) in [
            ("Downloading a.whl (1.5 GB)", 1500.0),
            ("Downloading a.whl (250 kB)", 0.25),
            ("Downloading a.whl (500 bytes)", 0.0005),
            ("Downloading a.whl.metadata", 0.0),
            ("Downloading a (b) c", 0.0),
        ] {
            assert_eq!(megabytes(line), wanted, "{line}");
        }
    }

    #[test]
    fn the_installer_gets_the_options() {
        let installation = Installation {
            python: Some("/p".into()),
            into: Some("/i".into()),
            without_tensorflow: true,
        };
        let wanted = ["--python", "/p", "--into", "/i", "--without", "tensorflow"];
        assert_eq!(installation.arguments(), wanted.map(PathBuf::from));
        assert!(Installation::default().arguments().is_empty());
    }
}
