//! Near misses of a message that failed verification: the changes under which it would verify. These are another
//! reading of its secret, its body without the line end that an editor adds, and another URL.
//!
//! Near misses are looked for on behalf of people, after a failure only. The number of attempts and the bytes that are
//! hashed for them are bounded. The text of a near miss names secrets and never shows them. It shows a URL whole; the
//! caller hides the credentials in the URL.

use http::HeaderMap;
use http::header::HOST;

use super::keys::KeyRing;
use super::message::Message;
use super::url::{path_and_query, with_other_default_port};
use super::verify::Verifier;
use crate::clock::Timestamp;
use crate::secret::Secret;
use crate::wrapping::{Wrapping, readings};

/// The most secrets that are tried.
const SECRETS_MAX: usize = 8;
/// The most URLs that are tried.
const URLS_MAX: usize = 48;
/// The most bytes that are hashed for one message. Each attempt costs its body and [`TRY_BYTES`].
const WORK_BYTES_MAX: usize = 64 * 1024 * 1024;
const TRY_BYTES: usize = 16 * 1024;

/// A message that failed verification, with the inputs for a search of near misses.
#[derive(Debug)]
pub struct Failed<'a> {
    /// The verifier under which the message failed.
    pub verifier: &'a Verifier,
    /// The secrets of the verifier.
    pub secrets: &'a [Secret],
    /// The message.
    pub message: Message<'a>,
    /// Path and query as they were called.
    pub called: &'a str,
    /// Keys that were fetched.
    pub ring: &'a dyn KeyRing,
    /// The moment of receipt.
    pub now: Timestamp,
}

impl Failed<'_> {
    /// Returns the near misses of the message, each as a sentence.
    pub fn near_misses(&self) -> Vec<String> {
        let mut work = Work(WORK_BYTES_MAX);
        let mut misses = Vec::new();
        misses.extend(self.by_body(&mut work));
        misses.extend(self.by_secret(&mut work));
        misses.extend(self.by_url(&mut work));
        misses
    }

    fn is_right(&self, verifier: &Verifier, message: &Message<'_>, work: &mut Work) -> bool {
        work.takes(message.body.len()) && verifier.verify_with(message, self.ring, self.now).is_ok()
    }

    fn by_body(&self, work: &mut Work) -> Option<String> {
        [(&b"\r\n"[..], "CR and LF"), (b"\n", "a line feed")].into_iter().find_map(|(end, what)| {
            let body = self.message.body.strip_suffix(end)?;
            let told = || format!("it is right without {what} at the end of the body: an editor or a proxy added it");
            self.is_right(self.verifier, &Message { body, ..self.message }, work).then(told)
        })
    }

    fn by_secret(&self, work: &mut Work) -> Option<String> {
        let secrets = self.secrets.iter().take(SECRETS_MAX);
        let mut read = secrets.flat_map(|secret| readings(secret.expose()).into_iter().map(move |read| (secret, read)));
        read.find_map(|(secret, (layers, text))| {
            let meant = Secret::new(secret.name().clone(), text.to_vec())?.valid(secret.validity());
            let context = self.verifier.context.clone();
            let verifier = Verifier::new(self.verifier.scheme().clone(), vec![meant], context).ok()?;
            let how: Vec<&str> = layers.iter().map(|layer: &Wrapping| layer.is_right()).collect();
            let told = || format!("it is right {} (the secret `{}`)", how.join(", "), secret.name());
            self.is_right(&verifier, &self.message, work).then(told)
        })
    }

    fn by_url(&self, work: &mut Work) -> Option<String> {
        if !self.verifier.scheme().signs_url() {
            return None;
        }
        let near = near_urls(self.message.url, self.called, self.message.headers);
        near.into_iter().take(URLS_MAX).find_map(|(url, changes)| {
            let told = || format!("it is right for the URL {url} ({})", changes.join(", "));
            self.is_right(self.verifier, &Message { url: &url, ..self.message }, work).then(told)
        })
    }
}

/// The bytes that are left to spend.
struct Work(usize);

impl Work {
    fn takes(&mut self, body_bytes: usize) -> bool {
        let left = self.0.checked_sub(body_bytes.saturating_add(TRY_BYTES));
        self.0 = left.unwrap_or(self.0);
        left.is_some()
    }
}

/// A part of a URL that may have been signed, and its difference from the one that was judged.
type Part = (String, Option<&'static str>);

/// Returns the URLs near the one that was judged, those with the fewest changes first.
fn near_urls(judged: &str, called: &str, headers: &HeaderMap) -> Vec<(String, Vec<&'static str>)> {
    let paths = paths(path_and_query(judged), called);
    let mut near = Vec::new();
    match judged.split_once("://") {
        None => near.extend(paths.into_iter().map(|(path, change)| (path, change.into_iter().collect::<Vec<_>>()))),
        Some((scheme, _)) => {
            for (origin, of_origin) in origins(judged, scheme, headers) {
                near.extend(paths.iter().map(|(path, of_path)| {
                    let changes = of_origin.iter().copied().chain(*of_path).collect();
                    (format!("{origin}{path}"), changes)
                }));
            }
        }
    }
    near.sort_by_key(|(_, changes)| changes.len());
    near.retain(|(url, _)| url != judged);
    near
}

/// Returns the near values of scheme, host and port.
fn origins(judged: &str, scheme: &str, headers: &HeaderMap) -> Vec<(String, Vec<&'static str>)> {
    let rest = judged.split_once("://").map_or(judged, |(_, rest)| rest);
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let mut authorities: Vec<Part> = vec![(authority.to_owned(), None)];
    let hosts = [(text(HOST.as_str()), "the `Host` header's host"), (text("x-forwarded-host"), "the forwarded host")];
    for (host, change) in hosts {
        let is_host = |host: &&str| !host.is_empty() && !host.contains(['/', '?', '#', '@', ',', ' ']);
        authorities.extend(host.filter(is_host).map(|host| (host.to_owned(), Some(change))));
    }
    let without_port: Vec<Part> = authorities.iter().filter_map(|(authority, _)| without_port(authority)).collect();
    authorities.extend(without_port);
    let other = if scheme == "https" { "http" } else { "https" };
    let other_change = if scheme == "https" { "http instead of https" } else { "https instead of http" };
    let mut origins: Vec<(String, Vec<&'static str>)> = Vec::new();
    for (scheme, of_scheme) in [(scheme, None), (other, Some(other_change))] {
        for (authority, of_authority) in &authorities {
            let changes: Vec<&'static str> = of_scheme.into_iter().chain(*of_authority).collect();
            let origin = format!("{scheme}://{authority}");
            let with_port = with_other_default_port(&origin).filter(|other| other.len() > origin.len());
            let with_port = with_port.map(|origin| (origin, [changes.as_slice(), &["with the default port"]].concat()));
            origins.push((origin, changes));
            origins.extend(with_port);
        }
    }
    origins
}

fn without_port(authority: &str) -> Option<Part> {
    let (host, port) = authority.rsplit_once(':')?;
    let is_port = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    is_port.then(|| (host.to_owned(), Some("without the port")))
}

/// Returns the near values of path and query.
fn paths(judged: &str, called: &str) -> Vec<Part> {
    let (path, query) = judged.split_once('?').map_or((judged, None), |(path, query)| (path, Some(query)));
    let with_query = |path: &str| query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    let mut paths: Vec<Part> = vec![(judged.to_owned(), None)];
    match path.strip_suffix('/') {
        Some(bare) if !bare.is_empty() => paths.push((with_query(bare), Some("without `/` at the end"))),
        Some(_) => {}
        None => paths.push((with_query(&format!("{path}/")), Some("with `/` at the end"))),
    }
    if query.is_some() {
        paths.push((path.to_owned(), Some("without the query")));
    } else if let Some((_, query)) = called.split_once('?') {
        paths.push((format!("{path}?{query}"), Some("with the query")));
    }
    if called != judged {
        paths.push((called.to_owned(), Some("the path as it was called")));
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_near_the_judged_one_begin_with_one_change() {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, http::HeaderValue::from_static("inner:8080"));
        let near = near_urls("https://hooks.example.com/in/t?a=1", "/t?a=1", &headers);
        let urls: Vec<&str> = near.iter().map(|(url, _)| url.as_str()).collect();
        for url in [
            "http://hooks.example.com/in/t?a=1",
            "https://hooks.example.com:443/in/t?a=1",
            "https://inner:8080/in/t?a=1",
            "https://hooks.example.com/in/t/?a=1",
            "https://hooks.example.com/in/t",
            "https://hooks.example.com/t?a=1",
            "http://inner:8080/t?a=1",
        ] {
            let at = urls.iter().position(|known| *known == url);
            assert!(at.is_some_and(|at| at < URLS_MAX), "{url}: {urls:?}");
        }
        assert!(!urls.contains(&"https://hooks.example.com/in/t?a=1"));
        assert!(near.first().is_some_and(|(_, changes)| changes.len() == 1));
    }
}
