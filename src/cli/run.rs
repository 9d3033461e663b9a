//! `hookgate run`: the gateway.
//!
//! Signals: SIGTERM and SIGINT stop the gateway in order, a second one at once; SIGHUP reads the file anew (`renewal`).

use std::path::{Path, PathBuf};

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::renewal::Renewal;
use super::watch::{Prints, Watch};
use super::{Exit, check, load, log, terminal};
use crate::admin::ReloadAsk;
use crate::config::check::CheckedFile;
use crate::server::{Server, Setup, StartError, Surroundings};
use crate::telemetry::Telemetry;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 hookgate run\n\
    \x20 hookgate run routes.yaml --watch")]
pub(crate) struct Args {
    /// The configuration file; `-` is stdin.
    #[arg(default_value = "routes.yaml", env = "HOOKGATE_CONFIG")]
    file: PathBuf,
    /// Read the file again whenever the file, or a file that it names, changes.
    #[arg(long, env = "HOOKGATE_WATCH")]
    watch: bool,
}

pub(crate) fn run(args: &Args) -> Exit {
    keep_secrets_out_of_core_dumps();
    raise_open_files();
    if args.watch && load::is_stdin(&args.file) {
        terminal::tell("hookgate: stdin cannot be watched; write --watch with the name of a file");
        return Exit::Usage;
    }
    let Some((setup, checked, prints)) = read(&args.file) else { return Exit::Config };
    let telemetry = Telemetry::new();
    let _logging = log::start(checked.log.as_ref(), &telemetry);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(setup.process.threads)
        .thread_name("hookgate")
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            terminal::tell(format!("hookgate: cannot start threads: {error}"));
            return Exit::Failed;
        }
    };
    let prints = args.watch.then_some(prints);
    let exit = runtime.block_on(async {
        let renewal = Renewal::new(&args.file, checked.log, prints.map(Watch::new));
        serve(setup, telemetry, renewal).await
    });
    // A file that cannot be read to its end must not block the end of the process.
    runtime.shutdown_background();
    exit
}

/// Reads the file; prints its problems.
fn read(file: &Path) -> Option<(Setup, CheckedFile, Prints)> {
    let (checked, prints) = load::load_with_prints(file);
    let mut checked = load::or_tell(file, checked)?;
    check::report(&checked);
    let setup = checked.setup.take();
    if setup.is_none() {
        terminal::tell(format!("hookgate: {} is invalid; nothing was started", file.display()));
    }
    setup.map(|setup| (setup, checked, prints))
}

async fn serve(setup: Setup, telemetry: Telemetry, mut renewal: Renewal) -> Exit {
    let (Ok(mut stop), Ok(mut hangup)) = (StopSignals::listen(), signal(SignalKind::hangup())) else {
        terminal::tell("hookgate: cannot listen for signals");
        return Exit::Failed;
    };
    let fsync = setup.buffer.fsync;
    let server = match Server::start(setup, telemetry, Surroundings::default()).await {
        Ok(server) => server,
        Err(error) => {
            terminal::tell(format!("hookgate: {error}"));
            return match error {
                StartError::Tls { .. } => Exit::Config,
                StartError::Bind { .. } | StartError::Buffer(_) => Exit::Failed,
            };
        }
    };
    for (name, address) in server.addresses() {
        tracing::info!(listener = %name, %address, "listening");
    }
    tracing::info!(durability = fsync.durability(), "an accepted event");
    let asks = server.reload_asks();
    tokio::select! {
        () = stop.wait() => {}
        never = renew(&server, &mut renewal, &mut hangup, asks) => never,
    }
    tracing::info!("stopping");
    tokio::select! {
        () = server.stop() => {
            tracing::info!("stopped");
            Exit::Ok
        }
        () = stop.wait() => Exit::Failed,
        never = refuse(&mut hangup) => never,
    }
}

/// The signals that end the gateway.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next signal.
    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Reads the file anew for each reason, one after another. When it is cancelled, open requests get the answer that the
/// gateway stops.
async fn renew(
    server: &Server,
    renewal: &mut Renewal,
    hangup: &mut Signal,
    mut asks: tokio::sync::mpsc::Receiver<ReloadAsk>,
) -> ! {
    loop {
        let (because, ask) = tokio::select! {
            Some(()) = hangup.recv() => ("of SIGHUP", None),
            () = server.rules_are_stale() => ("a secret was handed over", None),
            () = renewal.files_changed() => ("a file has changed", None),
            Some(ask) = asks.recv() => ("it was asked for", Some(ask)),
        };
        tracing::info!(because, "reloading the configuration");
        let reloaded = renewal.reload(server).await;
        if let Some(ask) = ask {
            ask.answer(reloaded);
        }
    }
}

/// Answers signals for new rules while the gateway stops.
async fn refuse(hangup: &mut Signal) -> ! {
    while hangup.recv().await.is_some() {
        tracing::warn!("the file is not read anew: the gateway is stopping");
    }
    std::future::pending().await
}

/// Raises the limit of open files, because connections are files: the soft limit is a default for small programs.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    if setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_err() {
        terminal::tell("hookgate: the limit of open files could not be raised");
    }
}

/// Turns off core dumps, and the reading of our memory by other processes of the same user.
fn keep_secrets_out_of_core_dumps() {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    if setrlimit(Resource::Core, none).is_err() || set_dumpable_behavior(DumpableBehavior::NotDumpable).is_err() {
        terminal::tell("hookgate: core dumps could not be turned off");
    }
}
