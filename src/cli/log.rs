//! Logs: JSON or human lines to stderr, written by a thread of their own. When stderr takes no lines (a full disk, a
//! stalled pipe), lines are dropped and counted; no request waits for a log line, and nothing panics.
//!
//! pingora and the storage engine log through `log`; their lines are bridged. pingora's are off: strangers can cause
//! them at will, and our own lines hold the same facts.

use std::io::{self, Write};

use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::config::raw::{Log, LogFormat, LogLevel};
use crate::telemetry::Telemetry;

/// The limit of lines that wait for the writer; about 16 MiB of the longest.
const LINES_WAITING_MAX: usize = 32_768;

/// The writer to stderr; lines that cannot be written are counted and dropped.
struct Stderr(Telemetry);

impl Write for Stderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if io::stderr().lock().write_all(line).is_err() {
            self.0.log_lines_dropped(1);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A writer that passes lines to the writing thread and counts those without room.
#[derive(Clone, Debug)]
struct Out {
    thread: NonBlocking,
    telemetry: Telemetry,
}

impl Write for Out {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let before = self.thread.error_counter().dropped_lines();
        let written = self.thread.write(line);
        let dropped = self.thread.error_counter().dropped_lines().saturating_sub(before);
        if dropped > 0 {
            self.telemetry.log_lines_dropped(dropped as u64);
        }
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Out {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// A guard that writes the last lines when it is dropped.
#[must_use]
pub(crate) struct Logging {
    _thread: WorkerGuard,
}

/// Starts logging as the file says; `HOOKGATE_LOG` (a tracing filter) overrides it.
pub(crate) fn start(log: Option<&Log>, telemetry: &Telemetry) -> Logging {
    let level = match log.and_then(|log| log.level).unwrap_or_default() {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    };
    let pingora = "pingora_core=off,pingora_proxy=off,pingora_load_balancing=off";
    let usual = format!("warn,hookgate={level},{pingora},fjall=error,lsm_tree=error");
    let wanted = super::load::environment("HOOKGATE_LOG").unwrap_or(usual);
    let filter = EnvFilter::builder().parse_lossy(wanted);
    let (thread, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(LINES_WAITING_MAX)
        .thread_name("log")
        .finish(Stderr(telemetry.clone()));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(Out { thread, telemetry: telemetry.clone() })
        .log_internal_errors(false);
    let started = match log.and_then(|log| log.format).unwrap_or_default() {
        LogFormat::Human => lines.with_ansi(super::terminal::wants_color(&io::stderr())).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    if started.is_err() {
        tracing::debug!("logging was started already");
    }
    Logging { _thread: guard }
}
