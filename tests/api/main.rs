//! The API, through the front door. A file a subject.

#[path = "../harness/mod.rs"]
mod harness;

mod auth;
mod chain;
mod create;
mod doctor;
mod errors;
mod execute;
mod health;
mod limits;
mod restart;
mod stream;
