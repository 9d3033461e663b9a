//! The process under test.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::faults::skipped;
use super::{Answer, Connection, Metrics, Receiver, Request, SECRET, SOON, eventually, send};

/// A folder with a configuration, in which gateways are started one after another.
#[derive(Debug)]
pub(crate) struct Site {
    dir: Arc<tempfile::TempDir>,
    server: String,
    listener: String,
    address: String,
}

impl Site {
    /// Creates a site whose file holds `rest`: sources, routes, destinations, buffer.
    pub(crate) fn new(rest: &str) -> Self {
        let dir = Arc::new(tempfile::Builder::new().prefix("hookgate-it-").tempdir().unwrap());
        let site = Self { dir, server: String::new(), listener: String::new(), address: "127.0.0.1:0".into() };
        site.rewrite(rest);
        site
    }

    /// Creates a site with the source `github` and one route to `app` at the receiver.
    pub(crate) fn plain(receiver: &Receiver) -> Self {
        Self::new(&Self::plain_rest(&receiver.url("/app"), ""))
    }

    /// Returns the source `github`, one route, and the destination `app` with these settings beside its URL.
    pub(crate) fn plain_rest(url: &str, settings: &str) -> String {
        // Services in tests fail often on purpose.
        let breaker = if settings.contains("circuit_breaker") { "" } else { "circuit_breaker: off, " };
        format!(
            "sources:
  github: {{path: /in/github, provider: github, secrets: [{{name: main, env: GITHUB_SECRET}}]}}
routes:
  all: {{from: github, to: app}}
destinations:
  app: {{url: \"{url}\", {breaker}retry: {{initial: 50ms, max: 200ms, max_attempts: 1000}}{settings}}}
"
        )
    }

    /// Adds lines under `server:`.
    pub(crate) fn server(mut self, lines: &str, rest: &str) -> Self {
        lines.clone_into(&mut self.server);
        self.rewrite(rest);
        self
    }

    /// Adds settings of the listener, such as `limits: {…}`.
    pub(crate) fn listener(mut self, settings: &str, rest: &str) -> Self {
        self.listener = format!(", {settings}");
        self.rewrite(rest);
        self
    }

    /// Sets the address of the public listener.
    pub(crate) fn address(mut self, address: &str, rest: &str) -> Self {
        address.clone_into(&mut self.address);
        self.rewrite(rest);
        self
    }

    /// Replaces the configuration file by a rename, as editors do.
    pub(crate) fn rewrite(&self, rest: &str) {
        let Self { server, listener, address, .. } = self;
        let text = format!(
            "version: 1
server:
  data_dir: data
  threads: 2
  shutdown_grace: 5s
  log: {{format: json, level: info}}
  {server}
admin: {{listen: \"127.0.0.1:0\"}}
listeners:
  public: {{address: \"{address}\"{listener}}}
{rest}"
        );
        self.file("routes.next", text.as_bytes());
        std::fs::rename(self.path("routes.next"), self.path("routes.yaml")).unwrap();
    }

    /// Writes a file of the site.
    pub(crate) fn file(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hookgate"));
        command.arg("run").arg(self.path("routes.yaml")).env_clear();
        command.env("GITHUB_SECRET", SECRET).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    /// Starts a gateway and waits until it listens.
    pub(crate) fn start(&self) -> Gateway {
        self.start_with(Vec::new())
    }

    /// Starts a gateway with these variables beside the usual ones.
    pub(crate) fn start_with(&self, variables: Vec<(String, String)>) -> Gateway {
        self.started(self.command().envs(variables))
    }

    /// Starts a gateway that reads names from this file instead of `/etc/hosts`, in its own mount namespace. `None`
    /// where that is not allowed.
    pub(crate) fn start_with_hosts(&self, hosts: &Path) -> Option<Gateway> {
        let usual = self.command();
        let mut command = Command::new("unshare");
        command.args(["--mount", "--map-root-user", "sh", "-c"]);
        command.arg("mount --bind \"$0\" /etc/hosts && exec \"$@\"").arg(hosts);
        let probe = Command::new("unshare")
            .args(["--mount", "--map-root-user", "sh", "-c"])
            .arg("mount --bind \"$0\" /etc/hosts")
            .arg(hosts)
            .output();
        if !probe.is_ok_and(|ended| ended.status.success()) {
            skipped("a mount namespace cannot be had here (unshare)");
            return None;
        }
        command.arg(usual.get_program()).args(usual.get_args()).env_clear();
        command.envs(usual.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        Some(self.started(&mut command))
    }

    fn started(&self, command: &mut Command) -> Gateway {
        let mut child = command.spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (stderr, lines) = (child.stderr.take().unwrap(), Arc::clone(&log));
        let reader = std::thread::spawn(move || {
            let mut stderr = BufReader::new(stderr);
            let mut line = Vec::new();
            while stderr.read_until(b'\n', &mut line).is_ok_and(|bytes| bytes > 0) {
                lines.lock().unwrap_or_else(PoisonError::into_inner).push_str(&String::from_utf8_lossy(&line));
                line.clear();
            }
        });
        let dir = Arc::clone(&self.dir);
        let mut gateway = Gateway { child, log, reader: Some(reader), addresses: BTreeMap::new(), dir };
        gateway.addresses = eventually("the gateway listens", SOON, || {
            let ended = gateway.child.try_wait().unwrap();
            assert!(ended.is_none(), "the gateway ended at its start: {ended:?}");
            gateway.listening()
        });
        gateway
    }

    /// Runs a gateway that is expected to end by itself.
    pub(crate) fn run_to_its_end(&self) -> Output {
        let mut child = self.command().spawn().unwrap();
        eventually("the gateway ends by itself", SOON, || child.try_wait().unwrap());
        child.wait_with_output().unwrap()
    }

    /// Runs another command in the site's folder, with its environment.
    pub(crate) fn cli(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hookgate"));
        command.args(args).env_clear().env("GITHUB_SECRET", SECRET).current_dir(self.root()).stdin(Stdio::null());
        command.output().unwrap()
    }

    pub(crate) fn root(&self) -> &Path {
        self.dir.path()
    }
}

/// A running gateway; killed when dropped.
#[derive(Debug)]
pub(crate) struct Gateway {
    child: Child,
    log: Arc<Mutex<String>>,
    reader: Option<std::thread::JoinHandle<()>>,
    addresses: BTreeMap<String, SocketAddr>,
    /// The site's folder; shared, so that it lives as long as the gateway.
    dir: Arc<tempfile::TempDir>,
}

impl Gateway {
    /// Returns the addresses of all listeners from the log; `None` until all of them are logged.
    fn listening(&self) -> Option<BTreeMap<String, SocketAddr>> {
        let mut found = BTreeMap::new();
        for line in self.log().lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
            match line["message"].as_str() {
                Some("listening") => {
                    let address = line["address"].as_str().unwrap().parse().unwrap();
                    found.insert(line["listener"].as_str().unwrap().to_owned(), address);
                }
                Some("an accepted event") => return Some(found),
                _ => {}
            }
        }
        None
    }

    /// Returns the address of the public listener.
    pub(crate) fn address(&self) -> SocketAddr {
        self.addresses["public"]
    }

    /// Returns the address of the listener with this name.
    pub(crate) fn address_of(&self, listener: &str) -> SocketAddr {
        self.addresses[listener]
    }

    pub(crate) fn admin_address(&self) -> SocketAddr {
        self.addresses["admin"]
    }

    /// Returns the gateway's folder.
    pub(crate) fn folder(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns the log: all that the gateway has written to stderr.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Connects to the public listener.
    pub(crate) fn connect(&self) -> Connection {
        Connection::open(self.address()).unwrap()
    }

    /// Sends a request on a new connection.
    pub(crate) fn send(&self, request: &Request) -> Answer {
        send(self.address(), request).unwrap()
    }

    /// Sends an event that must be accepted; returns its id.
    pub(crate) fn accept(&self, request: &Request) -> String {
        let answer = self.send(request);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.event_id().unwrap()
    }

    /// Gets a page of the admin listener.
    pub(crate) fn admin(&self, target: &str) -> Answer {
        let request = Request::new("GET", target, "").with("Host", self.admin_address().to_string());
        send(self.admin_address(), &request).unwrap()
    }

    /// Sends a command to the admin listener.
    pub(crate) fn change(&self, method: &str, target: &str, body: &str) -> Answer {
        let request = Request::new(method, target, body)
            .with("Host", self.admin_address().to_string())
            .with("Content-Type", "application/json");
        send(self.admin_address(), &request).unwrap()
    }

    pub(crate) fn metrics(&self) -> Metrics {
        Metrics(self.admin("/metrics").text())
    }

    /// Waits until a metric has this value.
    pub(crate) fn wait_for_metric(&self, name: &str, labels: &[(&str, &str)], value: u64) {
        let what = format!("{name}{labels:?} is {value}");
        eventually(&what, SOON, || (self.metrics().sum(name, labels) == value).then_some(()));
    }

    /// Waits until `count` requests ended with this outcome and status, because they are counted after their answer.
    pub(crate) fn wait_for_outcomes(&self, source: &str, outcome: &str, code: u16, count: u64) {
        let code = code.to_string();
        let labels = [("source", source), ("outcome", outcome), ("code", &code)];
        self.wait_for_metric("hookgate_requests_total", &labels, count);
    }

    /// Returns the number of requests that ended with this outcome and status so far.
    pub(crate) fn outcomes(&self, source: &str, outcome: &str, code: u16) -> u64 {
        let code = code.to_string();
        self.metrics().sum("hookgate_requests_total", &[("source", source), ("outcome", outcome), ("code", &code)])
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.pid()).unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Kills the gateway with SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for the end of the process and of its log.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let status = eventually("the gateway ends", SOON, || self.child.try_wait().unwrap());
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        status
    }

    /// Sends SIGTERM, and waits for the end of the process.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.signal(rustix::process::Signal::TERM);
        self.wait()
    }

    /// Sends SIGHUP, and waits until the reload has ended.
    pub(crate) fn reload(&self) {
        let count = || self.metrics().sum("hookgate_config_reloads_total", &[]);
        let before = count();
        self.signal(rustix::process::Signal::HUP);
        eventually("reloading the configuration", SOON, || (count() > before).then_some(()));
    }

    /// Returns the resident memory in bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        self.metrics().sum("process_resident_memory_bytes", &[])
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            drop(self.child.kill());
            drop(self.child.wait());
        }
        if std::thread::panicking() {
            std::thread::sleep(Duration::from_millis(100));
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let tail = &lines[lines.len().saturating_sub(40)..];
            eprintln!("the end of the gateway's log:\n{}", tail.join("\n"));
        }
    }
}
