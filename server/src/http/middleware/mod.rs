//! Layers around the handlers: each checks or changes requests or responses regardless of the route.

pub mod allowed_clients;
pub mod auth;
pub mod control;
pub mod cors_and_compression;
pub mod deadline;
pub mod drain;
pub mod faults;
pub mod guard;
pub mod in_flight;
pub mod quirk;
pub mod request_log;
