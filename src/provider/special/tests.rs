//! Tests of what the schemes in code claim of a verified message. Their verdicts are proven by our own vectors, which
//! `provider/tests/own.rs` judges.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use crate::clock::Timestamp;
use crate::provider::{Message, Verified, Verifier, builtin};
use crate::secret::{Secret, SecretName};

fn vectors(name: &str) -> String {
    let path = format!("{}/tests/vectors/own/{name}.json", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

/// Returns the proof of the first valid case whose name begins so.
fn proof(name: &str, case: &str) -> Verified {
    let cases: Vec<Value> = serde_json::from_str(&vectors(name)).unwrap();
    let case = cases.iter().find(|it| it["case"].as_str().unwrap().starts_with(case)).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let secrets = case["secrets"].as_array().unwrap().iter();
    let secrets =
        secrets.map(|it| Secret::new(SecretName::new(&text(&it["label"])), text(&it["value"]).into()).unwrap());
    let scheme = builtin().get(name).unwrap().scheme().clone();
    let verifier = Verifier::new(scheme, secrets.collect(), BTreeMap::new()).unwrap();
    let mut headers = HeaderMap::new();
    for header in case["headers"].as_array().unwrap() {
        let name = HeaderName::from_bytes(text(&header[0]).as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_str(&text(&header[1])).unwrap());
    }
    let (method, url) = (text(&case["method"]), text(&case["url"]));
    let body = BASE64.decode(text(&case["body_base64"]).as_bytes()).unwrap();
    let message = Message { method: &method, url: &url, headers: &headers, body: &body };
    verifier.verify(&message, Timestamp::from_unix_secs(case["now_unix"].as_u64().unwrap())).unwrap()
}

#[test]
fn a_proof_claims_the_body_only_where_all_of_it_is_signed() {
    let whole = [
        ("alipay", "valid"),
        ("exact_online", "valid"),
        ("moralis", "valid"),
        ("plivo", "valid_post"),
        ("unisender_go", "valid"),
    ];
    for (name, case) in whole {
        assert!(proof(name, case).covers_body(), "{name} {case}");
    }
    let part = [
        ("atlassian_connect", "valid"),
        ("msgraph", "valid"),
        ("payos", "valid"),
        ("paytm", "valid"),
        ("plivo_v2", "valid_v2"),
        ("treezor", "valid"),
    ];
    for (name, case) in part {
        assert!(!proof(name, case).covers_body(), "{name} {case}");
    }
}

#[test]
fn a_token_says_when_it_was_signed() {
    assert_eq!(proof("atlassian_connect", "valid").signed_at(), Some(Timestamp::from_unix_secs(1_760_000_000)));
    assert_eq!(proof("plivo", "valid_post").signed_at(), None);
}
