//! The written form of a verification scheme, as it stands in a provider's row and under `verify:` in routes.yaml.
//!
//! serde reads this form: names, texts and numbers with their units, nothing resolved. `compile.rs` turns it into a
//! checked [`Scheme`](super::Scheme). Long names are canonical; the catalogue's short ones are aliases. Lists that may
//! be written as a single item are read by a visitor (`spelling.rs`), so that errors keep their place and reason.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::algorithm::Algorithm;
use super::special::Special;
use super::spelling::{OneOrMany, Scalar, Span, Tolerance, short_names, tolerance_in_seconds};

/// `verify:` one block, or a list of blocks that are tried in order.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct VerifySpec {
    pub(super) blocks: OneOrMany<BlockSpec>,
}

/// One way in which a provider proves who it is.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = short_names(&[("alg", "algorithm"), ("sig", "signature"), ("parse", "list"), ("enc", "encoding"), ("msg", "signed"), ("ts", "timestamp"), ("source", "from")]))]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of its own in the file")]
pub(super) struct BlockSpec {
    /// hmac | digest | signature | token | jwt | code | none
    #[serde(rename = "type")]
    pub(super) kind: Kind,
    /// The hash or signature algorithm; never taken from the request.
    #[serde(alias = "alg")]
    pub(super) algorithm: Option<OneOrMany<Algorithm>>,
    /// The conversion of the secret's text into a key: utf8 (default), base64, hex, whsec, v1-whsec, sha1, sha256,
    /// nfkd, strip:<regex>. For public keys: pem (default), x509 (a certificate), jwk, any (of these three), spki-b64,
    /// raw-hex, raw-b64.
    pub(super) key: Option<String>,
    /// The header that holds the signature or token; short for `signature: {header: …}`.
    pub(super) header: Option<String>,
    /// Where the signatures stand.
    #[serde(alias = "sig")]
    pub(super) signature: Option<SignatureSpec>,
    /// How a list of signatures is taken apart.
    #[serde(alias = "parse")]
    pub(super) list: Option<ListSpec>,
    /// Text in front of the signature or token; required, and removed.
    pub(super) prefix: Option<String>,
    /// How the signature is written.
    #[serde(alias = "enc")]
    pub(super) encoding: Option<Encoding>,
    /// What is signed, as a template such as `{ts}.{body}`; or several alternatives.
    #[serde(alias = "msg")]
    pub(super) signed: Option<OneOrMany<String>>,
    /// The one value of `signed` that may hold the text that separates it from the next: `json:/reference`. Any other that
    /// does is refused, because another message could have the same signed text; body, URL and form may always hold it.
    pub(super) may_hold_separator: Option<String>,
    /// A hash that the text goes through before it is signed (which hashes it again).
    pub(super) prehash: Option<Algorithm>,
    /// When it was signed, and how old it may be.
    #[serde(alias = "ts")]
    pub(super) timestamp: Option<TimestampSpec>,
    /// The id that `{id}` stands for.
    pub(super) id: Option<IdSpec>,
    /// A path such as `/items/*` into the JSON body: every element carries its own signature.
    pub(super) each: Option<String>,
    /// The first signature belongs to the first secret, the second to the second.
    #[serde(default)]
    pub(super) pair: bool,
    /// Conditions under which this block applies.
    pub(super) when: Option<WhenSpec>,
    /// Headers that must have exactly this value.
    #[serde(default)]
    pub(super) require: BTreeMap<String, Scalar>,
    /// Headers that must match this regular expression as a whole.
    #[serde(default)]
    pub(super) require_match: BTreeMap<String, String>,
    /// Values (`json:/p`, `form:f`, …) that must match this regular expression as a whole; with a `?` after the name the
    /// value may be absent.
    #[serde(default)]
    pub(super) pattern: BTreeMap<String, String>,
    /// The regular expression that the name of every form field must match as a whole. For texts such as
    /// `{form_sorted}`, in which nothing separates a name from its value.
    pub(super) form_names: Option<String>,
    /// Two templates that must come out equal.
    pub(super) check: Option<(String, String)>,
    /// Templates that must give a value which the source's `context` has under this label: whose message it is, where
    /// one key signs for all customers of a provider. Several values stand there with spaces or commas; `*` is any.
    #[serde(default)]
    pub(super) bind: BTreeMap<String, String>,
    /// The body must be JSON. For hashes that whoever has seen one can go on with.
    #[serde(default)]
    pub(super) json_body: bool,
    /// Try the public URL with and without its default port.
    #[serde(default)]
    pub(super) url_ports: bool,
    /// Where a token stands: `header:X`, `query:q`, `json:/p`, `form:f`.
    #[serde(alias = "source")]
    pub(super) from: Option<String>,
    /// The token is `user:password` in HTTP basic authentication.
    pub(super) scheme: Option<TokenScheme>,
    /// What the claims of a JWT must say, as templates; `?name` may be absent when there is no body.
    #[serde(default)]
    pub(super) claims: BTreeMap<String, String>,
    /// Claims that a JWT must have, with whatever value.
    #[serde(default)]
    pub(super) require_claims: Vec<String>,
    /// A JWT must say when it expires.
    #[serde(default)]
    pub(super) require_exp: bool,
    /// How long ago a JWT may have been issued.
    pub(super) max_age: Option<Span>,
    /// How far ahead of our clock a JWT may have been issued; as far as `max_age`, when nothing is said.
    pub(super) future: Option<Span>,
    /// How far clocks may differ for the times in a JWT; none by default.
    pub(super) leeway: Option<Span>,
    /// Where the public keys are fetched when none is configured; with `pair`, one place for each signature.
    pub(super) keys: Option<OneOrMany<KeysSpec>>,
    /// The scheme that `type: code` stands for.
    pub(super) code: Option<Special>,
    /// Why nothing is verified; `type: none` needs it.
    pub(super) reason: Option<String>,
}

/// The kind of proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// A keyed hash.
    Hmac,
    /// A plain hash of text that includes the secret.
    Digest,
    /// A signature that a public key verifies.
    Signature,
    /// A fixed secret sent along.
    Token,
    /// A JSON Web Token whose claims tie it to the message.
    Jwt,
    /// A scheme that data cannot say; `code` names it.
    Code,
    /// Nothing is verified; a reason is due.
    None,
}

/// How bytes are written as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Encoding {
    Hex,
    Base64,
    Base64url,
    #[serde(rename = "base64(hex)")]
    Base64Hex,
}

/// How a token is wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum TokenScheme {
    Basic,
}

/// Where the signatures stand: exactly one of `header`, `any_header`, `numbered`, `from`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = short_names(&[("source", "from")]))]
pub(super) struct SignatureSpec {
    /// One header.
    pub(super) header: Option<String>,
    /// More headers that may hold a signature too.
    #[serde(default)]
    pub(super) also: Vec<String>,
    /// Any of these headers.
    #[serde(default)]
    pub(super) any_header: Vec<String>,
    /// The headers `<prefix>1` to `<prefix><max>`.
    pub(super) numbered: Option<String>,
    /// The highest number of `numbered`, at most 100.
    pub(super) max: Option<u8>,
    /// `json:/p`, `form:f` or `query:q`.
    #[serde(alias = "source")]
    pub(super) from: Option<String>,
}

/// How a list of signatures is taken apart.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = short_names(&[("sep", "separator"), ("kv", "assign")]))]
pub(super) struct ListSpec {
    /// What stands between the elements; `[ ,]` means any one of these characters.
    #[serde(alias = "sep")]
    pub(super) separator: String,
    /// What stands between the name and the value of an element.
    #[serde(alias = "kv")]
    pub(super) assign: Option<String>,
    /// The name of the elements that are signatures; `ctx:label` takes it from the configuration.
    pub(super) field: Option<String>,
    /// Drop white space around the elements.
    #[serde(default)]
    pub(super) trim: bool,
    /// Names that must be there, with one value only.
    #[serde(default)]
    pub(super) unique: Vec<String>,
    /// Elements have no names: the first one is `t`, the others are signatures.
    #[serde(default)]
    pub(super) positional: bool,
}

/// When the message was signed.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = short_names(&[("source", "from")]))]
pub(super) struct TimestampSpec {
    /// The header that holds it.
    pub(super) header: Option<String>,
    /// Or another place: `sig:t`, `json:/p`, `header:A|B`.
    #[serde(alias = "source")]
    pub(super) from: Option<String>,
    /// How it is written: s (default), ms, auto (s or ms), rfc3339, rfc3339-utc (no zone: UTC), http-date.
    #[serde(default)]
    pub(super) unit: Unit,
    /// How far it may lie from our clock, to either side: `5m` (default), or `none`.
    pub(super) tolerance: Option<Tolerance>,
    /// The catalogue's short form: seconds as a bare number.
    #[serde(default, deserialize_with = "tolerance_in_seconds")]
    #[schemars(with = "Option<u64>", extend("doNotSuggest" = true))]
    pub(super) tol: Option<Tolerance>,
    /// False when the provider's own SDK enforces no window, so that ours is a policy of the gateway.
    #[serde(default = "yes")]
    pub(super) sdk_window: bool,
}

/// How a moment is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Unit {
    #[default]
    S,
    Ms,
    Auto,
    /// A date with its zone.
    Rfc3339,
    /// The same without a zone, which stands for UTC.
    #[serde(rename = "rfc3339-utc")]
    Rfc3339Utc,
    HttpDate,
}

/// The id that `{id}` stands for.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = short_names(&[("source", "from")]))]
pub(super) struct IdSpec {
    /// The header that holds it.
    pub(super) header: Option<String>,
    /// Or another place, as in `header:X`.
    #[serde(alias = "source")]
    pub(super) from: Option<String>,
}

/// Conditions under which a block applies; all that are written must hold.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = short_names(&[("re", "matches")]))]
pub(super) struct WhenSpec {
    /// This header is there.
    pub(super) header: Option<String>,
    /// And has this value.
    pub(super) is: Option<Scalar>,
    /// And matches this regular expression as a whole.
    #[serde(alias = "re")]
    pub(super) matches: Option<String>,
    /// This header is not there.
    pub(super) header_absent: Option<String>,
    /// The media type of the body.
    pub(super) content_type: Option<String>,
    /// This query parameter is there.
    pub(super) query: Option<String>,
    /// This query parameter is not there.
    pub(super) query_absent: Option<String>,
    /// The body is empty.
    #[serde(default)]
    pub(super) no_body: bool,
}

/// Where the public keys are fetched.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct KeysSpec {
    /// The URL, as a template over `{header:…}`, `{json:/…}`, `{ctx:…}` and `{kid}`.
    pub(super) url: String,
    /// The hosts that it may lead to: `a.example.com`, or `*.example.com` and what lies deeper, or `a.*.example.com`.
    pub(super) hosts: OneOrMany<String>,
    /// What the URL must end with.
    pub(super) ending: Option<String>,
    /// pem | x509 | jwks
    pub(super) form: KeyFormSpec,
    /// The JSON pointer to the key, when the answer is JSON around it.
    pub(super) at: Option<String>,
    /// Names of which a certificate must have one; the hosts, when nothing is said.
    #[serde(default)]
    pub(super) names: Vec<String>,
    /// Members of a JSON body that is posted to the URL.
    #[serde(default)]
    pub(super) post: BTreeMap<String, String>,
    /// An access token that is needed first.
    pub(super) token: Option<TokenSpec>,
}

/// How the keys are written that are fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum KeyFormSpec {
    /// A public key.
    Pem,
    /// A certificate.
    X509,
    /// A JWK or a JWK set.
    #[serde(alias = "jwk")]
    Jwks,
}

/// An access token for client credentials.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenSpec {
    /// Where it is had.
    pub(super) url: String,
    /// As a template over `{ctx:…}`.
    pub(super) client_id: String,
    /// As a template over `{ctx:…}`.
    pub(super) client_secret: String,
    /// The scope that is asked for.
    pub(super) scope: String,
}

const fn yes() -> bool {
    true
}

impl VerifySpec {
    /// Returns kind and algorithm of every block, in a few words.
    pub(super) fn summary(&self) -> String {
        let mut ways: Vec<String> = Vec::new();
        for block in &self.blocks.0 {
            let way = block.summary();
            if !ways.contains(&way) {
                ways.push(way);
            }
        }
        ways.join(" or ")
    }
}

impl BlockSpec {
    fn summary(&self) -> String {
        let written = self.algorithm.iter().flat_map(|algorithms| &algorithms.0);
        let algorithm = written.map(|algorithm| algorithm.word()).collect::<Vec<_>>().join(", ");
        match self.kind {
            Kind::Hmac => format!("hmac {algorithm}"),
            Kind::Digest => format!("digest {algorithm}"),
            Kind::Signature => algorithm,
            Kind::Jwt => format!("jwt {algorithm}"),
            Kind::Token => "token".to_owned(),
            Kind::Code => "code".to_owned(),
            Kind::None => "nothing".to_owned(),
        }
    }
}
