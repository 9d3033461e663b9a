//! Providers: their ways of signing as data, and the engine that verifies them.
//!
//! The way of a message: a [`Row`] (or a `verify:` block in routes.yaml) holds a [`Scheme`]; a scheme and its secrets
//! make a [`Verifier`], once; the verifier turns a [`Message`] into a [`Verified`], or into a [`Failure`].
//!
//! Invariants, which the tests beside this file hold against the providers' own vectors:
//! - the bytes that arrived are verified, before any parsing;
//! - a header that is consulted is there once; a key is never empty; at least one signature is compared;
//! - comparison is in constant time, over decoded bytes of equal length;
//! - time windows are symmetric; nothing in the request chooses the algorithm.
//!
//! Not here: fetching keys (the caller does, and hands them in as a [`KeyRing`]), replay memory, limits on bodies.

mod addresses;
mod algorithm;
mod answer;
mod batch;
mod block;
mod body;
mod border;
mod compile;
mod compile_jwt;
mod credentials;
mod event;
mod facts;
mod failure;
mod filter;
mod fingerprint;
mod handshake;
mod handshake_spec;
mod jws;
mod jwt;
mod key;
mod keys;
mod keyset;
mod location;
mod mac;
mod message;
mod month;
mod near_misses;
mod problem;
mod public;
mod reply;
mod row;
mod scheme;
mod sign;
mod signature;
mod signed;
mod special;
mod table;
mod template;
mod template_errors;
mod timestamp;
mod url;
mod verified;
mod verify;
mod yaml_forms;

#[cfg(test)]
mod tests;

pub use addresses::{Ips, Preset};
pub use answer::{AnswerProblem, AnswerSpec};
pub use batch::{BatchLine, BatchProblem, batch};
pub use block::Scheme;
pub use body::BodySpec;
pub use event::{EventFault, EventTemplate};
pub use facts::{AnswerSet, Budget, Content, FactName, FactSource, FactSources, Retry};
pub use failure::{Failure, FailureKind, MalformedPart, MessagePlace, PartFault, SignatureVerdict};
pub use handshake::{Captured, Handshake, HandshakeAnswer, HandshakeReply, Handshakes};
pub use handshake_spec::HandshakeProblem;
pub use key::{KeyFault, KeyProblem};
pub use keys::{KeyRing, KeyState, NoKeys};
pub use keyset::KeySet;
pub use location::{KeyLocation, TokenStep};
pub use message::Message;
pub use month::Month;
pub use near_misses::Failed;
pub use problem::SchemeProblem;
pub use row::{Row, RowProblem, RowSpec, SourceKind};
pub use scheme::VerifySpec;
pub use sign::{SignProblem, SignRequest};
pub use special::subscribe_url;
pub use table::{Table, builtin};
pub use template::context_label;
pub use template_errors::{TemplateProblem, Within};
pub use verified::Verified;
pub use verify::Verifier;
pub use yaml_forms::OneOrMany;

/// Returns sixteen bytes that stand for `parts` together: SHA-256 over lengths and bytes, cut. For keys, not for
/// signatures.
pub fn digest(parts: &[&[u8]]) -> [u8; 16] {
    use sha2::Digest;
    let mut hash = sha2::Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let mut short = [0; 16];
    short.iter_mut().zip(hash.finalize()).for_each(|(to, from)| *to = from);
    short
}
