//! Policy as data: every system call that a cell may make, and every one that is refused with a
//! specific error, each with its reason. A row without a reason is not allowed.

/// Flags of `clone` that create a namespace.
pub(crate) const NAMESPACES: u64 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET) as u64;

/// The flag of `clone` that makes the child a sibling of the caller. Its parent would be outside the
/// cell and would not reap it, so the cell could never end.
pub(crate) const CHILD_OF_PARENT: u64 = libc::CLONE_PARENT as u64;

/// Flags of `clone`. The first requires the second: the warden counts the descriptors of a process in
/// one table, and a thread with a table of its own would not be counted.
pub(crate) const THREAD: u64 = libc::CLONE_THREAD as u64;
pub(crate) const FILES: u64 = libc::CLONE_FILES as u64;
/// The flag of `close_range` that gives the calling thread its own descriptor table.
pub(crate) const UNSHARE: u64 = libc::CLOSE_RANGE_UNSHARE as u64;

/// The signals that a child may send to its parent when it ends: the lowest byte of `clone`'s flags. The
/// kernel sends them itself, also to stopped processes, and any other could be `SIGCONT`.
pub(crate) const EXIT_SIGNALS: [u64; 2] = [0, libc::SIGCHLD as u64];
/// The bits of `clone`'s flags that hold the exit signal.
pub(crate) const EXIT_SIGNAL_BITS: u64 = 0xff;

/// The signals that a process may request with `prctl` for its parent's end: those that end it. Any
/// other could be `SIGCONT`.
pub(crate) const PARENT_DEATH_SIGNALS: &[u64] =
    &[0, libc::SIGHUP as u64, libc::SIGINT as u64, libc::SIGKILL as u64, libc::SIGTERM as u64];

/// Forbidden operations of `fcntl`: they affect other cells through files that all of them see, or make
/// the kernel send signals.
pub(crate) const FCNTLS_FORBIDDEN: &[(u64, &str)] = &[
    (libc::F_NOTIFY as u64, "notifications about reads of libraries by other cells"),
    (libc::F_SETLEASE as u64, "delays other processes that open a file of the same user"),
    (libc::F_SETOWN as u64, "a signal when a file is ready, between two runs too"),
    (F_SETOWN_EX, "a signal when a file is ready, between two runs too"),
    (F_SETSIG, "a signal of the code's choice, such as SIGCONT, when a file is ready"),
];
const F_SETSIG: u64 = 10;
const F_GETSIG: u64 = 11;
const F_SETOWN_EX: u64 = 15;

/// The allowed operations of `fcntl`. New kernels keep adding others.
pub(crate) const FCNTLS: &[(u64, &str)] = &[
    (libc::F_DUPFD as u64, "redirections of the shell"),
    (libc::F_DUPFD_CLOEXEC as u64, "os.dup"),
    (libc::F_GETFD as u64, "os.get_inheritable"),
    (libc::F_SETFD as u64, "os.set_inheritable"),
    (libc::F_GETFL as u64, "os.get_blocking"),
    (libc::F_SETFL as u64, "os.set_blocking"),
    (libc::F_GETLK as u64, "databases"),
    (libc::F_SETLK as u64, "databases"),
    (libc::F_SETLKW as u64, "databases"),
    (libc::F_GETOWN as u64, "no process: it cannot be set"),
    (F_GETSIG, "no signal: it cannot be set"),
    (libc::F_GETPIPE_SZ as u64, "the size of a pipe"),
    (libc::F_SETPIPE_SZ as u64, "the size of a pipe"),
    (libc::F_GET_SEALS as u64, "whether a file can still change"),
];

/// The allowed operations of `prctl`.
pub(crate) const PRCTLS: &[(u64, &str)] = &[
    (libc::PR_SET_PDEATHSIG as u64, "ending with the parent, by a signal that ends"),
    (libc::PR_GET_PDEATHSIG as u64, "reading that setting"),
    (libc::PR_GET_DUMPABLE as u64, "crash handlers"),
    (libc::PR_SET_DUMPABLE as u64, "crash handlers; off is answered and not done"),
    (libc::PR_SET_NAME as u64, "names of threads"),
    (libc::PR_GET_NAME as u64, "names of threads"),
    (libc::PR_GET_SECCOMP as u64, "whether there is a filter"),
    (libc::PR_CAPBSET_READ as u64, "which capabilities there are: none"),
    (libc::PR_CAPBSET_DROP as u64, "each cell drops them; there is nothing left to drop"),
    (libc::PR_CAP_AMBIENT as u64, "each cell drops them; there is nothing left to drop"),
    (libc::PR_SET_TIMERSLACK as u64, "precision of sleeps"),
    (libc::PR_GET_TIMERSLACK as u64, "precision of sleeps"),
    (libc::PR_SET_CHILD_SUBREAPER as u64, "process managers take their orphans in"),
    (libc::PR_GET_CHILD_SUBREAPER as u64, "reading that setting"),
    (libc::PR_SET_NO_NEW_PRIVS as u64, "set already"),
    (libc::PR_GET_NO_NEW_PRIVS as u64, "whether it is set"),
    (libc::PR_SET_THP_DISABLE as u64, "large pages of its own"),
    (libc::PR_GET_THP_DISABLE as u64, "large pages of its own"),
    (libc::PR_GET_SPECULATION_CTRL as u64, "how the processor speculates"),
    (libc::PR_SET_SPECULATION_CTRL as u64, "less speculation, never more"),
];

/// The value of `PR_SET_DUMPABLE` that closes a process to its own user.
pub(crate) const NOT_DUMPABLE: u64 = 0;

/// The allowed values for `madvise`. The others merge pages with other cells', evict pages that other
/// cells use, or corrupt memory on purpose.
pub(crate) const ADVICE: &[(u64, &str)] = &[
    (libc::MADV_NORMAL as u64, "read-ahead"),
    (libc::MADV_RANDOM as u64, "read-ahead"),
    (libc::MADV_SEQUENTIAL as u64, "read-ahead"),
    (libc::MADV_WILLNEED as u64, "read-ahead"),
    (libc::MADV_DONTNEED as u64, "malloc gives memory back"),
    (libc::MADV_FREE as u64, "malloc gives memory back"),
    (libc::MADV_REMOVE as u64, "giving shared memory back"),
    (libc::MADV_DONTFORK as u64, "what a fork need not have"),
    (libc::MADV_DOFORK as u64, "what a fork need not have"),
    (libc::MADV_HUGEPAGE as u64, "NumPy's large pages"),
    (libc::MADV_NOHUGEPAGE as u64, "malloc"),
    (libc::MADV_DONTDUMP as u64, "what a core dump need not have"),
    (libc::MADV_DODUMP as u64, "what a core dump need not have"),
    (libc::MADV_WIPEONFORK as u64, "secrets that a fork must not have"),
    (libc::MADV_KEEPONFORK as u64, "secrets that a fork must not have"),
    (libc::MADV_POPULATE_READ as u64, "the zygote reads its libraries"),
    (libc::MADV_POPULATE_WRITE as u64, "standbys copy what code writes"),
    (MADV_COLLAPSE, "the zygote's large pages"),
];
const MADV_COLLAPSE: u64 = 25;

/// The one allowed level of socket options.
pub(crate) const SOCKET_LEVEL: u64 = libc::SOL_SOCKET as u64;
/// Socket options that may be read. The others reveal the peer, or load programs into the kernel.
pub(crate) const SOCKET_OPTIONS_READ: &[(u64, &str)] = &[
    (libc::SO_TYPE as u64, "Python's socket objects"),
    (libc::SO_DOMAIN as u64, "Python's socket objects"),
    (libc::SO_PROTOCOL as u64, "Python's socket objects"),
    (libc::SO_ERROR as u64, "asyncio, after connecting"),
    (libc::SO_ACCEPTCONN as u64, "whether it listens"),
    (libc::SO_REUSEADDR as u64, "servers"),
    (libc::SO_REUSEPORT as u64, "servers"),
    (libc::SO_BROADCAST as u64, "servers"),
    (libc::SO_KEEPALIVE as u64, "servers"),
    (libc::SO_LINGER as u64, "servers"),
    (libc::SO_RCVTIMEO as u64, "timeouts"),
    (libc::SO_SNDTIMEO as u64, "timeouts"),
    (libc::SO_RCVBUF as u64, "sizes of buffers"),
    (libc::SO_SNDBUF as u64, "sizes of buffers"),
];
/// Socket options that may be set.
pub(crate) const SOCKET_OPTIONS_SET: &[(u64, &str)] = &[
    (libc::SO_REUSEADDR as u64, "servers"),
    (libc::SO_REUSEPORT as u64, "servers"),
    (libc::SO_BROADCAST as u64, "servers"),
    (libc::SO_KEEPALIVE as u64, "servers"),
    (libc::SO_LINGER as u64, "servers"),
    (libc::SO_RCVTIMEO as u64, "timeouts"),
    (libc::SO_SNDTIMEO as u64, "timeouts"),
];
/// Socket options whose setting succeeds without effect: buffers are memory that no cgroup counts.
pub(crate) const SOCKET_OPTIONS_KEPT: [u64; 2] = [libc::SO_SNDBUF as u64, libc::SO_RCVBUF as u64];

/// The one forbidden flag of messages: its code in the kernel has had many vulnerabilities.
pub(crate) const OUT_OF_BAND: u64 = libc::MSG_OOB as u64;
/// Calls with message flags, and the index of that argument.
pub(crate) const MESSAGE_CALLS: &[(libc::c_long, u8)] = &[
    (libc::SYS_sendto, 3),
    (libc::SYS_recvfrom, 3),
    (libc::SYS_sendmsg, 2),
    (libc::SYS_recvmsg, 2),
];

/// Maximum backlog of a listening socket. Data in waiting connections uses memory.
pub(crate) const MAX_BACKLOG: u64 = 128;

/// The largest allowed flag of `renameat2`: no-replace and exchange are allowed. The next one leaves a
/// device behind.
pub(crate) const MAX_RENAME_FLAG: u64 = libc::RENAME_EXCHANGE as u64;

/// The one device that any process may create, by type and number. The others need a capability.
pub(crate) const CHARACTER_DEVICE: u64 = libc::S_IFCHR as u64;
pub(crate) const WHITEOUT: u64 = 0;
/// The bits of a mode that hold the file type.
pub(crate) const KIND_OF_FILE: u64 = libc::S_IFMT as u64;

/// Process id of a cell's init in its own namespace.
pub(crate) const INIT: u64 = 1;

/// The allowed requests of `ioctl`.
pub(crate) const IOCTLS: &[(u64, &str)] = &[
    (libc::TCGETS, "isatty"),
    (libc::TIOCGWINSZ, "shutil.get_terminal_size"),
    (libc::FIONREAD, "how much there is to read"),
    (libc::FIONBIO, "sockets that do not block"),
    (libc::FIOCLEX, "files that a child must not have"),
    (libc::FIONCLEX, "files that a child may have"),
];

/// A table of calls in two forms: by number, for this machine, and by name, for any machine. The
/// container's filter is one file for all machines, and needs names.
macro_rules! calls {
    (
        $(#[$doc:meta])* $numbers:ident, $names:ident:
        $($(#[$machine:meta])* (libc::$call:ident, $why:literal),)*
    ) => {
        $(#[$doc])*
        pub(crate) const $numbers: &[(libc::c_long, &str)] =
            &[$($(#[$machine])* (libc::$call, $why),)*];
        /// The same by name, without the prefix `SYS_`.
        pub(crate) const $names: &[(&str, &str)] =
            &[$((stringify!($call).split_at("SYS_".len()).1, $why),)*];
    };
}

calls! {
/// Calls that Python and its libraries need.
ALLOWED, ALLOWED_NAMES:
    (libc::SYS_read, "every file and pipe"),
    (libc::SYS_write, "every file and pipe"),
    (libc::SYS_writev, "C stdio, TensorFlow's logs"),
    (libc::SYS_pread64, "databases, HDF5, fonts"),
    (libc::SYS_pwrite64, "databases, HDF5"),
    (libc::SYS_openat, "opening files"),
    (libc::SYS_close, "closing files"),
    (libc::SYS_close_range, "subprocess closes what a child must not have"),
    (libc::SYS_fstat, "opening files"),
    (libc::SYS_newfstatat, "os.stat"),
    (libc::SYS_statx, "os.stat, coreutils"),
    (libc::SYS_statfs, "free space of the work directory, shm_open"),
    (libc::SYS_fstatfs, "free space of the work directory"),
    (libc::SYS_lseek, "seeking"),
    (libc::SYS_faccessat2, "os.access, test -x"),
    (libc::SYS_readlinkat, "os.readlink, os.path.realpath"),
    (libc::SYS_getdents64, "os.listdir"),
    (libc::SYS_getcwd, "os.getcwd"),
    (libc::SYS_chdir, "os.chdir"),
    (libc::SYS_fchdir, "shutil.rmtree, find"),
    (libc::SYS_renameat2, "os.rename, mv"),
    (libc::SYS_mkdirat, "os.mkdir"),
    (libc::SYS_unlinkat, "os.remove"),
    (libc::SYS_symlinkat, "os.symlink, tar"),
    (libc::SYS_linkat, "os.link, tar"),
    (libc::SYS_fchmod, "saving with a mode, tempfile"),
    (libc::SYS_fchmodat, "os.chmod"),
    (libc::SYS_mknodat, "os.mkfifo; devices are refused by the user namespace"),
    (libc::SYS_utimensat, "shutil.copystat, touch"),
    (libc::SYS_ftruncate, "shared memory, HDF5"),
    (libc::SYS_truncate, "os.truncate"),
    (libc::SYS_fallocate, "memory-mapped arrays"),
    (libc::SYS_umask, "os.umask"),
    (libc::SYS_flock, "lock files of joblib and matplotlib"),
    (libc::SYS_fcntl, "flags and locks of files"),
    (libc::SYS_ioctl, "a few questions to terminals and pipes"),
    (libc::SYS_dup, "subprocess"),
    (libc::SYS_dup3, "subprocess, redirections of the shell"),
    (libc::SYS_pipe2, "subprocess, asyncio"),
    (libc::SYS_eventfd2, "asyncio, TensorFlow's thread pools"),
    (libc::SYS_epoll_create1, "selectors, asyncio"),
    (libc::SYS_epoll_ctl, "selectors, asyncio"),
    #[cfg(not(target_arch = "x86_64"))]
    (libc::SYS_epoll_pwait, "selectors, asyncio"),
    #[cfg(not(target_arch = "x86_64"))]
    (libc::SYS_ppoll, "subprocess.communicate"),
    (libc::SYS_pselect6, "select.select, time.sleep"),
    (libc::SYS_socket, "local sockets only"),
    (libc::SYS_socketpair, "asyncio, multiprocessing; local only"),
    (libc::SYS_bind, "multiprocessing's managers listen on local sockets"),
    (libc::SYS_listen, "multiprocessing's managers"),
    (libc::SYS_accept4, "multiprocessing's managers"),
    (libc::SYS_connect, "multiprocessing's managers"),
    (libc::SYS_getsockname, "multiprocessing's managers"),
    (libc::SYS_getpeername, "multiprocessing's managers"),
    (libc::SYS_getsockopt, "asyncio"),
    (libc::SYS_setsockopt, "asyncio"),
    (libc::SYS_sendto, "multiprocessing"),
    (libc::SYS_recvfrom, "multiprocessing"),
    (libc::SYS_sendmsg, "multiprocessing hands descriptors over"),
    (libc::SYS_recvmsg, "multiprocessing hands descriptors over"),
    (libc::SYS_shutdown, "closing a connection"),
    (libc::SYS_mmap, "memory"),
    (libc::SYS_munmap, "memory"),
    (libc::SYS_mprotect, "memory; libffi and compilers make code at run time"),
    (libc::SYS_mremap, "growing arrays"),
    (libc::SYS_madvise, "malloc, NumPy's huge pages"),
    (libc::SYS_brk, "malloc"),
    (libc::SYS_msync, "memory-mapped arrays"),
    (libc::SYS_clone, "fork and threads, without new namespaces"),
    (libc::SYS_execve, "subprocess"),
    (libc::SYS_exit, "the end of a thread"),
    (libc::SYS_exit_group, "the end of a process"),
    (libc::SYS_wait4, "subprocess"),
    (libc::SYS_waitid, "subprocess, asyncio"),
    (libc::SYS_kill, "ending one's own children"),
    (libc::SYS_tgkill, "abort, pthread_kill"),
    (libc::SYS_rt_sigaction, "signal.signal"),
    (libc::SYS_rt_sigprocmask, "every thread start"),
    (libc::SYS_rt_sigreturn, "returning from a handler"),
    (libc::SYS_rt_sigsuspend, "the shell waits for its children"),
    (libc::SYS_sigaltstack, "faulthandler"),
    (libc::SYS_restart_syscall, "the kernel's own, after a stop"),
    (libc::SYS_getpid, "os.getpid"),
    (libc::SYS_getppid, "os.getppid"),
    (libc::SYS_gettid, "threading.get_native_id"),
    (libc::SYS_getuid, "os.path.expanduser"),
    (libc::SYS_geteuid, "access checks"),
    (libc::SYS_getgid, "access checks"),
    (libc::SYS_getegid, "access checks"),
    (libc::SYS_getgroups, "id, test -x"),
    (libc::SYS_getpgid, "os.getpgid, the shell"),
    (libc::SYS_setpgid, "subprocess with process_group"),
    (libc::SYS_setsid, "subprocess with start_new_session"),
    (libc::SYS_prctl, "names of threads, and what a table below has"),
    (libc::SYS_set_tid_address, "thread start"),
    (libc::SYS_set_robust_list, "thread start"),
    (libc::SYS_rseq, "thread start"),
    (libc::SYS_futex, "every lock"),
    (libc::SYS_sched_yield, "spinning locks"),
    (libc::SYS_sched_getaffinity, "os.cpu_count"),
    (libc::SYS_sched_setaffinity, "fewer processors for oneself; pools of threads"),
    (libc::SYS_sched_getparam, "every lock of TensorFlow that is waited for"),
    (libc::SYS_sched_get_priority_max, "pools of threads"),
    (libc::SYS_sched_get_priority_min, "pools of threads"),
    (libc::SYS_getpriority, "os.nice, os.getpriority"),
    (libc::SYS_setpriority, "os.nice; only downwards"),
    (libc::SYS_prlimit64, "resource.getrlimit; only downwards, and not of init"),
    (libc::SYS_getrusage, "time.process_time, resource"),
    (libc::SYS_times, "os.times"),
    (libc::SYS_sysinfo, "coreutils, glibc's sort"),
    (libc::SYS_uname, "platform"),
    (libc::SYS_getrandom, "hash seeds, random, uuid"),
    (libc::SYS_clock_gettime, "time"),
    (libc::SYS_clock_getres, "time.get_clock_info"),
    (libc::SYS_clock_nanosleep, "time.sleep"),
    (libc::SYS_gettimeofday, "time"),
    (libc::SYS_setitimer, "signal.setitimer"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_access, "the dynamic loader"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_creat, "tar"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_stat, "libraries built for an older C library"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_lstat, "libraries built for an older C library: SQLite in PROJ's"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_readlink, "older C code"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_rename, "os.rename in C"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_mkdir, "older C code"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_rmdir, "os.rmdir"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_unlink, "os.remove"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_symlink, "older C code"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_link, "older C code"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_chmod, "os.chmod"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_dup2, "subprocess"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_pipe, "older C code"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_poll, "OpenMP, C libraries"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_epoll_wait, "selectors"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_vfork, "subprocess"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_alarm, "signal.alarm"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_pause, "signal.pause"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_getpgrp, "the shell"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_arch_prctl, "thread start"),
}

calls! {
/// Calls that create a cell: the zygote has them, and no cell does.
MAKING, MAKING_NAMES:
    (libc::SYS_unshare, "the cell's own namespaces"),
    (libc::SYS_setns, "a network namespace that is free"),
    (libc::SYS_mount, "the cell's scratch space"),
    (libc::SYS_sethostname, "the cell's name"),
    (libc::SYS_setgroups, "the cell's own user"),
    (libc::SYS_setresgid, "the cell's own user"),
    (libc::SYS_setresuid, "the cell's own user"),
    (libc::SYS_pidfd_open, "what the warden watches and ends a cell with"),
    (libc::SYS_capget, "which capabilities there are to drop"),
    (libc::SYS_capset, "dropping them"),
    (libc::SYS_landlock_create_ruleset, "Landlock, on the cell"),
    (libc::SYS_landlock_add_rule, "Landlock, on the cell"),
    (libc::SYS_landlock_restrict_self, "Landlock, on the cell"),
    (libc::SYS_seccomp, "the cell's own filter, which forbids all of these"),
}

calls! {
/// Calls that return success without effect. Flushing: scratch space does not outlive its cell, and a
/// flush would be one of the machine's disk. Scheduling and memory placement: all cells are alike.
DONE, DONE_NAMES:
    (libc::SYS_fsync, "saving"),
    (libc::SYS_fdatasync, "databases"),
    (libc::SYS_sync, "saving"),
    (libc::SYS_syncfs, "saving"),
    (libc::SYS_sync_file_range, "saving"),
    (libc::SYS_fadvise64, "sort and gzip advise the kernel; what is read stays in memory for all"),
    (libc::SYS_sched_getscheduler, "0 is the ordinary scheduler, which everything has"),
    (libc::SYS_sched_setparam, "the ordinary scheduler has one priority"),
    (libc::SYS_ioprio_get, "0 is the ordinary priority, which everything has"),
    (libc::SYS_ioprio_set, "pools of threads"),
    (libc::SYS_mbind, "libraries place memory near a processor"),
    (libc::SYS_set_mempolicy, "libraries place memory near a processor"),
}

calls! {
/// Calls that scratch space does not support: `shutil.copystat` and `cp -a` tolerate that.
UNSUPPORTED, UNSUPPORTED_NAMES:
    (libc::SYS_getxattr, "extended attributes"),
    (libc::SYS_lgetxattr, "extended attributes"),
    (libc::SYS_fgetxattr, "extended attributes"),
    (libc::SYS_listxattr, "extended attributes"),
    (libc::SYS_llistxattr, "extended attributes"),
    (libc::SYS_flistxattr, "extended attributes"),
    (libc::SYS_setxattr, "extended attributes"),
    (libc::SYS_lsetxattr, "extended attributes"),
    (libc::SYS_fsetxattr, "extended attributes"),
}

calls! {
/// Calls that are refused as not permitted; unknown calls are refused as nonexistent.
FORBIDDEN, FORBIDDEN_NAMES:
    (libc::SYS_unshare, "new namespaces expose more kernel code to attacks"),
    (libc::SYS_setns, "another's namespace"),
    (libc::SYS_mount, "changing what is seen"),
    (libc::SYS_umount2, "uncovering what is hidden"),
    (libc::SYS_pivot_root, "changing what is seen"),
    (libc::SYS_chroot, "changing what is seen"),
    (libc::SYS_open_tree, "the new way to mount"),
    (libc::SYS_move_mount, "the new way to mount"),
    (libc::SYS_fsopen, "the new way to mount"),
    (libc::SYS_fsconfig, "the new way to mount"),
    (libc::SYS_fsmount, "the new way to mount"),
    (libc::SYS_fspick, "the new way to mount"),
    (libc::SYS_mount_setattr, "the new way to mount"),
    (libc::SYS_bpf, "code for the kernel"),
    (libc::SYS_perf_event_open, "observing other processes; many vulnerabilities"),
    (libc::SYS_userfaultfd, "stopping the kernel in the middle of a copy"),
    (libc::SYS_kcmp, "comparing kernel objects of others"),
    (libc::SYS_add_key, "the keyring is shared"),
    (libc::SYS_request_key, "the keyring is shared"),
    (libc::SYS_keyctl, "the keyring is shared"),
    (libc::SYS_ptrace, "reading and writing another process"),
    (libc::SYS_process_vm_readv, "reading another process"),
    (libc::SYS_process_vm_writev, "writing another process"),
    (libc::SYS_pidfd_getfd, "taking another process's files"),
    (libc::SYS_process_madvise, "touching another process's memory"),
    (libc::SYS_kexec_load, "another kernel"),
    (libc::SYS_init_module, "code for the kernel"),
    (libc::SYS_finit_module, "code for the kernel"),
    (libc::SYS_delete_module, "code of the kernel"),
    (libc::SYS_reboot, "the machine"),
    (libc::SYS_swapon, "the machine"),
    (libc::SYS_swapoff, "the machine"),
    (libc::SYS_acct, "the machine"),
    (libc::SYS_quotactl, "the machine's disks"),
    (libc::SYS_syslog, "the kernel's log"),
    (libc::SYS_sethostname, "the cell's name is part of its answer"),
    (libc::SYS_setdomainname, "the same"),
    (libc::SYS_settimeofday, "the machine's clock"),
    (libc::SYS_clock_settime, "the machine's clock"),
    (libc::SYS_clock_adjtime, "the machine's clock"),
    (libc::SYS_adjtimex, "the machine's clock"),
    (libc::SYS_name_to_handle_at, "a way around path checks"),
    (libc::SYS_open_by_handle_at, "a way around path checks"),
    (libc::SYS_fanotify_init, "watching others' files"),
    (libc::SYS_fanotify_mark, "watching others' files"),
    (libc::SYS_personality, "switching off address randomisation"),
    (libc::SYS_sched_setattr, "going before others"),
    (libc::SYS_migrate_pages, "moving others' memory"),
    (libc::SYS_move_pages, "moving others' memory"),
    (libc::SYS_mlock, "memory that cannot be taken back"),
    (libc::SYS_mlock2, "memory that cannot be taken back"),
    (libc::SYS_mlockall, "memory that cannot be taken back"),
    (libc::SYS_memfd_create, "a file that can be executed where no disk allows it"),
    (libc::SYS_execveat, "executing a file that has no name"),
    (libc::SYS_vmsplice, "pages that change after they were checked"),
    (libc::SYS_splice, "pages that change after they were checked"),
    (libc::SYS_tee, "pages that change after they were checked"),
    (libc::SYS_shmget, "memory that outlives its maker"),
    (libc::SYS_shmat, "the same"),
    (libc::SYS_shmctl, "the same"),
    (libc::SYS_msgget, "queues that outlive their maker"),
    (libc::SYS_msgsnd, "the same"),
    (libc::SYS_msgrcv, "the same"),
    (libc::SYS_msgctl, "the same"),
    (libc::SYS_semget, "semaphores that outlive their maker"),
    (libc::SYS_semop, "the same"),
    (libc::SYS_semctl, "the same"),
    (libc::SYS_mq_open, "queues that outlive their maker"),
    (libc::SYS_fchown, "there is only one user"),
    (libc::SYS_fchownat, "there is only one user"),
    (libc::SYS_setuid, "there is only one user"),
    (libc::SYS_setgid, "there is only one group"),
    (libc::SYS_setreuid, "there is only one user"),
    (libc::SYS_setregid, "there is only one group"),
    (libc::SYS_setresuid, "there is only one user"),
    (libc::SYS_setresgid, "there is only one group"),
    (libc::SYS_setgroups, "there is only one group"),
    (libc::SYS_capset, "there is nothing to be had"),
    (libc::SYS_seccomp, "the filter is complete"),
    (libc::SYS_vhangup, "terminals of others"),
    (libc::SYS_process_mrelease, "another process's memory"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_chown, "there is only one user"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_lchown, "there is only one user"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_modify_ldt, "odd segments, odd kernel paths"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_ioperm, "hardware"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_iopl, "hardware"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_kexec_file_load, "another kernel"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_uselib, "an obsolete loader"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_ustat, "an obsolete call"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_sysfs, "an obsolete call"),
}
