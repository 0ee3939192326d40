//! The system-call filter: everything is refused that the table does not allow.
//!
//! Several filters lie on top of one another, and the one installed last decides between two refusals:
//! a call that the table does not know does not exist (ENOSYS, on which libraries fall back); one
//! that is known to be bad is not permitted (EPERM); a socket that is not local has an unsupported
//! family (EAFNOSUPPORT), and marks on files are not supported (EOPNOTSUPP). Nothing is ever killed but a call in a foreign architecture's
//! way, so that an honest program gets an error it can handle.
//!
//! Most of it the zygote lays upon itself before its first fork, and each cell has it from there: for the
//! kernel to take a filter in is as much work as to fork. What a cell adds is short.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Len, SeccompCmpOp as Op, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch,
};

use crate::error::{Doing, JailError};
use crate::table::{
    ALLOWED, CHILD_OF_PARENT, FCNTLS_FORBIDDEN, FORBIDDEN, IOCTLS, MAKING, NAMESPACES, UNSUPPORTED,
};

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Filters for a zygote and its cells, in the order of their installation.
#[derive(Debug)]
pub struct Filters {
    zygote: [BpfProgram; 4],
    cell: CellFilters,
}

/// What a cell adds to what its zygote has laid upon itself. There are none without that.
#[derive(Debug)]
pub struct CellFilters([BpfProgram; 2]);

impl Filters {
    pub fn compile() -> Result<Filters, JailError> {
        Ok(Filters {
            zygote: [
                allowing(allowed()?, libc::ENOSYS)?,
                refusing(foreign_sockets()?, libc::EAFNOSUPPORT)?,
                refusing(whole(UNSUPPORTED), libc::EOPNOTSUPP)?,
                refusing(forbidden()?, libc::EPERM)?,
            ],
            cell: CellFilters([
                refusing(making(|is_forbidden| !is_forbidden), libc::ENOSYS)?,
                // Last, for it forbids to install another.
                refusing(making(|is_forbidden| is_forbidden), libc::EPERM)?,
            ]),
        })
    }

    /// From here on this process, and whatever comes of it, has the calls of a cell and those that it
    /// takes to make one. There is no way back: filters can be added, never taken off.
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

/// Refuses all but these, with this error.
fn allowing(rules: Rules, error: i32) -> Result<BpfProgram, JailError> {
    program(rules, SeccompAction::Errno(error.cast_unsigned()), SeccompAction::Allow)
}

/// Refuses these, with this error.
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

/// Every row, whatever the arguments.
fn whole(table: &[(libc::c_long, &str)]) -> Rules {
    table.iter().map(|(call, _)| (*call, Vec::new())).collect()
}

fn allowed() -> Result<Rules, JailError> {
    let mut rules = whole(ALLOWED);
    rules.extend(whole(MAKING));
    rules.insert(libc::SYS_clone, vec![rule([(0, Len::Qword, Op::MaskedEq(BAD_FLAGS), 0)])?]);
    rules.insert(libc::SYS_socket, vec![rule([(0, Len::Dword, Op::Eq, LOCAL)])?]);
    rules.insert(libc::SYS_socketpair, vec![rule([(0, Len::Dword, Op::Eq, LOCAL)])?]);
    let ioctls = IOCTLS.iter().map(|(request, _)| rule([(1, Len::Dword, Op::Eq, *request)]));
    rules.insert(libc::SYS_ioctl, ioctls.collect::<Result<_, _>>()?);
    Ok(rules)
}

/// Of what it takes to make a cell, that which is known to be bad, or the rest.
fn making(wanted: impl Fn(bool) -> bool) -> Rules {
    let mut rules = whole(MAKING);
    rules.retain(|call, _| wanted(FORBIDDEN.iter().any(|(other, _)| other == call)));
    rules
}

/// But for what it takes to make a cell.
fn forbidden() -> Result<Rules, JailError> {
    let mut rules = whole(FORBIDDEN);
    rules.retain(|call, _| !MAKING.iter().any(|(other, _)| other == call));
    let bits = (0..64).map(|bit| 1 << bit).filter(|bit| BAD_FLAGS & bit != 0);
    let bad = bits.map(|bit| rule([(0, Len::Qword, Op::MaskedEq(bit), bit)]));
    rules.insert(libc::SYS_clone, bad.collect::<Result<_, _>>()?);
    let fcntls = FCNTLS_FORBIDDEN.iter().map(|(what, _)| rule([(1, Len::Dword, Op::Eq, *what)]));
    rules.insert(libc::SYS_fcntl, fcntls.collect::<Result<_, _>>()?);
    let other = IOCTLS.iter().map(|(request, _)| condition(1, Len::Dword, Op::Ne, *request));
    let other = SeccompRule::new(other.collect::<Result<_, _>>()?).doing("ruling on", "ioctl")?;
    rules.insert(libc::SYS_ioctl, vec![other]);
    Ok(rules)
}

fn foreign_sockets() -> Result<Rules, JailError> {
    let foreign = || Ok(vec![rule([(0, Len::Dword, Op::Ne, LOCAL)])?]);
    Ok(Rules::from([(libc::SYS_socket, foreign()?), (libc::SYS_socketpair, foreign()?)]))
}

/// Flags that no `clone` may have.
const BAD_FLAGS: u64 = NAMESPACES | CHILD_OF_PARENT;

/// The one family of sockets: it reaches no further than this cell's own files and namespaces.
const LOCAL: u64 = libc::AF_UNIX as u64;

fn rule<const N: usize>(conditions: [(u8, Len, Op, u64); N]) -> Result<SeccompRule, JailError> {
    let conditions = conditions
        .into_iter()
        .map(|(argument, len, op, value)| condition(argument, len, op, value))
        .collect::<Result<_, _>>()?;
    SeccompRule::new(conditions).doing("ruling on", "arguments")
}

fn condition(argument: u8, len: Len, op: Op, value: u64) -> Result<SeccompCondition, JailError> {
    SeccompCondition::new(argument, len, op, value).doing("ruling on", "an argument")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filters_compile() {
        Filters::compile().expect("the tables are sound");
    }

    /// A number to be proud of: whoever adds a row takes another one out.
    #[test]
    fn no_more_than_130_calls_can_be_made() {
        assert!(ALLOWED.len() <= 130, "{} are", ALLOWED.len());
    }

    #[test]
    fn no_call_is_both_allowed_and_forbidden() {
        for (call, _) in FORBIDDEN.iter().chain(UNSUPPORTED).chain(MAKING) {
            assert!(!ALLOWED.iter().any(|(allowed, _)| allowed == call), "call {call} is both");
        }
    }

    #[test]
    fn every_row_has_a_reason_and_stands_once() {
        for table in [ALLOWED, MAKING, UNSUPPORTED, FORBIDDEN] {
            for (at, (call, why)) in table.iter().enumerate() {
                assert!(!why.is_empty(), "call {call} has no reason");
                assert!(!table[..at].iter().any(|(other, _)| other == call), "call {call} twice");
            }
        }
    }
}
