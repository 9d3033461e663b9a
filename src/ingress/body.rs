//! Reading of a body within its bounds: bytes, time, and the memory of all bodies together.
//!
//! The declared length has been checked before; here the received bytes are counted, so that a chunked body cannot be
//! larger either. The deadline is for the whole body, not for each read. The bytes are kept exactly as received.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header;
use pingora::protocols::http::ServerSession;

use super::wire::Control;
use crate::refusal::{Class, Refusal};

/// The most bytes of a too large body that are captured.
const BEGUN_BYTES_MAX: usize = 4 * 1024;

/// The bytes of all bodies in memory, bounded.
#[derive(Debug)]
pub struct BodyBudget {
    used: AtomicUsize,
    bytes_max: usize,
}

impl BodyBudget {
    /// Makes a budget of `bytes_max` bytes in flight.
    pub fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { used: AtomicUsize::new(0), bytes_max })
    }

    fn take(&self, bytes: usize) -> bool {
        let took = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(bytes).filter(|sum| *sum <= self.bytes_max)
        });
        took.is_ok()
    }
}

/// A share of the budget; given back on drop.
#[derive(Debug)]
pub(super) struct Held {
    budget: Arc<BodyBudget>,
    bytes: usize,
}

impl Held {
    fn grow(&mut self, bytes: usize) -> Result<(), Refusal> {
        if !self.budget.take(bytes) {
            return Err(Refusal::new(Class::Overloaded, "too many bytes of bodies are in flight").and_close());
        }
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

pub(super) struct Caps {
    /// The control of the connection below, under HTTP/1.
    pub(super) wire: Option<Control>,
    pub(super) bytes_max: u64,
    pub(super) timeout: Duration,
    pub(super) budget: Arc<BodyBudget>,
}

/// A body that was refused.
#[derive(Debug)]
pub(super) struct Unread {
    pub(super) refusal: Refusal,
    /// The beginning of a body that grew too large.
    pub(super) begun: Option<BodyBeginning>,
}

/// The beginning of a body.
#[derive(Debug)]
pub(super) struct BodyBeginning {
    /// At most [`BEGUN_BYTES_MAX`] bytes.
    pub(super) bytes: Bytes,
    /// The number of bytes that had come.
    pub(super) came: u64,
}

impl BodyBeginning {
    fn of(before: &[u8], chunk: &[u8], came: usize) -> Self {
        let bytes = before.iter().chain(chunk).copied().take(BEGUN_BYTES_MAX).collect();
        Self { bytes, came: came as u64 }
    }
}

impl From<Refusal> for Unread {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, begun: None }
    }
}

/// Reads the whole body.
pub(super) async fn read(
    session: &mut ServerSession,
    declared: Option<u64>,
    caps: Caps,
) -> Result<(Bytes, Held), Unread> {
    if let Some(wire) = caps.wire.as_ref().filter(|_| session.get_header(header::TRANSFER_ENCODING).is_some()) {
        wire.reads_chunks();
    }
    if expects_continue(session) {
        // pingora turns keep-alive off when a header is written before the body was read.
        let keepalive = session.get_keepalive();
        let said = session.write_continue_response().await;
        said.map_err(|_gone| Refusal::new(Class::Malformed, "the sender went away"))?;
        session.set_keepalive(keepalive);
    }
    tokio::time::timeout(caps.timeout, read_untimed(session, declared, &caps)).await.unwrap_or_else(|_elapsed| {
        Err(Refusal::new(Class::BodyTimeout, "the body did not arrive in time").and_close().into())
    })
}

async fn read_untimed(
    session: &mut ServerSession,
    declared: Option<u64>,
    caps: &Caps,
) -> Result<(Bytes, Held), Unread> {
    let mut held = Held { budget: Arc::clone(&caps.budget), bytes: 0 };
    let bytes_max = usize::try_from(caps.bytes_max).unwrap_or(usize::MAX);
    let mut whole = BytesMut::new();
    let mut only: Option<Bytes> = None;
    loop {
        let chunk = session.read_request_body().await;
        if let Some(violation) = caps.wire.as_ref().and_then(Control::violation) {
            return Err(Refusal::new(Class::Malformed, violation).and_close().into());
        }
        let chunk = chunk.map_err(|error| {
            Refusal::new(Class::Malformed, format!("the body could not be read: {}", error.etype.as_str())).and_close()
        })?;
        let Some(chunk) = chunk else { break };
        let so_far = whole.len().saturating_add(only.as_ref().map_or(0, Bytes::len));
        let came = so_far.saturating_add(chunk.len());
        if came > bytes_max {
            let refusal = Refusal::new(Class::TooLarge, format!("the body is larger than {bytes_max} bytes"));
            let begun = BodyBeginning::of(only.as_deref().unwrap_or(&whole), &chunk, came);
            return Err(Unread { refusal: refusal.and_close(), begun: Some(begun) });
        }
        held.grow(chunk.len())?;
        if so_far == 0 {
            // Most bodies come in one piece, which needs no second copy.
            only = Some(chunk);
            continue;
        }
        if let Some(first) = only.take() {
            let expected = declared.and_then(|length| usize::try_from(length).ok()).unwrap_or(0).min(bytes_max);
            whole.reserve(expected.max(first.len().saturating_add(chunk.len())).min(1024 * 1024));
            whole.extend_from_slice(&first);
        }
        whole.extend_from_slice(&chunk);
    }
    let body = only.unwrap_or_else(|| whole.freeze());
    if declared.is_some_and(|length| length != body.len() as u64) {
        return Err(Refusal::new(Class::Malformed, "the body is shorter than its Content-Length").and_close().into());
    }
    Ok((body, held))
}

fn expects_continue(session: &ServerSession) -> bool {
    session.get_header(header::EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}
