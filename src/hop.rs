//! Hop-by-hop headers: those of one connection, which nobody passes on (RFC 9110 §7.6.1).
//!
//! They are a fixed list of names, and the names in `Connection`. What a use keeps back besides, such as `Host` or
//! `Content-Length`, stands at that use.

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Checks whether a header belongs to one connection by its name, in lower case.
pub fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "http2-settings"
            | "keep-alive"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Returns the headers that do not belong to one connection, by their names and by what `Connection` lists.
pub fn end_to_end(headers: &HeaderMap) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
    let values = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let listed: Vec<&str> = values.flat_map(|value| value.split(',')).map(str::trim).collect();
    headers.iter().filter(move |(name, _)| {
        !is_hop_by_hop(name.as_str()) && !listed.iter().any(|listed| listed.eq_ignore_ascii_case(name.as_str()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_connection_lists_stays_on_the_connection() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Session"),
            ("connection", "x-other"),
            ("x-session", "1"),
            ("x-other", "2"),
            ("te", "trailers"),
            ("x-kept", "3"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        let kept: Vec<_> = end_to_end(&headers).map(|(name, _)| name.as_str()).collect();
        assert_eq!(kept, ["x-kept"]);
    }
}
