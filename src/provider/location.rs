//! The places from which keys may be fetched, checked so that a fetch reaches nobody but the provider; and the answers.
//!
//! Invariants: https only, the default port, no user, no query, no escapes and no tricks in the path; the host is one
//! that the scheme pins. An answer is bounded, and a certificate is believed only within its dates and for a pinned
//! name. The chain of a certificate is not judged: the pinned host and the host's own certificate vouch for it.

use std::fmt;
use std::hash::{Hash, Hasher};

use serde_json::Value;
use x509_parser::extensions::GeneralName;
use x509_parser::time::ASN1Time;
use zeroize::Zeroizing;

use super::key::KeyFault;
use super::keyset::{KeySet, certificates};
use super::public::PublicKey;
use crate::clock::Timestamp;

const URL_BYTES_MAX: usize = 2048;

/// A place in the web from which keys may be fetched.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct KeyLocation {
    url: String,
    form: AnswerForm,
    request: KeyRequest,
}

/// The form of the answer at a place.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct AnswerForm {
    pub(super) kind: KeyKind,
    /// The JSON pointer to the key, when the answer is JSON around it.
    pub(super) at: Option<String>,
    /// Names of which a certificate must have one.
    pub(super) names: Vec<HostPin>,
}

/// The written form of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum KeyKind {
    Pem,
    X509,
    Jwks,
}

/// A host that keys may come from: `a.example.com`, `*.example.com` (and what lies deeper), or `a.*.example.com` with
/// one name for the star.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct HostPin(String);

/// The request to a place.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct KeyRequest {
    /// Members of a JSON body; without any, nothing is posted.
    pub(super) members: Vec<(String, Zeroizing<String>)>,
    pub(super) token: Option<TokenStep>,
}

/// The step before: a request for an access token by client credentials (RFC 6749, section 4.4).
#[derive(Clone, PartialEq, Eq)]
pub struct TokenStep {
    url: String,
    client_id: String,
    client_secret: Zeroizing<String>,
    scope: String,
}

impl HostPin {
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self(text.to_owned()));
        }
        let rest = text.strip_prefix("*.").unwrap_or(text);
        let named = rest.split('.').filter(|label| *label != "*").count() >= 2;
        let labels = rest.split('.').all(|label| label == "*" || is_label(label));
        (named && labels).then(|| Self(text.to_ascii_lowercase()))
    }

    /// Returns whether it is any host, for places that the operator chooses.
    pub(super) fn is_any(&self) -> bool {
        self.0 == "*"
    }

    pub(super) fn fits(&self, host: &str) -> bool {
        if self.is_any() {
            return host.contains('.');
        }
        let (deep, pattern) = self.0.strip_prefix("*.").map_or((false, self.0.as_str()), |rest| (true, rest));
        let mut host = host.rsplit('.');
        for wanted in pattern.rsplit('.') {
            match host.next() {
                Some(label) if wanted == "*" || label.eq_ignore_ascii_case(wanted) => {}
                _ => return false,
            }
        }
        host.next().is_some() == deep
    }
}

fn is_label(label: &str) -> bool {
    let plain = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    plain && !label.is_empty() && !label.starts_with('-') && !label.ends_with('-')
}

impl KeyLocation {
    /// Makes a place, if it is one of the provider's.
    pub(super) fn new(url: &str, hosts: &[HostPin], form: AnswerForm, request: KeyRequest) -> Option<Self> {
        let url = pinned(url, hosts)?;
        Some(Self { url, form, request })
    }

    /// Returns the URL: https, a pinned host, the default port.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the JSON that is posted; `None` if the URL is only read. The JSON holds secrets.
    pub fn post(&self) -> Option<Zeroizing<String>> {
        if self.request.members.is_empty() {
            return None;
        }
        let members = self.request.members.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str())));
        Some(Zeroizing::new(Value::Object(members.collect()).to_string()))
    }

    /// Returns the step before, if an access token is needed.
    pub fn token(&self) -> Option<&TokenStep> {
        self.request.token.as_ref()
    }

    /// Returns the keys in an answer that was fetched from here at `now`.
    pub fn read(&self, answer: &[u8], now: Timestamp) -> Result<KeySet, KeyFault> {
        if answer.len() > Self::BYTES_MAX {
            return Err(KeyFault::TooMany);
        }
        let Some(pointer) = &self.form.at else { return self.form.read(answer, now) };
        let unreadable = KeyFault::Unreadable("JSON with a key in it");
        let json: Value = serde_json::from_slice(answer).ok().ok_or(unreadable)?;
        match json.pointer(pointer) {
            Some(Value::String(text)) => self.form.read(text.as_bytes(), now),
            Some(value @ Value::Object(_)) if self.form.kind == KeyKind::Jwks => KeySet::from_jwks_value(value),
            _ => Err(unreadable),
        }
    }

    /// The largest answer that is read, in bytes.
    pub const BYTES_MAX: usize = 256 * 1024;
}

impl AnswerForm {
    fn read(&self, text: &[u8], now: Timestamp) -> Result<KeySet, KeyFault> {
        match self.kind {
            KeyKind::Pem => PublicKey::from_pem(text.trim_ascii()).map(KeySet::of),
            KeyKind::Jwks => KeySet::from_jwks(text),
            KeyKind::X509 => {
                self.believe(text, now)?;
                PublicKey::from_certificate(text).map(KeySet::of)
            }
        }
    }

    /// Checks that the first certificate is within its dates and has a pinned name.
    fn believe(&self, text: &[u8], now: Timestamp) -> Result<(), KeyFault> {
        const UNREADABLE: KeyFault = KeyFault::Unreadable("a PEM certificate");
        let ders = certificates(text).ok_or(UNREADABLE)?;
        let first = ders.first().and_then(|der| x509_parser::parse_x509_certificate(der).ok());
        let (_, certificate) = first.ok_or(UNREADABLE)?;
        let now = i64::try_from(now.unix_secs()).ok().and_then(|now| ASN1Time::from_timestamp(now).ok());
        if !now.is_some_and(|now| certificate.validity().is_valid_at(now)) {
            return Err(KeyFault::Expired);
        }
        let alternatives = certificate.subject_alternative_name().ok().flatten();
        let alternatives = alternatives.iter().flat_map(|extension| &extension.value.general_names);
        let mut names: Vec<&str> = alternatives
            .filter_map(|name| if let GeneralName::DNSName(name) = name { Some(*name) } else { None })
            .collect();
        if names.is_empty() {
            names.extend(certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok()));
        }
        let known = names.iter().any(|name| self.names.iter().any(|pin| pin.fits(name)));
        if known { Ok(()) } else { Err(KeyFault::OtherName) }
    }
}

/// Returns the URL with its host in lower case, if it is harmless and the host is pinned.
pub(super) fn pinned(url: &str, hosts: &[HostPin]) -> Option<String> {
    if url.len() > URL_BYTES_MAX {
        return None;
    }
    let rest = url.strip_prefix("https://")?;
    let (authority, path) = rest.split_once('/')?;
    let host = authority.strip_suffix(":443").unwrap_or(authority);
    let steps = path.split('/').all(|step| step != "." && step != "..");
    let labels = host.split('.').all(is_label);
    let fits = labels && steps && path.bytes().all(is_plain) && hosts.iter().any(|pin| pin.fits(host));
    fits.then(|| format!("https://{}/{path}", host.to_ascii_lowercase()))
}

/// Does as [`pinned`] for a URL that may have a query.
pub(super) fn pinned_with_query(url: &str, hosts: &[HostPin]) -> Option<String> {
    let Some((place, query)) = url.split_once('?') else { return pinned(url, hosts) };
    let plain = query.bytes().all(|byte| is_plain(byte) || matches!(byte, b'%' | b'@' | b'?'));
    (plain && url.len() <= URL_BYTES_MAX).then(|| pinned(place, hosts))?.map(|place| format!("{place}?{query}"))
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:/".contains(&byte)
}

impl TokenStep {
    /// Makes a place for tokens, if it is one of the provider's.
    pub(super) fn new(hosts: &[HostPin], [url, client_id, client_secret, scope]: [String; 4]) -> Option<Self> {
        Some(Self { url: pinned(&url, hosts)?, client_id, client_secret: Zeroizing::new(client_secret), scope })
    }

    /// Returns the URL of the token.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the value of the `Authorization` header.
    pub fn authorization(&self) -> Zeroizing<String> {
        let credentials = Zeroizing::new(format!("{}:{}", self.client_id, self.client_secret.as_str()));
        Zeroizing::new(format!("Basic {}", data_encoding::BASE64.encode(credentials.as_bytes())))
    }

    /// Returns the form that is posted.
    pub fn form(&self) -> String {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials").append_pair("scope", &self.scope);
        form.finish()
    }

    /// Returns the token in the answer.
    pub fn read(answer: &[u8]) -> Option<Zeroizing<String>> {
        let json: Value = serde_json::from_slice(answer).ok()?;
        json.get("access_token")?.as_str().map(|token| Zeroizing::new(token.to_owned()))
    }
}

impl Hash for KeyRequest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for (name, value) in &self.members {
            name.hash(state);
            value.as_str().hash(state);
        }
        self.token.hash(state);
    }
}

impl Hash for TokenStep {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.url.hash(state);
        self.client_id.hash(state);
    }
}

/// Shows the URL only, not the request.
impl fmt::Debug for KeyLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyLocation({})", self.url)
    }
}

/// Shows the URL only, not the secret.
impl fmt::Debug for TokenStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenStep({})", self.url)
    }
}

impl fmt::Debug for KeyRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Request(…)")
    }
}
