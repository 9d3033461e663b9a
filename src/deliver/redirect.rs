//! The target of a redirect, for people. A redirect is never followed, so the operator has to see which URL to
//! configure.
//!
//! Scheme, host, port and path are shown, cut at [`SHOWN_MAX`]. User information, query and fragment are left out,
//! because they may hold secrets.

use http::header::LOCATION;

use super::attempt::{Answer, Target};

/// The most bytes of a location that are shown.
const SHOWN_MAX: usize = 120;

/// Describes an answer that is a redirect, with its location; `None` for any other answer.
pub(super) fn told(answer: &Answer, target: &Target) -> Option<String> {
    if !matches!(answer.status, 300..=303 | 305..=399) {
        return None;
    }
    let place = answer.headers.get(LOCATION).map(|value| place(value.as_bytes(), target));
    let place = place.map_or_else(|| "without a Location".to_owned(), |place| format!("to {place}"));
    Some(format!("status {}: redirect, not followed, {place}", answer.status))
}

/// Describes the location that a `Location` header names, relative to `target`.
fn place(location: &[u8], target: &Target) -> String {
    let text: String = location.iter().map(|byte| char::from(*byte)).collect();
    let text = text.trim().split(['?', '#']).next().unwrap_or_default();
    let scheme = if target.tls { "https" } else { "http" };
    let place = match text.split_once("://") {
        Some((scheme, rest)) if is_scheme(scheme) => format!("{scheme}://{}", without_user(rest)),
        _ => match text.strip_prefix("//") {
            Some(rest) => format!("{scheme}://{}", without_user(rest)),
            None if text.starts_with('/') => format!("{scheme}://{}{text}", target.authority()),
            // A relative path is shown as it is. A scheme without `//` may be followed by anything.
            None if text.contains([':', '@']) => "a Location that is no URL of http".to_owned(),
            None => format!("{scheme}://{}/…/{text}", target.authority()),
        },
    };
    let shown: String =
        place.chars().map(|c| if c.is_ascii_graphic() || c == ' ' || c == '…' { c } else { '?' }).collect();
    let end = shown.floor_char_boundary(SHOWN_MAX);
    match shown.get(..end) {
        Some(cut) if end < shown.len() => format!("{cut}…"),
        _ => shown,
    }
}

fn is_scheme(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// Returns authority and path without user information.
fn without_user(rest: &str) -> String {
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{host}{path}")
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, HeaderValue};

    use super::*;

    fn told_of(status: u16, location: Option<&str>) -> Option<String> {
        let mut headers = HeaderMap::new();
        if let Some(location) = location {
            headers.insert(LOCATION, HeaderValue::from_bytes(location.as_bytes()).unwrap());
        }
        let answer = Answer { status, headers, body: Bytes::new(), is_whole: true };
        told(&answer, &Target::parse("http://svc:8080/hooks?key=s3cret").unwrap())
    }

    #[test]
    fn a_redirect_is_told_with_host_and_path_and_without_what_may_be_secret() {
        for (location, place) in [
            ("https://svc.internal/hooks/", "https://svc.internal/hooks/"),
            ("https://user:s3cret@svc:8443/a?token=s3cret#s3cret", "https://svc:8443/a"),
            ("//other/a?s3cret", "http://other/a"),
            ("//u:s3cret@other", "http://other"),
            ("/login?next=s3cret", "http://svc:8080/login"),
            ("a/b?s3cret", "http://svc:8080/…/a/b"),
            ("?s3cret", "http://svc:8080/…/"),
            ("mailto:s3cret@svc", "a Location that is no URL of http"),
            ("/a@b", "http://svc:8080/a@b"),
            ("https://svc/a\tb\u{e9}", "https://svc/a?b??"),
        ] {
            assert_eq!(
                told_of(308, Some(location)).unwrap(),
                format!("status 308: redirect, not followed, to {place}")
            );
        }
    }

    #[test]
    fn a_place_is_cut_and_a_missing_one_is_said() {
        let long = told_of(301, Some(&format!("https://svc/{}", "a".repeat(5000)))).unwrap();
        assert!(long.len() < 180 && long.ends_with("aaa…"), "{long}");
        assert_eq!(told_of(302, None).unwrap(), "status 302: redirect, not followed, without a Location");
        assert_eq!((told_of(304, None), told_of(404, Some("/a"))), (None, None));
    }
}
