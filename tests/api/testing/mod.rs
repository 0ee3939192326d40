//! What tests of agents use: scenarios, faults, quirks, the journal, seeds and commands.

mod doctor;
mod exec;
mod execute;
mod faults;
mod golden;
mod journal;
mod path_namespace;
mod profiles;
mod quirks;
mod scenarios;
mod seeded;
mod side_by_side;
