//! The reload of a running gateway's file: on a signal, on a request to the admin listener, after a change of a file,
//! or because the gateway has written a secret itself.
//!
//! There is one reading at a time, all or nothing. A file that cannot be used changes nothing, and is reported in the
//! log, on stderr as `check` prints it, in the metrics, and to the requester. Secrets, schemas and certificates are
//! read with the file.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::watch::Watch;
use super::{check, load, terminal};
use crate::admin::Reloaded;
use crate::config::check::CheckedFile;
use crate::config::raw::Log;
use crate::config::{Severity, render};
use crate::server::{Applied, NotApplied, Server};

/// The limit of one reading: a disk that does not answer, or a pipe among the files, must not block the reload that
/// corrects the file.
const READING_MAX: Duration = Duration::from_secs(30);

/// The inputs of a reload.
#[derive(Debug)]
pub(super) struct Renewal {
    file: Arc<Path>,
    /// The log settings of the process, which hold until it ends.
    log: Option<Log>,
    watch: Option<Watch>,
}

impl Renewal {
    pub(super) fn new(file: &Path, log: Option<Log>, watch: Option<Watch>) -> Self {
        Self { file: Arc::from(file), log, watch }
    }

    /// Waits until a file that was read has changed; for ever without a watch. The wait may be cancelled and repeated.
    pub(super) async fn files_changed(&mut self) {
        match &mut self.watch {
            Some(watch) => watch.changed().await,
            None => std::future::pending().await,
        }
    }

    /// Reads the file and puts its rules in force. A cancelled reload has changed nothing.
    pub(super) async fn reload(&mut self, server: &Server) -> Reloaded {
        if load::is_stdin(&self.file) {
            return failed(server, "the rules came from stdin, which cannot be read again");
        }
        let file = Arc::clone(&self.file);
        // Reading secrets and compiling schemas may take a while; requests are served meanwhile.
        let read = tokio::task::spawn_blocking(move || {
            let (checked, prints) = load::load_with_prints(&file);
            match &checked {
                Ok(checked) => check::report(checked),
                Err(error) => terminal::tell(format!("hookgate: {}", unreadable(&file, error))),
            }
            (checked, prints)
        });
        let (checked, prints) = match tokio::time::timeout(READING_MAX, read).await {
            Ok(Ok(read)) => read,
            Err(_late) => return failed(server, "the files could not be read in time; the disk does not answer"),
            Ok(Err(error)) => return failed(server, &format!("the reading of the file broke off: {error}")),
        };
        if let Some(watch) = &mut self.watch {
            watch.were_read(prints);
        }
        match checked {
            Ok(checked) => self.put_in_force(checked, server).await,
            Err(error) => {
                let title = unreadable(&self.file, &error);
                tracing::error!(first = title, "the file is invalid; the old rules stay in force");
                server.refuse_reload();
                Reloaded::Invalid { title, problems: render::value(&[]) }
            }
        }
    }

    async fn put_in_force(&self, mut checked: CheckedFile, server: &Server) -> Reloaded {
        let problems = render::value(&checked.problems);
        let Some(setup) = checked.setup.take() else {
            return invalid(&checked, problems, server);
        };
        let Applied { mut needs_restart, backlogs } = match server.reload(setup).await {
            Ok(applied) => applied,
            Err(NotApplied::Stopping) => {
                tracing::warn!("the file is not read anew: the gateway is stopping");
                return Reloaded::Stopping;
            }
            Err(NotApplied::Buffer) => {
                let title = "the buffer cannot take new destinations now; the old rules stay in force";
                tracing::error!("{title}");
                return Reloaded::Failed { title: title.to_owned() };
            }
        };
        if checked.log != self.log {
            needs_restart.push("server.log".to_owned());
        }
        if !needs_restart.is_empty() {
            tracing::warn!(changes = needs_restart.join(", "), "these change at the next restart only");
        }
        let warnings = check::count(&checked.problems, Severity::Warning);
        tracing::info!(warnings, "new rules are in force");
        Reloaded::InForce { changes: needs_restart, warnings, problems, backlogs }
    }
}

fn unreadable(file: &Path, error: &std::io::Error) -> String {
    format!("cannot read {}: {error}", file.display())
}

fn invalid(checked: &CheckedFile, problems: serde_json::Value, server: &Server) -> Reloaded {
    let errors = check::count(&checked.problems, Severity::Error);
    let first = checked.problems.iter().find(|problem| problem.severity == Severity::Error);
    let first = first.map(|problem| format!("{}: {}", problem.place(), problem.message)).unwrap_or_default();
    tracing::error!(problems = errors, first, "the file is invalid; the old rules stay in force");
    server.refuse_reload();
    let errors = if errors == 1 { "1 error".to_owned() } else { format!("{errors} errors") };
    Reloaded::Invalid { title: format!("the file is invalid: {errors}; the old rules stay in force"), problems }
}

fn failed(server: &Server, title: &str) -> Reloaded {
    tracing::error!(why = title, "the old rules stay in force");
    server.refuse_reload();
    Reloaded::Failed { title: title.to_owned() }
}
