//! The `hookgate` command.

use std::process::ExitCode;

/// jemalloc, because it returns the memory of closed connections; glibc's allocator keeps it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    hookgate::cli::run()
}
