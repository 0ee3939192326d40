//! The Interactions API: requests, steps, streams, and interactions in the background.

mod background;
mod chain;
mod conduct;
mod create;
mod files;
mod form;
mod models;
mod restart;
mod resume;
mod search;
mod stream;
mod tools;
mod usage;
