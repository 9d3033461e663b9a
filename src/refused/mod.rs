//! Requests that were refused for their signature: re-evaluated under the rules in force, admitted when they verify.
//!
//! A wrong secret on our side must lose no request that the gateway still holds. A captured request passes the gates
//! of `accept` again, as of its receipt. Only a verified request becomes an event. The committer recognises a delivery
//! that the provider has repeated meanwhile and does not store it twice. An admitted request leaves the capture and is
//! an event like any other, with the id that was shown and the time of its receipt. A request that is not stored stays
//! captured.
//!
//! Bounds: one admission at a time, [`PAGE_MAX`] requests a call, oldest first. The source's quota is not spent.
//!
//! Not here: the captured requests (`capture`); stored events that failed under `enforce: false` (`rejudge`).

mod judge;

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::archive::{EventFilter, RulesNow};
use crate::buffer::{Buffer, Committed, NotStored, StoredEvent};
use crate::capture::{Capture, Captured};
use crate::event::{Event, EventData, EventId};
use crate::keyring::Keyring;
use crate::provider::KeyLocation;
use crate::rules::Rules;
use crate::sender::Sender;
use crate::telemetry::Telemetry;

pub use judge::RefusedVerdict;
use judge::{Judged, judge};

/// The number of requests that one call re-evaluates.
pub const PAGE_MAX: usize = 200;
const SAMPLES_MAX: usize = 20;
/// The number of keys that a call fetches; it waits [`FETCH_WAIT`] for each.
const FETCHES_MAX: usize = 8;
const FETCH_WAIT: Duration = Duration::from_secs(2);

/// The captured requests that were refused for their signature.
pub struct Refused {
    capture: Arc<Capture>,
    buffer: Buffer,
    rules: RulesNow,
    keys: Arc<Keyring>,
    telemetry: Telemetry,
    /// Held during an admission, because two at once would store a request twice.
    admitting: tokio::sync::Mutex<()>,
}

impl fmt::Debug for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Refused")
    }
}

/// The selection of requests for one call, and the mode of the call.
#[derive(Debug, Default)]
pub struct AdmitChoice {
    /// The id of the only request.
    pub id: Option<EventId>,
    /// The filter on requests.
    pub filter: EventFilter,
    /// The id of the last request of the previous page.
    pub after: Option<EventId>,
    /// True to store nothing and only return the verdicts.
    pub dry_run: bool,
}

/// One request and its verdict.
#[derive(Debug)]
pub struct RefusedSample {
    /// The request's id.
    pub id: EventId,
    /// The request's source.
    pub source: Arc<str>,
    /// The verdict of the rules in force.
    pub verdict: RefusedVerdict,
}

/// The result of one page.
#[derive(Debug, Default)]
pub struct Admission {
    /// The number of requests by source and the verdict's label.
    pub counts: BTreeMap<Arc<str>, BTreeMap<&'static str, u64>>,
    /// The number of events that were stored.
    pub admitted: u64,
    /// The first requests of the page, at most 20.
    pub samples: Vec<RefusedSample>,
    /// The id of this page's last request, as `after` of the next page; `None` after the last page.
    pub next: Option<EventId>,
    /// The reason why the page ended early. Requests that were not stored are still captured.
    pub stopped: Option<NotStored>,
}

/// Deliveries of one page: dedup keys and bodies.
type Deliveries = HashSet<([u8; 16], Option<[u8; 16]>)>;

impl Refused {
    /// Creates the admission on a capture and a buffer.
    pub fn new(
        (capture, buffer): (Arc<Capture>, Buffer),
        rules: RulesNow,
        keys: Arc<Keyring>,
        telemetry: Telemetry,
    ) -> Self {
        Self { capture, buffer, rules, keys, telemetry, admitting: tokio::sync::Mutex::default() }
    }

    /// Returns the verdict of the rules in force on a captured request, without fetching keys. Reads the disk: not for
    /// async threads.
    pub fn verdict(&self, captured: &Captured) -> Result<RefusedVerdict, NotStored> {
        let judged = judge(&(self.rules)(), &*self.keys, captured);
        match &judged.event {
            Some(event) => Ok(self.repeated(event)?.unwrap_or(judged.verdict)),
            None => Ok(judged.verdict),
        }
    }

    /// Returns the request with the type and the delivery id that it claims.
    pub fn named(&self, captured: &Captured) -> Captured {
        Captured { event: judge::named(&(self.rules)(), captured), ..captured.clone() }
    }

    /// Re-evaluates a page of requests and, unless it is a dry run, stores those that verify.
    pub async fn admit(&self, choice: AdmitChoice) -> Result<Admission, NotStored> {
        let dry_run = choice.dry_run;
        let _alone = if dry_run { None } else { Some(self.admitting.lock().await) };
        let (capture, rules) = (Arc::clone(&self.capture), (self.rules)());
        let looking = tokio::task::spawn_blocking(move || page(&capture, &rules, &choice));
        let (page, next) = looking.await.map_err(|_broke_off| NotStored::Failed)?;
        let mut admission = Admission { next, ..Admission::default() };
        let mut judged = self.judge_all(page.clone()).await?;
        if self.fetch_keys(&judged).await {
            judged = self.judge_all(page).await?;
        }
        let mut seen = HashSet::new();
        for (captured, judged) in judged {
            let verdict = self.settle(&captured, judged, dry_run, (&mut seen, &mut admission)).await;
            let verdict = match verdict {
                Ok(verdict) => verdict,
                Err(error) => {
                    admission.stopped = Some(error);
                    return Ok(admission);
                }
            };
            let source = Arc::clone(&captured.event.source);
            *admission.counts.entry(Arc::clone(&source)).or_default().entry(verdict.label()).or_default() += 1;
            if admission.samples.len() < SAMPLES_MAX {
                admission.samples.push(RefusedSample { id: captured.event.id, source, verdict });
            }
        }
        Ok(admission)
    }

    /// Re-evaluates requests off the async threads.
    async fn judge_all(&self, page: Vec<Arc<Captured>>) -> Result<Vec<(Arc<Captured>, Judged)>, NotStored> {
        let (rules, keys) = ((self.rules)(), Arc::clone(&self.keys));
        let judging = move || {
            let judged = page.into_iter().map(|captured| {
                let judged = judge(&rules, &*keys, &captured);
                (captured, judged)
            });
            judged.collect()
        };
        tokio::task::spawn_blocking(judging).await.map_err(|_broke_off| NotStored::Failed)
    }

    /// Fetches missing keys, at most [`FETCHES_MAX`]; returns true when one was fetched.
    async fn fetch_keys(&self, judged: &[(Arc<Captured>, Judged)]) -> bool {
        let places: HashSet<(&KeyLocation, bool)> =
            judged.iter().flat_map(|(_, judged)| judged.places.iter().map(|(at, is_known)| (at, *is_known))).collect();
        let mut has_news = false;
        for (at, is_known) in places.into_iter().take(FETCHES_MAX) {
            let fetched = tokio::time::timeout(FETCH_WAIT, self.keys.fetch(at, is_known)).await;
            has_news |= matches!(fetched, Ok(Ok(())));
        }
        has_news
    }

    /// Stores a request that verifies, and returns the final verdict.
    async fn settle(
        &self,
        captured: &Captured,
        judged: Judged,
        dry_run: bool,
        (seen, admission): (&mut Deliveries, &mut Admission),
    ) -> Result<RefusedVerdict, NotStored> {
        let Some(event) = judged.event else { return Ok(judged.verdict) };
        let (id, source) = (captured.event.id, &*captured.event.source);
        if !dry_run {
            self.verified(captured);
        }
        // A copy of the same delivery on the same page is one delivery.
        let is_first = event.dedup().is_none_or(|dedup| seen.insert((dedup.key, dedup.body)));
        let buffer = self.buffer.clone();
        let (event, repeated) = tokio::task::spawn_blocking(move || {
            let repeated = repeated(&buffer, &event);
            (event, repeated)
        })
        .await
        .map_err(|_broke_off| NotStored::Failed)?;
        let repeated = repeated?.or_else(|| (!is_first).then_some(RefusedVerdict::Duplicate { first: None }));
        if dry_run {
            return Ok(repeated.unwrap_or(judged.verdict));
        }
        if let Some(repeated) = repeated.filter(|_| is_first) {
            self.capture.remove(id);
            tracing::info!(source, event = %id, "the provider already repeated a refused request and that delivery is stored; the request is dropped");
            return Ok(repeated);
        }
        let delivery_id = event.data().delivery_id.clone();
        let committed = self.buffer.append(*event).await?;
        self.capture.remove(id);
        match committed {
            Committed::Duplicate => {
                tracing::info!(source, event = %id, delivery_id, "a refused request is a repetition; it is not stored twice");
                return Ok(RefusedVerdict::Duplicate { first: None });
            }
            Committed::SameId => self.telemetry.same_id(source),
            Committed::Stored => {}
        }
        admission.admitted += 1;
        self.telemetry.refused_admitted(source);
        let verdict = judged.verdict.label();
        tracing::info!(source, event = %id, delivery_id, verdict, "a refused request is admitted, as asked");
        Ok(judged.verdict)
    }

    /// Tells the watch over the source's verification that the request verifies, whatever the buffer does with it.
    fn verified(&self, captured: &Captured) {
        let (rules, event) = ((self.rules)(), &captured.event);
        if let Some(lane) = rules.lane(&event.source) {
            let change = lane.watch.verified_later(event.sender.map(Sender::of), event.received_at());
            self.telemetry.verification(&event.source, lane.watch.standing(), change);
        }
    }

    fn repeated(&self, event: &Event) -> Result<Option<RefusedVerdict>, NotStored> {
        repeated(&self.buffer, event)
    }
}

/// Returns the requests of one page, the oldest first, and the `after` of the next page.
fn page(capture: &Capture, rules: &Rules, choice: &AdmitChoice) -> (Vec<Arc<Captured>>, Option<EventId>) {
    let is_meant = |captured: &&Arc<Captured>| {
        captured.outcome.is_for_signature()
            && choice.id.is_none_or(|id| captured.event.id == id)
            && choice.after.is_none_or(|after| captured.event.id > after)
            && choice.filter.wants(&as_found(judge::named(rules, captured)))
    };
    let all = capture.all();
    let mut meant = all.iter().rev().filter(is_meant);
    let page: Vec<_> = meant.by_ref().take(PAGE_MAX).cloned().collect();
    let next = meant.next().and_then(|_| page.last()).map(|captured| captured.event.id);
    (page, next)
}

/// Returns the verdict `Duplicate` for an event that is stored already: as a repetition, or under its own id by an
/// admission that was interrupted.
fn repeated(buffer: &Buffer, event: &Event) -> Result<Option<RefusedVerdict>, NotStored> {
    let id = event.data().id;
    if buffer.find(id)?.is_some() {
        return Ok(Some(RefusedVerdict::Duplicate { first: Some(id) }));
    }
    let Some(dedup) = event.dedup() else { return Ok(None) };
    Ok(buffer.repeated(&dedup)?.map(|repetition| RefusedVerdict::Duplicate { first: repetition.first }))
}

/// Wraps a captured request as a stored event, for filters.
pub fn as_found(event: EventData) -> StoredEvent {
    StoredEvent { seq: 0, event: Some(Arc::new(event)), fate: None, is_quarantined: false, same_id_as: None }
}
