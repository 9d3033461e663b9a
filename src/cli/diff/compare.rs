//! One recorded request under two files.

use std::collections::BTreeMap;

use super::Tried;
use crate::cli::recorded_request::RecordedRequest;
use crate::credential::REDACTED;
use crate::event::KeyHash;
use crate::explain::{BodyShown, Explanation, RouteVerdict, Sent, UNDECIDED, short};
use crate::payload::escaped;
use crate::telemetry::NO_SOURCE;

/// The kinds of differences, in the order in which they are reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum DifferenceKind {
    /// Another outcome or status.
    Answered,
    /// Other routes or destinations.
    Routed,
    /// Another URL, another body or other headers.
    Transformed,
}

impl DifferenceKind {
    pub(super) const ALL: [Self; 3] = [Self::Answered, Self::Routed, Self::Transformed];

    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Routed => "routed",
            Self::Transformed => "transformed",
        }
    }

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Answered => "answered otherwise",
            Self::Routed => "routed otherwise",
            Self::Transformed => "sent otherwise",
        }
    }
}

/// One difference; events that have the same one are counted together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Difference {
    pub(super) kind: DifferenceKind,
    /// Source and type, and the destination where the difference concerns one.
    pub(super) what: String,
    pub(super) change: String,
}

pub(super) struct Compared {
    pub(super) differences: Vec<Difference>,
    /// True if the signature could not be judged under one of the files; then it is judged under neither.
    pub(super) is_unjudged: bool,
}

/// The word for the destination of an event that no route accepts, or that does not reach the routes.
const NOWHERE: &str = "nowhere";
/// Headers that depend on the time of sending.
const OF_THE_MOMENT: [&str; 3] = ["webhook-timestamp", "webhook-signature", "traceparent"];

pub(super) fn compare(recorded: &RecordedRequest, old: &Tried, new: &Tried) -> Compared {
    let (mut before, mut after) = (recorded.explained(old.live(), true), recorded.explained(new.live(), true));
    // A signature that is judged otherwise under the new file than under the old one is a difference, if all secrets
    // are here.
    let is_right_before = before.verification.is_some() && !recorded.is_contradicted(&before);
    let is_known = is_right_before && !new.lacks_a_secret_of(&recorded.event.source);
    let is_unjudged = recorded.is_contradicted(&before) || recorded.is_contradicted(&after) && !is_known;
    if is_unjudged {
        (before, after) = (recorded.explained(old.live(), false), recorded.explained(new.live(), false));
    }
    let event_type = before.event_type.as_ref().or(after.event_type.as_ref());
    let what = match &*recorded.event.source {
        NO_SOURCE => "no source".to_owned(),
        source => format!("{source} {}", event_type.map_or("-", String::as_str)),
    };
    let mut differences = Vec::new();
    let redactions = [old, new].map(|tried| &tried.live().capture.redaction);
    let mut differ = |kind: DifferenceKind, what: &str, old: String, new: String| {
        if old != new {
            let mut change = format!("{old} → {new}");
            for redaction in redactions {
                redaction.hide_values_in(&mut change);
            }
            differences.push(Difference { kind, what: what.to_owned(), change });
        }
    };
    differ(DifferenceKind::Answered, &what, answered(&before), answered(&after));
    // The routes of a request that cannot be judged to its end are unknown.
    if before.outcome != UNDECIDED && after.outcome != UNDECIDED {
        differ(DifferenceKind::Routed, &what, routed(&before), routed(&after));
    }
    let (sent_before, sent_after) = (sent(&before), sent(&after));
    for ((route, destination), old) in &sent_before {
        let Some(new) = sent_after.get(&(*route, *destination)) else { continue };
        for (old, new) in changes(old, new) {
            differ(DifferenceKind::Transformed, &format!("{what} by {route} to {destination}"), old, new);
        }
    }
    Compared { differences, is_unjudged }
}

/// Returns the answer to the sender.
fn answered(told: &Explanation) -> String {
    match &told.answer {
        Some(answer) => format!("{} {}", told.outcome, answer.status),
        None => "let in by its head".to_owned(),
    }
}

/// Returns the routes and destinations; a refused or quarantined request has none, whatever its routes decide.
fn routed(told: &Explanation) -> String {
    if !matches!(told.outcome, "accepted" | "filtered" | "handshake") {
        return NOWHERE.to_owned();
    }
    let wanting = told.routes.iter().filter(|says| says.verdict == RouteVerdict::Matched);
    let routes: Vec<String> = wanting.map(|says| format!("{} ({})", says.route, says.to.join(", "))).collect();
    if routes.is_empty() { NOWHERE.to_owned() } else { routes.join(", ") }
}

fn sent(told: &Explanation) -> BTreeMap<(&str, &str), &Sent> {
    told.outgoing.iter().map(|sent| ((sent.route.as_str(), sent.destination.as_str()), sent)).collect()
}

/// Returns the changes of a delivery, before and after.
fn changes(old: &Sent, new: &Sent) -> Vec<(String, String)> {
    let mut changes = Vec::new();
    let or_fine = |error: &Option<String>| error.clone().unwrap_or_else(|| "sent".to_owned());
    changes.push((or_fine(&old.error), or_fine(&new.error)));
    if old.addresses != new.addresses {
        let shown =
            |sent: &Sent| format!("to {}{}", sent.targets.join(" or "), sent.path.as_deref().unwrap_or_default());
        let (before, after) = (shown(old), shown(new));
        // Paths may hold secrets.
        let is_told = before != after;
        changes.push(if is_told { (before, after) } else { (before, "another path there".to_owned()) });
    }
    if old.compared.body != new.compared.body {
        changes.push(first_difference(old, new));
    }
    changes.extend(changed_headers(old, new));
    if old.compared.order_key != new.compared.order_key {
        let shown = |sent: &Sent| {
            sent.order_key.as_ref().map_or_else(|| "no order key".to_owned(), |key| format!("order key {key}"))
        };
        let (before, after) = (shown(old), shown(new));
        changes.push(if before == after { (before, "another order key".to_owned()) } else { (before, after) });
    }
    changes
}

/// Returns the changed headers; a header whose value is hidden is compared by its digest.
fn changed_headers(old: &Sent, new: &Sent) -> Vec<(String, String)> {
    let of = |sent: &Sent| -> BTreeMap<String, String> {
        let lasting = sent.headers.iter().filter(|(name, _)| !OF_THE_MOMENT.contains(&name.as_str()));
        lasting.cloned().collect()
    };
    let (before, after) = (of(old), of(new));
    let digests = |sent: &Sent, name: &str| -> Vec<KeyHash> {
        let named = sent.compared.headers.iter().filter(|(known, _)| known == name);
        named.map(|(_, digest)| *digest).collect()
    };
    let names = before.keys().chain(after.keys().filter(|name| !before.contains_key(*name)));
    names
        .map(|name| {
            let shown = |headers: &BTreeMap<String, String>| {
                headers.get(name).map_or_else(|| format!("no {name}"), |value| format!("{name}: {value}"))
            };
            let (before, after) = (shown(&before), shown(&after));
            let is_hidden = before == after && digests(old, name) != digests(new, name);
            if is_hidden { (before, format!("another {name}")) } else { (before, after) }
        })
        .collect()
}

/// Returns the first difference of two bodies. Values of one event are not common to many events, so only places are
/// reported.
fn first_difference(old: &Sent, new: &Sent) -> (String, String) {
    let (Some(BodyShown::Json(before)), Some(BodyShown::Json(after))) = (&old.compared.body, &new.compared.body) else {
        return ("the body".to_owned(), "another body".to_owned());
    };
    let (place, is_shown) = place_of_difference((before, old.body.as_ref()), (after, new.body.as_ref()));
    if !is_shown {
        return (format!("body{place} {REDACTED}"), format!("body{place} another {REDACTED}"));
    }
    let at = |value: &serde_json::Value| match value.pointer(&place) {
        Some(value) if value.is_object() || value.is_array() => format!("body{place} {}", kind(value)),
        Some(value) => format!("body{place} {}", short(value)),
        None => format!("no body{place}"),
    };
    (at(before), at(after))
}

fn kind(value: &serde_json::Value) -> &'static str {
    if value.is_array() { "a list" } else { "an object" }
}

/// A body with all its values, and its shown form.
type Body<'b> = (&'b serde_json::Value, Option<&'b BodyShown>);

/// Returns the place, and whether the values there are shown; a place with a hidden name ends before that name.
fn place_of_difference((old, old_shown): Body<'_>, (new, new_shown): Body<'_>) -> (String, bool) {
    use serde_json::Value::{Array, Object};
    let (mut place, mut old, mut new) = (String::new(), old, new);
    let at = |shown: Option<&BodyShown>, place: &str| match shown {
        Some(BodyShown::Json(json)) => json.pointer(place).cloned(),
        Some(BodyShown::Text(_) | BodyShown::Base64(_)) | None => None,
    };
    let is_as_shown = |place: &str, old: Option<&serde_json::Value>, new: Option<&serde_json::Value>| {
        at(old_shown, place).as_ref() == old && at(new_shown, place).as_ref() == new
    };
    loop {
        let step = match (old, new) {
            (Object(before), Object(after)) => {
                let names = before.keys().chain(after.keys());
                names.into_iter().find(|name| before.get(*name) != after.get(*name)).cloned()
            }
            (Array(before), Array(after)) => {
                let length = before.len().max(after.len());
                (0..length).find(|index| before.get(*index) != after.get(*index)).map(|index| index.to_string())
            }
            _ => None,
        };
        let Some(step) = step else {
            let is_shown = is_as_shown(&place, Some(old), Some(new));
            return (place, is_shown);
        };
        let child = format!("/{}", escaped(&step));
        let below = format!("{place}{child}");
        if at(old_shown, &below).is_none() && at(new_shown, &below).is_none() {
            return (place, false);
        }
        place = below;
        match (old.pointer(&child), new.pointer(&child)) {
            (Some(before), Some(after)) => (old, new) = (before, after),
            (before, after) => {
                let is_shown = is_as_shown(&place, before, after);
                return (place, is_shown);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::ComparedRequest;

    fn to(target: &str, url: &str) -> Sent {
        Sent {
            route: "r".to_owned(),
            destination: "d".to_owned(),
            withheld: Vec::new(),
            targets: vec![target.to_owned()],
            path: None,
            addresses: vec![KeyHash::of(url)],
            method: "POST".to_owned(),
            order_key: None,
            headers: Vec::new(),
            body: None,
            compared: ComparedRequest::default(),
            error: None,
        }
    }

    #[test]
    fn a_delivery_that_goes_elsewhere_is_a_difference_and_its_path_is_not_told() {
        let told = |old: &Sent, new: &Sent| -> Vec<(String, String)> {
            changes(old, new).into_iter().filter(|(old, new)| old != new).collect()
        };
        let old = to("a:80", "http://a/SECRET");
        assert_eq!(told(&old, &old), []);
        assert_eq!(told(&old, &to("b:80", "http://b/SECRET")), [("to a:80".to_owned(), "to b:80".to_owned())]);
        assert_eq!(
            told(&old, &to("a:80", "http://a/OTHER")),
            [("to a:80".to_owned(), "another path there".to_owned())]
        );
    }
}
