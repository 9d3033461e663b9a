//! The log lines of refusals and of unsigned handshakes, which strangers can cause: the first five of a kind in ten
//! seconds are written, the rest is summed up in one line.
//!
//! A kind is source, outcome, verdict of the verification, and whether the sender was verified at the source before:
//! names of the configuration and closed enums. So senders cannot invent kinds, and the provider's own failures are not
//! hidden behind those of others. Refusals of verified requests are never summed up. The sum is written when the ten
//! seconds are over, even without another request.
//!
//! Bounds: [`SENDERS_MAX`] addresses are told apart in one sum. Time is handed in.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::{AnsweredRequest, Telemetry};
use crate::accept::SignatureVerdict;
use crate::clock::Timestamp;
use crate::refusal::RequestOutcome;

/// The lines of one kind that are written in one window.
const LINES_MAX: u64 = 5;
/// The length of a window, which begins with the first refusal of its kind.
const WINDOW: Duration = Duration::from_secs(10);
const SENDERS_MAX: usize = 256;

/// The open windows, by source.
#[derive(Debug, Default)]
pub(super) struct RefusalLines(Mutex<HashMap<String, BTreeMap<Kind, Window>>>);

/// The properties that requests of one kind share, within a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    outcome: RequestOutcome,
    verdict: Option<SignatureVerdict>,
    is_known_sender: bool,
}

#[derive(Debug)]
struct Window {
    began: Timestamp,
    lines: u64,
    /// The number of requests that were not written.
    more: u64,
    senders: BTreeMap<IpAddr, u64>,
    has_more_senders: bool,
}

/// The line that sums up many refusals.
#[derive(Debug)]
struct Sum {
    source: String,
    kind: Kind,
    window: Window,
}

impl Telemetry {
    /// Returns whether a request has a line of its own; otherwise it is counted for the sum of its kind.
    pub(super) fn has_line(&self, source: &str, request: &AnsweredRequest<'_>, now: Timestamp) -> bool {
        let outcome = request.outcome;
        let is_a_stranger_s = matches!(outcome, RequestOutcome::Refused(_) | RequestOutcome::Handshake);
        if !is_a_stranger_s || request.notes.secret.is_some() {
            return true;
        }
        let kind = Kind { outcome, verdict: request.notes.verdict, is_known_sender: request.is_known_sender };
        let (has_line, over) = self.2.count(source, kind, request.sender, now);
        if let Some(sum) = over {
            sum.write();
        }
        if !has_line {
            self.0.lines_suppressed.with_label_values(&[source, outcome.label()]).inc();
        }
        has_line
    }

    /// Writes the sums that are due. To be called about once a second.
    pub fn sum_up_refusals(&self, now: Timestamp) {
        for sum in self.2.take(|window| window.is_over(now)) {
            sum.write();
        }
    }

    /// Writes all sums at the end of the process.
    pub fn sum_up_all_refusals(&self) {
        for sum in self.2.take(|_| true) {
            sum.write();
        }
    }
}

impl RefusalLines {
    /// Counts one request: returns whether it has a line, and the sum of a window that it ends.
    fn count(&self, source: &str, kind: Kind, sender: IpAddr, now: Timestamp) -> (bool, Option<Sum>) {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !windows.contains_key(source) {
            windows.insert(source.to_owned(), BTreeMap::new());
        }
        let Some(of_source) = windows.get_mut(source) else { return (true, None) };
        let over = match of_source.get(&kind) {
            Some(window) if window.is_over(now) => {
                of_source.remove(&kind).and_then(|window| Sum::of(source, kind, window))
            }
            _ => None,
        };
        (of_source.entry(kind).or_insert_with(|| Window::new(now)).count(sender), over)
    }

    /// Ends windows and returns their sums.
    fn take(&self, ends: impl Fn(&Window) -> bool) -> Vec<Sum> {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sums = Vec::new();
        windows.retain(|source, of_source| {
            let ended = of_source.extract_if(.., |_, window| ends(window));
            sums.extend(ended.filter_map(|(kind, window)| Sum::of(source, kind, window)));
            !of_source.is_empty()
        });
        sums
    }
}

impl Window {
    const fn new(began: Timestamp) -> Self {
        Self { began, lines: 0, more: 0, senders: BTreeMap::new(), has_more_senders: false }
    }

    /// Checks whether the window is over. A clock that was set back ends a window too.
    fn is_over(&self, now: Timestamp) -> bool {
        now < self.began || now.since(self.began) >= WINDOW
    }

    fn count(&mut self, sender: IpAddr) -> bool {
        if self.lines < LINES_MAX {
            self.lines += 1;
            return true;
        }
        self.more = self.more.saturating_add(1);
        if self.senders.len() < SENDERS_MAX || self.senders.contains_key(&sender) {
            *self.senders.entry(sender).or_default() += 1;
        } else {
            self.has_more_senders = true;
        }
        false
    }
}

impl Sum {
    fn of(source: &str, kind: Kind, window: Window) -> Option<Self> {
        (window.more > 0).then(|| Self { source: source.to_owned(), kind, window })
    }

    fn write(&self) {
        let Self { source, kind: Kind { outcome, verdict, is_known_sender }, window } = self;
        let (what, is_ours) = match outcome {
            RequestOutcome::Refused(class) => ("refusals", class.status() >= 500),
            RequestOutcome::Accepted
            | RequestOutcome::Duplicate
            | RequestOutcome::Handshake
            | RequestOutcome::Filtered
            | RequestOutcome::Quarantined => ("requests", false),
        };
        let most = window.senders.iter().max_by_key(|(_, requests)| **requests);
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    target: "hookgate::access",
                    source = source.as_str(),
                    outcome = outcome.label(),
                    verdict = verdict.map_or("", SignatureVerdict::label),
                    more = window.more,
                    since = %window.began,
                    senders = window.senders.len(),
                    more_senders = window.has_more_senders.then_some(true),
                    most_by = most.map(|(sender, _)| sender.to_string()),
                    most = most.map(|(_, requests)| *requests),
                    known_senders = is_known_sender.then_some(true),
                    "more {what} like the five before, summed up"
                )
            };
        }
        if is_ours { line!(warn) } else { line!(info) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::FailureKind;
    use crate::refusal::Class;

    const BAD: Kind = Kind {
        outcome: RequestOutcome::Refused(Class::BadSignature),
        verdict: Some(SignatureVerdict::Failed(FailureKind::WrongSecretOrBody)),
        is_known_sender: false,
    };

    fn sender(n: u32) -> IpAddr {
        std::net::Ipv4Addr::from(n).into()
    }

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_unix_ms(1_760_000_000_000 + ms)
    }

    #[test]
    fn five_lines_are_written_and_the_rest_is_one_sum() {
        let lines = RefusalLines::default();
        let written = (0..20_000).filter(|n| lines.count("stripe", BAD, sender(n % 3), at(u64::from(n / 3))).0).count();
        assert_eq!(written, 5);
        assert!(lines.take(|window| window.is_over(at(9_999))).is_empty());
        let sums = lines.take(|window| window.is_over(at(10_000)));
        let [sum] = &*sums else { panic!("{sums:?}") };
        assert_eq!((sum.window.more, sum.window.senders.len(), &*sum.source), (19_995, 3, "stripe"));
        assert!(lines.0.lock().unwrap().is_empty(), "nothing is left of it");
        assert!(lines.count("stripe", BAD, sender(1), at(10_001)).0, "a new window");
        assert!(lines.take(|_| true).is_empty(), "nothing was suppressed, so there is no sum");
    }

    #[test]
    fn a_refusal_after_the_window_ends_it_and_has_a_line() {
        let lines = RefusalLines::default();
        for _ in 0..8 {
            lines.count("a", BAD, sender(1), at(0));
        }
        let (has_line, over) = lines.count("a", BAD, sender(1), at(10_000));
        assert_eq!((has_line, over.map(|sum| sum.window.more)), (true, Some(3)));
    }

    #[test]
    fn what_differs_in_source_outcome_verdict_or_sender_has_lines_of_its_own() {
        let lines = RefusalLines::default();
        for n in 0..100 {
            lines.count("a", BAD, sender(n), at(0));
        }
        for other in [
            Kind { outcome: RequestOutcome::Refused(Class::MissingSignature), ..BAD },
            Kind { verdict: Some(SignatureVerdict::Failed(FailureKind::MalformedHeader)), ..BAD },
            Kind { is_known_sender: true, ..BAD },
        ] {
            assert!(lines.count("a", other, sender(1), at(1)).0, "{other:?}");
        }
        assert!(lines.count("b", BAD, sender(1), at(1)).0);
        assert!(!lines.count("a", BAD, sender(1), at(1)).0);
    }

    #[test]
    fn the_senders_of_a_sum_are_bounded() {
        let lines = RefusalLines::default();
        for n in 0..10_000 {
            lines.count("a", BAD, sender(n), at(0));
        }
        let sums = lines.take(|_| true);
        let window = &sums[0].window;
        assert_eq!((window.more, window.senders.len(), window.has_more_senders), (9_995, SENDERS_MAX, true));
    }

    #[test]
    fn a_clock_that_is_set_back_ends_a_window() {
        let lines = RefusalLines::default();
        for _ in 0..8 {
            lines.count("a", BAD, sender(1), at(0));
        }
        assert_eq!(lines.take(|window| window.is_over(at(0))).len(), 0);
        let long_ago = Timestamp::from_unix_secs(1);
        assert_eq!(lines.take(|window| window.is_over(long_ago)).len(), 1);
    }
}
