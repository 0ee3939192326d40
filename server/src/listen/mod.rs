//! The sockets that the server accepts connections on.
//!
//! `localhost` is 127.0.0.1 for some clients and ::1 for others (Node takes what the resolver names
//! first), so a server on `localhost` listens on both with the same port.

mod address;

use std::io;
use std::net::{Ipv6Addr, SocketAddr};

use rustix::io::Errno;
use tokio::net::{TcpListener, TcpStream};

pub use address::{ListenAddress, ListenHost};

/// How many free ports of 127.0.0.1 are tried before one is also free on ::1.
const MAX_FREE_PORT_ATTEMPTS: usize = 32;

/// A socket, and for `localhost` the one of the other address family.
#[derive(Debug)]
pub struct Listeners {
    first: TcpListener,
    second: Option<TcpListener>,
}

/// An address that the server cannot listen on.
#[derive(Debug, thiserror::Error)]
#[error("could not listen on {address}")]
pub struct ListenError {
    pub address: SocketAddr,
    pub source: io::Error,
}

impl From<TcpListener> for Listeners {
    fn from(first: TcpListener) -> Listeners {
        Listeners { first, second: None }
    }
}

impl Listeners {
    /// Listens on an address; on `localhost`, on 127.0.0.1 and on ::1 if the machine has IPv6.
    pub async fn bind(address: ListenAddress) -> Result<Listeners, ListenError> {
        let mut attempts = MAX_FREE_PORT_ATTEMPTS;
        loop {
            let first = bind(address.first()).await?;
            if address.host != ListenHost::Localhost {
                return Ok(first.into());
            }
            let port = port_of(&first, address)?;
            attempts -= 1;
            match bind(SocketAddr::from((Ipv6Addr::LOCALHOST, port))).await {
                Ok(second) => return Ok(Listeners { first, second: Some(second) }),
                Err(error) if has_no_ipv6(&error.source) => {
                    tracing::debug!(error = %error.source, "no IPv6 on this machine");
                    return Ok(first.into());
                }
                // Another program has on ::1 the port that was free on 127.0.0.1.
                Err(error)
                    if address.port == 0
                        && attempts > 0
                        && error.source.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The addresses, the one of IPv4 first.
    pub fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        let sockets = std::iter::once(&self.first).chain(&self.second);
        sockets.map(TcpListener::local_addr).collect()
    }

    /// The next connection, on whichever socket it comes.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let Some(second) = &self.second else { return self.first.accept().await };
        tokio::select! {
            accepted = self.first.accept() => accepted,
            accepted = second.accept() => accepted,
        }
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).await.map_err(|source| ListenError { address, source })
}

fn port_of(socket: &TcpListener, address: ListenAddress) -> Result<u16, ListenError> {
    let bound = socket.local_addr();
    let bound = bound.map_err(|source| ListenError { address: address.first(), source })?;
    Ok(bound.port())
}

/// Whether a failure to listen on ::1 means that the machine, or its loopback device, has no IPv6.
fn has_no_ipv6(error: &io::Error) -> bool {
    const ABSENT: [Errno; 3] = [Errno::ADDRNOTAVAIL, Errno::AFNOSUPPORT, Errno::PROTONOSUPPORT];
    error.raw_os_error().is_some_and(|code| ABSENT.iter().any(|no| no.raw_os_error() == code))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn listen(text: &str) -> Result<Listeners, ListenError> {
        Listeners::bind(text.parse().expect("it is an address")).await
    }

    fn shown(listeners: &Listeners) -> Vec<SocketAddr> {
        listeners.addresses().expect("they are bound")
    }

    /// Whether this machine has ::1, asked with a socket of its own.
    fn has_ipv6() -> bool {
        std::net::TcpListener::bind("[::1]:0").is_ok()
    }

    #[tokio::test]
    async fn localhost_is_both_loopback_addresses_with_one_port() {
        for text in ["localhost:0", "0", ":0"] {
            let listeners = listen(text).await.expect("there is a free port");
            let addresses = shown(&listeners);
            let port = addresses[0].port();
            let mut wanted = vec![SocketAddr::from(([127, 0, 0, 1], port))];
            if has_ipv6() {
                wanted.push(SocketAddr::from((Ipv6Addr::LOCALHOST, port)));
            }
            assert_eq!(addresses, wanted, "{text}");
            for address in addresses {
                let client = TcpStream::connect(address).await.expect("the server listens");
                let (_, peer) = listeners.accept().await.expect("a client has connected");
                assert_eq!(peer, client.local_addr().expect("it is connected"));
            }
        }
    }

    #[tokio::test]
    async fn an_address_is_that_address_alone() {
        for text in ["127.0.0.1:0", "0.0.0.0:0"] {
            let listeners = listen(text).await.expect("there is a free port");
            assert_eq!(shown(&listeners).len(), 1, "{text}");
        }
    }

    #[tokio::test]
    async fn a_port_in_use_on_one_family_is_an_error_that_names_the_address() {
        let mut taken = vec!["127.0.0.1:0"];
        if has_ipv6() {
            taken.push("[::1]:0");
        }
        for text in taken {
            let other = TcpListener::bind(text).await.expect("there is a free port");
            let address = other.local_addr().expect("it is bound");
            let error = listen(&format!("localhost:{}", address.port())).await;
            let error = error.expect_err("another program has the port");
            assert_eq!(error.to_string(), format!("could not listen on {address}"));
            assert_eq!(error.source.kind(), io::ErrorKind::AddrInUse);
        }
    }

    #[test]
    fn only_a_machine_without_ipv6_does_without_it() {
        for (error, wanted) in [
            (Errno::ADDRNOTAVAIL, true),
            (Errno::AFNOSUPPORT, true),
            (Errno::ADDRINUSE, false),
            (Errno::ACCESS, false),
            (Errno::MFILE, false),
        ] {
            assert_eq!(has_no_ipv6(&error.into()), wanted, "{error}");
        }
    }
}
