//! The system-call filter: everything that the table does not allow is refused.
//!
//! Several filters are stacked, and the one installed last decides between two refusals: a call that
//! the table does not list fails with ENOSYS, on which libraries fall back; a call that is known to be
//! dangerous fails with EPERM; a socket that is not local fails with EAFNOSUPPORT; extended attributes
//! fail with EOPNOTSUPP. An argument that the table does not list fails as on an older kernel (EINVAL,
//! ENOPROTOOPT). Some calls return success and do nothing. Only a call through a foreign architecture's
//! entry point kills the process, so an honest program gets an error that it can handle.
//!
//! The zygote installs most filters before its first fork, and each cell inherits them: installing a
//! filter costs the kernel as much as a fork. The filters that a cell adds are short.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Len, SeccompCmpOp as Op, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch,
};

use crate::error::{Context, JailError};
use crate::spec::RootFs;
use crate::syscalls::policy::{
    ADVICE, ALLOWED, CHARACTER_DEVICE, CHILD_OF_PARENT, DONE, EXIT_SIGNAL_BITS, EXIT_SIGNALS,
    FCNTLS, FCNTLS_FORBIDDEN, FILES, FORBIDDEN, INIT, IOCTLS, KIND_OF_FILE, MAKING, MAX_BACKLOG,
    MAX_RENAME_FLAG, MESSAGE_CALLS, NAMESPACES, NOT_DUMPABLE, OUT_OF_BAND, PARENT_DEATH_SIGNALS,
    PRCTLS, SOCKET_LEVEL, SOCKET_OPTIONS_KEPT, SOCKET_OPTIONS_READ, SOCKET_OPTIONS_SET, THREAD,
    UNSHARE, UNSUPPORTED, WHITEOUT,
};

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Filters for a zygote and its cells, in the order of installation.
#[derive(Debug)]
pub struct Filters {
    zygote: [BpfProgram; 7],
    cell: CellFilters,
}

/// The filters that a cell adds to those of its zygote. They can only be made with the zygote's.
#[derive(Debug)]
pub struct CellFilters([BpfProgram; 2]);

impl Filters {
    pub fn compile(root_fs: &RootFs) -> Result<Filters, JailError> {
        Ok(Filters {
            zygote: [
                allowing(allowed()?, libc::ENOSYS)?,
                refusing(invalid(root_fs)?, libc::EINVAL)?,
                refusing(foreign_options()?, libc::ENOPROTOOPT)?,
                refusing(foreign_sockets()?, libc::EAFNOSUPPORT)?,
                refusing(unsupported()?, libc::EOPNOTSUPP)?,
                refusing(done()?, DONE_WITHOUT_AN_ERROR)?,
                refusing(forbidden(root_fs)?, libc::EPERM)?,
            ],
            cell: CellFilters([
                refusing(making(|is_forbidden| !is_forbidden), libc::ENOSYS)?,
                // Last, because it forbids installing another filter.
                refusing(making(|is_forbidden| is_forbidden), libc::EPERM)?,
            ]),
        })
    }

    /// From here on this process and its descendants have only the calls of a cell and those that
    /// create one. This is irreversible: filters can be added, not removed.
    pub fn enclose(self) -> Result<CellFilters, JailError> {
        install(&self.zygote)?;
        Ok(self.cell)
    }
}

impl CellFilters {
    pub(crate) fn install(&self) -> Result<(), JailError> {
        install(&self.0)
    }

    pub(crate) fn summary(&self) -> String {
        format!("{} system calls allowed, all others refused", ALLOWED.len())
    }
}

fn install(programs: &[BpfProgram]) -> Result<(), JailError> {
    for program in programs {
        seccompiler::apply_filter(program).doing("installing", "a system-call filter")?;
    }
    Ok(())
}

/// The call is not made, and the caller gets success.
const DONE_WITHOUT_AN_ERROR: i32 = 0;

/// Refuses all calls but these, with this error.
fn allowing(rules: Rules, error: i32) -> Result<BpfProgram, JailError> {
    program(rules, SeccompAction::Errno(error.cast_unsigned()), SeccompAction::Allow)
}

/// Refuses these calls, with this error.
fn refusing(rules: Rules, error: i32) -> Result<BpfProgram, JailError> {
    program(rules, SeccompAction::Allow, SeccompAction::Errno(error.cast_unsigned()))
}

fn program(
    rules: Rules,
    otherwise: SeccompAction,
    on_match: SeccompAction,
) -> Result<BpfProgram, JailError> {
    let arch =
        TargetArch::try_from(std::env::consts::ARCH).doing("filtering on", "this machine")?;
    SeccompFilter::new(rules, otherwise, on_match, arch)
        .and_then(BpfProgram::try_from)
        .doing("compiling", "a system-call filter")
}

/// Every call of the table, with any arguments.
fn whole(table: &[(libc::c_long, &str)]) -> Rules {
    table.iter().map(|(call, _)| (*call, Vec::new())).collect()
}

fn allowed() -> Result<Rules, JailError> {
    let mut rules = whole(ALLOWED);
    rules.extend(whole(MAKING));
    // The rules of one call are alternatives, so the exit signal is checked together with the flags.
    let flags =
        |signal| rule([(0, Len::Qword, Op::MaskedEq(BAD_FLAGS | EXIT_SIGNAL_BITS), signal)]);
    let clones: Result<_, _> = EXIT_SIGNALS.into_iter().map(flags).collect();
    rules.insert(libc::SYS_clone, clones?);
    rules.insert(libc::SYS_socket, vec![rule([(0, Len::Dword, Op::Eq, LOCAL)])?]);
    rules.insert(libc::SYS_socketpair, vec![rule([(0, Len::Dword, Op::Eq, LOCAL)])?]);
    let ioctls = IOCTLS.iter().map(|(request, _)| rule([(1, Len::Dword, Op::Eq, *request)]));
    rules.insert(libc::SYS_ioctl, ioctls.collect::<Result<_, _>>()?);
    Ok(rules)
}

/// The calls that create a cell: those that are otherwise forbidden, or the others.
fn making(wanted: impl Fn(bool) -> bool) -> Rules {
    let mut rules = whole(MAKING);
    rules.retain(|call, _| wanted(FORBIDDEN.iter().any(|(other, _)| other == call)));
    rules
}

/// Forbidden calls, without those that create a cell.
fn forbidden(root_fs: &RootFs) -> Result<Rules, JailError> {
    let mut rules = whole(FORBIDDEN);
    rules.retain(|call, _| !MAKING.iter().any(|(other, _)| other == call));
    let bits = (0..64).map(|bit| 1 << bit).filter(|bit| BAD_FLAGS & bit != 0);
    let bad = bits.map(|bit| rule([(0, Len::Qword, Op::MaskedEq(bit), bit)]));
    let own_table = rule([(0, Len::Qword, Op::MaskedEq(THREAD | FILES), THREAD)]);
    let signals = forbidden_exit_signals()
        .map(|(bits, signal)| rule([(0, Len::Qword, Op::MaskedEq(bits), signal)]));
    rules.insert(libc::SYS_clone, bad.chain(signals).chain([own_table]).collect::<Result<_, _>>()?);
    let whiteout = rule([
        (2, Len::Dword, Op::MaskedEq(KIND_OF_FILE), CHARACTER_DEVICE),
        (3, Len::Dword, Op::Eq, WHITEOUT),
    ])?;
    rules.insert(libc::SYS_mknodat, vec![whiteout]);
    let not_the_ordinary = rule([(1, Len::Dword, Op::Ne, libc::SCHED_OTHER as u64)])?;
    rules.insert(libc::SYS_sched_setscheduler, vec![not_the_ordinary]);
    rules.insert(
        libc::SYS_prlimit64,
        vec![match root_fs {
            RootFs::Private => rule([(0, Len::Dword, Op::Eq, INIT)])?,
            // On a shared root, init can have any process id.
            RootFs::Host { .. } => rule([(0, Len::Dword, Op::Ne, 0)])?,
        }],
    );
    let other_signal = PARENT_DEATH_SIGNALS
        .iter()
        .map(|signal| condition(1, Len::Qword, Op::Ne, *signal))
        .chain([condition(0, Len::Dword, Op::Eq, libc::PR_SET_PDEATHSIG as u64)]);
    let a_filter = rule([(0, Len::Dword, Op::Eq, libc::PR_SET_SECCOMP as u64)])?;
    rules.insert(libc::SYS_prctl, vec![all_of(other_signal)?, a_filter]);
    let fcntls = FCNTLS_FORBIDDEN.iter().map(|(what, _)| rule([(1, Len::Dword, Op::Eq, *what)]));
    rules.insert(libc::SYS_fcntl, fcntls.collect::<Result<_, _>>()?);
    rules.insert(libc::SYS_ioctl, vec![none_of(1, IOCTLS)?]);
    Ok(rules)
}

/// Masks of `clone`'s flags with a value that no allowed exit signal has: each bit that no allowed
/// signal uses, and every other combination of the remaining bits.
fn forbidden_exit_signals() -> impl Iterator<Item = (u64, u64)> {
    let known = EXIT_SIGNALS.into_iter().fold(0, |bits, signal| bits | signal);
    let foreign =
        (0..8).map(|bit| 1 << bit).filter(move |bit| known & bit == 0).map(|bit| (bit, bit));
    let parts = (1..=known).filter(move |value| value & !known == 0);
    let parts = parts.filter(|value| !EXIT_SIGNALS.contains(value));
    foreign.chain(parts.map(|value| (EXIT_SIGNAL_BITS, value)))
}

/// Arguments that an older kernel does not know either.
fn invalid(root_fs: &RootFs) -> Result<Rules, JailError> {
    let mut rules = Rules::from([
        (libc::SYS_fcntl, vec![none_of(1, FCNTLS)?]),
        (libc::SYS_prctl, vec![none_of(0, PRCTLS)?]),
        (libc::SYS_madvise, vec![none_of(2, ADVICE)?]),
        (libc::SYS_renameat2, vec![rule([(4, Len::Dword, Op::Gt, MAX_RENAME_FLAG)])?]),
        (libc::SYS_listen, vec![rule([(1, Len::Dword, Op::Gt, MAX_BACKLOG)])?]),
        // The caller's thread would get a descriptor table of its own, as with `clone`.
        (libc::SYS_close_range, vec![rule([(2, Len::Dword, Op::MaskedEq(UNSHARE), UNSHARE)])?]),
    ]);
    if let RootFs::Host { .. } = root_fs {
        // On a shared root files are on the machine's disk, and each write to such a file would flush it.
        let flushing = Op::MaskedEq(libc::O_DSYNC as u64);
        rules.insert(
            libc::SYS_openat,
            vec![rule([(2, Len::Dword, flushing, libc::O_DSYNC as u64)])?],
        );
    }
    Ok(rules)
}

/// Socket options that are refused, as by a family that does not have them.
fn foreign_options() -> Result<Rules, JailError> {
    let other_level = || rule([(1, Len::Dword, Op::Ne, SOCKET_LEVEL)]);
    let kept = SOCKET_OPTIONS_KEPT.map(|option| condition(2, Len::Dword, Op::Ne, option));
    let set =
        SOCKET_OPTIONS_SET.iter().map(|(option, _)| condition(2, Len::Dword, Op::Ne, *option));
    Ok(Rules::from([
        (libc::SYS_getsockopt, vec![other_level()?, none_of(2, SOCKET_OPTIONS_READ)?]),
        (libc::SYS_setsockopt, vec![other_level()?, all_of(set.chain(kept))?]),
    ]))
}

fn unsupported() -> Result<Rules, JailError> {
    let mut rules = whole(UNSUPPORTED);
    for &(call, argument) in MESSAGE_CALLS {
        let flag = rule([(argument, Len::Dword, Op::MaskedEq(OUT_OF_BAND), OUT_OF_BAND)])?;
        rules.insert(call, vec![flag]);
    }
    Ok(rules)
}

/// Calls, some with these arguments only, that return success without any effect.
fn done() -> Result<Rules, JailError> {
    let mut rules = whole(DONE);
    let waiting = libc::MS_SYNC as u64;
    rules.insert(libc::SYS_msync, vec![rule([(2, Len::Dword, Op::MaskedEq(waiting), waiting)])?]);
    let ordinary = rule([(1, Len::Dword, Op::Eq, libc::SCHED_OTHER as u64)])?;
    rules.insert(libc::SYS_sched_setscheduler, vec![ordinary]);
    // The warden could not look at the descriptors of such a process.
    let closing = rule([
        (0, Len::Dword, Op::Eq, libc::PR_SET_DUMPABLE as u64),
        (1, Len::Qword, Op::Eq, NOT_DUMPABLE),
    ])?;
    rules.insert(libc::SYS_prctl, vec![closing]);
    let kept = SOCKET_OPTIONS_KEPT.map(|option| {
        rule([(1, Len::Dword, Op::Eq, SOCKET_LEVEL), (2, Len::Dword, Op::Eq, option)])
    });
    rules.insert(libc::SYS_setsockopt, kept.into_iter().collect::<Result<_, _>>()?);
    Ok(rules)
}

fn foreign_sockets() -> Result<Rules, JailError> {
    let foreign = || Ok(vec![rule([(0, Len::Dword, Op::Ne, LOCAL)])?]);
    Ok(Rules::from([(libc::SYS_socket, foreign()?), (libc::SYS_socketpair, foreign()?)]))
}

/// Flags that no `clone` may have.
const BAD_FLAGS: u64 = NAMESPACES | CHILD_OF_PARENT;

/// The one allowed family of sockets: it reaches only this cell's own files and namespaces.
const LOCAL: u64 = libc::AF_UNIX as u64;

fn rule<const N: usize>(conditions: [(u8, Len, Op, u64); N]) -> Result<SeccompRule, JailError> {
    let conditions = conditions
        .into_iter()
        .map(|(argument, len, op, value)| condition(argument, len, op, value))
        .collect::<Result<_, _>>()?;
    SeccompRule::new(conditions).doing("ruling on", "arguments")
}

/// Matches if an argument is none of these values.
fn none_of(argument: u8, values: &[(u64, &str)]) -> Result<SeccompRule, JailError> {
    all_of(values.iter().map(|(value, _)| condition(argument, Len::Dword, Op::Ne, *value)))
}

fn all_of(
    conditions: impl Iterator<Item = Result<SeccompCondition, JailError>>,
) -> Result<SeccompRule, JailError> {
    SeccompRule::new(conditions.collect::<Result<_, _>>()?).doing("ruling on", "arguments")
}

fn condition(argument: u8, len: Len, op: Op, value: u64) -> Result<SeccompCondition, JailError> {
    SeccompCondition::new(argument, len, op, value).doing("ruling on", "an argument")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filters_compile() {
        Filters::compile(&RootFs::Private).expect("the tables are sound");
    }

    #[test]
    fn every_exit_signal_of_a_clone_is_either_allowed_or_forbidden() {
        for signal in 0..=EXIT_SIGNAL_BITS {
            let forbidden = forbidden_exit_signals().any(|(bits, value)| signal & bits == value);
            assert_ne!(forbidden, EXIT_SIGNALS.contains(&signal), "signal {signal}");
        }
    }

    /// To add a row, remove another. What ordinary code needs is worth more than the number: the last
    /// rows added query the caller's own scheduling.
    #[test]
    fn no_more_than_135_calls_can_be_made() {
        assert!(ALLOWED.len() <= 135, "{} are", ALLOWED.len());
    }

    #[test]
    fn no_call_is_both_allowed_and_forbidden() {
        for (call, _) in FORBIDDEN.iter().chain(UNSUPPORTED).chain(MAKING).chain(DONE) {
            assert!(!ALLOWED.iter().any(|(allowed, _)| allowed == call), "call {call} is both");
        }
    }

    #[test]
    fn every_row_has_a_reason_and_is_unique() {
        for table in [ALLOWED, MAKING, DONE, UNSUPPORTED, FORBIDDEN] {
            for (at, (call, why)) in table.iter().enumerate() {
                assert!(!why.is_empty(), "call {call} has no reason");
                assert!(
                    !table[..at].iter().any(|(other, _)| other == call),
                    "call {call} is listed twice"
                );
            }
        }
    }
}
