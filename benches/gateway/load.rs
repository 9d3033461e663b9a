//! The provider: a closed loop over keep-alive connections, each with one request in flight.
//!
//! One thread, one write per request, no parsing beyond the end of an answer.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytes::BytesMut;
use httparse::{EMPTY_HEADER, Response, Status};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::request::{Delivery, Request};
use crate::sink::header;

const HEADERS_MAX: usize = 64;
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(5);
const PAUSE_AFTER_BREAK: Duration = Duration::from_millis(20);

/// The requests to send, their target, and the duration.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) address: SocketAddr,
    pub(crate) path: String,
    pub(crate) event: String,
    pub(crate) body: PathBuf,
    pub(crate) secret: String,
    pub(crate) connections: u16,
    pub(crate) run_for: Duration,
}

/// The result of a load; one line of JSON on stdout.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    /// The number of answered requests.
    pub(crate) requests: u64,
    /// The number of answers 2xx.
    pub(crate) ok: u64,
    /// The number of broken connections and missing answers.
    pub(crate) broken: u64,
    pub(crate) elapsed_s: f64,
    pub(crate) p50_us: u32,
    pub(crate) p99_us: u32,
}

impl Report {
    pub(crate) fn requests_per_s(&self) -> f64 {
        float(self.requests) / self.elapsed_s
    }
}

/// Carries out `plan`, a [`Plan`] in JSON, and prints the [`Report`].
pub(crate) fn run(plan: &str) -> io::Result<()> {
    let plan: Plan = serde_json::from_str(plan)?;
    let report = tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(send_all(&plan))?;
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}

async fn send_all(plan: &Plan) -> io::Result<Report> {
    let body = std::fs::read(&plan.body)?;
    let Plan { address, path, event, secret, .. } = plan;
    let delivery = Delivery { host: *address, path, event, secret, body: &body };
    let begun = Instant::now();
    let mut connections = JoinSet::new();
    for connection in 0..plan.connections {
        let request = Request::new(&delivery, connection)?;
        connections.spawn(Connection::new(*address, request, begun + plan.run_for).send_until_end());
    }
    let tallies = connections.join_all().await;
    Ok(report(tallies, begun.elapsed()))
}

fn report(tallies: Vec<Tally>, elapsed: Duration) -> Report {
    let mut report = Report { elapsed_s: elapsed.as_secs_f64(), ..Report::default() };
    let mut latencies = Vec::new();
    for tally in tallies {
        report.ok += tally.ok;
        report.broken += tally.broken;
        latencies.extend(tally.latencies_us);
    }
    latencies.sort_unstable();
    report.requests = latencies.len() as u64;
    report.p50_us = percentile(&latencies, 50);
    report.p99_us = percentile(&latencies, 99);
    report
}

fn percentile(sorted: &[u32], percent: usize) -> u32 {
    sorted.get(sorted.len() * percent / 100).copied().unwrap_or_default()
}

#[derive(Debug, Default)]
struct Tally {
    ok: u64,
    broken: u64,
    latencies_us: Vec<u32>,
}

struct Connection {
    address: SocketAddr,
    request: Request,
    end: Instant,
    tally: Tally,
}

impl Connection {
    fn new(address: SocketAddr, request: Request, end: Instant) -> Self {
        Self { address, request, end, tally: Tally::default() }
    }

    async fn send_until_end(mut self) -> Tally {
        while Instant::now() < self.end {
            if self.send_until_close().await.is_err() {
                self.tally.broken += 1;
                sleep(PAUSE_AFTER_BREAK).await;
            }
        }
        self.tally
    }

    /// Sends over one connection until the server closes it or the time is up.
    async fn send_until_close(&mut self) -> io::Result<()> {
        let mut stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let mut received = BytesMut::with_capacity(16 << 10);
        while Instant::now() < self.end {
            let begun = Instant::now();
            let answer = timeout(ANSWER_WAIT_MAX, exchange(&mut stream, &mut self.request, &mut received)).await??;
            self.tally.latencies_us.push(u32::try_from(begun.elapsed().as_micros()).unwrap_or(u32::MAX));
            self.tally.ok += u64::from(answer.is_ok);
            if answer.is_last {
                break;
            }
        }
        Ok(())
    }
}

struct Answer {
    length: usize,
    is_ok: bool,
    is_last: bool,
}

async fn exchange(stream: &mut TcpStream, request: &mut Request, received: &mut BytesMut) -> io::Result<Answer> {
    received.clear();
    stream.write_all(request.next_wire()?).await?;
    loop {
        if stream.read_buf(received).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match answer(received)? {
            Some(answer) if answer.length == received.len() => return Ok(answer),
            Some(_) => return Err(io::Error::other("bytes after the answer")),
            None => {}
        }
    }
}

/// Parses the answer in `received`; `None` while it is not complete.
fn answer(received: &[u8]) -> io::Result<Option<Answer>> {
    let mut headers = [EMPTY_HEADER; HEADERS_MAX];
    let mut response = Response::new(&mut headers);
    let Status::Complete(head) = response.parse(received).map_err(io::Error::other)? else {
        return Ok(None);
    };
    let declared = header(response.headers, "content-length").and_then(|value| value.parse::<usize>().ok());
    let length = match (response.code, declared) {
        (Some(204), _) => 0,
        (_, Some(length)) => length,
        (_, None) => return Err(io::Error::other("an answer without Content-Length")),
    };
    let is_last = header(response.headers, "connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    let is_ok = response.code.is_some_and(|code| (200..300).contains(&code));
    Ok((received.len() >= head + length).then_some(Answer { length: head + length, is_ok, is_last }))
}

#[expect(clippy::cast_precision_loss, reason = "counts of a few seconds are far below 2^53")]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}
