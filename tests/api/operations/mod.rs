//! The server around the APIs: HTTP, keys, limits, logs, disk and documents.

mod auth;
mod bounds;
mod console;
mod disk;
mod document;
mod errors;
mod foreign_pages;
mod health;
mod hostile;
mod http2;
mod http_protocol;
mod limits;
mod logs;
mod tenants;
