//! `hookgate run`: the gateway.
//!
//! Signals: SIGTERM and SIGINT stop it in order, a second one at once; SIGHUP reads the file anew, all or nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};

use super::{Exit, check, load, log, terminal};
use crate::config::check::Checked;
use crate::server::{Server, Setup, StartError, Surroundings};
use crate::telemetry::Telemetry;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The configuration.
    #[arg(default_value = "routes.yaml", env = "HOOKGATE_CONFIG")]
    file: PathBuf,
}

pub(crate) fn run(args: &Args) -> Exit {
    keep_secrets_out_of_core_dumps();
    raise_open_files();
    let Some((setup, checked)) = read(&args.file) else { return Exit::Config };
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
    runtime.block_on(serve(setup, telemetry, &args.file))
}

/// Reads the file; prints what is wrong with it.
fn read(file: &Path) -> Option<(Setup, Checked)> {
    let mut checked = load::load_or_tell(file)?;
    check::report(&checked);
    let setup = checked.setup.take();
    if setup.is_none() {
        terminal::tell(format!("hookgate: {} is invalid; nothing was started", file.display()));
    }
    setup.map(|setup| (setup, checked))
}

async fn serve(setup: Setup, telemetry: Telemetry, file: &Path) -> Exit {
    let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::hangup()))
    else {
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
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => {}
            () = server.rules_are_stale() => {}
        }
        reload(&server, file).await;
    }
    tracing::info!("stopping");
    tokio::select! {
        () = server.stop() => {
            tracing::info!("stopped");
            Exit::Ok
        }
        _ = terminate.recv() => Exit::Failed,
        _ = interrupt.recv() => Exit::Failed,
    }
}

async fn reload(server: &Server, file: &Path) {
    let file: Arc<Path> = Arc::from(file);
    // Reading secrets and compiling schemas may take a while; requests go on meanwhile.
    let read = tokio::task::spawn_blocking(move || read(&file)).await;
    match read {
        Ok(Some((setup, _))) => {
            server.reload(setup).await;
        }
        Ok(None) => {
            tracing::error!("the file is invalid; the old rules stay in force");
            server.refuse_reload();
        }
        Err(error) => {
            tracing::error!(%error, "the file could not be read; the old rules stay in force");
            server.refuse_reload();
        }
    }
}

/// Connections are files: the soft limit is a default for small programs.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    if setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_err() {
        terminal::tell("hookgate: the limit of open files could not be raised");
    }
}

/// No core dumps, and no reading of our memory by other processes of the same user.
fn keep_secrets_out_of_core_dumps() {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    if setrlimit(Resource::Core, none).is_err() || set_dumpable_behavior(DumpableBehavior::NotDumpable).is_err() {
        terminal::tell("hookgate: core dumps could not be turned off");
    }
}
