//! Twilio: a signature over the URL and the sorted form, or over the URL with the hash of the body in it; shared keys
//! use another hash.

use hookgate::provider::Verifier;
use rand::RngExt;
use rand::rngs::StdRng;
use sha2::{Digest, Sha256};

use super::{Hash, Shared, json, verifier};
use crate::codec::{base64, form, from_base64, hex};
use crate::oracle::{Claim, Draft, Hand, Law, Signed};
use crate::request::Request;

const SIGNATURE: &str = "X-Twilio-Signature";
const SETTINGS: &str = "X-Twilio-Webhooks-Signature-Settings";
const FORM: &str = "application/x-www-form-urlencoded";
const HASH: &str = "bodySHA256";

pub(super) struct Twilio {
    keys: Shared,
}

/// The kind of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Form,
    SharedKey,
    Json,
    Empty,
}

impl Twilio {
    pub(super) fn new() -> Self {
        let secrets = ["c2VjcmV0IG9uZQ==", "the older token"];
        let keys = Shared {
            verifier: verifier("twilio", &secrets, &[]),
            keys: secrets.map(|secret| secret.as_bytes().to_vec()),
            other_reading: b"secret one".to_vec(),
            other_hash: Hash::Sha512,
        };
        Self { keys }
    }

    /// Reads a request of a kind; `None` when the request is of another kind.
    fn claim(kind: Kind, request: &Request) -> Option<Claim> {
        let hash = if kind == Kind::SharedKey { Hash::Sha256 } else { Hash::Sha1 };
        let media = || media_type(request);
        let query = query(&request.url);
        let hashes: Vec<&str> =
            query.iter().filter(|(name, _)| name == HASH).map(|(_, value)| value.as_str()).collect();
        let has_form = || media().is_some_and(|it| it == FORM) || (request.body.is_empty() && media().is_some());
        let fits = match kind {
            Kind::Form => {
                hashes.is_empty() && request.count(SETTINGS) == 0 && media().is_some_and(|media| media == FORM)
            }
            Kind::SharedKey => hashes.is_empty() && is_shared_key(request.single_text(SETTINGS)?) && has_form(),
            Kind::Json => hashes == [hex(&Sha256::digest(&request.body)).as_str()],
            Kind::Empty => hashes.is_empty() && request.body.is_empty(),
        };
        let signature = from_base64(request.single_text(SIGNATURE)?.as_bytes())?;
        if !fits || signature.len() != hash.bytes() {
            return None;
        }
        let is_form = matches!(kind, Kind::Form | Kind::SharedKey);
        if is_form && !form(&request.body).iter().all(|(name, _)| is_name(name)) {
            return None;
        }
        let tail = if is_form { sorted(&request.body) } else { Vec::new() };
        let urls = std::iter::once(request.url.clone()).chain(other_port(&request.url));
        let texts = urls.map(|url| [url.as_bytes(), &tail].concat()).collect();
        Some(Claim { texts, signatures: vec![signature], window_ms: 0..=u64::MAX })
    }
}

/// Returns the media type: `None` when the header is repeated, an empty text when it is absent or not text.
fn media_type(request: &Request) -> Option<String> {
    if request.count("Content-Type") == 0 {
        return Some(String::new());
    }
    let value = request.single("Content-Type")?;
    let text = std::str::from_utf8(value).unwrap_or_default();
    Some(text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

fn is_shared_key(settings: &str) -> bool {
    let name = settings.strip_prefix("key=").and_then(|rest| rest.strip_suffix(",algorithm=HMAC_SHA256"));
    name.is_some_and(|name| !name.is_empty() && name.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'_'))
}

fn query(url: &str) -> Vec<(String, String)> {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    form(query.split('#').next().unwrap_or_default().as_bytes())
}

/// Returns whether Twilio sends fields of this name: visible ASCII. Nothing separates a name from its value.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Returns the form's signed text: every pair once, in byte order, name then value.
fn sorted(body: &[u8]) -> Vec<u8> {
    let mut pairs = form(body);
    pairs.sort();
    pairs.dedup();
    pairs.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()].concat()).collect()
}

/// Returns the URL with its default port added or removed.
fn other_port(url: &str) -> Option<String> {
    let (scheme, port) = if url.starts_with("https://") { ("https://", ":443") } else { ("http://", ":80") };
    let rest = url.strip_prefix(scheme)?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, tail) = rest.split_at(end);
    let bare = host.strip_suffix(port);
    if bare.is_none() && host.contains(':') && !host.ends_with(']') {
        return None;
    }
    Some(bare.map_or_else(|| format!("{scheme}{host}{port}{tail}"), |bare| format!("{scheme}{bare}{tail}")))
}

impl Law for Twilio {
    fn name(&self) -> &'static str {
        "twilio"
    }

    fn verifier(&self) -> &Verifier {
        &self.keys.verifier
    }

    fn headers(&self) -> &'static [&'static str] {
        &[SIGNATURE, "Content-Type", SETTINGS]
    }

    fn body(&self, rng: &mut StdRng) -> Vec<u8> {
        let (one, two): (u16, u8) = (rng.random(), rng.random());
        let bodies = [
            format!("From=%2B1555{one}&To=%2B1{two}&Body=caf%C3%A9+{one}&MediaUrl=a&MediaUrl=b").into_bytes(),
            json(rng),
            Vec::new(),
        ];
        bodies[rng.random_range(0..3_usize)].clone()
    }

    fn sign(&self, draft: &Draft, hand: Hand, rng: &mut StdRng) -> (Request, Vec<Signed>) {
        let hand = if hand == Hand::Both { Hand::Provider(1) } else { hand };
        let kind = match draft.body.first() {
            None => Kind::Empty,
            Some(b'{') => Kind::Json,
            Some(_) if rng.random() => Kind::SharedKey,
            Some(_) => Kind::Form,
        };
        let port = ["", ":443", ":8443"][rng.random_range(0..3_usize)];
        let mut url = format!("https://hooks.example.com{port}/in/twilio?n={}", draft.id);
        if kind == Kind::Json {
            url = format!("{url}&{HASH}={}", hex(&Sha256::digest(&draft.body)));
        }
        let has_form = matches!(kind, Kind::Form | Kind::SharedKey);
        let tail = if has_form { sorted(&draft.body) } else { Vec::new() };
        let text = [url.as_bytes(), &tail].concat();
        let hash = if kind == Kind::SharedKey { Hash::Sha256 } else { Hash::Sha1 };
        let macs = self.keys.macs(hash, hand, &text);
        let written = base64(&macs[0]);
        let mut headers = vec![(SIGNATURE, written.as_str())];
        if kind == Kind::SharedKey {
            headers.push((SETTINGS, "key=main_1,algorithm=HMAC_SHA256"));
        }
        if kind != Kind::Empty {
            headers.push(("Content-Type", if has_form { FORM } else { "application/json" }));
        }
        (Request::new(&url, &headers, &draft.body, draft.at), vec![Signed { text, signatures: macs }])
    }

    fn read(&self, request: &Request) -> Vec<Claim> {
        let kinds = [Kind::Form, Kind::SharedKey, Kind::Json, Kind::Empty];
        kinds.into_iter().filter_map(|kind| Self::claim(kind, request)).collect()
    }

    fn change(&self, request: &mut Request, rng: &mut StdRng) {
        match rng.random_range(0..6_u8) {
            0 => request.url = request.url.replace(HASH, "bodysha256"),
            1 => request.url = format!("{}&{HASH}={}", request.url, hex(&Sha256::digest(&request.body))),
            2 => request.set("Content-Type", b"application/json".to_vec()),
            3 => request.set("Content-Type", format!("{FORM}; charset=UTF-8").into_bytes()),
            4 => request.set(SETTINGS, b"key=main_1,algorithm=HMAC_SHA256".to_vec()),
            _ => request.headers.retain(|(name, _)| name != SETTINGS),
        }
    }
}
