//! The gateway of a self-test: a child process of this very binary, on a file of its own, killed and started again.
//!
//! The gateway listens on ports that the system gives, and logs them. Its output is read to the end, and the last lines
//! are kept for the error when it does not start.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::buffer::Fsync;
use crate::cli::load;
use crate::deliver::{Bounds, Client, Outgoing, Target, Transport};
use crate::rules::Rules;

/// The source of the test's events.
const SOURCE: &str = "selftest";
const SECRET_VARIABLE: &str = "HOOKGATE_SELFTEST_SECRET";
/// The limit of time for a start.
const START: Duration = Duration::from_mins(1);
const SCRAPE: Duration = Duration::from_secs(5);
const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
const LAST_LINES: usize = 5;

/// The place where gateways are started, one after another.
#[derive(Debug)]
pub(super) struct Site {
    program: PathBuf,
    file: PathBuf,
    secret: String,
}

/// The reason for which there is no gateway.
#[derive(Debug)]
pub(super) enum NoGateway {
    /// A process that could not be created.
    Spawn(io::Error),
    /// A gateway that ended, or did not listen in time; with the last lines that it wrote.
    Start { why: &'static str, said: String },
}

impl fmt::Display for NoGateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spawn(error) => write!(f, "cannot start the gateway: {error}"),
            Self::Start { why, said } => write!(f, "the gateway {why}; it said:\n{said}"),
        }
    }
}

impl Site {
    /// Writes the configuration file of the gateway.
    pub(super) fn new(folder: &Path, receiver: SocketAddr, fsync: Fsync) -> io::Result<Self> {
        let fsync = match fsync {
            Fsync::Group => "group",
            Fsync::Os => "os",
            Fsync::Memory => "memory",
        };
        let text = format!(
            "version: 1
server: {{data_dir: data, shutdown_grace: 5s, log: {{format: json, level: info}}}}
admin: {{listen: \"127.0.0.1:0\"}}
listeners: {{public: {{address: \"127.0.0.1:0\"}}}}
sources:
  {SOURCE}: {{path: /in/selftest, provider: github, secrets: [{{env: {SECRET_VARIABLE}}}]}}
routes:
  all: {{from: {SOURCE}, to: receiver}}
destinations:
  receiver:
    url: \"http://{receiver}/\"
    retry: {{initial: 50ms, max: 500ms, max_attempts: 1000000, give_up_after: 24h}}
buffer: {{fsync: {fsync}}}
"
        );
        let file = folder.join("routes.yaml");
        std::fs::write(&file, text)?;
        let secret = format!("{:032x}", rand::random::<u128>());
        Ok(Self { program: std::env::current_exe()?, file, secret })
    }

    /// Returns the rules of the file, to sign by.
    pub(super) fn rules(&self) -> Result<Rules, NoGateway> {
        let env = |name: &str| (name == SECRET_VARIABLE).then(|| self.secret.clone());
        let checked = load::load_with(&self.file, &env).map_err(NoGateway::Spawn)?;
        let invalid = || NoGateway::Start { why: "has no valid file", said: self.file.display().to_string() };
        Ok(checked.setup.ok_or_else(invalid)?.live.rules)
    }

    /// Starts a process without waiting for it.
    pub(super) fn spawn(&self) -> Result<Child, NoGateway> {
        let mut command = Command::new(&self.program);
        command.arg("run").arg(&self.file).env_clear().env(SECRET_VARIABLE, &self.secret).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command.spawn().map_err(NoGateway::Spawn)
    }

    /// Starts a gateway and waits until it listens.
    pub(super) async fn start(&self) -> Result<GatewayProcess, NoGateway> {
        let began = Instant::now();
        let mut child = self.spawn()?;
        let last = Arc::<Mutex<VecDeque<String>>>::default();
        let (listens, listening) = oneshot::channel();
        let mut reading = JoinSet::new();
        if let Some(stderr) = child.stderr.take() {
            reading.spawn(read(stderr, listens, Arc::clone(&last)));
        }
        let complaint = |why| {
            let lines: Vec<String> = last.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect();
            NoGateway::Start { why, said: lines.join("\n") }
        };
        match tokio::time::timeout(START, listening).await {
            Ok(Ok((public, admin))) => {
                Ok(GatewayProcess { child, public, admin, started_in: began.elapsed(), _reading: reading })
            }
            Ok(Err(_ended)) => Err(complaint("ended at its start")),
            Err(_elapsed) => Err(complaint("did not listen within a minute")),
        }
    }
}

/// Reads the output of the gateway; sends its addresses once.
async fn read(
    stderr: ChildStderr,
    listens: oneshot::Sender<(SocketAddr, SocketAddr)>,
    last: Arc<Mutex<VecDeque<String>>>,
) {
    let mut listens = Some(listens);
    let (mut public, mut admin) = (None, None);
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if listens.is_none() {
            continue;
        }
        let said: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
        let text = |key: &str| said.get(key).and_then(serde_json::Value::as_str);
        if text("message") == Some("listening") {
            let address = text("address").and_then(|address| address.parse().ok());
            if text("listener") == Some(crate::server::ADMIN) { admin = address } else { public = address }
        }
        if let (Some(public), Some(admin)) = (public, admin)
            && let Some(listens) = listens.take()
            && listens.send((public, admin)).is_err()
        {
            tracing::trace!("nobody waits for this gateway any more");
        }
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        last.push_back(line);
        if last.len() > LAST_LINES {
            last.pop_front();
        }
    }
}

/// A running gateway.
#[derive(Debug)]
pub(super) struct GatewayProcess {
    child: Child,
    /// The address for events.
    pub(super) public: SocketAddr,
    admin: SocketAddr,
    /// The time from the start of the process until it listened, with its buffer recovered.
    pub(super) started_in: Duration,
    _reading: JoinSet<()>,
}

/// The metrics of a gateway.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Figures {
    pub(super) commits: f64,
    pub(super) events: f64,
    pub(super) commit_secs: f64,
    pub(super) queued: f64,
}

impl GatewayProcess {
    /// Kills the gateway with SIGKILL, and waits for its end.
    pub(super) async fn kill(mut self) -> io::Result<()> {
        self.child.kill().await
    }

    /// Reads `/metrics`; `None` when it does not answer.
    pub(super) async fn figures(&self, client: &Client) -> Option<Figures> {
        let target = Target::parse(&format!("http://{}/metrics", self.admin))?;
        let (headers, body) = (HeaderMap::new(), bytes::Bytes::new());
        let out = Outgoing { method: "GET", query: None, headers: &headers, body: &body };
        let bounds = Bounds { connect: SCRAPE, total: SCRAPE, answer_time: SCRAPE, answer_bytes_max: PAGE_BYTES_MAX };
        let page = client.send(&target, &out, bounds).await.ok().filter(|answer| answer.status == 200)?;
        let page = String::from_utf8_lossy(&page.body).into_owned();
        Some(Figures {
            commits: sum(&page, "hookgate_buffer_commit_events_count"),
            events: sum(&page, "hookgate_buffer_commit_events_sum"),
            commit_secs: sum(&page, "hookgate_buffer_commit_duration_seconds_sum"),
            queued: sum(&page, "hookgate_queue_events"),
        })
    }
}

/// Returns the sum of all series of a metric.
fn sum(page: &str, name: &str) -> f64 {
    let values = page.lines().filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        (series.split('{').next() == Some(name)).then(|| value.parse().unwrap_or(0.0))
    });
    values.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_summed_over_its_labels_and_nothing_else() {
        let page = "# HELP a text\na{x=\"1\"} 2\na{x=\"2\"} 3.5\na_count 7\n";
        assert!((sum(page, "a") - 5.5).abs() < 1e-9);
        assert!(sum(page, "b").abs() < 1e-9);
    }
}
