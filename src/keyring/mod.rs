//! The key ring: public keys that providers publish, fetched outside of the request path and remembered.
//!
//! Verification asks the ring and never waits. Keys at known places are fetched at the start and renewed in the
//! background. A place that only a message names (a certificate, a key id) is fetched when it is first seen, and the
//! ingress waits for that a bounded time. Places are checked before they get here: https, a pinned host, no user, no
//! odd path.
//!
//! A fetch belongs to the ring and not to the request that waits for it: the fetch ends even when the request gives up.
//!
//! Invariants: redirects are not followed. Answers are bounded in bytes and time. There is one fetch at a time for a
//! place and a few at once for all. Unusable places are remembered too, so that made-up key ids cost one fetch a
//! minute. A minute has a bounded number of fetches for places that messages name. Keys outlive a provider's outage by
//! a day and no more.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::clock::{Clock, Timestamp};
use crate::deliver::{Bounds, Client, Outgoing, Target, Transport};
use crate::provider::{KeyLocation, KeyRing, KeySet, KeyState, TokenStep};

/// The age at which keys are renewed.
const RENEWED_AFTER: Duration = Duration::from_mins(30);
/// The age up to which keys that cannot be renewed are used.
const USED_UNTIL: Duration = Duration::from_hours(24);
/// The time before an unusable place is asked again.
const REFUSED_FOR: Duration = Duration::from_mins(1);
/// The time before an unreachable place is asked again.
const UNREACHED_FOR: Duration = Duration::from_secs(5);
/// The age at which keys without a message's key id are fetched again.
const STALE_AFTER: Duration = Duration::from_secs(10);
/// The most places that are remembered.
const PLACES_MAX: usize = 1000;
/// The most fetches in one minute for places that messages name: at one host, so that senders at one source do not hold
/// up the keys of another, and in all.
const FETCHES_A_MINUTE: (u32, u32) = (20, 200);
/// The most fetches that wait for their turn.
const QUEUE_MAX: usize = 64;
/// The most URLs that wait to be opened.
const ERRANDS_MAX: usize = 16;
/// The most fetches at once.
const FETCHES_AT_ONCE: usize = 4;
const CONNECT: Duration = Duration::from_secs(3);
const TOTAL: Duration = Duration::from_secs(5);

/// A reader of published keys; a seam for tests.
#[async_trait]
pub trait Fetch: Send + Sync + fmt::Debug {
    /// Returns the body of a 200 answer.
    async fn fetch(&self, ask: Ask<'_>) -> Result<Bytes, Unfetched>;
}

/// One request of the ring.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The place.
    pub url: &'a str,
    /// A body to post, with its media type.
    pub post: Option<(&'a str, &'static str)>,
    /// The value of `Authorization`.
    pub authorization: Option<&'a str>,
}

/// The reason why nothing was fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfetched {
    /// No answer, or an error of the server: a later fetch may work.
    Unreached,
    /// An answer without usable keys.
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
        let answer_bytes_max = KeyLocation::BYTES_MAX;
        let bounds = Bounds { connect: CONNECT, total: TOTAL, answer_time: TOTAL, answer_bytes_max };
        let answer = self.send(&target, &out, bounds).await.map_err(|_none| Unfetched::Unreached)?;
        match answer.status {
            200 if answer.is_whole => Ok(answer.body),
            429 | 500.. => Err(Unfetched::Unreached),
            _ => Err(Unfetched::Unusable),
        }
    }
}

/// The ring of fetched keys.
#[derive(Debug)]
pub struct Keyring {
    fetcher: Arc<dyn Fetch>,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    has_work: tokio::sync::Notify,
}

/// The end of a fetch; `None` while it runs.
type Ended = Option<Result<(), Unfetched>>;

#[derive(Debug, Default)]
struct State {
    places: HashMap<KeyLocation, Place>,
    /// The fetches that wait or are in flight, one at a time for a place.
    flights: HashMap<KeyLocation, watch::Receiver<Ended>>,
    queue: VecDeque<(KeyLocation, bool, watch::Sender<Ended>)>,
    /// URLs to be opened, each with the source that it came by.
    errands: Vec<(String, Arc<str>)>,
    /// The current minute, and its fetches by host.
    spent: (u64, HashMap<String, u32>),
}

#[derive(Clone, Debug)]
struct Place {
    /// The last usable keys, with the time of their fetch.
    keys: Option<(Arc<KeySet>, Timestamp)>,
    /// The time before which an unusable place is not asked again.
    refused_until: Timestamp,
    /// The time before which an unreachable place is not asked again.
    unreached_until: Timestamp,
    /// True when the keys were used since the last renewal.
    is_used: bool,
    /// True when the keys are renewed even without use.
    is_known: bool,
}

impl Place {
    fn may_be_asked(&self, now: Timestamp) -> bool {
        now >= self.refused_until && now >= self.unreached_until
    }
}

impl KeyRing for Keyring {
    fn get(&self, at: &KeyLocation) -> KeyState {
        let now = self.clock.now();
        let mut state = self.lock();
        let Some(place) = state.places.get_mut(at) else { return KeyState::NotYet };
        place.is_used = true;
        match &place.keys {
            Some((keys, since)) if now.since(*since) < USED_UNTIL => KeyState::Here(Arc::clone(keys)),
            _ if now < place.refused_until => KeyState::Refused,
            _ => KeyState::NotYet,
        }
    }
}

impl Keyring {
    /// Makes an empty ring.
    pub fn new(fetcher: Arc<dyn Fetch>, clock: Arc<dyn Clock>) -> Self {
        Self { fetcher, clock, state: Mutex::default(), has_work: tokio::sync::Notify::new() }
    }

    /// Runs the fetches and opens the URLs that others request, until `stop`.
    pub async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut under_way = JoinSet::new();
        loop {
            tokio::select! {
                stopped = stop.changed() => if stopped.is_err() || *stop.borrow() { break },
                () = self.has_work.notified() => {}
                Some(ended) = under_way.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "a fetch of keys broke off");
                    }
                }
            }
            while under_way.len() < FETCHES_AT_ONCE {
                let (job, errand) = {
                    let mut state = self.lock();
                    (state.queue.pop_front(), state.errands.pop())
                };
                if job.is_none() && errand.is_none() {
                    break;
                }
                let ring = Arc::clone(&self);
                under_way.spawn(async move {
                    if let Some((at, is_known, ended)) = job {
                        let result = ring.ask(&at, is_known).await;
                        ring.lock().flights.remove(&at);
                        ended.send_replace(Some(result));
                    }
                    if let Some((url, source)) = errand {
                        ring.open(&url, &source).await;
                    }
                });
            }
        }
    }

    /// Fetches the keys at `at` and waits for the result. A caller that stops waiting does not stop the fetch.
    pub async fn fetch(&self, at: &KeyLocation, is_known: bool) -> Result<(), Unfetched> {
        let mut flight = self.start(at, is_known)?;
        let ended = flight.wait_for(Option::is_some).await.ok().and_then(|ended| *ended);
        ended.unwrap_or(Err(Unfetched::Unreached))
    }

    /// Begins a fetch, or joins the one in flight.
    fn start(&self, at: &KeyLocation, is_known: bool) -> Result<watch::Receiver<Ended>, Unfetched> {
        let now = self.clock.now();
        let mut state = self.lock();
        // A flight whose task panicked never ends.
        if let Some(flight) = state.flights.get(at).filter(|flight| flight.has_changed().is_ok()) {
            return Ok(flight.clone());
        }
        if let Some(place) = state.places.get(at) {
            if now < place.refused_until {
                return Err(Unfetched::Unusable);
            }
            if now < place.unreached_until {
                return Err(Unfetched::Unreached);
            }
        }
        // Places of the configuration are not held up by places that senders make up.
        if !is_known && (state.queue.len() >= QUEUE_MAX || !state.spend(at.url(), now)) {
            return Err(Unfetched::TooMany);
        }
        let (sender, receiver) = watch::channel(None);
        state.flights.insert(at.clone(), receiver.clone());
        let job = (at.clone(), is_known, sender);
        if is_known {
            state.queue.push_front(job);
        } else {
            state.queue.push_back(job);
        }
        drop(state);
        self.has_work.notify_one();
        Ok(receiver)
    }

    /// Fetches keys again that lack a message's key id, unless that was done just now. Places that are not `known` count
    /// as named by the message. Returns true when another verification can have another result.
    pub async fn refresh(&self, places: &[KeyLocation], known: &[KeyLocation]) -> Result<bool, Unfetched> {
        let (mut is_new, mut unreached) = (false, None);
        for at in places {
            let now = self.clock.now();
            let since = self.lock().places.get(at).and_then(|place| place.keys.as_ref().map(|(_, since)| *since));
            if since.is_some_and(|since| now.since(since) < STALE_AFTER) {
                continue;
            }
            match self.fetch(at, known.contains(at)).await {
                Ok(()) => is_new = true,
                // With keys in hand the message names a wrong one; without keys it is not the sender's fault.
                Err(Unfetched::Unusable) if since.is_some() => {}
                Err(_) => unreached = Some(Unfetched::Unreached),
            }
        }
        if is_new { Ok(true) } else { unreached.map_or(Ok(false), Err) }
    }

    /// Renews keys that are used or known, and forgets old ones. To be called about once a minute.
    pub async fn tend(&self, known: &[KeyLocation]) {
        let now = self.clock.now();
        let due: Vec<KeyLocation> = {
            let mut state = self.lock();
            state.places.retain(|_, place| {
                let is_kept = place.keys.as_ref().is_some_and(|(_, since)| now.since(*since) < USED_UNTIL);
                is_kept || !place.may_be_asked(now)
            });
            let absent = known.iter().filter(|at| !state.places.contains_key(*at)).cloned().collect::<Vec<_>>();
            let old = state.places.iter().filter(|(_, place)| {
                let is_old = place.keys.as_ref().is_none_or(|(_, since)| now.since(*since) >= RENEWED_AFTER);
                is_old && (place.is_used || place.is_known) && place.may_be_asked(now)
            });
            old.map(|(at, _)| at.clone()).chain(absent).collect()
        };
        for at in due {
            if let Err(problem) = self.fetch(&at, known.contains(&at)).await {
                tracing::warn!(url = at.url(), ?problem, "a provider's keys could not be fetched");
            }
        }
    }

    /// Queues a URL whose opening confirms a subscription at a provider. The caller has checked its host.
    pub fn open_later(&self, url: String, source: Arc<str>) {
        let mut state = self.lock();
        if state.errands.len() >= ERRANDS_MAX {
            tracing::error!(%source, "too many subscriptions wait to be confirmed; ask for this one again");
            return;
        }
        state.errands.push((url, source));
        drop(state);
        self.has_work.notify_one();
    }

    async fn open(&self, url: &str, source: &str) {
        match self.fetcher.fetch(Ask { url, post: None, authorization: None }).await {
            Ok(_) => tracing::info!(source, "the subscription is confirmed"),
            Err(problem) => {
                tracing::error!(source, ?problem, "the subscription could not be confirmed; ask for it again");
            }
        }
    }

    async fn ask(&self, at: &KeyLocation, is_known: bool) -> Result<(), Unfetched> {
        let now = self.clock.now();
        let fetched = self.read(at, now).await;
        let mut state = self.lock();
        let had = state.places.get(at).and_then(|place| place.keys.clone());
        let never = Timestamp::from_unix_ms(0);
        let (keys, refused_until, unreached_until, result) = match fetched {
            Ok(keys) => (Some((Arc::new(keys), now)), never, never, Ok(())),
            Err(problem @ Unfetched::Unusable) => (had, now.after(REFUSED_FOR), never, Err(problem)),
            Err(problem) => (had, never, now.after(UNREACHED_FOR), Err(problem)),
        };
        if state.places.len() >= PLACES_MAX && !state.places.contains_key(at) {
            let oldest = state.places.iter().min_by_key(|(_, place)| place.keys.as_ref().map(|(_, since)| *since));
            if let Some(oldest) = oldest.map(|(at, _)| at.clone()) {
                state.places.remove(&oldest);
            }
        }
        state.places.insert(at.clone(), Place { keys, refused_until, unreached_until, is_used: false, is_known });
        result
    }

    async fn read(&self, at: &KeyLocation, now: Timestamp) -> Result<KeySet, Unfetched> {
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
            tracing::warn!(url = at.url(), %fault, "the provider's published keys cannot be used");
            Unfetched::Unusable
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Checks whether this minute has a fetch left for the host of this URL, and counts it.
    fn spend(&mut self, url: &str, now: Timestamp) -> bool {
        let minute = now.unix_secs() / 60;
        if self.spent.0 != minute {
            self.spent = (minute, HashMap::new());
        }
        // Hosts below one domain count together, or a wildcard pin would give each name below it a budget.
        let host = url.split('/').nth(2).unwrap_or_default();
        let below = host.rmatch_indices('.').nth(1).map_or(0, |(at, _)| at + 1);
        let host = host.get(below..).unwrap_or(host);
        let (at_one, in_all) = FETCHES_A_MINUTE;
        let all: u32 = self.spent.1.values().sum();
        let of_host = self.spent.1.get(host).copied().unwrap_or(0);
        if all >= in_all || of_host >= at_one {
            return false;
        }
        self.spent.1.insert(host.to_owned(), of_host + 1);
        true
    }
}

#[cfg(test)]
mod tests;
