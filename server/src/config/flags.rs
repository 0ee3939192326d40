//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use protocol::Tier;

use super::listen::ListenAddress;
use super::units;
use crate::recording::RecordMode;

/// Gemini's code execution on your own machine: the model is plugged in, and the code runs for real.
#[derive(Debug, Parser)]
#[command(name = "belljar", version)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

// Options, groups, examples and defaults of each command are in `help.rs`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serves Gemini's API
    Serve(Flags),
    /// Runs a command with a server of its own
    ///
    /// The server takes a free port and keeps nothing. The command finds it in GOOGLE_GEMINI_BASE_URL
    /// and GEMINI_API_KEY, as Google's SDKs do. Its exit code is handed on.
    Exec(Exec),
    /// Tries the sandbox and says what is missing on this machine; with --client, tries a client
    ///
    /// With --client the command is run as by `belljar exec`: once as it is, and then once with each
    /// failure and each quirk. What it survives is said in a line each; the exit code is 0 if that is
    /// all it met.
    Doctor(Doctor),
    /// Looks for mistakes in scenario files
    Validate {
        /// Writes all mistakes as JSON
        #[arg(long)]
        json: bool,
        /// Files, and folders of them [default: ./scenarios]
        #[arg(value_name = "PATH")]
        paths: Vec<PathBuf>,
    },
    /// Runs the code of recordings again and shows what differs
    Verify(Verify),
    /// Shows the settings in force and where each comes from
    ///
    /// Takes the options of `belljar serve`. Keys are not shown.
    Config(Flags),
    /// Prints the JSON Schema of a file
    Schema {
        #[command(subcommand)]
        of: Schema,
    },
    /// Prints a script that completes commands and options in a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Prints the manual page
    Man {
        /// Of this command; without one, of `belljar` itself
        #[arg(value_name = "COMMAND")]
        command: Option<String>,
    },
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Plain,
    Json,
}

impl LogFormat {
    pub fn as_str(self) -> &'static str {
        match self {
            LogFormat::Plain => "plain",
            LogFormat::Json => "json",
        }
    }
}

impl std::str::FromStr for LogFormat {
    type Err = String;

    fn from_str(word: &str) -> Result<LogFormat, String> {
        match word {
            "plain" => Ok(LogFormat::Plain),
            "json" => Ok(LogFormat::Json),
            _ => Err("expected plain or json".to_owned()),
        }
    }
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
    /// Writes what code came to now into the files, which expect it from then on
    #[arg(long)]
    pub update: bool,
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
    #[arg(long, value_name = "TIME", value_parser = units::duration, requires = "client")]
    pub client_within: Option<Duration>,
    /// What to run, with its arguments
    #[arg(last = true, requires = "client", value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

#[derive(Debug, Default, Args)]
pub struct Flags {
    /// Address and port, or a port alone, which is one of localhost (127.0.0.1 and ::1); port 0 takes
    /// a free one [default: localhost:8080]
    #[arg(long, value_name = "ADDR:PORT|PORT")]
    pub listen: Option<ListenAddress>,
    /// Where interactions are kept [default: $XDG_DATA_HOME/belljar or ~/.local/share/belljar]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Keeps nothing: interactions and files are in a temporary folder that ends with the server
    #[arg(long, conflicts_with = "data_dir")]
    pub ephemeral: bool,
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
    /// Listens on any address without API keys
    #[arg(long)]
    pub no_auth: bool,
    /// Makes all API keys one tenant, which sees all that any of them made
    #[arg(long)]
    pub shared_keys: bool,
    /// Serves the test controls (/x/journal, /x/reset, /x/faults, /x/scenarios, x-belljar-fault)
    /// [default: where there are no API keys]
    #[arg(long, overrides_with = "no_control")]
    pub control: bool,
    /// Serves no test controls
    #[arg(long, overrides_with = "control")]
    pub no_control: bool,
    /// Names of this server besides localhost and IP addresses, where there are no keys: requests for
    /// any other name are refused
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub hosts: Option<Vec<String>>,
    /// Socket of a warden that runs already
    #[arg(long, value_name = "PATH")]
    pub sandbox_socket: Option<PathBuf>,
    /// Program of the warden to start [default: belljar-warden beside this program]
    #[arg(long, value_name = "PATH")]
    pub warden: Option<PathBuf>,
    /// The sandbox's Python and its libraries [default: what `install-libraries` made last]
    #[arg(long, value_name = "DIR")]
    pub libraries: Option<PathBuf>,
    /// Weakest sandbox isolation to accept: namespaced, landlocked or seccomp-only
    /// [default: landlocked]
    #[arg(long, value_name = "TIER")]
    pub min_isolation: Option<Tier>,
    /// Limit of one run of code [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = units::seconds)]
    pub run_seconds: Option<f64>,
    /// Seed of all code's random numbers; its clock starts at the same time, too, and ids, signatures and
    /// times are the same for the same requests
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,
    /// How often a model may write code again after a run that failed [default: 5]
    #[arg(long, value_name = "COUNT")]
    pub regenerations: Option<u32>,
    /// How often a model is asked in one interaction [default: 20]
    #[arg(long, value_name = "COUNT")]
    pub model_turns: Option<u32>,
    /// Limit of a request [default: 100MiB]
    #[arg(long, value_name = "SIZE", value_parser = units::bytes_in_memory)]
    pub request_bytes: Option<usize>,
    /// How long a client may read nothing of its answer before it is disconnected [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    pub stalled_after: Option<Duration>,
    /// Limit of a file that is uploaded [default: 2GiB]
    #[arg(long, value_name = "SIZE", value_parser = units::bytes)]
    pub file_bytes: Option<u64>,
    /// Limit of all uploaded files of one key [default: 20GiB]
    #[arg(long, value_name = "SIZE", value_parser = units::bytes)]
    pub files_bytes: Option<u64>,
    /// How long an uploaded file is kept [default: 48h]
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    pub file_lifetime: Option<Duration>,
    /// How long an interaction is kept [default: 55d]
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    pub retention: Option<Duration>,
    /// How long a stop waits for what runs [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    pub shutdown_grace: Option<Duration>,
    /// How the log is written: plain, or json for an object a line [default: plain]
    #[arg(long, value_name = "FORMAT", hide_possible_values = true)]
    pub log_format: Option<LogFormat>,
}
