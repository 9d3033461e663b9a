//! Headers that the gateway sets: by a route's transform, and by a destination on every attempt.
//!
//! A value from a secret or a variable is marked as sensitive, and people are shown another text instead. The same
//! holds for a literal under the name of a credential. Headers that frame a request, and the headers of Hookgate
//! itself, cannot be set.

use http::{HeaderName, HeaderValue};

use super::{Checker, Secrets, path};
use crate::config::problem::{Code, Problem, quoted};
use crate::config::raw::{self, HeaderText};
use crate::config::spans::{Seg, Span};
use crate::credential::REDACTED;
use crate::secret::Secret;
use crate::shape::{HeaderEdits, SetHeaders, is_credential, is_free};

/// The limit of headers that a destination sets.
const HEADERS_MAX: usize = 32;
const AUTHORIZATION: &str = "authorization";

/// A value, and what people are shown in its place, where that is another text.
struct Valued {
    value: HeaderValue,
    shown: Option<HeaderValue>,
}

/// The names that were set so far, with their places.
type Known = Vec<(HeaderName, Span)>;

impl Checker<'_> {
    pub(super) fn header_edits(&mut self, route: &str, written: &raw::HeaderEdits) -> HeaderEdits {
        let at = path!["routes", route, "transform", "headers"];
        let mut edits = HeaderEdits::default();
        let mut known = Known::new();
        for (name, text) in &written.set {
            let at = [&at[..], &path!["set", name]].concat();
            let valued = self.header_of_text(&at, (name, text));
            let header = self.header_name(&at, name, &quoted(name).to_string());
            let Some((header, Valued { value, shown })) = header.zip(valued) else { continue };
            self.set_once(&at, (name, &header), &mut known);
            edits.set.add(header, value, shown);
        }
        for (index, name) in written.remove.iter().enumerate() {
            let at = [&at[..], &path!["remove", index]].concat();
            let shown = self.quoted(&at);
            edits.remove.extend(self.header_name(&at, name, &shown));
        }
        edits
    }

    /// Returns the headers that a destination sets on every attempt.
    pub(super) fn destination_headers(&mut self, name: &str, written: &raw::Destination) -> SetHeaders {
        let at_all = path!["destinations", name, "headers"];
        if written.headers.len() > HEADERS_MAX {
            let message = format!("a destination sets at most {HEADERS_MAX} headers");
            self.error_of(Code::LimitExceeded, &at_all, message, None);
        }
        let signs = written.sign.is_some() || self.raw.defaults.destination.sign.is_some();
        let (mut headers, mut known) = (SetHeaders::default(), Known::new());
        for (name, text) in &written.headers {
            let at = [&at_all[..], &path![name]].concat();
            let valued = match text {
                HeaderText::Text(text) => self.literal_header(&at, (name, text)),
                HeaderText::Secret { secret, prefix } => self.secret_header(&at, name, (secret, prefix)),
            };
            let header = self.header_name(&at, name, &quoted(name).to_string());
            let header = header.filter(|header| self.is_left_to_us(&at, (name, header), signs));
            let Some((header, Valued { value, shown })) = header.zip(valued) else { continue };
            self.set_once(&at, (name, &header), &mut known);
            headers.add(header, value, shown);
        }
        headers
    }

    /// Returns a header of a destination by its text. Warns of a credential, which is better given by its place.
    fn literal_header(&mut self, at: &[Seg<'_>], (name, text): (&str, &str)) -> Option<Valued> {
        if is_credential(name) && self.spans.masked(at).is_none() {
            let help = format!("name the place that holds it: `{name}: {{file: /run/secrets/NAME}}`");
            let message = format!("the value of {} stands in the file", quoted(name));
            self.warning(Code::InlineSecret, at, message, Some(help));
        }
        self.header_of_text(at, (name, text))
    }

    /// A value that is written, or comes from a variable.
    fn header_of_text(&mut self, at: &[Seg<'_>], (name, text): (&str, &str)) -> Option<Valued> {
        let Ok(mut value) = HeaderValue::from_str(text) else {
            let hidden = text.char_indices().find(|(_, letter)| letter.is_control() && *letter != '\t');
            let part = hidden.map_or(0..text.len(), |(at, letter)| at..at + letter.len_utf8());
            let message = "a header's value is one line of visible characters";
            let span = self.spans.of_part(at, part).or_else(|| self.spans.of(at));
            self.error_in(Code::InvalidValue, span, message, None);
            return None;
        };
        let hidden = || HeaderValue::from_static(REDACTED);
        let masked =
            self.spans.masked(at).map(|masked| HeaderValue::from_str(&masked.text).unwrap_or_else(|_| hidden()));
        let shown = masked.or_else(|| is_credential(name).then(hidden));
        value.set_sensitive(shown.is_some());
        Some(Valued { value, shown })
    }

    /// Returns a header whose value is in a secret; `None` where the secret cannot be read, or where secrets are only
    /// named.
    fn secret_header(&mut self, at: &[Seg<'_>], name: &str, (secret, prefix): (&raw::Secret, &str)) -> Option<Valued> {
        let secret = self.secret(secret, name, at)?;
        let bytes = [prefix.as_bytes(), secret.expose()].concat();
        let Ok(mut value) = HeaderValue::from_bytes(&bytes) else {
            let message =
                format!("the value read for {} has more than one line, so it is not a header value", quoted(name));
            let help = "a header's value is one line of visible characters; the value is not shown here".to_owned();
            self.error(Code::UnusableSecret, at, message, Some(help));
            return None;
        };
        value.set_sensitive(true);
        self.lacks_a_scheme(at, (name, prefix), &secret);
        Some(Valued { value, shown: Some(HeaderValue::from_static(REDACTED)) })
    }

    /// Warns of an `Authorization` that is a bare token: its value begins with a scheme (RFC 9110 §11.6.2).
    fn lacks_a_scheme(&mut self, at: &[Seg<'_>], (name, prefix): (&str, &str), secret: &Secret) {
        let is_bare = prefix.is_empty() && !secret.expose().contains(&b' ');
        if is_bare && name.eq_ignore_ascii_case(AUTHORIZATION) && self.world.secrets == Secrets::Real {
            let message = "the value read for `Authorization` has no scheme, such as `Bearer`";
            let help = "add `prefix: \"Bearer \"`, or put the scheme into the secret".to_owned();
            self.warning(Code::Mismatch, at, message, Some(help));
        }
    }

    /// Reports a header that is set twice: names have no case.
    fn set_once(&mut self, at: &[Seg<'_>], (name, header): (&str, &HeaderName), known: &mut Known) {
        if let Some((_, first)) = known.iter().find(|(known, _)| known == header) {
            let span = self.spans.of_key(at).unwrap_or(Span::TOP);
            let message = format!("the header {} is set twice: names of headers have no case", quoted(name));
            let problem = Problem::error(Code::DuplicateKey, self.spans.file_of(span), span, message);
            let problem = problem.help("remove one").second(self.spans.file_of(*first), *first, "first set here");
            self.problems.push(problem);
        }
        known.extend(self.spans.of_key(at).map(|span| (header.clone(), span)));
    }

    /// Parses the name of a header, and reports one that cannot be set; `shown` is its text in messages.
    fn header_name(&mut self, at: &[Seg<'_>], text: &str, shown: &str) -> Option<HeaderName> {
        let Ok(name) = HeaderName::from_bytes(text.as_bytes()) else {
            self.error_of(Code::InvalidValue, at, format!("{shown} is no name of a header"), None);
            return None;
        };
        if !is_free(&name) {
            let help =
                "a connection's headers, those that frame a request, and `Hookgate-…` are the gateway's own".to_owned();
            self.error_of(Code::InvalidValue, at, format!("the header {shown} cannot be changed"), Some(help));
            return None;
        }
        Some(name)
    }

    /// Returns whether a destination may set this header on every attempt; reports an error if not.
    fn is_left_to_us(&mut self, at: &[Seg<'_>], (text, name): (&str, &HeaderName), signs: bool) -> bool {
        let why = match name.as_str() {
            "traceparent" | "tracestate" => "each attempt has its own, so that it can be traced".to_owned(),
            name if signs && name.starts_with("webhook-") => "`sign` sets it: leave it out here".to_owned(),
            _ => return true,
        };
        self.error_of(Code::InvalidValue, at, format!("the header {} cannot be set", quoted(text)), Some(why));
        false
    }
}
