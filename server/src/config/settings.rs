//! The settings. Each is defined here and nowhere else.
//!
//! `max_upload_bytes` is the key in the configuration file, `--max-upload-bytes` the option, and
//! `BELLJAR_MAX_UPLOAD_BYTES` the variable.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use protocol::Tier;

use super::definition::{ApiKeys, Definition, TextLine, settings};
use super::environment::Environment;
use super::flags::LogFormat;
use super::{ConfigError, models, search, shown};
use crate::listen::ListenAddress;
use domain::chaos::fault::Fault;
use parse::units::{ByteSize, RunTime, TimeSpan};
use recording::RecordMode;

// Groups of `--help`.
pub const SERVER: &str = "Server";
pub const DATA: &str = "Data";
pub const MODEL: &str = "Model";
pub const SANDBOX: &str = "Sandbox";
pub const LIMITS: &str = "Limits";

/// The retention of Google's paid tier.
const RETENTION: TimeSpan = TimeSpan::hours(55 * 24);

settings! {
settings {
    /// Address and port to listen on. A port alone listens on localhost (127.0.0.1 and ::1); port 0
    /// selects a free port
    #[arg(long, value_name = "ADDR:PORT|PORT", help_heading = SERVER)]
    listen: ListenAddress = ListenAddress::default();

    /// Configuration file in TOML
    #[arg(long, value_name = "FILE", help_heading = SERVER)]
    #[serde(skip)]
    config: PathBuf, shown(shown::config);

    #[arg(skip)]
    api_keys: ApiKeys,
        without_option("KEY,…", "require one of these API keys (api_keys in the file)"),
        shown(shown::api_keys);

    #[arg(skip)]
    metrics_keys: ApiKeys,
        without_option(
            "KEY,…",
            "require one of these keys for /metrics, instead of an API key (metrics_keys in the file)"
        ),
        shown(shown::metrics_keys);

    /// Allow other machines to connect without an API key
    #[arg(long, action = clap::ArgAction::SetTrue, help_heading = SERVER)]
    no_auth: bool;

    /// Let all API keys share one set of interactions, files and test controls
    #[arg(long, action = clap::ArgAction::SetTrue, help_heading = SERVER, hide_short_help = true)]
    shared_keys: bool;

    /// Enable the test controls (/x/journal, /x/reset, /x/faults, /x/scenarios, x-belljar-fault)
    #[arg(long, action = clap::ArgAction::SetTrue, overrides_with = "no_control")]
    #[arg(help_heading = SERVER, hide_short_help = true)]
    control: bool, default_is("enabled if no API keys are set");

    /// Disable the test controls
    #[arg(long, action = clap::ArgAction::SetTrue, overrides_with = "control")]
    #[arg(help_heading = SERVER, hide_short_help = true)]
    #[serde(skip)]
    no_control: bool;

    /// Serve no console at /console
    #[arg(long, action = clap::ArgAction::SetTrue, help_heading = SERVER, hide_short_help = true)]
    no_console: bool;

    /// Host names of this server, besides localhost and IP addresses. Without API keys, requests
    /// for any other host are rejected
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    #[arg(help_heading = SERVER, hide_short_help = true)]
    hosts: Vec<String>;

    /// Write a credentials file for Google's libraries and issue tokens at /token, so that clients
    /// of Vertex AI can log in
    #[arg(long, action = clap::ArgAction::SetTrue, help_heading = SERVER, hide_short_help = true)]
    fake_credentials: bool;

    /// Folder for interactions and uploaded files
    #[arg(long, value_name = "DIR", help_heading = DATA)]
    data_dir: PathBuf,
        default_is("$XDG_DATA_HOME/belljar or ~/.local/share/belljar"),
        shown(shown::data_dir);

    /// Store interactions and files in a temporary folder, deleted when the server stops
    #[arg(long, action = clap::ArgAction::SetTrue, conflicts_with = "data_dir")]
    #[arg(help_heading = DATA)]
    ephemeral: bool;

    /// How long uploaded files are kept
    #[arg(long, value_name = "TIME", help_heading = DATA, hide_short_help = true)]
    file_lifetime: TimeSpan = TimeSpan::hours(48);

    /// How long interactions are kept
    #[arg(long, value_name = "TIME", help_heading = DATA, hide_short_help = true)]
    retention: TimeSpan = RETENTION;

    /// Folder of scenario files for the scripted model
    #[arg(long, value_name = "DIR", help_heading = MODEL)]
    scenarios: PathBuf, default_is("./scenarios, if it exists"), shown(shown::scenarios);

    /// Record requests and model answers in this folder, one scenario file per interaction
    #[arg(long, value_name = "DIR", help_heading = MODEL)]
    record: PathBuf;

    /// How to treat existing recordings: `replace` them, record only `new` questions and replay the
    /// others, or append `all` answers
    #[arg(long, value_name = "MODE", help_heading = MODEL, hide_short_help = true)]
    record_mode: RecordMode = RecordMode::default();

    /// Regular expression for text that changes between runs, such as a date. Matches are left out
    /// of recordings and ignored in replay. May be repeated
    #[arg(long, value_name = "REGEX", help_heading = MODEL, hide_short_help = true)]
    record_ignore: Vec<TextLine>, shown(shown::record_ignore);

    /// Accept and record clients on other machines, which a recording server otherwise rejects
    #[arg(long, action = clap::ArgAction::SetTrue, help_heading = MODEL, hide_short_help = true)]
    record_remote_clients(formerly "record_from_anywhere"): bool,
        shown(shown::record_remote_clients);

    /// Where models search: a folder of documents or the URL of a SearXNG instance; `off` disables
    /// search
    #[arg(long, value_name = "DIR|URL", help_heading = MODEL)]
    search: search::Setting, default_is("off"), shown(shown::search);

    /// Maximum number of retries with new code after failed runs
    #[arg(long, value_name = "COUNT", help_heading = MODEL, hide_short_help = true)]
    max_code_retries(formerly "regenerations"): u32 = 5;

    /// Maximum number of model calls per interaction
    #[arg(long, value_name = "COUNT", help_heading = MODEL, hide_short_help = true)]
    max_model_turns(formerly "model_turns"): u32 = 20;

    /// Socket of a running warden
    #[arg(long, value_name = "PATH", help_heading = SANDBOX)]
    sandbox_socket: PathBuf, shown(shown::sandbox_socket);

    /// Path of the warden program to start
    #[arg(long, value_name = "PATH", help_heading = SANDBOX, hide_short_help = true)]
    warden: PathBuf, default_is("belljar-warden beside this program"), shown(shown::warden);

    /// Folder of the sandbox's Python and its libraries
    #[arg(long, value_name = "DIR", help_heading = SANDBOX)]
    libraries: PathBuf,
        default_is("the folder that `belljar libraries install` finished last"),
        shown(shown::libraries);

    /// Fail if no libraries are installed, instead of installing them
    #[arg(long, action = clap::ArgAction::SetTrue, help_heading = SANDBOX, hide_short_help = true)]
    no_install: bool;

    /// Weakest sandbox isolation to accept: namespaced, landlocked or seccomp-only
    #[arg(long, value_name = "TIER", help_heading = SANDBOX, hide_short_help = true)]
    min_isolation: Tier = Tier::Landlocked;

    /// Time limit of one run of code
    #[arg(long, value_name = "TIME", help_heading = SANDBOX)]
    run_timeout(formerly "run_seconds"): RunTime = RunTime(Duration::from_secs(30)),
        shown(shown::run_timeout);

    /// Make runs reproducible: a fixed seed for random numbers, a fixed clock, and the same ids,
    /// signatures and times for the same requests
    #[arg(long, value_name = "NUMBER", help_heading = SANDBOX)]
    seed: u64, shown(shown::seed);

    /// Maximum size of a request
    #[arg(long, value_name = "SIZE", help_heading = LIMITS, hide_short_help = true)]
    request_bytes: ByteSize = ByteSize(100 << 20);

    /// Write timeout: disconnect a client that reads nothing of its response for this long
    #[arg(long, value_name = "TIME", help_heading = LIMITS, hide_short_help = true)]
    write_timeout(formerly "stalled_after"): TimeSpan = TimeSpan::seconds(60);

    /// Maximum size of one uploaded file
    #[arg(long, value_name = "SIZE", help_heading = LIMITS, hide_short_help = true)]
    max_upload_bytes(formerly "file_bytes"): ByteSize = ByteSize(2 << 30);

    /// Maximum total size of the uploaded files of one API key
    #[arg(long, value_name = "SIZE", help_heading = LIMITS, hide_short_help = true)]
    max_total_upload_bytes(formerly "files_bytes"): ByteSize = ByteSize(20 << 30);

    /// Maximum number of sessions (/x/sessions) of one API key
    #[arg(long, value_name = "COUNT", help_heading = LIMITS, hide_short_help = true)]
    max_sessions: u32 = 16;

    /// Maximum memory that the sessions of one API key hold between runs
    #[arg(long, value_name = "SIZE", help_heading = LIMITS, hide_short_help = true)]
    max_session_memory: ByteSize = ByteSize(4 << 30);

    /// End a session that is not used for this long, unless its client chooses another time
    #[arg(long, value_name = "TIME", help_heading = LIMITS, hide_short_help = true)]
    session_idle_timeout: TimeSpan = TimeSpan::seconds(20 * 60);

    /// Maximum age of a session
    #[arg(long, value_name = "TIME", help_heading = LIMITS, hide_short_help = true)]
    session_max_age: TimeSpan = TimeSpan::hours(24);

    #[arg(skip)]
    fetch_from: Vec<String>,
        without_option(
            "URL,…",
            "URL prefixes from which requests may fetch files (fetch_from in the file)"
        );

    /// How long a shutdown waits for running requests
    #[arg(long, value_name = "TIME", help_heading = SERVER, hide_short_help = true)]
    shutdown_grace: TimeSpan = TimeSpan::seconds(10);

    /// Stop when standard input is closed, as it is when the program that started the server ends
    #[arg(long, action = clap::ArgAction::SetTrue, help_heading = SERVER, hide_short_help = true)]
    exit_with_stdin: bool;

    #[arg(skip)]
    #[serde(skip)]
    log: String = "info".to_owned(),
        without_option(
            "LEVEL",
            "error, warn, info, debug or trace; or levels of modules, such as\n\
             warn,server::http=debug"
        );

    /// Format of the log: plain, or json with one object per line
    #[arg(long, value_name = "FORMAT", hide_possible_values = true)]
    #[arg(help_heading = SERVER, hide_short_help = true)]
    log_format: LogFormat = LogFormat::default();
}
tables {
    model: Vec<models::ModelTable>, shown(shown::models);
    fault: Vec<Fault>, shown(shown::faults);
}
}

impl Given {
    /// Applies the settings of one source that decide others of it.
    pub fn with_opposites(mut self) -> Given {
        if self.no_control == Some(true) {
            self.control = Some(false);
        }
        // The folder overrides `ephemeral` of sources with lower precedence.
        if self.data_dir.is_some() {
            self.ephemeral.get_or_insert(false);
        }
        self
    }
}
