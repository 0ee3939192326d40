//! The first process of a cell. Its one descriptor is standard input: a socket to the warden.

use std::os::fd::AsFd;
use std::process::ExitCode;

fn main() -> ExitCode {
    match jail::init::run(std::io::stdin().as_fd()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE, // nobody is there to be told
    }
}
