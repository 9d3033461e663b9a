//! Signatures that a public key verifies, over time and body: Discord (Ed25519), SendGrid (ECDSA on P-256).

use std::ops::RangeInclusive;

use ed25519_dalek::Signer;
use hookgate::provider::Verifier;
use p256::ecdsa::signature::hazmat::PrehashSigner;
use p256::pkcs8::EncodePublicKey;
use rand::RngExt;
use rand::rngs::StdRng;
use sha2::{Digest, Sha256, Sha512};

use super::verifier;
use crate::codec::{base64, from_base64, from_der, from_hex, hex};
use crate::oracle::{Claim, Draft, Hand, Law, Signed, around, seconds};
use crate::request::Request;

pub(super) struct Public {
    verifier: Verifier,
    headers: &'static [&'static str],
    keys: Keys,
}

/// Two keys of the provider and one of a stranger.
enum Keys {
    Ed25519(Box<[ed25519_dalek::SigningKey; 3]>),
    P256(Box<[p256::ecdsa::SigningKey; 3]>),
}

pub(super) fn discord() -> Public {
    let keys = [[1; 32], [2; 32], [3; 32]].map(|seed| ed25519_dalek::SigningKey::from_bytes(&seed));
    let texts = [hex(keys[0].verifying_key().as_bytes()), hex(keys[1].verifying_key().as_bytes())];
    let verifier = verifier("discord", &[&texts[0], &texts[1]], &[]);
    let headers = &["X-Signature-Ed25519", "X-Signature-Timestamp"];
    Public { verifier, headers, keys: Keys::Ed25519(Box::new(keys)) }
}

pub(super) fn sendgrid() -> Public {
    let keys = [[1; 32], [2; 32], [3; 32]].map(|seed| p256::ecdsa::SigningKey::from_slice(&seed).unwrap());
    let text = |key: &p256::ecdsa::SigningKey| base64(key.verifying_key().to_public_key_der().unwrap().as_bytes());
    let verifier = verifier("sendgrid", &[&text(&keys[0]), &text(&keys[1])], &[]);
    let headers = &["X-Twilio-Email-Event-Webhook-Signature", "X-Twilio-Email-Event-Webhook-Timestamp"];
    Public { verifier, headers, keys: Keys::P256(Box::new(keys)) }
}

impl Public {
    fn claim(&self, request: &Request) -> Option<Claim> {
        let time = request.single(self.headers[1])?;
        let window_ms: RangeInclusive<u64> = around(seconds(time)?, 300)?;
        let written = request.single_text(self.headers[0])?.as_bytes();
        let signature = match self.keys {
            Keys::Ed25519(_) => from_hex(written)?,
            Keys::P256(_) => from_der(&from_base64(written)?)?,
        };
        Some(Claim { texts: vec![[time, &request.body].concat()], signatures: vec![signature], window_ms })
    }

    /// Returns the signature as in the header, and all signatures that are right for the text.
    fn signature(&self, hand: Hand, text: &[u8]) -> (String, Vec<Vec<u8>>) {
        let number = match hand {
            Hand::Provider(number) => number,
            Hand::Both | Hand::Empty | Hand::OtherAlgorithm => 0,
            Hand::Stranger | Hand::OtherReading => 2,
        };
        match &self.keys {
            Keys::Ed25519(keys) => {
                let mut signature = keys[number].sign(text).to_bytes();
                match hand {
                    // A signature that careless libraries accept with small-order points.
                    Hand::Empty => signature = [0; 64],
                    Hand::OtherReading => signature = std::array::from_fn(|at| u8::from(at == 0)),
                    Hand::OtherAlgorithm => signature = keys[0].sign(&Sha512::digest(text)).to_bytes(),
                    Hand::Provider(_) | Hand::Both | Hand::Stranger => {}
                }
                (hex(&signature), vec![signature.to_vec()])
            }
            Keys::P256(keys) => {
                let signature: p256::ecdsa::Signature = match hand {
                    Hand::OtherAlgorithm => keys[0].sign_prehash(&Sha512::digest(text)).unwrap(),
                    _ => keys[number].sign_prehash(&Sha256::digest(text)).unwrap(),
                };
                let mut der = signature.to_der().as_bytes().to_vec();
                match hand {
                    Hand::Empty => der = vec![0x30, 6, 2, 1, 0, 2, 1, 0],
                    Hand::OtherReading => der = signature.to_bytes().to_vec(),
                    Hand::Provider(_) | Hand::Both | Hand::Stranger | Hand::OtherAlgorithm => {}
                }
                // Both `s` and `n - s` are valid in ECDSA.
                let both = vec![signature.to_bytes().to_vec(), with_other_s(&signature).to_bytes().to_vec()];
                (base64(&der), both)
            }
        }
    }
}

fn with_other_s(signature: &p256::ecdsa::Signature) -> p256::ecdsa::Signature {
    let (r, s) = signature.split_scalars();
    p256::ecdsa::Signature::from_scalars(r.to_bytes(), (-*s).to_bytes()).unwrap()
}

impl Law for Public {
    fn name(&self) -> &'static str {
        if matches!(self.keys, Keys::P256(_)) { "sendgrid" } else { "discord" }
    }

    fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    fn headers(&self) -> &'static [&'static str] {
        self.headers
    }

    fn sign(&self, draft: &Draft, hand: Hand, _: &mut StdRng) -> (Request, Vec<Signed>) {
        let time = draft.at.to_string();
        let text = [time.as_bytes(), &draft.body].concat();
        let (written, signatures) = self.signature(hand, &text);
        let headers = [("Content-Type", "application/json"), (self.headers[0], &written), (self.headers[1], &time)];
        (Request::new("/in/x", &headers, &draft.body, draft.at), vec![Signed { text, signatures }])
    }

    fn read(&self, request: &Request) -> Vec<Claim> {
        self.claim(request).into_iter().collect()
    }

    fn change(&self, request: &mut Request, rng: &mut StdRng) {
        let Some(written) = request.single_text(self.headers[0]) else { return };
        let changed = match &self.keys {
            Keys::Ed25519(_) => return,
            Keys::P256(_) => {
                let der = from_base64(written.as_bytes()).and_then(|der| p256::ecdsa::Signature::from_der(&der).ok());
                let Some(signature) = der else { return };
                match rng.random_range(0..3_u8) {
                    0 => with_other_s(&signature).to_der().as_bytes().to_vec(),
                    1 => signature.to_bytes().to_vec(),
                    // A length in two bytes: valid BER, invalid DER.
                    _ => {
                        let mut ber = signature.to_der().as_bytes().to_vec();
                        ber.insert(1, 0x81);
                        ber
                    }
                }
            }
        };
        request.set(self.headers[0], base64(&changed).into_bytes());
    }
}
