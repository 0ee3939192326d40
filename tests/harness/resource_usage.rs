//! Resources held by a server, its warden and its zygote, measured from outside: for tests of leaks.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::net::sockopt::socket_peercred;
use tokio::time::interval;

use super::program::{Program, below};

/// The process table sends no events, so it is polled.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Equal counts in sequence that end the wait.
const CALM: usize = 25;
/// Limit for killed processes to be cleaned up, and standbys to be replaced, on a busy machine.
const SETTLES_WITHIN: Duration = Duration::from_secs(60);

/// The three processes that outlive cells: server, warden, zygote.
#[derive(Debug)]
pub struct ProcessGroup {
    members: [Member; 3],
    /// The warden's runtime folder.
    folder: PathBuf,
}

/// A process. Process ids are reused, so the start time identifies it as well.
#[derive(Debug)]
struct Member {
    process: i32,
    started: String,
}

/// Ten times the pause of a zygote between two pieces of its background work.
const RESTS_FOR: Duration = Duration::from_secs(1);

/// Empty control groups that a warden keeps: sixteen, each of which is two folders with cgroups v1.
const KEPT_CGROUPS: usize = 32;

/// Network namespaces that a warden keeps for each zygote, and those of cells in use.
const KEPT_NETWORKS: usize = 32 + 64;

/// Resources that could leak. Arrays are of the server, the warden and the zygote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// Below the warden: the zygote and standbys.
    pub processes: usize,
    pub files: [usize; 3],
    pub mounts: [usize; 3],
    /// Empty groups of this warden, beyond those that it keeps for later cells.
    pub cgroups: usize,
    pub temporary: usize,
}

impl ProcessGroup {
    /// Options for a warden that keeps one zygote, which would otherwise be replaced at intervals, and a
    /// fixed number of standbys, which would otherwise grow with the load.
    pub const ONE_ZYGOTE: &[&str] = &[
        "--kits",
        "science",
        "--zygote-forks",
        "1000000000",
        "--zygote-seconds",
        "86400",
        "--standby-mib",
        "1",
    ];

    /// For a ready server and its warden, whose socket is in a folder of its own.
    pub fn of(server: &Program, socket: &Path) -> ProcessGroup {
        let server = i32::try_from(server.id()).expect("Linux has smaller numbers");
        let stream = UnixStream::connect(socket).expect("the warden listens");
        let warden = socket_peercred(stream).expect("the kernel knows").pid.as_raw_nonzero().get();
        // Cells look the same, except that they have a process id in one more namespace.
        let is_zygote = |process: &i32| numbers(*process) == 1 && started(*process).is_some();
        let zygote = below(number(warden)).into_iter().find(is_zygote);
        let members = [server, warden, zygote.expect("the warden has a zygote")]
            .map(|process| Member { process, started: started(process).expect("it lives") });
        let folder = socket.parent().expect("it is a file").to_owned();
        ProcessGroup { members, folder }
    }

    /// Whether none of the processes was replaced.
    pub fn is_whole(&self) -> bool {
        self.members.iter().all(|member| started(member.process).as_ref() == Some(&member.started))
    }

    fn each<T>(&self, look: impl Fn(i32) -> T) -> [T; 3] {
        self.members.each_ref().map(|member| look(member.process))
    }

    pub fn count(&self) -> Count {
        let [_, warden, _] = &self.members;
        Count {
            processes: below(number(warden.process)).len(),
            files: self.each(files),
            mounts: self.each(|process| text(process, "mountinfo").lines().count()),
            cgroups: cgroups(Path::new("/sys/fs/cgroup"), &format!("belljar-{}-", warden.process))
                .saturating_sub(KEPT_CGROUPS),
            temporary: entries(&self.folder),
        }
    }

    /// Counts until the numbers equal `expected`, or the time limit is reached. Without `expected`, first
    /// waits until warden and zygote are idle, then counts until the numbers stay the same: on a busy
    /// machine, standbys may take longer to come than any fixed period of equal numbers.
    pub async fn settled(&self, expected: Option<&Count>) -> Count {
        if expected.is_none() {
            self.at_rest().await;
        }
        let mut last = self.count();
        let mut same = 0;
        let mut looks = interval(LOOK_EVERY);
        let began = Instant::now();
        while began.elapsed() < SETTLES_WITHIN {
            looks.tick().await;
            let now = self.count();
            same = if now == last { same + 1 } else { 0 };
            last = now;
            if expected.map_or(same == CALM, |expected| last == *expected) {
                break;
            }
        }
        last
    }

    /// Waits until the zygote has finished its background work, which it does in pieces while no cells are
    /// requested, and the warden has all its standbys.
    pub async fn at_rest(&self) {
        let [_, warden, zygote] = &self.members;
        let worked = || (processor_ticks(zygote.process), below(number(warden.process)));
        let (mut last, mut since) = (worked(), Instant::now());
        let mut looks = interval(LOOK_EVERY);
        while since.elapsed() < RESTS_FOR {
            looks.tick().await;
            let now = worked();
            if now != last {
                (last, since) = (now, Instant::now());
            }
        }
    }

    /// Resident memory of each in KiB. Pages that a zygote shares with its cells are included.
    pub fn memory_kib(&self) -> [u64; 3] {
        self.each(|process| {
            let text = text(process, "status");
            let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
            let number = line.and_then(|rest| rest.split_whitespace().next());
            number.and_then(|number| number.parse().ok()).expect("it lives and has memory")
        })
    }
}

/// User and system time, in clock ticks.
fn processor_ticks(process: i32) -> Option<(String, String)> {
    let stat = text(process, "stat");
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11).map(str::to_owned);
    Some((fields.next()?, fields.next()?))
}

fn number(process: i32) -> u32 {
    u32::try_from(process).expect("numbers of processes are positive")
}

fn text(process: i32, file: &str) -> String {
    fs::read_to_string(format!("/proc/{process}/{file}")).unwrap_or_default()
}

/// The start time in clock ticks, as the kernel formats it. `None` for an ended process.
fn started(process: i32) -> Option<String> {
    let stat = text(process, "stat");
    let mut after_name = stat.rsplit_once(')')?.1.split_whitespace();
    let state = after_name.next()?;
    (!matches!(state, "Z" | "X")).then_some(after_name.nth(18)?.to_owned())
}

/// The number of process ids of a process: one for each namespace in which it is visible.
fn numbers(process: i32) -> usize {
    let status = text(process, "status");
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    line.map_or(0, |numbers| numbers.split_whitespace().count())
}

/// Counts the open files of a process, without the network namespaces that a warden keeps for later cells. With each
/// it keeps a handle of the cell's first process, which tells it whether that has ended.
fn files(process: i32) -> usize {
    let links = fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
    let links =
        links.map(|link| (link.file_name(), fs::read_link(link.path()).unwrap_or_default()));
    let (mut all, mut networks, mut ended) = (0, 0, 0);
    for (number, link) in links {
        all += 1;
        let about = || text(process, &format!("fdinfo/{}", number.to_string_lossy()));
        if link.to_string_lossy().starts_with("net:[") {
            networks += 1;
        } else if about().contains("\nPid:\t-1\n") {
            ended += 1;
        }
    }
    let networks = networks.min(KEPT_NETWORKS);
    all - networks - ended.min(networks)
}

fn entries(folder: impl AsRef<Path>) -> usize {
    fs::read_dir(folder).map_or(0, Iterator::count)
}

/// Counts the empty groups below this folder with this prefix. A group with processes is in use.
fn cgroups(folder: &Path, prefix: &str) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| {
            let path = entry.path();
            let ours = entry.file_name().to_string_lossy().starts_with(prefix);
            let empty = fs::read(path.join("cgroup.procs")).is_ok_and(|list| list.is_empty());
            usize::from(ours && empty) + cgroups(&path, prefix)
        })
        .sum()
}
