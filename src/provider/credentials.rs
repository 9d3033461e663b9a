//! The places of a sender's credential in its requests: a token, a password, or a JWT, which anyone who has it can
//! send.
//!
//! A signature is no credential: it is of no use with another message. A scheme knows the places of the values that it
//! compares, and a handshake the place of its token. Not here: the treatment of credentials (not shown, not forwarded).

use super::block::{Block, Proof, Scheme};
use super::handshake::Handshake;
use super::special::Special;
use super::template::Source;
use crate::credential::CredentialPlace;

impl Scheme {
    /// Returns the places at which senders put a credential.
    pub fn credentials(&self) -> Vec<CredentialPlace> {
        self.blocks().iter().flat_map(Block::credentials).collect()
    }

    /// Returns whether the URL, or its path and query, is a part of the signed text.
    pub fn signs_url(&self) -> bool {
        self.needs_public_url() || self.blocks().iter().any(|block| block.uses(|source| matches!(source, Source::Path)))
    }
}

impl Handshake {
    /// Returns the places of the token that it compares.
    pub fn credentials(&self) -> Vec<CredentialPlace> {
        self.token.iter().flat_map(places).collect()
    }
}

impl Block {
    fn credentials(&self) -> Vec<CredentialPlace> {
        match &self.proof {
            Proof::Token(token) => places(&token.at),
            Proof::Jwt(jwt) => places(&jwt.at),
            Proof::Code(special) => special.credentials(),
            Proof::Signed(_) => Vec::new(),
        }
    }
}

impl Special {
    fn credentials(self) -> Vec<CredentialPlace> {
        match self {
            Self::Msgraph => vec![CredentialPlace::Json("/value/*/clientState".to_owned())],
            Self::AtlassianConnect => vec![CredentialPlace::Header("authorization".to_owned())],
            Self::Alipay
            | Self::AwsSns
            | Self::Ebay
            | Self::ExactOnline
            | Self::Fireblocks
            | Self::Moralis
            | Self::Neon
            | Self::Payos
            | Self::Paytm
            | Self::Plivo
            | Self::PlivoV2
            | Self::Saleor
            | Self::Treezor
            | Self::Truelayer
            | Self::UnisenderGo => Vec::new(),
        }
    }
}

fn places(source: &Source) -> Vec<CredentialPlace> {
    match source {
        Source::Header(names) => names.iter().map(|name| CredentialPlace::Header(name.as_str().to_owned())).collect(),
        Source::Query(name) => vec![CredentialPlace::Query(name.clone())],
        Source::Form(name) => vec![CredentialPlace::Form(name.clone())],
        Source::Json(pointer) => vec![CredentialPlace::Json(pointer.clone())],
        Source::Body
        | Source::Timestamp
        | Source::Id
        | Source::Secret
        | Source::Method
        | Source::Url
        | Source::Path
        | Source::Part(_)
        | Source::Context(_)
        | Source::KeyId
        | Source::FormSorted
        | Source::SignedHeaders(_) => Vec::new(),
    }
}
