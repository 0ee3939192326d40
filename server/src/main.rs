//! Reads the configuration, makes the parts, and runs them. No decision, no default.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use protocol::Description;
use server::backend::Backend;
use server::backend::direct::Direct;
use server::backend::router::Router;
use server::backend::scripted::Scripted;
use server::config::{Action, BackendConfig, Config, ConfigError, SandboxConfig};
use server::doctor;
use server::sandbox::{Sandbox, SandboxError, WardenCommand};
use server::store::Store;
use server::{Door, Keys, Parts, Settings};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    let config = match Config::read(std::env::args_os(), |name| std::env::var(name).ok()) {
        Ok(config) => config,
        // clap's own: a mistake on the command line, or a wish for help.
        Err(ConfigError::Arguments(error)) => error.exit(),
        Err(error) => return failed(&error.into()),
    };
    let done = match config.action {
        Action::Serve => serve(config).await.map(|()| true),
        Action::Doctor => examine(config).await,
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => failed(&error),
    }
}

async fn examine(config: Config) -> anyhow::Result<bool> {
    let sandbox = sandbox(&config.sandbox).await;
    Ok(doctor::examine(sandbox, Path::new("/proc/sys"), &mut std::io::stdout()).await?)
}

async fn serve(config: Config) -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_new(&config.log).context("BELLJAR_LOG")?)
        .with_writer(std::io::stderr)
        .init();
    // Asked for before anything is started, so that no signal is missed.
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let shutdown = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };

    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("cannot listen on {}", config.listen))?;
    let address = listener.local_addr()?;
    let parts = Parts {
        listener,
        sandbox: Arc::new(sandbox(&config.sandbox).await?),
        backend: models(&config)?,
        store: Store::open(&config.data_dir).await?,
    };
    let settings = Settings {
        limits: config.limits,
        door: Door { keys: Keys::new(&config.api_keys), request_bytes: config.request_bytes },
        shutdown_grace: config.shutdown_grace,
    };
    let ready = |description: &Description| {
        tell_of_the_wall(description);
        announce(&format!("belljar listening on http://{address}"));
    };
    Ok(server::run(settings, parts, ready, shutdown).await?)
}

async fn sandbox(config: &SandboxConfig) -> Result<Sandbox, SandboxError> {
    match config {
        SandboxConfig::Socket(socket) => Ok(Sandbox::at(socket.clone())),
        SandboxConfig::Warden { program, libraries, run } => {
            let arguments = vec![
                "--libraries".to_owned(),
                libraries.display().to_string(),
                "--wall-ms".to_owned(),
                run.as_millis().to_string(),
            ];
            let command = WardenCommand { program: program.clone(), arguments };
            Sandbox::start(command).await
        }
    }
}

/// Each model that the configuration names, behind one.
fn models(config: &Config) -> anyhow::Result<Arc<dyn Backend>> {
    let scripted: Arc<dyn Backend> = match &config.scenarios {
        Some(folder) => Arc::new(Scripted::load(folder)?),
        None => Arc::new(Scripted::from_scenarios(Vec::new())),
    };
    let routes = config.models.iter().map(|rule| {
        let backend: Arc<dyn Backend> = match rule.backend {
            BackendConfig::Direct => Arc::new(Direct),
            BackendConfig::Scripted => Arc::clone(&scripted),
        };
        (rule.name.clone(), backend)
    });
    Ok(Arc::new(Router::new(routes.collect())?))
}

/// One line: what stands between strangers' code and this machine.
fn tell_of_the_wall(description: &Description) {
    let names = |holds: bool| {
        let layers = description.layers.iter().filter(|layer| layer.holds == holds);
        layers.map(|layer| layer.name.as_str()).collect::<Vec<_>>().join(", ")
    };
    tracing::info!(
        tier = ?description.tier,
        python = description.python,
        holds = names(true),
        missing = names(false),
        "the wall",
    );
}

#[expect(clippy::print_stdout, reason = "the one line that scripts wait for")]
fn announce(line: &str) {
    println!("{line}");
}

fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("belljar: {error:#}");
    ExitCode::FAILURE
}
