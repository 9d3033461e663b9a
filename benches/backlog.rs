//! The cost of an event over a growing backlog: CPU, latency, memory, disk and the time to open.
//!
//! `cargo bench --bench backlog -- --events 10000000` (`--bytes 1536 --destinations 1 --fsync group|os|memory
//! --dir DIR`). 64 producers append events with dedup keys, and no destination takes any. Each step is a process of its
//! own: it opens the store of the last step, appends its first event, fills up to the step, and measures over the
//! next events. So memory is the store's alone, and opening is measured as in a restart.
//!
//! CPU is the kernel's accounting of the whole process; its producers cost the same at every step. A second may or may
//! not include a compaction, so a million events are measured, and the average since the last step stands beside them.
//! An open by the engine alone shows the engine's part of the opening.
//!
//! The rows are minutes apart, and a shared machine changes within minutes. So the ratio that counts is measured at the
//! end, in pairs: one process holds open the deep store and a store without a backlog, and appends as many events to
//! each in turns, measured until the engine is idle. Between the pairs a destination takes all events of the second
//! store, which so remembers delivery ids and merges tables like a store in long use. The median of the pairs is the
//! figure. The folder is removed at the end.
#![expect(clippy::print_stdout, reason = "the table is the product")]
#![expect(clippy::print_stderr, reason = "progress is for whoever waits")]
#![expect(clippy::disallowed_methods, reason = "a benchmark lives by the real clock")]

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hookgate::buffer::{Buffer, BufferParams, Committed, Fsync, Keep};
use hookgate::clock::{Clock, SystemClock};
use hookgate::event::{DedupKey, Dispatch, Event, EventData, EventId, HeaderBytes};
use hookgate::outcome::Settled;
use hookgate::provider::Verified;

/// The gateway's allocator, so that memory is comparable.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const PRODUCERS: u64 = 64;
/// The events of one measurement, so many that every row includes several compactions of the engine.
const WINDOW: u64 = 1_000_000;
/// The pairs of measurements of the two stores. An uncounted pair runs first: it gives the second store its past, and
/// warms the page cache.
const PAIRS: u64 = 5;
/// The turns of each store in a pair, and the events of a turn.
const TURNS: u64 = 6;
const TURN: u64 = 100_000;
/// The number of deliveries in flight.
const TAKEN: usize = 256;
/// The time without CPU use after which the engine counts as idle.
const REST: Duration = Duration::from_millis(300);
const STEPS: [u64; 5] = [0, 100_000, 1_000_000, 3_000_000, 10_000_000];
/// The default window of a source; no delivery id expires during a run.
const DEDUP_WINDOW: Duration = Duration::from_hours(24);
/// The kernel's tick of CPU time: 1/100 s towards user space on every supported Linux.
const TICK_US: f64 = 10_000.0;
const MIB: f64 = 1_048_576.0;

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    // Cargo passes `--bench` with `cargo bench` only; `cargo test --all-targets` must not wait for minutes.
    if !args.iter().any(|arg| arg == "--bench") {
        println!("A benchmark: run cargo bench --bench backlog.");
        return ExitCode::SUCCESS;
    }
    let done = Options::parse(&args).and_then(|options| match options.step {
        Some(step) => run_step(&options, step),
        None if options.pairs => run_pairs(&options),
        None => conduct(&options, &args),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

#[derive(Debug)]
struct Options {
    events: u64,
    bytes: usize,
    destinations: usize,
    fsync: Fsync,
    dir: PathBuf,
    /// The number of events that this process fills up to before it measures; set by the conductor.
    step: Option<u64>,
    /// True when this process fills up missing events and measures the pairs; set by the conductor, or by hand.
    pairs: bool,
}

impl Options {
    fn parse(args: &[String]) -> io::Result<Self> {
        let fsync = match value(args, "--fsync").unwrap_or("group") {
            "group" => Fsync::Group,
            "os" => Fsync::Os,
            "memory" => Fsync::Memory,
            other => return Err(io::Error::other(format!("--fsync {other}: group, os or memory"))),
        };
        let dir = value(args, "--dir").map_or_else(default_dir, PathBuf::from);
        Ok(Self {
            events: number(args, "--events")?.unwrap_or(10_000_000),
            bytes: number(args, "--bytes")?.unwrap_or(1536),
            destinations: number(args, "--destinations")?.unwrap_or(1),
            fsync,
            dir,
            step: number(args, "--step")?,
            pairs: args.iter().any(|arg| arg == "--pairs"),
        })
    }

    fn names(&self) -> Vec<Arc<str>> {
        (0..self.destinations).map(|number| Arc::from(format!("service-{number}"))).collect()
    }
}

fn default_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/backlog")
}

fn value<'a>(args: &'a [String], flag: &str) -> Option<&'a str> {
    let at = args.iter().position(|arg| arg == flag)?;
    args.get(at + 1).map(String::as_str)
}

fn number<T: FromStr>(args: &[String], flag: &str) -> io::Result<Option<T>> {
    let wrong = |_not_a_number| io::Error::other(format!("{flag} takes a number"));
    value(args, flag).map(|text| text.parse().map_err(wrong)).transpose()
}

/// Runs every step in a process of its own, and prints one table.
fn conduct(options: &Options, args: &[String]) -> io::Result<()> {
    let store = options.dir.join("store");
    if store.exists() {
        return Err(io::Error::other(format!("{} is there already", store.display())));
    }
    let Options { bytes, destinations, fsync, .. } = options;
    println!(
        "{PRODUCERS} producers, {bytes} bytes of body, {destinations} destinations that take nothing, fsync {fsync:?}"
    );
    println!("{HEADINGS}");
    // The last step runs twice: the second run fills nothing, and opens the store of the first.
    let steps = STEPS.into_iter().filter(|step| *step < options.events).chain([options.events; 2]);
    let measured = steps.into_iter().try_fold(None, |first: Option<f64>, step| {
        let line = child(args, &["--step", &step.to_string()])?;
        if step == 0 {
            fs::remove_dir_all(&store)?;
        }
        let cpu = line.split_whitespace().nth(1).and_then(|text| text.parse::<f64>().ok()).unwrap_or(f64::NAN);
        let first = first.unwrap_or(cpu);
        println!("{line} {:>7.2}", cpu / first);
        Ok::<_, io::Error>(Some(first))
    });
    let pairs = measured.and_then(|_first| child(args, &["--pairs"]));
    fs::remove_dir_all(&store)?;
    println!("{}", pairs?);
    Ok(())
}

const HEADINGS: &str = "   backlog  CPU µs  since  events/s  p50 ms  p99 ms  max ms  write×  RSS MiB  open ms  engine ms  opened MiB  disk MiB   ratio";

fn child(args: &[String], part: &[&str]) -> io::Result<String> {
    let output = Command::new(env::current_exe()?)
        .args(args)
        .args(part)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(io::Error::other(format!("{} ended with {}", part.join(" "), output.status)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}

/// The kernel's counts for this process so far.
#[derive(Clone, Copy, Debug)]
struct Usage {
    cpu_us: f64,
    written: f64,
    rss_mib: f64,
    at: Instant,
}

impl Usage {
    fn now() -> io::Result<Self> {
        let stat = fs::read_to_string("/proc/self/stat")?;
        // The command's name stands in brackets and may hold spaces; utime and stime are fields 14 and 15.
        let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks: f64 =
            after_name.split_whitespace().skip(11).take(2).filter_map(|text| text.parse::<f64>().ok()).sum();
        Ok(Self {
            cpu_us: ticks * TICK_US,
            written: field("/proc/self/io", "write_bytes:")?,
            rss_mib: field("/proc/self/status", "VmRSS:")? / 1024.0,
            at: Instant::now(),
        })
    }
}

fn field(file: &str, name: &str) -> io::Result<f64> {
    let text = fs::read_to_string(file)?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next()).and_then(|number| number.parse().ok());
    number.ok_or_else(|| io::Error::other(format!("{file} has no {name}")))
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn run_step(options: &Options, step: u64) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let store = options.dir.join("store");
    let engine = time_engine(&store)?;
    let begun = Instant::now();
    let buffer = open(options, &store)?;
    let before = runtime.block_on(produce(&buffer, options, 1, true))?;
    let opened = begun.elapsed();
    let at_open = Usage::now()?;
    // The backlog is the queue of a destination.
    let found = buffer.depth("service-0").ready.saturating_sub(1);
    eprintln!("{step}: found {found}, the first append took {} ms", before.first().copied().unwrap_or(0) / 1000);
    let to_fill = step.saturating_sub(found);
    runtime.block_on(produce(&buffer, options, to_fill, false))?;
    let start = Usage::now()?;
    let mut took = runtime.block_on(produce(&buffer, options, WINDOW, true))?;
    let end = Usage::now()?;
    took.sort_unstable();
    let at = |percent: usize| {
        let index = (took.len() * percent / 100).min(took.len().saturating_sub(1));
        took.get(index).map_or(f64::NAN, |us| f64::from(*us) / 1000.0)
    };
    let since = if to_fill >= WINDOW { (start.cpu_us - at_open.cpu_us) / to_fill as f64 } else { f64::NAN };
    let payload = WINDOW as f64 * options.bytes as f64;
    let rate = WINDOW as f64 / (end.at - start.at).as_secs_f64();
    is_accounted_for(&buffer, options, found.max(step) + WINDOW + 1)?;
    runtime.block_on(buffer.close());
    println!(
        "{:>10} {:>7.2} {since:>6.2} {rate:>9.0} {:>7.2} {:>7.2} {:>7.0} {:>7.2} {:>8.0} {:>8.0} {:>10.0} {:>11.0} {:>9.0}",
        found.max(step),
        (end.cpu_us - start.cpu_us) / WINDOW as f64,
        at(50),
        at(99),
        at(100),
        (end.written - start.written) / payload,
        end.rss_mib,
        opened.as_secs_f64() * 1000.0,
        engine.as_secs_f64() * 1000.0,
        at_open.rss_mib,
        disk_bytes(&store)? as f64 / MIB,
    );
    Ok(())
}

/// Measures the deep store against a store without a backlog, in turns.
#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn run_pairs(options: &Options) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let deep = open(options, &options.dir.join("store"))?;
    let other_dir = options.dir.join("other");
    let other = open(options, &other_dir)?;
    let queued = || deep.depth("service-0").ready;
    runtime.block_on(produce(&deep, options, options.events.saturating_sub(queued()), false))?;
    let mut begun_at = 0;
    let mut ratios = Vec::new();
    for pair in 0..=PAIRS {
        runtime.block_on(deliver(&other, options));
        rest()?;
        if pair == 1 {
            begun_at = queued();
        }
        let (mut empty, mut full) = (0.0, 0.0);
        for turn in 0..TURNS {
            // The two stores take turns at being first.
            if turn % 2 == 0 {
                empty += cost(&runtime, &other, options)?;
            }
            full += cost(&runtime, &deep, options)?;
            if turn % 2 == 1 {
                empty += cost(&runtime, &other, options)?;
            }
        }
        let of_one = |cpu_us: f64| cpu_us / (TURNS * TURN) as f64;
        eprintln!("pair {pair}: {:.2} and {:.2} µs, {:.3}", of_one(empty), of_one(full), full / empty);
        if pair > 0 {
            ratios.push(full / empty);
        }
    }
    let ended_at = queued();
    is_accounted_for(&deep, options, ended_at)?;
    is_accounted_for(&other, options, TURNS * TURN)?;
    runtime.block_on(async { tokio::join!(deep.close(), other.close()) });
    fs::remove_dir_all(&other_dir)?;
    ratios.sort_by(f64::total_cmp);
    let at = |index: usize| ratios.get(index).copied().unwrap_or(f64::NAN);
    let (low, median, high) = (at(0), at(ratios.len() / 2), at(ratios.len() - 1));
    println!("{PAIRS} pairs, nothing and {begun_at} to {ended_at} waiting: ratio {median:.2} ({low:.2}–{high:.2})");
    Ok(())
}

/// Checks that the counters of every destination balance, and that `waiting` deliveries are queued for each.
fn is_accounted_for(buffer: &Buffer, options: &Options, waiting: u64) -> io::Result<()> {
    for name in options.names() {
        let book = buffer.counters(&name);
        if !book.is_balanced() || book.queued != waiting {
            return Err(io::Error::other(format!("{waiting} should wait for {name}, and its book says {book:?}")));
        }
    }
    Ok(())
}

/// Delivers and removes all waiting events.
async fn deliver(buffer: &Buffer, options: &Options) {
    let keep = Keep { delivered: Duration::ZERO, dead: Duration::ZERO };
    for name in options.names() {
        while buffer.depth(&name).ready > 0 {
            for delivery in buffer.take_now(&name, TAKEN).await {
                buffer.settle(delivery, Settled::Delivered, keep, None).await;
            }
        }
    }
}

/// Measures the CPU of one turn, including the engine's later work.
fn cost(runtime: &tokio::runtime::Runtime, buffer: &Buffer, options: &Options) -> io::Result<f64> {
    let start = Usage::now()?;
    runtime.block_on(produce(buffer, options, TURN, false))?;
    rest()?;
    Ok(Usage::now()?.cpu_us - start.cpu_us)
}

/// Waits until the process uses no CPU any more.
fn rest() -> io::Result<()> {
    let mut last = Usage::now()?.cpu_us;
    loop {
        std::thread::sleep(REST);
        let now = Usage::now()?.cpu_us;
        if now - last < TICK_US {
            return Ok(());
        }
        last = now;
    }
}

fn open(options: &Options, dir: &Path) -> io::Result<Buffer> {
    let params =
        BufferParams { dir: dir.to_owned(), bytes_max: u64::MAX, fsync: options.fsync, quarantine_keep: DEDUP_WINDOW };
    Buffer::open(params, &options.names(), Arc::new(SystemClock), Box::new(|_| {})).map_err(io::Error::other)
}

/// Measures the time that the engine alone takes to open a store.
fn time_engine(dir: &Path) -> io::Result<Duration> {
    if !dir.exists() {
        return Ok(Duration::ZERO);
    }
    let begun = Instant::now();
    let engine = fjall::Database::builder(dir).cache_size(1024 * 1024).worker_threads(1).open();
    let took = begun.elapsed();
    drop(engine.map_err(io::Error::other)?);
    Ok(took)
}

/// Appends `count` events from all producers. If `timed`, returns the latencies in microseconds; else none, because ten
/// million latencies would count as memory of the store.
async fn produce(buffer: &Buffer, options: &Options, count: u64, timed: bool) -> io::Result<Vec<u32>> {
    let left = Arc::new(AtomicU64::new(count));
    let names = options.names();
    let filling = Bytes::from((b' '..b'z').cycle().take(options.bytes).collect::<Vec<u8>>());
    let mut producers = tokio::task::JoinSet::new();
    for _ in 0..PRODUCERS {
        let (buffer, names, filling, left) = (buffer.clone(), names.clone(), filling.clone(), Arc::clone(&left));
        producers.spawn(async move {
            let mut took = Vec::new();
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                let event = event(&names, &filling);
                let begun = Instant::now();
                match buffer.append(event).await {
                    Ok(Committed::Stored) if !timed => {}
                    Ok(Committed::Stored) => took.push(u32::try_from(begun.elapsed().as_micros()).unwrap_or(u32::MAX)),
                    other => return Err(io::Error::other(format!("an append was answered {other:?}"))),
                }
            }
            Ok(took)
        });
    }
    let mut took = Vec::new();
    while let Some(produced) = producers.join_next().await {
        took.extend(produced.map_err(io::Error::other)??);
    }
    Ok(took)
}

/// Creates an event as a provider sends it: a random id, the usual headers.
fn event(names: &[Arc<str>], filling: &Bytes) -> Event {
    let now = SystemClock.now();
    let key: [u8; 16] = rand::random();
    let header = |name: &str, value: &'static str| (name.to_owned(), HeaderBytes(Bytes::from_static(value.as_bytes())));
    let copy = |name: &Arc<str>| Dispatch {
        route: "all".into(),
        destination: Arc::clone(name),
        balance: None,
        order: None,
        shaped: false,
    };
    let data = EventData {
        id: EventId::at(now, rand::random()),
        source: "bench".into(),
        received_at_ms: now.unix_ms(),
        event_type: Some("payment.succeeded".into()),
        delivery_id: Some("evt_1MqqbKLt4dXK03v5qaIbiNCC".into()),
        verified_by: None,
        method: "POST".into(),
        target: "/in/bench".into(),
        headers: vec![
            header("content-type", "application/json"),
            header("user-agent", "Bench/1.0 (+https://example.com/webhooks)"),
            header("x-signature", "t=1700000000,v1=5257a869e7ecebeda32affa62cdca3fa51cad7e77a0e56ff536d0ce8e108d8bd"),
        ],
        copies: names.iter().map(copy).collect(),
        problems: Vec::new(),
        unverified: None,
        params: Vec::new(),
        host: None,
        sender: None,
        body: filling.clone(),
    };
    Event::new(Verified::by_choice("bench"), data, Some(DedupKey { key, body: Some(key), window: DEDUP_WINDOW }))
}

fn disk_bytes(dir: &Path) -> io::Result<u64> {
    let mut total = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        total += if entry.file_type()?.is_dir() { disk_bytes(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(total)
}
