//! SIGINT and SIGTERM: the first one stops the server in order, the second at once.

use std::io;

use rustix::process::Signal;
use tokio::signal::unix::{self, SignalKind};

#[derive(Debug)]
pub struct Stops {
    interrupt: unix::Signal,
    terminate: unix::Signal,
}

impl Stops {
    /// From here on neither ends this process by itself.
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
