//! The admin listener of a running gateway, asked from the command line.
//!
//! Where it is stands in the file (`admin.listen`), unless `--admin` says otherwise; so does its token. One request, one
//! JSON answer, both bounded.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use serde_json::Value;

use crate::config::check::Checked;
use crate::deliver::{Bounds, Client, Outgoing, Target, Transport};

const TIMEOUT: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A gateway that may be asked.
#[derive(Debug)]
pub(crate) struct Admin {
    url: String,
    token: Option<HeaderValue>,
}

/// Why there is no answer to work with.
#[derive(Debug)]
pub(crate) enum AdminProblem {
    /// What `--admin` says is no URL.
    Url(String),
    /// Nobody answered.
    Unreachable { url: String, why: String },
    /// The gateway said no.
    Refused { status: u16, why: String },
    /// Something answered, and it is no gateway of this version.
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

impl Admin {
    /// The admin listener at `url`, or where the file has it.
    pub(crate) fn new(url: Option<&str>, checked: &Checked) -> Self {
        let url = url.map_or_else(|| format!("http://{}", reachable(checked.admin)), str::to_owned);
        let url = if url.contains("://") { url } else { format!("http://{url}") };
        let token = checked.setup.as_ref().and_then(|setup| setup.admin_token.as_ref());
        let token = token.and_then(|token| {
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

    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, AdminProblem> {
        let target = Target::parse(&format!("{}{path}", self.url));
        let target = target.ok_or_else(|| AdminProblem::Url(super::terminal::harmless(&self.url)))?;
        let mut headers = HeaderMap::new();
        if let Some(token) = &self.token {
            headers.insert(AUTHORIZATION, token.clone());
        }
        if body.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let body = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        let out = Outgoing { method, query: None, headers: &headers, body: &body };
        let bounds = Bounds { connect: TIMEOUT, total: TIMEOUT, answer_bytes_max: ANSWER_BYTES_MAX };
        let unreachable = |why: String| AdminProblem::Unreachable { url: self.url.clone(), why };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| unreachable(format!("cannot start: {error}")))?;
        let answer = runtime.block_on(async { Client::new().send(&target, &out, bounds).await });
        let answer = answer.map_err(|none| unreachable(none.detail))?;
        let value: Option<Value> = serde_json::from_slice(&answer.body).ok();
        match (answer.status, value) {
            (200..300, Some(value)) => Ok(value),
            (status @ 400..500, value) if status == 401 || value.is_some() => {
                let title = value.as_ref().and_then(|value| value.get("title")?.as_str()).unwrap_or_default();
                Err(AdminProblem::Refused { status, why: super::terminal::harmless(title) })
            }
            _ => Err(AdminProblem::NotOurs { url: self.url.clone() }),
        }
    }
}

/// What listens everywhere is reached here.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
