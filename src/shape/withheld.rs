//! Credentials of senders that are not forwarded: what a destination is sent is worked out from the event without them.
//!
//! The stored event keeps them, byte for byte. Conditions and keys look at the event as it came; transforms, formats, values
//! in URLs and the forwarded query look at this one, so that no form of a body says what is withheld. A credential in a body
//! stays: taking it out would change the bytes that are signed or promised.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::credential::{ALWAYS, CredentialPlace, Pair, name_of, with_pairs_of_target};
use crate::event::EventData;

/// The credentials that are withheld, by source.
#[derive(Clone, Debug, Default)]
pub struct Withheld {
    by_source: BTreeMap<Arc<str>, Places>,
    /// For the backlog of a source that is not configured any more: what is withheld of any.
    of_any: Places,
}

#[derive(Clone, Debug, Default)]
struct Places {
    headers: Vec<String>,
    query: Vec<String>,
}

impl Withheld {
    /// Sets what is withheld of a source. `forward` is what the file says: a credential in the query is withheld unless it
    /// says that it goes on, one in a header only if it says that it does not.
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

    /// Returns the places of this event that are withheld, as people write them.
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
