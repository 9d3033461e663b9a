//! The places of signatures in a message, the splitting of a list of them, and the decoding of each.
//!
//! Invariants: at least one signature; at most sixteen in a list; strict base64 (padding, canonical bits); hex in
//! either case; a text that decodes to another length than the algorithm has is no candidate. The right candidate is
//! found in `signed.rs`: any listed signature may match any secret.

use data_encoding::{BASE64, BASE64URL, BASE64URL_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE};
use http::HeaderName;

use super::block::SignedText;
use super::failure::{Failure, MessagePlace, PartFault};
use super::message::{MessageBytes, View, single_header};
use super::scheme::Encoding;
use super::template::Source;

/// The most signatures of one list.
const LISTED_MAX: usize = 16;

/// The place of the signatures.
#[derive(Clone, Debug)]
pub(super) enum SignatureAt {
    /// These headers; the first has to be there, or any.
    Headers { names: Vec<HeaderName>, first_is_required: bool },
    /// A place in the body or the query.
    Value(Source),
}

/// The form of a list of signatures.
#[derive(Clone, Debug)]
pub(super) struct ListForm {
    pub(super) separators: Vec<char>,
    pub(super) trim: bool,
    pub(super) unique: Vec<String>,
    pub(super) shape: ListShape,
}

/// The form of the elements of a list.
#[derive(Clone, Debug)]
pub(super) enum ListShape {
    /// `name=value`; elements named like `field` are signatures.
    Named { assign: String, field: Source },
    /// The first element is `t`, the others are signatures.
    Positional,
}

/// The text at one place, with the number of that place.
pub(super) struct Written<'v> {
    place: usize,
    bytes: MessageBytes<'v>,
}

/// A signature text and the number of the place that it stood in.
pub(super) struct ListedSignature<'t> {
    pub(super) place: usize,
    pub(super) text: &'t str,
}

/// A decoded signature and the number of the place that it stood in.
pub(super) struct Candidate {
    pub(super) place: usize,
    pub(super) bytes: Vec<u8>,
}

/// The content of a list: its named parts, and the signatures.
pub(super) struct SignatureParts<'t> {
    pub(super) named: Vec<(&'t str, &'t str)>,
    pub(super) signatures: Vec<ListedSignature<'t>>,
}

impl SignatureAt {
    /// Returns the texts at every place, each with the number of its place.
    pub(super) fn read<'v>(&self, view: &View<'v>) -> Result<Vec<Written<'v>>, Failure> {
        let texts = match self {
            Self::Headers { names, first_is_required } => {
                let mut texts = Vec::new();
                for (place, name) in names.iter().enumerate() {
                    if let Some(value) = single_header(view.message.headers, name)? {
                        texts.push(Written { place, bytes: MessageBytes::Borrowed(value) });
                    } else if place == 0 && *first_is_required {
                        return Err(Failure::Missing(self.source_place()));
                    }
                }
                texts
            }
            Self::Value(source) => view.value(source)?.map(|bytes| Written { place: 0, bytes }).into_iter().collect(),
        };
        if texts.is_empty() {
            return Err(Failure::Missing(self.source_place()));
        }
        if texts.iter().all(|text| text.bytes.is_empty()) {
            return Err(Failure::malformed(self.source_place(), PartFault::Empty));
        }
        Ok(texts)
    }

    pub(super) fn source_place(&self) -> MessagePlace {
        match self {
            Self::Headers { names, .. } => {
                MessagePlace::Header(names.first().map_or("", HeaderName::as_str).to_owned())
            }
            Self::Value(source) => source.place(),
        }
    }
}

impl ListForm {
    /// Returns the place of the signatures' name, if the configuration gives the name.
    pub(super) fn context(&self) -> Option<&Source> {
        match &self.shape {
            ListShape::Named { field: field @ Source::Context(_), .. } => Some(field),
            ListShape::Named { .. } | ListShape::Positional => None,
        }
    }

    fn split<'t>(
        &self,
        place: usize,
        text: &'t str,
        view: &View<'_>,
        parts: &mut SignatureParts<'t>,
    ) -> Result<(), Failure> {
        let elements = text.split(self.separators.as_slice());
        let elements = elements.map(|element| if self.trim { element.trim() } else { element });
        let elements = elements.filter(|element| !element.is_empty());
        match &self.shape {
            ListShape::Positional => {
                for (position, text) in elements.enumerate() {
                    if position == 0 {
                        parts.named.push(("t", text));
                    } else {
                        parts.signatures.push(ListedSignature { place, text });
                    }
                }
            }
            ListShape::Named { assign, field } => {
                let wanted = match field {
                    Source::Context(label) => {
                        view.context.get(label).ok_or_else(|| Failure::Missing(field.place()))?.as_str()
                    }
                    Source::Part(name) => name,
                    _ => return Err(Failure::Missing(field.place())),
                };
                for (name, value) in elements.filter_map(|element| element.split_once(assign.as_str())) {
                    parts.named.push((name, value));
                    if name == wanted {
                        parts.signatures.push(ListedSignature { place, text: value });
                    }
                }
            }
        }
        Ok(())
    }
}

impl SignedText {
    /// Splits the texts, and checks the number of parts and signatures.
    pub(super) fn split<'t>(&self, texts: &'t [Written<'_>], view: &View<'_>) -> Result<SignatureParts<'t>, Failure> {
        let malformed = |fault| Failure::malformed(self.at.source_place(), fault);
        let mut parts = SignatureParts { named: Vec::new(), signatures: Vec::new() };
        for Written { place, bytes } in texts {
            let text = std::str::from_utf8(bytes).ok().ok_or_else(|| malformed(PartFault::NotText))?;
            match &self.list {
                Some(list) => list.split(*place, text, view, &mut parts)?,
                None => parts.signatures.push(ListedSignature { place: *place, text }),
            }
        }
        let with_parts = View { parts: &parts.named, ..*view };
        for name in self.list.iter().flat_map(|list| &list.unique) {
            if with_parts.part(name)?.is_none() {
                return Err(Failure::Missing(MessagePlace::Part(name.clone())));
            }
        }
        let places_max = match &self.at {
            SignatureAt::Headers { names, .. } => names.len().max(LISTED_MAX),
            SignatureAt::Value(_) => LISTED_MAX,
        };
        if parts.signatures.len() > places_max {
            return Err(malformed(PartFault::TooMany));
        }
        if parts.signatures.is_empty() {
            let names_key = self.list.as_ref().is_some_and(|list| list.context().is_some()) && !parts.named.is_empty();
            return Err(if names_key { Failure::UnknownKey } else { malformed(PartFault::NoSignature) });
        }
        Ok(parts)
    }

    /// Returns the signatures that can be read; if none can, the fault of the first.
    pub(super) fn candidates(&self, listed: &[ListedSignature<'_>]) -> Result<Vec<Candidate>, Failure> {
        let mut first_fault = None;
        let mut candidates = Vec::with_capacity(listed.len());
        for ListedSignature { place, text } in listed {
            match self.decode(text) {
                Ok(bytes) => candidates.push(Candidate { place: *place, bytes }),
                Err(fault) => first_fault = first_fault.or(Some(fault)),
            }
        }
        if candidates.is_empty() {
            let fault = first_fault.unwrap_or(PartFault::NoSignature);
            return Err(Failure::malformed(self.at.source_place(), fault));
        }
        Ok(candidates)
    }

    fn decode(&self, text: &str) -> Result<Vec<u8>, PartFault> {
        let encoded = text.strip_prefix(self.prefix.as_str()).ok_or(PartFault::NoPrefix)?;
        let bytes = self.encoding.decode(encoded.as_bytes()).ok_or(PartFault::Encoding)?;
        if bytes.is_empty() {
            return Err(PartFault::Empty);
        }
        match self.primitive.signature_bytes() {
            Some(length) if length != bytes.len() => Err(PartFault::Length),
            _ => Ok(bytes),
        }
    }
}

impl Encoding {
    pub(super) fn decode(self, text: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Hex => HEXLOWER_PERMISSIVE.decode(text).ok(),
            Self::Base64 => BASE64.decode(text).ok(),
            Self::Base64url if text.ends_with(b"=") => BASE64URL.decode(text).ok(),
            Self::Base64url => BASE64URL_NOPAD.decode(text).ok(),
            Self::Base64Hex => HEXLOWER_PERMISSIVE.decode(&BASE64.decode(text).ok()?).ok(),
        }
    }

    pub(super) fn encode(self, bytes: &[u8]) -> String {
        match self {
            Self::Hex => HEXLOWER.encode(bytes),
            Self::Base64 => BASE64.encode(bytes),
            Self::Base64url => BASE64URL_NOPAD.encode(bytes),
            Self::Base64Hex => BASE64.encode(HEXLOWER.encode(bytes).as_bytes()),
        }
    }
}
