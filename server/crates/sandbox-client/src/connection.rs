//! Connections to the warden, and one that is opened in advance.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use protocol::{FrameError, FrameReader, WardenReply, WardenRequest};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;
use tokio::io::{AsyncWriteExt, BufWriter};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use super::{ANSWER_WITHIN, SandboxError};

/// How long a restarting warden may take to listen.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// Interval of connection attempts while the warden starts.
pub const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// Connects to one warden.
#[derive(Debug, Clone)]
pub struct Dialer {
    socket: PathBuf,
    spare: Arc<Mutex<Option<WardenConnection>>>,
}

impl Dialer {
    pub fn new(socket: PathBuf) -> Dialer {
        Dialer { socket, spare: Arc::default() }
    }

    /// An unused connection. Waits for a restarting warden.
    pub async fn connect(&self) -> Result<WardenConnection, SandboxError> {
        match self.take().filter(WardenConnection::is_alive) {
            Some(connection) => Ok(connection),
            None => WardenConnection::patiently_to(&self.socket).await,
        }
    }

    /// Connects without waiting.
    pub async fn connect_now(&self) -> Result<WardenConnection, SandboxError> {
        WardenConnection::to(&self.socket).await
    }

    /// Opens a connection in advance.
    pub fn prepare(&self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let dialer = self.clone();
        runtime.spawn(async move {
            // A missing warden is reported when a connection is needed.
            if let Ok(connection) = dialer.connect_now().await {
                *dialer.spare.lock() = Some(connection);
            }
        });
    }

    fn take(&self) -> Option<WardenConnection> {
        self.spare.lock().take()
    }
}

#[derive(Debug)]
pub struct WardenConnection {
    reader: FrameReader<OwnedReadHalf>,
    writer: BufWriter<OwnedWriteHalf>,
}

impl WardenConnection {
    pub async fn to(socket: &Path) -> Result<WardenConnection, SandboxError> {
        let stream = UnixStream::connect(socket)
            .await
            .map_err(|source| SandboxError::Connect { socket: socket.to_owned(), source })?;
        let (reader, writer) = stream.into_split();
        Ok(WardenConnection { reader: FrameReader::new(reader), writer: BufWriter::new(writer) })
    }

    /// Connects; waits for a restarting warden.
    async fn patiently_to(socket: &Path) -> Result<WardenConnection, SandboxError> {
        let until = Instant::now() + CONNECT_WITHIN;
        loop {
            match WardenConnection::to(socket).await {
                Err(SandboxError::Connect { .. }) if Instant::now() < until => {
                    tokio::time::sleep(LOOK_AGAIN_AFTER).await;
                }
                answer => return answer,
            }
        }
    }

    /// Whether the connection is open. The warden never sends unrequested data.
    pub fn is_alive(&self) -> bool {
        let stream: &UnixStream = self.reader.get_ref().as_ref();
        let mut watched = [PollFd::new(stream, PollFlags::IN)];
        poll(&mut watched, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) == Ok(0)
    }

    /// Buffers a request; it is sent with the next `flush` at the latest.
    pub async fn send(&mut self, request: &WardenRequest, blob: &[u8]) -> Result<(), SandboxError> {
        Ok(protocol::write(&mut self.writer, request, blob).await?)
    }

    pub async fn flush(&mut self) -> Result<(), SandboxError> {
        Ok(self.writer.flush().await.map_err(FrameError::from)?)
    }

    /// The next reply, without a timeout: the warden enforces time limits. Can be cancelled.
    pub async fn reply(&mut self) -> Result<(WardenReply, Bytes), SandboxError> {
        Ok(self.reader.next().await?)
    }

    /// The next reply to a request that is cheap for the warden.
    pub async fn answer(&mut self) -> Result<(WardenReply, Bytes), SandboxError> {
        tokio::time::timeout(ANSWER_WITHIN, self.reply()).await.map_err(|_| SandboxError::Silent)?
    }
}
