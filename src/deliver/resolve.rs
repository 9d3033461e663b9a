//! Names to addresses, off the async threads and remembered for a short while.
//!
//! The system's resolver decides (`/etc/hosts`, search domains); its answers are used in turn and asked for anew after
//! [`REMEMBERED`], so that a service that moved is found. At most [`NAMES_MAX`] names are remembered; they come from the
//! configuration, not from strangers.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::attempt::NoAnswer;
use crate::outcome::AttemptOutcome;

const REMEMBERED: Duration = Duration::from_secs(10);
const NAMES_MAX: usize = 10_000;

#[derive(Debug)]
struct Known {
    addresses: Vec<SocketAddr>,
    next: usize,
    until: Instant,
}

/// A memory of resolved names.
#[derive(Debug, Default)]
pub(crate) struct Resolver(Mutex<HashMap<(String, u16), Known>>);

impl Resolver {
    /// One address of `host`; the next one each time.
    pub(crate) async fn resolve(&self, host: &str, port: u16) -> Result<SocketAddr, NoAnswer> {
        if let Ok(ip) = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            return Ok(SocketAddr::new(ip, port));
        }
        if let Some(address) = self.remembered(host, port) {
            return Ok(address);
        }
        let failed = |detail: String| NoAnswer { outcome: AttemptOutcome::Dns, detail };
        let found = tokio::net::lookup_host((host, port)).await;
        let addresses: Vec<SocketAddr> =
            found.map_err(|error| failed(format!("{host} does not resolve: {error}")))?.collect();
        let first = *addresses.first().ok_or_else(|| failed(format!("{host} resolves to nothing")))?;
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= NAMES_MAX {
            known.clear();
        }
        known.insert((host.to_owned(), port), Known { addresses, next: 1, until: Instant::now() + REMEMBERED });
        Ok(first)
    }

    fn remembered(&self, host: &str, port: u16) -> Option<SocketAddr> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = known.get_mut(&(host.to_owned(), port))?;
        if entry.until <= Instant::now() {
            return None;
        }
        let address = entry.addresses.get(entry.next % entry.addresses.len().max(1)).copied();
        entry.next = entry.next.wrapping_add(1);
        address
    }

    /// After a failed connection: ask again next time.
    pub(crate) fn forget(&self, host: &str, port: u16) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&(host.to_owned(), port));
    }
}
