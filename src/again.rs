//! Stored events under today's rules: the gates of `accept` that come after the signature, once more.
//!
//! A signature was judged at receipt and is not judged here (`rejudge` does, where it failed). Nothing is stored from here.

use std::net::{IpAddr, Ipv4Addr};

use http::HeaderMap;

use crate::accept::{Notes, check_body, read};
use crate::event::{Copy, EventData};
use crate::inbound::Head;
use crate::lane::Lane;
use crate::refusal::{PayloadProblem, Refusal};
use crate::routing::{Named, Routed, route};

/// What today's rules make of a stored event; its signature was judged at its receipt.
#[derive(Debug)]
pub struct Again {
    /// What is wrong with it; empty when nothing is.
    pub problems: Vec<PayloadProblem>,
    /// Where it goes.
    pub copies: Vec<Copy>,
    /// Its type and id, as today's rules read them; what they do not find is as it was stored.
    pub named: Named,
    /// What would be answered instead of accepting it.
    pub refusal: Option<Refusal>,
}

/// Judges a stored event by today's hygiene, schemas and routes. What would be refused or kept back today counts as wrong.
pub fn judge_again(lane: &Lane, event: &EventData) -> Again {
    let (headers, mut notes) = (event.header_map(), Notes::default());
    let head = stored_head(event, &headers);
    let document = read(lane, &head, &event.body);
    let named = Named::again(lane, event, &headers, &document);
    let of_type = named.event_type.as_deref().unwrap_or_default();
    let judged = check_body(lane, of_type, &document, event.received_at(), &mut notes);
    let routed = route(lane, &head, (&document, &event.body), &named);
    let (problems, refusal) = match judged {
        Ok(problems) if problems.is_empty() => (routed.problems(), None),
        Ok(problems) => (problems, None),
        Err(refusal) => (refusal.problems.clone(), Some(refusal)),
    };
    Again { problems, copies: routed.copies, named, refusal }
}

/// Says where today's routes send a stored event, and which of them fail on it.
pub fn route_again(lane: &Lane, event: &EventData) -> Routed {
    let headers = event.header_map();
    let head = stored_head(event, &headers);
    let document = read(lane, &head, &event.body);
    route(lane, &head, (&document, &event.body), &Named::again(lane, event, &headers, &document))
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
