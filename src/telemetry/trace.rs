//! Traces: the spans that belong together, and the choice of those that are recorded.
//!
//! The trace of an event is the one that its sender names in `traceparent` (W3C Trace Context), or else has the event's
//! own id. The span of its request has an id that is half of the event's, so a delivery knows its parent after retries,
//! a restart, or in another process.
//!
//! The event's id alone decides whether a trace is recorded, and nobody outside can choose that id. The sender's trace
//! id and flag do not count: with either of them a stranger would decide what we pay for tracing, or what we see.

use std::fmt;

use http::HeaderValue;

use crate::event::EventId;

/// The header that names a trace.
pub(super) const TRACEPARENT: &str = "traceparent";

/// A share of all events, in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampledShare(u32);

/// Bits of an event id that are drawn at random.
const RANDOM_BITS: u32 = 62;

impl fmt::Display for SampledShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (percent, rest) = (self.0 / 10_000, self.0 % 10_000);
        let rest = format!("{rest:04}");
        match rest.trim_end_matches('0') {
            "" => write!(f, "{percent}%"),
            rest => write!(f, "{percent}.{rest}%"),
        }
    }
}

impl SampledShare {
    /// The share of all events, in millionths.
    pub const ALL: u32 = 1_000_000;

    /// Builds a share; `None` when it is more than all.
    pub const fn of_millionths(millionths: u32) -> Option<Self> {
        if millionths <= Self::ALL { Some(Self(millionths)) } else { None }
    }

    /// Checks whether the event is in this share; the same answer each time.
    pub(super) fn takes(self, event: EventId) -> bool {
        let drawn = u128::from(u64::from_be_bytes(half(event))) & ((1 << RANDOM_BITS) - 1);
        drawn * u128::from(Self::ALL) < u128::from(self.0) << RANDOM_BITS
    }
}

/// Returns the half of an event's id that is random; never zero, because it holds the id's variant.
fn half(event: EventId) -> [u8; 8] {
    event.as_bytes().last_chunk().copied().unwrap_or([1; 8])
}

/// The trace that a sender names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sender {
    trace: [u8; 16],
    span: [u8; 8],
}

impl Sender {
    /// Reads all values of the header; `None` unless there is exactly one valid one.
    fn read<'h>(mut values: impl Iterator<Item = &'h [u8]>) -> Option<Self> {
        let (value, None) = (values.next()?, values.next()) else { return None };
        let text = std::str::from_utf8(value).ok()?;
        let mut parts = text.split('-');
        let version: [u8; 1] = hex(parts.next()?)?;
        let (trace, span) = (hex(parts.next()?)?, hex(parts.next()?)?);
        let _flags: [u8; 1] = hex(parts.next()?)?;
        // Later versions may have more parts.
        let is_known = version[0] != 0xff && (version[0] != 0 || parts.next().is_none());
        (is_known && trace != [0; 16] && span != [0; 8]).then_some(Self { trace, span })
    }
}

/// Decodes hexadecimal digits, in lower case only, as the standard has it.
fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    data_encoding::HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()
}

/// The span of a request, and with it the trace of its event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RequestTrace {
    pub(super) trace: [u8; 16],
    pub(super) span: [u8; 8],
    /// The sender's span, if it names one.
    pub(super) parent: Option<[u8; 8]>,
}

impl RequestTrace {
    /// Builds the trace of the request that became `event` and had these `traceparent` headers.
    pub(super) fn of<'h>(event: EventId, headers: impl Iterator<Item = &'h [u8]>) -> Self {
        let sender = Sender::read(headers);
        Self {
            trace: sender.map_or(event.as_bytes(), |sender| sender.trace),
            span: half(event),
            parent: sender.map(|sender| sender.span),
        }
    }
}

/// The span of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptTrace {
    pub(super) trace: [u8; 16],
    pub(super) span: [u8; 8],
    pub(super) parent: [u8; 8],
    /// True when the event's sender named the trace.
    pub(super) is_continued: bool,
    pub(super) is_sampled: bool,
}

impl AttemptTrace {
    /// Returns the header for the service: this span is the parent of the service's own.
    pub fn traceparent(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.to_string()).ok()
    }

    /// Checks whether the sender's `tracestate` belongs to the trace.
    pub fn keeps_tracestate(&self) -> bool {
        self.is_continued
    }
}

impl fmt::Display for AttemptTrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
        write!(f, "00-{}-{}-{:02x}", hex(&self.trace), hex(&self.span), u8::from(self.is_sampled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn read(values: &[&str]) -> Option<Sender> {
        Sender::read(values.iter().map(|value| value.as_bytes()))
    }

    #[test]
    fn a_trace_is_continued_when_it_is_named_as_the_standard_has_it() {
        let sender = read(&[GOOD]).unwrap();
        assert_eq!((sender.trace[0], sender.span[7]), (0x0a, 0x31));
        assert_eq!(read(&["cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more"]), Some(sender));
        for bad in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333-01",
        ] {
            assert_eq!(read(&[bad]), None, "{bad}");
        }
        assert_eq!(read(&[GOOD, GOOD]), None, "two are none");
    }

    #[test]
    fn a_share_takes_as_many_as_it_says_and_always_the_same() {
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let ids: Vec<EventId> = (0..100_000)
            .map(|_| {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let drawn = u128::from(random ^ (random >> 29)).to_be_bytes();
                EventId::at(Timestamp::from_unix_secs(1_790_000_000), *drawn.last_chunk().unwrap())
            })
            .collect();
        let taken = |share: SampledShare| ids.iter().filter(|id| share.takes(**id)).count();
        assert_eq!(taken(SampledShare(0)), 0);
        assert_eq!(taken(SampledShare(SampledShare::ALL)), ids.len());
        let twentieth = taken(SampledShare(50_000));
        assert!((4_700..5_300).contains(&twentieth), "{twentieth}");
        assert!(
            ids.iter().all(|id| !SampledShare(50_000).takes(*id) || SampledShare(60_000).takes(*id)),
            "more takes the same and others"
        );
        assert_eq!(SampledShare::of_millionths(SampledShare::ALL + 1), None);
    }
}
