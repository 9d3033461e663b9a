//! The checked scheme, which `compile.rs` makes of the written form and `verify.rs` uses.
//!
//! Every template is parsed, every name resolved, every algorithm one of a closed list. The inputs of a scheme (headers
//! to redact, JSON, the public URL, configured labels) are found here, by one walk over its sources.

use std::time::Duration;

use http::HeaderName;
use regex::Regex;

use super::border::Border;
use super::jws::JwsAlgorithm;
use super::jwt::Jwt;
use super::key::KeyForm;
use super::keys::KeySource;
use super::mac::MacAlgorithm;
use super::public::SignatureAlgorithm;
use super::scheme::{Encoding, Unit};
use super::signature::{ListForm, SignatureAt};
use super::special::Special;
use super::template::{Source, Template};

/// A checked verification scheme.
#[derive(Clone, Debug)]
pub struct Scheme {
    pub(super) way: Way,
    pub(super) redact: Vec<String>,
}

/// The blocks that verify, or the reason why nothing is verified.
#[derive(Clone, Debug)]
pub(super) enum Way {
    None { reason: String },
    Blocks(Vec<Block>),
}

/// One way in which a provider proves who it is.
#[derive(Clone, Debug)]
pub(super) struct Block {
    pub(super) when: BlockConditions,
    pub(super) require: Vec<(HeaderName, Expected)>,
    pub(super) patterns: Vec<Pattern>,
    /// The pattern that the names of all form fields must match.
    pub(super) form_names: Option<Regex>,
    pub(super) check: Option<(Template, Template)>,
    /// Values that must be among the configured ones of a label, if any are configured.
    pub(super) bind: Vec<(String, Template)>,
    pub(super) json_body: bool,
    pub(super) proof: Proof,
    /// The places of its public keys; with paired signatures, one for each.
    pub(super) keys: Vec<KeySource>,
}

/// A pattern that a whole value of the message must match.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    pub(super) source: Source,
    /// True if the value may be absent.
    pub(super) is_optional: bool,
    pub(super) whole: Regex,
}

/// The content that a header must have.
#[derive(Clone, Debug)]
pub(super) enum Expected {
    Present,
    Exactly(String),
    Matching(Regex),
}

/// Conditions under which a block applies.
#[derive(Clone, Debug, Default)]
pub(super) struct BlockConditions {
    pub(super) header: Option<(HeaderName, Expected)>,
    pub(super) header_absent: Option<HeaderName>,
    pub(super) content_type: Option<String>,
    pub(super) query: Option<String>,
    pub(super) query_absent: Option<String>,
    pub(super) no_body: bool,
}

/// The kind of proof with its particulars.
#[derive(Clone, Debug)]
pub(super) enum Proof {
    Token(Token),
    Signed(Box<SignedText>),
    Jwt(Box<Jwt>),
    Code(Special),
}

/// A fixed secret that is sent with the request.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) at: Source,
    pub(super) prefix: String,
    pub(super) basic: bool,
}

/// A signature over a text.
#[derive(Clone, Debug)]
pub(super) struct SignedText {
    pub(super) primitive: Primitive,
    pub(super) at: SignatureAt,
    pub(super) list: Option<ListForm>,
    pub(super) prefix: String,
    pub(super) encoding: Encoding,
    pub(super) messages: Vec<Template>,
    /// The borders of the values, for each of the texts.
    pub(super) borders: Vec<Vec<Border>>,
    /// The hash that is applied to the text before it is signed.
    pub(super) prehash: Option<MacAlgorithm>,
    pub(super) timestamp: Option<TimestampForm>,
    pub(super) id: Option<Source>,
    pub(super) each: Option<Vec<String>>,
    pub(super) pair: bool,
    pub(super) url_ports: bool,
}

/// The computation of a signature, with the form of its key.
#[derive(Clone, Debug)]
pub(super) enum Primitive {
    Hmac(MacAlgorithm, KeyForm),
    Digest(MacAlgorithm),
    Signature(SignatureAlgorithm, KeyForm),
}

/// The place of the moment of signing, and how far it may lie from our clock.
#[derive(Clone, Debug)]
pub(super) struct TimestampForm {
    pub(super) at: Source,
    pub(super) unit: Unit,
    pub(super) tolerance: Option<Duration>,
    pub(super) sdk_window: bool,
}

impl Primitive {
    /// Returns the length of a signature; `None` if it varies.
    pub(super) fn signature_bytes(&self) -> Option<usize> {
        match self {
            Self::Hmac(algorithm, _) | Self::Digest(algorithm) => Some(algorithm.bytes()),
            Self::Signature(algorithm, _) => algorithm.signature_bytes(),
        }
    }
}

impl Scheme {
    /// Returns the reason why nothing is verified; `None` if something is.
    pub fn is_none(&self) -> Option<&str> {
        match &self.way {
            Way::None { reason } => Some(reason),
            Way::Blocks(_) => None,
        }
    }

    /// Returns whether the signed text contains the full URL, so that the source has to say what it is.
    pub fn needs_public_url(&self) -> bool {
        self.blocks().iter().any(|block| {
            let by_code = matches!(&block.proof, Proof::Code(special) if special.needs().public_url);
            by_code || block.uses(|source| matches!(source, Source::Url))
        })
    }

    /// Returns whether the configured secrets are public keys.
    pub fn takes_public_key(&self) -> bool {
        self.blocks().iter().any(|block| block.proof.takes_public_key())
    }

    /// Returns whether the time window is our own policy, because the provider's SDK enforces none.
    pub fn window_is_ours(&self) -> bool {
        self.blocks().iter().any(|block| match &block.proof {
            Proof::Signed(signed) => signed.timestamp.as_ref().is_some_and(|timestamp| !timestamp.sdk_window),
            Proof::Token(_) | Proof::Jwt(_) | Proof::Code(_) => false,
        })
    }

    /// Returns whether every block limits the age of a message, so that a captured request is of no use later.
    pub fn is_timed(&self) -> bool {
        let is_timed = |block: &Block| match &block.proof {
            Proof::Signed(signed) => signed.timestamp.as_ref().is_some_and(|timestamp| timestamp.tolerance.is_some()),
            Proof::Jwt(jwt) => jwt.times.max_age.is_some() || jwt.times.require_exp,
            Proof::Token(_) | Proof::Code(_) => false,
        };
        !self.blocks().is_empty() && self.blocks().iter().all(is_timed)
    }

    /// Returns the headers that carry secrets or signatures, in small letters, so that logs can redact them.
    pub fn signature_headers(&self) -> impl Iterator<Item = &str> {
        self.redact.iter().map(String::as_str)
    }

    pub(super) fn blocks(&self) -> &[Block] {
        match &self.way {
            Way::None { .. } => &[],
            Way::Blocks(blocks) => blocks,
        }
    }
}

impl Proof {
    /// Returns whether configured secrets are public keys.
    pub(super) fn takes_public_key(&self) -> bool {
        match self {
            Self::Signed(signed) => signed.primitive.is_public(),
            Self::Jwt(jwt) => jwt.algorithms.iter().any(|algorithm| matches!(algorithm, JwsAlgorithm::Public(_))),
            Self::Code(special) => special.needs().secrets.is_public(),
            Self::Token(_) => false,
        }
    }
}

impl Block {
    /// Returns whether the body has to be parsed as JSON before it is verified.
    pub(super) fn needs_json(&self) -> bool {
        let by_itself = match &self.proof {
            Proof::Signed(signed) => signed.each.is_some(),
            Proof::Code(special) => special.needs().json,
            Proof::Token(_) | Proof::Jwt(_) => false,
        };
        let in_keys = self.keys.iter().flat_map(KeySource::templates);
        let in_keys = in_keys.flat_map(Template::values).any(|(source, _)| matches!(source, Source::Json(_)));
        self.json_body || in_keys || by_itself || self.uses(|source| matches!(source, Source::Json(_)))
    }

    /// Returns whether it works without configured secrets.
    pub(super) fn fetches_keys(&self) -> bool {
        !self.keys.is_empty() || matches!(&self.proof, Proof::Code(special) if special.needs().secrets_optional)
    }

    /// Returns the labels of `{ctx:label}` that the configuration has to give; those for fetching keys only if
    /// `fetching`.
    pub(super) fn context_labels(&self, fetching: bool) -> Vec<&str> {
        let mut labels = match &self.proof {
            Proof::Code(special) => special.needs().context.to_vec(),
            Proof::Token(_) | Proof::Signed(_) | Proof::Jwt(_) => Vec::new(),
        };
        let in_keys = self.keys.iter().filter(|_| fetching).flat_map(KeySource::templates);
        let in_keys = in_keys.flat_map(Template::values).map(|(source, _)| source);
        for source in self.sources().into_iter().chain(in_keys) {
            if let Source::Context(label) = source {
                labels.push(label.as_str());
            }
        }
        labels
    }

    /// Returns whether the check ties the body to something that is signed, such as a digest in the URL.
    pub(super) fn check_covers_body(&self) -> bool {
        let (Some((one, other)), Proof::Signed(signed)) = (&self.check, &self.proof) else { return false };
        let tied = |body: &Template, to: &Template| {
            body.covers_body() && signed.messages.iter().all(|message| message.covers_all_of(to))
        };
        tied(one, other) || tied(other, one)
    }

    pub(super) fn uses(&self, wanted: impl Fn(&Source) -> bool) -> bool {
        self.sources().into_iter().any(|source| source.uses(&wanted))
    }

    /// Returns every source that the block consults.
    fn sources(&self) -> Vec<&Source> {
        let templates = self.check.iter().flat_map(|(one, other)| [one, other]);
        let mut sources: Vec<&Source> = templates.flat_map(Template::values).map(|(source, _)| source).collect();
        sources.extend(self.patterns.iter().map(|pattern| &pattern.source));
        sources.extend(self.bind.iter().flat_map(|(_, template)| template.values()).map(|(source, _)| source));
        match &self.proof {
            Proof::Token(token) => sources.push(&token.at),
            Proof::Jwt(jwt) => {
                sources.push(&jwt.at);
                let claimed = jwt.claims.iter().flat_map(|claim| claim.value.values());
                sources.extend(claimed.map(|(source, _)| source));
            }
            Proof::Code(_) => {}
            Proof::Signed(signed) => {
                sources.extend(signed.messages.iter().flat_map(Template::values).map(|(source, _)| source));
                sources.extend(signed.timestamp.iter().map(|timestamp| &timestamp.at));
                sources.extend(signed.id.iter());
                sources.extend(signed.list.iter().filter_map(ListForm::context));
                if let SignatureAt::Value(source) = &signed.at {
                    sources.push(source);
                }
            }
        }
        sources
    }

    pub(super) fn signature_headers(&self) -> Vec<String> {
        let names = match &self.proof {
            Proof::Token(Token { at: Source::Header(names), .. }) => names.as_slice(),
            Proof::Jwt(jwt) => match &jwt.at {
                Source::Header(names) => names.as_slice(),
                _ => &[],
            },
            Proof::Signed(signed) => match &signed.at {
                SignatureAt::Headers { names, .. } => names.as_slice(),
                SignatureAt::Value(_) => &[],
            },
            Proof::Code(special) => return special.needs().redact.iter().map(|&name| name.to_owned()).collect(),
            Proof::Token(_) => &[],
        };
        names.iter().map(|name| name.as_str().to_owned()).collect()
    }
}
