//! Handlers, one module for each resource.

pub mod execute;
pub mod faults;
pub mod files;
pub mod health;
pub mod index;
pub mod interactions;
pub mod isolation;
pub mod journal;
pub mod model_catalog;
pub mod models;
pub mod scenarios;
pub mod upload;
