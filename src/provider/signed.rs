//! The verification of one signature block: read, compare, and only then check the time.
//!
//! Any listed signature may match any secret, over any text that the provider may have signed (several templates, the
//! URL with and without its default port).

use http::HeaderName;
use serde_json::Value;

use super::block::{Primitive, SignedText};
use super::failure::{Failure, MessagePlace, PartFault};
use super::key::BlockKey;
use super::mac::same;
use super::message::{Message, MessageBytes, View};
use super::signature::Candidate;
use super::template::{Source, Template};
use super::url::with_other_default_port;
use super::verify::Match;
use crate::clock::Timestamp;

/// Verifies that every element at the path carries its own valid signature, and that there is one at least.
pub(super) fn verify_each(
    signed: &SignedText,
    path: &[String],
    keys: &[BlockKey],
    view: &View<'_>,
    now: Timestamp,
) -> Result<Match, Failure> {
    let place = || MessagePlace::Json(format!("/{}", path.join("/")));
    let mut elements: Vec<&Value> = view.json.into_iter().collect();
    for step in path {
        if step == "*" {
            if !elements.iter().all(|element| element.is_array()) {
                return Err(Failure::Missing(place()));
            }
            elements = elements.into_iter().filter_map(Value::as_array).flatten().collect();
        } else {
            let all: Option<Vec<_>> = elements.into_iter().map(|element| element.get(step)).collect();
            elements = all.ok_or_else(|| Failure::Missing(place()))?;
        }
    }
    let mut first = None;
    for element in elements {
        let found = verify_signed(signed, keys, &View { json: Some(element), ..*view }, now)?;
        first = first.or(Some(found));
    }
    first.ok_or_else(|| Failure::Missing(place()))
}

pub(super) fn verify_signed(
    signed: &SignedText,
    keys: &[BlockKey],
    view: &View<'_>,
    now: Timestamp,
) -> Result<Match, Failure> {
    let texts = signed.at.read(view)?;
    let parts = signed.split(&texts, view)?;
    let view = View { parts: &parts.named, ..*view };
    let signed_at = signed.timestamp.as_ref().map(|form| form.read(&view)).transpose()?;
    let id = signed.id.as_ref().map(|source| required(source, &view)).transpose()?;
    let candidates = signed.candidates(&parts.signatures)?;
    let written = signed_at.as_ref().map(|signed_at| signed_at.written.as_ref());
    let view = View { timestamp: written, id: id.as_deref(), ..view };
    let found = signed.find_match(keys, &candidates, &view)?;
    let signed_at = signed_at.map(|signed_at| signed_at.at);
    if let (Some(form), Some(at)) = (&signed.timestamp, signed_at) {
        form.judge(at, now)?;
    }
    let id = id.map(|id| super::digest(&[&id]));
    Ok(Match { signed_at, id, ..found })
}

fn required<'v>(source: &Source, view: &View<'v>) -> Result<MessageBytes<'v>, Failure> {
    match view.value(source)? {
        Some(value) if value.is_empty() => Err(Failure::malformed(source.place(), PartFault::Empty)),
        Some(value) => Ok(value),
        None => Err(Failure::Missing(source.place())),
    }
}

/// The proof that a signature is right: a MAC, or a public key.
enum Right {
    Mac(Vec<u8>),
    PublicKey,
}

impl SignedText {
    /// Returns the first secret under which any candidate is right, over any of the texts that the provider may have
    /// signed.
    fn find_match(&self, keys: &[BlockKey], candidates: &[Candidate], view: &View<'_>) -> Result<Match, Failure> {
        let other_url = if self.url_ports { with_other_default_port(view.message.url) } else { None };
        for url in std::iter::once(view.message.url).chain(other_url.as_deref()) {
            for (template, borders) in self.messages.iter().zip(&self.borders) {
                let message = Message { url, ..view.message };
                let view = View { message, timestamp_header: self.timestamp_in_list(template), ..*view };
                borders.iter().try_for_each(|border| border.check(&view))?;
                for (secret, key) in keys.iter().enumerate() {
                    let candidates = candidates.iter().filter(|candidate| !self.pair || candidate.place == secret);
                    let candidates = candidates.map(|candidate| candidate.bytes.as_slice());
                    if let Some(right) = self.compare(key, template, candidates, &view)? {
                        return Ok(self.describe(secret, right, template));
                    }
                }
            }
        }
        Err(Failure::WrongSecretOrBody)
    }

    /// Compares the candidates under this key; `None` if none is right.
    fn compare<'c>(
        &self,
        key: &BlockKey,
        template: &Template,
        candidates: impl Iterator<Item = &'c [u8]>,
        view: &View<'_>,
    ) -> Result<Option<Right>, Failure> {
        let tag = match (&self.primitive, key) {
            (Primitive::Hmac(..), BlockKey::Mac(mac)) => mac.tag(&view.render(template)?),
            (Primitive::Digest(algorithm), BlockKey::Plain(secret)) => {
                algorithm.hash(&View { secret: Some(secret), ..*view }.render(template)?)
            }
            (Primitive::Signature(algorithm, _), BlockKey::Set(keys)) => {
                let (mut pieces, candidates) = (view.render(template)?, candidates.collect::<Vec<_>>());
                if let Some(hash) = self.prehash {
                    pieces = vec![MessageBytes::Owned(hash.hash(&pieces))];
                }
                let mut keys = keys.all(*algorithm);
                let right = keys.any(|key| key.verifies_any(*algorithm, &pieces, candidates.iter().copied()));
                return Ok(right.then_some(Right::PublicKey));
            }
            _ => return Ok(None),
        };
        let right = candidates.fold(false, |right, candidate| right | same(candidate, &tag));
        Ok(right.then_some(Right::Mac(tag)))
    }

    fn describe(&self, secret: usize, right: Right, template: &Template) -> Match {
        let mac = match right {
            Right::Mac(mac) => Some(mac),
            Right::PublicKey => None,
        };
        let covers_body = self.each.is_none() && template.covers_body();
        let signs_id = template.covers(|source| matches!(source, Source::Id));
        Match { mac, covers_body, signs_id, ..Match::by_secret(secret) }
    }

    /// Returns the timestamp header, if the template signs it only through a list of headers.
    fn timestamp_in_list(&self, template: &Template) -> Option<&HeaderName> {
        let Some(Source::Header(names)) = self.timestamp.as_ref().map(|timestamp| &timestamp.at) else { return None };
        let signed = template.uses(|source| matches!(source, Source::Timestamp));
        names.first().filter(|_| !signed)
    }
}
