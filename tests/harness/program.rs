//! The server as a separate process, for tests of its start and stop.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::built::belljar;
use super::reply::Client;
use super::warden;

/// A `belljar serve` that is ready. Killed when dropped.
#[derive(Debug)]
pub struct Program {
    process: Child,
    client: Client,
    /// Temporary files, removed after the process is killed.
    scratch: Option<tempfile::TempDir>,
}

impl Program {
    /// Starts the server on this data folder and waits for its line with the address. Uses the tests' warden.
    pub fn start(data: &Path, arguments: &[&str]) -> Program {
        let mut command = command(arguments);
        command.arg("--sandbox-socket").arg(warden::socket());
        Program::ready(command, data)
    }

    /// The same with a warden of its own and default settings, as `make run` starts it.
    pub fn start_whole(data: &Path, arguments: &[&str]) -> Program {
        let scratch = tempfile::tempdir().expect("the temporary folder can be created");
        let mut server = Program::whole(data, scratch.path(), arguments);
        server.scratch = Some(scratch);
        server
    }

    /// The same, with this folder for temporary files.
    pub fn start_whole_in(data: &Path, scratch: &Path) -> Program {
        Program::whole(data, scratch, &[])
    }

    fn whole(data: &Path, scratch: &Path, arguments: &[&str]) -> Program {
        warden::require_no_external_warden();
        let mut command = command(arguments);
        command.env("TMPDIR", scratch).arg("--libraries").arg(warden::libraries());
        Program::ready(command, data)
    }

    fn ready(mut command: Command, data: &Path) -> Program {
        let mut process = command
            .arg("--data-dir")
            .arg(data)
            .args(["--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server is a program");
        let mut line = String::new();
        let stdout = process.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("it is text");
        let url = line
            .trim_end()
            .strip_prefix("belljar listening on ")
            .unwrap_or_else(|| panic!("unexpected first line {line:?}"));
        Program { client: Client::new(url.to_owned()), process, scratch: None }
    }

    /// The same with a data folder on a file system of its own with this size in MiB. [`Program::sees`]
    /// maps its paths.
    pub fn start_on_small_disk(data: &Path, mib: u32) -> Program {
        let mount = format!("mount -t tmpfs -o size={mib}m tmpfs \"$0\" && exec \"$@\"");
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &mount]).arg(data);
        command.arg(belljar()).args(["serve", "--sandbox-socket"]);
        command.arg(warden::socket()).env_remove("BELLJAR_API_KEYS").stdin(Stdio::null());
        Program::ready(command, data)
    }

    /// Starts it on a data folder that is kept after it.
    pub fn start_on_disk(disk: &SmallDisk, arguments: &[&str]) -> Program {
        let mut command = disk.enter();
        command.arg(belljar()).args(["serve", "--sandbox-socket"]);
        command.arg(warden::socket()).args(arguments).env("BELLJAR_LOG", "error");
        command.env_remove("BELLJAR_API_KEYS").stdin(Stdio::null());
        Program::ready(command, disk.folder.path())
    }

    /// The test's path of a path in the program's mount namespace.
    pub fn sees(&self, path: &Path) -> PathBuf {
        let inside = path.strip_prefix("/").expect("it is a whole path");
        PathBuf::from(format!("/proc/{}/root", self.process.id())).join(inside)
    }

    /// Starts the server with this file for its log.
    pub fn start_with_log(data: &Path, arguments: &[&str], log: &Path, level: &str) -> Program {
        let log = std::fs::File::create(log).expect("the folder is the test's");
        let mut command = command(arguments);
        command.arg("--sandbox-socket").arg(warden::socket()).env("BELLJAR_LOG", level).stderr(log);
        Program::ready(command, data)
    }

    /// Runs a server that is expected to fail at its start.
    pub fn fail(arguments: &[&str]) -> Output {
        command(arguments).output().expect("the server is a program")
    }

    /// Starts the server on this data folder with the warden at this socket.
    pub fn start_on(data: &Path, socket: &Path) -> Program {
        let mut command = command(&[]);
        command.arg("--sandbox-socket").arg(socket);
        Program::ready(command, data)
    }

    /// Kills the server as `kill -9` or the out-of-memory killer does.
    pub fn kill(mut self) {
        self.process.kill().expect("it is our child");
        self.process.wait().expect("it is our child");
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    pub fn url(&self) -> &str {
        self.client.url()
    }

    pub fn terminate(&self) {
        let id = i32::try_from(self.process.id()).expect("Linux has smaller numbers");
        let id = Pid::from_raw(id).expect("no process is 0");
        kill_process(id, Signal::TERM).expect("it is our child");
    }

    pub fn wait(&mut self) -> ExitStatus {
        self.process.wait().expect("it is our child")
    }
}

/// A disk of a few MiB, in a mount namespace of its own. Servers are started and killed in it.
#[derive(Debug)]
pub struct SmallDisk {
    /// Keeps the namespace. It ends with its input.
    holder: Child,
    folder: tempfile::TempDir,
}

impl SmallDisk {
    pub fn new(mib: u32) -> SmallDisk {
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        let mount =
            format!("mount -t tmpfs -o size={mib}m tmpfs \"$0\" && echo mounted && exec cat");
        let mut holder = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", &mount])
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare is installed");
        let mut line = String::new();
        let stdout = holder.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("it is text");
        assert_eq!(line, "mounted\n");
        SmallDisk { holder, folder }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a shell script in the namespace, with the folder as `$0`.
    pub fn run(&self, script: &str) {
        let mut command = self.enter();
        let status = command.args(["sh", "-ec", script]).arg(self.folder.path()).status();
        assert!(status.expect("nsenter is installed").success(), "{script}");
    }

    fn enter(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.arg("--target").arg(self.holder.id().to_string());
        command.args(["--user", "--mount", "--preserve-credentials", "--"]);
        command
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // It may have ended already, which is what was wanted.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

impl std::ops::Deref for Program {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(belljar());
    command.arg("serve").args(arguments).env_remove("BELLJAR_API_KEYS").stdin(Stdio::null());
    command
}

/// All descendants of a process, breadth first; the children of a process in order of their start.
pub fn below(root: u32) -> Vec<i32> {
    let mut found = vec![i32::try_from(root).expect("Linux has smaller numbers")];
    let mut all: Vec<Entry> = std::fs::read_dir("/proc")
        .expect("it is there")
        .filter_map(|entry| Entry::read(entry.ok()?.file_name().to_str()?))
        .collect();
    // Process ids wrap around, so the start time comes first.
    all.sort_by_key(|entry| (entry.started, entry.process));
    let mut at = 0;
    while let Some(&parent) = found.get(at) {
        found.extend(all.iter().filter(|entry| entry.parent == parent).map(|entry| entry.process));
        at += 1;
    }
    found.remove(0);
    found
}

/// An entry of the process table.
struct Entry {
    process: i32,
    parent: i32,
    /// In clock ticks since boot.
    started: u64,
}

impl Entry {
    fn read(number: &str) -> Option<Entry> {
        let process = number.parse().ok()?;
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        // The process name before it may contain spaces.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        let parent = fields.nth(1)?.parse().ok()?;
        Some(Entry { process, parent, started: fields.nth(17)?.parse().ok()? })
    }
}
