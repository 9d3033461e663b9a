//! Signing, the inverse of verification: for `hookgate send`, `hookgate sign` and tests.
//!
//! A request is signed as by the provider, with the first secret and the first block that fits the request. Schemes
//! whose signature stands in the body, and those with public keys, cannot be signed here: the private key is the
//! provider's.

use std::collections::BTreeMap;
use std::fmt;

use http::{HeaderName, HeaderValue};

use super::block::{Block, Expected, Primitive, Proof, SignedText, Token};
use super::failure::{Failure, MessagePlace};
use super::key::BlockKey;
use super::message::{Message, View};
use super::signature::{ListForm, ListShape, SignatureAt};
use super::template::Source;
use super::verify::Verifier;
use crate::clock::Timestamp;
use crate::payload::Payload;

/// A request to be signed.
#[derive(Clone, Copy, Debug)]
pub struct SignRequest<'a> {
    /// The request without its signature.
    pub message: Message<'a>,
    /// The delivery id, for schemes that sign one.
    pub id: &'a str,
    /// The moment of signing.
    pub now: Timestamp,
}

/// The reason why a request cannot be signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignProblem {
    /// Nothing is verified, so there is nothing to sign.
    NoScheme,
    /// The private key belongs to the provider.
    PublicKey,
    /// The signature, token or timestamp stands in the body or the query, which are given.
    InBody,
    /// No block of the scheme fits the request, or a value that is signed is missing.
    Unfit(Failure),
    /// A value cannot stand in a header.
    Header,
}

impl fmt::Display for SignProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoScheme => f.write_str("nothing is verified here, so there is nothing to sign"),
            Self::PublicKey => f.write_str("only the provider has the private key for this scheme"),
            Self::InBody => f.write_str("this scheme signs inside the body or the query, not in a header"),
            Self::Unfit(failure) => write!(f, "{failure}"),
            Self::Header => f.write_str("a value cannot stand in a header"),
        }
    }
}

impl std::error::Error for SignProblem {}

type Headers = Vec<(HeaderName, HeaderValue)>;

impl Verifier {
    /// Returns the headers that make the request pass this verifier.
    pub fn sign(&self, request: &SignRequest<'_>) -> Result<Headers, SignProblem> {
        let mut problem = SignProblem::NoScheme;
        for (block, keys) in self.scheme.blocks().iter().zip(&self.keys) {
            let Some(key) = keys.first() else { continue };
            if !block.when.holds(&request.message).map_err(SignProblem::Unfit)? {
                problem = SignProblem::Unfit(Failure::Missing(MessagePlace::Condition));
                continue;
            }
            return match (&block.proof, key) {
                (Proof::Token(token), BlockKey::Plain(secret)) => token.sign(secret),
                (Proof::Signed(signed), key) => self.sign_block(block, signed, key, request),
                (Proof::Token(_) | Proof::Jwt(_) | Proof::Code(_), _) => Err(SignProblem::NoScheme),
            };
        }
        Err(problem)
    }

    fn sign_block(
        &self,
        block: &Block,
        signed: &SignedText,
        key: &BlockKey,
        request: &SignRequest<'_>,
    ) -> Result<Headers, SignProblem> {
        let mut added = Vec::new();
        for (name, expected) in &block.require {
            if let Expected::Exactly(value) = expected {
                added.push((name.clone(), header(value)?));
            }
        }
        let written = signed.timestamp.as_ref().map(|form| form.unit.write(request.now).ok_or(SignProblem::Header));
        let written = written.transpose()?;
        let mut parts = Vec::new();
        match (signed.timestamp.as_ref().map(|form| &form.at), &written) {
            (Some(Source::Header(names)), Some(text)) => added.push((first(names)?.clone(), header(text)?)),
            (Some(Source::Part(name)), Some(text)) => parts.push((name.as_str(), text.as_str())),
            (None, _) => {}
            _ => return Err(SignProblem::InBody),
        }
        match &signed.id {
            Some(Source::Header(names)) => added.push((first(names)?.clone(), header(request.id)?)),
            None => {}
            Some(_) => return Err(SignProblem::InBody),
        }
        // The text may contain headers that were only now added.
        let mut headers = request.message.headers.clone();
        headers.extend(added.iter().cloned());
        let json = Payload::lenient(request.message.body);
        let view = View {
            parts: &parts,
            timestamp: written.as_deref().map(str::as_bytes),
            id: Some(request.id.as_bytes()),
            ..View::new(Message { headers: &headers, ..request.message }, json.as_ref(), &self.context)
        };
        let signature = signed.signature(key, &view)?;
        let SignatureAt::Headers { names, .. } = &signed.at else { return Err(SignProblem::InBody) };
        let value = match &signed.list {
            Some(list) => list.write(&parts, &signature, &self.context).ok_or(SignProblem::InBody)?,
            None => signature,
        };
        added.push((first(names)?.clone(), header(&value)?));
        Ok(added)
    }
}

impl SignedText {
    fn signature(&self, key: &BlockKey, view: &View<'_>) -> Result<String, SignProblem> {
        let template = self.messages.first().ok_or(SignProblem::NoScheme)?;
        let bytes = match (&self.primitive, key) {
            (Primitive::Hmac(..), BlockKey::Mac(mac)) => mac.tag(&view.render(template).map_err(SignProblem::Unfit)?),
            (Primitive::Digest(algorithm), BlockKey::Plain(secret)) => {
                let view = View { secret: Some(secret), ..*view };
                algorithm.hash(&view.render(template).map_err(SignProblem::Unfit)?)
            }
            _ => return Err(SignProblem::PublicKey),
        };
        Ok(format!("{}{}", self.prefix, self.encoding.encode(&bytes)))
    }
}

impl Token {
    fn sign(&self, secret: &[u8]) -> Result<Headers, SignProblem> {
        let Source::Header(names) = &self.at else { return Err(SignProblem::InBody) };
        let mut value = self.prefix.clone().into_bytes();
        if self.basic {
            value.extend_from_slice(b"Basic ");
            value.extend_from_slice(data_encoding::BASE64.encode(secret).as_bytes());
        } else {
            value.extend_from_slice(secret);
        }
        let value = HeaderValue::from_bytes(&value).ok().ok_or(SignProblem::Header)?;
        Ok(vec![(first(names)?.clone(), value)])
    }
}

impl ListForm {
    fn write(&self, parts: &[(&str, &str)], signature: &str, context: &BTreeMap<String, String>) -> Option<String> {
        let separator = self.separators.first()?.to_string();
        let elements: Vec<String> = match &self.shape {
            // The first element is not a signature, whether or not the scheme reads it.
            ListShape::Positional => {
                let first = parts.first().map_or("t", |(_, value)| *value);
                vec![first.to_owned(), signature.to_owned()]
            }
            ListShape::Named { assign, field } => {
                let name = match field {
                    Source::Part(name) => name,
                    Source::Context(label) => context.get(label)?,
                    _ => return None,
                };
                let named = parts.iter().copied().chain([(name.as_str(), signature)]);
                named.map(|(name, value)| format!("{name}{assign}{value}")).collect()
            }
        };
        Some(elements.join(&separator))
    }
}

fn first(names: &[HeaderName]) -> Result<&HeaderName, SignProblem> {
    names.first().ok_or(SignProblem::NoScheme)
}

fn header(text: &str) -> Result<HeaderValue, SignProblem> {
    HeaderValue::from_str(text).ok().ok_or(SignProblem::Header)
}
