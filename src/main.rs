//! The command `clfsload`: parse, run, exit status.

use std::process::ExitCode;

/// The C library's allocator costs several microseconds a small file, and keeps the large buffers
/// of segments for itself; see docs/performance.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    clfsload::cli::main()
}
