//! Re-evaluation of events that failed under `enforce: false`, when their source's secrets, scheme or public URL have
//! changed.
//!
//! An event is verified by the rules in force, over the stored bytes, and as of the moment of receipt: a signature that
//! was too old then is too old now, and a fresh one stays fresh. A verified event is recorded as such; any other gets
//! the fingerprint of these rules, and is left alone until they change. Requests in flight during a reload are stored
//! with the old rules' fingerprint, so the index is checked every few seconds; without outdated entries that reads
//! memory only.
//!
//! Bounds: one slice at a time, read and verified on a blocking thread and written by the committer; none while the
//! buffer is full, because a changed record is rewritten.
//!
//! Deliberately not here: fetching of keys, which is the key ring's; deliveries. Attempts in flight say
//! `Hookgate-Verified: none`; attempts that are read from the disk later say the secret's name.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, MissedTickBehavior};

use crate::buffer::{Buffer, Judgement, NotStored};
use crate::event::{EventData, Reverified, RulesFingerprint};
use crate::provider::{Failure, KeyRing, Message};
use crate::rules::{Rules, SourceRules};

const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The numbers of one pass over one source.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    judged: u64,
    verified: u64,
}

type Counts = BTreeMap<Arc<str>, Count>;

/// Runs until `stop` turns true. `changed` rings after a reload.
pub async fn run(
    buffer: Buffer,
    rules: impl Fn() -> Arc<Rules>,
    ring: Arc<dyn KeyRing>,
    changed: Arc<Notify>,
    mut stop: watch::Receiver<bool>,
) {
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = stop.wait_for(|stopping| *stopping) => return,
            () = changed.notified() => {}
            _ = look.tick() => {}
        }
        let (mut counts, began) = (Counts::new(), Instant::now());
        // A pass that is cut off between a slice and its record begins anew after the next start.
        let ended = tokio::select! {
            _ = stop.wait_for(|stopping| *stopping) => return,
            ended = pass(&buffer, (rules(), Arc::clone(&ring)), &mut counts) => ended,
        };
        let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        for (source, Count { judged, verified }) in counts {
            let failed = judged - verified;
            tracing::info!(%source, judged, verified, failed, took_ms, "unverified events were re-evaluated");
        }
        if ended.is_err() {
            tracing::warn!("unverified events could not be judged again now; trying again");
        }
    }
}

/// Goes once over all events that were last judged by other rules.
async fn pass(buffer: &Buffer, by: By, counts: &mut Counts) -> Result<(), NotStored> {
    let mut from = Some(0).filter(|_| !buffer.unverified().is_empty());
    while let Some(start) = from {
        if buffer.stats().shortage.is_some() {
            return Ok(());
        }
        let (reader, by) = (buffer.clone(), by.clone());
        let judged = tokio::task::spawn_blocking(move || judge_slice(&reader, &by, start)).await;
        let (judgements, of_slice, next) = judged.unwrap_or(Err(NotStored::Failed))?;
        if !judgements.is_empty() {
            buffer.rejudge(judgements).await?;
        }
        for (source, count) in of_slice {
            let sum = counts.entry(source).or_default();
            sum.judged += count.judged;
            sum.verified += count.verified;
        }
        from = next;
    }
    Ok(())
}

/// The judging rules, and the keys that providers publish.
type By = (Arc<Rules>, Arc<dyn KeyRing>);

type Judged = (Vec<Judgement>, Counts, Option<u64>);

fn judge_slice(buffer: &Buffer, (rules, ring): &By, from: u64) -> Result<Judged, NotStored> {
    let remembered = buffer.unverified();
    let lanes: BTreeMap<&str, (&SourceRules, RulesFingerprint)> = rules
        .lanes
        .iter()
        .filter(|lane| remembered.contains_key(&lane.source.name))
        .map(|lane| (&*lane.source.name, (lane, lane.fingerprint())))
        .collect();
    let is_outdated = |source: &str, by: RulesFingerprint| lanes.get(source).is_some_and(|(_, now)| *now != by);
    let has_outdated = remembered.iter().any(|(source, of)| of.by_rules.keys().any(|by| is_outdated(source, *by)));
    if !has_outdated {
        return Ok((Vec::new(), Counts::new(), None));
    }
    let slice = buffer.unverified_events(from, &is_outdated)?;
    let mut counts = Counts::new();
    let mut judgements = Vec::with_capacity(slice.suspects.len());
    for suspect in slice.suspects {
        let Some((lane, by)) = lanes.get(&**suspect.source()) else { continue };
        let verdict = suspect.event().map_or(Verdict::Failed, |event| verify(lane, &**ring, event));
        // A key that is still to be fetched decides later; the event stays outdated.
        if matches!(verdict, Verdict::Later) {
            continue;
        }
        let verified = verdict.verified();
        let count = counts.entry(Arc::clone(suspect.source())).or_default();
        count.judged += 1;
        count.verified += u64::from(verified.is_some());
        judgements.push(suspect.judged(*by, verified.as_ref()));
    }
    Ok((judgements, counts, slice.next))
}

/// The verdict of these rules about a stored event.
enum Verdict {
    Verified(Box<Reverified>),
    Failed,
    /// A missing key has to be fetched first.
    Later,
}

impl Verdict {
    fn verified(self) -> Option<Reverified> {
        match self {
            Self::Verified(verified) => Some(*verified),
            Self::Failed | Self::Later => None,
        }
    }
}

fn verify(lane: &SourceRules, ring: &dyn KeyRing, event: &EventData) -> Verdict {
    let headers = event.header_map();
    let url = lane.source.signed_url(&event.target);
    let message = Message { method: &event.method, url: &url, headers: &headers, body: &event.body };
    match lane.verifier.verify_with(&message, ring, event.received_at()) {
        Ok(proof) => {
            Reverified::new(&proof, event.clone()).map_or(Verdict::Failed, |it| Verdict::Verified(Box::new(it)))
        }
        // Keys of the configuration will be fetched; keys that only the message names are fetched at its receipt.
        Err(Failure::KeyNotHere(at)) if lane.verifier.prefetch().contains(&at) => Verdict::Later,
        Err(_) => Verdict::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::config::check::{Environment, check};
    use crate::event::{EventId, HeaderBytes};
    use crate::provider::{NoKeys, SignRequest};
    use bytes::Bytes;

    const RECEIVED: Timestamp = Timestamp::from_unix_secs(1_700_000_000);

    /// Builds the rules of a file with this source `s`, long after the receipt.
    fn rules(source: &str) -> Rules {
        let text = format!(
            "version: 1\nlisteners: {{p: {{address: 127.0.0.1:1}}}}\nsources:\n  s: {{path: /in/s, {source}}}\n\
             routes: {{r: {{from: s, to: d}}}}\ndestinations: {{d: {{url: http://d/}}}}\n"
        );
        let env = |name: &str| Some(format!("secret-{name}"));
        let read = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
        let now = RECEIVED.after(Duration::from_hours(24 * 400));
        let world = Environment {
            env: &env,
            read: &read,
            notice: &|_| {},
            list: &|_| Ok(Vec::new()),
            now,
            processors: 1,
            disk_bytes: &|_| None,
            secrets: crate::config::check::Secrets::Real,
        };
        let checked = check(&text, std::path::Path::new("f.yaml"), &world);
        checked.setup.unwrap_or_else(|| panic!("{:?}", checked.problems)).live.rules
    }

    /// Builds an event of the first source, signed by its first secret at this moment.
    fn signed(rules: &Rules, at: Timestamp) -> EventData {
        let lane = &rules.lanes[0];
        let (url, body) = (lane.source.signed_url("/in/s?a=1"), Bytes::from_static(b"{\"a\":1}"));
        let headers = http::HeaderMap::new();
        let message = Message { method: "POST", url: &url, headers: &headers, body: &body };
        let made = lane.verifier.sign(&SignRequest { message, id: "msg_1", now: at }).unwrap();
        let made = made.into_iter().map(|(name, value)| (name.to_string(), value));
        EventData {
            source: "s".into(),
            target: "/in/s?a=1".into(),
            headers: made.map(|(name, value)| (name, HeaderBytes(Bytes::copy_from_slice(value.as_bytes())))).collect(),
            unverified: Some("wrong_secret_or_body".into()),
            body,
            ..EventData::sample(EventId::at(RECEIVED, [0; 10]), RECEIVED)
        }
    }

    #[test]
    fn time_is_judged_as_of_the_receipt() {
        let rules = rules("provider: stripe, secrets: [{name: a, env: A}]");
        let verified = verify(&rules.lanes[0], &NoKeys, &signed(&rules, RECEIVED)).verified().unwrap();
        let data = verified.data();
        assert_eq!((data.verified_by.as_deref(), data.unverified.as_deref()), (Some("a"), None));
        let stale = signed(&rules, Timestamp::from_unix_secs(RECEIVED.unix_secs() - 3600));
        assert!(verify(&rules.lanes[0], &NoKeys, &stale).verified().is_none());
    }

    #[test]
    fn a_secret_whose_time_is_over_verifies_what_came_in_its_time_and_nothing_after() {
        let rules = |last: &str| {
            rules(&format!(
                "provider: github, secrets: [{{name: new, env: NEW}}, {{name: old, env: OLD, not_after: {last}}}]"
            ))
        };
        let old = self::rules("provider: github, secrets: [{name: old, env: OLD}]");
        let event = signed(&old, RECEIVED);
        // It came on 2023-11-14.
        assert!(verify(&rules("2023-11-14").lanes[0], &NoKeys, &event).verified().is_some());
        assert!(verify(&rules("2023-11-13").lanes[0], &NoKeys, &event).verified().is_none());
    }

    #[test]
    fn the_public_url_of_now_counts_and_changes_what_judged() {
        let of = |url: &str| rules(&format!("provider: square, public_url: '{url}', secrets: [{{env: A}}]"));
        let (wrong, right) = (of("https://wrong.example.com"), of("https://right.example.com"));
        let event = signed(&right, RECEIVED);
        assert!(
            verify(&wrong.lanes[0], &NoKeys, &event).verified().is_none()
                && verify(&right.lanes[0], &NoKeys, &event).verified().is_some()
        );
        assert_ne!(wrong.lanes[0].fingerprint(), right.lanes[0].fingerprint());
        assert_eq!(right.lanes[0].fingerprint(), of("https://right.example.com").lanes[0].fingerprint());
    }

    #[test]
    fn to_verify_nothing_is_no_verification() {
        let signing = rules("provider: github, secrets: [{env: A}]");
        let nothing = rules("verify: {type: none, reason: tests}");
        assert!(verify(&nothing.lanes[0], &NoKeys, &signed(&signing, RECEIVED)).verified().is_none());
    }
}
