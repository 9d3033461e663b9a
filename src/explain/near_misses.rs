//! Near misses of a request: another source, another secret, a changed body, another URL.

use bytes::Bytes;

use super::Question;
use crate::inbound::Head;
use crate::provider::{Failed, Message};
use crate::rules::{Rules, SourceRules};

/// The limit of near misses that are reported.
const MISSES_MAX: usize = 3;

/// Finds sources near to a request that reached no source, or was refused by its head.
pub(super) fn to_a_source(rules: &Rules, head: &Head<'_>) -> Vec<String> {
    let trimmed = head.path.trim_end_matches('/');
    let mut near: Vec<(usize, String)> = rules
        .lanes
        .iter()
        .filter_map(|lane| {
            let (source, path) = (&lane.source, lane.source.path.as_str());
            let distance = strsim::levenshtein(&like(path, trimmed).to_lowercase(), &trimmed.to_lowercase());
            let is_near = distance <= 1 + path.len() / 5;
            let why = match &source.host {
                Some(host) if path == head.path && *host != head.host => format!("it answers for the host {host} only"),
                _ if path == head.path => return None,
                _ if source.path.matches(trimmed) => "its path has no `/` at the end".to_owned(),
                _ => format!("its path is {path}"),
            };
            is_near.then(|| (distance, format!("source `{}`: {why}", source.name)))
        })
        .collect();
    near.sort();
    near.into_iter().take(MISSES_MAX).map(|(_, text)| text).collect()
}

/// Returns a pattern with its parameters replaced by the segments of a path.
fn like(pattern: &str, path: &str) -> String {
    let mut sent = path.split('/');
    let segments = pattern.split('/').map(|segment| {
        let sent = sent.next().unwrap_or_default();
        if segment.starts_with('{') { sent } else { segment }
    });
    segments.collect::<Vec<_>>().join("/")
}

/// Finds near misses of a failed signature: secrets under which it is right, and the near misses of its verifier.
pub(super) fn to_a_secret(rules: &Rules, lane: &SourceRules, question: &Question<'_>, body: &Bytes) -> Vec<String> {
    let mut misses = Vec::new();
    for other in rules.lanes.iter().filter(|other| other.source.name != lane.source.name) {
        if let Some(secret) = verifies(other, question, body) {
            misses.push(format!("it is right under the secret `{secret}` of the source `{}`", other.source.name));
        }
    }
    let (head, called) = (&question.head, question.head.target());
    let url = lane.source.signed_url(&called);
    let message = Message { method: head.method, url: &url, headers: head.headers, body };
    let (verifier, secrets) = (&lane.verifier, lane.desk.secrets.as_slice());
    let failed = Failed { verifier, secrets, message, called: &called, ring: question.keys, now: question.now };
    misses.extend(failed.near_misses());
    misses.truncate(MISSES_MAX);
    misses
}

fn verifies(lane: &SourceRules, question: &Question<'_>, body: &Bytes) -> Option<String> {
    let head = &question.head;
    let url = lane.source.signed_url(&head.target());
    let message = Message { method: head.method, url: &url, headers: head.headers, body };
    let proof = lane.verifier.verify_with(&message, question.keys, question.now).ok()?;
    proof.secret().map(|name| name.as_str().to_owned())
}
