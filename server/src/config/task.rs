//! The command line as a task with its configuration.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::parser::ValueSource;
use clap::{ArgMatches, FromArgMatches as _};

use super::environment::Environment;
use super::flags::{self, Arguments, Command, SchemaName};
use super::{Config, ConfigError, SCENARIOS, help, renamed, shown};
use crate::validate::Validate;
use crate::verify::Changes;
use sandbox_client::libraries::Installation;

/// Time limit of a client under test.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(120);

/// Command to carry out.
#[derive(Debug)]
pub enum Task {
    Serve(Config),
    Doctor(Config),
    /// Tests a client's command; the duration is the time limit of each run.
    DoctorClient(Config, Exec, Duration),
    Exec(Config, Exec),
    Mcp(Config),
    /// Never empty.
    Validate(Vec<PathBuf>, Validate),
    /// Never empty.
    Verify(Config, Vec<PathBuf>, Changes),
    InstallLibraries(Installation),
    Schema(SchemaName),
    /// The effective settings, one per line.
    ShowConfig(String),
    Completions(clap_complete::Shell),
    /// The manual page of a command, or of the program.
    Man(Option<String>),
}

/// A command that runs against its own server.
#[derive(Debug, PartialEq, Eq)]
pub struct Exec {
    /// The program and its arguments. Never empty.
    pub command: Vec<OsString>,
    /// `NO_PROXY` for the command: the inherited value plus this machine.
    pub no_proxy: String,
}

impl Task {
    /// Reads the command line, the environment and the configuration file.
    pub fn read(
        arguments: impl IntoIterator<Item = OsString>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Task, ConfigError> {
        let (arguments, mut former_names) = renamed::arguments(arguments);
        former_names.extend(renamed::variables(&variable));
        let matches = help::command().try_get_matches_from(arguments)?;
        help::check(&matches)?;
        let options = matches.subcommand().map(|(_, matches)| options(matches));
        let options = options.unwrap_or_default();
        let sources = Environment { variable: &variable, options, former_names };
        Ok(match Arguments::from_arg_matches(&matches)?.command {
            Command::Config(given) => Task::ShowConfig(shown::show(given, &sources)?),
            Command::Completions { shell } => Task::Completions(shell),
            Command::Man { command } => Task::Man(command),
            Command::Serve(given) => Task::Serve(Config::of_serve(given, &sources)?),
            Command::Doctor(flags::Doctor { given, client: false, .. }) => {
                Task::Doctor(Config::of_serve(given, &sources)?)
            }
            Command::Doctor(flags::Doctor { given, client_timeout, command, .. }) => {
                let exec = Exec { command, no_proxy: sources.no_proxy() };
                let within = client_timeout.map_or(CLIENT_TIMEOUT, |time| time.0);
                Task::DoctorClient(Config::of_exec(given, &sources)?, exec, within)
            }
            Command::Mcp(given) => Task::Mcp(Config::of_exec(given, &sources)?),
            Command::Validate { mut paths, json } => {
                if paths.is_empty() {
                    paths.push(PathBuf::from(SCENARIOS));
                }
                let libraries = sources.parsed("libraries")?;
                let libraries = libraries.or_else(|| sources.installed_libraries());
                let python = libraries.map(|folder: PathBuf| folder.join("python"));
                Task::Validate(paths, Validate { python, json })
            }
            Command::Libraries { command } => {
                let flags::LibrariesCommand::Install { without, python, into } = command;
                let without_tensorflow = without.is_some();
                Task::InstallLibraries(Installation { python, into, without_tensorflow })
            }
            Command::Schema { of } => Task::Schema(of),
            Command::Verify(flags::Verify { given, update, paths }) => {
                let changes = if update { Changes::Accept } else { Changes::Refuse };
                Task::Verify(Config::of_exec(given, &sources)?, paths, changes)
            }
            Command::Exec(flags::ExecArguments { given, command }) => {
                let exec = Exec { command, no_proxy: sources.no_proxy() };
                Task::Exec(Config::of_exec(given, &sources)?, exec)
            }
        })
    }
}

/// The names of the given options.
fn options(matches: &ArgMatches) -> BTreeSet<String> {
    let ids = matches.ids().map(clap::Id::as_str);
    let is_given = |id: &&str| {
        matches.try_contains_id(id).is_ok()
            && matches.value_source(id) == Some(ValueSource::CommandLine)
    };
    ids.filter(is_given).map(str::to_owned).collect()
}
