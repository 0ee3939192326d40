//! A server for a test: port 0, a data folder of its own, given scenarios, the real sandbox, gone
//! when dropped.
//!
//! Tests of the outside world share one warden per program, for its interpreter takes seconds to
//! come up, and every interaction gets a cell of its own anyway.

#![allow(dead_code, unused_imports, reason = "each test program uses a part of it")]

mod census;
pub mod golden;
mod program;
pub mod recorder;
mod reply;
mod warden;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use protocol::Tier;
use serde_json::Value;
use server::backend::Backend;
use server::backend::direct::Direct;
use server::backend::router::Router;
use server::backend::scripted::{self, AddedScenarios, Scripted};
use server::engine::FetchFrom;
use server::fault::Fault;
use server::interaction::Limits;
use server::sandbox::Sandbox;
use server::search::Search;
use server::store::{FileLimits, Store};
use server::{
    AllowedClients, Catalogue, Components, Control, Hosts, HttpConfig, Keys, RunError, Settings,
};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub use census::Household;
pub use program::{Program, SmallDisk, below};
pub use reply::{Client, Event, Reply, Stream};
pub use warden::{RUN_LIMIT, Warden, libraries, program as warden_program, socket};

/// How long the sandbox may take to be ready: some seconds, on a machine that does nothing else.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// Of uploaded files, where a test says nothing else.
pub const FILE_LIMITS: FileLimits = FileLimits {
    file_bytes: 2 << 30,
    total_bytes: 20 << 30,
    lifetime: Duration::from_secs(48 * 60 * 60),
};

/// What a test may want otherwise.
#[derive(Debug, Default)]
pub struct Builder {
    scenarios: String,
    keys: Vec<String>,
    shared_keys: bool,
    control: Option<Control>,
    hosts: Vec<String>,
    request_bytes: Option<usize>,
    stalled_after: Option<Duration>,
    limits: Option<Limits>,
    catalogue: Option<Catalogue>,
    files: Option<FileLimits>,
    fetch_from: Vec<String>,
    socket: Option<PathBuf>,
    faults: Vec<Fault>,
    models: Vec<(String, Arc<dyn Backend>)>,
    search: Option<Arc<dyn Search>>,
    seed: Option<u64>,
    output_bytes: Option<usize>,
}

/// A server in this process.
#[derive(Debug)]
pub struct TestServer {
    client: Client,
    shutdown: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), RunError>>,
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

    /// All keys as one tenant.
    pub fn shared_keys(mut self) -> Builder {
        self.shared_keys = true;
        self
    }

    /// Other test controls than those that the keys make the default.
    pub fn control(mut self, control: Control) -> Builder {
        self.control = Some(control);
        self
    }

    /// More names that the server has.
    pub fn hosts(mut self, hosts: &[&str]) -> Builder {
        self.hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        self
    }

    pub fn request_bytes(mut self, limit: usize) -> Builder {
        self.request_bytes = Some(limit);
        self
    }

    pub fn stalled_after(mut self, time: Duration) -> Builder {
        self.stalled_after = Some(time);
        self
    }

    pub fn limits(mut self, limits: Limits) -> Builder {
        self.limits = Some(limits);
        self
    }

    /// What befalls requests, as JSON.
    pub fn faults(mut self, faults: Value) -> Builder {
        self.faults = serde_json::from_value(faults).expect("the test's faults are right");
        self
    }

    /// A model that is asked before all others.
    pub fn model(mut self, pattern: &str, model: impl Backend) -> Builder {
        self.models.push((pattern.to_owned(), Arc::new(model)));
        self
    }

    /// Where models look things up.
    pub fn search(mut self, search: impl Search) -> Builder {
        self.search = Some(Arc::new(search));
        self
    }

    /// Memory for what runs give back, and for answers that are made of it.
    pub fn output_bytes(mut self, bytes: usize) -> Builder {
        self.output_bytes = Some(bytes);
        self
    }

    /// Other names of models than `direct` and all.
    pub fn catalogue(mut self, patterns: &[&str]) -> Builder {
        let catalogue = Catalogue::new(patterns.iter().copied());
        self.catalogue = Some(catalogue.expect("the test's patterns are globs"));
        self
    }

    /// Names and times that are the same each time.
    pub fn seed(mut self, seed: u64) -> Builder {
        self.seed = Some(seed);
        self
    }

    pub fn files(mut self, limits: FileLimits) -> Builder {
        self.files = Some(limits);
        self
    }

    pub fn fetch_from(mut self, folder: &str) -> Builder {
        self.fetch_from.push(folder.to_owned());
        self
    }

    /// Another warden than the one that all tests share.
    pub fn sandbox(mut self, socket: &Path) -> Builder {
        self.socket = Some(socket.to_owned());
        self
    }

    /// Starts it and waits until code would run at once.
    pub async fn start(self) -> TestServer {
        let (server, is_ready) = self.listen().await;
        // A warden that ended, or whose zygotes do, would be waited for without an end.
        let ready = tokio::time::timeout(READY_WITHIN, is_ready).await;
        let ready = ready.expect("the sandbox does not come up; the warden's own words are above");
        ready.expect("the server ended before it was ready");
        server
    }

    /// Starts it. It listens, and will say when it is ready.
    pub async fn listen(self) -> (TestServer, oneshot::Receiver<()>) {
        let data = tempfile::tempdir().expect("there is a place for temporary files");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback is there");
        let address = listener.local_addr().expect("it is bound");
        let keys: Vec<_> = self.keys.into_iter().map(Into::into).collect();
        let settings = Settings {
            limits: self.limits.unwrap_or(Limits { regenerations: 5, model_turns: 20 }),
            seed: self.seed,
            http: HttpConfig {
                control: self.control.unwrap_or(Control::default_with(!keys.is_empty())),
                keys: match self.shared_keys {
                    true => Keys::new(&keys).shared(),
                    false => Keys::new(&keys),
                },
                hosts: Hosts::new(self.hosts.iter().map(String::as_str)).expect("they are names"),
                request_bytes: self.request_bytes.unwrap_or(100 << 20),
                stalled_after: self.stalled_after.unwrap_or(Duration::from_secs(60)),
                allowed_clients: AllowedClients::All,
            },
            faults: self.faults,
            models: self
                .catalogue
                .unwrap_or_else(|| Catalogue::new(["direct", "*"]).expect("both are globs")),
            files: self.files.unwrap_or(FILE_LIMITS),
            retention: Duration::from_secs(24 * 60 * 60),
            fetch_from: FetchFrom::new(self.fetch_from.iter().map(String::as_str))
                .expect("the test's addresses are folders"),
            shutdown_grace: Duration::from_secs(10),
        };
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
                // A test that does not wait for it has dropped its end.
                let _ = ready.send(());
            };
            // Dropping the sender asks as well.
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
    /// One whose models are `direct` and what these scenarios say.
    pub async fn start(scenarios: &str) -> TestServer {
        TestServer::builder().scenarios(scenarios).start().await
    }

    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Stops it as a signal would, and waits for its end.
    pub async fn stop(mut self) -> Result<(), RunError> {
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
        scripted::parse(Path::new("test.yaml"), yaml).expect("the test's scenarios are right")
    };
    let scripted = Scripted::from_scenarios(scenarios).with_additions(additions);
    routes.push(("direct".into(), Arc::new(Direct)));
    routes.push(("*".into(), Arc::new(scripted)));
    Arc::new(Router::new(routes).expect("all are globs"))
}

/// A request to the model that runs what it is told.
pub fn direct(code: &str) -> Value {
    serde_json::json!({
        "model": "direct",
        "input": code,
        "tools": [{"type": "code_execution"}],
    })
}
