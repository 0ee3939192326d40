//! Belljar's programs, as a user starts them. Each ends when it is dropped.

use std::io::{BufRead as _, BufReader};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use protocol::Tier;
use rustix::process::{Pid, Signal, kill_process};
use sandbox_client::Sandbox;

use crate::Place;
use crate::client::Client;

/// Limit for a program to become ready, much longer than needed.
const STARTS_WITHIN: Duration = Duration::from_secs(120);
/// Limit for a program to end after SIGTERM.
const ENDS_WITHIN: Duration = Duration::from_secs(20);
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(5);

#[derive(Debug)]
pub struct Warden {
    process: Program,
    folder: tempfile::TempDir,
}

#[derive(Debug)]
pub struct Server {
    client: Client,
    took: Duration,
    _process: Program,
    _data: tempfile::TempDir,
}

impl Warden {
    /// Starts a warden and waits until a run would begin at once.
    pub async fn start(place: &Place, arguments: &[&str]) -> anyhow::Result<Warden> {
        let folder = tempfile::tempdir()?;
        let mut command = Command::new(harness::warden_program());
        command
            .args(["serve", "--die-with-parent", "--libraries"])
            .arg(&place.libraries)
            .arg("--socket")
            .arg(folder.path().join("s"))
            .args(arguments)
            .stdout(Stdio::null());
        let mut warden = Warden { process: Program::spawn(command)?, folder };
        let deadline = Instant::now() + STARTS_WITHIN;
        while UnixStream::connect(warden.socket()).is_err() {
            warden.process.is_alive()?;
            ensure!(Instant::now() < deadline, "the warden does not listen");
            tokio::time::sleep(LOOK_AGAIN_AFTER).await;
        }
        let sandbox = warden.sandbox();
        let ready = tokio::time::timeout(STARTS_WITHIN, sandbox.ready());
        let description = ready.await.context("the warden is not ready")??;
        let tier = description.tier;
        ensure!(tier == Tier::Namespaced, "the wall is only {tier} here, so figures would flatter");
        Ok(warden)
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("s")
    }

    /// A client of the warden.
    pub fn sandbox(&self) -> Sandbox {
        Sandbox::at(self.socket(), Tier::Namespaced)
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.process.0.id()
    }
}

impl Server {
    /// Starts a server that uses this warden.
    pub fn over(warden: &Warden) -> anyhow::Result<Server> {
        let mut command = command();
        command.arg("--sandbox-socket").arg(warden.socket());
        Server::start(command)
    }

    /// The same, with these scenarios.
    pub fn with_scenarios(warden: &Warden, scenarios: &Path) -> anyhow::Result<Server> {
        let mut command = command();
        command.arg("--sandbox-socket").arg(warden.socket()).arg("--scenarios").arg(scenarios);
        Server::start(command)
    }

    /// Starts a server with a warden of its own, as `make run` does.
    pub fn whole(place: &Place) -> anyhow::Result<Server> {
        let mut command = command();
        command.arg("--libraries").arg(&place.libraries);
        Server::start(command)
    }

    fn start(mut command: Command) -> anyhow::Result<Server> {
        let data = tempfile::tempdir()?;
        command.arg("--data-dir").arg(data.path()).stdout(Stdio::piped());
        let began = Instant::now();
        let mut process = Program::spawn(command)?;
        let mut line = String::new();
        let stdout = process.0.stdout.take().context("it is piped")?;
        BufReader::new(stdout).read_line(&mut line)?;
        let took = began.elapsed();
        let Some(url) = line.trim_end().strip_prefix("belljar listening on ") else {
            bail!("the server did not get ready; its output is above");
        };
        let client = Client::new(url.to_owned())?;
        Ok(Server { client, took, _process: process, _data: data })
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Time from the start of the program to its readiness line.
    pub fn took(&self) -> Duration {
        self.took
    }
}

fn command() -> Command {
    let mut command = Command::new(harness::belljar());
    command.args(["serve", "--listen", "127.0.0.1:0"]).env_remove("BELLJAR_API_KEYS");
    command
}

/// Ended with SIGTERM, and waited for, when dropped: a killed warden leaves its control groups behind.
#[derive(Debug)]
struct Program(Child);

impl Program {
    fn spawn(mut command: Command) -> anyhow::Result<Program> {
        // Warnings of the program belong to the bench's output; its other logs do not.
        command.env("BELLJAR_LOG", "warn").stdin(Stdio::null());
        Ok(Program(command.spawn()?))
    }

    fn is_alive(&mut self) -> anyhow::Result<()> {
        match self.0.try_wait()? {
            Some(status) => bail!("the warden ended with {status}; its output is above"),
            None => Ok(()),
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Ok(Some(status)) = self.0.try_wait() {
            eprintln!("bench: a program has already ended, with {status}");
            return;
        }
        // A drop cannot return an error.
        let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
        let deadline = Instant::now() + ENDS_WITHIN;
        while Instant::now() < deadline && matches!(self.0.try_wait(), Ok(None)) {
            std::thread::sleep(LOOK_AGAIN_AFTER);
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
