//! Real events to send: GitHub deliveries recorded by octokit (MIT, see tests/payloads/github), Stripe-shaped ones of our
//! own, and the headers with which their providers send them.

use http::{HeaderMap, HeaderName, HeaderValue};

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

/// Every sample; a provider's first one is what `send` takes when no event is named.
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

/// The sample of a provider's event, or its first one.
pub(crate) fn find(provider: &str, event: Option<&str>) -> Option<&'static Sample> {
    SAMPLES.iter().find(|sample| sample.provider == provider && event.is_none_or(|event| event == sample.event))
}

/// The headers with which the provider sends, but for the signature.
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
