//! The effective values of destinations: those taken over from `defaults.destination`, and the defaults.

use super::origin::Origin;
use super::tree::{FilledValue, Tree};
use super::words::size;
use crate::config::raw;
use crate::deliver::{BalanceParams, Destination, Destinations, HealthParams, Jitter, Policy, RetryOn, Selection};
use crate::patience::spelled;
use crate::shape::BodyFormat;

const DEFAULTS: &str = "defaults.destination";

/// Keys of `defaults.destination` that a destination overrides field by field; it overrides the others as a whole.
const BY_FIELD: &[&str] = &["retry", "dead_letter", "circuit_breaker", "tls"];

pub(super) fn fill(tree: &mut Tree, destinations: &Destinations, raw: &raw::File) {
    let defaults = tree.at(&["defaults", "destination"]).cloned();
    for name in raw.destinations.keys().map(raw::Name::as_str) {
        let tree = tree.entry("destinations").and_then(|all| all.entry(name));
        let (Some(tree), Some(destination)) = (tree, destinations.get(name)) else { continue };
        if let Some(Tree::Map(defaults)) = &defaults {
            take_over(tree, defaults);
        }
        fill_destination(tree, destination);
    }
}

fn take_over(tree: &mut Tree, defaults: &[(String, Tree)]) {
    for (key, value) in defaults {
        let value = value.clone().taken_over_from(DEFAULTS);
        match (value, tree.at(&[key])) {
            (Tree::Map(fields), Some(Tree::Map(_))) if BY_FIELD.contains(&key.as_str()) => {
                for (field, value) in fields {
                    tree.graft(&[key, &field], value);
                }
            }
            (value, _) => tree.graft(&[key], value),
        }
    }
}

fn fill_destination(tree: &mut Tree, destination: &Destination) {
    let usual = Origin::Default;
    balance(tree, &destination.balance);
    tree.fill(&["timeout"], spelled(destination.timeout), &usual);
    tree.fill(&["connect_timeout"], spelled(destination.connect_timeout), &usual);
    retry(tree, &destination.policy);
    tree.fill(&["dead_letter", "keep"], spelled(destination.keep.dead), &usual);
    tree.fill(&["concurrency"], destination.concurrency, &usual);
    tree.fill(&["keep_answer"], size(destination.keep_answer as u64), &usual);
    if let Some(breaker) = destination.breaker {
        tree.fill(&["circuit_breaker", "failures"], breaker.failures, &usual);
        tree.fill(&["circuit_breaker", "within"], spelled(breaker.within), &usual);
        tree.fill(&["circuit_breaker", "open_for"], spelled(breaker.open_for), &usual);
    }
    let format = match destination.shape.format {
        BodyFormat::Raw => "raw",
        BodyFormat::CloudEvents => "cloudevents",
        BodyFormat::Envelope => "envelope",
    };
    tree.fill(&["format"], format, &usual);
    if let Some(rate) = destination.rate {
        tree.fill(&["rate_limit", "burst"], rate.burst.get(), &usual);
    }
}

fn retry(tree: &mut Tree, policy: &Policy) {
    let usual = Origin::Default;
    tree.fill(&["retry", "max_attempts"], policy.attempts_max, &usual);
    tree.fill(&["retry", "initial"], spelled(policy.initial), &usual);
    tree.fill(&["retry", "max"], spelled(policy.max), &usual);
    let jitter = match policy.jitter {
        Jitter::Full => "full",
        Jitter::None => "none",
    };
    tree.fill(&["retry", "jitter"], jitter, &usual);
    tree.fill(&["retry", "give_up_after"], spelled(policy.give_up_after), &usual);
    tree.fill(&["retry", "retry_on"], FilledValue::List(retry_on(&policy.retry_on)), &usual);
    tree.fill(&["retry", "respect_retry_after"], policy.respect_retry_after, &usual);
}

fn retry_on(classes: &RetryOn) -> Vec<String> {
    let RetryOn { connect, timeout, any_5xx, any_4xx, statuses } = classes;
    let words = [("connect", *connect), ("timeout", *timeout), ("4xx", *any_4xx), ("5xx", *any_5xx)];
    let words = words.into_iter().filter(|(_, is_in)| *is_in).map(|(word, _)| word.to_owned());
    words.chain(statuses.iter().map(u16::to_string)).collect()
}

fn balance(tree: &mut Tree, params: &BalanceParams) {
    let usual = Origin::Default;
    if tree.at(&["targets"]).is_some() {
        let by = match params.by {
            Selection::RoundRobin => "round_robin",
            Selection::ConsistentHash => "consistent_hash",
        };
        tree.fill(&["balance", "by"], by, &usual);
        let written = tree.entry("targets").into_iter().flat_map(Tree::items);
        for (target, weighted) in written.zip(params.targets.iter()) {
            target.fill(&["weight"], weighted.weight, &usual);
        }
    }
    if let Some(HealthParams { path: _, interval, timeout, unhealthy_after, healthy_after, headers: _ }) =
        &params.health
    {
        tree.fill(&["health", "interval"], spelled(*interval), &usual);
        tree.fill(&["health", "timeout"], spelled(*timeout), &usual);
        tree.fill(&["health", "unhealthy_after"], *unhealthy_after, &usual);
        tree.fill(&["health", "healthy_after"], *healthy_after, &usual);
    }
}
