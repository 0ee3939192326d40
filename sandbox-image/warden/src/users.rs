//! Who cells are outside: a user for each, where the warden may give users away.
//!
//! The kernel counts and permits by user. A user that only one cell has keeps the cells' signals,
//! files and shares of the kernel's tables apart, whatever else stands between them.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Gid, Uid};

/// How many there are. More than cells that live or have just died.
pub const COUNT: u32 = 1024;
/// Where no system gives numbers away by itself, there is room for so many wardens of one machine.
/// Users of two must not be the same, for each kills whatever a user of its own has left.
const MANY: (u32, u32) = (1_900_000_000, 240_000);
/// A container that has only the small numbers has some that nobody uses, and one warden.
const FEW: u32 = 52_000;

/// Users that no cell has. The one that has been free longest is next, so that what an earlier cell
/// left on its way to its end has had time to get there.
#[derive(Debug)]
pub struct Users {
    first: u32,
    free: Mutex<VecDeque<u32>>,
}

/// A user, and the group of the same number. Given back when dropped.
#[derive(Debug)]
pub struct User {
    id: u32,
    users: Arc<Users>,
}

impl Users {
    /// From this number on, or from where one may assume that nobody has them.
    pub fn from(first: Option<u32>) -> Option<Arc<Users>> {
        let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
        let first =
            first.or_else(|| likely(std::process::id()).into_iter().find(|id| exist(&map, *id)))?;
        let free = (first..first.saturating_add(COUNT)).collect();
        Some(Arc::new(Users { first, free: Mutex::new(free) }))
    }

    /// The smallest number of them.
    pub fn first(&self) -> u32 {
        self.first
    }

    pub fn take(self: &Arc<Users>) -> Option<User> {
        let id = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop_front()?;
        Some(User { id, users: Arc::clone(self) })
    }
}

/// Where the users of the warden that is this process begin, best first.
fn likely(process: u32) -> [u32; 2] {
    let (first, wardens) = MANY;
    [first + process % wardens * COUNT, FEW]
}

/// Whether users from this one on are known to a process that sees this map.
fn exist(map: &str, first: u32) -> bool {
    map.lines().any(|line| {
        let mut numbers = line.split_whitespace().map_while(|number| number.parse::<u32>().ok());
        let (Some(inside), Some(_), Some(count)) = (numbers.next(), numbers.next(), numbers.next())
        else {
            return false;
        };
        inside <= first
            && u64::from(first) + u64::from(COUNT) <= u64::from(inside) + u64::from(count)
    })
}

impl User {
    pub fn id(&self) -> u32 {
        self.id
    }
}

impl Drop for User {
    fn drop(&mut self) {
        self.users.free.lock().unwrap_or_else(PoisonError::into_inner).push_back(self.id);
    }
}

/// Does this in a thread that is this user and no other, and can do nothing else.
pub fn as_user<T: Send>(id: u32, act: impl FnOnce() -> T + Send) -> io::Result<T> {
    let (user, group) = (Uid::from_raw(id), Gid::from_raw(id));
    in_thread_of([group; 3], [user; 3], act)
}

/// Does this in a thread that may look where this user may. What the user could signal it is not: its
/// own process still is what it was.
pub fn with_eyes_of<T: Send>(id: u32, act: impl FnOnce() -> T + Send) -> io::Result<T> {
    let (user, group) = (rustix::process::getuid(), rustix::process::getgid());
    in_thread_of([group, Gid::from_raw(id), group], [user, Uid::from_raw(id), user], act)
}

/// Real, effective and saved, each.
fn in_thread_of<T: Send>(
    [group, in_effect, saved]: [Gid; 3],
    users: [Uid; 3],
    act: impl FnOnce() -> T + Send,
) -> io::Result<T> {
    let changed = || {
        rustix::thread::set_thread_res_gid(group, in_effect, saved)?;
        let [user, in_effect, saved] = users;
        rustix::thread::set_thread_res_uid(user, in_effect, saved)?;
        Ok(act())
    };
    std::thread::scope(|scope| {
        scope.spawn(changed).join().unwrap_or_else(|_| Err(io::Error::other("a thread panicked")))
    })
}

/// What this process may do that decides who its cells can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rights {
    pub change_users: bool,
    pub mount: bool,
}

impl Rights {
    pub fn of_this_process() -> Rights {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        Rights::read(&status)
    }

    fn read(status: &str) -> Rights {
        /// Numbers of the capabilities, as the kernel has them.
        const SETGID: u32 = 6;
        const SETUID: u32 = 7;
        const SYS_ADMIN: u32 = 21;
        let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
        let held = line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0);
        let has = |capability: u32| held & (1 << capability) != 0;
        Rights { change_users: has(SETUID) && has(SETGID), mount: has(SYS_ADMIN) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_nobody_elses_until_it_is_given_back() {
        let users = Users::from(Some(100)).expect("it was asked for");
        let (a, b) = (users.take().expect("there are"), users.take().expect("there are"));
        assert_eq!((a.id(), b.id()), (100, 101));
        drop(a);
        assert_eq!(users.take().map(|user| user.id()), Some(102), "the oldest comes first");
    }

    #[test]
    fn there_is_an_end_to_them() {
        let users = Users::from(Some(u32::MAX - 1)).expect("it was asked for");
        let held: Vec<_> = std::iter::from_fn(|| users.take()).collect();
        assert_eq!(held.len(), 1);
    }

    #[test]
    fn users_that_the_kernel_does_not_know_are_not_taken() {
        let all = "         0          0 4294967295\n";
        let container = "         0     100000      65536\n";
        let one = "      1000          0          1\n";
        let known = |map| likely(7).map(|first| exist(map, first));
        assert_eq!([all, container, one].map(known), [[true, true], [false, true], [false, false]]);
    }

    #[test]
    fn two_wardens_have_no_user_in_common_and_none_is_beyond_the_numbers() {
        let [one, other, last] = [1, 2, MANY.1 - 1].map(|process| likely(process)[0]);
        assert!(one + COUNT <= other);
        assert!(last + COUNT < 2_147_352_576, "the system gives those away");
    }

    #[test]
    fn rights_are_read_as_the_kernel_writes_them() {
        // Docker's default set, all of root's, and nobody's.
        for (held, change_users, mount) in [
            ("00000000a80425fb", true, false),
            ("000001ffffffffff", true, true),
            ("0000000000000000", false, false),
            ("", false, false),
        ] {
            let status = format!("Name:\tx\nCapPrm:\t0\nCapEff:\t{held}\n");
            assert_eq!(Rights::read(&status), Rights { change_users, mount }, "{held}");
        }
    }
}
