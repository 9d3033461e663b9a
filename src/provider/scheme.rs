//! The written form of a verification scheme, as it stands in a provider's row and under `verify:` in routes.yaml.
//!
//! serde reads this form: names, texts and numbers with their units, nothing resolved. `compile.rs` turns it into a
//! checked [`Scheme`](super::Scheme). Long names are canonical; the catalogue's short ones are aliases. Lists that may
//! be written as a single item are read by a visitor (`yaml_forms.rs`), so that errors keep their place and reason.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::algorithm::Algorithm;
use super::special::Special;
use super::yaml_forms::{OneOrMany, TextOrNumber, TimeSpan, Tolerance, short_names, tolerance_in_seconds};

/// One block, or a list of blocks that are tried in order.
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
    /// The kind of proof: hmac | digest | signature | token | jwt | code | none
    #[serde(rename = "type")]
    pub(super) kind: SchemeKind,
    /// The hash or signature algorithm; never taken from the request.
    #[serde(alias = "alg")]
    pub(super) algorithm: Option<OneOrMany<Algorithm>>,
    /// The conversion of the secret's text into a key: utf8 (default), base64, hex, whsec, v1-whsec, sha1, sha256,
    /// nfkd, `strip:<regex>`. For public keys: pem (default), x509 (a certificate), jwk, any (of these three), spki-b64,
    /// raw-hex, raw-b64.
    pub(super) key: Option<String>,
    /// The header that holds the signature or token; short for `signature: {header: …}`.
    pub(super) header: Option<String>,
    /// The place of the signatures.
    #[serde(alias = "sig")]
    pub(super) signature: Option<SignatureSpec>,
    /// The form of a list of signatures.
    #[serde(alias = "parse")]
    pub(super) list: Option<ListSpec>,
    /// The text in front of the signature or token. The text is required, and is removed.
    pub(super) prefix: Option<String>,
    /// The encoding of the signature.
    #[serde(alias = "enc")]
    pub(super) encoding: Option<Encoding>,
    /// The signed text, as a template such as `{ts}.{body}`, or several alternatives.
    #[serde(alias = "msg")]
    pub(super) signed: Option<OneOrMany<String>>,
    /// The one value of `signed` that may hold the text that separates it from the next: `json:/reference`. A message
    /// in which another value holds that text is refused, because another message could have the same signed text.
    /// Body, URL and form may always hold it.
    pub(super) may_hold_separator: Option<String>,
    /// A hash of the text, which is signed in place of the text. The signature algorithm hashes it again.
    pub(super) prehash: Option<Algorithm>,
    /// The time of the signature, and its maximum age.
    #[serde(alias = "ts")]
    pub(super) timestamp: Option<TimestampSpec>,
    /// The id that `{id}` stands for.
    pub(super) id: Option<IdSpec>,
    /// The path, such as `/items/*`, of the elements in the JSON body that carry signatures of their own.
    pub(super) each: Option<String>,
    /// `true`: the first signature belongs to the first secret, the second to the second. Default: false.
    #[serde(default)]
    pub(super) pair: bool,
    /// The conditions under which this block applies.
    pub(super) when: Option<WhenSpec>,
    /// Headers, each with the exact value that it must have.
    #[serde(default)]
    pub(super) require: BTreeMap<String, TextOrNumber>,
    /// Headers, each with a regular expression that its whole value must match.
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
    /// Labels of the source's `context`, each with a template that must give a value under that label. They tell whose
    /// message it is if one key signs for all customers of a provider. Several values are separated by spaces or
    /// commas; `*` is any.
    #[serde(default)]
    pub(super) bind: BTreeMap<String, String>,
    /// `true`: the body must be JSON. This is for hashes that allow length extension. Default: false.
    #[serde(default)]
    pub(super) json_body: bool,
    /// `true`: the public URL is tried with and without its default port. Default: false.
    #[serde(default)]
    pub(super) url_ports: bool,
    /// The place of a token: `header:X`, `query:q`, `json:/p`, `form:f`.
    #[serde(alias = "source")]
    pub(super) from: Option<String>,
    /// The wrapping of a token. `basic`: the token is `user:password` in HTTP basic authentication.
    pub(super) scheme: Option<TokenScheme>,
    /// Claims of a JWT, each with a template for its value. `?name` may be absent if there is no body.
    #[serde(default)]
    pub(super) claims: BTreeMap<String, String>,
    /// Claims that a JWT must have, with any value.
    #[serde(default)]
    pub(super) require_claims: Vec<String>,
    /// `true`: a JWT must have an expiry time. Default: false.
    #[serde(default)]
    pub(super) require_exp: bool,
    /// The maximum age of a JWT.
    pub(super) max_age: Option<TimeSpan>,
    /// The maximum time ahead of the gateway's clock at which a JWT may have been issued. Default: `max_age`.
    pub(super) future: Option<TimeSpan>,
    /// The maximum difference of clocks for the times in a JWT. Default: none.
    pub(super) leeway: Option<TimeSpan>,
    /// The places of the public keys, which are fetched if none is configured; with `pair`, one place for each
    /// signature.
    pub(super) keys: Option<OneOrMany<KeysSpec>>,
    /// The name of the scheme for `type: code`.
    pub(super) code: Option<Special>,
    /// The reason why nothing is verified. `type: none` needs a reason.
    pub(super) reason: Option<String>,
}

/// The kind of proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum SchemeKind {
    /// A keyed hash.
    Hmac,
    /// A plain hash of text that includes the secret.
    Digest,
    /// A signature that a public key verifies.
    Signature,
    /// A fixed secret that is sent along.
    Token,
    /// A JSON Web Token whose claims tie it to the message.
    Jwt,
    /// A scheme that is written in code; `code` names it.
    Code,
    /// No proof: nothing is verified. A reason is required.
    None,
}

/// The encoding of bytes as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Encoding {
    Hex,
    Base64,
    Base64url,
    #[serde(rename = "base64(hex)")]
    Base64Hex,
}

/// The wrapping of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum TokenScheme {
    Basic,
}

/// The place of the signatures: exactly one of `header`, `any_header`, `numbered`, `from`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = short_names(&[("source", "from")]))]
pub(super) struct SignatureSpec {
    /// The header that holds the signatures.
    pub(super) header: Option<String>,
    /// More headers that may hold a signature too.
    #[serde(default)]
    pub(super) also: Vec<String>,
    /// Headers of which any may hold a signature.
    #[serde(default)]
    pub(super) any_header: Vec<String>,
    /// The prefix of numbered headers, `<prefix>1` to `<prefix><max>`.
    pub(super) numbered: Option<String>,
    /// The highest number of `numbered`, at most 100.
    pub(super) max: Option<u8>,
    /// Another place: `json:/p`, `form:f` or `query:q`.
    #[serde(alias = "source")]
    pub(super) from: Option<String>,
}

/// The form of a list of signatures.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = short_names(&[("sep", "separator"), ("kv", "assign")]))]
pub(super) struct ListSpec {
    /// The text between the elements; `[ ,]` means any one of these characters.
    #[serde(alias = "sep")]
    pub(super) separator: String,
    /// The text between the name and the value of an element.
    #[serde(alias = "kv")]
    pub(super) assign: Option<String>,
    /// The name of the elements that are signatures; `ctx:label` takes the name from the source's `context`.
    pub(super) field: Option<String>,
    /// `true`: white space around the elements is dropped. Default: false.
    #[serde(default)]
    pub(super) trim: bool,
    /// Names that must be present, each with one value only.
    #[serde(default)]
    pub(super) unique: Vec<String>,
    /// `true`: elements have no names; the first one is `t`, the others are signatures. Default: false.
    #[serde(default)]
    pub(super) positional: bool,
}

/// The time of the signature.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = short_names(&[("source", "from")]))]
pub(super) struct TimestampSpec {
    /// The header that holds the value.
    pub(super) header: Option<String>,
    /// Another place: `sig:t`, `json:/p`, `header:A|B`.
    #[serde(alias = "source")]
    pub(super) from: Option<String>,
    /// The form of the time: s (default), ms, auto (s or ms), rfc3339, rfc3339-utc (no zone: UTC), http-date.
    #[serde(default)]
    pub(super) unit: Unit,
    /// The maximum distance from the gateway's clock, to either side: `5m` (default), or `none`.
    pub(super) tolerance: Option<Tolerance>,
    /// The short form of `tolerance`: seconds as a bare number.
    #[serde(default, deserialize_with = "tolerance_in_seconds")]
    #[schemars(with = "Option<u64>", extend("doNotSuggest" = true))]
    pub(super) tol: Option<Tolerance>,
    /// `false`: the provider's own SDK enforces no window, so the window is a policy of the gateway. Default: true.
    #[serde(default = "yes")]
    pub(super) sdk_window: bool,
}

/// The form of a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Unit {
    #[default]
    S,
    Ms,
    Auto,
    /// A date with its zone.
    Rfc3339,
    /// A date without a zone, which stands for UTC.
    #[serde(rename = "rfc3339-utc")]
    Rfc3339Utc,
    HttpDate,
}

/// The id that `{id}` stands for.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = short_names(&[("source", "from")]))]
pub(super) struct IdSpec {
    /// The header that holds the value.
    pub(super) header: Option<String>,
    /// Another place, such as `header:X`.
    #[serde(alias = "source")]
    pub(super) from: Option<String>,
}

/// The conditions under which a block applies. All written conditions must hold.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = short_names(&[("re", "matches")]))]
pub(super) struct WhenSpec {
    /// A header that must be present.
    pub(super) header: Option<String>,
    /// The value that `header` must have.
    pub(super) is: Option<TextOrNumber>,
    /// The regular expression that the whole value of `header` must match.
    #[serde(alias = "re")]
    pub(super) matches: Option<String>,
    /// A header that must be absent.
    pub(super) header_absent: Option<String>,
    /// The media type that the body must have.
    pub(super) content_type: Option<String>,
    /// A query parameter that must be present.
    pub(super) query: Option<String>,
    /// A query parameter that must be absent.
    pub(super) query_absent: Option<String>,
    /// `true`: the body must be empty. Default: false.
    #[serde(default)]
    pub(super) no_body: bool,
}

/// The place from which the public keys are fetched.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct KeysSpec {
    /// The URL, as a template over `{header:…}`, `{json:/…}`, `{ctx:…}` and `{kid}`.
    pub(super) url: String,
    /// The hosts that the URL may lead to: `a.example.com`, or `*.example.com` (at any depth), or `a.*.example.com`.
    pub(super) hosts: OneOrMany<String>,
    /// The text with which the URL must end.
    pub(super) ending: Option<String>,
    /// The form of the keys: pem | x509 | jwks
    pub(super) form: KeyFormSpec,
    /// The JSON pointer to the key, for an answer that is JSON.
    pub(super) at: Option<String>,
    /// Names of which a certificate must have one. Default: `hosts`.
    #[serde(default)]
    pub(super) names: Vec<String>,
    /// Members of a JSON body that is posted to the URL.
    #[serde(default)]
    pub(super) post: BTreeMap<String, String>,
    /// The access token that the request for the keys needs.
    pub(super) token: Option<TokenSpec>,
}

/// The form of the fetched keys.
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
    /// The URL that gives the token.
    pub(super) url: String,
    /// The id of the client, as a template over `{ctx:…}`.
    pub(super) client_id: String,
    /// The secret of the client, as a template over `{ctx:…}`.
    pub(super) client_secret: String,
    /// The requested scope.
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
            SchemeKind::Hmac => format!("hmac {algorithm}"),
            SchemeKind::Digest => format!("digest {algorithm}"),
            SchemeKind::Signature => algorithm,
            SchemeKind::Jwt => format!("jwt {algorithm}"),
            SchemeKind::Token => "token".to_owned(),
            SchemeKind::Code => "code".to_owned(),
            SchemeKind::None => "nothing".to_owned(),
        }
    }
}
