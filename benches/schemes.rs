//! The cost of verification for every kind of scheme, with bodies of 1 KiB and 8 KiB, and the share of the bare hash.
//!
//! First criterion's figures, one per scheme and size. Then the ratio of the engine to `hmac` and `sha2` alone over the
//! same body, taken in turns within one run and as the median of many rounds, because absolute figures move with the
//! machine and its neighbours. The aim for HMAC-SHA256 over 8 KiB is 1.10 at most.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark stops at the first surprise, measures time and tells what it found"
)]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};
use ed25519_dalek::Signer as _;
use hmac::{Hmac, KeyInit, Mac};
use hookgate::clock::Timestamp;
use hookgate::provider::{Message, Scheme, SignRequest, Verifier, VerifySpec, builtin};
use hookgate::secret::{Secret, SecretName};
use http::{HeaderMap, HeaderName, HeaderValue};
use p256::pkcs8::{EncodePublicKey, LineEnding};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const NOW: u64 = 1_760_000_000;
const URL: &str = "https://hooks.example.com/in/x?a=1";
const SIZES: [(&str, usize); 2] = [("1KiB", 1024), ("8KiB", 8192)];
/// A key for this benchmark only.
const RSA_KEY: &[u8] = include_bytes!("rsa2048.pk8");
const RSA_PUBLIC: &str = include_str!("rsa2048.pem");

/// A scheme with its key, and a valid request.
struct Case {
    verifier: Verifier,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Case {
    fn message(&self) -> Message<'_> {
        Message { method: "POST", url: URL, headers: &self.headers, body: &self.body }
    }

    fn verify(&self) -> bool {
        self.verifier.verify(black_box(&self.message()), Timestamp::from_unix_secs(NOW)).is_ok()
    }
}

fn verifier(scheme: Scheme, secret: &str, context: &[(&str, &str)]) -> Verifier {
    let secret = Secret::new(SecretName::new("a"), secret.as_bytes().to_vec()).expect("not empty");
    let context: BTreeMap<String, String> = context.iter().map(|(name, it)| ((*name).into(), (*it).into())).collect();
    Verifier::new(scheme, vec![secret], context).expect("a usable key")
}

fn shipped(row: &str) -> Scheme {
    builtin().get(row).expect("a built-in row").scheme().clone()
}

fn written(yaml: &str) -> Scheme {
    let written: VerifySpec = serde_yaml::from_str(yaml).expect("a scheme");
    Scheme::compile(&written).expect("a sound scheme")
}

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let name = |name: &str| HeaderName::from_bytes(name.as_bytes()).expect("a name");
    pairs.iter().map(|(it, value)| (name(it), HeaderValue::from_str(value).expect("a value"))).collect()
}

/// Returns a JSON event of about this size.
fn event(size: usize) -> Vec<u8> {
    let filling = "x".repeat(size.saturating_sub(40));
    json!({"id": "evt_1", "type": "order.paid", "data": filling}).to_string().into_bytes()
}

/// Returns the case of a scheme that the engine can sign itself.
fn signed(scheme: Scheme, secret: &str, kind: &str, body: Vec<u8>) -> Case {
    let verifier = verifier(scheme, secret, &[]);
    let mut headers = headers(&[("content-type", kind)]);
    let message = Message { method: "POST", url: URL, headers: &headers, body: &body };
    let request = SignRequest { message, id: "msg_1", now: Timestamp::from_unix_secs(NOW) };
    headers.extend(verifier.sign(&request).expect("a scheme that can be signed"));
    Case { verifier, headers, body }
}

fn form(size: usize) -> Vec<u8> {
    let fields = (0..size / 32).map(|number| format!("Field{number:04}=value+{number:013}"));
    fields.collect::<Vec<_>>().join("&").into_bytes()
}

/// Returns a case of Adyen, where every item of the list has its own signature.
fn adyen(size: usize) -> Case {
    let key = [7; 32];
    let items = (0..size / 512).map(|number| {
        let (reference, text) =
            (format!("8835{number:012}"), format!("8835{number:012}::Shop:order-{number}:1999:EUR:AUTHORISATION:true"));
        let signature = BASE64.encode(&hmac_sha256(&key, text.as_bytes()));
        json!({"NotificationRequestItem": {
            "pspReference": reference, "merchantAccountCode": "Shop", "merchantReference": format!("order-{number}"),
            "amount": {"value": 1999, "currency": "EUR"}, "eventCode": "AUTHORISATION", "success": "true",
            "additionalData": {"hmacSignature": signature, "filling": "x".repeat(190)},
        }})
    });
    let body = json!({"live": "false", "notificationItems": items.collect::<Vec<Value>>()}).to_string().into_bytes();
    let verifier = verifier(shipped("adyen"), &HEXLOWER.encode(&key), &[]);
    Case { verifier, headers: headers(&[("content-type", "application/json")]), body }
}

fn hmac_sha256(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

fn discord(body: Vec<u8>) -> Case {
    let key = ed25519_dalek::SigningKey::from_bytes(&[1; 32]);
    let signature = key.sign(&[NOW.to_string().as_bytes(), &body].concat()).to_bytes();
    let verifier = verifier(shipped("discord"), &HEXLOWER.encode(key.verifying_key().as_bytes()), &[]);
    let (signature, time) = (HEXLOWER.encode(&signature), NOW.to_string());
    Case { verifier, headers: headers(&[("x-signature-ed25519", &signature), ("x-signature-timestamp", &time)]), body }
}

fn p256_key() -> p256::ecdsa::SigningKey {
    p256::ecdsa::SigningKey::from_slice(&[1; 32]).expect("a key")
}

fn sendgrid(body: Vec<u8>) -> Case {
    let key = p256_key();
    let signature: p256::ecdsa::Signature = key.sign(&[NOW.to_string().as_bytes(), &body].concat());
    let public = key.verifying_key().to_public_key_der().expect("a public key");
    let verifier = verifier(shipped("sendgrid"), &BASE64.encode(public.as_bytes()), &[]);
    let (signature, time) = (BASE64.encode(signature.to_der().as_bytes()), NOW.to_string());
    let name = "x-twilio-email-event-webhook";
    let (one, other) = (format!("{name}-signature"), format!("{name}-timestamp"));
    Case { verifier, headers: headers(&[(&one, &signature), (&other, &time)]), body }
}

fn rsa_sign(text: &[u8]) -> Vec<u8> {
    let key = ring::signature::RsaKeyPair::from_pkcs8(RSA_KEY).expect("a key");
    let mut signature = vec![0; key.public().modulus_len()];
    let random = ring::rand::SystemRandom::new();
    key.sign(&ring::signature::RSA_PKCS1_SHA256, &random, text, &mut signature).expect("a signature");
    signature
}

fn rsa(body: Vec<u8>) -> Case {
    let scheme = "{type: signature, algorithm: rsa-sha256, header: x-s, encoding: base64, signed: '{body}'}";
    let signature = BASE64.encode(&rsa_sign(&body));
    Case { verifier: verifier(written(scheme), RSA_PUBLIC, &[]), headers: headers(&[("x-s", &signature)]), body }
}

/// Returns a case with a token whose claim is the hash of the body.
fn jwt(algorithm: &str, body: Vec<u8>) -> Case {
    let scheme = format!(
        "{{type: jwt, from: 'header:authorization', algorithm: {algorithm}, claims: {{sha256: '{{body|sha256hex}}'}}, \
         max_age: 5m}}"
    );
    let head = json!({"alg": algorithm, "typ": "JWT"}).to_string();
    let claims = json!({"iat": NOW, "iss": "x", "sha256": HEXLOWER.encode(&Sha256::digest(&body))}).to_string();
    let text = format!("{}.{}", BASE64URL_NOPAD.encode(head.as_bytes()), BASE64URL_NOPAD.encode(claims.as_bytes()));
    let secret = "a secret that is long enough".to_owned();
    let (key, signature) = match algorithm {
        "HS256" => (secret.clone(), hmac_sha256(secret.as_bytes(), text.as_bytes())),
        "ES256" => {
            let signature: p256::ecdsa::Signature = p256_key().sign(text.as_bytes());
            let public = p256_key().verifying_key().to_public_key_pem(LineEnding::LF).expect("a public key");
            (public, signature.to_bytes().to_vec())
        }
        _ => (RSA_PUBLIC.to_owned(), rsa_sign(text.as_bytes())),
    };
    let token = format!("{text}.{}", BASE64URL_NOPAD.encode(&signature));
    Case { verifier: verifier(written(&scheme), &key, &[]), headers: headers(&[("authorization", &token)]), body }
}

fn cases(size: usize) -> Vec<(&'static str, Case)> {
    let json = "application/json";
    let plain = |row: &str| signed(shipped(row), "whsec_c2VjcmV0IG51bWJlciBvbmU=", json, event(size));
    let form_type = "application/x-www-form-urlencoded";
    vec![
        ("token (gitlab)", plain("gitlab")),
        ("hmac sha256 (github)", plain("github")),
        ("hmac sha256, base64 (shopify)", plain("shopify")),
        ("hmac sha256, time (slack)", plain("slack")),
        ("hmac sha256, list (stripe)", plain("stripe")),
        ("hmac sha256, list and id (standardwebhooks)", plain("standardwebhooks")),
        ("hmac sha256, each item (adyen)", adyen(size)),
        ("hmac sha1 (vercel)", plain("vercel")),
        ("hmac sha1, form and URL (twilio)", signed(shipped("twilio"), "12345", form_type, form(size))),
        ("hmac sha512 (paystack)", plain("paystack")),
        ("digest sha256 (hubspot v1)", {
            let scheme = "{type: digest, algorithm: sha256, header: x-s, encoding: hex, signed: '{secret}{body}'}";
            signed(written(scheme), "secret", json, event(size))
        }),
        ("jwt HS256", jwt("HS256", event(size))),
        ("jwt ES256", jwt("ES256", event(size))),
        ("jwt RS256", jwt("RS256", event(size))),
        ("ed25519 (discord)", discord(event(size))),
        ("ecdsa p256 (sendgrid)", sendgrid(event(size))),
        ("rsa-sha256, 2048 bits", rsa(event(size))),
    ]
}

fn schemes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("schemes");
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1)).sample_size(30);
    for (shown, size) in SIZES {
        for (name, case) in cases(size) {
            assert!(case.verify(), "{name} does not verify");
            group.throughput(Throughput::Bytes(case.body.len() as u64));
            group.bench_function(BenchmarkId::new(name, shown), |bench| bench.iter(|| case.verify()));
        }
    }
    group.finish();
}

/// Measures the time of `times` calls.
fn time(times: u32, mut call: impl FnMut() -> bool) -> f64 {
    let start = Instant::now();
    for _ in 0..times {
        assert!(black_box(call()), "what is measured verifies");
    }
    start.elapsed().as_secs_f64() / f64::from(times)
}

/// Measures the engine against the bare hash over the same body, in turns.
fn ratio(_: &mut Criterion) {
    const ROUNDS: usize = 301;
    // `cargo bench --bench schemes -- jwt` selects schemes, so the ratio is left out.
    if std::env::args().skip(1).any(|argument| !argument.starts_with('-')) {
        return;
    }
    let key = b"whsec_c2VjcmV0IG51bWJlciBvbmU=";
    let expanded = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
    println!("\nHMAC-SHA256 against bare hmac and sha2 over the same body, medians of {ROUNDS} rounds:");
    for (shown, size) in SIZES {
        let body = event(size);
        let tag = hmac_sha256(key, &body);
        let bare = || {
            let mut mac = expanded.clone();
            mac.update(black_box(&body));
            mac.verify_slice(&tag).is_ok()
        };
        for row in ["github", "shopify", "slack", "stripe", "standardwebhooks"] {
            let case = signed(shipped(row), "whsec_c2VjcmV0IG51bWJlciBvbmU=", "application/json", body.clone());
            let rounds = (0..ROUNDS).map(|_| (time(200, bare), time(200, || case.verify())));
            let mut rounds: Vec<(f64, f64)> = rounds.collect();
            rounds.sort_by(|one, other| (one.1 / one.0).total_cmp(&(other.1 / other.0)));
            let (bare, engine) = rounds[ROUNDS / 2];
            let (low, high) = (rounds[ROUNDS / 10], rounds[ROUNDS * 9 / 10]);
            println!(
                "{shown} {row:10} bare {:6.2} µs, engine {:6.2} µs, ratio {:.3} ({:.3}–{:.3})",
                bare * 1e6,
                engine * 1e6,
                engine / bare,
                low.1 / low.0,
                high.1 / high.0
            );
        }
    }
}

criterion_group!(all, ratio, schemes);
criterion_main!(all);
