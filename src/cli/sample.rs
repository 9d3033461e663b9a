//! Recorded events to send: GitHub deliveries recorded by octokit (MIT, see tests/payloads/github), Stripe-shaped ones
//! of our own, and the headers with which their providers send them.

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use crate::provider::{Content, Row};

/// One recorded event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// The provider's row.
    pub(crate) provider: &'static str,
    /// The event type, as `send` and people name it.
    pub(crate) event: &'static str,
    /// The body, byte for byte.
    pub(crate) body: &'static str,
}

macro_rules! samples {
    ($($provider:literal $event:literal $file:literal,)*) => {
        [$(Sample {
            provider: $provider,
            event: $event,
            body: include_str!(concat!("../../tests/payloads/", $provider, "/", $file)),
        },)*]
    };
}

/// All samples; `send` takes a provider's first one when no event is named.
pub(crate) const SAMPLES: [Sample; 16] = samples![
    "github" "push" "push.json",
    "github" "pull_request.opened" "pull_request.opened.json",
    "github" "issues.opened" "issues.opened.json",
    "github" "issue_comment.created" "issue_comment.created.json",
    "github" "check_run.completed" "check_run.completed.json",
    "github" "workflow_run.completed" "workflow_run.completed.json",
    "github" "release.published" "release.published.json",
    "github" "star.created" "star.created.json",
    "github" "create" "create.json",
    "github" "installation.created" "installation.created.json",
    "github" "security_advisory.published" "security_advisory.published.json",
    "github" "ping" "ping.json",
    "stripe" "invoice.paid" "invoice.paid.json",
    "stripe" "charge.refunded" "charge.refunded.json",
    "stripe" "checkout.session.completed" "checkout.session.completed.json",
    "stripe" "customer.subscription.deleted" "customer.subscription.deleted.json",
];

/// Finds the sample of a provider's event, or its first one.
pub(crate) fn find(provider: &str, event: Option<&str>) -> Option<&'static Sample> {
    SAMPLES.iter().find(|sample| sample.provider == provider && event.is_none_or(|event| event == sample.event))
}

/// Returns the body with another id of the same form at `pointer`, where it has a text. The same text elsewhere may
/// have another meaning, such as the event type, and stays, as does every other byte.
pub(crate) fn with_fresh_id(body: &str, pointer: &str, random: [u8; 32]) -> Option<String> {
    let json: Value = serde_json::from_str(body).ok()?;
    let id = json.pointer(pointer)?.as_str()?;
    let (old, fresh) = (format!("\"{id}\""), fresh(id, random));
    body.match_indices(&old).find_map(|(at, _)| {
        let changed = format!("{}\"{fresh}\"{}", body.get(..at)?, body.get(at + old.len()..)?);
        let json: Value = serde_json::from_str(&changed).ok()?;
        (json.pointer(pointer)?.as_str()? == fresh).then_some(changed)
    })
}

/// Returns another id: behind its prefix, such as `evt_`, each letter and each digit is replaced by another of its
/// kind.
fn fresh(id: &str, random: [u8; 32]) -> String {
    let (prefix, unique) = id.rfind('_').and_then(|at| id.split_at_checked(at + 1)).unwrap_or(("", id));
    let is_hex = unique.chars().all(|letter| letter.is_ascii_hexdigit() || letter == '-');
    let letters = if is_hex { 6 } else { 26 };
    let one = |(letter, random): (char, u8)| match letter {
        '0'..='9' => char::from(b'0' + random % 10),
        'a'..='z' => char::from(b'a' + random % letters),
        'A'..='Z' => char::from(b'A' + random % letters),
        other => other,
    };
    prefix.chars().chain(unique.chars().zip(random.into_iter().cycle()).map(one)).collect()
}

/// Returns the delivery id of a recorded event whose provider sends it in a header: the same for the same event, and
/// another for another.
pub(crate) fn recorded_id(event: &str) -> String {
    uuid::Builder::from_random_bytes(crate::provider::digest(&[event.as_bytes()])).into_uuid().to_string()
}

/// Returns the content type of a provider's body: a provider that sends forms sends a body that is not JSON as a form.
pub(crate) fn content_type(row: Option<&Row>, body: &[u8]) -> HeaderValue {
    let sends_forms = row.is_some_and(|row| row.content().contains(&Content::Form));
    let is_json = matches!(body.trim_ascii_start().first(), None | Some(b'{' | b'['));
    HeaderValue::from_static(if sends_forms && !is_json {
        "application/x-www-form-urlencoded"
    } else {
        "application/json"
    })
}

/// Returns the headers with which the provider sends, except those of the signature.
pub(crate) fn headers(provider: &str, event: &str, delivery_id: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut set = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    set("content-type", "application/json");
    match provider {
        "github" => {
            set("user-agent", "GitHub-Hookshot/demo");
            set("x-github-event", event.split('.').next().unwrap_or(event));
            set("x-github-delivery", delivery_id);
        }
        "stripe" => set("user-agent", "Stripe/1.0 (+https://stripe.com/docs/webhooks)"),
        "shopify" => set("x-shopify-topic", event),
        "gitlab" => set("x-gitlab-event", event),
        _ => {}
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_id_has_the_form_of_the_old_one_and_all_else_stays() {
        assert_eq!(fresh("evt_1Ab", [0, 1, 2].repeat(11)[..32].try_into().unwrap()), "evt_0Bc");
        assert_eq!(fresh("0f-A9", [9; 32]), "9d-D9");
        let invoice = find("stripe", Some("invoice.paid")).unwrap().body;
        let [one, other] = [[3; 32], [4; 32]].map(|random| with_fresh_id(invoice, "/id", random).unwrap());
        assert_ne!(one, other);
        let id = |text: &str| serde_json::from_str::<Value>(text).unwrap()["id"].as_str().unwrap().to_owned();
        assert!(id(&one).starts_with("evt_") && id(&one).len() == id(invoice).len());
        assert_eq!(one.replace(&id(&one), &id(invoice)), invoice);
        assert_eq!(with_fresh_id(invoice, "/no/such", [0; 32]), None);
        let alike = r#"{"a": "x1", "x1": "x1", "id": "x1",  "z": "x1"}"#;
        let changed = r#"{"a": "x1", "x1": "x1", "id": "f5",  "z": "x1"}"#;
        assert_eq!(with_fresh_id(alike, "/id", [5; 32]).unwrap(), changed);
    }
}
