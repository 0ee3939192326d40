//! The warden: owns the zygotes and cells of one machine. It listens on a Unix socket and has no
//! network.
//!
//! ```text
//! serve ──▶ pool ──▶ zygote ──▶ cell      listens, assigns standbys, forks, runs code
//!             │                 │  │
//!         isolation      resources meter  probes the host; allocates; measures
//! ```

#![forbid(unsafe_code)]

mod cell;
mod channel;
mod health;
mod isolation;
mod meter;
mod pool;
mod process;
mod resources;
mod serve;
mod zygote;

use std::io::{IsTerminal as _, Write};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

#[derive(Debug, Parser)]
#[command(name = "belljar-warden", version, about = "Runs the sandboxes of one machine.")]
struct WardenArguments {
    #[command(subcommand)]
    command: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Listen on a Unix socket and run code in sandboxes.
    Serve(Box<serve::WardenSettings>),
    /// Check whether a warden is ready to run code. Fails if it is not.
    Health(health::HealthOptions),
    /// Print the seccomp profile for the container that the warden runs in.
    SeccompProfile,
    /// Print the system calls that code can make, each with its reason.
    Calls,
    /// Drop privileges and become a zygote. Only the warden starts this.
    #[command(hide = true)]
    Zygote(zygote::ZygoteOptions),
}

fn main() -> ExitCode {
    let done = match WardenArguments::parse().command {
        Action::Serve(settings) => {
            set_up_log();
            serve::serve(*settings)
        }
        Action::Health(settings) => health::ask(&settings),
        Action::Calls => print(&jail::calls_document()),
        Action::SeccompProfile => print(&jail::container_profile()),
        // Without a runtime and a logger, because they could start threads.
        Action::Zygote(options) => Err(zygote::become_one(&options)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One write, because the parent process writes to the same standard error.
            let message = format!("belljar-warden: {error:#}\n");
            eprint!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// Same format as the server's log: no colours if standard error is no terminal.
fn set_up_log() {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let is_forced = variable("CLICOLOR_FORCE").is_some_and(|value| value != "0");
    let colours = variable("NO_COLOR").is_none()
        && (is_forced
            || std::io::stderr().is_terminal() && std::env::var_os("TERM") != Some("dumb".into()));
    let filter = EnvFilter::try_from_env("BELLJAR_LOG").unwrap_or_else(|_| "info".into());
    let log = tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter);
    if variable("BELLJAR_LOG_FORMAT").as_deref() == Some("json") {
        log.json().flatten_event(true).init();
    } else {
        log.with_ansi(colours).init();
    }
}

fn print(text: &str) -> anyhow::Result<()> {
    std::io::stdout().write_all(text.as_bytes()).context("could not print")
}
