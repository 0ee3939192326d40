//! Tests of the API through HTTP, one file per subject.

#[path = "../harness/mod.rs"]
mod harness;

mod auth;
mod background;
mod bounds;
mod chain;
mod conduct;
mod console;
mod create;
mod disk;
mod doctor;
mod document;
mod errors;
mod exec;
mod execute;
mod faults;
mod files;
mod foreign_pages;
mod form;
mod gemini;
mod generate;
mod generate_ordered;
mod golden;
mod health;
mod http2;
mod http_protocol;
mod journal;
mod limits;
mod logs;
mod models;
mod openai;
mod profiles;
mod proto_json;
mod quirks;
mod record;
mod restart;
mod resume;
mod scenarios;
mod search;
mod seeded;
mod side_by_side;
mod stream;
mod tenants;
mod usage;
