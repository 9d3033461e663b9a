//! Shapes of outgoing requests: the event as received, or the result of a route's [`Transform`], the destination's
//! [`BodyFormat`], its headers and its [`OutgoingSigner`], in this order.
//!
//! A request is shaped anew for each attempt, from the stored event and the rules in force: an event that failed here
//! is delivered by repairing the rule and replaying the event. After a failure nothing else is sent instead: without
//! its transform an event may hold what its receiver must not see.
//!
//! Nothing here waits or reads a clock. A script takes up to 50 ms, so its callers stay off the async threads
//! ([`Shape::is_heavy`]).

mod format;
mod patch;
mod shown;
mod sign;
mod transform;
mod url;
mod withheld;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::body::Bodies;
use crate::clock::Timestamp;
use crate::condition::ConditionError;
use crate::event::EventData;
use crate::hop;
use crate::script::ScriptError;
use shown::{Audience, put};

pub use format::BodyFormat;
pub use patch::{BadPath, BodyPlace};
pub use shown::{ErrorShown, SetHeaders, is_credential};
pub use sign::OutgoingSigner;
pub use transform::{HeaderEdits, Making, Transform};
pub use url::{BadUrl, Unfilled, UrlTemplate, written_as_url};
pub use withheld::Withheld;

/// The largest shaped body: the largest received one, in base64, with its headers.
const BODY_BYTES_MAX: usize = 96 * 1024 * 1024;

/// The shape of a destination's requests.
#[derive(Debug, Default)]
pub struct Shape {
    /// The form of the body.
    pub format: BodyFormat,
    /// The signer of outgoing requests.
    pub signer: Option<OutgoingSigner>,
    /// The routes to the destination, each with its transform, if it has one.
    pub routes: BTreeMap<Arc<str>, Option<Arc<Transform>>>,
    /// The templates of its targets' URLs, by the URL as it is written.
    pub urls: BTreeMap<String, UrlTemplate>,
    /// The senders' credentials that are not forwarded.
    pub withheld: Arc<Withheld>,
    /// The headers that are set on every attempt, over those of the sender and of transforms.
    pub headers: SetHeaders,
    /// The body rules of each source.
    pub bodies: Bodies,
}

/// A shaped request, without `Host` and `Content-Length`.
#[derive(Clone, Debug)]
pub struct Shaped {
    /// All headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// True when the body is not the received one.
    pub is_made: bool,
}

/// The reason why an event cannot be shaped for its route and destination.
#[derive(Debug)]
pub enum ShapeError {
    /// The event was accepted for a route with a transform, and no route of this name has one for this destination any
    /// more.
    NoTransform,
    /// The result of a script has no `body`.
    NoBody,
    /// An expression failed; the place is `body` or the one that is set.
    Expression(String, ConditionError),
    /// The script failed.
    Script(ScriptError),
    /// The place cannot be set, because the value above it is neither object nor list.
    NoPlace(String),
    /// The result is larger than `BODY_BYTES_MAX`.
    TooLarge,
    /// The body is not JSON, and a transform needs JSON.
    NotJson,
    /// The work was aborted, which only a bug can cause.
    BrokeOff,
    /// A value for the URL is missing or empty, or would change the path's shape.
    Url(Unfilled),
    /// The signature could not be made.
    Sign(crate::provider::SignProblem),
}

impl fmt::Display for ShapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTransform => f.write_str(
                "the route's transform was removed, or the route was removed, after this event was accepted",
            ),
            Self::NoBody => f.write_str("transform.js: what the script gives back has no `body`; give the event back"),
            Self::Expression(place, error) => write!(f, "transform.{place}: {error}"),
            // These words are ours: they hold names of the payload, but no values.
            Self::Script(error @ ScriptError::LongNumber { .. }) => write!(f, "transform.numbers: {error}"),
            Self::Script(error) => write!(f, "transform.js: {error}"),
            Self::NoPlace(place) => write!(f, "transform.set: there is no place `{place}` in the body"),
            Self::TooLarge => write!(f, "the body would have more than {BODY_BYTES_MAX} bytes"),
            Self::NotJson => f.write_str("the body is no JSON, and `js`, `set` and `remove` work on JSON"),
            Self::Url(Unfilled(what)) => write!(f, "url: {what} gives nothing that can stand in a URL"),
            Self::BrokeOff => f.write_str("the transform broke off"),
            Self::Sign(problem) => write!(f, "sign: {problem}"),
        }
    }
}

impl std::error::Error for ShapeError {}

impl ShapeError {
    /// Describes the error without the words of a script, which may be those of a sender.
    pub fn brief(&self) -> String {
        match self {
            Self::Script(ScriptError::Threw { line, .. }) => {
                line.map_or_else(|| "the script threw".to_owned(), |line| format!("the script threw in line {line}"))
            }
            other => other.to_string(),
        }
    }
}

impl Shape {
    /// Checks whether shaping for this route may take long.
    pub fn is_heavy(&self, route: &str) -> bool {
        self.routes.get(route).and_then(Option::as_ref).is_some_and(|transform| transform.is_heavy())
    }

    /// Returns path and query of the target with this URL, for this event; `None` where the URL has no values.
    pub fn address(
        &self,
        event: &EventData,
        url: impl FnOnce() -> String,
    ) -> Result<Option<(String, Option<String>)>, ShapeError> {
        if self.urls.is_empty() {
            return Ok(None);
        }
        let Some(template) = self.urls.get(&url()) else { return Ok(None) };
        let headers = event.header_map();
        let document = self.bodies.read(&event.source, &headers, &event.body);
        template.fill(&event.view(&document, &headers)).map(Some).map_err(ShapeError::Url)
    }

    /// Returns path and query for people: the event's values alone.
    pub fn address_shown(&self, event: &EventData, url: &str) -> Result<Option<String>, ShapeError> {
        let Some(template) = self.urls.get(url) else { return Ok(None) };
        let headers = event.header_map();
        let document = self.bodies.read(&event.source, &headers, &event.body);
        template.shown(&event.view(&document, &headers)).map(Some).map_err(ShapeError::Url)
    }

    /// Shapes the request of a route; `headers` are those of the unchanged event. `is_shaped` says that the event was
    /// accepted for a route with a transform.
    pub fn apply(
        &self,
        event: &EventData,
        (route, is_shaped): (&str, bool),
        headers: HeaderMap,
        now: Timestamp,
    ) -> Result<Shaped, ShapeError> {
        let transform = self.transform(route);
        if transform.is_none() && is_shaped {
            return Err(ShapeError::NoTransform);
        }
        let mut shaped = self.made(event, (route, transform, Audience::Service), headers)?;
        put(&self.headers.sent, &mut shaped.headers);
        if let Some(signer) = &self.signer {
            signer.sign(event.id, now, &mut shaped).map_err(ShapeError::Sign)?;
        }
        Ok(shaped)
    }

    /// Returns `sent` as people see it. [`Shape::apply`] must have made `sent` of the same event and headers.
    pub fn shown(&self, event: &EventData, route: &str, headers: HeaderMap, sent: &Shaped) -> Shaped {
        let mut shown = match self.transform(route).filter(|transform| transform.is_masked()) {
            masked @ Some(_) => sent.masked_by(self.made(event, (route, masked, Audience::Person), headers)),
            None => sent.clone(),
        };
        put(&self.headers.shown, &mut shown.headers);
        shown
    }

    /// Returns the reason why nothing is sent, for people. The error of a transform that holds the value of a variable
    /// is replaced, because its words may repeat that value.
    pub fn error_shown(&self, event: &EventData, route: &str, headers: HeaderMap, error: &ShapeError) -> ErrorShown {
        let is_of_transform = !matches!(error, ShapeError::NoTransform | ShapeError::Url(_) | ShapeError::Sign(_));
        let masked = self.transform(route).filter(|transform| is_of_transform && transform.is_masked());
        let made = masked.map(|masked| self.made(event, (route, Some(masked), Audience::Person), headers));
        ErrorShown(match made {
            None => error.to_string(),
            Some(Err(masked)) => masked.to_string(),
            Some(Ok(_)) => {
                "the transform failed; why is not shown, because it holds the value of a variable".to_owned()
            }
        })
    }

    fn transform(&self, route: &str) -> Option<&Transform> {
        self.routes.get(route)?.as_deref()
    }

    /// The body and the headers, before the destination's own headers and its signature.
    fn made(
        &self,
        event: &EventData,
        (route, transform, reader): (&str, Option<&Transform>, Audience),
        headers: HeaderMap,
    ) -> Result<Shaped, ShapeError> {
        let mut shaped = Shaped { headers, body: event.body.clone(), is_made: false };
        if let Some(transform) = transform {
            transform.apply((event, &self.bodies), (route, reader), &mut shaped)?;
        }
        self.format.apply(event, route, &mut shaped);
        if shaped.is_made && shaped.body.len() > BODY_BYTES_MAX {
            return Err(ShapeError::TooLarge);
        }
        Ok(shaped)
    }
}

impl Shaped {
    /// Replaces the body and its type; removes headers about the old one's bytes.
    fn replace(&mut self, body: Vec<u8>, media_type: &'static str) {
        self.body = Bytes::from(body);
        self.is_made = true;
        for name in ["content-md5", "digest", "content-digest", "repr-digest", "content-encoding"] {
            self.headers.remove(name);
        }
        self.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    }
}

/// Checks whether a transform may set or remove this header: neither one that belongs to a connection or frames the
/// request, nor one of Hookgate's own.
pub fn is_free(name: &HeaderName) -> bool {
    let name = name.as_str();
    let is_framing = matches!(name, "host" | "content-length" | "expect");
    !is_framing && !hop::is_hop_by_hop(name) && !name.starts_with("hookgate-")
}
