//! Parse, run, print the error, choose the exit status.

use std::process::ExitCode;

fn main() -> ExitCode {
    mlapi::cli::main()
}
