//! Plays the script of a scenario: converts its parts to model events.

pub mod dry_run;
pub mod speech;
