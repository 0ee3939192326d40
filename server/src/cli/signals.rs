//! What stops the server: SIGINT, SIGTERM, and perhaps the end of standard input. The first stops it
//! gracefully, the second immediately.

use std::io;

use rustix::process::Signal;
use tokio::signal::unix::{self, SignalKind};
use tokio::sync::oneshot;

#[derive(Debug)]
pub struct Stops {
    interrupt: unix::Signal,
    terminate: unix::Signal,
    /// Signals the end of standard input. `None` if that does not matter, or has happened.
    stdin: Option<oneshot::Receiver<()>>,
}

impl Stops {
    /// Installs the handlers. From then on neither signal ends the process by itself.
    pub fn catch() -> io::Result<Stops> {
        Ok(Stops {
            interrupt: unix::signal(SignalKind::interrupt())?,
            terminate: unix::signal(SignalKind::terminate())?,
            stdin: None,
        })
    }

    /// The end of standard input counts as SIGTERM.
    #[must_use]
    pub fn or_end_of_stdin(self) -> Stops {
        let (is_closed, stdin) = oneshot::channel();
        // The thread blocks as long as standard input is open, which no task may.
        std::thread::spawn(move || {
            let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
            let _ = is_closed.send(());
        });
        Stops { stdin: Some(stdin), ..self }
    }

    pub async fn next(&mut self) -> Signal {
        let stdin = async {
            match &mut self.stdin {
                Some(stdin) => drop(stdin.await),
                None => std::future::pending().await,
            }
        };
        let signal = tokio::select! {
            _ = self.interrupt.recv() => return Signal::INT,
            _ = self.terminate.recv() => return Signal::TERM,
            () = stdin => Signal::TERM,
        };
        self.stdin = None;
        signal
    }
}
