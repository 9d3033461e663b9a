//! Resolution of names to addresses, off the async threads and remembered for a short while.
//!
//! The system's resolver decides (`/etc/hosts`, search domains) and is asked anew after [`REMEMBERED`], so that a
//! service that moved is found. The families of a name's addresses are interleaved (RFC 8305 §4), and at most
//! [`ADDRESSES_MAX`] of them are kept. The addresses that work are used in turn, which spreads the load over them. An
//! address that failed goes behind all others for [`SHUNNED`]; then one caller tries the address again, while all
//! others still shun the address. At most [`NAMES_MAX`] names are remembered; names come from the configuration, not
//! from senders.
//!
//! Not here: connecting (`connect`).

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::attempt::NoAnswer;
use crate::outcome::AttemptOutcome;

const REMEMBERED: Duration = Duration::from_secs(10);
const SHUNNED: Duration = Duration::from_mins(1);
const NAMES_MAX: usize = 10_000;
/// The most addresses of one name that are used.
const ADDRESSES_MAX: usize = 16;

/// A source of the addresses of names: the system, or a test.
#[async_trait]
pub trait Lookup: Send + Sync {
    /// Finds the addresses of `host`, the best first.
    async fn lookup(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;
}

/// The system's resolver.
pub(super) struct SystemLookup;

#[async_trait]
impl Lookup for SystemLookup {
    async fn lookup(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }
}

#[derive(Debug)]
struct Known {
    /// The addresses, interleaved by family.
    addresses: Vec<SocketAddr>,
    /// The index of the address that goes first at the next turn, modulo the number of addresses that work.
    next: usize,
    until: Instant,
    /// The time at which each address failed last. An address that works is removed. An address that failed and is
    /// tried again gets the time of that turn.
    failed: HashMap<SocketAddr, Instant>,
}

/// A memory of resolved names.
pub(super) struct Resolver {
    lookup: Arc<dyn Lookup>,
    known: Mutex<HashMap<(String, u16), Known>>,
}

impl Resolver {
    pub(super) fn new(lookup: Arc<dyn Lookup>) -> Self {
        Self { lookup, known: Mutex::default() }
    }

    /// Returns the addresses of `host` in the order in which they are to be tried; at least one.
    pub(super) async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, NoAnswer> {
        if let Ok(ip) = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, port)]);
        }
        if let Some(addresses) = self.remembered(host, port) {
            return Ok(addresses);
        }
        let failed = |detail: String| NoAnswer { outcome: AttemptOutcome::Dns, detail };
        let found = self.lookup.lookup(host, port).await;
        let found = found.map_err(|error| failed(format!("{host} does not resolve: {error}")))?;
        let addresses = interleaved(found);
        if addresses.is_empty() {
            return Err(failed(format!("{host} resolves to nothing")));
        }
        let now = Instant::now();
        let mut known = self.lock();
        if known.len() >= NAMES_MAX {
            known.clear();
        }
        let key = (host.to_owned(), port);
        let (next, mut failed) = known.remove(&key).map_or((0, HashMap::new()), |old| (old.next, old.failed));
        failed.retain(|address, _| addresses.contains(address));
        let entry = known.entry(key).or_insert(Known { addresses, next, until: now + REMEMBERED, failed });
        Ok(entry.in_turn(now))
    }

    fn remembered(&self, host: &str, port: u16) -> Option<Vec<SocketAddr>> {
        let now = Instant::now();
        let mut known = self.lock();
        let entry = known.get_mut(&(host.to_owned(), port)).filter(|entry| entry.until > now)?;
        Some(entry.in_turn(now))
    }

    /// Notes a failed address. Returns true when the address was not shunned before.
    pub(super) fn failed(&self, host: &str, port: u16, address: SocketAddr) -> bool {
        let now = Instant::now();
        let mut known = self.lock();
        let Some(entry) = known.get_mut(&(host.to_owned(), port)) else { return false };
        let is_new = !entry.is_shunned(address, now);
        if entry.addresses.contains(&address) {
            entry.failed.insert(address, now);
        }
        is_new
    }

    /// Notes an address that took a connection.
    pub(super) fn worked(&self, host: &str, port: u16, address: SocketAddr) {
        if let Some(entry) = self.lock().get_mut(&(host.to_owned(), port)) {
            entry.failed.remove(&address);
        }
    }

    /// Makes the next attempt ask the system anew, because no address worked.
    pub(super) fn forget(&self, host: &str, port: u16) {
        if let Some(entry) = self.lock().get_mut(&(host.to_owned(), port)) {
            entry.until = Instant::now();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(String, u16), Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn is_shunned(&self, address: SocketAddr, now: Instant) -> bool {
        self.failed.get(&address).is_some_and(|at| now.saturating_duration_since(*at) < SHUNNED)
    }

    /// Returns all addresses: first those that work, beginning with the next one each time; then those that failed, the
    /// longest ago first.
    fn in_turn(&mut self, now: Instant) -> Vec<SocketAddr> {
        let (mut shunned, mut usual): (Vec<_>, Vec<_>) =
            self.addresses.iter().copied().partition(|address| self.is_shunned(*address, now));
        shunned.sort_by_key(|address| self.failed.get(address).copied());
        if !usual.is_empty() {
            let turn = self.next % usual.len();
            usual.rotate_left(turn);
            self.next = self.next.wrapping_add(1);
        }
        // Other callers shun the address until this caller has a result.
        if let Some(first) = usual.first()
            && let Some(at) = self.failed.get_mut(first)
        {
            *at = now;
        }
        usual.append(&mut shunned);
        usual
    }
}

/// Interleaves the families, beginning with the first one's; each address once, at most [`ADDRESSES_MAX`].
fn interleaved(found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let mut distinct: Vec<SocketAddr> = Vec::new();
    for address in found {
        if !distinct.contains(&address) {
            distinct.push(address);
        }
    }
    let first_is_v4 = distinct.first().is_some_and(SocketAddr::is_ipv4);
    let (first, second): (Vec<_>, Vec<_>) = distinct.into_iter().partition(|address| address.is_ipv4() == first_is_v4);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let pairs = std::iter::from_fn(|| {
        let pair = [first.next(), second.next()];
        pair.iter().any(Option::is_some).then_some(pair)
    });
    pairs.flatten().flatten().take(ADDRESSES_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Listed(Vec<SocketAddr>);

    #[async_trait]
    impl Lookup for Listed {
        async fn lookup(&self, _: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
            Ok(self.0.clone())
        }
    }

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn resolver(texts: &[&str]) -> Resolver {
        Resolver::new(Arc::new(Listed(addresses(texts))))
    }

    #[test]
    fn the_families_of_a_name_are_interleaved_and_its_addresses_are_bounded() {
        let found = addresses(&["[::1]:1", "[::2]:1", "[::1]:1", "1.1.1.1:1", "[::3]:1", "2.2.2.2:1"]);
        let wanted = addresses(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"]);
        assert_eq!(interleaved(found), wanted);
        let mut both: Vec<SocketAddr> = (0..200).map(|last| SocketAddr::from(([10, 0, 0, last], 80))).collect();
        both.push("[::1]:80".parse().unwrap());
        let kept = interleaved(both);
        assert_eq!(kept.len(), ADDRESSES_MAX);
        assert!(kept.iter().any(SocketAddr::is_ipv6), "a family with few addresses is among those that are kept");
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_that_work_take_turns() {
        let resolver = resolver(&["1.1.1.1:1", "2.2.2.2:1"]);
        let mut firsts = Vec::new();
        for _ in 0..4 {
            firsts.push(resolver.addresses("svc", 1).await.unwrap()[0].to_string());
        }
        assert_eq!(firsts, ["1.1.1.1:1", "2.2.2.2:1", "1.1.1.1:1", "2.2.2.2:1"]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_failed_is_tried_last_and_by_one_caller_a_minute() {
        let resolver = resolver(&["1.1.1.1:1", "2.2.2.2:1"]);
        let dead: SocketAddr = "1.1.1.1:1".parse().unwrap();
        resolver.addresses("svc", 1).await.unwrap();
        assert!(resolver.failed("svc", 1, dead));
        let mut at_dead = 0;
        for _ in 0..70 {
            tokio::time::advance(Duration::from_secs(1)).await;
            let order = resolver.addresses("svc", 1).await.unwrap();
            assert_eq!(order.len(), 2, "it is never left out");
            at_dead += usize::from(order[0] == dead);
        }
        assert_eq!(at_dead, 1, "in 70 seconds, over seven lookups");
        resolver.worked("svc", 1, dead);
        let firsts = [resolver.addresses("svc", 1).await.unwrap()[0], resolver.addresses("svc", 1).await.unwrap()[0]];
        assert!(firsts.contains(&dead), "{firsts:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn where_all_failed_the_one_that_failed_first_goes_first() {
        let resolver = resolver(&["1.1.1.1:1", "2.2.2.2:1"]);
        let all = resolver.addresses("svc", 1).await.unwrap();
        for address in all.iter().rev() {
            resolver.failed("svc", 1, *address);
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        let order: Vec<SocketAddr> = resolver.addresses("svc", 1).await.unwrap();
        assert_eq!(order, [all[1], all[0]]);
    }
}
