//! The record of a request, as it is stored if it becomes an event.

use std::sync::Arc;

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::event::{EventData, EventId, kept_headers};
use crate::inbound::Head;
use crate::rules::SourceRules;

/// Records a request as it came. Type, id, copies and problems are the gates' to add.
pub(crate) fn record(
    lane: &SourceRules,
    head: &Head<'_>,
    (now, random): (Timestamp, [u8; 10]),
    body: Bytes,
) -> EventData {
    EventData {
        id: EventId::at(now, random),
        source: Arc::clone(&lane.source.name),
        received_at_ms: now.unix_ms(),
        event_type: None,
        delivery_id: None,
        verified_by: None,
        method: head.method.to_owned(),
        target: head.target(),
        headers: kept_headers(head.headers),
        copies: Vec::new(),
        problems: Vec::new(),
        unverified: None,
        host: Some(head.host.to_owned()),
        sender: Some(head.sender),
        params: head.params.to_vec(),
        body,
    }
}
