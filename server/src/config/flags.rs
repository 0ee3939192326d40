//! The command line.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use protocol::Tier;

use crate::recording::RecordMode;

/// Gemini's code execution on your own machine: the model is plugged in, and the code runs for real.
#[derive(Debug, Parser)]
#[command(name = "belljar", version)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serves the Interactions API
    #[command(after_help = "Each flag has a variable (BELLJAR_LISTEN, BELLJAR_DATA_DIR, …) and a \
                            line in the file (listen, data_dir, …). BELLJAR_API_KEYS=a,b asks for \
                            one of these keys. BELLJAR_FETCH_FROM=https://example.org/data/ lets \
                            requests name files below that address. BELLJAR_LOG=debug says more.")]
    Serve(Flags),
    /// Tries the sandbox, and says what is missing on this machine; or, with --client, tries a
    /// client, as in `belljar doctor --client -- pytest`
    #[command(
        after_help = "With --client the command is run as by `belljar exec`: once as it is, \
                            and then once with each failure and each quirk. What it survives is \
                            said in a line each; the exit code is 0 if that is all it met."
    )]
    Doctor(Doctor),
    /// Runs a command with a server of its own, as in `belljar exec -- pytest`
    #[command(after_help = "The server takes a free port and keeps nothing. The command finds it \
                            in GOOGLE_GEMINI_BASE_URL and GEMINI_API_KEY, as Google's SDKs do; its \
                            exit code is handed on.")]
    Exec(Exec),
    /// Looks for mistakes in scenario files
    Validate {
        /// Writes all mistakes as JSON
        #[arg(long)]
        json: bool,
        /// Files, and folders of them [default: ./scenarios]
        #[arg(value_name = "PATH")]
        paths: Vec<PathBuf>,
    },
    /// Runs the code of recordings again, and says what comes of it that did not before
    Verify(Verify),
    /// Prints the JSON Schema of a file
    Schema {
        #[command(subcommand)]
        of: Schema,
    },
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub enum Schema {
    /// Of scenario files, for editors that complete and check them
    Scenario,
}

#[derive(Debug, Args)]
pub struct Verify {
    #[command(flatten)]
    pub flags: Flags,
    /// Recordings, and folders of them
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Exec {
    #[command(flatten)]
    pub flags: Flags,
    /// What to run, with its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

#[derive(Debug, Args)]
pub struct Doctor {
    #[command(flatten)]
    pub flags: Flags,
    /// Runs a client's command with each failure that there is
    #[arg(long, requires = "command")]
    pub client: bool,
    /// How long each run of the command may take [default: 120s]
    #[arg(long, value_name = "TIME", value_parser = duration, requires = "client")]
    pub client_within: Option<Duration>,
    /// What to run, with its arguments
    #[arg(last = true, requires = "client", value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

#[derive(Debug, Default, Args)]
pub struct Flags {
    /// Address and port; port 0 takes a free one [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Option<SocketAddr>,
    /// Where interactions are kept [default: $XDG_DATA_HOME/belljar or ~/.local/share/belljar]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// What the scripted model says [default: ./scenarios, if it exists]
    #[arg(long, value_name = "DIR")]
    pub scenarios: Option<PathBuf>,
    /// Writes what is asked and what models say into this folder, a scenario file for each interaction
    #[arg(long, value_name = "DIR")]
    pub record: Option<PathBuf>,
    /// What becomes of recordings that are there: they are replaced; or kept, and only new questions
    /// are asked; or followed by all new answers: replace, new or all [default: replace]
    #[arg(long, value_name = "MODE")]
    pub record_mode: Option<RecordMode>,
    /// A regular expression for what differs each time, such as a date: it is left out of recordings, and
    /// makes no difference when they are replayed. May be given several times
    #[arg(long, value_name = "REGEX")]
    pub record_ignore: Vec<String>,
    /// Records clients on other machines too, which are refused otherwise
    #[arg(long)]
    pub record_from_anywhere: bool,
    /// Where models look things up: a folder of documents, or the address of a SearXNG
    /// [default: nowhere]
    #[arg(long, value_name = "DIR|URL")]
    pub search: Option<String>,
    /// Settings in TOML
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Serves on any address without keys, where there are none
    #[arg(long)]
    pub no_auth: bool,
    /// Socket of a warden that runs already
    #[arg(long, value_name = "PATH")]
    pub sandbox_socket: Option<PathBuf>,
    /// Program of the warden to start [default: belljar-warden beside this program]
    #[arg(long, value_name = "PATH")]
    pub warden: Option<PathBuf>,
    /// The sandbox's Python and its libraries [default: what `install-libraries` made last]
    #[arg(long, value_name = "DIR")]
    pub libraries: Option<PathBuf>,
    /// The weakest wall to run code behind: namespaced, landlocked or seccomp-only
    /// [default: landlocked]
    #[arg(long, value_name = "TIER")]
    pub min_isolation: Option<Tier>,
    /// Limit of one run of code [default: 30]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub run_seconds: Option<f64>,
    /// The same dice and the same clock for all code, and the same ids, signatures and times for the same
    /// requests
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,
    /// How often a model may write code anew after a run that failed [default: 5]
    #[arg(long, value_name = "COUNT")]
    pub regenerations: Option<u32>,
    /// How often a model is asked in one interaction [default: 20]
    #[arg(long, value_name = "COUNT")]
    pub model_turns: Option<u32>,
    /// Limit of a request [default: 104857600]
    #[arg(long, value_name = "BYTES")]
    pub request_bytes: Option<usize>,
    /// How long a client may take nothing of its answer before it is dropped [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub stalled_after: Option<Duration>,
    /// Limit of a file that is uploaded [default: 2147483648]
    #[arg(long, value_name = "BYTES")]
    pub file_bytes: Option<u64>,
    /// Limit of all uploaded files of one key [default: 21474836480]
    #[arg(long, value_name = "BYTES")]
    pub files_bytes: Option<u64>,
    /// How long an uploaded file is kept [default: 48h]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub file_lifetime: Option<Duration>,
    /// How long an interaction is kept [default: 55d]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub retention: Option<Duration>,
    /// How long a stop waits for what runs [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub shutdown_grace: Option<Duration>,
}

/// `30`, `0.5`
pub fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.001..=86_400.0).contains(&seconds) => Ok(seconds),
        Ok(_) => Err("it must lie between 0.001 and 86400".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// `10s`, `500ms`
pub fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| error.to_string())
}
