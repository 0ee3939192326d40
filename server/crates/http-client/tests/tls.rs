//! A server with TLS is reached, with the cryptography that this crate installs.
//!
//! Its certificate was made by `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes
//! -days 36500 -subj /CN=localhost -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:false`.

use std::sync::Arc;

use reqwest::Certificate;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const CERTIFICATE: &[u8] = include_bytes!("localhost.pem");
const KEY: &[u8] = include_bytes!("localhost.key");

/// Answers one request, and returns its port.
async fn serve() -> u16 {
    let chain = vec![CertificateDer::from_pem_slice(CERTIFICATE).expect("it is a certificate")];
    let key = PrivateKeyDer::from_pem_slice(KEY).expect("it is a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has them")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("they belong together");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
    let port = listener.local_addr().expect("it is bound").port();
    tokio::spawn(async move {
        let (plain, _) = listener.accept().await.expect("a client comes");
        let accepted = TlsAcceptor::from(Arc::new(config)).accept(plain).await;
        // A client that does not trust the certificate ends the connection.
        let Ok(mut stream) = accepted else { return };
        let mut request = [0; 1024];
        let _ = stream.read(&mut request).await;
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
        let _ = stream.write_all(answer).await;
        let _ = stream.shutdown().await;
    });
    port
}

#[tokio::test]
async fn a_server_with_a_trusted_certificate_is_reached() {
    let url = format!("https://localhost:{}/", serve().await);
    let trusted = Certificate::from_pem(CERTIFICATE).expect("it is a certificate");
    let client = http_client::builder().no_proxy().tls_certs_only([trusted]).build();
    let client = client.expect("it has cryptography");
    let answer = client.get(url).send().await.expect("the server answers");
    assert_eq!(answer.text().await.expect("it is text"), "ok");
}

#[tokio::test]
async fn a_server_with_another_certificate_is_not() {
    let url = format!("https://localhost:{}/", serve().await);
    let client = http_client::builder().no_proxy().build().expect("it has cryptography");
    let error = client.get(url).send().await.expect_err("the certificate has no issuer");
    assert!(error.is_connect(), "{error:?}");
}
