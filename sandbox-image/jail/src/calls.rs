//! Renders the system-call tables as documentation: what code in a cell can call, and why.

use crate::table::{
    ADVICE, ALLOWED_NAMES, DONE_NAMES, FCNTLS, FCNTLS_FORBIDDEN, FORBIDDEN_NAMES, IOCTLS,
    MAKING_NAMES, MAX_BACKLOG, PRCTLS, SOCKET_OPTIONS_READ, SOCKET_OPTIONS_SET, UNSUPPORTED_NAMES,
};

const HEAD: &str = "# System calls of a cell

Made by `belljar-warden calls` from the tables that the filter is made of. A row for one kind of machine
only, as `arch_prctl`, is a call that other machines do not have.

Whatever is not named here does not exist (ENOSYS), and libraries fall back. Nothing is ever killed for
a call, but for one in the way of a foreign architecture.
";

/// The whole document, in Markdown.
pub fn document() -> String {
    let note = format!(
        "`clone` makes no namespace, no sibling and no child whose end sends another signal than \
         SIGCHLD; `prctl` asks for no other signal at the parent's end than one that ends; `socket` and \
         `socketpair` make local sockets only; `listen` has a backlog of {MAX_BACKLOG} at most; no message \
         is out of band (EOPNOTSUPP); `mknodat` makes no device and `renameat2` leaves none; `prlimit64` \
         is not for init; `msync` waits for no disk; `close_range` gives no thread a table of its own (EINVAL). `ioctl`, `fcntl`, `prctl`, `madvise`, `getsockopt` and \
         `setsockopt` ask only what the next tables have.",
    );
    let allowed = section("Allowed", &note, ALLOWED_NAMES);
    let done = section(
        "Answered with \"done\", and not done",
        "`sched_setscheduler` too, for the ordinary scheduler; others are not permitted. The buffers of a \
         socket (`SO_SNDBUF`, `SO_RCVBUF`) stay as they are.",
        DONE_NAMES,
    );
    let forbidden = section("Not permitted (EPERM)", "", FORBIDDEN_NAMES);
    let making = section(
        "Of the zygote",
        "What it takes to make a cell. The zygote has these besides, and each cell gives them up last.",
        MAKING_NAMES,
    );
    let unsupported = section("Not supported (EOPNOTSUPP)", "", UNSUPPORTED_NAMES);
    [
        HEAD,
        &allowed,
        &requests("Questions to `ioctl`", IOCTLS),
        &requests("Questions to `fcntl` (others: EINVAL)", FCNTLS),
        &requests("No business of `fcntl` (EPERM)", FCNTLS_FORBIDDEN),
        &requests("Questions to `prctl` (others: EINVAL)", PRCTLS),
        &requests("Advice of `madvise` (others: EINVAL)", ADVICE),
        &requests("Questions to sockets (others: ENOPROTOOPT)", SOCKET_OPTIONS_READ),
        &requests("Settings of sockets (others: ENOPROTOOPT)", SOCKET_OPTIONS_SET),
        &done,
        &forbidden,
        &unsupported,
        &making,
    ]
    .join("\n")
}

fn section(title: &str, note: &str, rows: &[(&str, &str)]) -> String {
    let rows: String = rows.iter().map(|(call, why)| format!("| `{call}` | {why} |\n")).collect();
    let note = if note.is_empty() { String::new() } else { format!("{note}\n\n") };
    format!("## {title}\n\n{note}| call | why |\n|---|---|\n{rows}")
}

fn requests(title: &str, rows: &[(u64, &str)]) -> String {
    let row = |(request, why): &(u64, &str)| format!("| `{request:#x}` | {why} |\n");
    let rows: String = rows.iter().map(row).collect();
    format!("## {title}\n\n| request | why |\n|---|---|\n{rows}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_in_the_repository_matches_the_tables() {
        let file = include_str!("../../seccomp/calls.md");
        let again = "belljar-warden calls > sandbox-image/seccomp/calls.md";
        assert_eq!(file, document(), "regenerate it: {again}");
    }
}
