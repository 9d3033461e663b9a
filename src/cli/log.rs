//! Logs: JSON or human lines to stderr, and a writer that drops and counts instead of panicking when nobody can take them.
//!
//! pingora and the storage engine log through `log`; their lines are bridged, and capped at warnings, because strangers
//! can make them at will.

use std::io::{self, Write};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::config::raw::{Log, LogFormat, LogLevel};
use crate::telemetry::Telemetry;

/// Writes to stderr; what cannot be written is counted.
#[derive(Clone, Debug)]
struct Out(Telemetry);

impl Write for Out {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if io::stderr().lock().write_all(line).is_err() {
            self.0.log_line_dropped();
        }
        Ok(line.len())
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

/// Starts logging as the file says; `HOOKGATE_LOG` (a tracing filter) overrides it.
pub(crate) fn start(log: Option<&Log>, telemetry: &Telemetry) {
    let level = match log.and_then(|log| log.level) {
        Some(LogLevel::Error) => "error",
        Some(LogLevel::Warn) => "warn",
        Some(LogLevel::Info) | None => "info",
        Some(LogLevel::Debug) => "debug",
        Some(LogLevel::Trace) => "trace",
    };
    let usual = format!("warn,hookgate={level},pingora_core=off,pingora_proxy=off,fjall=error,lsm_tree=error");
    let wanted = super::load::environment("HOOKGATE_LOG").unwrap_or(usual);
    let filter = EnvFilter::builder().parse_lossy(wanted);
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(Out(telemetry.clone()))
        .log_internal_errors(false);
    let started = match log.and_then(|log| log.format) {
        Some(LogFormat::Human) => lines.with_ansi(super::terminal::wants_color(&io::stderr())).try_init(),
        Some(LogFormat::Json) | None => lines.json().flatten_event(true).try_init(),
    };
    if started.is_err() {
        tracing::debug!("logging was started already");
    }
}
