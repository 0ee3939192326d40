//! The test cases that a sandbox for untrusted code must pass. A mark such as `[C06]` above a test names
//! the cases that the test covers; this list describes each case.
//!
//! A test can check more than its cases, and some tests cover none because they were added later.

use std::collections::BTreeSet;
use std::path::Path;

/// Number and subject.
const CASES: &[(&str, &str)] = &[
    // Plain behaviour.
    ("A01", "printing"),
    ("A02", "no output at all"),
    ("A03", "a last expression"),
    ("A04", "a last expression that is nothing"),
    ("A07", "code with syntax errors"),
    ("A08", "tracebacks without our frames"),
    ("A09", "chains and groups of exceptions"),
    ("A10", "output before an exception"),
    ("A11", "standard error of a run that went well"),
    ("A12", "warnings"),
    ("A13", "every kind of exit"),
    ("A15", "exit handlers"),
    ("A16", "the main module"),
    ("A17", "await at the top level"),
    ("A18", "event loops"),
    ("A20", "magics of notebooks"),
    ("A21", "a huge last expression"),
    ("A23", "objects that draw themselves"),
    ("A24", "no variables of others"),
    ("A25", "the environment"),
    ("A26", "arguments and work directory"),
    ("A27", "encodings"),
    ("A28", "time zone and host name"),
    ("A29", "each library at work"),
    ("A30", "linear algebra in many forks"),
    // Pictures.
    ("B01", "a figure that is shown"),
    ("B02", "a figure that is left open"),
    ("B03", "order and number of figures"),
    ("B04", "a figure that is saved and shown"),
    ("B06", "every way to show"),
    ("B07", "backends with a screen"),
    ("B09", "too many pictures"),
    ("B10", "missing glyphs"),
    ("B12", "animations and pauses"),
    ("B13", "drawing functions that are replaced"),
    ("B14", "pictures as files"),
    // Files.
    ("C01", "reading an input"),
    ("C02", "names of inputs"),
    ("C03", "inputs that clash"),
    ("C04", "new files come back"),
    ("C05", "changed files come back"),
    ("C06", "symbolic links"),
    ("C08", "hard links"),
    ("C09", "pipes, sockets and devices"),
    ("C11", "a sparse file"),
    ("C12", "several of them"),
    ("C13", "folders in folders"),
    ("C15", "many small files"),
    ("C16", "unreadable files"),
    ("C17", "files that still change"),
    ("C19", "writing elsewhere"),
    ("C20", "executing what was written"),
    ("C21", "mapping it as executable"),
    ("C22", "scratch space of the next run"),
    ("C23", "a full disk"),
    ("C24", "too many files"),
    ("C25", "disk and memory at once"),
    ("C26", "limits that are signals"),
    ("C27", "files of another cell"),
    ("C28", "archives with paths outside"),
    // Time.
    ("D01", "a loop without end"),
    ("D02", "waiting without end"),
    ("D03", "output before the deadline"),
    ("D04", "work that holds the GIL"),
    ("D06", "trace functions that prevent the end"),
    ("D07", "children that outlive the run"),
    ("D09", "programs that outlive the run"),
    ("D11", "threads that outlive the run"),
    ("D13", "just within the limit"),
    ("D14", "time in the queue"),
    ("D15", "many sleepers"),
    ("D16", "many CPU-bound runs"),
    ("D17", "a client that hangs up"),
    ("D18", "setting the clock"),
    ("D19", "nothing is there after the deadline"),
    ("D20", "code that is regenerated"),
    // Memory.
    ("E01", "too much at once"),
    ("E02", "a little more each time"),
    ("E03", "too large an array"),
    ("E04", "every kind of memory"),
    ("E05", "memory of children"),
    ("E08", "deep recursion in C"),
    ("E09", "memory that cannot be reclaimed"),
    ("E11", "reading everything"),
    ("E12", "swapping"),
    ("E13", "only the cell is killed"),
    ("E14", "raising limits"),
    ("E15", "keys that collide"),
    // Processes and signals.
    ("F01", "forks"),
    ("F02", "threads, shells and programs in a row"),
    ("F03", "honest parallel work"),
    ("F05", "children without a wait"),
    ("F06", "signals to others"),
    ("F08", "ends by a signal"),
    ("F09", "leaving the parent"),
    ("F10", "another process's memory"),
    ("F11", "processes of others"),
    ("F12", "higher priority than others"),
    ("F14", "timers"),
    ("F15", "setuid programs"),
    ("F16", "changing the user"),
    ("F17", "replacing the runner by another program"),
    // Output and the runner.
    ("G01", "a flood of output"),
    ("G02", "every way to write"),
    ("G03", "a flood of errors"),
    ("G04", "bytes that are not UTF-8"),
    ("G07", "forged statuses and images"),
    ("G09", "all descriptors"),
    ("G10", "secrets in the interpreter"),
    ("G11", "state left for the next interaction"),
    ("G12", "sabotage of the own interpreter"),
    ("G13", "hooks around the runner"),
    ("G14", "exceptions that cannot be printed"),
    ("G16", "endless generators"),
    ("G18", "slow readers and odd channels"),
    ("G19", "buffers of C"),
    ("G20", "order of lines"),
    // The kernel.
    ("H01", "own namespaces"),
    ("H02", "namespaces of others"),
    ("H03", "mounting"),
    ("H04", "io_uring"),
    ("H05", "BPF and tracing"),
    ("H06", "keyrings"),
    ("H07", "calls on other processes"),
    ("H08", "odd corners of the processor"),
    ("H09", "administrative calls"),
    ("H10", "families of sockets"),
    ("H13", "filters on filters"),
    ("H14", "files without a name"),
    ("H15", "files by handle"),
    ("H17", "ioctl requests"),
    ("H18", "pages that change"),
    ("H19", "extended attributes"),
    ("H20", "queues that outlive their maker"),
    ("H22", "speculation controls"),
    ("H23", "random addresses"),
    // What can be learned.
    ("I01", "/proc"),
    ("I03", "/sys"),
    ("I04", "/etc"),
    ("I05", "sockets and secrets of the machine"),
    ("I06", "/dev"),
    ("I07", "identity and privileges"),
    ("I08", "how busy the machine is"),
    ("I09", "texts of the server"),
    ("I10", "traces of neighbours"),
    ("I12", "whether the reported isolation is true"),
    // Network and talk between processes.
    ("J01", "a listener on this machine"),
    ("J02", "names"),
    ("J03", "sockets of the network"),
    ("J05", "local sockets of others"),
    ("J06", "descriptors by socket"),
    ("J07", "servers in a cell"),
    ("J08", "installing and fetching"),
    ("J09", "what multiprocessing needs"),
    ("J10", "shared files"),
    // Life of a cell.
    ("K01", "variables that stay"),
    ("K02", "what an error leaves"),
    ("K03", "objects that cannot be pickled"),
    ("K05", "idle sessions"),
    ("K06", "work between two runs"),
    ("K07", "a server that is killed"),
    ("K11", "a zygote after many attacks"),
    ("K12", "odd code"),
    ("K13", "odd requests"),
    ("K14", "machines that lack something"),
    ("K15", "an orderly stop"),
];

/// Cases without a test, and why.
const OPEN: &[(&str, &str)] =
    &[("K05", "there are no idle sessions: a cell ends with its interaction")];

/// The marks of all tests in this folder.
fn marks(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).expect("the tests are there").flatten();
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|entry| entry.path().is_dir());
    let below = folders.iter().flat_map(|folder| marks(&folder.path()));
    let text: String = files
        .iter()
        .filter(|file| file.path().extension().is_some_and(|kind| kind == "rs"))
        .map(|file| std::fs::read_to_string(file.path()).expect("it is text"))
        .collect();
    let lines = text.lines().filter_map(|line| line.trim_start().strip_prefix("/// ["));
    // The first bracket of a line is stripped, and text may follow the last.
    let marks = lines.flat_map(|line| {
        line.split_whitespace().map_while(|mark| mark.trim_start_matches('[').strip_suffix(']'))
    });
    marks.map(str::to_owned).chain(below).collect()
}

#[test]
fn every_case_has_a_test_or_a_reason_for_none() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let answered = &marks(&tests.join("wall")) | &marks(&tests.join("api"));
    let open: BTreeSet<_> = OPEN.iter().map(|(case, _)| (*case).to_owned()).collect();
    let cases: BTreeSet<_> = CASES.iter().map(|(case, _)| (*case).to_owned()).collect();
    assert_eq!(cases.len(), CASES.len(), "a case is listed twice");
    let known = &answered | &open;
    assert!(known == cases, "without a test, or unknown: {:?}", &known ^ &cases);
    assert!(answered.is_disjoint(&open), "open, and answered: {:?}", &answered & &open);
}
