//! The key ring: public keys that providers publish, fetched off the way of a request and remembered.
//!
//! Verification asks the ring and never waits. Keys at known places are had at the start and renewed in the background; a
//! place that only a message names (a certificate, a key id) is fetched when it is first seen, for which the ingress waits
//! a bounded time. Places are checked before they get here: https, a pinned host, no user, no odd path.
//!
//! Invariants: redirects are not followed, answers are bounded in bytes and time, one fetch at a time for a place and a
//! few at once for all; what was not usable is remembered too, so that made-up key ids cost one fetch a minute; a minute
//! has a bounded number of fetches whatever strangers send; keys outlive a provider's outage by a day and no more.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};

use crate::clock::{Clock, Timestamp};
use crate::deliver::{Bounds, Client, Outgoing, Target};
use crate::provider::{Found, KeyLocation, KeyRing, KeySet, TokenStep};

/// Keys are renewed when they are this old.
const RENEWED_AFTER: Duration = Duration::from_mins(30);
/// Keys that cannot be renewed are used until they are this old.
const USED_UNTIL: Duration = Duration::from_hours(24);
/// What was not usable is not asked for again for so long.
const REFUSED_FOR: Duration = Duration::from_mins(1);
/// A place that could not be reached is asked again after this.
const UNREACHED_FOR: Duration = Duration::from_secs(5);
/// Keys that did not have the id in a message are asked for again when they are this old.
const STALE_AFTER: Duration = Duration::from_secs(10);
/// Places that are remembered.
const PLACES_MAX: usize = 1000;
/// Fetches in one minute, all places together.
const FETCHES_A_MINUTE: u32 = 60;
/// URLs that wait to be opened.
const ERRANDS_MAX: usize = 16;
/// Fetches at once.
const FETCHES_AT_ONCE: usize = 4;
const CONNECT: Duration = Duration::from_secs(3);
const TOTAL: Duration = Duration::from_secs(5);

/// Reads what is published; a seam for tests.
#[async_trait]
pub trait Fetch: Send + Sync + fmt::Debug {
    /// The body of a 200 answer.
    async fn fetch(&self, ask: Ask<'_>) -> Result<Bytes, Unfetched>;
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The place.
    pub url: &'a str,
    /// A body to post, with its media type.
    pub post: Option<(&'a str, &'static str)>,
    /// The value of `Authorization`.
    pub authorization: Option<&'a str>,
}

/// Why nothing was fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfetched {
    /// Nobody answered, or with a fault of their own: it may work later.
    Unreached,
    /// The answer is none that has keys.
    Unusable,
    /// Too many fetches in this minute.
    TooMany,
}

#[async_trait]
impl Fetch for Client {
    async fn fetch(&self, ask: Ask<'_>) -> Result<Bytes, Unfetched> {
        let target = Target::parse(ask.url).filter(|target| target.tls).ok_or(Unfetched::Unusable)?;
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        if let Some(authorization) = ask.authorization {
            let mut value = HeaderValue::from_str(authorization).map_err(|_invalid| Unfetched::Unusable)?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        if let Some((_, media_type)) = ask.post {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        }
        let body = ask.post.map_or_else(Bytes::new, |(body, _)| Bytes::copy_from_slice(body.as_bytes()));
        let method = if ask.post.is_some() { "POST" } else { "GET" };
        let out = Outgoing { method, query: None, headers: &headers, body: &body };
        let bounds = Bounds { connect: CONNECT, total: TOTAL, answer_bytes_max: KeyLocation::BYTES_MAX };
        let answer = self.send(&target, &out, bounds).await.map_err(|_none| Unfetched::Unreached)?;
        match answer.status {
            200 if answer.is_whole => Ok(answer.body),
            429 | 500.. => Err(Unfetched::Unreached),
            _ => Err(Unfetched::Unusable),
        }
    }
}

/// The keys that have been fetched.
#[derive(Debug)]
pub struct Keyring {
    fetcher: Arc<dyn Fetch>,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    slots: tokio::sync::Semaphore,
    errands_wait: tokio::sync::Notify,
}

#[derive(Debug, Default)]
struct State {
    places: HashMap<KeyLocation, Place>,
    /// One fetch at a time for a place.
    flights: HashMap<KeyLocation, Arc<tokio::sync::Mutex<()>>>,
    /// URLs to be opened, each with the source that it came by.
    errands: Vec<(String, Arc<str>)>,
    /// The minute that is counted, and its fetches.
    spent: (u64, u32),
}

#[derive(Clone, Debug)]
struct Place {
    /// The last usable keys, with the time of their fetch.
    keys: Option<(Arc<KeySet>, Timestamp)>,
    /// Not asked again before this.
    refused_until: Timestamp,
    /// Asked for since the last renewal.
    is_used: bool,
    /// Renewed even when nobody asks.
    is_known: bool,
}

impl KeyRing for Keyring {
    fn get(&self, at: &KeyLocation) -> Found {
        let now = self.clock.now();
        let mut state = self.lock();
        let Some(place) = state.places.get_mut(at) else { return Found::NotYet };
        place.is_used = true;
        match &place.keys {
            Some((keys, since)) if now.since(*since) < USED_UNTIL => Found::Here(Arc::clone(keys)),
            _ if now < place.refused_until => Found::Refused,
            _ => Found::NotYet,
        }
    }
}

impl Keyring {
    /// An empty ring.
    pub fn new(fetcher: Arc<dyn Fetch>, clock: Arc<dyn Clock>) -> Self {
        Self {
            fetcher,
            clock,
            state: Mutex::default(),
            slots: tokio::sync::Semaphore::new(FETCHES_AT_ONCE),
            errands_wait: tokio::sync::Notify::new(),
        }
    }

    /// Has the keys at a place that a message named.
    pub async fn fetch(&self, at: &KeyLocation) -> Result<(), Unfetched> {
        self.renew(at, Duration::ZERO, false).await
    }

    /// Has a URL opened by which a provider wants a subscription confirmed. Its host was checked.
    pub fn open_later(&self, url: String, source: Arc<str>) {
        let mut state = self.lock();
        if state.errands.len() < ERRANDS_MAX {
            state.errands.push((url, source));
        }
        drop(state);
        self.errands_wait.notify_one();
    }

    /// Waits until there is something to open.
    pub async fn errands_wait(&self) {
        self.errands_wait.notified().await;
    }

    /// Opens what waits to be opened.
    pub async fn run_errands(&self) {
        let errands = std::mem::take(&mut self.lock().errands);
        for (url, source) in errands {
            self.open(&url, &source).await;
        }
    }

    async fn open(&self, url: &str, source: &str) {
        let fetched = if self.spend(self.clock.now()) {
            self.fetcher.fetch(Ask { url, post: None, authorization: None }).await
        } else {
            Err(Unfetched::TooMany)
        };
        match fetched {
            Ok(_) => tracing::info!(source, "the subscription is confirmed"),
            Err(problem) => {
                tracing::error!(source, ?problem, "the subscription could not be confirmed; ask for it again");
            }
        }
    }

    /// Asks again for keys that lack the id which a message names, unless that was done just now. True when it is worth
    /// verifying again.
    pub async fn refresh(&self, places: &[KeyLocation]) -> bool {
        let mut is_new = false;
        for at in places {
            let now = self.clock.now();
            let is_stale = self.lock().places.get(at).is_none_or(|place| match &place.keys {
                Some((_, since)) => now.since(*since) >= STALE_AFTER && now >= place.refused_until,
                None => now >= place.refused_until,
            });
            is_new |= is_stale && self.renew(at, STALE_AFTER, true).await.is_ok();
        }
        is_new
    }

    /// Renews what is used or known, and forgets the rest. To be called now and then.
    pub async fn tend(&self, known: &[KeyLocation]) {
        let now = self.clock.now();
        let due: Vec<KeyLocation> = {
            let mut state = self.lock();
            state.places.retain(|_, place| {
                let is_kept = place.keys.as_ref().is_some_and(|(_, since)| now.since(*since) < USED_UNTIL);
                is_kept || now < place.refused_until
            });
            let absent = known.iter().filter(|at| !state.places.contains_key(*at)).cloned().collect::<Vec<_>>();
            let old = state.places.iter().filter(|(_, place)| {
                let is_old = place.keys.as_ref().is_none_or(|(_, since)| now.since(*since) >= RENEWED_AFTER);
                is_old && (place.is_used || place.is_known) && now >= place.refused_until
            });
            old.map(|(at, _)| at.clone()).chain(absent).collect()
        };
        for at in due {
            if let Err(problem) = self.renew(&at, RENEWED_AFTER, known.contains(&at)).await {
                tracing::warn!(url = at.url(), ?problem, "a provider's keys could not be fetched");
            }
        }
    }

    /// Fetches unless the keys are younger than `fresh` by the time that it is this fetch's turn.
    async fn renew(&self, at: &KeyLocation, fresh: Duration, is_known: bool) -> Result<(), Unfetched> {
        let flight = Arc::clone(self.lock().flights.entry(at.clone()).or_default());
        let turn = flight.lock().await;
        let now = self.clock.now();
        let before = self.lock().places.get(at).cloned();
        let had = before.as_ref().and_then(|place| place.keys.clone());
        let is_fresh = had.as_ref().is_some_and(|(_, since)| now.since(*since) < fresh.max(UNREACHED_FOR));
        let result = if is_fresh { Ok(()) } else { self.ask(at, now, had, is_known).await };
        drop(turn);
        let mut state = self.lock();
        if Arc::strong_count(&flight) <= 2 {
            state.flights.remove(at);
        }
        result
    }

    async fn ask(
        &self,
        at: &KeyLocation,
        now: Timestamp,
        had: Option<(Arc<KeySet>, Timestamp)>,
        is_known: bool,
    ) -> Result<(), Unfetched> {
        // What the configuration names is not held up by what strangers make up.
        let fetched = if is_known || self.spend(now) { self.read(at, now).await } else { Err(Unfetched::TooMany) };
        let (keys, refused_for, result) = match fetched {
            Ok(keys) => (Some((Arc::new(keys), now)), Duration::ZERO, Ok(())),
            Err(problem @ Unfetched::Unusable) => (had, REFUSED_FOR, Err(problem)),
            Err(problem) => (had, UNREACHED_FOR, Err(problem)),
        };
        let refused_until = now.after(refused_for);
        let mut state = self.lock();
        if state.places.len() >= PLACES_MAX && !state.places.contains_key(at) {
            let oldest = state.places.iter().min_by_key(|(_, place)| place.keys.as_ref().map(|(_, since)| *since));
            if let Some(oldest) = oldest.map(|(at, _)| at.clone()) {
                state.places.remove(&oldest);
            }
        }
        state.places.insert(at.clone(), Place { keys, refused_until, is_used: false, is_known });
        result
    }

    async fn read(&self, at: &KeyLocation, now: Timestamp) -> Result<KeySet, Unfetched> {
        let _slot = self.slots.acquire().await.map_err(|_closed| Unfetched::Unreached)?;
        let token = match at.token() {
            Some(step) => {
                let form = step.form();
                let post = Some((form.as_str(), "application/x-www-form-urlencoded"));
                let credentials = step.authorization();
                let ask = Ask { url: step.url(), post, authorization: Some(&credentials) };
                let answer = self.fetcher.fetch(ask).await?;
                let token = TokenStep::read(&answer).ok_or(Unfetched::Unusable)?;
                Some(zeroize::Zeroizing::new(format!("Bearer {}", token.as_str())))
            }
            None => None,
        };
        let post = at.post();
        let post = post.as_ref().map(|body| (body.as_str(), "application/json"));
        let ask = Ask { url: at.url(), post, authorization: token.as_ref().map(|token| token.as_str()) };
        let answer = self.fetcher.fetch(ask).await?;
        at.read(&answer, now).map_err(|fault| {
            tracing::warn!(url = at.url(), %fault, "what the provider publishes there cannot be used");
            Unfetched::Unusable
        })
    }

    /// Whether this minute has a fetch left.
    fn spend(&self, now: Timestamp) -> bool {
        let minute = now.unix_secs() / 60;
        let mut state = self.lock();
        let (counted, fetches) = state.spent;
        let fetches = if counted == minute { fetches.saturating_add(1) } else { 1 };
        state.spent = (minute, fetches);
        fetches <= FETCHES_A_MINUTE
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
