//! The client of the warden: a cell, its files, its runs. Knows no interaction.
//!
//! Without a socket in the configuration the warden is a child process of this one, and dies with
//! it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use bytes::Bytes;
use protocol::{Description, Finished, FrameError, Refusal, Reply, Request, Tier};
use tokio::io::BufReader;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, Command};
use tokio_util::task::AbortOnDropHandle;

/// How long a warden may take to answer what costs it nothing.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How long a warden that is gone may take to listen again.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// Between the end of a warden and the start of the next.
const START_AGAIN_AFTER: Duration = Duration::from_millis(200);
/// Between two looks at a warden that is coming up.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// The sandboxes of this machine.
#[derive(Debug)]
pub struct Sandbox {
    socket: PathBuf,
    /// The warden, where it is ours. Killed when this is dropped.
    warden: Option<Warden>,
}

#[derive(Debug)]
struct Warden {
    /// Owns the process, and starts another one when it dies.
    _keeper: AbortOnDropHandle<()>,
    _folder: tempfile::TempDir,
}

/// How to start a warden of our own.
#[derive(Debug, Clone)]
pub struct WardenCommand {
    pub program: PathBuf,
    /// Handed on as they are.
    pub arguments: Vec<String>,
}

/// Why the sandbox did not do its work. Code that fails is no error but an output.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    #[error("no place for another run")]
    Busy,
    #[error("the request to the sandbox was wrong: {0}")]
    Invalid(String),
    #[error("the sandbox cannot make a cell: {0}")]
    Unavailable(String),
    #[error("the warden could not be started with {program}: {source}")]
    Start { program: PathBuf, source: std::io::Error },
    #[error("the warden at {socket} does not answer: {source}")]
    Connect { socket: PathBuf, source: std::io::Error },
    #[error("the warden broke off: {0}")]
    Frame(#[from] FrameError),
    #[error("the warden did not answer within {} s", ANSWER_WITHIN.as_secs())]
    Silent,
    #[error("the warden answered out of turn")]
    OutOfTurn,
}

/// What one run left.
#[derive(Debug, Clone)]
pub struct RunOutput {
    pub finished: Finished,
    pub stdout: Bytes,
    pub stderr: Bytes,
    pub images: Vec<Image>,
    pub files: Vec<File>,
}

/// A picture that a run showed or saved.
#[derive(Debug, Clone)]
pub struct Image {
    pub mime_type: String,
    pub data: Bytes,
}

/// A file that a run wrote or changed.
#[derive(Debug, Clone)]
pub struct File {
    /// In the work directory.
    pub path: String,
    pub content: Bytes,
}

impl Sandbox {
    /// A warden that somebody else runs.
    pub fn at(socket: PathBuf) -> Sandbox {
        Sandbox { socket, warden: None }
    }

    /// Starts a warden of our own. It listens when this returns, but need not be ready.
    pub async fn start(command: WardenCommand) -> Result<Sandbox, SandboxError> {
        let failed = |source| SandboxError::Start { program: command.program.clone(), source };
        let folder = tempfile::Builder::new().prefix("belljar-").tempdir().map_err(failed)?;
        let socket = folder.path().join("warden.sock");
        let mut process = command.spawn(&socket).map_err(failed)?;
        while UnixStream::connect(&socket).await.is_err() {
            if let Some(status) = process.try_wait().map_err(failed)? {
                let why = format!("it ended with {status}; its own words are above");
                return Err(failed(std::io::Error::other(why)));
            }
            tokio::time::sleep(LOOK_AGAIN_AFTER).await;
        }
        let keeper = AbortOnDropHandle::new(tokio::spawn(keep(process, command, socket.clone())));
        Ok(Sandbox { socket, warden: Some(Warden { _keeper: keeper, _folder: folder }) })
    }

    /// Whether the warden was started here, so that one which does not come up never will.
    pub fn is_ours(&self) -> bool {
        self.warden.is_some()
    }

    /// What the warden is, and whether a run would begin at once.
    pub async fn describe(&self) -> Result<Description, SandboxError> {
        let mut connection = Connection::to(&self.socket).await?;
        connection.send(&Request::Describe, &[]).await?;
        match connection.answer().await? {
            (Reply::Description(description), _) => Ok(description),
            (reply, _) => Err(unexpected(reply)),
        }
    }

    /// Waits until a run would begin at once.
    pub async fn ready(&self) -> Result<Description, SandboxError> {
        loop {
            let description = self.describe().await?;
            if description.ready {
                return Ok(description);
            }
            tokio::time::sleep(LOOK_AGAIN_AFTER).await;
        }
    }

    /// A fresh cell with these files in its work directory. Dropping it kills all that is in it.
    pub async fn open<'f>(
        &self,
        files: impl IntoIterator<Item = (&'f str, &'f Bytes)>,
    ) -> Result<Cell, SandboxError> {
        let mut connection = Connection::patiently_to(&self.socket).await?;
        connection.send(&Request::Open, &[]).await?;
        let mut expected = 0;
        for (name, content) in files {
            connection.send(&Request::PutFile { name: name.to_owned() }, content).await?;
            expected += 1;
        }
        let tier = match connection.reply().await? {
            (Reply::Opened { tier }, _) => tier,
            (reply, _) => return Err(unexpected(reply)),
        };
        for _ in 0..expected {
            match connection.answer().await? {
                (Reply::FilePut, _) => {}
                (reply, _) => return Err(unexpected(reply)),
            }
        }
        Ok(Cell { connection, tier })
    }
}

/// One interpreter and its work directory, for the runs of one interaction.
#[derive(Debug)]
pub struct Cell {
    connection: Connection,
    tier: Tier,
}

impl Cell {
    /// How strong the wall around it is.
    pub fn tier(&self) -> Tier {
        self.tier
    }

    /// Runs Python in the cell and waits for its end. The warden keeps the time.
    pub async fn run(&mut self, code: &str) -> Result<RunOutput, SandboxError> {
        self.ask(Request::Run { wall_ms: None, files: false }, code).await
    }

    /// The same, in at most this time, and with the files that the code leaves.
    pub async fn run_for_files(
        &mut self,
        code: &str,
        at_most: Option<Duration>,
    ) -> Result<RunOutput, SandboxError> {
        let wall_ms = at_most.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        self.ask(Request::Run { wall_ms, files: true }, code).await
    }

    async fn ask(&mut self, request: Request, code: &str) -> Result<RunOutput, SandboxError> {
        self.connection.send(&request, code.as_bytes()).await?;
        let (mut stdout, mut stderr) = (Bytes::new(), Bytes::new());
        let (mut images, mut files) = (Vec::new(), Vec::new());
        loop {
            match self.connection.reply().await? {
                (Reply::Stdout { .. }, blob) => stdout = blob,
                (Reply::Stderr { .. }, blob) => stderr = blob,
                (Reply::Image { mime_type }, data) => images.push(Image { mime_type, data }),
                (Reply::File { path }, content) => files.push(File { path, content }),
                (Reply::Finished(finished), _) => {
                    return Ok(RunOutput { finished, stdout, stderr, images, files });
                }
                (reply, _) => return Err(unexpected(reply)),
            }
        }
    }
}

impl WardenCommand {
    fn spawn(&self, socket: &Path) -> std::io::Result<Child> {
        Command::new(&self.program)
            .arg("serve")
            .arg("--socket")
            .arg(socket)
            .arg("--die-with-parent")
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
    }
}

/// Waits for the end of the warden, which nobody wants, and starts another one. Nothing of what the
/// old one had is left: its cells die with it.
async fn keep(mut process: Child, command: WardenCommand, socket: PathBuf) {
    loop {
        match process.wait().await {
            Ok(status) => tracing::error!(%status, "the warden has ended, and is started again"),
            Err(error) => tracing::error!(%error, "the warden cannot be watched"),
        }
        process = loop {
            tokio::time::sleep(START_AGAIN_AFTER).await;
            match command.spawn(&socket) {
                Ok(process) => break process,
                Err(error) => tracing::error!(%error, "the warden cannot be started"),
            }
        };
    }
}

#[derive(Debug)]
struct Connection {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
}

impl Connection {
    async fn to(socket: &Path) -> Result<Connection, SandboxError> {
        let stream = UnixStream::connect(socket)
            .await
            .map_err(|source| SandboxError::Connect { socket: socket.to_owned(), source })?;
        let (reader, writer) = stream.into_split();
        Ok(Connection { reader: BufReader::new(reader), writer })
    }

    /// The same, with patience for a warden that is being started again.
    async fn patiently_to(socket: &Path) -> Result<Connection, SandboxError> {
        let until = Instant::now() + CONNECT_WITHIN;
        loop {
            match Connection::to(socket).await {
                Err(SandboxError::Connect { .. }) if Instant::now() < until => {
                    tokio::time::sleep(LOOK_AGAIN_AFTER).await;
                }
                answer => return answer,
            }
        }
    }

    async fn send(&mut self, request: &Request, blob: &[u8]) -> Result<(), SandboxError> {
        Ok(protocol::write(&mut self.writer, request, blob).await?)
    }

    /// The next reply, however long it takes: the warden has clocks of its own.
    async fn reply(&mut self) -> Result<(Reply, Bytes), SandboxError> {
        Ok(protocol::read(&mut self.reader).await?)
    }

    /// The next reply, to something that costs the warden nothing.
    async fn answer(&mut self) -> Result<(Reply, Bytes), SandboxError> {
        tokio::time::timeout(ANSWER_WITHIN, self.reply()).await.map_err(|_| SandboxError::Silent)?
    }
}

fn unexpected(reply: Reply) -> SandboxError {
    match reply {
        Reply::Refused(Refusal::Busy) => SandboxError::Busy,
        Reply::Refused(Refusal::Unavailable { why }) => SandboxError::Unavailable(why),
        Reply::Refused(Refusal::Invalid { why }) => SandboxError::Invalid(why),
        _ => SandboxError::OutOfTurn,
    }
}
