//! The warden: owns the zygotes and cells of one machine. It listens on a unix socket and has no
//! network.

#![forbid(unsafe_code)]

mod capture;
mod cell;
mod channel;
mod connection;
mod health;
mod home;
mod images;
mod memory;
mod pool;
mod process;
mod serve;
mod workspace;
mod zygote;

use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::Context;
use clap::{Parser, Subcommand};
use jail::RootSpec;
use rustix::fs::{Mode, OFlags};
use tracing_subscriber::EnvFilter;

#[derive(Debug, Parser)]
#[command(name = "belljar-warden", version, about = "Owns the sandboxes of one machine.")]
struct Arguments {
    #[command(subcommand)]
    command: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Listens on a unix socket and runs what comes in.
    Serve(serve::Settings),
    /// Asks a warden whether a run would begin at once. Fails where not.
    Health(health::Settings),
    /// Prints the system-call filter for the container that the warden runs in.
    SeccompProfile,
    /// Gives up what it can and becomes a zygote. The warden starts this itself.
    #[command(hide = true)]
    Zygote(ZygoteArguments),
}

#[derive(Debug, clap::Args)]
struct ZygoteArguments {
    /// JSON of a `RootSpec`.
    #[arg(long)]
    root: String,
    /// Number of the socket on which orders come.
    #[arg(long)]
    command: i32,
    /// Number of the file with the cells' specification.
    #[arg(long)]
    spec: i32,
    /// What to import.
    modules: Vec<String>,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Action::Serve(settings) => {
            tracing_subscriber::fmt()
                .with_writer(std::io::stderr)
                .with_env_filter(
                    EnvFilter::try_from_env("BELLJAR_LOG").unwrap_or_else(|_| "info".into()),
                )
                .init();
            serve::serve(settings)
        }
        Action::Health(settings) => health::ask(&settings),
        Action::SeccompProfile => print(&jail::container_profile()),
        // No runtime, no logger: nothing that would start a thread.
        Action::Zygote(arguments) => become_zygote(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("belljar-warden: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn print(text: &str) -> anyhow::Result<()> {
    std::io::stdout().write_all(text.as_bytes()).context("printing")
}

fn become_zygote(arguments: &ZygoteArguments) -> anyhow::Result<()> {
    let spec: RootSpec = serde_json::from_str(&arguments.root).context("reading --root")?;
    // Stays open across the exec below: it is the only way in which a cell can write its user map.
    let proc: OwnedFd = rustix::fs::open("/proc", OFlags::PATH | OFlags::DIRECTORY, Mode::empty())
        .context("opening /proc")?;
    jail::enter_root(&spec, proc.as_fd())?;
    let python = spec.python.executable_inside();
    Err(Command::new(&python)
        .args(["-u", "-s", "-B", "/opt/belljar/zygote.py"])
        .args(
            [arguments.command, arguments.spec, proc.as_raw_fd()].map(|number| number.to_string()),
        )
        .args(&arguments.modules)
        .env_clear()
        .envs(zygote::environment(&spec.python))
        .exec())
    .with_context(|| format!("starting {}", python.display()))
}
