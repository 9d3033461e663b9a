//! `hookgate selftest`: proves on the user's own disk that answered events are kept.
//!
//! It measures the disk, starts a gateway as a child process in a folder of its own, sends signed events to it, kills
//! it with SIGKILL at random moments, and starts it again. Then it looks for every event that was answered with an id
//! at a receiver of its own, byte for byte. The receiver refuses everything in every other life of the gateway, so that
//! at a kill there are events to lose. Events delivered twice are counted and are no fault: a kill may fall between a
//! delivery and its record.
//!
//! Kills, rate, events and the total time are bounded. It cannot cut the power: the disk's behaviour at a sync is
//! described in words and not tested. `--fsync memory` makes the test fail on purpose, to prove that it can.

mod accounts;
mod disk;
mod gateway;
mod report;
mod sender;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::accounts::Accounts;
use self::gateway::{Figures, GatewayProcess, NoGateway, Site};
use self::report::SelftestReport;
use self::sender::LoadSender;
use super::providers::OutputFormat;
use super::{Exit, receiver, terminal};
use crate::buffer::Fsync;
use crate::deliver::Client;

/// The number of sending connections.
const CONNECTIONS: u32 = 8;
/// The range of a gateway's life before a kill, in milliseconds.
const LIFE_MS: std::ops::Range<u64> = 20..800;
/// The limit of time after the last start, until everything has arrived.
const DRAIN: Duration = Duration::from_mins(2);
/// The limit of time for the whole run: for measuring and draining, and for each kill.
const DEADLINE: Duration = Duration::from_mins(5);
const DEADLINE_PER_KILL: Duration = Duration::from_secs(5);

/// The point at which the gateway under test answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Mode {
    /// After a sync, as promised.
    Group,
    /// After the write.
    Os,
    /// Before the write. This loses events, so the test fails.
    Memory,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 hookgate selftest\n\
    \x20 hookgate selftest --dir /var/lib/hookgate --kill 50\n\
    \x20 hookgate selftest --fsync memory\n\n\
    With `--fsync memory` the gateway answers before the write: events are lost, and the test exits with 1.")]
pub(crate) struct Args {
    /// The number of kills.
    #[arg(long, default_value_t = 20, env = "HOOKGATE_KILL", value_parser = clap::value_parser!(u32).range(0..=1000))]
    kill: u32,
    /// A folder on the disk that is tested. The test works in a new folder inside and removes it.
    #[arg(long, default_value = ".", env = "HOOKGATE_DIR")]
    dir: PathBuf,
    /// The number of events a second.
    #[arg(long, default_value_t = 300, env = "HOOKGATE_RATE", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
    /// The format of the output.
    #[arg(long, value_enum, default_value_t, env = "HOOKGATE_FORMAT")]
    format: OutputFormat,
    /// The point at which the gateway under test answers, to see the test fail.
    #[arg(long, value_enum, default_value = "group", hide = true, env = "HOOKGATE_FSYNC")]
    fsync: Mode,
}

pub(crate) fn run(args: &Args) -> Exit {
    let folder = match tempfile::Builder::new().prefix("hookgate-selftest-").tempdir_in(&args.dir) {
        Ok(folder) => folder,
        Err(error) => {
            terminal::tell(format!("hookgate: cannot make a folder in {}: {error}", args.dir.display()));
            return Exit::Failed;
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            terminal::tell(format!("hookgate: cannot start threads: {error}"));
            return Exit::Failed;
        }
    };
    let limit = DEADLINE.saturating_add(DEADLINE_PER_KILL.saturating_mul(args.kill));
    let exit = runtime.block_on(async {
        tokio::select! {
            exit = test(args, folder.path()) => exit,
            () = tokio::time::sleep(limit) => {
                terminal::tell(format!("hookgate: the test did not end within {} s; nothing is shown", limit.as_secs()));
                Exit::Failed
            }
            _ = tokio::signal::ctrl_c() => {
                terminal::tell("hookgate: interrupted; nothing is shown");
                Exit::Failed
            }
        }
    });
    drop(runtime);
    let path = folder.path().to_owned();
    if let Err(error) = folder.close() {
        terminal::tell(format!("hookgate: {} could not be removed: {error}", path.display()));
    }
    exit
}

async fn test(args: &Args, folder: &Path) -> Exit {
    let disk = match disk::measure(folder) {
        Ok(disk) => disk,
        Err(error) => {
            terminal::tell(format!("hookgate: cannot write and sync in {}: {error}", args.dir.display()));
            return Exit::Failed;
        }
    };
    let fsync = match args.fsync {
        Mode::Group => Fsync::Group,
        Mode::Os => Fsync::Os,
        Mode::Memory => Fsync::Memory,
    };
    let ledger = Arc::new(Accounts::default());
    let books = Arc::clone(&ledger);
    let (receiver, _serving) = match receiver::listen(move |id, body| books.arrives(id, body)).await {
        Ok(listening) => listening,
        Err(error) => {
            terminal::tell(format!("hookgate: the receiver cannot listen: {error}"));
            return Exit::Failed;
        }
    };
    let site = match Site::new(folder, receiver, fsync) {
        Ok(site) => site,
        Err(error) => {
            terminal::tell(format!("hookgate: cannot prepare {}: {error}", folder.display()));
            return Exit::Failed;
        }
    };
    let began = Instant::now();
    let lived = match live(args, &site, &ledger).await {
        Ok(lived) => lived,
        Err(problem) => {
            terminal::tell(format!("hookgate: {problem}"));
            return Exit::Failed;
        }
    };
    let report = SelftestReport {
        folder: &args.dir,
        disk,
        fsync,
        rate: args.rate,
        kills: args.kill,
        took: lived.loaded_until.saturating_duration_since(began),
        restarts: lived.restarts,
        commits: lived.commits,
        balance: ledger.balance(),
    };
    match args.format {
        OutputFormat::Text => terminal::say(report.text()),
        OutputFormat::Json => terminal::say(report.json().to_string()),
    }
    if report.is_kept() { Exit::Ok } else { Exit::Failed }
}

/// The measurements of all lives of the gateway.
struct Lived {
    restarts: Vec<Duration>,
    commits: Figures,
    loaded_until: Instant,
}

/// Runs the lives of the gateway: load and kills, then a last one in which everything must arrive.
async fn live(args: &Args, site: &Site, ledger: &Arc<Accounts>) -> Result<Lived, NoGateway> {
    let client = Client::new();
    let mut gateway = site.start().await?;
    let (tell, address) = watch::channel(gateway.public);
    let mut senders = JoinSet::new();
    let rules = Arc::new(site.rules()?);
    for _ in 0..CONNECTIONS {
        let sender = LoadSender {
            rules: Arc::clone(&rules),
            ledger: Arc::clone(ledger),
            address: address.clone(),
            pause: Duration::from_secs(1) * CONNECTIONS / args.rate,
        };
        senders.spawn(sender.run());
    }
    let mut lived = Lived { restarts: Vec::new(), commits: Figures::default(), loaded_until: Instant::now() };
    for at in 0..args.kill {
        ledger.is_taking.store(at % 2 == 1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(rand::random_range(LIFE_MS))).await;
        lived.count(gateway.figures(&client).await);
        gateway.kill().await.map_err(NoGateway::Spawn)?;
        if at % 5 == 4 {
            kill_while_it_starts(site).await?;
        }
        gateway = site.start().await?;
        lived.restarts.push(gateway.started_in);
        tell.send_replace(gateway.public);
    }
    if args.kill == 0 {
        tokio::time::sleep(Duration::from_millis(LIFE_MS.end)).await;
    }
    lived.loaded_until = Instant::now();
    // A sender that waits for an answer has not noted its event yet; the others are between two events.
    senders.shutdown().await;
    ledger.is_taking.store(true, Ordering::Relaxed);
    lived.count(drain(&gateway, &client).await);
    gateway.kill().await.map_err(NoGateway::Spawn)?;
    Ok(lived)
}

impl Lived {
    fn count(&mut self, figures: Option<Figures>) {
        let Some(figures) = figures else { return };
        self.commits.commits += figures.commits;
        self.commits.events += figures.events;
        self.commits.commit_secs += figures.commit_secs;
    }
}

/// Kills a gateway before it listens, while it recovers from the last kill.
async fn kill_while_it_starts(site: &Site) -> Result<(), NoGateway> {
    let mut child = site.spawn()?;
    tokio::time::sleep(Duration::from_millis(rand::random_range(0..60))).await;
    child.kill().await.map_err(NoGateway::Spawn)
}

/// Waits until the gateway has nothing left to deliver: an event that has not arrived then never will.
async fn drain(gateway: &GatewayProcess, client: &Client) -> Option<Figures> {
    let began = Instant::now();
    loop {
        let figures = gateway.figures(client).await;
        if figures.is_some_and(|figures| figures.queued < 0.5) || began.elapsed() > DRAIN {
            return figures;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
