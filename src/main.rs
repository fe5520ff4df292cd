//! The command `clfsload`: parse, run, exit status.

use std::process::ExitCode;

fn main() -> ExitCode {
    clfsload::cli::main()
}
