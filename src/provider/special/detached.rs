//! Detached JSON Web Signatures: the common part of schemes whose signature stands in a header and whose payload is (a
//! text made of) the request.

use crate::provider::failure::{Failure, MessagePlace, PartFault};
use crate::provider::jws::{Jws, JwsAlgorithm, JwsPayload};
use crate::provider::key::BlockKey;
use crate::provider::keys::Fetched;
use crate::provider::message::{MessageBytes, View};
use crate::provider::public::SignatureAlgorithm;
use crate::provider::template::Source;
use crate::provider::verify::Match;

/// A header that holds a detached signature.
pub(super) struct Detached {
    /// The name, in lower case.
    pub(super) header: &'static str,
    pub(super) algorithm: SignatureAlgorithm,
    pub(super) payload: JwsPayload,
}

impl Detached {
    pub(super) fn place(&self) -> MessagePlace {
        MessagePlace::Header(self.header.to_owned())
    }

    /// Parses the signature in the text of the header.
    pub(super) fn read<'v>(&self, text: &'v str) -> Result<Jws<'v>, Failure> {
        Jws::parse(text, &[JwsAlgorithm::Public(self.algorithm)], self.payload, &self.place())
    }

    /// Returns the text of the header.
    pub(super) fn text<'v>(&self, view: &View<'v>) -> Result<MessageBytes<'v>, Failure> {
        header(view, self.header)?.ok_or_else(|| Failure::Missing(self.place()))
    }
}

/// Verifies a payload under the configured or the fetched key with this `id`. The body counts as covered.
pub(super) fn verify(
    jws: &Jws<'_>,
    (view, id): (&View<'_>, Option<&str>),
    (keys, fetched): (&[BlockKey], Fetched<'_>),
    payload: &[MessageBytes<'_>],
) -> Result<Match, Failure> {
    let chosen = fetched.choose(keys, &View { key_id: id.map(str::as_bytes), ..*view })?;
    let found = chosen.settle(jws.verify(&chosen.keys, id, Some(payload)).map(Match::by_secret))?;
    Ok(Match { covers_body: true, ..found })
}

/// Returns a header that may be there once at most.
pub(super) fn header<'v>(view: &View<'v>, name: &'static str) -> Result<Option<MessageBytes<'v>>, Failure> {
    let source = Source::Header(vec![http::HeaderName::from_static(name)]);
    view.value(&source)
}

/// Returns the text of a header that has to be there.
pub(super) fn text<'t>(bytes: &'t [u8], place: &MessagePlace) -> Result<&'t str, Failure> {
    let malformed = |fault| Failure::malformed(place.clone(), fault);
    let text = std::str::from_utf8(bytes).ok().ok_or_else(|| malformed(PartFault::NotText))?;
    if text.is_empty() { Err(malformed(PartFault::Empty)) } else { Ok(text) }
}
