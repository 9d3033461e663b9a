//! A sample request, made as its provider would send it: for `explain` and `test`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::send::{Tamper, sign};
use super::{sample, terminal};
use crate::clock::Timestamp;
use crate::inbound::Head;
use crate::provider::SignProblem;
use crate::rules::SourceRules;

/// The delivery id of every sample request, so that the same case gives the same answer.
const DELIVERY_ID: &str = "00000000-0000-7000-8000-000000000001";

/// The parts of a sample request.
#[derive(Debug)]
pub(super) struct SampleParts<'a> {
    /// The event's type, for providers that send it in a header.
    pub(super) event: &'a str,
    /// Path and query; `None` for the source's own path.
    pub(super) target: Option<&'a str>,
    pub(super) method: &'a str,
    pub(super) body: Bytes,
    /// Headers that replace those of the provider; an empty value removes one.
    pub(super) headers: &'a [(String, String)],
    pub(super) sender: Option<IpAddr>,
    /// The moment of receipt.
    pub(super) now: Timestamp,
    pub(super) is_signed: bool,
    pub(super) tamper: Option<Tamper>,
}

/// A whole request.
#[derive(Debug)]
pub(super) struct SampleRequest {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: Option<String>,
    pub(super) host: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) sender: IpAddr,
}

/// The reason for which a request cannot be made.
#[derive(Debug)]
pub(super) enum NoRequest {
    /// A header that cannot be sent.
    Header(String),
    /// A request that cannot be signed here.
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

impl SampleRequest {
    /// Makes and signs a request.
    pub(super) fn new(lane: &SourceRules, parts: &SampleParts<'_>) -> Result<Self, NoRequest> {
        let provider = lane.provider.as_ref().map_or("", |row| row.id());
        let target = parts.target.map_or_else(|| plain(lane.source.path.as_str()), str::to_owned);
        let mut headers = sample::headers(provider, parts.event, DELIVERY_ID);
        let mut body = parts.body.clone();
        headers.insert(header::CONTENT_TYPE, sample::content_type(lane.provider.as_ref(), &body));
        edit(&mut headers, parts.headers)?;
        if parts.is_signed && lane.verifier.scheme().is_none().is_none() {
            let signed = sign(lane, (&target, headers), body, parts.now, parts.tamper).map_err(NoRequest::Sign)?;
            (headers, body) = (signed.headers, signed.body);
            // A header of the case replaces one of the signature: a forged signature.
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

/// Returns a path with the names of its parameters in their places.
fn plain(pattern: &str) -> String {
    pattern.replace(['{', '}'], "")
}

/// Returns an address that the source accepts.
fn usual_sender(lane: &SourceRules) -> IpAddr {
    lane.source.allow_ips.first().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), ipnet::IpNet::network)
}

/// Reads headers written as `name: value`.
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

/// Replaces headers; an empty value removes one.
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
