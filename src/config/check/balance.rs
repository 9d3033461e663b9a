//! The `url` or `targets` of a destination, their balancing and their health checks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;

use super::{Checker, path};
use crate::condition::KeyExpression;
use crate::config::problem::Code;
use crate::config::raw;
use crate::config::spans::Seg;
use crate::deliver::{BalanceParams, HealthParams, Selection, Target, Targets, WeightedTarget};
use crate::shape::written_as_url;

/// The limit of targets: each of them gets health checks.
const TARGETS_MAX: usize = 64;
const WEIGHT_MAX: u32 = 1000;
/// The limit of the sum of weights: a ring has 160 points for each unit of weight, 8 bytes a point.
const WEIGHTS_MAX: u32 = 10_000;

const INTERVAL: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(1);
const UNHEALTHY_AFTER: u32 = 3;
const HEALTHY_AFTER: u32 = 2;

impl<'a> Checker<'a> {
    pub(super) fn balance(&mut self, name: &str, written: &raw::Destination) -> Option<BalanceParams> {
        let targets = self.targets(name, written);
        let targets = self.with_tls(name, written, targets);
        let by = self.selection(name, written);
        let health = written.health.as_ref().and_then(|health| self.health(name, health));
        Some(BalanceParams { targets: targets?, by, health })
    }

    /// Returns the keys by which targets are chosen, by destination.
    pub(super) fn balance_keys(&mut self) -> BTreeMap<&'a str, Arc<KeyExpression>> {
        let raw = self.raw;
        let mut keys = BTreeMap::new();
        for (name, written) in &raw.destinations {
            let Some(text) = written.balance.as_ref().and_then(|balance| balance.key.as_ref()) else { continue };
            let at = path!["destinations", name, "balance", "key"];
            if let Some(key) = self.expression(&at, "key", text, KeyExpression::compile) {
                keys.insert(name.as_str(), Arc::new(key));
            }
        }
        keys
    }

    fn targets(&mut self, name: &str, written: &raw::Destination) -> Option<Targets> {
        let (at, at_list) = (path!["destinations", name], path!["destinations", name, "targets"]);
        match (&written.url, &written.targets) {
            (Some(url), None) => {
                let target = self.target(&path!["destinations", name, "url"], url)?;
                Some(BalanceParams::single(target).targets)
            }
            (Some(_), Some(_)) => {
                let help = "leave one of the two: `url` is one address, `targets` are several".to_owned();
                self.error_of(
                    Code::InvalidValue,
                    &at_list,
                    "a destination has `url` or `targets`, not both",
                    Some(help),
                );
                None
            }
            (None, None) => {
                // A misspelt key, or a key with a wrong value, is not missing.
                if !self.spans.is_broken(&at) {
                    let message = format!("`destinations.{name}` has neither `url` nor `targets`");
                    let help = "for example `url: http://billing:8080/hooks`".to_owned();
                    self.error_of(Code::MissingKey, &at, message, Some(help));
                }
                None
            }
            (None, Some(listed)) => self.listed(name, listed),
        }
    }

    fn listed(&mut self, name: &str, written: &[raw::Target]) -> Option<Targets> {
        let at_list = path!["destinations", name, "targets"];
        let mut targets: Vec<WeightedTarget> = Vec::new();
        let mut is_whole = true;
        for (index, one) in written.iter().enumerate() {
            let at = path!["destinations", name, "targets", index, "url"];
            let target = self.target(&at, &one.url);
            is_whole &= target.is_some();
            let Some(target) = target else { continue };
            if targets.iter().any(|before| *before.target == target) {
                let help = "give it a `weight` instead".to_owned();
                let message = format!("{} is listed twice", self.quoted(&at));
                self.error(Code::InvalidValue, &at, message, Some(help));
            }
            let weight = one.weight.map_or(1, |weight| weight.0.get());
            if weight > WEIGHT_MAX {
                let at = path!["destinations", name, "targets", index, "weight"];
                let help = format!("write a whole number from 1 to {WEIGHT_MAX}; only the relation counts");
                self.error(Code::InvalidValue, &at, "the weight is out of range", Some(help));
            }
            targets.push(WeightedTarget { target: Arc::new(target), weight });
        }
        let weights = targets.iter().fold(0_u32, |sum, one| sum.saturating_add(one.weight.min(WEIGHT_MAX)));
        if written.is_empty() && !self.spans.is_broken(&at_list) {
            self.error(Code::MissingKey, &at_list, "`targets` names nothing", None);
        } else if written.len() > TARGETS_MAX {
            self.error(Code::LimitExceeded, &at_list, format!("a destination has at most {TARGETS_MAX} targets"), None);
        } else if weights > WEIGHTS_MAX {
            let message = format!("the weights add up to {weights}, and {WEIGHTS_MAX} are allowed");
            let help = "only their relation counts: make them smaller".to_owned();
            self.error(Code::LimitExceeded, &at_list, message, Some(help));
        }
        Targets::new(targets).filter(|_| is_whole)
    }

    fn target(&mut self, at: &[Seg<'_>], url: &raw::TargetUrl) -> Option<Target> {
        let target = Target::parse(&written_as_url(url.as_str()));
        if target.is_none() {
            let message = format!("{} is not a URL to send to", self.quoted(at));
            let help = "write `http://service:8080/path`: scheme, host, a port from 1 to 65535, no user, no fragment";
            self.error(Code::InvalidValue, at, message, Some(help.to_owned()));
        }
        target
    }

    fn selection(&mut self, name: &str, written: &raw::Destination) -> Selection {
        let Some(balance) = &written.balance else { return Selection::RoundRobin };
        let at = path!["destinations", name, "balance"];
        if written.url.is_some() && written.targets.is_none() {
            let help = "write `targets: [{url: …}, {url: …}]`, or take `balance` away".to_owned();
            self.error_of(Code::InvalidValue, &at, "there is one `url`, and so nothing to balance", Some(help));
        }
        match (balance.by, &balance.key) {
            (raw::BalanceBy::RoundRobin, Some(_)) => {
                let at = path!["destinations", name, "balance", "key"];
                let help = "write `by: consistent_hash`, or take the key away".to_owned();
                self.error_of(Code::InvalidValue, &at, "`round_robin` goes by no key", Some(help));
            }
            (raw::BalanceBy::ConsistentHash, None) if !self.spans.is_broken(&at) => {
                let help = "for example `key: body.customer`; `key: event.id` spreads evenly".to_owned();
                self.error_of(Code::MissingKey, &at, "`consistent_hash` goes by a `key`", Some(help));
            }
            (raw::BalanceBy::RoundRobin, None) | (raw::BalanceBy::ConsistentHash, _) => {}
        }
        match balance.by {
            raw::BalanceBy::RoundRobin => Selection::RoundRobin,
            raw::BalanceBy::ConsistentHash => Selection::ConsistentHash,
        }
    }

    fn health(&mut self, name: &str, written: &raw::Health) -> Option<HealthParams> {
        let raw::Health { path, interval, timeout, unhealthy_after, healthy_after } = written;
        for (key, written) in [("interval", *interval), ("timeout", *timeout)] {
            self.not_zero(&path!["destinations", name, "health", key], written);
        }
        // Any text that can follow the host in a URL, from `/` on.
        let page = Target::parse(&format!("http://target{path}")).filter(|_| path.starts_with('/'));
        if page.is_none() {
            let at = path!["destinations", name, "health", "path"];
            let message = format!("{} is not a path to ask for", self.quoted(&at));
            let help = "write it from `/` on, such as `/healthz`; host and port are the target's".to_owned();
            self.error(Code::InvalidValue, &at, message, Some(help));
            return None;
        }
        Some(HealthParams {
            path: path.clone(),
            interval: interval.map_or(INTERVAL, |time| time.0),
            timeout: timeout.map_or(TIMEOUT, |time| time.0),
            unhealthy_after: unhealthy_after.map_or(UNHEALTHY_AFTER, |count| count.0.get()),
            healthy_after: healthy_after.map_or(HEALTHY_AFTER, |count| count.0.get()),
            headers: HeaderMap::new(),
        })
    }
}
