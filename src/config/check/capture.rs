//! Settings of captured requests: their number, and the parts that are shown.

use super::{Checker, path};
use crate::capture::CaptureParams;
use crate::config::problem::Code;
use crate::config::raw;
use crate::redact::Redaction;

const EVENTS: u32 = 1000;
/// The limit of captured requests, which live in memory.
const EVENTS_MOST: u32 = 100_000;
const PLACES_MAX: usize = 200;

impl Checker<'_> {
    pub(super) fn capture(&mut self) -> CaptureParams {
        let raw = self.raw;
        let written = &raw.capture;
        let events_max = written.max_events.map_or(EVENTS, |count| count.0.get());
        if events_max > EVENTS_MOST {
            let help = format!("at most `{EVENTS_MOST}`; they are held in memory");
            let message = "`capture.max_events` is too large";
            self.error(Code::InvalidValue, &path!["capture", "max_events"], message, Some(help));
        }
        if written.redact.len() > PLACES_MAX {
            let message = format!("`redact` names at most {PLACES_MAX} places");
            self.error_of(Code::LimitExceeded, &path!["capture", "redact"], message, None);
        }
        let mut redaction = Redaction::default();
        for (index, text) in written.redact.iter().enumerate() {
            if let Err(problem) = redaction.add(text) {
                let help =
                    "for example `redact: [/data/object/card/number, /**/email, header:authorization, query:token]`"
                        .to_owned();
                let at = path!["capture", "redact", index];
                let message = format!("{} cannot be redacted: {problem}", self.quoted(&at));
                self.error(Code::InvalidValue, &at, message, Some(help));
            }
        }
        if written.bodies == Some(raw::CaptureBodies::Full) && !written.redact.is_empty() {
            let help = "write `bodies: redacted`, or leave `redact` out".to_owned();
            let message = "`bodies: full` shows all, and `redact` hides nothing";
            self.warning(Code::Unused, &path!["capture", "redact"], message, Some(help));
        }
        let (bodies, mut redaction) = match written.bodies {
            Some(raw::CaptureBodies::Off) => (false, redaction.without_bodies()),
            Some(raw::CaptureBodies::Redacted) | None => (true, redaction),
            Some(raw::CaptureBodies::Full) => (true, Redaction::default()),
        };
        for (value, written) in self.hidden.values() {
            redaction.add_value(value.to_owned(), written.to_owned());
        }
        CaptureParams { events_max: events_max as usize, bodies, redaction }
    }
}
