//! Child processes that are pinned to a core, measured from outside, and never outlive the conductor.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The core of the server under test.
pub(crate) const SERVER_CORE: &str = "0";
/// The core of all other processes.
pub(crate) const PEER_CORE: &str = "1";

const START_MAX: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(20);
/// The kernel's tick of CPU time: 1/100 s towards user space on every supported Linux.
const TICK_US: f64 = 10_000.0;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Turns SIGINT and SIGTERM into an error of the next step, so that every guard cleans up.
pub(crate) fn catch_signals() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};

    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let (mut interrupt, mut terminate) = {
        let _entered = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        });
        INTERRUPTED.store(true, Ordering::Relaxed);
    });
    Ok(())
}

/// Returns an error after a signal.
pub(crate) fn stop_if_interrupted() -> io::Result<()> {
    if INTERRUPTED.load(Ordering::Relaxed) { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) }
}

/// Waits until `is_done` or until `limit` has passed; returns whether it was done.
pub(crate) fn wait_until(
    limit: Duration,
    pause: Duration,
    mut is_done: impl FnMut() -> io::Result<bool>,
) -> io::Result<bool> {
    let begun = Instant::now();
    loop {
        stop_if_interrupted()?;
        if is_done()? {
            return Ok(true);
        }
        if begun.elapsed() > limit {
            return Ok(false);
        }
        thread::sleep(pause);
    }
}

/// Returns a command that runs `program` on `core` and dies with the thread that starts it.
pub(crate) fn pinned(core: &str, program: &Path, args: &[impl AsRef<OsStr>]) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "taskset", "-c", core]).arg(program).args(args).stdin(Stdio::null());
    command
}

/// A running server; killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Starts `command`; its output goes to `log`.
    pub(crate) fn start(mut command: Command, log: PathBuf) -> io::Result<Self> {
        let said = File::create(&log)?;
        let child = command.stdout(said.try_clone()?).stderr(said).spawn()?;
        Ok(Self { child, log })
    }

    /// Waits until the server takes connections at `address`.
    pub(crate) fn wait_for(&mut self, address: SocketAddr) -> io::Result<()> {
        let is_up = wait_until(START_MAX, POLL, || {
            if let Some(status) = self.child.try_wait()? {
                return Err(io::Error::other(format!("it ended at once ({status}): {}", self.last_words())));
            }
            Ok(TcpStream::connect(address).is_ok())
        })?;
        if is_up { Ok(()) } else { Err(io::Error::other(format!("{address} does not answer: {}", self.last_words()))) }
    }

    /// Returns the CPU time of all threads so far, ended ones included, in microseconds.
    pub(crate) fn cpu_us(&self) -> io::Result<f64> {
        let stat = fs::read_to_string(self.proc("stat"))?;
        // The command's name stands in brackets and may hold spaces; utime and stime are fields 14 and 15.
        let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let mut times = after_name.split_whitespace().skip(11).map(str::parse::<f64>);
        match (times.next(), times.next()) {
            (Some(Ok(user)), Some(Ok(system))) => Ok((user + system) * TICK_US),
            _ => Err(io::Error::other("cannot read the CPU time of the server")),
        }
    }

    /// Returns the resident memory in MB.
    pub(crate) fn rss_mb(&self) -> io::Result<f64> {
        let status = fs::read_to_string(self.proc("status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib: Option<f64> = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        Ok(kib.unwrap_or_default() / 1024.0)
    }

    fn proc(&self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{file}", self.child.id()))
    }

    fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n  ")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            eprintln!("process {} could not be ended: {error}", self.child.id());
        }
    }
}

/// Returns an address on the loopback that was free a moment ago.
pub(crate) fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}
