//! Options of the warden.

use std::path::PathBuf;

use protocol::{CellLimits, Tier};

use crate::zygote::kit::Kit;

/// Options of the warden.
#[derive(Debug, Clone, clap::Args)]
pub struct WardenSettings {
    /// Path of the socket.
    #[arg(long)]
    pub socket: PathBuf,
    /// Folder of Python's libraries, as `install-libraries` prints it.
    #[arg(long)]
    pub libraries: PathBuf,
    /// Folder for temporary folders; default: beside the socket.
    #[arg(long, alias = "folder")]
    pub runtime_dir: Option<PathBuf>,
    /// `libjail.so`, with `belljar-init`, `libdevfd.so` and `libdice.so` beside it; default: beside this program.
    #[arg(long, alias = "jail")]
    pub jail_library: Option<PathBuf>,
    /// Exit when the process that started this one does.
    #[arg(long)]
    pub die_with_parent: bool,
    /// Kits: libraries that zygotes import in advance, out of `bare`, `science` and `tensorflow`. Code runs
    /// with the smallest kit that has its imports; it imports other libraries itself.
    #[arg(long, value_delimiter = ',', default_values_t = Kit::SERVING)]
    pub kits: Vec<Kit>,
    /// Minimum number of standbys (cells that wait for code) of each kit.
    #[arg(long, default_value_t = 4)]
    pub standbys: usize,
    /// Maximum memory of standbys beyond that minimum, in MiB. After a request had to wait, more standbys are
    /// kept for a while.
    #[arg(long, default_value_t = 1024)]
    pub standby_mib: u64,
    /// Standbys do not copy memory in advance: they take a tenth of the memory, and the first plot takes
    /// several times as long.
    #[arg(long, alias = "cool-standbys")]
    pub no_prewarm: bool,
    /// Maximum number of cells in use at once.
    #[arg(long, alias = "places", default_value_t = 64)]
    pub max_cells: usize,
    /// Maximum wait of a request for a cell, in milliseconds.
    #[arg(long, default_value_t = 30_000)]
    pub queue_ms: u64,
    #[command(flatten)]
    pub limits: CellLimits,
    /// First of 1024 user ids, of which each cell gets one outside if the warden is root. No other program
    /// should use them [default: 1900000000 or more, or 52000 if only small numbers exist].
    #[arg(long)]
    pub first_user: Option<u32>,
    /// Weakest isolation tier to start with: `namespaced`, `landlocked` or `seccomp-only`.
    #[arg(long, default_value = "landlocked")]
    pub min_isolation: Tier,
    /// Number of forks after which a zygote is replaced.
    #[arg(long, default_value_t = 10_000)]
    pub zygote_forks: u32,
    /// Age at which a zygote is replaced, in seconds.
    #[arg(long, default_value_t = 6 * 3600)]
    pub zygote_seconds: u64,
    /// Make runs reproducible: the same random numbers and clock in every cell.
    #[arg(long)]
    pub seed: Option<u64>,
}

/// Former names of options, and the current ones. The former names work in this version, with a warning.
const RENAMED: [(&str, &str); 4] = [
    ("--folder", "--runtime-dir"),
    ("--jail", "--jail-library"),
    ("--cool-standbys", "--no-prewarm"),
    ("--places", "--max-cells"),
];

/// Logs a warning for each former name among these arguments.
pub fn warn_of_former_names(arguments: impl Iterator<Item = String>) {
    for argument in arguments {
        if let Some((option, replacement)) = renamed(&argument) {
            tracing::warn!(option, replacement, "deprecated option");
        }
    }
}

fn renamed(argument: &str) -> Option<(&'static str, &'static str)> {
    let name = argument.split('=').next()?;
    RENAMED.into_iter().find(|(former, _)| *former == name)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct WardenCommands {
        #[command(flatten)]
        settings: WardenSettings,
    }

    fn parse(arguments: &[&str]) -> WardenSettings {
        let required = ["belljar-warden", "--socket", "s", "--libraries", "l"];
        let command = WardenCommands::try_parse_from([&required[..], arguments].concat());
        command.expect("all options are known").settings
    }

    #[test]
    fn former_names_of_options_work_and_are_recognised() {
        let former = ["--folder=f", "--jail=j", "--cool-standbys", "--places=3"];
        let current = ["--runtime-dir=f", "--jail-library=j", "--no-prewarm", "--max-cells=3"];
        let [old, new] = [parse(&former), parse(&current)];
        assert_eq!(format!("{old:?}"), format!("{new:?}"));
        assert_eq!(old.max_cells, 3);
        for (former, current) in former.iter().zip(current) {
            let (_, replacement) = renamed(former).expect("it was renamed");
            assert_eq!(current.split('=').next(), Some(replacement));
            assert_eq!(renamed(current), None);
        }
        assert_eq!(renamed("/run/places"), None);
    }
}
