//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use protocol::Tier;

use super::units;
use crate::listen::ListenAddress;
use crate::recording::RecordMode;

/// Self-hosted server for Gemini's code execution, with the model of your choice and a real
/// sandbox.
#[derive(Debug, Parser)]
#[command(name = "belljar", version)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

// Options, groups, examples and defaults of each command are in `help.rs`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start the server
    Serve(Flags),
    /// Run a command against a temporary server
    ///
    /// The server listens on a free port and keeps no data. The command finds it through
    /// GOOGLE_GEMINI_BASE_URL and GEMINI_API_KEY, which Google's SDKs read. `belljar exec` exits
    /// with the command's exit code.
    Exec(Exec),
    /// Check the sandbox on this machine; with --client, test a client against failures
    ///
    /// With --client, runs the command as `belljar exec` does: once without failures, then once
    /// with each failure and each quirk. Prints one line for each. The exit code is 0 if the
    /// command succeeded in every run in which the failure reached it.
    Doctor(Doctor),
    /// Check scenario files for mistakes
    Validate {
        /// Print all mistakes as JSON
        #[arg(long)]
        json: bool,
        /// Files and folders to check [default: ./scenarios]
        #[arg(value_name = "PATH")]
        paths: Vec<PathBuf>,
    },
    /// Run the code of recordings again and show what differs
    Verify(Verify),
    /// Show the effective settings and the source of each
    ///
    /// Accepts the options of `belljar serve`. API keys are not shown.
    Config(Flags),
    /// Print the JSON Schema of a file format
    Schema {
        #[command(subcommand)]
        of: Schema,
    },
    /// Print a completion script for a shell
    Completions {
        /// Shell to complete for
        shell: clap_complete::Shell,
    },
    /// Print a manual page
    Man {
        /// Command to document [default: belljar itself]
        #[arg(value_name = "COMMAND")]
        command: Option<String>,
    },
}

/// Format of the log.
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
    /// Scenario files, for editors that complete and check them
    Scenario,
}

#[derive(Debug, Args)]
pub struct Verify {
    #[command(flatten)]
    pub flags: Flags,
    /// Replace the expected results in the files with the new results
    #[arg(long)]
    pub update: bool,
    /// Recordings and folders of recordings
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Exec {
    #[command(flatten)]
    pub flags: Flags,
    /// Command to run, with its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

#[derive(Debug, Args)]
pub struct Doctor {
    #[command(flatten)]
    pub flags: Flags,
    /// Test a client: run its command once with each failure and each quirk
    #[arg(long, requires = "command")]
    pub client: bool,
    /// Time limit of each run of the command [default: 120s]
    #[arg(long, value_name = "TIME", value_parser = units::duration, requires = "client")]
    pub client_timeout: Option<Duration>,
    /// Command to run, with its arguments
    #[arg(last = true, requires = "client", value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

#[derive(Debug, Default, Args)]
pub struct Flags {
    /// Address and port to listen on. A port alone listens on localhost (127.0.0.1 and ::1); port 0
    /// selects a free port [default: localhost:8080]
    #[arg(long, value_name = "ADDR:PORT|PORT")]
    pub listen: Option<ListenAddress>,
    /// Folder for interactions and uploaded files [default: $XDG_DATA_HOME/belljar or
    /// ~/.local/share/belljar]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Store interactions and files in a temporary folder, deleted when the server stops
    #[arg(long, conflicts_with = "data_dir")]
    pub ephemeral: bool,
    /// Folder of scenario files for the scripted model [default: ./scenarios, if it exists]
    #[arg(long, value_name = "DIR")]
    pub scenarios: Option<PathBuf>,
    /// Record requests and model answers in this folder, one scenario file per interaction
    #[arg(long, value_name = "DIR")]
    pub record: Option<PathBuf>,
    /// How to treat existing recordings: `replace` them, record only `new` questions and replay the
    /// others, or append `all` answers [default: replace]
    #[arg(long, value_name = "MODE")]
    pub record_mode: Option<RecordMode>,
    /// Regular expression for text that changes between runs, such as a date. Matches are left out
    /// of recordings and ignored in replay. May be repeated
    #[arg(long, value_name = "REGEX")]
    pub record_ignore: Vec<String>,
    /// Accept and record clients on other machines, which a recording server otherwise rejects
    #[arg(long)]
    pub record_remote_clients: bool,
    /// Where models search: a folder of documents or the URL of a SearXNG instance; `off` disables
    /// search [default: off]
    #[arg(long, value_name = "DIR|URL")]
    pub search: Option<String>,
    /// Configuration file in TOML
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Allow other machines to connect without an API key
    #[arg(long)]
    pub no_auth: bool,
    /// Let all API keys share one set of interactions, files and test controls
    #[arg(long)]
    pub shared_keys: bool,
    /// Enable the test controls (/x/journal, /x/reset, /x/faults, /x/scenarios, x-belljar-fault)
    /// [default: enabled if no API keys are set]
    #[arg(long, overrides_with = "no_control")]
    pub control: bool,
    /// Disable the test controls
    #[arg(long, overrides_with = "control")]
    pub no_control: bool,
    /// Host names of this server, besides localhost and IP addresses. Without API keys, requests
    /// for any other host are rejected
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub hosts: Option<Vec<String>>,
    /// Socket of a running warden
    #[arg(long, value_name = "PATH")]
    pub sandbox_socket: Option<PathBuf>,
    /// Path of the warden program to start [default: belljar-warden beside this program]
    #[arg(long, value_name = "PATH")]
    pub warden: Option<PathBuf>,
    /// Folder of the sandbox's Python and its libraries [default: the folder that
    /// `install-libraries` finished last]
    #[arg(long, value_name = "DIR")]
    pub libraries: Option<PathBuf>,
    /// Weakest sandbox isolation to accept: namespaced, landlocked or seccomp-only [default:
    /// landlocked]
    #[arg(long, value_name = "TIER")]
    pub min_isolation: Option<Tier>,
    /// Time limit of one run of code [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = units::seconds)]
    pub run_timeout: Option<f64>,
    /// Make runs reproducible: a fixed seed for random numbers, a fixed clock, and the same ids,
    /// signatures and times for the same requests
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,
    /// Maximum number of retries with new code after failed runs [default: 5]
    #[arg(long, value_name = "COUNT")]
    pub max_code_retries: Option<u32>,
    /// Maximum number of model calls per interaction [default: 20]
    #[arg(long, value_name = "COUNT")]
    pub max_model_turns: Option<u32>,
    /// Maximum size of a request [default: 100MiB]
    #[arg(long, value_name = "SIZE", value_parser = units::bytes_in_memory)]
    pub request_bytes: Option<usize>,
    /// Write timeout: disconnect a client that reads nothing of its response for this long
    /// [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    pub write_timeout: Option<Duration>,
    /// Maximum size of one uploaded file [default: 2GiB]
    #[arg(long, value_name = "SIZE", value_parser = units::bytes)]
    pub max_upload_bytes: Option<u64>,
    /// Maximum total size of the uploaded files of one API key [default: 20GiB]
    #[arg(long, value_name = "SIZE", value_parser = units::bytes)]
    pub max_total_upload_bytes: Option<u64>,
    /// How long uploaded files are kept [default: 48h]
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    pub file_lifetime: Option<Duration>,
    /// How long interactions are kept [default: 55d]
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    pub retention: Option<Duration>,
    /// How long a shutdown waits for running requests [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    pub shutdown_grace: Option<Duration>,
    /// Format of the log: plain, or json with one object per line [default: plain]
    #[arg(long, value_name = "FORMAT", hide_possible_values = true)]
    pub log_format: Option<LogFormat>,
}
