//! What operators and people see: metrics, and the pages of the console.

mod metrics;
mod pages;
