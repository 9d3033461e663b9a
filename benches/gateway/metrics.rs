//! The gateway's metrics, read from `/metrics`.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const ANSWER_WAIT_MAX: Duration = Duration::from_secs(5);

/// One scrape in Prometheus' text format.
#[derive(Debug)]
pub(crate) struct Metrics(String);

impl Metrics {
    /// Scrapes the admin listener at `admin`.
    pub(crate) fn scrape(admin: SocketAddr) -> io::Result<Self> {
        let mut stream = TcpStream::connect(admin)?;
        stream.set_read_timeout(Some(ANSWER_WAIT_MAX))?;
        // HTTP/1.0: the answer ends with the connection and is never chunked.
        write!(stream, "GET /metrics HTTP/1.0\r\nHost: {admin}\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        if answer.split_whitespace().nth(1) == Some("200") {
            Ok(Self(answer))
        } else {
            let status = answer.lines().next().unwrap_or_default();
            Err(io::Error::other(format!("/metrics answers {status:?}")))
        }
    }

    /// Returns the sum of all samples of `name` with `label`, such as `result="delivered"`; an empty label means all.
    pub(crate) fn sum(&self, name: &str, label: &str) -> f64 {
        self.0.lines().filter_map(|line| sample(line, name, label)).sum()
    }
}

fn sample(line: &str, name: &str, label: &str) -> Option<f64> {
    let (labels, value) = line.strip_prefix(name)?.rsplit_once(' ')?;
    let is_name_whole = labels.is_empty() || labels.starts_with('{');
    if is_name_whole && labels.contains(label) { value.parse().ok() } else { None }
}
