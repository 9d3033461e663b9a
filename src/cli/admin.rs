//! Requests from the command line to the admin listener of a running gateway.
//!
//! The file has the address of the listener (`admin.listen`), unless `--admin` gives another one, and its token. There
//! is one request and one JSON answer, both bounded.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use serde_json::Value;

use super::unknown::{self, Unknown};
use super::{Exit, terminal};
use crate::config::check::CheckedFile;
use crate::deliver::{Bounds, Client, Outgoing, Target, Transport};
use crate::payload::Payload;

const CONNECT: Duration = Duration::from_secs(10);
/// The limit of one request: a search through many events, or of a large one, takes its time.
const TIMEOUT: Duration = Duration::from_mins(1);
/// The largest answer, which holds the largest accepted body in base64, with its headers.
const ANSWER_BYTES_MAX: usize = 96 * 1024 * 1024;

/// The admin listener of one gateway.
#[derive(Debug)]
pub(crate) struct Admin {
    url: String,
    token: Option<HeaderValue>,
}

/// The reason for which there is no usable answer.
#[derive(Debug)]
pub(crate) enum AdminProblem {
    /// The value of `--admin` is not a URL.
    Url(String),
    /// No gateway answered.
    Unreachable { url: String, why: String },
    /// The gateway refused the request; `body` may hold more than the reason.
    Refused { status: u16, why: String, body: Value },
    /// The answer is not that of a gateway of this version.
    NotOurs { url: String },
}

impl fmt::Display for AdminProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => write!(f, "`{url}` is no URL; write --admin http://127.0.0.1:8900"),
            Self::Unreachable { url, why } => write!(f, "no gateway answers at {url}: {why}"),
            Self::Refused { status: 401, .. } => {
                f.write_str("the gateway wants its token (`admin.token` of the file, which must be readable here)")
            }
            Self::Refused { why, .. } => f.write_str(why),
            Self::NotOurs { url } => write!(f, "what answers at {url} is no gateway of this version"),
        }
    }
}

impl AdminProblem {
    /// Prints the problem; returns its exit code.
    pub(crate) fn told(&self) -> Exit {
        if let Self::Refused { body, .. } = self
            && let Err(exit) = unknown::tell(&Unknown::listed(body))
        {
            return exit;
        }
        terminal::tell(format!("hookgate: {self}"));
        if matches!(self, Self::Unreachable { .. }) { Exit::Unreachable } else { Exit::Failed }
    }
}

impl Admin {
    /// Returns the admin listener at `url`, or at the address in the file.
    pub(crate) fn new(url: Option<&str>, checked: &CheckedFile) -> Self {
        let url = url.map_or_else(|| format!("http://{}", reachable(checked.admin)), str::to_owned);
        let url = if url.contains("://") { url } else { format!("http://{url}") };
        let token = checked.admin_token.as_ref().and_then(|token| {
            let mut value = HeaderValue::from_bytes(&[b"Bearer ", token.expose()].concat()).ok()?;
            value.set_sensitive(true);
            Some(value)
        });
        Self { url: url.trim_end_matches('/').to_owned(), token }
    }

    pub(crate) fn get(&self, path: &str) -> Result<Value, AdminProblem> {
        self.ask("GET", path, None)
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Value, AdminProblem> {
        self.ask("POST", path, Some(body))
    }

    pub(crate) fn delete(&self, path: &str) -> Result<Value, AdminProblem> {
        self.ask("DELETE", path, None)
    }

    /// Returns the problem of an answer that is not that of a gateway of this version.
    pub(crate) fn not_ours(&self) -> AdminProblem {
        AdminProblem::NotOurs { url: self.url.clone() }
    }

    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, AdminProblem> {
        let target = Target::parse(&format!("{}{path}", self.url));
        let target = target.ok_or_else(|| AdminProblem::Url(terminal::harmless(&self.url)))?;
        let mut headers = HeaderMap::new();
        if let Some(token) = &self.token {
            headers.insert(AUTHORIZATION, token.clone());
        }
        // The content type of a request that changes something proves that no web page sent the request.
        if method != "GET" {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let body = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        let out = Outgoing { method, query: None, headers: &headers, body: &body };
        let bounds =
            Bounds { connect: CONNECT, total: TIMEOUT, answer_time: TIMEOUT, answer_bytes_max: ANSWER_BYTES_MAX };
        let unreachable = |why: String| AdminProblem::Unreachable { url: self.url.clone(), why };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| unreachable(format!("cannot start: {error}")))?;
        let answer = runtime.block_on(async { Client::new().send(&target, &out, bounds).await });
        let answer = answer.map_err(|none| unreachable(none.detail))?;
        if !answer.is_whole {
            return Err(unreachable("its answer did not come whole".to_owned()));
        }
        let value = Payload::lenient(&answer.body);
        match (answer.status, value) {
            (200..300, Some(value)) => Ok(value),
            (401, _) => Err(AdminProblem::Refused { status: 401, why: String::new(), body: Value::Null }),
            (status @ 400..600, Some(value)) => match value.get("title").and_then(Value::as_str) {
                Some(title) => Err(AdminProblem::Refused { status, why: terminal::harmless(title), body: value }),
                None => Err(self.not_ours()),
            },
            _ => Err(self.not_ours()),
        }
    }
}

/// Returns the address of a listener as it is reached from here: `0.0.0.0` becomes loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
