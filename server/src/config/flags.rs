//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::settings::Given;
use parse::units::TimeSpan;

/// Self-hosted server for Gemini's code execution, with the model of your choice and a real
/// sandbox.
#[derive(Debug, Parser)]
#[command(name = "belljar", version)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

// Options are in `settings.rs`; which of them a command has, and its examples, in `help.rs`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start the server
    Serve(Given),
    /// Run a command against a temporary server
    ///
    /// The server listens on a free port and keeps no data. The command finds it through
    /// GOOGLE_GEMINI_BASE_URL and GEMINI_API_KEY, which Google's SDKs read. `belljar exec` exits
    /// with the command's exit code.
    Exec(ExecArguments),
    /// Check the sandbox on this machine; with --client, test a client against failures
    ///
    /// With --client, runs the command as `belljar exec` does: once without failures, then once
    /// with each failure and each quirk. Prints one line for each. The exit code is 0 if the
    /// command succeeded in every run in which the failure reached it.
    Doctor(Doctor),
    /// Run the sandbox as an MCP server over standard input and output
    ///
    /// For agents that start their MCP servers themselves. It listens on no port. A running server
    /// has the same tools at /mcp.
    Mcp(Given),
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
    Config(Given),
    /// Install the sandbox's Python libraries
    Libraries {
        #[command(subcommand)]
        command: LibrariesCommand,
    },
    /// Print the JSON Schema of a file format
    Schema {
        #[command(subcommand)]
        of: SchemaName,
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

#[derive(Debug, Subcommand)]
pub enum LibrariesCommand {
    /// Install what is missing, and print the folder
    ///
    /// The libraries are downloaded by pip, checked against the hashes in this program, and installed
    /// into ~/.cache/belljar (BELLJAR_CACHE). CPython 3.11, 3.12 or 3.13 with venv is needed. An
    /// interrupted installation continues where it was. `belljar serve` and `belljar exec` install
    /// the libraries by themselves if there are none.
    Install {
        /// Leave out TensorFlow, which is half of the size
        #[arg(long, value_name = "PART")]
        without: Option<LibrariesPart>,
        /// Python to use [default: the first suitable one]
        #[arg(long, value_name = "PATH")]
        python: Option<PathBuf>,
        /// Folder to install into [default: a folder in ~/.cache/belljar]
        #[arg(long, value_name = "DIR")]
        into: Option<PathBuf>,
    },
}

/// A part of the libraries that can be left out.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum LibrariesPart {
    Tensorflow,
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

impl std::fmt::Display for LogFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
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
pub enum SchemaName {
    /// Scenario files, for editors that complete and check them
    Scenario,
    /// The configuration file
    Config,
}

#[derive(Debug, Args)]
pub struct Verify {
    #[command(flatten)]
    pub given: Given,
    /// Replace the expected results in the files with the new results
    #[arg(long)]
    pub update: bool,
    /// Recordings and folders of recordings
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub struct ExecArguments {
    #[command(flatten)]
    pub given: Given,
    /// Command to run, with its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

#[derive(Debug, Args)]
pub struct Doctor {
    #[command(flatten)]
    pub given: Given,
    /// Test a client: run its command once with each failure and each quirk
    #[arg(long, requires = "command")]
    pub client: bool,
    /// Time limit of each run of the command [default: 120s]
    #[arg(long, value_name = "TIME", requires = "client")]
    pub client_timeout: Option<TimeSpan>,
    /// Command to run, with its arguments
    #[arg(last = true, requires = "client", value_name = "COMMAND")]
    pub command: Vec<OsString>,
}
