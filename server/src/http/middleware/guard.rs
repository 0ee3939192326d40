//! Protects a server without API keys from foreign web pages: accepts only requests from programs
//! and from pages of this machine.
//!
//! A browser sends requests of any page to any address. Three headers identify them, and no page
//! can change them: `Host` is the name in the page's URL after DNS rebinding, `Origin` is the page,
//! and `Sec-Fetch-Site` is the relation of both. With keys this check is unnecessary, because a
//! foreign page has no key.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use axum::extract::Request;
use axum::http::header::{HOST, ORIGIN};
use axum::http::uri;
use axum::http::{HeaderName, HeaderValue, Version};

use crate::http::error::{ApiError, Code};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Open to all requests: supervisors use any host name, links lead here, and these hold no data.
const OPEN: [&str; 4] = ["/healthz", "/readyz", "/openapi.json", "/docs"];
const OPEN_BELOW: &str = "/docs/";

/// Accepted host names besides `localhost`, `*.localhost` and IP addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hosts(Arc<[String]>);

/// Why a text is not a host name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid host '{0}': use a name without scheme and port, as in belljar.example.org")]
pub struct NotAHost(String);

impl Hosts {
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Hosts, NotAHost> {
        let names = names.into_iter().map(|name| match Host::parse(name) {
            Some(Host::Name(host)) => Ok(host),
            _ => Err(NotAHost(name.to_owned())),
        });
        Ok(Hosts(names.collect::<Result<_, _>>()?))
    }

    /// Whether a page of this origin may send requests to any of the server's addresses.
    pub fn has_origin(&self, origin: &HeaderValue) -> bool {
        HostAndPort::of_origin(origin).is_some_and(|page| self.has_page(&page))
    }

    fn has_page(&self, page: &HostAndPort) -> bool {
        match &page.host {
            Host::V4(address) => address.is_loopback(),
            Host::V6(address) => address.to_canonical().is_loopback(),
            name => self.has(name),
        }
    }

    /// Whether this host is this server. DNS rebinding uses an attacker's name; an IP address
    /// cannot be rebound.
    fn has(&self, host: &Host) -> bool {
        match host {
            Host::V4(_) | Host::V6(_) => true,
            Host::Name(name) => {
                name == "localhost" || name.ends_with(".localhost") || self.0.contains(name)
            }
        }
    }

    /// The error for a request from a foreign page or for a foreign host. Reads only headers.
    pub fn refuses(&self, request: &Request) -> Option<ApiError> {
        let path = request.uri().path();
        if OPEN.contains(&path) || path.starts_with(OPEN_BELOW) {
            return None;
        }
        let asked = match self.asked(request) {
            Ok(asked) => asked,
            Err(error) => return Some(error),
        };
        let headers = request.headers();
        let mut from_our_page = false;
        for origin in headers.get_all(ORIGIN) {
            let page = HostAndPort::of_origin(origin);
            let is_ours =
                page.is_some_and(|page| self.has_page(&page) || asked.iter().any(|at| page.is(at)));
            if !is_ours {
                return Some(foreign_page(origin));
            }
            from_our_page = true;
        }
        // `localhost:5173` and `127.0.0.1:8080` are different sites, so `Origin` decides.
        let mut sites = headers.get_all(SEC_FETCH_SITE).iter();
        let is_cross_site = |site: &HeaderValue| {
            let sites = String::from_utf8_lossy(site.as_bytes()).to_ascii_lowercase();
            sites.split(',').any(|site| site.trim() == "cross-site")
        };
        if !from_our_page && sites.any(is_cross_site) {
            let why = format!(
                "Requests from pages of other sites are rejected ('{SEC_FETCH_SITE}: cross-site'): this \
                 server has no API keys."
            );
            return Some(ApiError::new(Code::PermissionDenied, why));
        }
        None
    }

    /// The hosts to which the request is addressed. All of them must be this server.
    fn asked(&self, request: &Request) -> Result<Vec<HostAndPort>, ApiError> {
        let named = request.headers().get_all(HOST).iter().map(HeaderValue::as_bytes);
        // HTTP/2 and proxy requests have the host in the URI.
        let in_address = request.uri().authority().map(uri::Authority::as_str).map(str::as_bytes);
        let mut asked = Vec::new();
        for name in named.chain(in_address) {
            let place = std::str::from_utf8(name).ok().and_then(HostAndPort::parse);
            match place.filter(|place| self.has(&place.host)) {
                Some(place) => asked.push(place),
                None => return Err(foreign_host(name)),
            }
        }
        // Browsers always send it; HTTP/1.0 programs may not.
        if asked.is_empty() && request.version() > Version::HTTP_10 {
            return Err(ApiError::invalid("The request has no 'Host'."));
        }
        Ok(asked)
    }
}

fn foreign_host(name: &[u8]) -> ApiError {
    let name = quoted(name);
    let why = format!(
        "The host '{name}' is not known to this server, which has no API keys. Use an IP address or \
         'localhost', or add the name with --hosts (BELLJAR_HOSTS)."
    );
    ApiError::new(Code::PermissionDenied, why)
}

fn foreign_page(origin: &HeaderValue) -> ApiError {
    let origin = quoted(origin.as_bytes());
    let why = format!(
        "Requests from pages of '{origin}' are rejected: this server has no API keys. Pages from \
         localhost may send requests, and pages from the names in --hosts (BELLJAR_HOSTS)."
    );
    ApiError::new(Code::PermissionDenied, why)
}

/// The beginning of a client's text.
fn quoted(sent: &[u8]) -> String {
    String::from_utf8_lossy(sent).chars().take(100).collect()
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    V4(Ipv4Addr),
    V6(Ipv6Addr),
    /// In lower case, without the trailing dot.
    Name(String),
}

impl Host {
    fn parse(text: &str) -> Option<Host> {
        if let Some(address) = text.strip_prefix('[') {
            return address.strip_suffix(']')?.parse().ok().map(Host::V6);
        }
        if let Ok(address) = text.parse() {
            return Some(Host::V4(address));
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let is_label = |label: &str| {
            !label.is_empty()
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
        };
        name.split('.').all(is_label).then_some(Host::Name(name))
    }
}

/// A host and a port. Without a port it is the scheme's default, which `Host` does not show.
#[derive(Debug, Clone, PartialEq, Eq)]
struct HostAndPort {
    host: Host,
    port: Option<u16>,
}

impl HostAndPort {
    /// Parses `belljar.example.org:8080` or `[::1]`.
    fn parse(text: &str) -> Option<HostAndPort> {
        let end = text.rfind(']').unwrap_or(0);
        let (host, port) = match text[end..].rfind(':') {
            Some(at) => (&text[..end + at], &text[end + at + 1..]),
            None => (text, ""),
        };
        let port = match port {
            "" => None,
            digits if digits.bytes().all(|b| b.is_ascii_digit()) => Some(digits.parse().ok()?),
            _ => return None,
        };
        Some(HostAndPort { host: Host::parse(host)?, port })
    }

    /// Parses `https://belljar.example.org`: a scheme, a host and a port, nothing else.
    fn of_origin(origin: &HeaderValue) -> Option<HostAndPort> {
        let (scheme, place) = origin.to_str().ok()?.split_once("://")?;
        let default = match scheme.to_ascii_lowercase().as_str() {
            "http" => Some(80),
            "https" => Some(443),
            _ => None,
        };
        let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
        let HostAndPort { host, port } = HostAndPort::parse(place).filter(|_| is_scheme)?;
        Some(HostAndPort { host, port: port.or(default) })
    }

    /// Whether the page's origin is the requested server.
    fn is(&self, asked: &HostAndPort) -> bool {
        self.host == asked.host
            && match asked.port {
                Some(port) => self.port == Some(port),
                None => matches!(self.port, Some(80 | 443)),
            }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn status(hosts: &Hosts, request: axum::http::request::Builder) -> Option<ApiError> {
        hosts.refuses(&request.body(Body::empty()).expect("it is a request"))
    }

    fn hosts() -> Hosts {
        Hosts::new(["server", "Belljar.Example.org."]).expect("both are names")
    }

    #[test]
    fn requests_for_rebound_names_are_rejected() {
        for (host, wanted) in [
            ("localhost", true),
            ("LOCALHOST:8080", true),
            ("localhost.", true),
            ("localhost:", true),
            ("app.localhost:8080", true),
            ("127.0.0.1:8080", true),
            ("192.168.0.7", true),
            ("[::1]:8080", true),
            ("[2001:db8::1]", true),
            ("server:8080", true),
            ("belljar.example.org", true),
            ("SERVER.:1", true),
            ("evil.example", false),
            ("evil.example:8080", false),
            ("localhost.evil.example", false),
            ("evillocalhost", false),
            ("127.0.0.1.evil.example", false),
            ("127.0.0.1.", false),
            ("2130706433", false),
            ("server.evil.example", false),
            ("x.server", false),
            ("localhost:80@evil.example", false),
            ("evil.example@localhost", false),
            ("localhost/..", false),
            ("localhost:8080:80", false),
            ("localhost:+80", false),
            ("localhost:99999", false),
            ("[::1", false),
            ("[::1]x", false),
            ("::1", false),
            (".localhost", false),
            ("localhost..", false),
            ("localhost evil.example", false),
            ("localhost,evil.example", false),
            ("", false),
        ] {
            let request = Request::builder().uri("/v1/models").header("host", host);
            assert_eq!(status(&hosts(), request).is_none(), wanted, "{host}");
        }
        let latin = HeaderValue::from_bytes(b"localhost\xe9").expect("HTTP allows it");
        let request = Request::builder().uri("/v1/models").header("host", latin);
        assert!(status(&hosts(), request).is_some());
    }

    #[test]
    fn every_host_in_a_request_is_checked() {
        let request = |uri: &str| Request::builder().uri(uri);
        for (request, wanted) in [
            (request("http://localhost:8080/v1/models"), true),
            (request("http://localhost/v1/models").header("host", "127.0.0.1"), true),
            (request("http://evil.example/v1/models").header("host", "localhost"), false),
            (request("http://localhost/v1/models").header("host", "evil.example"), false),
            (
                request("/v1/models").header("host", "localhost").header("host", "evil.example"),
                false,
            ),
            (request("http://me@localhost/v1/models"), false),
            (request("/v1/models"), false),
            (request("/v1/models").version(Version::HTTP_10), true),
            (request("/v1/models").version(Version::HTTP_10).header("host", "evil.example"), false),
        ] {
            let shown = format!("{request:?}");
            assert_eq!(status(&hosts(), request).is_none(), wanted, "{shown}");
        }
    }

    #[test]
    fn only_pages_of_this_machine_are_accepted() {
        for (host, origin, wanted) in [
            ("localhost:8080", "http://localhost:5173", true),
            ("127.0.0.1:8080", "http://LOCALHOST.:5173", true),
            ("127.0.0.1:8080", "http://app.localhost", true),
            ("127.0.0.1:8080", "http://127.0.0.2", true),
            ("127.0.0.1:8080", "https://[::1]:8443", true),
            ("127.0.0.1:8080", "https://server", true),
            ("127.0.0.1:8080", "tauri://localhost", true),
            // The page of a server that is reached by its IP address.
            ("192.168.0.7:8080", "http://192.168.0.7:8080", true),
            ("192.168.0.7", "http://192.168.0.7", true),
            ("192.168.0.7", "https://192.168.0.7", true),
            ("192.168.0.7:8080", "http://192.168.0.7", false),
            ("192.168.0.7:8080", "http://192.168.0.7:8081", false),
            ("192.168.0.7:8080", "http://192.168.0.8:8080", false),
            ("127.0.0.1:8080", "https://evil.example", false),
            ("127.0.0.1:8080", "http://localhost.evil.example", false),
            ("127.0.0.1:8080", "http://localhost@evil.example", false),
            ("127.0.0.1:8080", "http://evil.example@localhost", false),
            ("127.0.0.1:8080", "http://evil.example#.localhost", false),
            ("127.0.0.1:8080", "http://evil.example\\.localhost", false),
            ("127.0.0.1:8080", "http://localhost/", false),
            ("127.0.0.1:8080", "http://localhost, https://evil.example", false),
            ("127.0.0.1:8080", "localhost", false),
            ("127.0.0.1:8080", "://localhost", false),
            ("127.0.0.1:8080", "null", false),
            ("127.0.0.1:8080", "file://", false),
            ("127.0.0.1:8080", "", false),
        ] {
            let request =
                Request::builder().uri("/x/execute").header("host", host).header("origin", origin);
            assert_eq!(status(&hosts(), request).is_none(), wanted, "{origin} asks {host}");
        }
        let two = Request::builder().uri("/x/execute").header("host", "localhost");
        let two = two.header("origin", "http://localhost").header("origin", "https://evil.example");
        assert!(status(&hosts(), two).is_some(), "the second is checked too");
    }

    #[test]
    fn a_page_of_another_site_is_rejected_unless_its_origin_is_known() {
        for (site, origin, wanted) in [
            ("none", None, true),
            ("same-origin", None, true),
            ("same-site", None, true),
            ("cross-site", None, false),
            ("Cross-Site ", None, false),
            ("none, cross-site", None, false),
            // `localhost` and `127.0.0.1` are different sites.
            ("cross-site", Some("http://localhost:5173"), true),
            ("same-site", Some("https://evil.example"), false),
            ("none", Some("null"), false),
        ] {
            let mut request = Request::builder()
                .uri("/x/journal")
                .header("host", "127.0.0.1:8080")
                .header("sec-fetch-site", site);
            if let Some(origin) = origin {
                request = request.header("origin", origin);
            }
            assert_eq!(status(&hosts(), request).is_none(), wanted, "{site} {origin:?}");
        }
    }

    #[test]
    fn paths_without_data_are_open_to_all() {
        for (path, wanted) in [
            ("/healthz", true),
            ("/readyz", true),
            ("/openapi.json", true),
            ("/docs", true),
            ("/docs/swagger-ui.css", true),
            ("/docsx", false),
            ("/x/journal", false),
            ("/nothing", false),
        ] {
            let request = Request::builder().uri(path).header("host", "evil.example");
            assert_eq!(status(&hosts(), request).is_none(), wanted, "{path}");
        }
    }

    #[test]
    fn an_invalid_host_name_is_rejected() {
        for wrong in ["", "*", "a b", "server:8080", "http://server", "10.0.0.1", "[::1]", "a/b"] {
            assert_eq!(Hosts::new([wrong]), Err(NotAHost(wrong.to_owned())));
        }
    }
}
