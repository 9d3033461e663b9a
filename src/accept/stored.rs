//! Stored events under today's rules: the gates of `accept` that come after the signature, once more.
//!
//! Signatures are verified at receipt; `rejudge` re-evaluates those that failed. Nothing is stored from here.

use std::net::{IpAddr, Ipv4Addr};

use http::HeaderMap;

use super::payload::{check, read};
use super::routes::{Named, Routed, route};
use crate::event::{Dispatch, EventData};
use crate::inbound::Head;
use crate::refusal::{PayloadProblem, Refusal};
use crate::rules::SourceRules;

/// A stored event, re-evaluated under today's rules, all but its signature.
#[derive(Debug)]
pub struct Again {
    /// Its problems; empty if it has none.
    pub problems: Vec<PayloadProblem>,
    /// Its copies, one for each destination of each route that takes it.
    pub copies: Vec<Dispatch>,
    /// Its type and id, as today's rules read them. A value that they do not find is the stored one.
    pub named: Named,
    /// The refusal that today's rules would answer.
    pub refusal: Option<Refusal>,
}

/// Re-evaluates a stored event under today's hygiene, schemas and routes. Its problems are those for which it would be
/// refused or quarantined today.
pub fn judge_again(lane: &SourceRules, event: &EventData) -> Again {
    let headers = event.header_map();
    let head = stored_head(event, &headers);
    let document = read(lane, &head, &event.body);
    let named = Named::again(lane, event, &headers, &document);
    let judged = check(lane, &named, &document, None).kept;
    let routed = route(lane, &head, (&document, &event.body), &named);
    let (problems, refusal) = match judged {
        Ok(kept) if kept.problems.is_empty() => (routed.problems(), None),
        Ok(kept) => (kept.problems, None),
        Err(refusal) => (refusal.problems.clone(), Some(refusal)),
    };
    Again { problems, copies: routed.copies, named, refusal }
}

/// Evaluates today's routes on a stored event: its copies, and the routes that fail on it.
pub fn route_again(lane: &SourceRules, event: &EventData) -> Routed {
    let headers = event.header_map();
    let head = stored_head(event, &headers);
    let document = read(lane, &head, &event.body);
    route(lane, &head, (&document, &event.body), &Named::again(lane, event, &headers, &document))
}

/// Makes the head of a stored event. An unknown host is empty, an unknown sender `0.0.0.0`.
pub(crate) fn stored_head<'a>(event: &'a EventData, headers: &'a HeaderMap) -> Head<'a> {
    let (path, query) =
        event.target.split_once('?').map_or((&*event.target, None), |(path, query)| (path, Some(query)));
    Head {
        method: &event.method,
        path,
        query,
        host: event.host.as_deref().unwrap_or_default(),
        headers,
        content_length: None,
        params: &event.params,
        sender: event.sender.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
    }
}
