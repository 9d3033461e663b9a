//! The conductor: measures all rows, round after round, and prints the results.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::Options;
use crate::measure::{Bench, Times};
use crate::process::{catch_signals, stop_if_interrupted};
use crate::table::Results;
use crate::variant::VARIANTS;

const TMPFS_MAGIC: i64 = 0x0102_1994;

/// The number and the limits of rounds.
struct Schedule {
    rounds: usize,
    /// The number of rounds that also measure the rows about the size of the event.
    size_rounds: usize,
    times: Times,
    /// The time after which no measurement begins.
    total_max: Duration,
}

const FULL: Schedule = Schedule {
    rounds: 5,
    size_rounds: 3,
    times: Times {
        warm_up: Duration::from_secs(1),
        measured: Duration::from_secs(4),
        drain_max: Duration::from_secs(15),
    },
    total_max: Duration::from_mins(6),
};

const QUICK: Schedule = Schedule {
    rounds: 2,
    size_rounds: 1,
    times: Times {
        warm_up: Duration::from_millis(500),
        measured: Duration::from_millis(1500),
        drain_max: Duration::from_secs(8),
    },
    total_max: Duration::from_secs(90),
};

/// Measures all rows and prints the table; fails when a row is missing.
pub(crate) fn run(options: &Options) -> io::Result<()> {
    let schedule = if options.quick { QUICK } else { FULL };
    check_machine()?;
    catch_signals()?;
    let dir = tempfile::Builder::new().prefix("hookgate-bench-").tempdir_in(disk(options)?)?;
    let bench = Bench::start(dir.path(), schedule.times)?;
    let results = measure_all(&bench, &schedule)?;
    println!("{results}");
    drop(bench);
    dir.close()?;
    if results.is_complete() { Ok(()) } else { Err(io::Error::other("not every row could be measured")) }
}

fn measure_all(bench: &Bench, schedule: &Schedule) -> io::Result<Results> {
    let mut results = Results::default();
    if let Some(first) = VARIANTS.first() {
        let sink = bench.measure_sink(first)?;
        eprintln!("sink without a server between: {:.0} req/s", sink.requests_per_s());
    }
    let begun = Instant::now();
    for round in 1..=schedule.rounds {
        for variant in VARIANTS.iter().filter(|variant| round <= schedule.size_rounds || !variant.is_about_size()) {
            stop_if_interrupted()?;
            if begun.elapsed() > schedule.total_max {
                results.note("the time was up before all rounds were done");
                return Ok(results);
            }
            if results.has_failed(variant.name) {
                continue;
            }
            let outcome = bench.measure(variant);
            stop_if_interrupted()?;
            match &outcome {
                Ok(sample) => eprintln!("round {round}: {}: {:.1} µs of CPU", variant.name, sample.cpu_us),
                Err(error) => eprintln!("round {round}: {}: {error}", variant.name),
            }
            results.add(variant, round, outcome);
        }
    }
    Ok(results)
}

/// Checks for two cores and two tools of util-linux, which the method needs.
fn check_machine() -> io::Result<()> {
    if thread::available_parallelism()?.get() < 2 {
        return Err(io::Error::other("two cores are needed: one for the server, one for its peers"));
    }
    for tool in ["setpriv", "taskset"] {
        let tried = Command::new(tool).arg("--version").stdout(Stdio::null()).status();
        tried.map_err(|error| io::Error::other(format!("{tool} of util-linux is needed: {error}")))?;
    }
    Ok(())
}

/// Returns a directory on a disk, because a sync costs nothing on tmpfs and figures about durability would be wrong.
fn disk(options: &Options) -> io::Result<PathBuf> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let candidates = match &options.dir {
        Some(dir) => vec![dir.as_path()],
        None => vec![Path::new("/var/tmp"), target],
    };
    for dir in candidates {
        if fs::metadata(dir).is_ok() && rustix::fs::statfs(dir)?.f_type != TMPFS_MAGIC {
            return Ok(dir.to_owned());
        }
    }
    Err(io::Error::other("no directory on a disk: give one with --dir PATH"))
}
