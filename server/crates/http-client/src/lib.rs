//! Makes clients for HTTP and TLS. Their cryptography is that of ring, which compiles in a fraction of the time
//! of aws-lc, the default of reqwest.

use reqwest::ClientBuilder;
use rustls::crypto::ring;

/// The settings of a client. `reqwest::Client::builder` would panic without this.
pub fn builder() -> ClientBuilder {
    // The error says that it is installed already.
    let _ = ring::default_provider().install_default();
    ClientBuilder::new()
}
