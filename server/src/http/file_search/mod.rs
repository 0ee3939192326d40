//! File search stores: requests, answers, and documents made of files.

pub mod answer;
pub mod ingest;
pub mod openapi;
pub mod request;
