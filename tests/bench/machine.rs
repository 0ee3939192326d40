//! The machine, the commit and the date of a measurement.

use std::path::Path;
use std::process::Command;

use crate::report::Table;

pub fn describe(root: &Path, command: &str) -> Table {
    let mut table = Table::new("Machine", "", &["", ""]);
    for (what, value) in [
        ("command", format!("`{command}`")),
        ("date", jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC").to_string()),
        ("commit", commit(root)),
        ("processor", processor()),
        ("memory", memory()),
        ("kernel", output_of("uname", &["-sr"])),
        ("virtualised", output_of("systemd-detect-virt", &["--vm"])),
    ] {
        table.row([what.to_owned(), value]);
    }
    table
}

fn commit(root: &Path) -> String {
    let root = root.to_string_lossy();
    let commit = output_of("git", &["-C", &root, "rev-parse", "--short=12", "HEAD"]);
    let changed = output_of("git", &["-C", &root, "status", "--porcelain", "-uno"]);
    if changed.is_empty() { commit } else { format!("{commit}, and changes to it") }
}

fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{}, {cores} cores", name.map_or("unknown", |(_, name)| name))
}

fn memory() -> String {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse().ok())
        .unwrap_or(0_u64);
    format!("{:.1} GiB", kib as f64 / f64::from(1 << 20))
}

/// The output of a program, or `unknown`.
fn output_of(program: &str, arguments: &[&str]) -> String {
    match Command::new(program).args(arguments).output() {
        Ok(output) => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        Err(_) => "unknown".to_owned(),
    }
}
