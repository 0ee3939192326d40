//! Settings and their defaults. No other module reads the environment.
//!
//! Precedence: option, environment variable, configuration file, default.

mod file;
mod flags;
mod help;
mod models;
mod names;
mod renamed;
mod search;
mod shown;
mod units;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::FromArgMatches as _;
use protocol::Tier;
use secrecy::SecretString;

use crate::Control;
use crate::backend::scripted::Ignore;
use crate::backend::{gemini, openai, upstream};
use crate::chaos::fault::Fault;
use crate::engine::{FetchFrom, InvalidUrlPrefix};
use crate::http::{Hosts, NotAHost};
use crate::interaction::Limits;
use crate::listen::ListenAddress;
use crate::recording::RecordMode;
use crate::redaction::Secrets;
use crate::search::FolderLimits;
use crate::store::FileLimits;
use crate::validate::Validate;
use crate::verify::Changes;
use file::File;
use flags::{Arguments, Command, Flags};

pub use flags::{LogFormat, Schema};
pub use help::command;
pub use names::{check as check_variables, nearest};
pub use renamed::FormerName;
pub use units::{size_text, time_text};

/// Default folder of scenarios, used only if it exists.
const SCENARIOS: &str = "scenarios";

/// The retention of Google's paid tier.
const RETENTION: Duration = Duration::from_secs(55 * 24 * 60 * 60);

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
    /// Never empty.
    Validate(Vec<PathBuf>, Validate),
    /// Never empty.
    Verify(Config, Vec<PathBuf>, Changes),
    Schema(Schema),
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

/// Configuration of a server.
#[derive(Debug)]
pub struct Config {
    pub listen: ListenAddress,
    pub data_dir: DataDir,
    /// `None` if no folder was given and `./scenarios` does not exist.
    pub scenarios: Option<PathBuf>,
    /// If empty, clients need no key.
    pub api_keys: Vec<SecretString>,
    /// Whether all keys belong to one tenant.
    pub shared_keys: bool,
    /// Whether clients may use the test controls.
    pub control: Control,
    /// Accepted host names besides `localhost` and IP addresses, for requests without a key.
    pub hosts: Hosts,
    pub sandbox: SandboxConfig,
    /// Seed of ids, signatures and times. The warden seeds the cells.
    pub seed: Option<u64>,
    /// The weakest accepted isolation.
    pub min_isolation: Tier,
    /// In order of precedence.
    pub models: Vec<ModelRule>,
    /// How existing recordings are treated.
    pub record_mode: RecordMode,
    /// Text that recordings omit.
    pub record_ignore: Ignore,
    /// Whether a recording server accepts clients on other machines.
    pub record_remote_clients: bool,
    /// Where models search; `None` disables search.
    pub search: Option<SearchConfig>,
    /// Faults for all requests. Only the configuration file sets them.
    pub faults: Vec<Fault>,
    pub limits: Limits,
    pub request_bytes: usize,
    /// Write timeout: how long a client may read nothing of its response.
    pub write_timeout: Duration,
    pub files: FileLimits,
    /// How long interactions are kept.
    pub retention: Duration,
    pub fetch_from: FetchFrom,
    pub shutdown_grace: Duration,
    /// Value of `BELLJAR_LOG`.
    pub log: String,
    pub log_format: LogFormat,
    pub colour: Colour,
    /// Settings that were given under former names, for warnings.
    pub former_names: BTreeSet<FormerName>,
}

/// Whether the log uses colours, from `NO_COLOR` and `CLICOLOR_FORCE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// If standard error is a terminal.
    Auto,
    Always,
    Never,
}

/// Where interactions are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataDir {
    Folder(PathBuf),
    /// A temporary folder, deleted when the server stops.
    Scratch,
}

/// How to reach the sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SandboxConfig {
    /// A warden that runs already, with its own limits.
    Socket(PathBuf),
    /// A warden that the server starts and stops.
    Warden { program: PathBuf, libraries: PathBuf, run: Duration, seed: Option<u64> },
}

/// Where models search.
#[derive(Debug, Clone, PartialEq)]
pub enum SearchConfig {
    /// A folder of documents, and the base URL under which clients see them.
    Folder {
        folder: PathBuf,
        base_url: String,
        results: usize,
        limits: FolderLimits,
    },
    Searxng {
        base_url: String,
        timeout: Duration,
        results: usize,
    },
}

/// Maps models to a backend.
#[derive(Debug, Clone)]
pub struct ModelRule {
    /// Glob pattern for the requested model name.
    pub name: String,
    pub backend: BackendConfig,
    /// Folder for recordings of its answers, if they are recorded.
    pub record: Option<PathBuf>,
}

#[derive(Debug, Clone)]
pub enum BackendConfig {
    Direct,
    Scripted,
    OpenAi(upstream::Address, openai::Model),
    Gemini(upstream::Address, gemini::Model),
    /// Replays the recordings of this folder.
    Replay(PathBuf),
}

/// Why the configuration is invalid.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Also a request for help. Prints itself.
    #[error(transparent)]
    Arguments(#[from] clap::Error),
    #[error("invalid {name}={value}: {why}")]
    Variable { name: &'static str, value: String, why: String },
    #[error("unknown variable {name}{}", did_you_mean(.meant.as_deref()))]
    UnknownVariable { name: String, meant: Option<String> },
    #[error("invalid {0}: the value is not UTF-8")]
    NotText(String),
    #[error("could not read the configuration {}: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("invalid configuration {}: {why}", path.display())]
    Syntax { path: PathBuf, why: String },
    #[error("BELLJAR_FETCH_FROM: {0}")]
    FetchFrom(#[from] InvalidUrlPrefix),
    #[error("invalid record_ignore: {0}")]
    RecordIgnore(String),
    #[error("invalid --hosts (BELLJAR_HOSTS): {0}")]
    Hosts(#[from] NotAHost),
    #[error("[search]: {0}")]
    Search(String),
    #[error("[[model]] {name}: {why}")]
    Model { name: String, why: String },
    #[error("{0} accepts connections from other machines, but no API keys are set")]
    Open(ListenAddress),
    #[error(
        "recordings in {} would expose the requests of one API key to the others: record into a \
         folder that the server does not read and without --record-mode new, or pass \
         --shared-keys", .0.display()
    )]
    RecordingsAnswer(PathBuf),
    #[error("no data folder: HOME is not set")]
    NoDataDir,
    #[error("the sandbox's libraries are not installed")]
    NoLibraries,
    #[error("could not find the warden program: {0}")]
    NoWarden(std::io::Error),
}

fn did_you_mean(meant: Option<&str>) -> String {
    meant.map(|meant| format!(": did you mean {meant}?")).unwrap_or_default()
}

impl ConfigError {
    /// What to do about the error, if there is one thing to do.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            ConfigError::UnknownVariable { meant: None, .. } => {
                "`belljar serve --help` lists every setting; unset the variable if it is not one of them"
            }
            ConfigError::Open(_) => {
                "set BELLJAR_API_KEYS=KEY,… to require keys, or pass --no-auth to serve clients without one"
            }
            ConfigError::NoDataDir => {
                "pass --data-dir DIR, or --ephemeral to use a temporary folder"
            }
            ConfigError::NoWarden(_) => "pass --warden PATH or --sandbox-socket PATH",
            _ => return None,
        })
    }
}

impl Task {
    /// Reads the command line, the environment and the configuration file.
    pub fn read(
        arguments: impl IntoIterator<Item = OsString>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Task, ConfigError> {
        let (arguments, mut former_names) = renamed::arguments(arguments);
        former_names.extend(renamed::variables(&variable));
        let variable = |name: &str| {
            let value = variable(name).filter(|value| !value.is_empty());
            value.or_else(|| variable(&renamed::former_variable(name)?))
        };
        let variables = Variables(&variable, former_names);
        let matches = help::command().try_get_matches_from(arguments)?;
        help::check(&matches)?;
        let sources = matches.subcommand().map(|(_, matches)| shown::given(matches));
        Ok(match Arguments::from_arg_matches(&matches)?.command {
            Command::Config(flags) => {
                Task::ShowConfig(Config::show(flags, &variables, &sources.unwrap_or_default())?)
            }
            Command::Completions { shell } => Task::Completions(shell),
            Command::Man { command } => Task::Man(command),
            Command::Serve(flags) => Task::Serve(Config::read(flags, &variables)?),
            Command::Doctor(flags::Doctor { flags, client: false, .. }) => {
                Task::Doctor(Config::read(flags, &variables)?)
            }
            Command::Doctor(flags::Doctor { flags, client_timeout, command, .. }) => {
                let exec = Exec { command, no_proxy: variables.no_proxy() };
                let within = client_timeout.unwrap_or(CLIENT_TIMEOUT);
                Task::DoctorClient(Config::of_exec(flags, &variables)?, exec, within)
            }
            Command::Validate { mut paths, json } => {
                if paths.is_empty() {
                    paths.push(PathBuf::from(SCENARIOS));
                }
                let libraries = variables.or(None, "BELLJAR_LIBRARIES", path)?;
                let libraries = libraries.or_else(|| variables.installed_libraries());
                let python = libraries.map(|folder| folder.join("python"));
                Task::Validate(paths, Validate { python, json })
            }
            Command::Schema { of } => Task::Schema(of),
            Command::Verify(flags::Verify { flags, update, paths }) => {
                let changes = if update { Changes::Accept } else { Changes::Refuse };
                Task::Verify(Config::of_exec(flags, &variables)?, paths, changes)
            }
            Command::Exec(flags::Exec { flags, command }) => {
                let exec = Exec { command, no_proxy: variables.no_proxy() };
                Task::Exec(Config::of_exec(flags, &variables)?, exec)
            }
        })
    }
}

impl Config {
    /// All API keys, of clients and of backends, for redaction. Never log them.
    pub fn secrets(&self) -> Secrets {
        let of_models = self.models.iter().filter_map(|rule| match &rule.backend {
            BackendConfig::OpenAi(address, _) | BackendConfig::Gemini(address, _) => {
                address.key.clone()
            }
            BackendConfig::Direct | BackendConfig::Scripted | BackendConfig::Replay(_) => None,
        });
        Secrets::new(self.api_keys.iter().cloned().chain(of_models))
    }

    fn read(flags: Flags, variables: &Variables<'_>) -> Result<Config, ConfigError> {
        let file = match variables.or(flags.config.clone(), "BELLJAR_CONFIG", path)? {
            Some(path) => File::read(&path)?,
            None => File::default(),
        };
        Config::merge(flags, variables, file)?.with_recordings_apart()
    }

    /// Selects the data folder. At each level of precedence, `ephemeral` wins over a folder.
    fn data_dir(
        flags: (bool, Option<PathBuf>),
        env: &Variables<'_>,
        file: (Option<bool>, Option<PathBuf>),
    ) -> Result<DataDir, ConfigError> {
        let variables =
            (env.or(None, "BELLJAR_EPHEMERAL", switch)?, env.or(None, "BELLJAR_DATA_DIR", path)?);
        let levels = [(Some(flags.0), flags.1), variables, file];
        for (ephemeral, folder) in levels {
            match (ephemeral, folder) {
                (Some(true), _) => return Ok(DataDir::Scratch),
                (_, Some(folder)) => return Ok(DataDir::Folder(folder)),
                _ => {}
            }
        }
        env.platform_data_dir().map(DataDir::Folder).ok_or(ConfigError::NoDataDir)
    }

    /// Configuration for `exec`. Several servers may run at once, so the port and the folder of
    /// `serve` are ignored. The log is quiet because the terminal belongs to the command.
    fn of_exec(mut flags: Flags, variables: &Variables<'_>) -> Result<Config, ConfigError> {
        flags.listen.get_or_insert(ListenAddress::loopback(0));
        // The command has ended, so no client waits for a response.
        flags.shutdown_grace.get_or_insert(Duration::ZERO);
        let data_dir = flags.data_dir.clone().map_or(DataDir::Scratch, DataDir::Folder);
        flags.data_dir.get_or_insert_default(); // skips the search for a default
        // A server for one command is for tests, so the `control` setting of `serve` is ignored.
        let control = Control::from(!flags.no_control);
        let config = Config::read(flags, variables)?;
        let log = (variables.0)("BELLJAR_LOG")
            .filter(|log| !log.is_empty())
            .unwrap_or_else(|| "warn".to_owned());
        Ok(Config { data_dir, log, control, ..config })
    }

    /// Rejects settings under which one key would receive answers recorded for another.
    fn with_recordings_apart(self) -> Result<Config, ConfigError> {
        if self.shared_keys || self.api_keys.len() < 2 {
            return Ok(self);
        }
        let replayed = self.models.iter().filter_map(|rule| match &rule.backend {
            BackendConfig::Replay(folder) => Some(folder),
            _ => None,
        });
        let searched = match &self.search {
            Some(SearchConfig::Folder { folder, .. }) => Some(folder),
            _ => None,
        };
        let read: Vec<_> = replayed.chain(&self.scenarios).chain(searched).map(real).collect();
        let is_read = |folder: &&PathBuf| {
            let folder = real(folder);
            read.iter().any(|read| read.starts_with(&folder) || folder.starts_with(read))
        };
        // With `--record-mode new` recordings answer although they are not loaded as scenarios.
        let recorded = self.models.iter().filter_map(|rule| rule.record.as_ref());
        let answers = |folder: &&PathBuf| self.record_mode == RecordMode::New || is_read(folder);
        match recorded.into_iter().find(answers) {
            Some(folder) => Err(ConfigError::RecordingsAnswer(folder.clone())),
            None => Ok(self),
        }
    }

    fn merge(flags: Flags, env: &Variables<'_>, file: File) -> Result<Config, ConfigError> {
        let listen =
            env.or(flags.listen, "BELLJAR_LISTEN", parse)?.or(file.listen).unwrap_or_default();
        let no_auth = flags.no_auth
            || env.or(None, "BELLJAR_NO_AUTH", switch)?.or(file.no_auth) == Some(true);
        let api_keys = match (env.0)("BELLJAR_API_KEYS").filter(|keys| !keys.is_empty()) {
            Some(keys) => keys.split(',').map(str::trim).map(str::to_owned).collect(),
            None => file.api_keys.unwrap_or_default(),
        };
        let api_keys: Vec<SecretString> =
            api_keys.into_iter().filter(|key| !key.is_empty()).map(Into::into).collect();
        if !listen.is_loopback() && api_keys.is_empty() && !no_auth {
            return Err(ConfigError::Open(listen));
        }
        let shared_keys = flags.shared_keys
            || env.or(None, "BELLJAR_SHARED_KEYS", switch)?.or(file.shared_keys) == Some(true);
        let control = match (flags.control, flags.no_control) {
            (false, false) => {
                let off = env.or(None, "BELLJAR_NO_CONTROL", switch)?.map(|off: bool| !off);
                let on = env.or(None, "BELLJAR_CONTROL", switch)?;
                off.filter(|control| !control).or(on).or(file.control)
            }
            (control, _) => Some(control),
        };
        let hosts = env
            .or(flags.hosts, "BELLJAR_HOSTS", |names| {
                Ok(names.split(',').map(str::trim).map(str::to_owned).collect())
            })?
            .or(file.hosts)
            .unwrap_or_default();
        let hosts =
            Hosts::new(hosts.iter().map(|name| name.trim()).filter(|name| !name.is_empty()))?;
        let run_timeout =
            env.or(flags.run_timeout, "BELLJAR_RUN_TIMEOUT", units::seconds)?.or(file.run_timeout);
        let seed = env.or(flags.seed, "BELLJAR_SEED", parse)?.or(file.seed);
        let sandbox_socket =
            env.or(flags.sandbox_socket, "BELLJAR_SANDBOX_SOCKET", path)?.or(file.sandbox_socket);
        let warden = env.or(flags.warden, "BELLJAR_WARDEN", path)?.or(file.warden);
        let libraries = env.or(flags.libraries, "BELLJAR_LIBRARIES", path)?.or(file.libraries);
        let sandbox = match sandbox_socket {
            Some(socket) => SandboxConfig::Socket(socket),
            None => SandboxConfig::Warden {
                program: warden.map_or_else(warden_beside_us, Ok)?,
                libraries: libraries
                    .or_else(|| env.installed_libraries())
                    .ok_or(ConfigError::NoLibraries)?,
                run: Duration::from_secs_f64(run_timeout.unwrap_or(30.0)),
                seed,
            },
        };
        let record = env.or(flags.record, "BELLJAR_RECORD", path)?.or(file.record);
        let record_mode = env.or(flags.record_mode, "BELLJAR_RECORD_MODE", parse)?;
        let record_ignore = Some(flags.record_ignore).filter(|patterns| !patterns.is_empty());
        let record_ignore = env.or(record_ignore, "BELLJAR_RECORD_IGNORE", lines)?;
        let record_ignore = record_ignore.or(file.record_ignore).unwrap_or_default();
        let data_dir = Config::data_dir(
            (flags.ephemeral, flags.data_dir),
            env,
            (file.ephemeral, file.data_dir),
        )?;
        let scenarios = env.or(flags.scenarios, "BELLJAR_SCENARIOS", path)?.or(file.scenarios);
        Ok(Config {
            listen,
            data_dir,
            scenarios: scenarios
                .or_else(|| Some(PathBuf::from(SCENARIOS)).filter(|folder| folder.is_dir())),
            shared_keys,
            control: control
                .map_or_else(|| Control::default_with(!api_keys.is_empty()), Control::from),
            api_keys,
            hosts,
            sandbox,
            seed,
            min_isolation: env
                .or(flags.min_isolation, "BELLJAR_MIN_ISOLATION", parse)?
                .or(file.min_isolation)
                .unwrap_or(Tier::Landlocked),
            search: search::setting(
                env.or(flags.search, "BELLJAR_SEARCH", |text| Ok(text.to_owned()))?,
                file.search,
            )?,
            faults: file.fault,
            models: models::rules(file.model, record.as_deref(), env.0)?,
            record_mode: record_mode.or(file.record_mode).unwrap_or_default(),
            record_ignore: Ignore::try_from(record_ignore).map_err(ConfigError::RecordIgnore)?,
            record_remote_clients: flags.record_remote_clients
                || env
                    .or(None, "BELLJAR_RECORD_REMOTE_CLIENTS", switch)?
                    .or(file.record_remote_clients)
                    == Some(true),
            limits: Limits {
                regenerations: env
                    .or(flags.max_code_retries, "BELLJAR_MAX_CODE_RETRIES", parse)?
                    .or(file.max_code_retries)
                    .unwrap_or(5),
                model_turns: env
                    .or(flags.max_model_turns, "BELLJAR_MAX_MODEL_TURNS", parse)?
                    .or(file.max_model_turns)
                    .unwrap_or(20),
            },
            request_bytes: env
                .or(flags.request_bytes, "BELLJAR_REQUEST_BYTES", units::bytes_in_memory)?
                .or(file.request_bytes)
                .unwrap_or(100 << 20),
            write_timeout: env
                .or(flags.write_timeout, "BELLJAR_WRITE_TIMEOUT", units::duration)?
                .or(file.write_timeout)
                .unwrap_or(Duration::from_secs(60)),
            files: FileLimits {
                file_bytes: env
                    .or(flags.max_upload_bytes, "BELLJAR_MAX_UPLOAD_BYTES", units::bytes)?
                    .or(file.max_upload_bytes)
                    .unwrap_or(2 << 30),
                total_bytes: env
                    .or(
                        flags.max_total_upload_bytes,
                        "BELLJAR_MAX_TOTAL_UPLOAD_BYTES",
                        units::bytes,
                    )?
                    .or(file.max_total_upload_bytes)
                    .unwrap_or(20 << 30),
                lifetime: env
                    .or(flags.file_lifetime, "BELLJAR_FILE_LIFETIME", units::duration)?
                    .or(file.file_lifetime)
                    .unwrap_or(Duration::from_secs(48 * 60 * 60)),
            },
            retention: env
                .or(flags.retention, "BELLJAR_RETENTION", units::duration)?
                .or(file.retention)
                .unwrap_or(RETENTION),
            fetch_from: match (env.0)("BELLJAR_FETCH_FROM").filter(|folders| !folders.is_empty()) {
                Some(folders) => FetchFrom::new(folders.split(',').map(str::trim))?,
                None => FetchFrom::new(file.fetch_from.iter().flatten().map(String::as_str))?,
            },
            shutdown_grace: env
                .or(flags.shutdown_grace, "BELLJAR_SHUTDOWN_GRACE", units::duration)?
                .or(file.shutdown_grace)
                .unwrap_or(Duration::from_secs(10)),
            log: (env.0)("BELLJAR_LOG")
                .filter(|log| !log.is_empty())
                .unwrap_or_else(|| "info".to_owned()),
            log_format: env
                .or(flags.log_format, "BELLJAR_LOG_FORMAT", parse)?
                .or(file.log_format)
                .unwrap_or_default(),
            colour: env.colour(),
            former_names: env.1.iter().cloned().chain(file.former_names).collect(),
        })
    }
}

/// The environment, and the settings that were given under former names. Tests pass their own.
struct Variables<'a>(&'a dyn Fn(&str) -> Option<String>, BTreeSet<FormerName>);

impl Variables<'_> {
    /// The option, else the variable. An empty variable counts as unset.
    fn or<T>(
        &self,
        flag: Option<T>,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, ConfigError> {
        if flag.is_some() {
            return Ok(flag);
        }
        let Some(value) = (self.0)(name).filter(|value| !value.is_empty()) else {
            return Ok(None);
        };
        match parse(&value) {
            Ok(parsed) => Ok(Some(parsed)),
            Err(why) => Err(ConfigError::Variable { name, value, why }),
        }
    }

    /// Without it, clients send even loopback requests to the proxy.
    fn no_proxy(&self) -> String {
        let mut hosts = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let before = ["NO_PROXY", "no_proxy"].into_iter().find_map(|name| (self.0)(name));
        hosts.extend(before.filter(|before| !before.is_empty()));
        hosts.join(",")
    }

    /// https://no-color.org and http://bixense.com/clicolors
    fn colour(&self) -> Colour {
        let is_set = |name| (self.0)(name).is_some_and(|value| !value.is_empty());
        let is_forced =
            (self.0)("CLICOLOR_FORCE").is_some_and(|value| !matches!(&*value, "" | "0"));
        if is_set("NO_COLOR") {
            Colour::Never
        } else if is_forced {
            Colour::Always
        } else if (self.0)("TERM").as_deref() == Some("dumb")
            || (self.0)("CLICOLOR").as_deref() == Some("0")
        {
            Colour::Never
        } else {
            Colour::Auto
        }
    }

    fn platform_data_dir(&self) -> Option<PathBuf> {
        let data = self.folder("XDG_DATA_HOME").or_else(|| self.home(".local/share"))?;
        Some(data.join("belljar"))
    }

    /// The newest complete folder of `install-libraries`, in its default location.
    fn installed_libraries(&self) -> Option<PathBuf> {
        let cache = self.folder("BELLJAR_CACHE").or_else(|| {
            let cache = self.folder("XDG_CACHE_HOME").or_else(|| self.home(".cache"))?;
            Some(cache.join("belljar"))
        })?;
        let complete = |entry: std::fs::DirEntry| {
            let finished = entry.path().join(".key").metadata().ok()?.modified().ok()?;
            let named = entry.file_name().to_string_lossy().starts_with("libraries-");
            named.then(|| (finished, entry.path()))
        };
        let found = std::fs::read_dir(cache).ok()?.flatten().filter_map(complete);
        found.max().map(|(_, folder)| folder)
    }

    fn folder(&self, name: &str) -> Option<PathBuf> {
        (self.0)(name).map(PathBuf::from).filter(|path| path.is_absolute())
    }

    fn home(&self, below: &str) -> Option<PathBuf> {
        self.folder("HOME").map(|home| home.join(below))
    }
}

/// The path without links and dots, as far as it exists.
fn real(folder: &PathBuf) -> PathBuf {
    let whole = std::path::absolute(folder).unwrap_or_else(|_| folder.clone());
    whole.canonicalize().unwrap_or(whole)
}

fn warden_beside_us() -> Result<PathBuf, ConfigError> {
    let ours = std::env::current_exe().map_err(ConfigError::NoWarden)?;
    Ok(ours.parent().unwrap_or(Path::new("")).join("belljar-warden"))
}

fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

/// One pattern per line, because a pattern may contain any other character.
fn lines(text: &str) -> Result<Vec<String>, String> {
    Ok(text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

/// A boolean of an environment variable.
fn switch(text: &str) -> Result<bool, String> {
    match text.to_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err("expected true or false".to_owned()),
    }
}

fn path(text: &str) -> Result<PathBuf, String> {
    Ok(PathBuf::from(text))
}

#[cfg(test)]
mod tests;
