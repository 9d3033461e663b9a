//! Keys that are fetched: when they are asked for, where they may come from, and what is believed of an answer.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};
use ed25519_dalek::{Signer, SigningKey};
use http::HeaderMap;
use serde_json::{Value, json};

use super::laws::{NOW, headers, label, message, problem, scheme, secret};
use crate::provider::{
    Failure, KeyFault, KeyLocation, KeyRing, KeySet, KeyState, Message, NoKeys, Verifier, builtin, subscribe_url,
};

const SIGNED: &str = r#"
type: signature
algorithm: ed25519
key: jwk
header: x-s
encoding: hex
signed: "{body}"
keys: {url: "https://keys.example.com/{header:x-key}.json", hosts: keys.example.com, form: jwks}
"#;

#[derive(Debug, Default)]
struct Ring(HashMap<KeyLocation, KeyState>);

impl KeyRing for Ring {
    fn get(&self, at: &KeyLocation) -> KeyState {
        self.0.get(at).cloned().unwrap_or(KeyState::NotYet)
    }
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn jwk(key: &SigningKey, id: &str) -> Value {
    json!({"kty": "OKP", "crv": "Ed25519", "kid": id, "x": BASE64URL_NOPAD.encode(key.verifying_key().as_bytes())})
}

fn without_secrets(yaml: &str, context: &[(&str, &str)]) -> Verifier {
    let context = context.iter().map(|&(label, value)| (label.to_owned(), value.to_owned())).collect();
    Verifier::new(scheme(yaml), Vec::new(), context).unwrap()
}

fn absent(outcome: Result<crate::provider::Verified, Failure>) -> KeyLocation {
    match outcome {
        Err(Failure::KeyNotHere(location)) => *location,
        other => panic!("{other:?}"),
    }
}

fn signed_by(key: &SigningKey, name: &str) -> HeaderMap {
    headers(&[("x-key", name), ("x-s", &HEXLOWER.encode(&key.sign(b"x").to_bytes()))])
}

#[test]
fn a_key_that_is_not_here_is_asked_for_and_then_found() {
    let gateway = without_secrets(SIGNED, &[]);
    let headers = signed_by(&key(1), "a");
    let location = absent(gateway.verify(&message(&headers, b"x"), NOW));
    assert_eq!(location.url(), "https://keys.example.com/a.json");
    assert_eq!(Failure::KeyNotHere(Box::new(location.clone())).label(), "unknown_key");
    assert!(location.post().is_none() && location.token().is_none());

    let mut ring = Ring::default();
    let answer = json!({"keys": [jwk(&key(2), "2"), jwk(&key(1), "1")]}).to_string();
    ring.0.insert(location.clone(), KeyState::Here(Arc::new(location.read(answer.as_bytes(), NOW).unwrap())));
    let verified = gateway.verify_with(&message(&headers, b"x"), &ring, NOW).unwrap();
    assert_eq!(verified.secret().unwrap().as_str(), "fetched");
    assert!(verified.covers_body());
    assert_eq!(label(gateway.verify_with(&message(&headers, b"y"), &ring, NOW)), "wrong_secret_or_body");

    ring.0.insert(location, KeyState::Refused);
    assert_eq!(gateway.verify_with(&message(&headers, b"x"), &ring, NOW).unwrap_err(), Failure::UnknownKey);
}

#[test]
fn nothing_is_asked_for_before_there_is_a_signature() {
    let gateway = without_secrets(SIGNED, &[]);
    let unsigned = headers(&[("x-key", "a")]);
    assert_eq!(label(gateway.verify(&message(&unsigned, b"x"), NOW)), "missing");
    let garbage = headers(&[("x-key", "a"), ("x-s", "zz")]);
    assert_eq!(label(gateway.verify(&message(&garbage, b"x"), NOW)), "malformed_header");
}

#[test]
fn configured_keys_win_and_the_place_is_checked_all_the_same() {
    let mine = jwk(&key(1), "1").to_string();
    let gateway = Verifier::new(scheme(SIGNED), vec![secret("mine", &mine)], BTreeMap::new()).unwrap();
    let headers = signed_by(&key(1), "a");
    assert_eq!(gateway.verify(&message(&headers, b"x"), NOW).unwrap().secret().unwrap().as_str(), "mine");
    let foreign = signed_by(&key(1), "../a");
    let failure = gateway.verify(&message(&foreign, b"x"), NOW).unwrap_err();
    assert_eq!(failure.to_string(), "header `x-key` names a place that is not the provider's");
    assert!(gateway.prefetch().is_empty());
}

#[test]
fn places_lead_to_pinned_hosts_only() {
    let whole = SIGNED.replace("https://keys.example.com/{header:x-key}.json", "{header:x-key}");
    let whole = whole.replace("hosts: keys.example.com", "hosts: ['*.example.com', 'a.*.example.org']");
    let gateway = without_secrets(&whole, &[]);
    let shown = [
        ("https://keys.example.com/a.pem", true),
        ("https://a.b.example.com:443/a_b~c-d/1,2;3=4", true),
        ("https://KEYS.example.com/a", true),
        ("https://a.b.example.org/a", true),
        ("https://a.b.c.example.org/a", false),
        ("https://below.a.b.example.org/a", false),
        ("https://b.a.example.org/a", false),
        ("https://example.com/a", false),
        ("https://keys.example.com", false),
        ("http://keys.example.com/a", false),
        ("HTTPS://keys.example.com/a", false),
        ("https://keys.example.com:8443/a", false),
        ("https://keys.example.com./a", false),
        ("https://keys.example.com.evil.example/a", false),
        ("https://evilexample.com/a", false),
        ("https://u@keys.example.com/a", false),
        ("https://evil.example/@keys.example.com/a", false),
        ("https://keys.example.com/a?b", false),
        ("https://keys.example.com/a#b", false),
        ("https://keys.example.com/a/../b", false),
        ("https://keys.example.com/a/./b", false),
        ("https://keys.example.com/%2e%2e/b", false),
        ("https://keys.example.com\\@evil.example/a", false),
        ("https://-.example.com/a", false),
        ("https://.example.com/a", false),
        ("//keys.example.com/a", false),
        ("", false),
    ];
    for (url, is_taken) in shown {
        let outcome = gateway.verify(&message(&signed_by(&key(1), url), b"x"), NOW);
        assert_eq!(matches!(outcome, Err(Failure::KeyNotHere(_))), is_taken, "{url}");
    }
    let long = format!("https://keys.example.com/{}", "a".repeat(2048));
    assert_eq!(label(gateway.verify(&message(&signed_by(&key(1), &long), b"x"), NOW)), "malformed_header");
}

#[test]
fn a_subscription_is_confirmed_at_its_own_service_only() {
    let query = "?Action=ConfirmSubscription&TopicArn=arn:aws:sns:eu-west-1:1:t&Token=ab12";
    let url = format!("https://sns.eu-west-1.amazonaws.com/{query}");
    assert_eq!(subscribe_url(&url), Some(url));
    for host in
        ["sns.eu-west-1.amazonaws.com.evil.example", "evil.example", "u@sns.eu-west-1.amazonaws.com", "localhost"]
    {
        assert_eq!(subscribe_url(&format!("https://{host}/{query}")), None, "{host}");
    }
    assert_eq!(subscribe_url("http://sns.eu-west-1.amazonaws.com/?a"), None);
    assert_eq!(subscribe_url("https://sns.eu-west-1.amazonaws.com/?a b"), None);
}

#[test]
fn places_that_are_known_at_the_start_are_said() {
    let urls = |row: &str, context: &[(&str, &str)]| -> Vec<String> {
        let context = context.iter().map(|&(label, value)| (label.to_owned(), value.to_owned())).collect();
        let scheme = builtin().get(row).unwrap().scheme().clone();
        let gateway = Verifier::new(scheme, Vec::new(), context).unwrap();
        gateway.prefetch().iter().map(|location| location.url().to_owned()).collect()
    };
    assert_eq!(urls("truelayer", &[]), ["https://webhooks.truelayer.com/.well-known/jwks"]);
    assert_eq!(urls("falai", &[]), ["https://rest.alpha.fal.ai/.well-known/jwks.json"]);
    let shop = [("domain", "shop.example.com")];
    assert_eq!(urls("saleor", &shop), ["https://shop.example.com/.well-known/jwks.json"]);
    assert_eq!(urls("saleor", &[("domain", "a.example.com@evil.example")]), [""; 0]);
    assert_eq!(urls("aws_sns", &[]), [""; 0]);
    assert_eq!(urls("ebay", &[("client id", "c"), ("client_secret", "s")]), [""; 0]);
}

#[test]
fn plaid_is_asked_by_post_with_the_id_of_the_key() {
    let text = std::fs::read_to_string(vectors().join("plaid.json")).unwrap_or_default();
    let Ok(cases) = serde_json::from_str::<Vec<Value>>(&text) else { return };
    let case = cases.iter().find(|case| case["expect"] == "valid").unwrap();
    let scheme = builtin().get("plaid").unwrap().scheme().clone();
    let context = [("client_id", "c1"), ("Secret", "s1")].map(|(label, value)| (label.to_owned(), value.to_owned()));
    let gateway = Verifier::new(scheme, Vec::new(), context.into()).unwrap();
    let token = case["headers"].as_array().unwrap().iter().find(|header| header[0] == "Plaid-Verification").unwrap();
    let headers = headers(&[("plaid-verification", token[1].as_str().unwrap())]);
    let body = BASE64.decode(case["body_base64"].as_str().unwrap().as_bytes()).unwrap();
    let message = Message { method: "POST", url: "/", headers: &headers, body: &body };
    let location = absent(gateway.verify(&message, NOW));
    let jwk: Value = serde_json::from_str(case["secrets"][0]["value"].as_str().unwrap()).unwrap();
    let posted: Value = serde_json::from_str(&location.post().unwrap()).unwrap();
    assert_eq!(posted, json!({"client_id": "c1", "secret": "s1", "key_id": jwk["kid"]}));
    assert!(!format!("{location:?}").contains("s1"));

    let read = |key: &Value| location.read(json!({"key": key, "request_id": "r"}).to_string().as_bytes(), NOW);
    let ring = Ring([(location.clone(), KeyState::Here(Arc::new(read(&jwk).unwrap())))].into());
    assert_eq!(label(gateway.verify_with(&message, &ring, NOW)), "verified");
    let mut expired = jwk;
    expired["expired_at"] = json!(1_759_999_999);
    assert_eq!(read(&expired).unwrap_err(), KeyFault::NotForSignatures);
}

fn vectors() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

#[test]
fn ebay_is_asked_with_an_access_token_that_is_had_first() {
    let scheme = builtin().get("ebay").unwrap().scheme().clone();
    let context =
        [("client_id", "c1"), ("client_secret", "s1")].map(|(label, value)| (label.to_owned(), value.to_owned()));
    let gateway = Verifier::new(scheme, Vec::new(), context.into()).unwrap();
    let header = |id: &str| {
        BASE64.encode(json!({"alg": "ecdsa", "kid": id, "signature": "AA==", "digest": "SHA1"}).to_string().as_bytes())
    };
    let asked = |id: &str| {
        let headers = headers(&[("x-ebay-signature", &header(id))]);
        gateway.verify(&message(&headers, b"{}"), NOW)
    };
    let location = absent(asked("k-1"));
    assert_eq!(location.url(), "https://api.ebay.com/commerce/notification/v1/public_key/k-1");
    let token = location.token().unwrap();
    assert_eq!(token.url(), "https://api.ebay.com/identity/v1/oauth2/token");
    assert_eq!(token.authorization().as_str(), "Basic YzE6czE=");
    assert!(token.form().starts_with("grant_type=client_credentials&scope="));
    assert!(!format!("{token:?} {location:?}").contains("s1"));
    for id in ["a/b", "../a", "a?b", ""] {
        assert_eq!(label(asked(id)), "malformed_header", "{id}");
    }
    assert_eq!(label(gateway.verify_with(&message(&headers(&[]), b"{}"), &NoKeys, NOW)), "missing");
}

#[test]
fn a_certificate_is_believed_within_its_dates_and_for_a_pinned_name() {
    let yaml =
        SIGNED.replace("form: jwks", "form: x509, names: ['signing.example.com']").replace("key: jwk", "key: x509");
    let location = absent(without_secrets(&yaml, &[]).verify(&message(&signed_by(&key(1), "a"), b"x"), NOW));
    let certificate = |name: &str, from: i32, until: i32| {
        let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(from, 1, 1);
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        params.self_signed(&pair).unwrap().pem()
    };
    let read = |pem: &str| location.read(pem.as_bytes(), NOW).map(|_: KeySet| ());
    assert_eq!(read(&certificate("signing.example.com", 2025, 2030)), Ok(()));
    assert_eq!(read(&certificate("signing.example.com", 2020, 2025)), Err(KeyFault::Expired));
    assert_eq!(read(&certificate("signing.example.com", 2026, 2030)), Err(KeyFault::Expired));
    assert_eq!(read(&certificate("www.example.com", 2025, 2030)), Err(KeyFault::OtherName));
    let chain = certificate("signing.example.com", 2025, 2030) + &certificate("ca.example.com", 2020, 2040);
    assert_eq!(read(&chain), Ok(()));
    assert!(read("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----").is_err());
    assert!(read("<html>").is_err());
}

#[test]
fn an_answer_is_bounded_and_holds_a_key_for_signatures() {
    let location = absent(without_secrets(SIGNED, &[]).verify(&message(&signed_by(&key(1), "a"), b"x"), NOW));
    let read = |json: &Value| location.read(json.to_string().as_bytes(), NOW).map(|_: KeySet| ());
    let mut other_use = jwk(&key(1), "1");
    other_use["use"] = json!("enc");
    let mut private = jwk(&key(1), "1");
    private["d"] = json!("AA");
    assert_eq!(read(&json!({"keys": [other_use, jwk(&key(1), "1")]})), Ok(()));
    assert_eq!(read(&json!({"keys": [other_use, private]})), Err(KeyFault::Empty));
    assert_eq!(read(&private), Err(KeyFault::NotForSignatures));
    assert_eq!(read(&json!({"keys": vec![jwk(&key(1), "1"); 101]})), Err(KeyFault::TooMany));
    assert_eq!(read(&json!({"keys": []})), Err(KeyFault::Empty));
    assert!(read(&json!([])).is_err());
    assert_eq!(location.read(&vec![b' '; KeyLocation::BYTES_MAX + 1], NOW).unwrap_err(), KeyFault::TooMany);
}

#[test]
fn a_source_of_keys_has_to_be_written_so_that_it_is_safe() {
    let with = |from: &str, to: &str| problem(&SIGNED.replace(from, to));
    assert!(with("hosts: keys.example.com", "hosts: '*'").contains("write a host"));
    assert!(with("hosts: keys.example.com", "hosts: com").contains("write a host"));
    assert!(with("hosts: keys.example.com", "hosts: '*.com'").contains("write a host"));
    assert!(with("{header:x-key}", "{body}").contains("a place in the message"));
    assert!(with("{header:x-key}", "{kid}").contains("a place in the message"));
    let shared = SIGNED.replace("type: signature", "type: hmac").replace("ed25519", "sha256").replace("key: jwk", "");
    assert!(problem(&shared).contains("shared secrets are not fetched"));
    let two = format!("[{{type: token, header: x-t}}, {{{}}}]", SIGNED.trim().replace('\n', ", "));
    assert!(problem(&two).contains("mixes shared secrets and public keys"), "{}", problem(&two));
    let jwt = "{type: jwt, header: x-t, algorithm: [HS256, RS256], claims: {a: b}}";
    assert!(problem(jwt).contains("mixes shared secrets and public keys"));
    assert!(problem("{type: jwt, header: x-t, algorithm: HS256}").contains("what a claim must be"));
    assert!(problem("{type: jwt, header: x-t, algorithm: sha256, claims: {a: b}}").contains("is not an algorithm"));
    assert!(problem("{type: code}").contains("`code` is needed"));
}
