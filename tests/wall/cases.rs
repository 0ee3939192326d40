//! The cases of the battery: what a server that runs strangers' code is tried with. A mark such as
//! `[C06]` above a test says which of them the test answers, and here is what each is about.
//!
//! A test is more than its cases, and many tests answer none: they were thought of later.

use std::collections::BTreeSet;
use std::path::Path;

/// Number and subject.
const CASES: &[(&str, &str)] = &[
    // Plain behaviour.
    ("A01", "printing"),
    ("A02", "no output at all"),
    ("A03", "a last expression"),
    ("A04", "a last expression that is nothing"),
    ("A07", "code that does not parse"),
    ("A08", "tracebacks without our frames"),
    ("A09", "chains and groups of exceptions"),
    ("A10", "output before an exception"),
    ("A11", "standard error of a run that went well"),
    ("A12", "warnings"),
    ("A13", "every kind of exit"),
    ("A15", "what runs at the end"),
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
    ("B10", "letters that no font has"),
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
    ("C16", "files that nobody may read"),
    ("C17", "files that still change"),
    ("C19", "writing elsewhere"),
    ("C20", "executing what was written"),
    ("C21", "mapping it to be executed"),
    ("C22", "scratch space of the next run"),
    ("C23", "a full disk"),
    ("C24", "too many files"),
    ("C25", "disk and memory at once"),
    ("C26", "limits that are signals"),
    ("C27", "files of another cell"),
    ("C28", "archives that reach out"),
    // Time.
    ("D01", "a loop without end"),
    ("D02", "waiting without end"),
    ("D03", "output before the deadline"),
    ("D04", "work that lets no other thread run"),
    ("D06", "tracing instead of ending"),
    ("D07", "children that live longer"),
    ("D09", "programs that live longer"),
    ("D11", "threads that live longer"),
    ("D13", "just in time"),
    ("D14", "time in the queue"),
    ("D15", "many sleepers"),
    ("D16", "many who take a processor"),
    ("D17", "a client that hangs up"),
    ("D18", "setting the clock"),
    ("D19", "nothing is there after the deadline"),
    ("D20", "code that is written anew"),
    // Memory.
    ("E01", "too much at once"),
    ("E02", "a little more each time"),
    ("E03", "too large an array"),
    ("E04", "every kind of memory"),
    ("E05", "memory of children"),
    ("E08", "deep recursion in C"),
    ("E09", "memory that cannot be taken back"),
    ("E11", "reading everything"),
    ("E12", "swapping"),
    ("E13", "only the cell is killed"),
    ("E14", "raising one's limits"),
    ("E15", "keys that collide"),
    // Processes and signals.
    ("F01", "forks"),
    ("F02", "threads, shells and programs in a row"),
    ("F03", "honest parallel work"),
    ("F05", "children that nobody waits for"),
    ("F06", "signals to others"),
    ("F08", "ends by a signal"),
    ("F09", "leaving one's parent"),
    ("F10", "another process's memory"),
    ("F11", "processes of others"),
    ("F12", "going before others"),
    ("F14", "timers"),
    ("F15", "programs with rights of their own"),
    ("F16", "becoming somebody else"),
    ("F17", "another program in the place of ours"),
    // Output and the runner.
    ("G01", "a flood of output"),
    ("G02", "every way to write"),
    ("G03", "a flood of errors"),
    ("G04", "bytes that are no text"),
    ("G07", "forged words and pictures"),
    ("G09", "all descriptors"),
    ("G10", "secrets in the interpreter"),
    ("G11", "poison for the next one"),
    ("G12", "poison for oneself"),
    ("G13", "hooks around the runner"),
    ("G14", "exceptions that cannot be told"),
    ("G16", "generators without end"),
    ("G18", "slow readers and odd channels"),
    ("G19", "buffers of C"),
    ("G20", "order of lines"),
    // The kernel.
    ("H01", "namespaces of one's own"),
    ("H02", "namespaces of others"),
    ("H03", "mounting"),
    ("H04", "io_uring"),
    ("H05", "programs for the kernel, and watching it"),
    ("H06", "keyrings"),
    ("H07", "calls on other processes"),
    ("H08", "odd corners of the processor"),
    ("H09", "calls of the administrator"),
    ("H10", "families of sockets"),
    ("H13", "filters on filters"),
    ("H14", "files without a name"),
    ("H15", "files by handle"),
    ("H17", "questions to devices"),
    ("H18", "pages that change"),
    ("H19", "marks on files"),
    ("H20", "queues that outlive their maker"),
    ("H22", "switches against speculation"),
    ("H23", "random addresses"),
    // What can be learned.
    ("I01", "/proc"),
    ("I03", "/sys"),
    ("I04", "/etc"),
    ("I05", "sockets and secrets of the machine"),
    ("I06", "/dev"),
    ("I07", "who one is"),
    ("I08", "how busy the machine is"),
    ("I09", "texts of the server"),
    ("I10", "traces of neighbours"),
    ("I12", "whether we tell the truth"),
    // Network and talk between processes.
    ("J01", "a listener on this machine"),
    ("J02", "names"),
    ("J03", "sockets of the network"),
    ("J05", "local sockets of others"),
    ("J06", "descriptors by socket"),
    ("J07", "servers in a cell"),
    ("J08", "installing and fetching"),
    ("J09", "what multiprocessing needs"),
    ("J10", "files that all cells see"),
    // Life of a cell.
    ("K01", "variables that stay"),
    ("K02", "what an error leaves"),
    ("K03", "what cannot be written down"),
    ("K05", "idle sessions"),
    ("K06", "work between two runs"),
    ("K07", "a server that is killed"),
    ("K11", "a zygote after many attacks"),
    ("K12", "odd code"),
    ("K13", "odd requests"),
    ("K14", "machines that lack something"),
    ("K15", "an orderly stop"),
];

/// Those that no test answers, and why.
const OPEN: &[(&str, &str)] =
    &[("K05", "there are no idle sessions: a cell ends with its interaction")];

/// The marks of all tests below this folder.
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
    // The first bracket of a line is gone, and words may follow the last.
    let marks = lines.flat_map(|line| {
        line.split_whitespace().map_while(|mark| mark.trim_start_matches('[').strip_suffix(']'))
    });
    marks.map(str::to_owned).chain(below).collect()
}

#[test]
fn every_case_has_its_test_or_a_reason_why_not() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests");
    let answered = &marks(&tests.join("wall")) | &marks(&tests.join("api"));
    let open: BTreeSet<_> = OPEN.iter().map(|(case, _)| (*case).to_owned()).collect();
    let cases: BTreeSet<_> = CASES.iter().map(|(case, _)| (*case).to_owned()).collect();
    assert_eq!(cases.len(), CASES.len(), "a case stands twice");
    let known = &answered | &open;
    assert!(known == cases, "without a test, or unknown: {:?}", &known ^ &cases);
    assert!(answered.is_disjoint(&open), "open, and answered: {:?}", &answered & &open);
}
