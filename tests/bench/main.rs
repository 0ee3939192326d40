//! The speed of a fresh, isolated Python, compared with alternatives in one run on one machine.
//!
//! ```text
//! make bench                 everything, some minutes; writes BENCH.md and its picture
//! make bench-quick           three ratios, compared with the stored ones; for CI
//! … --bench bench -- --few   everything, with few repetitions: tests the bench itself
//! … -- --quick --keep        measures the ratios and stores them
//! … -- --scripted            scripted answers only, half a minute; writes no file
//! ```
//!
//! A request with an error or an unexpected answer ends the bench with an error, so every figure is of
//! runs that worked.

mod client;
mod code;
mod load;
mod machine;
mod measures;
mod peers;
mod picture;
mod plan;
mod process;
mod quick;
mod report;
mod times;
mod whole;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};

use plan::Plan;

/// The folders that the bench needs.
#[derive(Debug, Clone)]
struct Place {
    /// The folder that `install-libraries` prints.
    libraries: PathBuf,
    /// The folder that BENCH.md goes to.
    root: PathBuf,
    /// The folder in which peers are installed.
    cache: PathBuf,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let place = Place::find()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match words[..] {
        [] => runtime.block_on(whole::measure(&place, &Plan::WHOLE)),
        ["--few"] => runtime.block_on(whole::measure(&place, &Plan::FEW)),
        ["--quick"] => runtime.block_on(quick::compare(&place)),
        ["--quick", "--keep"] => runtime.block_on(quick::keep(&place)),
        ["--scripted"] => runtime.block_on(measures::scripted::show(&place, &Plan::WHOLE)),
        _ => bail!(
            "there is --few, --scripted, --quick and --quick --keep, and not {}",
            words.join(" ")
        ),
    }
}

impl Place {
    fn find() -> anyhow::Result<Place> {
        let variable = |name: &str| std::env::var(name).ok();
        let libraries =
            variable("BELLJAR_LIBRARIES").context("BELLJAR_LIBRARIES is not set: `make bench`")?;
        let cache = server::config::cache_folder(&variable)
            .context("there is no folder for what peers need: set HOME")?;
        let libraries = PathBuf::from(libraries);
        let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        Ok(Place { libraries, root: root.canonicalize()?, cache })
    }

    fn python(&self) -> PathBuf {
        self.libraries.join("python")
    }

    fn site_packages(&self) -> PathBuf {
        self.libraries.join("site-packages")
    }
}
