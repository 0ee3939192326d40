//! The system-call filter of the warden's container: the calls that cells may make and those that
//! creating a cell requires. A file for Docker, Podman and Kubernetes, generated from the same table
//! as the cells' own filter.
//!
//! It protects the kernel from a compromised warden and from code that escaped its cell: neither can
//! load a module, trace another process or open a network socket.

use serde_json::{Value, json};

use crate::syscalls::policy::{
    ALLOWED_NAMES, EXIT_SIGNAL_BITS, EXIT_SIGNALS, IOCTLS, MAKING_NAMES, NAMESPACES,
};

/// Further calls that the warden makes, or that creating a zygote requires.
const BUILDING: &[(&str, &str)] = &[
    ("memfd_create", "the cells' specification, from the warden to the zygote"),
    ("mount_setattr", "makes what is shown read-only, with all that is mounted below"),
    ("open", "the warden's and the jail's own way to open files"),
    ("openat2", "the warden looks into a work directory and stays inside"),
    ("pidfd_send_signal", "the warden ends a cell"),
    ("pivot_root", "the zygote lets go of the container's files"),
    ("umount2", "the zygote lets go of the container's files"),
];

/// The filter as JSON, one rule per line.
pub fn profile() -> String {
    let rules: Vec<String> = rules().iter().map(|rule| format!("    {rule}")).collect();
    format!(
        "{{\n  \"defaultAction\": \"SCMP_ACT_ERRNO\",\n  \"defaultErrnoRet\": {},\n  \
         \"syscalls\": [\n{}\n  ]\n}}\n",
        libc::ENOSYS,
        rules.join(",\n")
    )
}

fn rules() -> Vec<Value> {
    let freely = |table: &[(&str, &str)]| -> Vec<Value> {
        let rows =
            table.iter().filter(|(call, _)| !LIMITED.contains(call) && !OF_ROOT.contains(call));
        rows.map(|(call, why)| allow(call, &[], why)).collect()
    };
    let ioctls = IOCTLS.iter().map(|(request, why)| allow("ioctl", &[equal(1, *request)], why));
    let clones = EXIT_SIGNALS.iter().map(|&signal| {
        let flags = masked(0, NAMESPACES | EXIT_SIGNAL_BITS, signal);
        allow("clone", &[flags], "fork and threads, without new namespaces or a signal of choice")
    });
    let local = libc::AF_UNIX as u64;
    [
        freely(ALLOWED_NAMES),
        ioctls.collect(),
        clones.collect(),
        freely(MAKING_NAMES),
        freely(BUILDING),
        vec![
            refuse("clone3", libc::ENOSYS, &[], "its flags cannot be seen; all fall back on clone"),
            allow("unshare", &[equal(0, ROOT)], "the zygote's view of the files"),
            allow("unshare", &[equal(0, CELL)], "the cell's own everything"),
            allow("unshare", &[equal(0, USERS)], "the owner of network namespaces"),
            allow("unshare", &[equal(0, NETWORK)], "a network namespace with that owner"),
            allow("unshare", &[equal(0, CELL & !NETWORK)], "everything else of the cell's own"),
            allow("setns", &[equal(1, USERS)], "the owner of network namespaces"),
            allow("setns", &[equal(1, NETWORK)], "a network namespace that is free"),
            allow("socket", &[equal(0, local)], "local sockets only"),
            allow("socketpair", &[equal(0, local)], "local sockets only"),
            refuse("socket", libc::EAFNOSUPPORT, &[differs(0, local)], "there is no network"),
            refuse("socketpair", libc::EAFNOSUPPORT, &[differs(0, local)], "there is no network"),
        ],
    ]
    .concat()
}

/// Calls of the tables that are allowed with certain arguments only.
const LIMITED: &[&str] = &["clone", "ioctl", "setns", "socket", "socketpair", "unshare"];
/// Calls that only a warden with root makes; in the container it is not root.
const OF_ROOT: &[&str] = &["setgroups", "setresgid", "setresuid"];

const ROOT: u64 = (libc::CLONE_NEWUSER | libc::CLONE_NEWNS) as u64;
const CELL: u64 = NAMESPACES;
const USERS: u64 = libc::CLONE_NEWUSER as u64;
const NETWORK: u64 = libc::CLONE_NEWNET as u64;

fn allow(call: &str, arguments: &[Value], why: &str) -> Value {
    rule(json!({"names": [call], "action": "SCMP_ACT_ALLOW"}), arguments, why)
}

fn refuse(call: &str, error: i32, arguments: &[Value], why: &str) -> Value {
    let refusal = json!({"names": [call], "action": "SCMP_ACT_ERRNO", "errnoRet": error});
    rule(refusal, arguments, why)
}

fn rule(mut rule: Value, arguments: &[Value], why: &str) -> Value {
    if !arguments.is_empty() {
        rule["args"] = arguments.into();
    }
    rule["comment"] = why.into();
    rule
}

fn equal(index: u32, value: u64) -> Value {
    json!({"index": index, "value": value, "op": "SCMP_CMP_EQ"})
}

fn differs(index: u32, value: u64) -> Value {
    json!({"index": index, "value": value, "op": "SCMP_CMP_NE"})
}

/// Matches if `value` is exactly the bits set under the mask `bits`.
fn masked(index: u32, bits: u64, value: u64) -> Value {
    json!({"index": index, "value": bits, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ"})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_in_the_repository_matches_the_tables() {
        let file = include_str!("../../../seccomp/container.json");
        let again = "belljar-warden seccomp-profile > sandbox-image/seccomp/container.json";
        assert_eq!(file, profile(), "regenerate it: {again}");
    }

    #[test]
    fn the_profile_is_valid_json() {
        serde_json::from_str::<Value>(&profile()).expect("every line is made by serde_json");
    }

    #[test]
    fn no_call_is_listed_twice() {
        for (call, _) in BUILDING {
            let others = ALLOWED_NAMES.iter().chain(MAKING_NAMES);
            assert!(!others.into_iter().any(|(other, _)| other == call), "{call} is listed twice");
        }
    }
}
