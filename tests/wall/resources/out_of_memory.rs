//! A machine or container that runs out of memory before a cell reaches its limit: simulated with a
//! cgroup, which requires root.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::{alive, execute, run};
use harness::{TestServer, Warden, below, warden_program};

/// Enough for warden, zygote and standbys, but less than a cell's limit.
const MEMORY_BYTES: u64 = 1 << 30;

/// Removed when dropped, after its last process.
struct Cgroup(PathBuf);

impl Cgroup {
    fn new() -> Cgroup {
        let at = Path::new("/sys/fs/cgroup");
        let name = format!("belljar-test-{}", std::process::id());
        let unified = at.join("cgroup.controllers").exists();
        let (folder, file) = match unified {
            true => (at.join(name), "memory.max"),
            false => (at.join("memory").join(name), "memory.limit_in_bytes"),
        };
        std::fs::create_dir(&folder).expect("root can make a cgroup");
        let cgroup = Cgroup(folder);
        std::fs::write(cgroup.0.join(file), MEMORY_BYTES.to_string()).expect("it has a limit");
        cgroup
    }

    /// How often an allocation failed.
    fn refusals(&self) -> u64 {
        let output =
            [("memory.failcnt", ""), ("memory.events", "max ")].iter().find_map(|(file, line)| {
                let text = std::fs::read_to_string(self.0.join(file)).ok()?;
                text.lines().find_map(|found| found.strip_prefix(line)?.trim().parse().ok())
            });
        output.expect("a memory cgroup counts them")
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // The kernel takes a moment to remove killed processes, and sends no event.
        while std::fs::remove_dir(&self.0)
            .is_err_and(|error| error.kind() == std::io::ErrorKind::ResourceBusy)
        {
            std::thread::yield_now();
        }
    }
}

/// [E13]
#[tokio::test]
async fn when_memory_is_full_the_cell_dies_and_neither_warden_nor_zygote() {
    // Cells have their own cgroups, or none: the kills are counted in different places.
    for hide in ["", "mount -t tmpfs none /sys/fs/cgroup\n"] {
        let cgroup = Cgroup::new();
        let mut program = Command::new("unshare");
        let enter = format!("echo $$ > '{}/cgroup.procs'\n{hide}exec \"$@\"", cgroup.0.display());
        program.args(["--mount", "--propagation", "private", "sh", "-euc", &enter, "sh"]);
        program.arg(warden_program());
        let warden = Warden::start_by(program, &["--wall-ms", "20000"]);
        let server = TestServer::builder().sandbox(&warden.socket()).start().await;
        alive(&server).await;
        let zygote = below(warden.id())[0];

        let code = "print('before', flush=True)\nx = bytearray(b'x') * (1900 << 20)";
        let answer = execute(&server, code).await;

        assert!(cgroup.refusals() > 0, "its memory was not full");
        let words = "MemoryError: killed, the sandbox's memory was full\n";
        assert_eq!((&answer["stdout"], &answer["stderr"]), (&json!("before\n"), &json!(words)));
        assert_eq!(answer["outcome"], "failed", "{answer}");
        assert_eq!(answer["limit"], json!({"name": "sandbox_memory", "value": 0}), "{answer}");
        assert_eq!(below(warden.id())[0], zygote);
        alive(&server).await;
        // A process that kills itself is reported as usual, regardless of earlier kills.
        let crashed = run(&server, "import os; os.kill(os.getpid(), 9)").await.failed();
        assert_eq!(crashed, "Crashed: killed (SIGKILL)\n");
        drop((server, warden));
    }
}
