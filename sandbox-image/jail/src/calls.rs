//! The tables for people: what code in a cell can ask the kernel, and why.

use crate::table::{
    ALLOWED_NAMES, FCNTLS_FORBIDDEN, FORBIDDEN_NAMES, IOCTLS, MAKING_NAMES, UNSUPPORTED_NAMES,
};

const HEAD: &str = "# System calls of a cell

Made by `belljar-warden calls` from the tables that the filter is made of. A row for one kind of machine
only, as `arch_prctl`, is a call that other machines do not have.

Whatever is not named here does not exist (ENOSYS), and libraries fall back. Nothing is ever killed for
a call, but for one in the way of a foreign architecture.
";

/// Everything in Markdown.
pub fn document() -> String {
    let allowed = section(
        "Allowed",
        "`clone` makes no namespace and no sibling, `fcntl` does not what the third table has, `socket` and `socketpair` make local sockets only, and `ioctl` asks \
         only what the next table has.",
        ALLOWED_NAMES,
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
        &requests("No business of `fcntl` (EPERM)", FCNTLS_FORBIDDEN),
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
    fn the_file_in_the_repository_is_what_the_tables_say() {
        let file = include_str!("../../seccomp/calls.md");
        let again = "belljar-warden calls > sandbox-image/seccomp/calls.md";
        assert_eq!(file, document(), "make it again: {again}");
    }
}
