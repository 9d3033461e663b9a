//! A scheme together with its keys: the one place where a message becomes [`Verified`].
//!
//! Order: condition, required headers, form of signatures and timestamp, signature over the raw bytes, and only then
//! the time window, so that a stranger learns nothing from the window. Several blocks are tried in order; if none
//! verifies, the failure of the block that came furthest is returned.
//!
//! Nothing is fetched, nothing is remembered: a replay inside the window is caught by the duplicate check, not here.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::BTreeMap;

use data_encoding::BASE64;
use http::HeaderMap;
use serde_json::Value;

use super::block::{Block, BlockConditions, Expected, Pattern, Proof, Scheme, Token, Way};
use super::failure::{Failure, MessagePlace, PartFault};
use super::fingerprint::Fingerprint;
use super::key::{BlockKey, KeyProblem};
use super::keys::{Fetched, KeyRing, NoKeys};
use super::location::KeyLocation;
use super::mac::same;
use super::message::{Message, View, media_type, single_header, text};
use super::signed::{verify_each, verify_signed};
use super::template::context_label;
use super::url::query;
use super::verified::{Verified, first_16};
use crate::clock::Timestamp;
use crate::payload::Payload;
use crate::secret::{Secret, SecretName, Validity};

/// The name of a fetched key in logs and metrics.
const FETCHED: &str = "fetched";

/// A scheme with its keys loaded.
pub struct Verifier {
    pub(super) scheme: Scheme,
    pub(super) names: Vec<SecretName>,
    /// The keys: for every block, one per secret.
    pub(super) keys: Vec<Vec<BlockKey>>,
    /// The time in which each secret is accepted.
    validity: Vec<Validity>,
    pub(super) context: BTreeMap<String, String>,
    print: Fingerprint,
}

/// Shows no keys, and no values of the context, some of which are secrets.
impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier").field("scheme", &self.scheme).field("names", &self.names).finish_non_exhaustive()
    }
}

/// The match of one block.
pub(super) struct Match {
    pub(super) signer: Signer,
    pub(super) signed_at: Option<Timestamp>,
    pub(super) mac: Option<Vec<u8>>,
    pub(super) covers_body: bool,
    pub(super) signs_id: bool,
    /// The digest of the id that the scheme names, signed or not.
    pub(super) id: Option<[u8; 16]>,
}

/// The origin of the key that matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signer {
    /// The configured secret of this number.
    Secret(usize),
    /// A key that was fetched.
    Fetched,
}

impl Match {
    /// Makes a match that claims nothing but its key.
    pub(super) fn by(signer: Signer) -> Self {
        Self { signer, signed_at: None, mac: None, covers_body: false, signs_id: false, id: None }
    }

    /// Makes such a match under a configured secret.
    pub(super) fn by_secret(position: usize) -> Self {
        Self::by(Signer::Secret(position))
    }
}

impl Verifier {
    /// Loads the keys. Refuses a scheme that needs a secret and has none, and any secret that is not a usable key.
    pub fn new(scheme: Scheme, secrets: Vec<Secret>, context: BTreeMap<String, String>) -> Result<Self, KeyProblem> {
        if secrets.is_empty() && scheme.is_none().is_none() && !scheme.blocks().iter().any(Block::fetches_keys) {
            return Err(KeyProblem::NoSecrets);
        }
        let context =
            context.into_iter().map(|(label, value)| (context_label(&label), value)).collect::<BTreeMap<_, _>>();
        let mut keys = Vec::with_capacity(scheme.blocks().len());
        for block in scheme.blocks() {
            let loaded = secrets.iter().map(|secret| BlockKey::load(block, secret)).collect::<Result<Vec<_>, _>>()?;
            for label in block.context_labels(all_void(&loaded)) {
                if context.get(label).is_none_or(String::is_empty) {
                    return Err(KeyProblem::NoContext(label.to_owned()));
                }
            }
            keys.push(loaded);
        }
        let names = secrets.iter().map(|secret| secret.name().clone()).collect();
        let validity = secrets.iter().map(Secret::validity).collect();
        let print = Fingerprint::of(&scheme, &secrets, &context);
        Ok(Self { scheme, names, keys, validity, context, print })
    }

    /// Returns the fingerprint of scheme, secrets and context: equal while none of them changes, and telling nothing of
    /// them.
    pub fn print(&self) -> [u8; 8] {
        self.print.get()
    }

    /// Makes a verifier that has no secret yet, because the provider will hand it over: under it nothing is right.
    pub fn waiting(scheme: Scheme) -> Self {
        let keys = scheme.blocks().iter().map(|_| Vec::new()).collect();
        let (names, validity, context) = (Vec::new(), Vec::new(), BTreeMap::new());
        let print = Fingerprint::of(&scheme, &[], &context);
        Self { scheme, names, keys, validity, context, print }
    }

    /// Returns the scheme.
    pub fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    /// Returns the places of keys that are known before any message is, so that they can be fetched at the start.
    pub fn prefetch(&self) -> Vec<KeyLocation> {
        let headers = HeaderMap::new();
        let message = Message { method: "", url: "", headers: &headers, body: &[] };
        let view = View::new(message, None, &self.context);
        let blocks = self.scheme.blocks().iter().zip(&self.keys).filter(|(_, keys)| all_void(keys));
        let sources = blocks.flat_map(|(block, _)| &block.keys);
        sources.filter_map(|source| source.known(&view)).collect()
    }

    /// Verifies a message as of `now`, with the configured secrets alone.
    pub fn verify(&self, message: &Message<'_>, now: Timestamp) -> Result<Verified, Failure> {
        self.verify_with(message, &NoKeys, now)
    }

    /// Verifies a message as of `now`, with the configured secrets and the keys in the ring.
    pub fn verify_with(&self, message: &Message<'_>, ring: &dyn KeyRing, now: Timestamp) -> Result<Verified, Failure> {
        if let Way::None { reason } = &self.scheme.way {
            return Ok(Verified::by_choice(reason));
        }
        let mut furthest = Failure::Missing(MessagePlace::Condition);
        let json = ParsedOnce::default();
        for (block, keys) in self.scheme.blocks().iter().zip(&self.keys) {
            match self.verify_block(
                block,
                &self.valid_at(now, keys),
                (message, &json),
                (Fetched { ring, sources: &block.keys }, now),
            ) {
                Ok(found) => return Ok(self.verified(found, message.body)),
                Err(failure) if failure.progress() > furthest.progress() => furthest = failure,
                Err(_) => {}
            }
        }
        Err(furthest)
    }

    /// Returns the keys, with those outside their validity made void. Without dates, as nearly always, they are the
    /// loaded ones.
    fn valid_at<'k>(&self, now: Timestamp, keys: &'k [BlockKey]) -> Cow<'k, [BlockKey]> {
        if self.validity.iter().all(|validity| validity.holds(now)) {
            return Cow::Borrowed(keys);
        }
        let pairs = keys.iter().zip(&self.validity);
        pairs.map(|(key, validity)| if validity.holds(now) { key.clone() } else { BlockKey::Invalid }).collect()
    }

    fn verified(&self, found: Match, body: &[u8]) -> Verified {
        // All empty bodies are alike; the MAC at least tells their URLs apart. Where a time is signed along, a repetition is
        // signed anew, and only the body is the same.
        let is_lasting = found.covers_body && found.signed_at.is_none();
        let mac = found.mac.filter(|_| is_lasting || body.is_empty());
        Verified {
            secret: match found.signer {
                Signer::Secret(position) => self.names.get(position).cloned(),
                Signer::Fetched => Some(SecretName::new(FETCHED)),
            },
            choice: None,
            failed: None,
            signed_at: found.signed_at,
            mac: mac.as_deref().map(first_16),
            covers_body: found.covers_body,
            signed_id: found.id.filter(|_| found.signs_id),
        }
    }

    fn verify_block(
        &self,
        block: &Block,
        keys: &[BlockKey],
        (message, json): (&Message<'_>, &ParsedOnce),
        (fetched, now): (Fetched<'_>, Timestamp),
    ) -> Result<Match, Failure> {
        if !block.when.holds(message)? {
            return Err(Failure::Missing(MessagePlace::Condition));
        }
        let json = if block.needs_json() { Some(json.of(message.body)?) } else { None };
        let view = View::new(*message, json, &self.context);
        block.require(&view)?;
        block.bind(&view)?;
        let mut found = match &block.proof {
            Proof::Token(token) => verify_token(token, keys, &view)?,
            Proof::Code(special) => special.verify(&view, keys, fetched, now)?,
            Proof::Signed(signed) => {
                let chosen = fetched.choose(keys, &view)?;
                chosen.settle(match &signed.each {
                    Some(path) => verify_each(signed, path, &chosen.keys, &view, now),
                    None => verify_signed(signed, &chosen.keys, &view, now),
                })?
            }
            Proof::Jwt(jwt) => jwt.verify(&view, keys, fetched, now)?,
        };
        block.check(&view)?;
        found.covers_body |= block.check_covers_body();
        Ok(found)
    }
}

/// Returns whether no configured key could be right.
fn all_void(keys: &[BlockKey]) -> bool {
    keys.iter().all(|key| matches!(key, BlockKey::Invalid))
}

impl BlockConditions {
    pub(super) fn holds(&self, message: &Message<'_>) -> Result<bool, Failure> {
        if let Some((name, expected)) = &self.header
            && !expected.is_met(single_header(message.headers, name)?)
        {
            return Ok(false);
        }
        if self.header_absent.as_ref().is_some_and(|name| message.headers.contains_key(name)) {
            return Ok(false);
        }
        if let Some(wanted) = &self.content_type
            && media_type(message.headers)?.as_ref() != Some(wanted)
        {
            return Ok(false);
        }
        let has_query = |wanted: &str| query(message.url).any(|(name, _)| name == wanted);
        if !self.query.as_deref().is_none_or(has_query) || self.query_absent.as_deref().is_some_and(has_query) {
            return Ok(false);
        }
        Ok(!self.no_body || message.body.is_empty())
    }
}

impl Expected {
    fn is_met(&self, value: Option<&[u8]>) -> bool {
        let Some(value) = value else { return false };
        match self {
            Self::Present => true,
            Self::Exactly(wanted) => value == wanted.as_bytes(),
            Self::Matching(pattern) => std::str::from_utf8(value).is_ok_and(|value| pattern.is_match(value)),
        }
    }
}

impl Block {
    /// Checks headers and values that must have a certain form.
    fn require(&self, view: &View<'_>) -> Result<(), Failure> {
        for (name, expected) in &self.require {
            let place = || MessagePlace::Header(name.as_str().to_owned());
            let value = single_header(view.message.headers, name)?.ok_or_else(|| Failure::Missing(place()))?;
            if !expected.is_met(Some(value)) {
                return Err(Failure::malformed(place(), PartFault::Unexpected));
            }
        }
        for Pattern { source, is_optional, whole } in &self.patterns {
            match view.value(source)? {
                Some(value) if !whole.is_match(text(&value, source)?) => {
                    return Err(Failure::malformed(source.place(), PartFault::Unexpected));
                }
                None if !is_optional => return Err(Failure::Missing(source.place())),
                Some(_) | None => {}
            }
        }
        match &self.form_names {
            Some(whole) if !view.form()?.all(|(name, _)| whole.is_match(&name)) => {
                Err(Failure::malformed(MessagePlace::Body, PartFault::FieldName))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Checks whose message it is, if that is configured.
    fn bind(&self, view: &View<'_>) -> Result<(), Failure> {
        for (label, template) in &self.bind {
            let Some(wanted) = view.context.get(label).filter(|wanted| *wanted != "*") else { continue };
            let found = view.render(template)?.concat();
            let mut wanted = wanted.split([' ', ',']).filter(|wanted| !wanted.is_empty());
            if !wanted.any(|wanted| wanted.as_bytes() == found) {
                return Err(Failure::malformed(template.place(), PartFault::Unexpected));
            }
        }
        Ok(())
    }

    /// Checks that two texts are equal, such as a digest in the signed URL and the digest of the body.
    fn check(&self, view: &View<'_>) -> Result<(), Failure> {
        let Some((one, other)) = &self.check else { return Ok(()) };
        let equal = same(&view.render(one)?.concat(), &view.render(other)?.concat());
        if equal { Ok(()) } else { Err(Failure::WrongSecretOrBody) }
    }
}

/// The JSON of a message, parsed when the first block needs it; all blocks of a scheme share it.
#[derive(Default)]
struct ParsedOnce(OnceCell<Option<Value>>);

impl ParsedOnce {
    fn of(&self, body: &[u8]) -> Result<&Value, Failure> {
        let json = self.0.get_or_init(|| Payload::lenient(body)).as_ref();
        json.ok_or_else(|| Failure::malformed(MessagePlace::Body, PartFault::NotJson))
    }
}

fn verify_token(token: &Token, keys: &[BlockKey], view: &View<'_>) -> Result<Match, Failure> {
    let malformed = |fault| Failure::malformed(token.at.place(), fault);
    let value = view.value(&token.at)?.ok_or_else(|| Failure::Missing(token.at.place()))?;
    if value.is_empty() {
        return Err(malformed(PartFault::Empty));
    }
    let value = value.strip_prefix(token.prefix.as_bytes()).ok_or_else(|| malformed(PartFault::NoPrefix))?;
    let value = if token.basic {
        let credentials = value.split_at_checked(6).filter(|(word, _)| word.eq_ignore_ascii_case(b"Basic "));
        let (_, credentials) = credentials.ok_or_else(|| malformed(PartFault::NoPrefix))?;
        Cow::Owned(BASE64.decode(credentials).ok().ok_or_else(|| malformed(PartFault::Encoding))?)
    } else {
        Cow::Borrowed(value)
    };
    // Every secret is compared, so that the time does not tell which one was near.
    let mut secret = None;
    for (position, key) in keys.iter().enumerate() {
        if matches!(key, BlockKey::Plain(wanted) if same(wanted, &value)) {
            secret = secret.or(Some(position));
        }
    }
    let secret = secret.ok_or(Failure::WrongSecretOrBody)?;
    Ok(Match::by_secret(secret))
}
