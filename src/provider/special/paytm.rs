//! Paytm: a checksum that is encrypted. AES-128-CBC under the merchant key, with a fixed start, holds the SHA-256 (hex)
//! of the text and four characters of salt, and then the salt.
//!
//! Source: npm paytmchecksum 1.5.1 and PyPI paytmchecksum 1.7.0; the provider's pages for the two forms of body. The text
//! is the values of the fields, sorted by name and joined by `|`, without `CHECKSUMHASH` (form, or a flat JSON object of
//! texts), or the JSON text of `body` as it stands, with the checksum in `head.signature`. The SDKs differ on a value
//! `null` written out: it counts as itself or as empty, and either is right here.
//!
//! Names are not signed, nor is `head`: the body does not count as covered. The merchant's own reference may hold a `|`;
//! any other value that does is refused, because its border could be moved. There is no time. The decrypted bytes are compared as a whole, padding included, so that nothing can be learned from the
//! padding alone.

use std::collections::BTreeMap;

use aes::Aes128;
use cbc::cipher::{BlockModeDecrypt, KeyIvInit, block_padding::NoPadding};
use data_encoding::HEXLOWER;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::member::member;
use super::{Needs, SecretForm, first_right};
use crate::provider::border::refuse;
use crate::provider::failure::{Failure, MessagePlace, PartFault};
use crate::provider::key::BlockKey;
use crate::provider::mac::same;
use crate::provider::message::{View, media_type};
use crate::provider::scheme::Encoding;
use crate::provider::verify::Match;

pub(super) const NEEDS: Needs = Needs { secrets: SecretForm::Aes128, ..Needs::NOTHING };

const START: [u8; 16] = *b"@@@@&&&&####$$$$";
const CHECKSUM: &str = "CHECKSUMHASH";
/// The field that merchants fill, with whatever they like.
const REFERENCE: &str = "MERC_UNQ_REF";
const HASH_BYTES: usize = 64;
const SALT_BYTES: usize = 4;
/// The padding of PKCS #7: as many bytes as are missing, each with their number.
const PADDING: [u8; 12] = [12; 12];
const SEALED_BYTES: usize = HASH_BYTES + SALT_BYTES + PADDING.len();

/// The checksum of a body, and the texts of which it may be.
struct Claim {
    sealed: [u8; SEALED_BYTES],
    texts: Vec<Vec<u8>>,
}

pub(super) fn verify(view: &View<'_>, keys: &[BlockKey]) -> Result<Match, Failure> {
    let is_json = media_type(view.message.headers)?.is_some_and(|kind| kind == "application/json");
    let claim = if is_json { json_claim(view.message.body)? } else { form_claim(view)? };
    let secret = first_right(keys, |key| claim.is_right(key))?;
    Ok(Match::by_secret(secret))
}

impl Claim {
    fn new(checksum: &str, place: MessagePlace, texts: Vec<Vec<u8>>) -> Result<Self, Failure> {
        let sealed = Encoding::Base64.decode(checksum.as_bytes());
        let sealed = sealed.ok_or_else(|| Failure::malformed(place.clone(), PartFault::Encoding))?;
        let sealed = sealed.try_into().ok().ok_or_else(|| Failure::malformed(place, PartFault::Length))?;
        Ok(Self { sealed, texts })
    }

    fn is_right(&self, key: &[u8]) -> bool {
        let mut opened = self.sealed;
        let Ok(cipher) = cbc::Decryptor::<Aes128>::new_from_slices(key, &START) else { return false };
        if cipher.decrypt_padded::<NoPadding>(&mut opened).is_err() {
            return false;
        }
        let salt = opened.get(HASH_BYTES..HASH_BYTES + SALT_BYTES).unwrap_or_default();
        let expected = |text: &Vec<u8>| {
            let hash = Sha256::new().chain_update(text).chain_update(b"|").chain_update(salt).finalize();
            let mut expected = HEXLOWER.encode(&hash).into_bytes();
            expected.extend_from_slice(salt);
            expected.extend(PADDING);
            expected
        };
        self.texts.iter().fold(false, |right, text| right | same(&expected(text), &opened))
    }
}

fn form_claim(view: &View<'_>) -> Result<Claim, Failure> {
    let mut fields = BTreeMap::new();
    for (name, value) in view.form()? {
        refuse_border(&name, Some(&*value), MessagePlace::Form)?;
        if fields.insert(name.clone(), Some(value.into_owned())).is_some() {
            return Err(Failure::malformed(MessagePlace::Form(name.into_owned()), PartFault::Repeated));
        }
    }
    let place = MessagePlace::Form(CHECKSUM.to_owned());
    let checksum = fields.remove(CHECKSUM).flatten().ok_or_else(|| Failure::Missing(place.clone()))?;
    Claim::new(&checksum, place, texts(fields.into_values()))
}

fn json_claim(body: &[u8]) -> Result<Claim, Failure> {
    let fields: BTreeMap<String, Value> =
        serde_json::from_slice(body).ok().ok_or_else(|| Failure::malformed(MessagePlace::Body, PartFault::NotJson))?;
    if let Some(checksum) = fields.get("head").and_then(|head| head.get("signature")).and_then(Value::as_str) {
        let text = member(body, "body")?.ok_or_else(|| Failure::Missing(MessagePlace::Json("/body".to_owned())))?;
        return Claim::new(checksum, MessagePlace::Json("/head/signature".to_owned()), vec![text.into()]);
    }
    let mut values = BTreeMap::new();
    for (name, value) in fields {
        let text = match value {
            Value::String(text) => Some(text),
            Value::Null => None,
            _ => return Err(Failure::malformed(MessagePlace::Json(format!("/{name}")), PartFault::NotText)),
        };
        refuse_border(&name, text.as_deref(), |name| MessagePlace::Json(format!("/{name}")))?;
        values.insert(name, text);
    }
    let place = MessagePlace::Json(format!("/{CHECKSUM}"));
    let checksum = values.remove(CHECKSUM).flatten().ok_or_else(|| Failure::Missing(place.clone()))?;
    Claim::new(&checksum, place, texts(values.into_values()))
}

/// Refuses the sign between values in one of them.
fn refuse_border(name: &str, value: Option<&str>, place: impl Fn(String) -> MessagePlace) -> Result<(), Failure> {
    match value {
        Some(value) if name != REFERENCE => refuse(b'|', value.as_bytes(), || place(name.to_owned())),
        Some(_) | None => Ok(()),
    }
}

/// The values in the order of their names, as they are and with `null` for nothing.
fn texts(values: impl Iterator<Item = Option<String>>) -> Vec<Vec<u8>> {
    let values: Vec<String> = values.map(Option::unwrap_or_default).collect();
    let as_they_are = values.join("|").into_bytes();
    if !values.iter().any(|value| value.eq_ignore_ascii_case("null")) {
        return vec![as_they_are];
    }
    let emptied: Vec<&str> =
        values.iter().map(|value| if value.eq_ignore_ascii_case("null") { "" } else { value }).collect();
    vec![as_they_are, emptied.join("|").into_bytes()]
}

#[cfg(test)]
mod tests {
    use super::texts;

    #[test]
    fn a_value_null_counts_as_itself_or_as_nothing() {
        let of = |values: &[Option<&str>]| {
            let texts = texts(values.iter().map(|value| value.map(str::to_owned)));
            texts.into_iter().map(|text| String::from_utf8(text).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(of(&[Some("3"), Some("1"), Some("")]), ["3|1|"]);
        assert_eq!(of(&[Some("Null"), None, Some("x|y")]), ["Null||x|y", "||x|y"]);
    }
}
