//! Filters: changes to a value on its way into the signed text.
//!
//! Hashes for schemes that sign a digest of the body, and the two ways in which providers write a URL before they sign
//! it. Filters have no arguments.

use data_encoding::{BASE64, BASE64URL, HEXLOWER};
use sha2::{Digest, Sha256};

use super::message::MessageBytes;

/// A change to a value on its way into the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ValueFilter {
    Sha256Hex,
    Sha256B64,
    Sha256B64url,
    Crc32,
    Lower,
    HubspotDecode,
    ContentfulPath,
}

impl ValueFilter {
    const NAMES: &[(&str, Self)] = &[
        ("sha256hex", Self::Sha256Hex),
        ("sha256b64", Self::Sha256B64),
        ("sha256b64url", Self::Sha256B64url),
        ("crc32", Self::Crc32),
        ("lower", Self::Lower),
        ("hubspot_decode", Self::HubspotDecode),
        ("contentful_path", Self::ContentfulPath),
    ];

    /// Returns the names of all filters.
    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        Self::NAMES.iter().map(|(name, _)| *name)
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, filter)| *filter)
    }

    /// Returns the filter that a name is too near to mean anything else: one letter is wrong, or its case.
    pub(super) fn nearly(name: &str) -> Option<&'static str> {
        Self::names().find(|known| strsim::damerau_levenshtein(&name.to_ascii_lowercase(), known) <= 1)
    }

    /// Returns whether nobody can find two different values with one result.
    pub(super) fn is_binding(self) -> bool {
        matches!(self, Self::Sha256Hex | Self::Sha256B64 | Self::Sha256B64url)
    }

    /// Returns the value after the change.
    pub(super) fn apply(self, value: MessageBytes<'_>) -> MessageBytes<'_> {
        MessageBytes::Owned(match self {
            Self::Sha256Hex => HEXLOWER.encode(&Sha256::digest(&value)).into_bytes(),
            Self::Sha256B64 => BASE64.encode(&Sha256::digest(&value)).into_bytes(),
            Self::Sha256B64url => BASE64URL.encode(&Sha256::digest(&value)).into_bytes(),
            Self::Crc32 => crc32fast::hash(&value).to_string().into_bytes(),
            Self::Lower => String::from_utf8_lossy(&value).to_lowercase().into_bytes(),
            Self::HubspotDecode => hubspot_decode(&value),
            Self::ContentfulPath => contentful_path(&value),
        })
    }
}

/// Decodes the twelve escapes without which HubSpot's v3 signature is made.
fn hubspot_decode(url: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(url.len());
    let mut rest = url;
    while let Some((&first, after)) = rest.split_first() {
        let decoded = match rest {
            [b'%', high, low, ..] => u8::from_str_radix(&String::from_utf8_lossy(&[*high, *low]), 16)
                .ok()
                .filter(|byte| b":/?@!$'()*,;".contains(byte)),
            _ => None,
        };
        out.push(decoded.unwrap_or(first));
        rest = if decoded.is_some() { rest.get(3..).unwrap_or_default() } else { after };
    }
    out
}

/// Escapes a path as Contentful does: the query as a component, then the whole as a URI, so that `=` becomes `%253D`.
fn contentful_path(path: &[u8]) -> Vec<u8> {
    const MARKS: &[u8] = b"-_.!~*'()";
    const RESERVED: &[u8] = b";,/?:@&=+$#";
    let mut parts = path.splitn(2, |byte| *byte == b'?');
    let mut once = parts.next().unwrap_or_default().to_vec();
    if let Some(query) = parts.next().filter(|query| !query.is_empty()) {
        once.push(b'?');
        once.extend(percent_encode(query, |byte| MARKS.contains(&byte)));
    }
    percent_encode(&once, |byte| MARKS.contains(&byte) || RESERVED.contains(&byte))
}

fn percent_encode(bytes: &[u8], is_kept: impl Fn(u8) -> bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || is_kept(byte) {
            out.push(byte);
        } else {
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    out
}
