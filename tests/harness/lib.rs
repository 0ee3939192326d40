//! What the test programs share. First of all a server for a test: port 0, a data folder of its own,
//! given scenarios, the real sandbox. It is stopped when dropped.
//!
//! Tests share one warden per program: its interpreter takes seconds to start, and every interaction
//! gets a cell of its own anyway.

mod built;
pub mod golden;
mod program;
pub mod recorder;
mod reply;
mod resource_usage;
mod warden;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use backend::Backend;
use domain::chaos::fault::Fault;
use domain::interaction::Limits;
use protocol::Tier;
use sandbox_client::Sandbox;
use scenario::{AddedScenarios, Scripted};
use search::Search;
use serde_json::Value;
use server::backends::direct::Direct;
use server::backends::router::Router;
use server::engine::FetchFrom;
use server::{
    AllowedClients, Components, Control, Hosts, HttpConfig, Keys, ModelCatalog, ServeError,
    SessionLimits, Settings,
};
use store::{FileLimits, Store};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub use built::{belljar, warden as warden_program};
pub use program::{Program, SmallDisk, below};
pub use reply::{Client, Event, Reply, Stream};
pub use resource_usage::ProcessGroup;
pub use warden::{RUN_LIMIT, Warden, libraries, socket};

/// Limit for the sandbox to become ready. It takes some seconds on an idle machine.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// Limits of uploaded files, unless a test sets others.
pub const FILE_LIMITS: FileLimits = FileLimits {
    file_bytes: 2 << 30,
    total_bytes: 20 << 30,
    lifetime: Duration::from_secs(48 * 60 * 60),
};

/// Limits of sessions, unless a test sets others.
pub const SESSION_LIMITS: SessionLimits = SessionLimits {
    sessions_of_owner: 16,
    memory_bytes: 4 << 30,
    idle_timeout: Duration::from_secs(20 * 60),
    max_age: Duration::from_secs(24 * 60 * 60),
};

/// Settings of a test's server.
#[derive(Debug, Default)]
pub struct Builder {
    scenarios: String,
    keys: Vec<String>,
    metrics_keys: Vec<String>,
    no_console: bool,
    shared_keys: bool,
    control: Option<Control>,
    fake_credentials: bool,
    hosts: Vec<String>,
    request_bytes: Option<usize>,
    write_timeout: Option<Duration>,
    limits: Option<Limits>,
    catalog: Option<ModelCatalog>,
    files: Option<FileLimits>,
    fetch_from: Vec<String>,
    socket: Option<PathBuf>,
    faults: Vec<Fault>,
    models: Vec<(String, Arc<dyn Backend>)>,
    search: Option<Arc<dyn Search>>,
    seed: Option<u64>,
    output_bytes: Option<usize>,
    sessions: Option<SessionLimits>,
}

/// A server in this process.
#[derive(Debug)]
pub struct TestServer {
    client: Client,
    shutdown: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), ServeError>>,
    _data: tempfile::TempDir,
}

impl Builder {
    /// YAML, as in a file.
    pub fn scenarios(mut self, yaml: &str) -> Builder {
        self.scenarios = yaml.to_owned();
        self
    }

    pub fn keys(mut self, keys: &[&str]) -> Builder {
        self.keys = keys.iter().map(|key| (*key).to_owned()).collect();
        self
    }

    /// Keys for the metrics alone.
    pub fn metrics_keys(mut self, keys: &[&str]) -> Builder {
        self.metrics_keys = keys.iter().map(|key| (*key).to_owned()).collect();
        self
    }

    /// No pages at `/console`.
    pub fn without_console(mut self) -> Builder {
        self.no_console = true;
        self
    }

    /// All keys as one tenant.
    pub fn shared_keys(mut self) -> Builder {
        self.shared_keys = true;
        self
    }

    /// Overrides the default for test controls, which depends on whether there are keys.
    pub fn control(mut self, control: Control) -> Builder {
        self.control = Some(control);
        self
    }

    /// Issues tokens to clients of Vertex AI.
    pub fn fake_credentials(mut self) -> Builder {
        self.fake_credentials = true;
        self
    }

    /// Additional host names of the server.
    pub fn hosts(mut self, hosts: &[&str]) -> Builder {
        self.hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        self
    }

    pub fn request_bytes(mut self, limit: usize) -> Builder {
        self.request_bytes = Some(limit);
        self
    }

    pub fn write_timeout(mut self, time: Duration) -> Builder {
        self.write_timeout = Some(time);
        self
    }

    pub fn limits(mut self, limits: Limits) -> Builder {
        self.limits = Some(limits);
        self
    }

    /// Faults for all requests, as JSON.
    pub fn faults(mut self, faults: Value) -> Builder {
        self.faults = serde_json::from_value(faults).expect("the test's faults are right");
        self
    }

    /// A model that takes precedence over all others.
    pub fn model(mut self, pattern: &str, model: impl Backend) -> Builder {
        self.models.push((pattern.to_owned(), Arc::new(model)));
        self
    }

    /// The search source of models.
    pub fn search(mut self, search: impl Search) -> Builder {
        self.search = Some(Arc::new(search));
        self
    }

    /// Memory for the output of runs, and for answers that are made of it.
    pub fn output_bytes(mut self, bytes: usize) -> Builder {
        self.output_bytes = Some(bytes);
        self
    }

    /// The names of models, instead of `direct` and `*`.
    pub fn catalog(mut self, patterns: &[&str]) -> Builder {
        let catalog = ModelCatalog::new(patterns.iter().copied());
        self.catalog = Some(catalog.expect("the test's patterns are globs"));
        self
    }

    /// Seeded ids and times.
    pub fn seed(mut self, seed: u64) -> Builder {
        self.seed = Some(seed);
        self
    }

    pub fn files(mut self, limits: FileLimits) -> Builder {
        self.files = Some(limits);
        self
    }

    pub fn sessions(mut self, limits: SessionLimits) -> Builder {
        self.sessions = Some(limits);
        self
    }

    pub fn fetch_from(mut self, folder: &str) -> Builder {
        self.fetch_from.push(folder.to_owned());
        self
    }

    /// The socket of another warden than the shared one.
    pub fn sandbox(mut self, socket: &Path) -> Builder {
        self.socket = Some(socket.to_owned());
        self
    }

    /// Starts the server and waits until the sandbox is ready.
    pub async fn start(self) -> TestServer {
        let (server, is_ready) = self.listen().await;
        // A warden that has ended, or whose zygotes fail, never becomes ready.
        let ready = tokio::time::timeout(READY_WITHIN, is_ready).await;
        let ready = ready.expect("the sandbox is not ready; the warden's log is above");
        ready.expect("the server ended before it was ready");
        server
    }

    /// Starts the server, which listens, and returns a channel that signals readiness.
    pub async fn listen(self) -> (TestServer, oneshot::Receiver<()>) {
        let data = tempfile::tempdir().expect("the temporary folder can be created");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback is there");
        let address = listener.local_addr().expect("it is bound");
        let keys: Vec<_> = self.keys.into_iter().map(Into::into).collect();
        let metrics_keys: Vec<_> = self.metrics_keys.into_iter().map(Into::into).collect();
        let settings = Settings {
            limits: self.limits.unwrap_or(Limits { regenerations: 5, model_turns: 20 }),
            seed: self.seed,
            http: HttpConfig {
                control: self.control.unwrap_or(Control::default_with(!keys.is_empty())),
                keys: match self.shared_keys {
                    true => Keys::new(&keys).shared(),
                    false => Keys::new(&keys),
                },
                metrics_keys: Keys::new(&metrics_keys),
                console: !self.no_console,
                fake_credentials: self.fake_credentials,
                hosts: Hosts::new(self.hosts.iter().map(String::as_str)).expect("they are names"),
                request_bytes: self.request_bytes.unwrap_or(100 << 20),
                write_timeout: self.write_timeout.unwrap_or(Duration::from_secs(60)),
                allowed_clients: AllowedClients::All,
            },
            faults: self.faults,
            models: self
                .catalog
                .unwrap_or_else(|| ModelCatalog::new(["direct", "*"]).expect("both are globs")),
            files: self.files.unwrap_or(FILE_LIMITS),
            sessions: self.sessions.unwrap_or(SESSION_LIMITS),
            retention: Duration::from_secs(24 * 60 * 60),
            fetch_from: FetchFrom::new(self.fetch_from.iter().map(String::as_str))
                .expect("the test's addresses are folders"),
            shutdown_grace: Duration::from_secs(10),
        };
        resources::child::set_program(belljar());
        let additions = Arc::default();
        let sandbox = Sandbox::at(self.socket.unwrap_or_else(warden::socket), Tier::SeccompOnly);
        let parts = Components {
            listeners: listener.into(),
            sandbox: Arc::new(match self.output_bytes {
                Some(bytes) => sandbox.with_output_bytes(bytes),
                None => sandbox,
            }),
            backend: models(self.models, &self.scenarios, Arc::clone(&additions)),
            additions,
            search: self.search,
            store: Store::open(data.path()).await.expect("the folder is ours"),
        };
        let (ready, is_ready) = oneshot::channel();
        let (shutdown, asked) = oneshot::channel();
        let task = tokio::spawn(async move {
            let ready = |_: &_| {
                // The receiver is dropped in tests that do not wait for it.
                let _ = ready.send(());
            };
            // Dropping the sender stops the server too.
            let shutdown = async move {
                let _ = asked.await;
            };
            server::run(settings, parts, ready, shutdown).await
        });
        let server = TestServer {
            client: Client::new(format!("http://{address}")),
            shutdown: Some(shutdown),
            task,
            _data: data,
        };
        (server, is_ready)
    }
}

impl TestServer {
    /// A server whose models are `direct` and these scenarios.
    pub async fn start(scenarios: &str) -> TestServer {
        TestServer::builder().scenarios(scenarios).start().await
    }

    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Stops the server as a signal would, and waits for its end.
    pub async fn stop(mut self) -> Result<(), ServeError> {
        drop(self.shutdown.take());
        (&mut self.task).await.expect("the server does not panic")
    }
}

impl std::ops::Deref for TestServer {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn models(
    mut routes: Vec<(String, Arc<dyn Backend>)>,
    yaml: &str,
    additions: Arc<AddedScenarios>,
) -> Arc<dyn Backend> {
    let scenarios = if yaml.is_empty() {
        Vec::new()
    } else {
        scenario::parse(Path::new("test.yaml"), yaml).expect("the test's scenarios are right")
    };
    let scripted = Scripted::from_scenarios(scenarios).with_additions(additions);
    routes.push(("direct".into(), Arc::new(Direct)));
    routes.push(("*".into(), Arc::new(scripted)));
    Arc::new(Router::new(routes).expect("all are globs"))
}

/// A request to the model that runs the code it is sent.
pub fn direct(code: &str) -> Value {
    serde_json::json!({
        "model": "direct",
        "input": code,
        "tools": [{"type": "code_execution"}],
    })
}
