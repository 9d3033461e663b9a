//! The `hookgate` command.

use std::process::ExitCode;

/// glibc's allocator keeps the memory of closed connections; jemalloc gives it back.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    hookgate::cli::run()
}
