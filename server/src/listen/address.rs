//! Parses the address to listen on.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// The default port.
pub const PORT: u16 = 8080;

/// `127.0.0.1:8080`, `[::1]:0`, `localhost:0`; `:8091` and `8091` are ports of `localhost`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenAddress {
    pub host: ListenHost,
    pub port: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenHost {
    /// 127.0.0.1, and ::1 if the machine has IPv6.
    Localhost,
    Address(IpAddr),
}

impl Default for ListenAddress {
    fn default() -> ListenAddress {
        ListenAddress::localhost(PORT)
    }
}

impl ListenAddress {
    /// Both loopback addresses.
    pub fn localhost(port: u16) -> ListenAddress {
        ListenAddress { host: ListenHost::Localhost, port }
    }

    /// 127.0.0.1 alone.
    pub fn loopback(port: u16) -> ListenAddress {
        ListenAddress { host: ListenHost::Address(Ipv4Addr::LOCALHOST.into()), port }
    }

    pub fn is_loopback(self) -> bool {
        match self.host {
            ListenHost::Localhost => true,
            ListenHost::Address(address) => address.to_canonical().is_loopback(),
        }
    }

    /// The address to listen on first.
    pub fn first(self) -> SocketAddr {
        let address = match self.host {
            ListenHost::Localhost => Ipv4Addr::LOCALHOST.into(),
            ListenHost::Address(address) => address,
        };
        SocketAddr::new(address, self.port)
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host {
            ListenHost::Localhost => write!(f, "localhost:{}", self.port),
            ListenHost::Address(address) => write!(f, "{}", SocketAddr::new(address, self.port)),
        }
    }
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<ListenAddress, String> {
        const EXAMPLES: &str = "expected an address and a port such as 127.0.0.1:8080, [::1]:8080 or \
                                localhost:8080, or a port alone such as 8080; port 0 selects a free one";
        let text = text.trim();
        let wrong = || EXAMPLES.to_owned();
        if let Ok(port) = text.strip_prefix(':').unwrap_or(text).parse() {
            return Ok(ListenAddress::localhost(port));
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(ListenAddress {
                host: ListenHost::Address(address.ip()),
                port: address.port(),
            });
        }
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Ok(ListenAddress { host: ListenHost::Address(address), port: PORT });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| wrong())?),
            None => (text, PORT),
        };
        if host.eq_ignore_ascii_case("localhost") {
            return Ok(ListenAddress::localhost(port));
        }
        if host == "*" {
            return Err(format!("to listen on all addresses, write 0.0.0.0:{port} or [::]:{port}"));
        }
        Err(wrong())
    }
}

impl<'de> Deserialize<'de> for ListenAddress {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<ListenAddress, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Port(u16),
            Text(String),
        }
        let wrong = |_| D::Error::custom("listen must be an address and a port, or a port");
        match Written::deserialize(from).map_err(wrong)? {
            Written::Port(port) => Ok(ListenAddress::localhost(port)),
            Written::Text(text) => text.parse().map_err(D::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_people_write_them_and_shown_in_full() {
        for (text, wanted) in [
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            (":8091", "localhost:8091"),
            ("8091", "localhost:8091"),
            ("0", "localhost:0"),
            ("localhost:0", "localhost:0"),
            ("LocalHost:0", "localhost:0"),
            ("localhost", "localhost:8080"),
            ("127.0.0.1", "127.0.0.1:8080"),
            ("0.0.0.0:80", "0.0.0.0:80"),
            ("[::1]:0", "[::1]:0"),
            ("[::1]", "[::1]:8080"),
            ("::1", "[::1]:8080"),
        ] {
            let address: ListenAddress = text.parse().expect(text);
            assert_eq!(address.to_string(), wanted, "{text}");
            assert_eq!(address.to_string().parse(), Ok(address), "{text}");
            assert_eq!(address.is_loopback(), text != "0.0.0.0:80", "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_examples() {
        for text in ["", "home", "home:80", "65536", ":", "localhost:", "localhost:x", "-1", "*:80"]
        {
            let error = text.parse::<ListenAddress>().expect_err(text);
            assert!(error.contains(":80"), "{text}: {error}");
        }
    }
}
