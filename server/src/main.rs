//! Reads the configuration, builds the components and runs them. Contains no decisions and no
//! defaults.

mod cli;

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{IsTerminal as _, Write as _};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use backend::Backend;
use domain::owner::Owner;
use mimalloc::MiMalloc;
use protocol::Description;
use recording::RecordingBackend;
use recording::RecordingWriter;
use resources::scratch::Scratch;
use rustix::process::Signal;
use sandbox_client::libraries::Installation;
use sandbox_client::{Sandbox, WardenCommand};
use scenario::{AddedScenarios, BrokenScenarios};
use search::{Folder, Search, SearchError, Searxng};
use secrecy::ExposeSecret as _;
use server::backends::kind::SharedParts;
use server::backends::router::Router;
use server::config::{
    self, Config, ConfigError, DataDir, Exec, SandboxConfig, SchemaName, SearchConfig, Task,
};
use server::doctor::{self, client};
use server::engine;
use server::exec::{self, ServerAccess, Signals, credentials};
use server::listen::{ListenError, Listeners};
use server::mcp::PythonTools;
use server::verify::{Changes, Verifier};
use server::{
    ANY_TOKEN, AllowedClients, Components, HttpConfig, Keys, ModelCatalog, SessionLimits, Settings,
};
use sessions::Sessions;
use store::Store;
use tokio::sync::oneshot;

use cli::banner;
use cli::install;
use cli::log;
use cli::report::{self, Hinted};
use cli::signals::Stops;

/// mimalloc: libc's allocator was a third of the CPU time of a scripted answer, network excluded.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Minimum number of threads that handle requests.
const MIN_WORKERS: usize = 2;

/// How long background tasks may take to release their resources once all data is stored.
const RELEASE_TIMEOUT: Duration = Duration::from_millis(500);

/// A faster start prints nothing on a command's terminal.
const NOTICE_AFTER: Duration = Duration::from_secs(1);

/// How the program ends.
enum Exit {
    /// All data is stored and all resources are released.
    Orderly(ExitCode),
    /// A second signal arrived.
    AtOnce(Signal),
}

fn main() -> ExitCode {
    match std::env::args_os().nth(1).as_deref().and_then(OsStr::to_str) {
        Some(engine::CHECK_ARGUMENT) => return engine::check_formats(),
        Some(scenario::RENDER_ARGUMENT) => return scenario::render_template(),
        _ => {}
    }
    // The link works after the file was replaced, too.
    resources::child::set_program(PathBuf::from("/proc/self/exe"));
    // Half of the processors: the code that runs needs the others, and a request is fastest if it
    // stays on one thread. At least two, so that one request does not block all others.
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(processors.div_ceil(2).max(MIN_WORKERS))
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => {
            let exit = runtime.block_on(run());
            // Without a timeout, an endless task would block the exit.
            runtime.shutdown_timeout(RELEASE_TIMEOUT);
            match exit {
                Exit::Orderly(code) => code,
                Exit::AtOnce(signal) => ExitCode::from(exec::code_of(signal)),
            }
        }
        Err(error) => report::failed(&anyhow::Error::new(error).context("starting the runtime")),
    }
}

async fn run() -> Exit {
    let task = match read() {
        Ok(task) => task,
        // A mistake on the command line, or a request for help.
        Err(ConfigError::Arguments(error)) => error.exit(),
        Err(error) => return Exit::Orderly(report::failed(&error.into())),
    };
    let done = match task {
        Task::Serve(config) => serve(config).await,
        Task::Doctor(config) => check_sandbox(config).await.map(success),
        Task::DoctorClient(config, command, within) => test_client(config, command, within).await,
        Task::Exec(config, command) => execute(config, command).await,
        Task::Mcp(config) => serve_mcp(config).await,
        Task::Validate(paths, how) => how.check(&paths, &mut std::io::stdout()).map(success),
        Task::InstallLibraries(installation) => install_libraries(&installation).await,
        Task::Schema(SchemaName::Scenario) => print(&scenario::SCHEMA),
        Task::Schema(SchemaName::Config) => print(&format!("{:#}\n", config::schema())),
        Task::ShowConfig(table) => print(&table),
        Task::Completions(shell) => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut config::command(), "belljar", &mut script);
            print_bytes(&script)
        }
        Task::Man(command) => manual(command.as_deref()),
        Task::Verify(config, paths, changes) => verify(config, paths, changes).await.map(success),
    };
    done.unwrap_or_else(|error| Exit::Orderly(report::failed(&error)))
}

/// Reads the command line and the environment. Reports an unknown variable first, because it may be
/// the cause of a missing setting.
fn read() -> Result<Task, ConfigError> {
    let task = Task::read(std::env::args_os(), |name| std::env::var(name).ok());
    if let Err(ConfigError::Arguments(_)) | Ok(Task::Completions(_) | Task::Man(_)) = task {
        return task;
    }
    config::check_variables(std::env::vars_os())?;
    task
}

/// Installs the libraries and prints their folder.
async fn install_libraries(installation: &Installation) -> anyhow::Result<Exit> {
    let mut signals = Signals::catch()?;
    tokio::select! {
        installed = install::install(installation) => {
            print(&format!("{}\n", installed?.display()))
        }
        signal = signals.next() => {
            eprintln!("\nbelljar: stopped; `belljar libraries install` continues");
            Ok(Exit::Orderly(ExitCode::from(exec::code_of(signal))))
        }
    }
}

/// Prints the manual page of a command.
fn manual(name: Option<&str>) -> anyhow::Result<Exit> {
    let mut command = config::command();
    command.build();
    let command = match name {
        None => command,
        Some(name) => {
            let found = command.find_subcommand(name).cloned();
            found.with_context(|| format!("unknown command {name}"))?
        }
    };
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    print_bytes(&page)
}

fn print(text: &str) -> anyhow::Result<Exit> {
    print_bytes(text.as_bytes())
}

/// A closed pipe, such as that of `head`, is not a failure.
fn print_bytes(bytes: &[u8]) -> anyhow::Result<Exit> {
    match std::io::stdout().write_all(bytes) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(Exit::Orderly(ExitCode::SUCCESS)),
    }
}

fn success(succeeded: bool) -> Exit {
    Exit::Orderly(if succeeded { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn check_sandbox(config: Config) -> anyhow::Result<bool> {
    let sandbox = sandbox(&config, None).await;
    let succeeded = doctor::examine(sandbox.as_ref(), &mut std::io::stdout()).await?;
    match sandbox {
        Ok(sandbox) => sandbox.stop().await,
        Err(error) => drop(report::failed(&error)), // with a hint
    }
    Ok(succeeded)
}

async fn verify(config: Config, paths: Vec<PathBuf>, changes: Changes) -> anyhow::Result<bool> {
    log::set_up(&config)?;
    let sandbox = sandbox(&config, None).await?;
    sandbox.ready().await?;
    let (limits, secrets) = (config.limits, config.secrets());
    let verifier = Verifier { sandbox: &sandbox, limits, secrets, changes };
    let succeeded = verifier.check(&paths, &mut std::io::stdout()).await;
    sandbox.stop().await;
    succeeded
}

async fn serve(config: Config) -> anyhow::Result<Exit> {
    log::set_up(&config)?;
    // Handlers are installed before anything starts, so that no signal is missed.
    let mut stops = Stops::catch()?;
    if config.given.exit_with_stdin == Some(true) {
        stops = stops.or_end_of_stdin();
    }
    let settings = settings(&config)?;
    let parts = tokio::select! {
        parts = Assembled::from(&config) => parts?,
        _ = stops.next() => return Ok(success(true)), // no interaction runs yet
    };
    let urls = parts.urls.clone();
    let installed = parts.installed.clone();
    let banner = banner::Banner {
        config: &config,
        urls: &urls,
        scenarios: parts.scenarios,
        credentials: parts.credentials.as_deref(),
        installed: installed.as_deref(),
    };
    let ready = |description: &Description| {
        banner.announce(description);
        announce(&format!("belljar listening on {}", urls[0]));
    };
    let (stop, stopping) = oneshot::channel::<()>();
    let shutdown = async {
        let _ = stopping.await; // ends when its sender is dropped
    };
    let running = server::run(settings, parts.parts, ready, shutdown);
    tokio::pin!(running);
    let lacks_tensorflow = installed.as_deref().is_some_and(|it| !install::has_tensorflow(it));
    let _tensorflow = lacks_tensorflow.then(install::tensorflow);
    tokio::select! {
        ended = &mut running => {
            ended?;
            return Ok(success(true));
        }
        _ = stops.next() => drop(stop),
    }
    tokio::select! {
        ended = &mut running => {
            ended?;
            Ok(success(true))
        }
        signal = stops.next() => {
            tracing::warn!("stopped by second signal");
            Ok(Exit::AtOnce(signal))
        }
    }
}

/// Serves while the command runs, and exits with its code.
async fn execute(config: Config, command: Exec) -> anyhow::Result<Exit> {
    let mut signals = Signals::catch()?;
    with_server(&config, async move |ready, access: ServerAccess| {
        let code = tokio::select! {
            biased; // a server that failed to start has the better error
            Ok(()) = wait_until_ready(ready) => exec::run(&command, &access, &mut signals).await,
            signal = signals.next() => Ok(exec::code_of(signal)),
        };
        Ok(Exit::Orderly(ExitCode::from(code?)))
    })
    .await
}

/// Serves one client of the Model Context Protocol over standard input and output.
async fn serve_mcp(config: Config) -> anyhow::Result<Exit> {
    log::set_up(&config)?;
    let mut signals = Signals::catch()?;
    let installed = install::if_missing(&config).await?;
    let sandbox = Arc::new(sandbox(&config, installed.as_deref()).await?);
    let sessions = Arc::new(Sessions::new(Arc::clone(&sandbox), session_limits(&config)));
    let tools = PythonTools::new(Arc::clone(&sessions), Owner::default());
    let exit = tokio::select! {
        served = tools.serve_stdio() => served.map(|()| success(true)).map_err(Into::into),
        signal = signals.next() => Ok(Exit::Orderly(ExitCode::from(exec::code_of(signal)))),
    };
    sessions.stop().await;
    sandbox.stop().await;
    exit
}

/// Waits for the server, and prints a notice on a terminal if that takes long.
async fn wait_until_ready(
    mut ready: oneshot::Receiver<()>,
) -> Result<(), oneshot::error::RecvError> {
    tokio::select! {
        ready = &mut ready => return ready,
        () = tokio::time::sleep(NOTICE_AFTER), if std::io::stderr().is_terminal() => {
            eprintln!("belljar: starting the sandbox");
        }
    }
    ready.await
}

/// Serves while a client's command is tried.
async fn test_client(config: Config, command: Exec, within: Duration) -> anyhow::Result<Exit> {
    let mut signals = Signals::catch()?;
    with_server(&config, async move |ready, access: ServerAccess| {
        let server = client::Server::new(access)?;
        let trying = async {
            // A server that failed to start reports its own error.
            if ready.await.is_err() {
                std::future::pending::<()>().await;
            }
            client::examine(&command, within, &server, &mut std::io::stdout()).await
        };
        tokio::select! {
            tried = trying => Ok(success(tried?)),
            signal = signals.next() => {
                Ok(Exit::Orderly(ExitCode::from(exec::code_of(signal))))
            }
        }
    })
    .await
}

/// Serves while `act` runs. `act` gets a signal of readiness, and access to the server.
async fn with_server(
    config: &Config,
    act: impl AsyncFnOnce(oneshot::Receiver<()>, ServerAccess) -> anyhow::Result<Exit>,
) -> anyhow::Result<Exit> {
    log::set_up(config)?;
    let settings = settings(config)?;
    let mut signals = Signals::catch()?;
    let parts = tokio::select! {
        parts = Assembled::from(config) => parts?,
        // Libraries are perhaps being installed.
        signal = signals.next() => {
            return Ok(Exit::Orderly(ExitCode::from(exec::code_of(signal))));
        }
    };
    drop(signals);
    let (is_ready, ready) = oneshot::channel();
    let (end, ended) = oneshot::channel::<()>();
    let acting = async {
        let access = ServerAccess {
            url: parts.urls[0].clone(),
            key: some_key(config).to_owned(),
            credentials: parts.credentials.clone(),
        };
        let code = act(ready, access).await;
        drop(end);
        code
    };
    let ready = |_: &Description| {
        // The receiver is gone if a signal came first.
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
            Ok(success(false))
        }
        code = &mut acting => {
            let mut signals = Signals::catch()?;
            tokio::select! {
                served = serving => {
                    served?;
                    code
                }
                signal = signals.next() => Ok(Exit::AtOnce(signal)),
            }
        }
    }
}

fn settings(config: &Config) -> anyhow::Result<Settings> {
    Ok(Settings {
        limits: config.limits,
        seed: config.given.seed,
        http: HttpConfig {
            keys: match config.given.shared_keys {
                Some(true) => Keys::new(&config.api_keys).shared(),
                _ => Keys::new(&config.api_keys),
            },
            metrics_keys: Keys::new(&config.metrics_keys),
            control: config.control,
            console: config.given.no_console != Some(true),
            fake_credentials: config.given.fake_credentials == Some(true),
            hosts: config.hosts.clone(),
            request_bytes: config.given.request_bytes().in_memory(),
            write_timeout: config.given.write_timeout().0,
            allowed_clients: if config.given.record_remote_clients == Some(true) || !records(config)
            {
                AllowedClients::All
            } else {
                AllowedClients::ThisMachine
            },
        },
        faults: config.faults.clone(),
        models: ModelCatalog::new(config.models.iter().map(|rule| rule.name.as_str()))?,
        files: config.files,
        sessions: session_limits(config),
        retention: config.given.retention().0,
        fetch_from: config.fetch_from.clone(),
        shutdown_grace: config.given.shutdown_grace().0,
    })
}

fn session_limits(config: &Config) -> SessionLimits {
    SessionLimits {
        sessions_of_owner: config.given.max_sessions() as usize,
        memory_bytes: config.given.max_session_memory().0,
        idle_timeout: config.given.session_idle_timeout().0,
        max_age: config.given.session_max_age().0,
    }
}

/// A key that the server accepts.
fn some_key(config: &Config) -> &str {
    config.api_keys.first().map_or(ANY_TOKEN, |key| key.expose_secret())
}

fn records(config: &Config) -> bool {
    config.models.iter().any(|rule| rule.record.is_some())
}

/// The components of a server, and where it listens.
struct Assembled {
    parts: Components,
    /// One per address. Never empty.
    urls: Vec<String>,
    /// Number of loaded scenarios.
    scenarios: usize,
    /// The credentials file, if one was requested.
    credentials: Option<PathBuf>,
    /// The folder of libraries that were installed for this start.
    installed: Option<PathBuf>,
    _scratch: Option<Scratch>,
}

impl Assembled {
    async fn from(config: &Config) -> anyhow::Result<Assembled> {
        let listeners = Listeners::bind(config.given.listen()).await.map_err(no_listener)?;
        let addresses = listeners.addresses()?.into_iter();
        let urls: Vec<String> = addresses.map(|address| format!("http://{address}")).collect();
        let additions = Arc::<AddedScenarios>::default();
        let (backend, scenarios) = models(config, &additions)?;
        let search = config.search.as_ref().map(search).transpose()?;
        let (folder, scratch) = match &config.data_dir {
            DataDir::Folder(folder) => (folder.clone(), None),
            DataDir::Scratch => {
                let scratch = Scratch::new(0o700)?;
                (scratch.path().to_owned(), Some(scratch))
            }
        };
        let store = Store::open(&folder).await?;
        let credentials = (config.given.fake_credentials == Some(true))
            .then(|| credentials::write(&folder, &banner::reachable(&urls[0]), some_key(config)))
            .transpose()
            .context("could not write credentials file")?;
        // Last, so that an invalid configuration does not start a warden only to kill it.
        let installed = install::if_missing(config).await?;
        let sandbox = Arc::new(sandbox(config, installed.as_deref()).await?);
        let parts = Components { listeners, sandbox, backend, search, store, additions };
        Ok(Assembled { parts, urls, scenarios, installed, credentials, _scratch: scratch })
    }
}

fn no_listener(error: ListenError) -> Hinted {
    let hint = match error.source.kind() {
        std::io::ErrorKind::AddrInUse => {
            "another program uses this port; pass --listen PORT with another port, or 0 for a free one"
        }
        std::io::ErrorKind::PermissionDenied => "ports below 1024 need root; pass --listen 8080",
        std::io::ErrorKind::AddrNotAvailable => {
            "this machine does not have this address; 0.0.0.0 means all of its addresses"
        }
        _ => "pass --listen ADDR:PORT",
    };
    Hinted { text: error.to_string(), hint: hint.to_owned(), source: Some(error.source) }
}

/// `installed` are libraries that the configuration could not find yet.
async fn sandbox(config: &Config, installed: Option<&Path>) -> anyhow::Result<Sandbox> {
    let least = config.given.min_isolation();
    match &config.sandbox {
        SandboxConfig::Socket(socket) => Ok(Sandbox::at(socket.clone(), least)),
        SandboxConfig::Warden { program, libraries, run, seed } => {
            let libraries = libraries.as_deref().or(installed).ok_or(ConfigError::NoLibraries)?;
            let mut arguments = vec![
                "--libraries".to_owned(),
                libraries.display().to_string(),
                "--wall-ms".to_owned(),
                run.as_millis().to_string(),
                "--min-isolation".to_owned(),
                least.to_string(),
            ];
            arguments.extend(seed.map(|seed| format!("--seed={seed}")));
            if !libraries.join("python").exists() {
                return Err(Hinted {
                    text: format!("no sandbox libraries in {}", libraries.display()),
                    hint: report::get_libraries(),
                    source: None,
                }
                .into());
            }
            let log = log::directives(&config.given.log())?;
            let command = WardenCommand {
                program: program.clone(),
                arguments,
                log,
                log_format: config.given.log_format().as_str(),
            };
            Ok(Sandbox::start(command, least).await?)
        }
    }
}

/// A router over all configured models, and the number of scenarios.
fn models(
    config: &Config,
    additions: &Arc<AddedScenarios>,
) -> anyhow::Result<(Arc<dyn Backend>, usize)> {
    let secrets = config.secrets();
    // Opened first: scenarios may be read from a recording folder that does not exist yet. Models
    // that record into the same folder share a writer.
    let mut writers: HashMap<&Path, Arc<RecordingWriter>> = HashMap::new();
    for folder in config.models.iter().filter_map(|rule| rule.record.as_deref()) {
        if !writers.contains_key(folder) {
            let writer = RecordingWriter::open(folder, secrets.clone())?;
            let mode = config.given.record_mode();
            let writer = writer.with_settings(mode, config.record_ignore.clone());
            writers.insert(folder, Arc::new(writer));
        }
    }
    let shared = SharedParts::load(config.scenarios.as_deref(), Arc::clone(additions))?;
    let routes = config.models.iter().map(|rule| {
        let backend = rule.backend.build(&shared)?;
        let record = rule.record.as_deref();
        let backend = match record.and_then(|folder| Some((folder, writers.get(folder)?))) {
            Some((folder, writer)) => {
                let recorded = RecordingBackend::new(backend, Arc::clone(writer));
                Arc::new(recorded.map_err(BrokenScenarios::of(folder))?)
            }
            None => backend,
        };
        Ok((rule.name.clone(), backend))
    });
    let router = Router::new(routes.collect::<anyhow::Result<_>>()?)?;
    Ok((Arc::new(router), shared.scripted.loaded()))
}

/// Opens the configured search.
fn search(config: &SearchConfig) -> Result<Arc<dyn Search>, SearchError> {
    Ok(match config {
        SearchConfig::Folder { folder, base_url, results, limits } => {
            Arc::new(Folder::open(folder, base_url, *results, *limits)?)
        }
        SearchConfig::Searxng { base_url, timeout, results } => {
            Arc::new(Searxng::new(base_url, *timeout, *results)?)
        }
    })
}

#[expect(clippy::print_stdout, reason = "scripts wait for this line")]
fn announce(line: &str) {
    println!("{line}");
}
