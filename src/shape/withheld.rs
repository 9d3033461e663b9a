//! Senders' credentials that are not forwarded: a destination's request is shaped from the event without them.
//!
//! The stored event keeps them, byte for byte. Conditions and keys see the event as received; transforms, formats,
//! values in URLs and the forwarded query see this one, so that no form of a body holds a withheld credential. A
//! credential in a body stays: removing it would change the bytes that are signed or promised.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::credential::{ALWAYS, CredentialPlace, Pair, name_of, with_pairs_of_target};
use crate::event::EventData;

/// The withheld credentials, by source.
#[derive(Clone, Debug, Default)]
pub struct Withheld {
    by_source: BTreeMap<Arc<str>, Places>,
    /// The credentials of all sources, withheld from the backlog of a source that is no longer configured.
    of_any: Places,
}

#[derive(Clone, Debug, Default)]
struct Places {
    headers: Vec<String>,
    query: Vec<String>,
}

impl Withheld {
    /// Sets the withheld credentials of a source. `forward` is the file's setting. A credential in the query is
    /// withheld unless it is true, one in a header only if it is false.
    pub fn set(&mut self, source: Arc<str>, credentials: &[CredentialPlace], forward: Option<bool>) {
        let mut places = Places::default();
        for place in credentials {
            match place {
                CredentialPlace::Query(name) if forward != Some(true) => places.query.push(name.clone()),
                CredentialPlace::Header(name) if forward == Some(false) => places.headers.push(name.clone()),
                CredentialPlace::Query(_)
                | CredentialPlace::Header(_)
                | CredentialPlace::Form(_)
                | CredentialPlace::Json(_)
                | CredentialPlace::Path(_) => {}
            }
        }
        if forward == Some(false) {
            places.headers.extend(ALWAYS.map(str::to_owned));
        }
        self.of_any.query.extend(places.query.iter().cloned());
        self.of_any.headers.extend(places.headers.iter().cloned());
        self.by_source.insert(source, places);
    }

    /// Returns the event as it is forwarded.
    pub fn forwarded<'e>(&self, event: &'e EventData) -> Cow<'e, EventData> {
        let places = self.places(event);
        let target = with_pairs_of_target(&event.target, |name| {
            if places.query.iter().any(|withheld| withheld == name) { Pair::Removed } else { Pair::Kept }
        });
        let is_withheld = |name: &str| places.headers.iter().any(|withheld| withheld.eq_ignore_ascii_case(name));
        let has_header = event.headers.iter().any(|(name, _)| is_withheld(name));
        if *target == *event.target && !has_header {
            return Cow::Borrowed(event);
        }
        let mut forwarded = EventData { target: target.into_owned(), ..event.clone() };
        forwarded.headers.retain(|(name, _)| !is_withheld(name));
        Cow::Owned(forwarded)
    }

    /// Returns the withheld places of this event, as people write them.
    pub fn of(&self, event: &EventData) -> Vec<String> {
        let places = self.places(event);
        let query = event.target.split_once('?').map_or("", |(_, query)| query);
        let query = query.split('&').map(name_of).filter(|name| places.query.contains(name));
        let headers = event.headers.iter().map(|(name, _)| name.to_ascii_lowercase());
        let headers = headers.filter(|name| places.headers.contains(name));
        let mut withheld: Vec<String> = query
            .map(CredentialPlace::Query)
            .chain(headers.map(CredentialPlace::Header))
            .map(|place| place.to_string())
            .collect();
        withheld.sort();
        withheld.dedup();
        withheld
    }

    fn places(&self, event: &EventData) -> &Places {
        self.by_source.get(&event.source).unwrap_or(&self.of_any)
    }
}
