//! The API, through the front door. A file a subject.

#[path = "../harness/mod.rs"]
mod harness;

mod auth;
mod background;
mod chain;
mod conduct;
mod create;
mod doctor;
mod document;
mod errors;
mod exec;
mod execute;
mod faults;
mod files;
mod form;
mod gemini;
mod generate;
mod generate_ordered;
mod golden;
mod health;
mod journal;
mod limits;
mod manners;
mod models;
mod openai;
mod profiles;
mod quirks;
mod record;
mod restart;
mod resume;
mod scenarios;
mod search;
mod side_by_side;
mod stream;
mod usage;
