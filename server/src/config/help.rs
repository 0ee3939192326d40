//! Builds `--help`: the options of each command, in groups, and examples.

use clap::builder::StyledStr;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command, CommandFactory as _};

use super::definition::{Definition, WithoutOption, option_of};
use super::flags::Arguments;
use super::settings::{DATA, DEFINITIONS, LIMITS, MODEL, SANDBOX, SERVER};

const VARIABLES: &str = "\
Settings:
  Every option can also be set by an environment variable (--data-dir, BELLJAR_DATA_DIR) or by a key in
  the configuration file (data_dir = \"…\"). An option overrides the variable, and the variable
  overrides the file. Examples of sizes: 100MiB, 100MB, 104857600. Examples of durations: 500ms, 30s,
  1h30m.

  These settings have no option:";

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

const MCP: &str = "\
Examples:
  belljar mcp                                      in the configuration of an agent
  belljar mcp --run-timeout 2m";

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

const LIBRARIES: &str = "\
Examples:
  belljar libraries install
  belljar libraries install --without tensorflow
  belljar libraries install --python /usr/bin/python3.13 --into /opt/belljar/libraries";

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

const OWN: [Own; 6] = [
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
        others: &["listen", "data_dir", "config", "log_format", "fake_credentials"],
        refuses: false,
        examples: EXEC,
    },
    Own {
        command: "doctor",
        groups: &[MODEL, SANDBOX],
        others: &["config", "log_format", "fake_credentials"],
        refuses: false,
        examples: DOCTOR,
    },
    Own {
        command: "mcp",
        groups: &[SANDBOX],
        others: &[
            "config",
            "log_format",
            "max_sessions",
            "max_session_memory",
            "session_idle_timeout",
            "session_max_age",
        ],
        refuses: true,
        examples: MCP,
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
const OTHER_DEFAULTS: [(&str, &str, &str); 5] = [
    ("exec", "listen", "a free port of 127.0.0.1"),
    ("exec", "data_dir", "a temporary folder"),
    ("doctor", "listen", "a free port of 127.0.0.1"),
    ("mcp", "listen", "none"),
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
    for (name, examples) in [
        ("validate", VALIDATE),
        ("libraries", LIBRARIES),
        ("completions", COMPLETIONS),
        ("man", MAN),
    ] {
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

/// Completes the help of settings, and hides those that the command does not have.
fn tidy(command: Command, own: &Own) -> Command {
    let command = DEFINITIONS.iter().filter(|setting| setting.without_option.is_none()).fold(
        command,
        |command, setting| {
            command.mut_arg(setting.name, |arg| {
                let is_own = own.has(&arg);
                with_default(arg, own.default(setting)).hide(!is_own)
            })
        },
    );
    let long = if own.command == "serve" {
        format!("{VARIABLES}\n{}\n{}", without_option(), own.examples)
    } else {
        own.examples.to_owned()
    };
    command
        .after_help("Use `--help` for all options and examples.")
        .after_long_help(StyledStr::from(long))
}

/// The settings without an option, in two columns.
fn without_option() -> String {
    let settings = DEFINITIONS.iter().filter_map(|setting| {
        let WithoutOption { value_name, help } = setting.without_option?;
        let default = setting.default_text().map(|default| format!(" [default: {default}]"));
        let help = format!("{help}{}", default.unwrap_or_default());
        Some((format!("{}={value_name}", setting.variable()), help))
    });
    let settings: Vec<(String, String)> = settings.collect();
    let width = settings.iter().map(|(variable, _)| variable.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for (variable, help) in settings {
        for (at, line) in help.lines().enumerate() {
            let variable = if at == 0 { &*variable } else { "" };
            text += &format!("    {variable:width$}   {line}\n");
        }
    }
    text
}

impl Own {
    fn has(&self, arg: &Arg) -> bool {
        arg.get_help_heading().is_some_and(|group| self.groups.contains(&group))
            || self.others.contains(&arg.get_id().as_str())
    }

    /// The default of a setting in this command.
    fn default(&self, setting: &Definition) -> Option<String> {
        let other = OTHER_DEFAULTS
            .iter()
            .find(|(command, name, _)| *command == self.command && *name == setting.name);
        other.map(|(_, _, default)| (*default).to_owned()).or_else(|| setting.default_text())
    }
}

/// Adds the default to the help text.
fn with_default(arg: Arg, default: Option<String>) -> Arg {
    let Some(default) = default else { return arg };
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let help = StyledStr::from(format!("{help} [default: {default}]"));
    arg.help(help.clone()).long_help(help)
}

/// Rejects a setting that has no effect on the command.
pub fn check(matches: &ArgMatches) -> Result<(), clap::Error> {
    let Some((name, given)) = matches.subcommand() else { return Ok(()) };
    if !OWN.iter().any(|own| own.command == name && own.refuses) {
        return Ok(());
    }
    let mut top = command();
    let Some(command) = top.find_subcommand_mut(name) else { return Ok(()) };
    let hidden = command.get_arguments().filter(|arg| arg.is_hide_set());
    let hidden: Vec<String> = hidden.map(|arg| arg.get_id().to_string()).collect();
    let useless = hidden.iter().find(|id| {
        given.try_contains_id(id).is_ok()
            && given.value_source(id) == Some(ValueSource::CommandLine)
    });
    match useless {
        None => Ok(()),
        Some(id) => {
            let why =
                format!("unexpected argument '{}': it has no effect on `{name}`", option_of(id));
            Err(command.error(ErrorKind::UnknownArgument, why))
        }
    }
}
