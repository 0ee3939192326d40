//! Reads the configuration, makes the parts, and runs them. No decision, no default.

use std::collections::HashMap;
use std::io::Write as _;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use mimalloc::MiMalloc;
use protocol::Description;
use secrecy::ExposeSecret as _;
use server::backend::Backend;
use server::backend::direct::Direct;
use server::backend::gemini::Gemini;
use server::backend::openai::OpenAi;
use server::backend::recorded::Recorded;
use server::backend::router::Router;
use server::backend::scripted::{self, Additions, Scripted};
use server::config::{
    BackendConfig, Config, ConfigError, DataDir, Exec, SandboxConfig, Schema, SearchConfig, Task,
};
use server::doctor::{self, client};
use server::exec::{self, Signals};
use server::recording::Keeper;
use server::sandbox::{Sandbox, SandboxError, WardenCommand};
use server::search::{Folder, Search, SearchError, Searxng};
use server::store::Store;
use server::verify::Verifier;
use server::{Catalogue, Door, Keys, Parts, Settings, Visitors};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tracing_subscriber::EnvFilter;

/// A third of what a scripted answer costs beside the network was memory that is taken and given back by libc's.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    // Half of the processors: the others are for what is run, and a request is answered soonest where
    // it need not change hands.
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(processors.div_ceil(2))
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(carry_out()),
        Err(error) => failed(&anyhow::Error::new(error).context("starting the runtime")),
    }
}

async fn carry_out() -> ExitCode {
    let task = match Task::read(std::env::args_os(), |name| std::env::var(name).ok()) {
        Ok(task) => task,
        // clap's own: a mistake on the command line, or a wish for help.
        Err(ConfigError::Arguments(error)) => error.exit(),
        Err(error) => return failed(&error.into()),
    };
    let done = match task {
        Task::Serve(config) => serve(config).await.map(|()| ExitCode::SUCCESS),
        Task::Doctor(config) => examine(config).await.map(success),
        Task::DoctorClient(config, command, within) => try_client(config, command, within).await,
        Task::Exec(config, command) => execute(config, command).await,
        Task::Validate(paths, how) => how.check(&paths, &mut std::io::stdout()).map(success),
        Task::Schema(Schema::Scenario) => print(scripted::SCHEMA),
        Task::Verify(config, paths) => verify(config, paths).await.map(success),
    };
    done.unwrap_or_else(|error| failed(&error))
}

fn print(text: &str) -> anyhow::Result<ExitCode> {
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn success(well: bool) -> ExitCode {
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn examine(config: Config) -> anyhow::Result<bool> {
    let sandbox = sandbox(&config).await;
    let well = doctor::examine(sandbox.as_ref(), &mut std::io::stdout()).await?;
    if let Ok(sandbox) = sandbox {
        sandbox.stop().await;
    }
    Ok(well)
}

async fn verify(config: Config, paths: Vec<PathBuf>) -> anyhow::Result<bool> {
    log(&config)?;
    let sandbox = sandbox(&config).await?;
    sandbox.ready().await?;
    let (limits, secrets) = (config.limits, config.secrets());
    let verifier = Verifier { sandbox: &sandbox, limits, secrets };
    let well = verifier.check(&paths, &mut std::io::stdout()).await;
    sandbox.stop().await;
    well
}

async fn serve(config: Config) -> anyhow::Result<()> {
    log(&config)?;
    // Asked for before anything is started, so that no signal is missed.
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let shutdown = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };

    let settings = settings(&config)?;
    let parts = Assembled::from(&config).await?;
    let url = parts.url.clone();
    let ready = |description: &Description| {
        tell_of_the_wall(description);
        announce(&format!("belljar listening on {url}"));
    };
    Ok(server::run(settings, parts.parts, ready, shutdown).await?)
}

/// Serves for as long as the command runs, and ends as it did.
async fn execute(config: Config, command: Exec) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::catch()?;
    beside(&config, async move |ready, url: &str, key: &str| {
        let code = tokio::select! {
            biased; // one that ended before it was ready has the better reason
            Ok(()) = ready => exec::run(&command, url, key, &mut signals).await,
            signal = signals.next() => Ok(exec::code_of(signal)),
        };
        Ok(ExitCode::from(code?))
    })
    .await
}

/// Serves while a client's command is tried.
async fn try_client(config: Config, command: Exec, within: Duration) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::catch()?;
    beside(&config, async move |ready, url: &str, key: &str| {
        let server = client::Server::new(url, key)?;
        let trying = async {
            // One that ended before it was ready says why by itself.
            if ready.await.is_err() {
                std::future::pending::<()>().await;
            }
            client::examine(&command, within, &server, &mut std::io::stdout()).await
        };
        tokio::select! {
            tried = trying => Ok(success(tried?)),
            signal = signals.next() => Ok(ExitCode::from(exec::code_of(signal))),
        }
    })
    .await
}

/// Serves beside something that is told when the server is ready, where it is, and its key.
async fn beside(
    config: &Config,
    act: impl AsyncFnOnce(oneshot::Receiver<()>, &str, &str) -> anyhow::Result<ExitCode>,
) -> anyhow::Result<ExitCode> {
    log(config)?;
    let settings = settings(config)?;
    let parts = Assembled::from(config).await?;
    let (is_ready, ready) = oneshot::channel();
    let (end, ended) = oneshot::channel::<()>();
    let acting = async {
        let key = config.api_keys.first().map_or("belljar", |key| key.expose_secret());
        let code = act(ready, &parts.url, key).await;
        drop(end);
        code
    };
    let ready = |_: &Description| {
        // Nobody waits for it where a signal came first.
        let _ = is_ready.send(());
    };
    let shutdown = async {
        let _ = ended.await;
    };
    let serving = server::run(settings, parts.parts, ready, shutdown);
    tokio::pin!(serving, acting);
    tokio::select! {
        served = &mut serving => {
            served?;
            Ok(ExitCode::FAILURE)
        }
        code = &mut acting => {
            serving.await?;
            code
        }
    }
}

fn log(config: &Config) -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_new(&config.log).context("BELLJAR_LOG")?)
        .with_writer(std::io::stderr)
        .init();
    Ok(())
}

fn settings(config: &Config) -> anyhow::Result<Settings> {
    Ok(Settings {
        limits: config.limits,
        seed: config.seed,
        door: Door {
            keys: Keys::new(&config.api_keys),
            request_bytes: config.request_bytes,
            stalled_after: config.stalled_after,
            visitors: if config.record_from_anywhere || !records(config) {
                Visitors::Everybody
            } else {
                Visitors::ThisMachine
            },
        },
        faults: config.faults.clone(),
        models: Catalogue::new(config.models.iter().map(|rule| rule.name.as_str()))?,
        files: config.files,
        retention: config.retention,
        fetch_from: config.fetch_from.clone(),
        shutdown_grace: config.shutdown_grace,
    })
}

fn records(config: &Config) -> bool {
    config.models.iter().any(|rule| rule.record.is_some())
}

/// All that a server is made of, and where it listens.
struct Assembled {
    parts: Parts,
    url: String,
    _scratch: Option<tempfile::TempDir>,
}

impl Assembled {
    async fn from(config: &Config) -> anyhow::Result<Assembled> {
        let listener = TcpListener::bind(config.listen)
            .await
            .with_context(|| format!("cannot listen on {}", config.listen))?;
        let url = format!("http://{}", listener.local_addr()?);
        let additions = Arc::<Additions>::default();
        let backend = models(config, &additions)?;
        let search = config.search.as_ref().map(search).transpose()?;
        let (store, scratch) = match &config.data_dir {
            DataDir::Folder(folder) => (Store::open(folder).await?, None),
            DataDir::Scratch => {
                let folder = tempfile::Builder::new().prefix("belljar-data-").tempdir()?;
                (Store::open(folder.path()).await?, Some(folder))
            }
        };
        // Last, so that whatever else the configuration has wrong starts no warden to be killed.
        let sandbox = Arc::new(sandbox(config).await?);
        let parts = Parts { listener, sandbox, backend, search, store, additions };
        Ok(Assembled { parts, url, _scratch: scratch })
    }
}

async fn sandbox(config: &Config) -> Result<Sandbox, SandboxError> {
    let least = config.min_isolation;
    match &config.sandbox {
        SandboxConfig::Socket(socket) => Ok(Sandbox::at(socket.clone(), least)),
        SandboxConfig::Warden { program, libraries, run, seed } => {
            let mut arguments = vec![
                "--libraries".to_owned(),
                libraries.display().to_string(),
                "--wall-ms".to_owned(),
                run.as_millis().to_string(),
                "--min-isolation".to_owned(),
                least.to_string(),
            ];
            arguments.extend(seed.map(|seed| format!("--seed={seed}")));
            let command =
                WardenCommand { program: program.clone(), arguments, log: config.log.clone() };
            Sandbox::start(command, least).await
        }
    }
}

/// Each model that the configuration names, behind one.
fn models(config: &Config, additions: &Arc<Additions>) -> anyhow::Result<Arc<dyn Backend>> {
    let secrets = config.secrets();
    // First, for scenarios may be read from the folder that recordings are written to, and it may not be
    // there yet. Models that are recorded into one folder share it.
    let mut keepers: HashMap<&Path, Arc<Keeper>> = HashMap::new();
    for folder in config.models.iter().filter_map(|rule| rule.record.as_deref()) {
        if !keepers.contains_key(folder) {
            let keeper = Keeper::open(folder, secrets.clone())?;
            let keeper = keeper.recording(config.record_mode, config.record_ignore.clone());
            keepers.insert(folder, Arc::new(keeper));
        }
    }
    let scripted = match &config.scenarios {
        Some(folder) => Scripted::load(folder)?,
        None => Scripted::from_scenarios(Vec::new()),
    };
    let scripted: Arc<dyn Backend> = Arc::new(scripted.with_additions(Arc::clone(additions)));
    let routes = config.models.iter().map(|rule| {
        let backend: Arc<dyn Backend> = match &rule.backend {
            BackendConfig::Direct => Arc::new(Direct),
            BackendConfig::Scripted => Arc::clone(&scripted),
            BackendConfig::OpenAi(address, model) => {
                Arc::new(OpenAi::new(address.clone(), model.clone())?)
            }
            BackendConfig::Gemini(address, model) => {
                Arc::new(Gemini::new(address.clone(), model.clone())?)
            }
            BackendConfig::Replay(folder) => {
                Arc::new(Scripted::replay(folder)?.listed_in(additions))
            }
        };
        let backend = match rule.record.as_deref().and_then(|folder| keepers.get(folder)) {
            Some(keeper) => Arc::new(Recorded::new(backend, Arc::clone(keeper))?),
            None => backend,
        };
        Ok((rule.name.clone(), backend))
    });
    Ok(Arc::new(Router::new(routes.collect::<anyhow::Result<_>>()?)?))
}

/// Where models look things up.
fn search(config: &SearchConfig) -> Result<Arc<dyn Search>, SearchError> {
    Ok(match config {
        SearchConfig::Folder { folder, base_url, results, limits } => {
            Arc::new(Folder::open(folder, base_url, *results, *limits)?)
        }
        SearchConfig::Searxng { base_url, within, results } => {
            Arc::new(Searxng::new(base_url, *within, *results)?)
        }
    })
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
    // As one write: the warden says its own on the same stderr, at the same time.
    let words = format!("belljar: {error:#}\n");
    eprint!("{words}");
    ExitCode::FAILURE
}
