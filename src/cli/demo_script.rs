//! The demo's story: the events that are sent, their faults, and the expected result of each.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bytes::Bytes;

use super::receiver::ReceivedEvent;
use super::sample::{self, SAMPLES, Sample};
use super::send::{self, Tamper};
use crate::clock::{Clock, SystemClock};
use crate::deliver::{Client, Target};
use crate::rules::SourceRules;

/// The expected result of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExpectedEnd {
    /// An event answered 200 and delivered so many times.
    Delivered(usize),
    /// An event answered 200 and not delivered.
    Kept,
    /// An event refused with this status.
    Refused(u16),
}

/// One event of the story, with its result.
#[derive(Debug)]
pub(crate) struct Played {
    pub(crate) provider: &'static str,
    pub(crate) event: &'static str,
    /// The special feature of the event.
    pub(crate) told: &'static str,
    /// The reason for which nothing was delivered, when nothing was.
    pub(crate) remark: &'static str,
    pub(crate) event_id: Option<String>,
    status: u16,
    outcome: String,
    fate: ExpectedEnd,
    body: Bytes,
}

impl Played {
    /// Returns status and outcome, as the sender could read them.
    pub(crate) fn answered(&self) -> String {
        match (self.status, self.outcome.as_str()) {
            (0, why) => format!("no answer: {why}"),
            (status, "") => format!("{status}"),
            (status, outcome) => format!("{status} {outcome}"),
        }
    }
}

struct Scene {
    sample: &'static Sample,
    told: &'static str,
    remark: &'static str,
    tamper: Option<Tamper>,
    fate: ExpectedEnd,
    /// The body, where it differs from the sample's.
    body: Option<Bytes>,
    /// The delivery id.
    delivery_id: String,
}

/// Sends the whole story.
pub(crate) async fn play(lanes: &[SourceRules], gateway: SocketAddr) -> Vec<Played> {
    let client = Client::new();
    let mut played = Vec::new();
    for scene in scenes() {
        if let Some(lane) = lanes.iter().find(|lane| *lane.source.name == *scene.sample.provider) {
            played.push(send_one(&client, lane, gateway, scene).await);
        }
    }
    played
}

fn scenes() -> Vec<Scene> {
    let fresh = || send::delivery_id(SystemClock.now());
    let good = |sample: &'static Sample| {
        let (told, remark, fate) = match (sample.provider, sample.event) {
            ("stripe", "invoice.paid") => ("good, service restarts", "", ExpectedEnd::Delivered(1)),
            ("stripe", "charge.refunded" | "checkout.session.completed") => {
                ("good, service restarts", "", ExpectedEnd::Delivered(1))
            }
            (_, "star.created" | "create" | "installation.created" | "ping" | "issue_comment.created") => {
                ("good", "no route wants it: answered, counted as filtered", ExpectedEnd::Kept)
            }
            (_, "push" | "pull_request.opened") => ("good", "", ExpectedEnd::Delivered(2)),
            _ => ("good", "", ExpectedEnd::Delivered(1)),
        };
        Scene { sample, told, remark, tamper: None, fate, body: None, delivery_id: fresh() }
    };
    let mut scenes: Vec<Scene> = SAMPLES.iter().map(good).collect();
    let Some((push, invoice)) = sample::find("github", Some("push")).zip(sample::find("stripe", Some("invoice.paid")))
    else {
        return scenes;
    };
    let spoiled = |sample, told, remark, tamper| Scene {
        sample,
        told,
        remark,
        tamper,
        fate: ExpectedEnd::Refused(401),
        body: None,
        delivery_id: fresh(),
    };
    scenes.push(spoiled(push, "tampered body", "refused before anything is stored", Some(Tamper::Body)));
    scenes.push(spoiled(push, "wrong signature", "refused before anything is stored", Some(Tamper::Signature)));
    scenes.push(spoiled(
        invoice,
        "stale, three hours old",
        "refused: outside Stripe's five minutes",
        Some(Tamper::Time),
    ));
    let repeated = scenes.first().map(|first| first.delivery_id.clone()).unwrap_or_default();
    let remark = "answered like the first, delivered once";
    scenes.push(Scene {
        sample: push,
        told: "replayed",
        remark,
        tamper: None,
        fate: ExpectedEnd::Kept,
        body: None,
        delivery_id: repeated,
    });
    let remark = "answered as accepted, quarantined with its errors";
    let without_ref = Some(Bytes::from(push.body.replacen("\"ref\"", "\"reference\"", 1)));
    scenes.push(Scene {
        sample: push,
        told: "against the schema",
        remark,
        tamper: None,
        fate: ExpectedEnd::Kept,
        body: without_ref,
        delivery_id: fresh(),
    });
    scenes
}

async fn send_one(client: &Client, lane: &SourceRules, gateway: SocketAddr, scene: Scene) -> Played {
    let Scene { sample, told, remark, tamper, fate, body, delivery_id } = scene;
    let body = body.unwrap_or_else(|| Bytes::from_static(sample.body.as_bytes()));
    let mut played = Played {
        provider: sample.provider,
        event: sample.event,
        told,
        remark,
        event_id: None,
        status: 0,
        outcome: String::new(),
        fate,
        body: body.clone(),
    };
    let headers = sample::headers(sample.provider, sample.event, &delivery_id);
    let target = Target::parse(&format!("http://{gateway}{}", lane.source.path.as_str()));
    let signed = send::sign(lane, (lane.source.path.as_str(), headers), body, SystemClock.now(), tamper);
    let (Some(target), Ok(signed)) = (target, signed) else { return played };
    match send::post(client, &target, &signed).await {
        Ok(answer) => {
            played.status = answer.status;
            let id = answer.headers.get("hookgate-event-id").and_then(|id| id.to_str().ok());
            played.event_id = id.map(str::to_owned);
            let problem: Option<serde_json::Value> = serde_json::from_slice(&answer.body).ok();
            let outcome = problem.as_ref().and_then(|problem| problem.get("outcome")?.as_str());
            outcome.unwrap_or_default().clone_into(&mut played.outcome);
        }
        Err(no_answer) => played.outcome = no_answer.detail,
    }
    played
}

/// Returns the number of deliveries that each event must have.
pub(crate) fn expected(played: &[Played]) -> BTreeMap<String, usize> {
    let delivered = played.iter().filter_map(|one| match one.fate {
        ExpectedEnd::Delivered(count) => one.event_id.clone().map(|id| (id, count)),
        ExpectedEnd::Kept | ExpectedEnd::Refused(_) => None,
    });
    delivered.collect()
}

/// Returns whether all results are as expected: answers, numbers of deliveries, and every byte of every body.
pub(crate) fn is_as_told(played: &[Played], seen: &BTreeMap<String, Vec<ReceivedEvent>>) -> bool {
    played.iter().all(|one| {
        let arrived: Vec<&ReceivedEvent> =
            one.event_id.as_ref().and_then(|id| seen.get(id)).into_iter().flatten().collect();
        let exact = arrived.iter().all(|seen| seen.body == one.body);
        match one.fate {
            ExpectedEnd::Delivered(count) => {
                one.status == 200 && exact && arrived.iter().filter(|seen| seen.delivered).count() == count
            }
            ExpectedEnd::Kept => one.status == 200 && arrived.is_empty(),
            ExpectedEnd::Refused(status) => one.status == status && arrived.is_empty(),
        }
    })
}

/// Returns a request to try by hand: unsigned, so that the gateway refuses it.
pub(crate) fn curl(gateway: SocketAddr) -> String {
    format!(
        "  curl -i http://{gateway}/in/github -H 'X-GitHub-Event: push' -H 'Content-Type: application/json' -d '{{\"unsigned\": true}}'\n  \
         body='{{\"hello\":\"world\"}}'; curl -i http://{gateway}/in/github -H 'X-GitHub-Event: ping' -H 'Content-Type: application/json' \\\n    \
         -H \"X-Hub-Signature-256: sha256=$(printf '%s' \"$body\" | openssl dgst -sha256 -hmac demo-github-secret -hex | sed 's/.*= //')\" -d \"$body\""
    )
}
