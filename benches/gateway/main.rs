//! The cost of one event, from the first byte of its request to the answer or to its delivery.
//!
//! `script/bench` runs this. One program has every role but the gateway's; the first argument selects the role:
//!
//! - none: [`rounds`], the conductor. It starts the others, measures and prints one table;
//! - `sink`: [`sink`], the internal service: takes any request and answers 200;
//! - `pass`: [`pass`], a bare pingora proxy in front of the sink: the unit of all ratios;
//! - `load`: [`load`], the provider: 64 connections that send signed GitHub deliveries as fast as they are answered.
//!
//! The server under test has core 0 for itself; load and sink share core 1. CPU is the kernel's accounting of the
//! server's process, all threads. Absolute figures move with the machine and its neighbours, so every variant is
//! divided by the pass-through of the *same round*, and the median of those ratios is the result.
//!
//! Nothing is written into the work tree, all traffic stays on the loopback, and every part ends by itself or with the
//! conductor.
#![expect(clippy::print_stdout, reason = "the table is the product")]
#![expect(clippy::print_stderr, reason = "progress is for whoever waits")]
#![expect(clippy::disallowed_methods, reason = "a benchmark lives by the real clock")]

mod rounds;
mod variant;

mod measure;
mod metrics;
mod process;
mod table;

mod load;
mod pass;
mod request;
mod sink;

use std::env;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

/// The gateway's allocator, so that the pass-through is comparable.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let played = match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["sink", listen] => sink::run(listen),
        ["pass", listen, upstream] => pass::run(listen, upstream),
        ["load", plan] => load::run(plan),
        // Cargo passes `--bench` with `cargo bench` only; `cargo test --all-targets` must not wait four minutes.
        flags if !flags.contains(&"--bench") => {
            println!("A benchmark: run script/bench.");
            Ok(())
        }
        flags => options(flags).and_then(|options| rounds::run(&options)),
    };
    match played {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The conductor's options.
#[derive(Debug, Default)]
struct Options {
    /// True for two short rounds instead of five: a test that everything works, without useful figures.
    quick: bool,
    /// The folder of the buffers; must be on a real disk.
    dir: Option<PathBuf>,
}

fn options(flags: &[&str]) -> io::Result<Options> {
    let mut options = Options::default();
    let mut flags = flags.iter();
    while let Some(flag) = flags.next() {
        match *flag {
            "--bench" => {}
            "--quick" => options.quick = true,
            "--dir" => options.dir = flags.next().map(PathBuf::from),
            other => {
                return Err(io::Error::other(format!("unknown flag {other}; there are --quick and --dir PATH")));
            }
        }
    }
    Ok(options)
}
