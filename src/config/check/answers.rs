//! Answers of a source: the provider's row, changed by the source's own `answers:`, with a check that no event is lost.

use super::{Checker, path};
use crate::answer::{Answer, Answers};
use crate::config::problem::Code;
use crate::config::{Seg, raw};
use crate::provider::Row;
use crate::refusal::{Class, RequestOutcome};

impl Checker<'_> {
    pub(super) fn answers(&mut self, name: &str, written: &raw::Source, row: Option<&Row>) -> Answers {
        let of_provider = row.map(|row| row.answers().clone()).unwrap_or_default();
        let mut own = Vec::new();
        for (outcome, reply) in &written.answers {
            let at = path!["sources", name, "answers", outcome.label()];
            let answer = match reply {
                raw::Reply::Status(status) => {
                    let usual = of_provider.get(*outcome).cloned().unwrap_or(Answer::of_status(*status));
                    let body = usual.body.filter(|_| !matches!(status, 204 | 304));
                    Answer { status: *status, because: None, body, ..usual }
                }
                raw::Reply::Whole(whole) => match whole.check() {
                    Ok(answer) => answer,
                    Err(problem) => {
                        self.error(Code::InvalidValue, &at, problem.to_string(), None);
                        continue;
                    }
                },
            };
            self.check_answer(*outcome, answer.status, &at);
            let is_stored = !matches!(outcome, RequestOutcome::Refused(_));
            if is_stored && row.is_some_and(|row| (200..300).contains(&answer.status) && !row.is_success(answer.status))
            {
                let message = format!("{} is no success for this provider, which would send it again", answer.status);
                let help = "`hookgate providers NAME` says what it takes for success".to_owned();
                self.error(Code::InvalidValue, &at, message, Some(help));
            }
            own.push((*outcome, answer));
        }
        of_provider.changed_by(&own.into_iter().collect())
    }

    /// Reports a status that does not fit its outcome. A 2xx for an event that was not stored loses the event silently.
    /// Any other status for a stored event makes the sender repeat it.
    pub(super) fn check_answer(&mut self, outcome: RequestOutcome, status: u16, at: &[Seg<'_>]) {
        let is_success = (200..300).contains(&status);
        match answer_class(outcome) {
            AnswerClass::Stored if !is_success => {
                let message = format!("`{}` means that the event is ours; only 2xx says so", outcome.label());
                self.error(Code::InvalidValue, at, message, Some("write a status from 200 to 299".into()));
            }
            AnswerClass::NotStored if is_success => {
                let message = format!("`{}` means that the event was not stored; 2xx would lose it", outcome.label());
                let help = "write a status of 4xx or 5xx, such as `503`".to_owned();
                self.error(Code::InvalidValue, at, message, Some(help));
            }
            AnswerClass::Judged if is_success => {
                let message = "senders will not learn of this refusal, and the event is not kept";
                let help = "`on_invalid: quarantine` keeps it and answers as accepted".to_owned();
                self.warning(Code::Partial, at, message, Some(help));
            }
            AnswerClass::Stored | AnswerClass::NotStored | AnswerClass::Judged => {}
        }
    }
}

/// The meaning of an answer for the sender's event.
enum AnswerClass {
    /// The event is taken care of.
    Stored,
    /// The event was not stored, and should come again.
    NotStored,
    /// The event was judged and refused for good.
    Judged,
}

fn answer_class(outcome: RequestOutcome) -> AnswerClass {
    match outcome {
        RequestOutcome::Accepted
        | RequestOutcome::Duplicate
        | RequestOutcome::Handshake
        | RequestOutcome::Filtered
        | RequestOutcome::Quarantined => AnswerClass::Stored,
        RequestOutcome::Refused(
            Class::BodyTimeout
            | Class::RateLimited
            | Class::BufferFull
            | Class::Overloaded
            | Class::Draining
            | Class::Internal
            | Class::UpstreamError
            | Class::UpstreamTimeout,
        ) => AnswerClass::NotStored,
        RequestOutcome::Refused(
            Class::SchemaRejected
            | Class::Malformed
            | Class::MissingSignature
            | Class::BadSignature
            | Class::StaleTimestamp
            | Class::IpDenied
            | Class::NotFound
            | Class::MethodNotAllowed
            | Class::BadContentType
            | Class::TooLarge
            | Class::HeadersTooLarge,
        ) => AnswerClass::Judged,
    }
}
