//! SIGINT and SIGTERM: the first signal stops the server gracefully, the second immediately.

use std::io;

use rustix::process::Signal;
use tokio::signal::unix::{self, SignalKind};

#[derive(Debug)]
pub struct Stops {
    interrupt: unix::Signal,
    terminate: unix::Signal,
}

impl Stops {
    /// Installs the handlers. From then on neither signal ends the process by itself.
    pub fn catch() -> io::Result<Stops> {
        Ok(Stops {
            interrupt: unix::signal(SignalKind::interrupt())?,
            terminate: unix::signal(SignalKind::terminate())?,
        })
    }

    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::INT,
            _ = self.terminate.recv() => Signal::TERM,
        }
    }
}
