//! Stored events under today's rules: the gates of `accept` that come after the signature, once more.
//!
//! A signature was judged at receipt and is not judged here (`rejudge` does, where it failed). Nothing is stored from here.

use std::net::{IpAddr, Ipv4Addr};

use http::HeaderMap;

use crate::accept::{Notes, check_body, read, rendered, route};
use crate::body::Document;
use crate::event::{Copy, EventData};
use crate::inbound::Head;
use crate::lane::Lane;
use crate::refusal::{PayloadProblem, Refusal};

/// What today's rules make of a stored event; its signature was judged at its receipt.
#[derive(Debug)]
pub struct Again {
    /// What is wrong with it; empty when nothing is.
    pub problems: Vec<PayloadProblem>,
    /// Where it goes.
    pub copies: Vec<Copy>,
    /// Its type, as today's rules read it.
    pub event_type: Option<String>,
    /// The provider's id of the delivery, as today's rules read it.
    pub delivery_id: Option<String>,
    /// What would be answered instead of accepting it.
    pub refusal: Option<Refusal>,
}

/// Judges a stored event by today's hygiene, schemas and routes. What would be refused today counts as wrong.
pub fn judge_again(lane: &Lane, event: &EventData) -> Again {
    let (headers, mut notes) = (event.header_map(), Notes::default());
    let head = stored_head(event, &headers);
    let document = read(lane, &head, &event.body);
    let (event_type, delivery_id) = names(lane, &head, &document, event);
    let of_type = event_type.as_deref().unwrap_or_default();
    let judged = check_body(lane, of_type, &document, event.received_at(), &mut notes);
    let copies = route(lane, &head, &document, (event_type.as_deref(), delivery_id.as_deref()), &mut notes);
    let (problems, refusal) = match judged {
        Ok(problems) => (problems, None),
        Err(refusal) => (refusal.problems.clone(), Some(refusal)),
    };
    Again { problems, copies, event_type, delivery_id, refusal }
}

/// Where today's routes send a stored event.
pub fn route_again(lane: &Lane, event: &EventData) -> Vec<Copy> {
    let (headers, mut notes) = (event.header_map(), Notes::default());
    let head = stored_head(event, &headers);
    let document = read(lane, &head, &event.body);
    let (event_type, delivery_id) = names(lane, &head, &document, event);
    route(lane, &head, &document, (event_type.as_deref(), delivery_id.as_deref()), &mut notes)
}

/// Type and id of a stored event under today's rules. What they do not find stays as it was stored.
fn names(lane: &Lane, head: &Head<'_>, document: &Document<'_>, event: &EventData) -> (Option<String>, Option<String>) {
    let find = |template: &Option<_>| rendered(template.as_ref(), head, document, &event.body);
    let or = |stored: &Option<String>, found: Option<String>| found.or_else(|| stored.clone());
    (or(&event.event_type, find(&lane.event_type)), or(&event.delivery_id, find(&lane.delivery_id)))
}

/// The head of a stored event. Where host and sender are not known, no host and no address stand in their places.
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
