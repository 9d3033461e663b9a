//! Incoming requests, not yet trusted.
//!
//! A [`Head`] borrows the request line and the headers of one request after the ingress has checked their framing. It
//! knows nothing of sources, secrets or pingora, and proves nothing.

use std::net::IpAddr;

use http::HeaderMap;

use crate::body::{self, Document};
use crate::condition::View;

/// The longest name of a content coding that is repeated to the sender, in bytes.
const CODING_BYTES_SHOWN: usize = 20;

/// The head of one request.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The method, as sent.
    pub method: &'a str,
    /// The path as sent: not decoded, not normalised.
    pub path: &'a str,
    /// The query as sent, without the `?`.
    pub query: Option<&'a str>,
    /// The host, lower case, without port.
    pub host: &'a str,
    /// All headers.
    pub headers: &'a HeaderMap,
    /// The declared length of the body; `None` when it comes in chunks or as HTTP/2 frames without length.
    pub content_length: Option<u64>,
    /// The parameters of the source's path, each with its value; none until the source is known.
    pub params: &'a [(String, String)],
    /// The sender's address: the peer's, or the one that a trusted proxy reports.
    pub sender: IpAddr,
}

impl Head<'_> {
    /// Returns the request target as sent: path and query.
    pub fn target(&self) -> String {
        match self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.to_owned(),
        }
    }

    /// Makes the view for conditions, keys and values, once the source and the body are known.
    pub fn view<'v>(
        &'v self,
        source: &'v str,
        document: &'v Document<'v>,
        (event_type, event_id): (Option<&'v str>, Option<&'v str>),
    ) -> View<'v> {
        View {
            body: document.json(),
            received: document,
            headers: self.headers,
            event_type: event_type.unwrap_or_default(),
            event_id: event_id.unwrap_or_default(),
            source,
            method: self.method,
            path: self.path,
            query: self.query.unwrap_or_default(),
            params: self.params,
        }
    }

    /// Returns the first coding of `Content-Encoding` that changes the body. `identity` and an empty list do not.
    pub fn compression(&self) -> Option<String> {
        let lines = self.headers.get_all(http::header::CONTENT_ENCODING).iter();
        let mut codings = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
        let coding = codings.find(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"))?;
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'+');
        let is_shown = coding.len() <= CODING_BYTES_SHOWN && coding.iter().all(is_name);
        Some(if is_shown { String::from_utf8_lossy(coding).into_owned() } else { "in an unknown way".to_owned() })
    }

    /// Returns the media type of the body in lower case, without parameters.
    pub fn media_type(&self) -> Option<String> {
        body::media_type(self.headers)
    }
}

/// Returns the sender's address: the peer's, or, if the peer is a trusted proxy, the right-most address of
/// `X-Forwarded-For` that is not a trusted proxy. Addresses further left were written by strangers.
pub fn sender(peer: IpAddr, headers: &HeaderMap, trusted: &[ipnet::IpNet]) -> IpAddr {
    let is_trusted = |ip: IpAddr| trusted.iter().any(|net| net.contains(&ip));
    let peer = peer.to_canonical();
    if !is_trusted(peer) {
        return peer;
    }
    let mut sender = peer;
    // A line that is not text becomes a hop that is not an address, which ends the walk.
    let lines: Vec<&str> = headers.get_all("x-forwarded-for").iter().map(|line| line.to_str().unwrap_or("?")).collect();
    for hop in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
        let Ok(ip) = hop.trim().parse::<IpAddr>() else { return sender };
        sender = ip.to_canonical();
        if !is_trusted(sender) {
            return sender;
        }
    }
    sender
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forwarded(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", value.parse().unwrap());
        headers
    }

    #[test]
    fn only_what_changes_the_body_is_compression() {
        let coding = |lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append("content-encoding", line.parse().unwrap());
            }
            let (path, host, sender) = ("/", "a", "192.0.2.1".parse().unwrap());
            let head = Head {
                method: "POST",
                path,
                query: None,
                host,
                headers: &headers,
                content_length: None,
                params: &[],
                sender,
            };
            head.compression()
        };
        let none: [&[&str]; 8] =
            [&[], &[""], &[" "], &[","], &[" , ,"], &["identity"], &["identity, Identity"], &["", "identity", ","]];
        for lines in none {
            assert_eq!(coding(lines), None, "{lines:?}");
        }
        for (lines, name) in [
            (&["gzip"][..], "gzip"),
            (&["identity, br"], "br"),
            (&["", "zstd"], "zstd"),
            (&[", X-GZip,"], "X-GZip"),
            (&["gzip;q=1"], "in an unknown way"),
            (&["identity identity"], "in an unknown way"),
            (&["averyveryverylongname"], "in an unknown way"),
        ] {
            assert_eq!(coding(lines).as_deref(), Some(name), "{lines:?}");
        }
    }

    #[test]
    fn a_stranger_cannot_forward_for_anybody() {
        let seen = sender("203.0.113.9".parse().unwrap(), &forwarded("10.0.0.1"), &["10.0.0.0/8".parse().unwrap()]);
        assert_eq!(seen, "203.0.113.9".parse::<IpAddr>().unwrap());
    }

    #[test]
    fn behind_a_trusted_proxy_the_right_most_untrusted_address_counts() {
        let headers = forwarded("1.1.1.1, 198.51.100.7, 10.0.0.2");
        let seen = sender("10.0.0.3".parse().unwrap(), &headers, &["10.0.0.0/8".parse().unwrap()]);
        assert_eq!(seen, "198.51.100.7".parse::<IpAddr>().unwrap());
    }

    #[test]
    fn garbage_in_the_list_stops_the_walk() {
        let mut headers = forwarded("10.9.9.9");
        headers.append("x-forwarded-for", http::HeaderValue::from_bytes(b"\xff").unwrap());
        let seen = sender("10.0.0.3".parse().unwrap(), &headers, &["10.0.0.0/8".parse().unwrap()]);
        assert_eq!(seen, "10.0.0.3".parse::<IpAddr>().unwrap());
        let headers = forwarded("1.1.1.1, nonsense");
        let seen = sender("10.0.0.3".parse().unwrap(), &headers, &["10.0.0.0/8".parse().unwrap()]);
        assert_eq!(seen, "10.0.0.3".parse::<IpAddr>().unwrap());
    }
}
