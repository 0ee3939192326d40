//! What tests can inject: faults, which fail a request, and quirks, which change a valid response.

pub mod fault;
pub mod quirk;
