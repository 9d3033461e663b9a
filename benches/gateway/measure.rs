//! One measurement: start a server, warm it up, load it, and read the counts of the kernel and of the gateway.

use std::env;
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use crate::load::{Plan, Report, float};
use crate::metrics::Metrics;
use crate::process::{PEER_CORE, SERVER_CORE, Server, free_address, pinned, stop_if_interrupted, wait_until};
use crate::variant::{PATH, SECRET, SECRET_VARIABLE, Site, Variant, Work, routes_yaml};

const CONNECTIONS: u16 = 64;
const DRAIN_POLL: Duration = Duration::from_millis(100);

/// The durations of the parts of a measurement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
    pub(crate) drain_max: Duration,
}

/// The result of one measurement.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) requests_per_s: f64,
    pub(crate) cpu_us: f64,
    pub(crate) p50_us: u32,
    pub(crate) p99_us: u32,
    pub(crate) rss_mb: f64,
    /// The events per commit of the buffer, where events were stored.
    pub(crate) commit_events: Option<f64>,
    /// A reason to doubt the row.
    pub(crate) doubt: Option<String>,
}

/// The setup that all measurements share.
#[derive(Debug)]
pub(crate) struct Bench {
    /// This program, which has the other roles.
    program: PathBuf,
    gateway: PathBuf,
    payloads: PathBuf,
    push_schema: PathBuf,
    /// A listener that never accepts: the kernel takes connections, and no answer comes.
    silent: TcpListener,
    dir: PathBuf,
    times: Times,
    sink: SocketAddr,
    /// The sink, killed when the bench is dropped.
    _sink: Server,
}

impl Bench {
    /// Starts the sink; all files are written below `dir`.
    pub(crate) fn start(dir: &Path, times: Times) -> io::Result<Self> {
        let program = env::current_exe()?;
        let address = free_address()?;
        let args = ["sink".to_owned(), address.to_string()];
        let mut sink = Server::start(pinned(PEER_CORE, &program, &args), dir.join("sink.log"))?;
        sink.wait_for(address)?;
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        Ok(Self {
            program,
            gateway: option_env!("CARGO_BIN_EXE_hookgate").map_or(root.join("target/release/hookgate"), PathBuf::from),
            payloads: root.join("tests/payloads/github"),
            push_schema: root.join("schemas/github/push.json"),
            silent: TcpListener::bind("127.0.0.1:0")?,
            dir: dir.to_owned(),
            times,
            sink: address,
            _sink: sink,
        })
    }

    /// Measures one row once.
    pub(crate) fn measure(&self, variant: &Variant) -> io::Result<Sample> {
        if variant.is_unit() { self.measure_pass(variant) } else { self.measure_gateway(variant) }
    }

    /// Measures the sink alone: a check that neither the sink nor the load limits a row.
    pub(crate) fn measure_sink(&self, variant: &Variant) -> io::Result<Report> {
        self.load(variant, self.sink, self.times.warm_up)
    }

    fn measure_pass(&self, variant: &Variant) -> io::Result<Sample> {
        let listen = free_address()?;
        let args = ["pass".to_owned(), listen.to_string(), self.sink.to_string()];
        let mut server = Server::start(pinned(SERVER_CORE, &self.program, &args), self.dir.join("pass.log"))?;
        server.wait_for(listen)?;

        self.load(variant, listen, self.times.warm_up)?;
        let before = server.cpu_us()?;
        let report = self.load(variant, listen, self.times.measured)?;
        sample(&report, server.cpu_us()? - before, server.rss_mb()?)
    }

    fn measure_gateway(&self, variant: &Variant) -> io::Result<Sample> {
        let data_dir = self.dir.join("data");
        let measured = self.measure_gateway_in(&data_dir, variant);
        // These are gigabytes; the next measurement needs the space and an empty buffer.
        if data_dir.exists() {
            fs::remove_dir_all(&data_dir)?;
        }
        measured
    }

    fn measure_gateway_in(&self, data_dir: &Path, variant: &Variant) -> io::Result<Sample> {
        let (public, admin) = (free_address()?, free_address()?);
        let mut server = self.start_gateway(data_dir, variant.work, public, admin)?;
        server.wait_for(public)?;
        server.wait_for(admin)?;

        let warm_up = self.load(variant, public, self.times.warm_up)?;
        self.drain(variant, admin, warm_up.ok)?;
        let metrics_before = Metrics::scrape(admin)?;
        let cpu_before = server.cpu_us()?;
        let report = self.load(variant, public, self.times.measured)?;
        self.drain(variant, admin, warm_up.ok + report.ok)?;
        let cpu_us = server.cpu_us()? - cpu_before;
        let metrics = Metrics::scrape(admin)?;

        let mut sample = sample(&report, cpu_us, server.rss_mb()?)?;
        let grown = |name: &str, label: &str| metrics.sum(name, label) - metrics_before.sum(name, label);
        let commits = grown("hookgate_buffer_commit_events_count", "");
        sample.commit_events = (commits > 0.0).then(|| grown("hookgate_buffer_commit_events_sum", "") / commits);
        sample.doubt = doubt(variant.work, &report, grown);
        Ok(sample)
    }

    fn start_gateway(&self, data_dir: &Path, work: Work, public: SocketAddr, admin: SocketAddr) -> io::Result<Server> {
        if !self.gateway.exists() {
            return Err(io::Error::other(format!("there is no {}", self.gateway.display())));
        }
        if work == Work::Validated && !self.push_schema.exists() {
            return Err(io::Error::other(format!("there is no {}", self.push_schema.display())));
        }
        fs::create_dir_all(data_dir)?;
        let (sink, silent) = (self.sink, self.silent.local_addr()?);
        let routes = self.dir.join("routes.yaml");
        fs::create_dir_all(self.dir.join("schemas"))?;
        if work == Work::Validated {
            fs::copy(&self.push_schema, self.dir.join("schemas/push.json"))?;
        }
        fs::write(&routes, routes_yaml(work, &Site { data_dir, public, admin, sink, silent }))?;

        let mut command = pinned(SERVER_CORE, &self.gateway, &["run".as_ref(), routes.as_os_str()]);
        command.env(SECRET_VARIABLE, SECRET).current_dir(&self.dir);
        Server::start(command, self.dir.join("gateway.log"))
    }

    fn load(&self, variant: &Variant, address: SocketAddr, run_for: Duration) -> io::Result<Report> {
        stop_if_interrupted()?;
        let secret = if variant.work == Work::Forged { "another secret" } else { SECRET };
        let plan = Plan {
            address,
            path: PATH.to_owned(),
            event: variant.payload.event.to_owned(),
            body: self.payloads.join(variant.payload.file),
            secret: secret.to_owned(),
            connections: CONNECTIONS,
            run_for,
        };
        let args = ["load".to_owned(), serde_json::to_string(&plan)?];
        let output = pinned(PEER_CORE, &self.program, &args).stderr(Stdio::inherit()).output()?;
        stop_if_interrupted()?;
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// Waits until the gateway has delivered all accepted events, in rows with delivery.
    fn drain(&self, variant: &Variant, admin: SocketAddr, accepted: u64) -> io::Result<()> {
        if !variant.work.is_delivered() {
            return Ok(());
        }
        let mut delivered = 0.0;
        let is_drained = wait_until(self.times.drain_max, DRAIN_POLL, || {
            delivered = Metrics::scrape(admin)?.sum("hookgate_deliveries_total", r#"result="delivered""#);
            Ok(delivered >= float(accepted))
        })?;
        if is_drained {
            Ok(())
        } else {
            let waited = self.times.drain_max;
            Err(io::Error::other(format!("{delivered} of {accepted} accepted events are delivered after {waited:?}")))
        }
    }
}

fn sample(report: &Report, cpu_us: f64, rss_mb: f64) -> io::Result<Sample> {
    if report.requests == 0 {
        return Err(io::Error::other("not one request was answered"));
    }
    Ok(Sample {
        requests_per_s: report.requests_per_s(),
        cpu_us: cpu_us / float(report.requests),
        p50_us: report.p50_us,
        p99_us: report.p99_us,
        rss_mb,
        commit_events: None,
        doubt: (report.ok < report.requests || report.broken > 0).then(|| unexpected(report)),
    })
}

/// Returns a reason to doubt the row, when the gateway's work differs from the row's.
fn doubt(work: Work, report: &Report, grown: impl Fn(&str, &str) -> f64) -> Option<String> {
    let requests = float(report.requests);
    let outcome = work.outcome()?;
    let counted = grown("hookgate_requests_total", &format!("outcome=\"{outcome}\""));
    if counted < requests {
        return Some(format!("the gateway counts {counted} of {requests} as {outcome}; {}", unexpected(report)));
    }
    let attempts = grown("hookgate_delivery_attempts_total", "");
    if work == Work::Stored && attempts > requests / 100.0 {
        return Some(format!("{attempts} attempts at a destination that is down are in the figure"));
    }
    let is_forged = work == Work::Forged;
    (is_forged != (report.ok == 0) || report.broken > 0).then(|| unexpected(report))
}

fn unexpected(report: &Report) -> String {
    let Report { requests, ok, broken, .. } = report;
    format!("{ok} of {requests} answers are 2xx, {broken} connections broke")
}
