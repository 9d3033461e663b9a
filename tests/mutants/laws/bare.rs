//! One signature in one header, over the body or over time and body: GitHub, Shopify, Slack.

use hookgate::provider::Verifier;
use rand::rngs::StdRng;

use super::{Hash, Shared, verifier};
use crate::codec::{base64, from_base64, from_hex, hex};
use crate::oracle::{Claim, Draft, Hand, Law, Signed, around, seconds};
use crate::request::Request;

const TIME: &str = "X-Slack-Request-Timestamp";

pub(super) struct Bare {
    name: &'static str,
    keys: Shared,
    headers: &'static [&'static str],
    prefix: &'static str,
    in_base64: bool,
    /// True when the signed text is `v0:<time>:<body>`.
    timed: bool,
}

fn shared(row: &str) -> Shared {
    // The first secret looks like one of Standard Webhooks; these schemes use it as text.
    let secrets = ["whsec_c2VjcmV0IG9uZQ==", "the older secret"];
    Shared {
        verifier: verifier(row, &secrets, &[]),
        keys: secrets.map(|secret| secret.as_bytes().to_vec()),
        other_reading: b"secret one".to_vec(),
        other_hash: Hash::Sha1,
    }
}

pub(super) fn github() -> Bare {
    Bare {
        name: "github",
        keys: shared("github"),
        headers: &["X-Hub-Signature-256"],
        prefix: "sha256=",
        in_base64: false,
        timed: false,
    }
}

pub(super) fn shopify() -> Bare {
    Bare {
        name: "shopify",
        keys: shared("shopify"),
        headers: &["X-Shopify-Hmac-Sha256"],
        prefix: "",
        in_base64: true,
        timed: false,
    }
}

pub(super) fn slack() -> Bare {
    Bare {
        name: "slack",
        keys: shared("slack"),
        headers: &["X-Slack-Signature", TIME],
        prefix: "v0=",
        in_base64: false,
        timed: true,
    }
}

impl Bare {
    fn text(&self, time: &[u8], body: &[u8]) -> Vec<u8> {
        if self.timed { [b"v0:", time, b":", body].concat() } else { body.to_vec() }
    }

    fn claim(&self, request: &Request) -> Option<Claim> {
        let time = if self.timed { request.single(TIME)? } else { b"" };
        let window_ms = if self.timed { around(seconds(time)?, 300)? } else { 0..=u64::MAX };
        let written = request.single_text(self.headers[0])?.strip_prefix(self.prefix)?.as_bytes();
        let signature = if self.in_base64 { from_base64(written) } else { from_hex(written) };
        let signatures = vec![signature.filter(|bytes| bytes.len() == Hash::Sha256.bytes())?];
        Some(Claim { texts: vec![self.text(time, &request.body)], signatures, window_ms })
    }
}

impl Law for Bare {
    fn name(&self) -> &'static str {
        self.name
    }

    fn verifier(&self) -> &Verifier {
        &self.keys.verifier
    }

    fn headers(&self) -> &'static [&'static str] {
        self.headers
    }

    fn sign(&self, draft: &Draft, hand: Hand, _: &mut StdRng) -> (Request, Vec<Signed>) {
        let time = draft.at.to_string();
        let text = self.text(time.as_bytes(), &draft.body);
        // One header has room for one signature.
        let hand = if hand == Hand::Both { Hand::Provider(0) } else { hand };
        let macs = self.keys.macs(Hash::Sha256, hand, &text);
        let written = if self.in_base64 { base64(&macs[0]) } else { hex(&macs[0]) };
        let written = format!("{}{written}", self.prefix);
        let mut headers = vec![("Content-Type", "application/json"), (self.headers[0], written.as_str())];
        if self.timed {
            headers.push((TIME, &time));
        }
        let request = Request::new("/in/x?a=1", &headers, &draft.body, draft.at);
        (request, vec![Signed { text, signatures: macs }])
    }

    fn read(&self, request: &Request) -> Vec<Claim> {
        self.claim(request).into_iter().collect()
    }
}
