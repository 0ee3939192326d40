//! Users of cells outside: one for each cell, if the warden may change users.
//!
//! The kernel checks permissions and counts resources by user. Cells with different users cannot signal each
//! other, open each other's files or use up each other's share of kernel tables, even if another layer fails.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::process::{Gid, Uid};

/// Number of users. More than the number of cells that run or have just ended.
pub const COUNT: u32 = 1024;
/// First user id of a range that systems do not assign, and the number of wardens for which it has room. Two
/// wardens must not share users, because each kills all processes of its users.
const MANY: (u32, u32) = (1_900_000_000, 240_000);
/// First user id in a container that has only small numbers. It is unused, and such a container has one
/// warden.
const FEW: u32 = 52_000;

/// Free users. The one that has been free longest is next, so that remains of an earlier cell have had time
/// to end.
#[derive(Debug)]
pub struct UidPool {
    first: u32,
    free: Mutex<VecDeque<u32>>,
}

/// A user, and the group with the same id. Returned to the pool on drop.
#[derive(Debug)]
pub struct CellUser {
    id: u32,
    users: Arc<UidPool>,
}

impl UidPool {
    /// Users from this id on, or from an id that is likely to be unused.
    pub fn from(first: Option<u32>) -> Option<Arc<UidPool>> {
        let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
        let first =
            first.or_else(|| likely(std::process::id()).into_iter().find(|id| exist(&map, *id)))?;
        let free = (first..first.saturating_add(COUNT)).collect();
        Some(Arc::new(UidPool { first, free: Mutex::new(free) }))
    }

    /// The smallest id.
    pub fn first(&self) -> u32 {
        self.first
    }

    pub fn take(self: &Arc<UidPool>) -> Option<CellUser> {
        let id = self.free.lock().pop_front()?;
        Some(CellUser { id, users: Arc::clone(self) })
    }
}

/// Candidates for the first user id of the warden with this process id, best first.
fn likely(process: u32) -> [u32; 2] {
    let (first, wardens) = MANY;
    [first + process % wardens * COUNT, FEW]
}

/// Whether the users from `first` on are mapped in this `uid_map`.
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

impl CellUser {
    pub fn id(&self) -> u32 {
        self.id
    }
}

impl Drop for CellUser {
    fn drop(&mut self) {
        self.users.free.lock().push_back(self.id);
    }
}

/// Runs `act` in a thread that has only this user, in all three user ids.
pub fn as_user<T: Send>(id: u32, act: impl FnOnce() -> T + Send) -> io::Result<T> {
    let (user, group) = (Uid::from_raw(id), Gid::from_raw(id));
    in_thread_of([group; 3], [user; 3], act)
}

/// Runs `act` in a thread with this effective user, so that it can read what the user can. The real user id
/// stays, so the user's processes cannot signal the warden.
pub fn with_effective_uid<T: Send>(id: u32, act: impl FnOnce() -> T + Send) -> io::Result<T> {
    let (user, group) = (rustix::process::getuid(), rustix::process::getgid());
    in_thread_of([group, Gid::from_raw(id), group], [user, Uid::from_raw(id), user], act)
}

/// Real, effective and saved ids.
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

/// Capabilities of this process that decide which users cells can have.
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
        /// The kernel's numbers of the capabilities.
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
    fn a_user_is_not_given_out_twice() {
        let users = UidPool::from(Some(100)).expect("it was asked for");
        let (a, b) = (users.take().expect("there are"), users.take().expect("there are"));
        assert_eq!((a.id(), b.id()), (100, 101));
        drop(a);
        assert_eq!(users.take().map(|user| user.id()), Some(102), "the oldest comes first");
    }

    #[test]
    fn the_number_of_users_is_limited() {
        let users = UidPool::from(Some(u32::MAX - 1)).expect("it was asked for");
        let held: Vec<_> = std::iter::from_fn(|| users.take()).collect();
        assert_eq!(held.len(), 1);
    }

    #[test]
    fn unmapped_users_are_not_used() {
        let all = "         0          0 4294967295\n";
        let container = "         0     100000      65536\n";
        let one = "      1000          0          1\n";
        let known = |map| likely(7).map(|first| exist(map, first));
        assert_eq!([all, container, one].map(known), [[true, true], [false, true], [false, false]]);
    }

    #[test]
    fn two_wardens_share_no_user_and_all_ids_are_valid() {
        let [one, other, last] = [1, 2, MANY.1 - 1].map(|process| likely(process)[0]);
        assert!(one + COUNT <= other);
        assert!(last + COUNT < 2_147_352_576, "systems assign those");
    }

    #[test]
    fn capabilities_are_read_from_the_kernel_status_file() {
        // Docker's default set, all capabilities, and none.
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
