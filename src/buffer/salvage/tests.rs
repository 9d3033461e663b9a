//! Damage of every kind, on real files.
use bytes::Bytes;

use crate::clock::Timestamp;
use crate::event::{Copy, EventData, EventId};

pub(super) fn event(number: u32, bytes: usize) -> EventData {
    let [a, b, c, d] = number.to_be_bytes();
    EventData {
        id: EventId::at(Timestamp::from_unix_ms(7), [a, b, c, d, 0, 0, 0, 0, 0, 0]),
        source: "github".into(),
        received_at_ms: 7,
        event_type: None,
        delivery_id: Some(number.to_string()),
        verified_by: None,
        method: "POST".into(),
        target: "/in/github".into(),
        headers: Vec::new(),
        copies: vec![Copy { route: "r".into(), destination: "app".into() }],
        problems: Vec::new(),
        unverified: None,
        body: Bytes::from(vec![number.to_le_bytes()[0]; bytes]),
    }
}
