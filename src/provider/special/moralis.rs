//! Moralis Streams: the Keccak-256 (not SHA3-256) of the body and then the secret, as `0x` and hexadecimal.
//!
//! Source: npm @moralisweb3/streams 2.27.2 (`verifySignature`, whose `sha3` is `keccak256`). The SDK hashes the parsed
//! body written anew; the bytes that arrived are hashed here, which are the same for what the provider sends.
//!
//! The whole body is covered. There is no time: a repetition is known by the body.

use http::HeaderName;
use sha3::{Digest, Keccak256};

use super::{Needs, first_right};
use crate::provider::failure::{Failure, MessagePlace, PartFault};
use crate::provider::key::BlockKey;
use crate::provider::mac::same;
use crate::provider::message::{View, single_header};
use crate::provider::scheme::Encoding;
use crate::provider::verify::Match;

const SIGNATURE: HeaderName = HeaderName::from_static("x-signature");
const HASH_BYTES: usize = 32;

pub(super) const NEEDS: Needs = Needs { redact: &["x-signature"], ..Needs::NOTHING };

pub(super) fn verify(view: &View<'_>, keys: &[BlockKey]) -> Result<Match, Failure> {
    let place = || MessagePlace::Header(SIGNATURE.as_str().to_owned());
    let malformed = |fault| Failure::malformed(place(), fault);
    let value = single_header(view.message.headers, &SIGNATURE)?.ok_or_else(|| Failure::Missing(place()))?;
    let digits = value.strip_prefix(b"0x").ok_or_else(|| malformed(PartFault::NoPrefix))?;
    let signature = Encoding::Hex.decode(digits).ok_or_else(|| malformed(PartFault::Encoding))?;
    if signature.len() != HASH_BYTES {
        return Err(malformed(PartFault::Length));
    }
    let body = Keccak256::new_with_prefix(view.message.body);
    let hash = |secret: &[u8]| body.clone().chain_update(secret).finalize();
    let secret = first_right(keys, |secret| same(&hash(secret), &signature))?;
    Ok(Match { mac: Some(signature), covers_body: true, ..Match::by_secret(secret) })
}
