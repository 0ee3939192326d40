//! What a server, its warden and its zygote hold, counted from outside: for stories in which nothing
//! may pile up.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::net::sockopt::socket_peercred;
use tokio::time::interval;

use super::program::{Program, below};

/// The process table of others sends no events; it has to be looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Looks that have to find the same.
const CALM: usize = 25;
/// How long what has been killed may take to be cleared away, and standbys to be replaced, on a busy machine.
const SETTLES_WITHIN: Duration = Duration::from_secs(60);

/// The three that live on while cells come and go: server, warden, zygote.
#[derive(Debug)]
pub struct Household {
    members: [Member; 3],
    /// Where the warden puts what does not last.
    folder: PathBuf,
}

/// A process. Numbers are given out anew, moments are not.
#[derive(Debug)]
struct Member {
    process: i32,
    started: String,
}

/// Ten times as long as a zygote waits between two pieces.
const RESTS_FOR: Duration = Duration::from_secs(1);

/// Groups that a warden keeps: sixteen, each of which is two folders where limits have a tree each.
const KEPT_CGROUPS: usize = 32;

/// What could pile up. Where there are three: of the server, the warden and the zygote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// Below the warden: the zygote and standbys.
    pub processes: usize,
    pub files: [usize; 3],
    pub mounts: [usize; 3],
    /// Of this warden, with nobody in them, beyond those that it keeps for cells to come.
    pub cgroups: usize,
    pub temporary: usize,
}

impl Household {
    /// Settings of a warden that keeps its one zygote, where it would be replaced from time to time,
    /// and its number of standbys, which would grow with the crowd.
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

    /// Of a server that is ready and its warden, which has a folder of its own around its socket.
    pub fn of(server: &Program, socket: &Path) -> Household {
        let server = i32::try_from(server.id()).expect("Linux has smaller numbers");
        let stream = UnixStream::connect(socket).expect("the warden listens");
        let warden = socket_peercred(stream).expect("the kernel knows").pid.as_raw_nonzero().get();
        // Cells look the same, but for the namespace in which they have a number of their own.
        let is_zygote = |process: &i32| numbers(*process) == 1 && started(*process).is_some();
        let zygote = below(number(warden)).into_iter().find(is_zygote);
        let members = [server, warden, zygote.expect("the warden has a zygote")]
            .map(|process| Member { process, started: started(process).expect("it lives") });
        let folder = socket.parent().expect("it is a file").to_owned();
        Household { members, folder }
    }

    /// Whether none of them had to be replaced.
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
            files: self.each(|process| entries(format!("/proc/{process}/fd"))),
            mounts: self.each(|process| text(process, "mountinfo").lines().count()),
            cgroups: cgroups(Path::new("/sys/fs/cgroup"), &format!("belljar-{}-", warden.process))
                .saturating_sub(KEPT_CGROUPS),
            temporary: entries(&self.folder),
        }
    }

    /// Counts until the numbers are those that are expected, or have had their time. Without such, until they
    /// stay the same while warden and zygote have nothing to do: on a busy machine standbys that are still to
    /// come may take longer than numbers that stay the same for a while.
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

    /// Waits until the zygote has done what it does ahead, a piece at a time, when nobody asks it for cells,
    /// and the warden has all its standbys.
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

    /// Resident memory of each in KiB. What a zygote shares with its cells is its own as well.
    pub fn memory_kib(&self) -> [u64; 3] {
        self.each(|process| {
            let text = text(process, "status");
            let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
            let number = line.and_then(|rest| rest.split_whitespace().next());
            number.and_then(|number| number.parse().ok()).expect("it lives and has memory")
        })
    }
}

/// Of user and system together, in the kernel's unit.
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

/// When it started, in the kernel's words. Nothing where it has ended.
fn started(process: i32) -> Option<String> {
    let stat = text(process, "stat");
    let mut after_name = stat.rsplit_once(')')?.1.split_whitespace();
    let state = after_name.next()?;
    (!matches!(state, "Z" | "X")).then_some(after_name.nth(18)?.to_owned())
}

/// How many numbers a process has: one in each namespace that it can be seen from.
fn numbers(process: i32) -> usize {
    let status = text(process, "status");
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    line.map_or(0, |numbers| numbers.split_whitespace().count())
}

fn entries(folder: impl AsRef<Path>) -> usize {
    fs::read_dir(folder).map_or(0, Iterator::count)
}

/// Those below this one whose names begin so. Whoever still is in one is at work.
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
