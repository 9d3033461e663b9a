//! A request that nobody sent, as its provider would send it: for `explain` and `test`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::send::{Tamper, sign};
use super::{sample, terminal};
use crate::clock::Timestamp;
use crate::inbound::Head;
use crate::lane::Lane;
use crate::provider::SignProblem;

/// The delivery id of every request that is made here, so that the same case gives the same answer.
const DELIVERY_ID: &str = "00000000-0000-7000-8000-000000000001";

/// What a request is made of.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    /// The event's type as its provider says it in a header, where it does.
    pub(super) event: &'a str,
    /// Path and query; the source's own path without it.
    pub(super) target: Option<&'a str>,
    pub(super) method: &'a str,
    pub(super) body: Bytes,
    /// Over those that the provider sends; an empty value takes one away.
    pub(super) headers: &'a [(String, String)],
    pub(super) sender: Option<IpAddr>,
    /// The moment of receipt.
    pub(super) now: Timestamp,
    pub(super) is_signed: bool,
    pub(super) tamper: Option<Tamper>,
}

/// A whole request.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: Option<String>,
    pub(super) host: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) sender: IpAddr,
}

/// Why there is no request.
#[derive(Debug)]
pub(super) enum NoRequest {
    /// A header cannot be sent.
    Header(String),
    /// It cannot be signed here.
    Sign(SignProblem),
}

impl fmt::Display for NoRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "the header `{name}` cannot be sent like this"),
            Self::Sign(problem) => write!(f, "it cannot be signed as the provider would: {problem}"),
        }
    }
}

impl Request {
    /// Makes and signs it.
    pub(super) fn new(lane: &Lane, parts: &Parts<'_>) -> Result<Self, NoRequest> {
        let provider = lane.provider.as_ref().map_or("", |row| row.id());
        let target = parts.target.map_or_else(|| plain(lane.source.path.as_str()), str::to_owned);
        let mut headers = sample::headers(provider, parts.event, DELIVERY_ID);
        let mut body = parts.body.clone();
        headers.insert(header::CONTENT_TYPE, sample::content_type(lane.provider.as_ref(), &body));
        edit(&mut headers, parts.headers)?;
        if parts.is_signed && lane.verifier.scheme().is_none().is_none() {
            let signed = sign(lane, (&target, headers), body, parts.now, parts.tamper).map_err(NoRequest::Sign)?;
            (headers, body) = (signed.headers, signed.body);
            // A header of the case's own stands over the signature: a forged one.
            edit(&mut headers, parts.headers)?;
        }
        let (path, query) = target.split_once('?').map_or((&*target, None), |(path, query)| (path, Some(query)));
        Ok(Self {
            method: parts.method.to_owned(),
            path: path.to_owned(),
            query: query.map(str::to_owned),
            host: lane.source.host.clone().unwrap_or_default(),
            headers,
            body,
            sender: parts.sender.unwrap_or_else(|| usual_sender(lane)),
        })
    }

    pub(super) fn head(&self) -> Head<'_> {
        Head {
            method: &self.method,
            path: &self.path,
            query: self.query.as_deref(),
            host: &self.host,
            headers: &self.headers,
            content_length: Some(self.body.len() as u64),
            params: &[],
            sender: self.sender,
        }
    }
}

/// A path with its parameters' names in their places.
fn plain(pattern: &str) -> String {
    pattern.replace(['{', '}'], "")
}

/// An address that the source lets in.
fn usual_sender(lane: &Lane) -> IpAddr {
    lane.source.allow_ips.first().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), ipnet::IpNet::network)
}

/// Headers written as `name: value`.
pub(super) fn written(lines: &[String]) -> Option<Vec<(String, String)>> {
    let split = |line: &String| {
        let (name, value) = line.split_once(':')?;
        Some((name.trim().to_owned(), value.trim().to_owned()))
    };
    let headers: Option<Vec<_>> = lines.iter().map(split).collect();
    if headers.is_none() {
        terminal::tell("hookgate: write a header as --header 'name: value'");
    }
    headers
}

/// Replaces headers; one with an empty value is taken away.
pub(super) fn edit(headers: &mut HeaderMap, edits: &[(String, String)]) -> Result<(), NoRequest> {
    for (name, value) in edits {
        let bad = || NoRequest::Header(name.clone());
        let parsed = HeaderName::from_bytes(name.as_bytes()).ok().ok_or_else(bad)?;
        if value.is_empty() {
            headers.remove(parsed);
        } else {
            headers.insert(parsed, HeaderValue::from_str(value).ok().ok_or_else(bad)?);
        }
    }
    Ok(())
}
