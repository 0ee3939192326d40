//! Installs the sandbox's libraries, and shows the progress on stderr.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use sandbox_client::libraries::{InstallError, InstallProgress, InstallStage, Installation};
use server::config::{Config, LogFormat, SandboxConfig};
use tokio_util::task::AbortOnDropHandle;

/// Between two lines where stderr is no terminal.
const PACKAGES_A_LINE: usize = 20;
const BAR_CHARS: usize = 24;

/// Installs what is missing.
pub async fn install(installation: &Installation) -> Result<PathBuf, InstallError> {
    let mut display = Display::new();
    let installed = installation.run(|progress| display.show(progress)).await;
    display.end();
    installed
}

/// Installs the libraries without TensorFlow if the server would start a warden and there are none.
/// TensorFlow is more than half of the size, and little code needs it.
pub async fn if_missing(config: &Config) -> anyhow::Result<Option<PathBuf>> {
    let SandboxConfig::Warden { libraries: None, .. } = config.sandbox else { return Ok(None) };
    if config.given.no_install == Some(true) {
        return Ok(None);
    }
    announce(
        config,
        "no libraries for the sandbox are installed; installing them once (250 MB to download, 0.9 GB on \
         disk). After an interruption the next start continues",
    );
    let installation = Installation { without_tensorflow: true, ..Installation::default() };
    Ok(Some(install(&installation).await?))
}

/// Installs TensorFlow while the server runs. Dropping the handle stops it.
pub fn tensorflow() -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async {
        match Installation::default().run(|_| ()).await {
            Ok(_) => tracing::info!("tensorflow installed for the next start"),
            Err(error) => tracing::warn!(%error, "could not install tensorflow"),
        }
    }))
}

/// Whether a folder of libraries has TensorFlow.
pub fn has_tensorflow(libraries: &Path) -> bool {
    libraries.join("site-packages/tensorflow").is_dir()
}

fn announce(config: &Config, text: &str) {
    match config.given.log_format() {
        LogFormat::Plain => eprintln!("belljar: {text}"),
        LogFormat::Json => tracing::info!("installing libraries"),
    }
}

/// A line that is rewritten on a terminal; elsewhere a line now and then.
struct Display {
    is_terminal: bool,
    began: Instant,
    shown: InstallProgress,
}

impl Display {
    fn new() -> Display {
        Display {
            is_terminal: std::io::stderr().is_terminal(),
            began: Instant::now(),
            shown: InstallProgress::default(),
        }
    }

    fn show(&mut self, progress: &InstallProgress) {
        let line = line(progress);
        if self.is_terminal {
            let seconds = self.began.elapsed().as_secs();
            // Return to the beginning of the line, and delete to its end. A failed write is no reason to
            // stop.
            let _ = write!(std::io::stderr(), "\r{line}, {seconds} s\x1b[K");
        } else if progress.stage != self.shown.stage
            || progress.number >= self.shown.number + PACKAGES_A_LINE
        {
            eprintln!("{line}");
        } else {
            return;
        }
        self.shown = progress.clone();
    }

    fn end(&self) {
        if self.is_terminal && self.shown != InstallProgress::default() {
            eprintln!();
        }
    }
}

fn line(progress: &InstallProgress) -> String {
    let InstallProgress { stage, package, number, packages, megabytes } = progress;
    match stage {
        InstallStage::Preparing => "  looking for a Python".to_owned(),
        InstallStage::Downloading => {
            let done = number.saturating_sub(1) * BAR_CHARS / (*packages).max(1);
            let done = done.min(BAR_CHARS);
            let bar = "#".repeat(done) + &".".repeat(BAR_CHARS - done);
            format!("  [{bar}] {number} of {packages} packages, {megabytes:.0} MB, {package}")
        }
        InstallStage::Installing => format!("  unpacking {packages} packages, {megabytes:.0} MB"),
        InstallStage::Compiling => "  compiling the libraries, about a minute".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_shows_the_share_of_packages() {
        let progress = |number| InstallProgress {
            stage: InstallStage::Downloading,
            package: "numpy".to_owned(),
            number,
            packages: 48,
            megabytes: 17.4,
        };
        for (number, bar) in [
            (0, "........................"),
            (25, "############............"),
            (60, "########################"),
        ] {
            let wanted = format!("  [{bar}] {number} of 48 packages, 17 MB, numpy");
            assert_eq!(line(&progress(number)), wanted);
        }
    }
}
