//! Plays the script of a scenario: finds the position in it, and converts its parts to model events.

pub mod dry_run;
pub mod script;
pub mod speech;
