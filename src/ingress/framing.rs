//! Checks for ambiguous framing and malformed heads that pingora 0.9.1 accepts.
//!
//! Requests are smuggled where two parties read one message differently (RFC 9112 §11.2). So every message with a
//! second reading is refused, stricter than the RFC where the RFC lets a server guess: `Content-Length` together with
//! `Transfer-Encoding`, any coding but exactly `chunked`, several lengths, bare line feeds, a missing or odd `Host`.

use std::net::IpAddr;

use http::{HeaderMap, Version, header};
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;

use super::head::{Limit, malformed};
use super::listen::ListenerLimits;
use crate::inbound::Head;
use crate::refusal::Refusal;

/// Refuses a head that is too large or has more than one reading. The lines of HTTP/1 were checked before (`head`).
pub(super) fn check(session: &ServerSession, limits: &ListenerLimits, listener: &str) -> Result<(), Refusal> {
    let request = session.req_header();
    let headers = &request.headers;
    if let Some(http1) = session.as_http1() {
        // pingora has dropped the length by now when both were there.
        let raw = http1.get_headers_raw_bytes();
        if headers.contains_key(header::TRANSFER_ENCODING) && has_field(&raw, b"content-length") {
            return Err(malformed("Content-Length and Transfer-Encoding together"));
        }
    } else if let Some(limit) = exceeded(request, limits) {
        return Err(limit.exceeded(limits, listener));
    }
    check_length(headers, request.version)
}

/// Returns the limit that a head of HTTP/2 exceeds; its fields count as they would be written in HTTP/1.
fn exceeded(request: &RequestHeader, limits: &ListenerLimits) -> Option<Limit> {
    let headers = &request.headers;
    let field_bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if request.raw_path().len() > limits.target_bytes_max {
        Some(Limit::Target)
    } else if headers.len() > limits.header_fields_max {
        Some(Limit::HeaderFields)
    } else {
        (field_bytes > limits.header_bytes_max).then_some(Limit::Headers)
    }
}

/// Checks whether the head has a field of this name, as received.
fn has_field(raw: &[u8], name: &[u8]) -> bool {
    raw.split(|byte| *byte == b'\n').skip(1).any(|line| {
        let field = line.split(|byte| *byte == b':').next().unwrap_or_default();
        field.trim_ascii().eq_ignore_ascii_case(name)
    })
}

fn check_length(headers: &HeaderMap, version: Version) -> Result<(), Refusal> {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let length = lengths.next();
    if lengths.next().is_some() {
        return Err(malformed("Content-Length stands more than once"));
    }
    if length.is_some_and(|value| value.is_empty() || !value.as_bytes().iter().all(u8::is_ascii_digit)) {
        return Err(malformed("Content-Length is not a number"));
    }
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next() {
        if length.is_some() {
            return Err(malformed("Content-Length and Transfer-Encoding together"));
        }
        if codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
            return Err(malformed("Transfer-Encoding is not exactly `chunked`"));
        }
        if version != Version::HTTP_11 {
            return Err(malformed("Transfer-Encoding needs HTTP/1.1"));
        }
    } else if length.is_none() && version < Version::HTTP_11 {
        return Err(malformed("an HTTP/1.0 request needs a Content-Length"));
    }
    Ok(())
}

/// Returns the host in lower case without port: from `Host`, or from the authority of HTTP/2.
pub(super) fn host(request: &RequestHeader) -> Result<String, Refusal> {
    let authority = match request.headers.get(header::HOST) {
        Some(host) => host.to_str().map_err(|_not_text| malformed("Host is not text"))?,
        None => request.uri.authority().map(http::uri::Authority::as_str).ok_or_else(|| malformed("no Host"))?,
    };
    let parsed: http::uri::Authority = authority.parse().map_err(|_invalid| malformed("Host is not a host"))?;
    if authority.contains('@') || parsed.host().is_empty() {
        return Err(malformed("Host is not a host"));
    }
    Ok(parsed.host().to_ascii_lowercase())
}

/// Builds the head for the gates.
pub(super) fn head<'a>(request: &'a RequestHeader, host: &'a str, sender: IpAddr) -> Result<Head<'a>, Refusal> {
    let target = std::str::from_utf8(request.raw_path()).map_err(|_not_text| malformed("the target is not text"))?;
    // pingora has checked an absolute-form target against Host; only its path and query count.
    let target = if target.starts_with('/') {
        target
    } else {
        request.uri.path_and_query().map_or("", |target| target.as_str())
    };
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let content_length = request.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    // A number that does not fit is larger than any cap.
    let content_length = content_length.map(|value| value.parse().unwrap_or(u64::MAX));
    let (method, headers) = (request.method.as_str(), &request.headers);
    Ok(Head { method, path, query, host, headers, content_length, params: &[], sender })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(headers: &[(&'static str, &'static str)], version: Version) -> String {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        check_length(&map, version).map_or_else(|refusal| refusal.why.into_owned(), |()| String::new())
    }

    #[test]
    fn a_length_with_two_readings_is_refused() {
        let http11 = Version::HTTP_11;
        assert!(why(&[("content-length", "5"), ("transfer-encoding", "chunked")], http11).contains("together"));
        assert!(why(&[("content-length", "5"), ("content-length", "5")], http11).contains("more than once"));
        for value in ["+5", "5, 5", "0x5", "", "5a"] {
            assert!(why(&[("content-length", value)], http11).contains("number"), "{value}");
        }
        for value in ["gzip, chunked", "identity", "chunked, chunked", "xchunked"] {
            assert!(why(&[("transfer-encoding", value)], http11).contains("exactly"), "{value}");
        }
        assert!(why(&[("transfer-encoding", "chunked")], Version::HTTP_10).contains("HTTP/1.1"));
        assert!(why(&[], Version::HTTP_10).contains("Content-Length"));
        assert_eq!(why(&[("transfer-encoding", "chunked")], http11), "");
        assert_eq!(why(&[("content-length", "5")], http11), "");
    }

    #[test]
    fn a_field_is_found_in_the_head_as_it_came() {
        assert!(has_field(b"POST / HTTP/1.1\r\nhost: a\r\nCONTENT-Length: 5\r\n\r\n", b"content-length"));
        assert!(!has_field(b"POST /content-length: HTTP/1.1\r\nx: content-length: 5\r\n\r\n", b"content-length"));
    }
}
