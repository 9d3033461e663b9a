//! A request as plain data, so that every part can be changed; and its text for failure messages.

use std::fmt;

use hookgate::clock::Timestamp;
use hookgate::provider::{Failure, Message, Verified, Verifier};
use http::{HeaderMap, HeaderName, HeaderValue};

/// The longest header value that the gateway promises to read.
const HEADER_BYTES_MAX: usize = 8 * 1024;

/// A request and the moment at which it arrives.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
    pub(crate) now_ms: u64,
}

impl Request {
    pub(crate) fn new(url: &str, headers: &[(&str, &str)], body: &[u8], now: u64) -> Self {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
        Self { method: "POST".to_owned(), url: url.to_owned(), headers, body: body.to_vec(), now_ms: now * 1000 }
    }

    /// Returns the engine's verdict; `None` when the request is not valid HTTP and so never reaches the engine.
    pub(crate) fn judge(&self, verifier: &Verifier) -> Option<Result<Verified, Failure>> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            headers.append(name, HeaderValue::from_bytes(value).ok()?);
        }
        let message = Message { method: &self.method, url: &self.url, headers: &headers, body: &self.body };
        Some(verifier.verify(&message, Timestamp::from_unix_ms(self.now_ms)))
    }

    /// Counts the occurrences of a header.
    pub(crate) fn count(&self, name: &str) -> usize {
        self.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name)).count()
    }

    /// Returns the value of a header that is there once and not too long.
    pub(crate) fn single(&self, name: &str) -> Option<&[u8]> {
        let mut values = self.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        let (_, value) = values.next()?;
        (values.next().is_none() && value.len() <= HEADER_BYTES_MAX).then_some(value)
    }

    /// Returns that value as text.
    pub(crate) fn single_text(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.single(name)?).ok()
    }

    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        self.headers.iter().position(|(other, _)| other.eq_ignore_ascii_case(name))
    }

    pub(crate) fn set(&mut self, name: &str, value: Vec<u8>) {
        match self.position(name) {
            Some(at) => self.headers[at].1 = value,
            None => self.headers.push((name.to_owned(), value)),
        }
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "at {} ms\n{} {}", self.now_ms, self.method, self.url)?;
        for (name, value) in &self.headers {
            writeln!(f, "{name}: {}", value.escape_ascii())?;
        }
        write!(f, "\n{}", self.body.escape_ascii())
    }
}
