//! Handshakes: requests by which a provider checks an endpoint, and the exact replies that it expects.
//!
//! A handshake is data of the provider's row: its condition, what must match, and the reply. It is tried for sources of
//! that provider only, so that no shape of a request lets one provider's handler answer for another.
//!
//! Invariants:
//! - where the provider signs, the signature is verified first (`verified`, the default);
//! - a handshake that hands out a signature made with the source's secret without such proof names a pattern for what is
//!   signed, so that nobody can have an event signed by us;
//! - an armed handshake (one that takes over a secret, or one that echoes unsigned text by choice of the row) works
//!   only while the operator has armed the source; one that takes over a secret never works once a secret is known;
//! - what is copied is bounded and goes out as `text/plain`, JSON or a header, with `nosniff`; never as HTML.
//!
//! Not here: opening a URL (the caller does, where the scheme pins its host) and keeping a secret.

use std::collections::BTreeMap;
use std::path::PathBuf;

use http::{HeaderName, HeaderValue};
use regex::Regex;
use serde_json::Value;
use zeroize::Zeroizing;

use super::block::Primitive;
use super::failure::{Failure, MessagePlace, PartFault};
use super::handshake_spec::{HandshakeProblem, HandshakeSpec, SignForm, When};
use super::key::hmac_key;
use super::mac::same;
use super::message::{Message, View, media_type};
use super::reply::ReplyForm;
use super::template::Source;
use super::verified::Verified;
use crate::clock::Timestamp;
use crate::secret::Secret;

/// The length of a secret that is taken over, in bytes.
const CAPTURED_BYTES: std::ops::RangeInclusive<usize> = 16..=1024;

/// A handshake: its condition and its reply.
#[derive(Clone, Debug)]
pub struct Handshake {
    pub(super) when: When,
    pub(super) verified: bool,
    pub(super) armed: bool,
    /// The place of the value that must equal the source's token.
    pub(super) token: Option<Source>,
    pub(super) refused: u16,
    pub(super) patterns: Vec<(Source, Regex)>,
    pub(super) sign: Option<SignForm>,
    pub(super) capture: Option<Source>,
    pub(super) open: Option<Source>,
    pub(super) reply: ReplyForm,
}

/// The handshakes of one source, with the values that they may use.
#[derive(Default)]
pub struct Handshakes {
    /// The handshakes of its provider.
    pub all: Vec<Handshake>,
    /// Its secrets.
    pub secrets: Vec<Secret>,
    /// The token that the operator chose for handshakes; without it the secrets serve.
    pub token: Option<Secret>,
    /// Values from the configuration.
    pub context: BTreeMap<String, String>,
    /// The moment until which the operator has armed it.
    pub armed_until: Option<Timestamp>,
    /// The file for a secret that the provider hands over.
    pub capture_to: Option<PathBuf>,
}

/// The reply to a handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandshakeReply {
    /// The status.
    pub status: u16,
    /// The media type; `None` for an empty body.
    pub content_type: Option<&'static str>,
    /// Headers of the reply.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub body: Vec<u8>,
    /// The secret that the provider hands over, to be kept before the reply goes out.
    pub captured: Option<Captured>,
    /// A URL that the provider wants opened after the reply. Not checked here.
    pub open: Option<String>,
}

/// A secret that a provider handed over.
#[derive(Clone, PartialEq, Eq)]
pub struct Captured(pub Zeroizing<Vec<u8>>);

impl std::fmt::Debug for Captured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Captured(…)")
    }
}

/// The result for a message that is a handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandshakeAnswer {
    /// The handshake is answered.
    Reply(Box<HandshakeReply>),
    /// The handshake has the wrong token and is refused with this status.
    Refused(u16),
}

/// Shows all but the values of the context, some of which are secrets.
impl std::fmt::Debug for Handshakes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { all: handshakes, secrets, token, context, armed_until, capture_to } = self;
        f.debug_struct("Desk")
            .field("handshakes", &handshakes.len())
            .field("secrets", secrets)
            .field("token", token)
            .field("context", &context.keys())
            .field("armed_until", armed_until)
            .field("capture_to", capture_to)
            .finish()
    }
}

impl Handshakes {
    /// Returns whether a handshake can come by this method.
    pub fn takes(&self, method: &str) -> bool {
        self.all.iter().any(|handshake| handshake.when.method.as_deref() == Some(method))
    }

    /// The statuses with which a handshake with the wrong token is refused.
    pub fn refusals(&self) -> impl Iterator<Item = u16> {
        self.all.iter().filter(|handshake| handshake.has_token()).map(|handshake| handshake.refused)
    }

    /// Returns whether the body has to be parsed as JSON to recognise a handshake, before the signature or after it.
    pub fn needs_json(&self, is_verified: bool, method: &str, now: Timestamp) -> bool {
        self.tried(is_verified, now).any(|one| one.needs_json() && one.when.method.as_deref() == Some(method))
    }

    /// Refuses a verified message whose text fits what an unverified handshake of this source signs: a stranger could
    /// have had it signed by asking. No event of a provider looks like that.
    pub fn refuse_handshakes(&self, message: &Message<'_>, proof: Verified) -> Result<Verified, Failure> {
        if proof.secret().is_some() && self.may_have_signed(message) {
            return Err(Failure::malformed(MessagePlace::Body, PartFault::Greeting));
        }
        Ok(proof)
    }

    fn may_have_signed(&self, message: &Message<'_>) -> bool {
        let asking = self.all.iter().filter(|one| !one.verified && one.sign.is_some());
        let mut patterns = asking.flat_map(|one| &one.patterns).map(|(_, pattern)| pattern).peekable();
        if patterns.peek().is_none() {
            return false;
        }
        let whole = std::str::from_utf8(message.body).unwrap_or_default().trim();
        let is_form = media_type(message.headers).ok().flatten().is_some_and(|kind| kind.ends_with("urlencoded"));
        let fields: Vec<_> = form_urlencoded::parse(if is_form { message.body } else { b"" }).collect();
        patterns
            .any(|pattern| pattern.is_match(whole) || fields.iter().any(|(_, value)| pattern.is_match(value.trim())))
    }

    /// Returns whether the body has to be parsed as JSON for a handshake that comes after the signature.
    pub fn reads_json(&self) -> bool {
        self.all.iter().any(|handshake| handshake.verified && handshake.needs_json())
    }

    /// Returns the reply if a message is a handshake, among those that are tried before the signature or after it.
    pub fn answer(
        &self,
        is_verified: bool,
        message: &Message<'_>,
        json: Option<&Value>,
        now: Timestamp,
    ) -> Option<HandshakeAnswer> {
        let view = View::new(*message, json, &self.context);
        self.tried(is_verified, now).find_map(|handshake| handshake.answer(&view, self, now))
    }

    fn tried(&self, is_verified: bool, now: Timestamp) -> impl Iterator<Item = &Handshake> {
        let is_armed = self.armed_until.is_some_and(|until| now < until);
        let tried = self.all.iter().filter(move |handshake| handshake.verified == is_verified);
        tried.filter(move |handshake| is_armed || !handshake.armed)
    }

    fn valid(&self, now: Timestamp) -> impl Iterator<Item = &Secret> {
        self.secrets.iter().filter(move |secret| secret.validity().holds(now))
    }
}

impl Handshake {
    /// Returns whether the body has to be parsed as JSON for it.
    fn needs_json(&self) -> bool {
        self.when.needs_json() || self.reply.needs_json() || matches!(&self.capture, Some(Source::Json(_)))
    }

    /// Returns the method by which it comes.
    pub fn method(&self) -> &str {
        self.when.method.as_deref().unwrap_or_default()
    }

    /// Returns whether it works only while the operator has armed the source.
    pub fn needs_arming(&self) -> bool {
        self.armed
    }

    /// Returns whether it takes over the source's secret.
    pub fn captures(&self) -> bool {
        self.capture.is_some()
    }

    /// Returns whether it compares a token.
    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }

    fn answer(&self, view: &View<'_>, desk: &Handshakes, now: Timestamp) -> Option<HandshakeAnswer> {
        if !self.when.holds(view) || (self.captures() && !desk.secrets.is_empty()) {
            return None;
        }
        for (source, pattern) in &self.patterns {
            let value = view.value(source).ok().flatten()?;
            if !std::str::from_utf8(&value).is_ok_and(|text| pattern.is_match(text)) {
                return None;
            }
        }
        if let Some(token) = &self.token
            && !desk.is_token(token, view, now)
        {
            return Some(HandshakeAnswer::Refused(self.refused));
        }
        let sign = match &self.sign {
            Some(form) => Some(form.sign(view, desk.valid(now).next()?)?),
            None => None,
        };
        let captured = match &self.capture {
            Some(source) => {
                let value = view.value(source).ok().flatten()?;
                let fits = CAPTURED_BYTES.contains(&value.len()) && value.iter().all(u8::is_ascii_graphic);
                Some(fits.then(|| Captured(Zeroizing::new(value.to_vec())))?)
            }
            None => None,
        };
        let open = match &self.open {
            Some(source) => Some(String::from_utf8(view.value(source).ok().flatten()?.into_owned()).ok()?),
            None => None,
        };
        let reply = self.reply.render(view, sign.as_deref())?;
        Some(HandshakeAnswer::Reply(Box::new(HandshakeReply { captured, open, ..reply })))
    }
}

impl Handshakes {
    /// Compares a value with the configured token, or with every secret if there is none.
    fn is_token(&self, source: &Source, view: &View<'_>, now: Timestamp) -> bool {
        let Ok(Some(value)) = view.value(source) else { return false };
        match &self.token {
            Some(token) => same(token.expose(), &value),
            None => self.valid(now).any(|secret| same(secret.expose(), &value)),
        }
    }
}

impl SignForm {
    /// Returns the signature in its encoding.
    fn sign(&self, view: &View<'_>, secret: &Secret) -> Option<String> {
        let secret = secret.expose();
        let signed = View { secret: Some(secret), ..*view };
        let pieces = signed.render(&self.over).ok()?;
        let bytes = match &self.primitive {
            Primitive::Hmac(algorithm, form) => hmac_key(*algorithm, form, secret)?.tag(&pieces),
            Primitive::Digest(algorithm) => algorithm.hash(&pieces),
            Primitive::Signature(..) => return None,
        };
        Some(self.encoding.encode(&bytes))
    }
}

/// Compiles the handshakes of a row.
pub(super) fn compile(written: &[HandshakeSpec]) -> Result<Vec<Handshake>, HandshakeProblem> {
    written.iter().map(HandshakeSpec::compile).collect()
}
