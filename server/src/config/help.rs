//! Builds `--help`: the options of each command, in groups, and examples.

use clap::builder::StyledStr;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command, CommandFactory as _};

use super::flags::Arguments;

const SERVER: &str = "Server";
const DATA: &str = "Data";
const MODEL: &str = "Model";
const SANDBOX: &str = "Sandbox";
const LIMITS: &str = "Limits";

/// Group of each setting. A setting that is not listed belongs to the group of the setting before
/// it.
const GROUPS: [(&str, &str); 29] = [
    ("listen", SERVER),
    ("data_dir", DATA),
    ("ephemeral", DATA),
    ("scenarios", MODEL),
    ("record", MODEL),
    ("record_mode", MODEL),
    ("record_ignore", MODEL),
    ("record_remote_clients", MODEL),
    ("search", MODEL),
    ("config", SERVER),
    ("no_auth", SERVER),
    ("hosts", SERVER),
    ("shared_keys", SERVER),
    ("sandbox_socket", SANDBOX),
    ("warden", SANDBOX),
    ("libraries", SANDBOX),
    ("min_isolation", SANDBOX),
    ("run_timeout", SANDBOX),
    ("seed", SANDBOX),
    ("max_code_retries", MODEL),
    ("max_model_turns", MODEL),
    ("request_bytes", LIMITS),
    ("write_timeout", LIMITS),
    ("max_upload_bytes", LIMITS),
    ("max_total_upload_bytes", LIMITS),
    ("file_lifetime", DATA),
    ("retention", DATA),
    ("shutdown_grace", SERVER),
    ("log_format", SERVER),
];

/// Settings that `-h` shows; `--help` shows all.
const SHORT: [&str; 12] = [
    "listen",
    "data_dir",
    "ephemeral",
    "scenarios",
    "record",
    "search",
    "config",
    "no_auth",
    "sandbox_socket",
    "libraries",
    "run_timeout",
    "seed",
];

/// Arguments of commands that are not settings.
const NO_SETTINGS: [&str; 9] =
    ["json", "update", "client", "client_timeout", "command", "paths", "of", "shell", "help"];

const VARIABLES: &str = "\
Settings:
  Every option can also be set by an environment variable (--data-dir, BELLJAR_DATA_DIR) or by a key in
  the configuration file (data_dir = \"…\"). An option overrides the variable, and the variable
  overrides the file. Examples of sizes: 100MiB, 100MB, 104857600. Examples of durations: 500ms, 30s,
  1h30m.

  Three settings have no option:
    BELLJAR_API_KEYS=KEY,…     require one of these API keys (api_keys in the file)
    BELLJAR_FETCH_FROM=URL,…   URL prefixes from which requests may fetch files (fetch_from in the file)
    BELLJAR_LOG=LEVEL          error, warn, info, debug or trace; or levels of modules, such as
                               warn,server::http=debug";

const SERVE: &str = "\
Examples:
  belljar serve                                    listen on localhost:8080, answer from ./scenarios
  belljar serve --listen 0 --ephemeral             use a free port, keep no data
  belljar serve --config belljar.toml              use the models of the [[model]] tables
  BELLJAR_API_KEYS=secret belljar serve --listen 0.0.0.0:8080";

const EXEC: &str = "\
Examples:
  belljar exec -- pytest
  belljar exec --scenarios tests/scenarios -- npx vitest run
  belljar exec --config gemini.toml --record scenarios -- pytest

All other options and variables of `belljar serve` are accepted too, except BELLJAR_LISTEN and
BELLJAR_DATA_DIR. BELLJAR_LOG=info logs each request.";

const DOCTOR: &str = "\
Examples:
  belljar doctor
  belljar doctor --client -- python my_agent.py";

const VALIDATE: &str = "\
Examples:
  belljar validate
  belljar validate tests/scenarios more.yaml
  belljar validate --json";

const VERIFY: &str = "\
Examples:
  belljar verify scenarios
  belljar verify --seed 7 scenarios/primes.yaml
  belljar verify --update scenarios                accept the new results";

const CONFIG: &str = "\
Examples:
  belljar config
  BELLJAR_LOG=debug belljar config --config belljar.toml";

const COMPLETIONS: &str = "\
Examples:
  belljar completions bash >~/.local/share/bash-completion/completions/belljar
  belljar completions zsh >~/.zfunc/_belljar
  belljar completions fish >~/.config/fish/completions/belljar.fish";

const MAN: &str = "\
Examples:
  belljar man >~/.local/share/man/man1/belljar.1
  belljar man serve | man -l -";

/// Settings that a command shows in its help.
struct Own {
    command: &'static str,
    groups: &'static [&'static str],
    /// Settings from other groups.
    others: &'static [&'static str],
    /// Whether the command rejects all other settings, which would have no effect.
    refuses: bool,
    examples: &'static str,
}

const OWN: [Own; 5] = [
    Own {
        command: "serve",
        groups: &[SERVER, DATA, MODEL, SANDBOX, LIMITS],
        others: &[],
        refuses: false,
        examples: SERVE,
    },
    Own {
        command: "config",
        groups: &[SERVER, DATA, MODEL, SANDBOX, LIMITS],
        others: &[],
        refuses: false,
        examples: CONFIG,
    },
    Own {
        command: "exec",
        groups: &[MODEL, SANDBOX],
        others: &["listen", "data_dir", "config", "log_format"],
        refuses: false,
        examples: EXEC,
    },
    Own {
        command: "doctor",
        groups: &[MODEL, SANDBOX],
        others: &["config", "log_format"],
        refuses: false,
        examples: DOCTOR,
    },
    Own {
        command: "verify",
        groups: &[SANDBOX],
        others: &["config", "log_format"],
        refuses: true,
        examples: VERIFY,
    },
];

/// Defaults that differ from those of `serve`.
const OTHER_DEFAULTS: [(&str, &str, &str); 4] = [
    ("exec", "listen", "a free port of 127.0.0.1"),
    ("exec", "data_dir", "a temporary folder"),
    ("doctor", "listen", "a free port of 127.0.0.1"),
    ("verify", "listen", "a free port of 127.0.0.1"),
];

/// Builds the command line.
pub fn command() -> Command {
    let mut command = Arguments::command().long_version(LONG_VERSION).after_help(
        "Use `belljar COMMAND -h` for the common options of a command, `belljar COMMAND --help` for all.",
    );
    for own in &OWN {
        command = command.mut_subcommand(own.command, |command| tidy(command, own));
    }
    for (name, examples) in [("validate", VALIDATE), ("completions", COMPLETIONS), ("man", MAN)] {
        command = command.mut_subcommand(name, |command| command.after_long_help(examples));
    }
    command
}

/// Version, commit and build.
const LONG_VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\ncommit: ",
    env!("BUILD_COMMIT"),
    "\nbuild: ",
    env!("BUILD_PROFILE"),
    ", ",
    env!("BUILD_TARGET"),
);

/// Sorts settings into groups and hides those that the command does not have.
fn tidy(command: Command, own: &Own) -> Command {
    let mut group = SERVER;
    let settings: Vec<(String, &str)> = command
        .get_arguments()
        .filter(|arg| is_setting(arg))
        .map(|arg| {
            let id = arg.get_id().as_str();
            group = GROUPS.iter().find(|(known, _)| *known == id).map_or(group, |(_, g)| g);
            (id.to_owned(), group)
        })
        .collect();
    let mut command = command;
    for (id, group) in settings {
        let is_own = own.has(&id, group);
        let default = OTHER_DEFAULTS.iter().find(|(c, s, _)| *c == own.command && *s == id);
        command = command.mut_arg(&id, |arg| {
            let arg = match default {
                Some((_, _, default)) => with_default(arg, default),
                None => arg,
            };
            arg.help_heading(group).hide(!is_own).hide_short_help(!SHORT.contains(&&*id))
        });
    }
    let long = if own.command == "serve" {
        format!("{VARIABLES}\n\n{}", own.examples)
    } else {
        own.examples.to_owned()
    };
    command
        .after_help("Use `--help` for all options and examples.")
        .after_long_help(StyledStr::from(long))
}

impl Own {
    fn has(&self, id: &str, group: &str) -> bool {
        self.groups.contains(&group) || self.others.contains(&id)
    }
}

fn is_setting(arg: &Arg) -> bool {
    !NO_SETTINGS.contains(&arg.get_id().as_str())
}

/// Replaces the default in the help text.
fn with_default(arg: Arg, default: &str) -> Arg {
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let help = help.split(" [default: ").next().unwrap_or_default();
    let help = StyledStr::from(format!("{help} [default: {default}]"));
    arg.help(help.clone()).long_help(help)
}

/// Rejects a setting that has no effect on the command.
pub fn check(matches: &ArgMatches) -> Result<(), clap::Error> {
    let Some((name, given)) = matches.subcommand() else { return Ok(()) };
    let Some(own) = OWN.iter().find(|own| own.command == name && own.refuses) else {
        return Ok(());
    };
    let mut top = command();
    let Some(command) = top.find_subcommand_mut(name) else { return Ok(()) };
    let hidden = command.get_arguments().filter(|arg| is_setting(arg) && arg.is_hide_set());
    let hidden = hidden.map(|arg| arg.get_id().to_string());
    let useless = hidden.into_iter().find(|id| {
        given.try_contains_id(id).is_ok()
            && given.value_source(id) == Some(ValueSource::CommandLine)
    });
    match useless {
        None => Ok(()),
        Some(id) => {
            let flag = id.replace('_', "-");
            let why = format!("unexpected argument '--{flag}': it has no effect on `{name}`");
            let _ = own;
            Err(command.error(ErrorKind::UnknownArgument, why))
        }
    }
}
