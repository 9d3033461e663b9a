//! Vectors of our own, for schemes in code and for rows that no vector of a provider proves.
//!
//! They are made by the algorithm of the source that each names in `made_by`, apart from this code; `sdk` holds what the
//! provider's SDK says, where there is one. Judged here by rows of the least form.

use std::collections::BTreeMap;
use std::path::Path;

use data_encoding::BASE64;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use crate::clock::Timestamp;
use crate::provider::{Message, Row, Table, Verified, Verifier, batch};
use crate::secret::{Secret, SecretName};

/// Schemes in code, by the `verify` of their row.
const BY_CODE: &[(&str, &str)] = &[
    ("atlassian_connect", "{type: code, code: atlassian_connect}"),
    ("exact_online", "{type: code, code: exact_online}"),
    ("moralis", "{type: code, code: moralis}"),
    ("msgraph", "{type: code, code: msgraph}"),
    ("payos", "{type: code, code: payos}"),
    ("paytm", "{type: code, code: paytm}"),
    ("plivo", "[{type: code, code: plivo}, {type: code, code: plivo_v2}]"),
    ("treezor", "{type: code, code: treezor}"),
    ("unisender_go", "{type: code, code: unisender_go}"),
];

/// Schemes that the language can say.
const BY_TEMPLATE: &[(&str, &str)] = &[
    (
        "mercadopago",
        r#"
  type: hmac
  algorithm: sha256
  header: x-signature
  encoding: hex
  signed: "[id:{query:data.id|lower};][request-id:{header:x-request-id};]ts:{ts};"
  list: {separator: ",", assign: "=", field: v1, unique: [ts], trim: true}
  timestamp: {from: "sig:ts", unit: auto, tolerance: 5m, sdk_window: false}"#,
    ),
    (
        "paymob",
        r#"
  type: hmac
  algorithm: sha512
  signature: {from: "query:hmac"}
  encoding: hex
  signed: "{json:/obj/amount_cents}{json:/obj/created_at}{json:/obj/currency}{json:/obj/error_occured}\
    {json:/obj/has_parent_transaction}{json:/obj/id}{json:/obj/integration_id}{json:/obj/is_3d_secure}\
    {json:/obj/is_auth}{json:/obj/is_capture}{json:/obj/is_refunded}{json:/obj/is_standalone_payment}\
    {json:/obj/is_voided}{json:/obj/order/id}{json:/obj/owner}{json:/obj/pending}{json:/obj/source_data/pan}\
    {json:/obj/source_data/sub_type}{json:/obj/source_data/type}{json:/obj/success}""#,
    ),
    (
        "praxis",
        r#"
  type: digest
  algorithm: sha384
  header: Gt-Authentication
  encoding: hex
  signed: "{json:/merchant_id}{json:/application_key}{json:/timestamp}{json:/customer/customer_token?}\
    {json:/session/order_id?}{json:/transaction/tid?}{json:/transaction/currency?}{json:/transaction/amount?}\
    {json:/transaction/conversion_rate?}{json:/transaction/processed_currency?}\
    {json:/transaction/processed_amount?}{secret}"
  timestamp: {from: "json:/timestamp", tolerance: 5m, sdk_window: false}"#,
    ),
    (
        "paypro_global",
        r#"
  type: digest
  algorithm: sha256
  signature: {from: "form:SIGNATURE"}
  encoding: hex
  signed: "{form:ORDER_ID}{form:ORDER_STATUS}{form:ORDER_TOTAL_AMOUNT}{form:CUSTOMER_EMAIL}{secret}\
    {form:TEST_MODE}{form:IPN_TYPE_NAME}""#,
    ),
    (
        "quoter",
        r#"
  type: digest
  algorithm: md5
  signature: {from: "form:hash"}
  encoding: hex
  signed: "{secret}{ts}{form:data}"
  timestamp: {from: "form:timestamp", tolerance: 5m}"#,
    ),
    (
        "walmart",
        r#"
  type: hmac
  algorithm: sha256
  header: WM_SEC.SIGNATURE
  encoding: base64
  signed: "{method}\n{path}\n{ts}\n{body|sha256hex}"
  timestamp: {header: WM_SEC.TIMESTAMP, tolerance: 5m}"#,
    ),
];

fn row((name, verify): &(&str, &str)) -> Row {
    let yaml = format!("name: {name}\ntitle: {name}\nproof: docs\nsource: test\nverify: {verify}\n");
    Row::parse(&yaml).unwrap_or_else(|problem| panic!("{name}: {problem}"))
}

fn vectors(name: &str) -> String {
    let path = format!("{}/tests/vectors/own/{name}.json", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

fn judge(rows: &[(&str, &str)]) {
    let table = Table::new(rows.iter().map(row));
    let mut wrong = Vec::new();
    for (name, _) in rows {
        let text = vectors(name);
        let cases: Vec<Value> = serde_json::from_str(&text).unwrap();
        let right = cases.iter().filter(|case| case["expect"] == "valid").count();
        assert!(right >= 1 && cases.len() - right >= 3, "{name}: {right} of {} are valid", cases.len());
        for (case, line) in cases.iter().zip(batch(&text, Path::new("."), &table).unwrap()) {
            let expected = if case["expect"] == "valid" { "verified" } else { "failed" };
            if line.verdict != expected {
                wrong.push(format!("{line:?}: {}", case["reason"]));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn schemes_in_code_judge_our_own_vectors_rightly() {
    judge(BY_CODE);
}

#[test]
fn rows_that_need_no_code_judge_our_own_vectors_rightly() {
    judge(BY_TEMPLATE);
}

/// What a scheme proves of the first valid case whose name begins so.
fn proof(name: &str, case: &str) -> Verified {
    let cases: Vec<Value> = serde_json::from_str(&vectors(name)).unwrap();
    let case = cases.iter().find(|it| it["case"].as_str().unwrap().starts_with(case)).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let secrets = case["secrets"].as_array().unwrap().iter();
    let secrets =
        secrets.map(|it| Secret::new(SecretName::new(&text(&it["label"])), text(&it["value"]).into()).unwrap());
    let scheme = row(BY_CODE.iter().find(|(it, _)| *it == name).unwrap()).scheme().clone();
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
    let whole = [("exact_online", "valid"), ("moralis", "valid"), ("plivo", "valid_post"), ("unisender_go", "valid")];
    for (name, case) in whole {
        assert!(proof(name, case).covers_body(), "{name} {case}");
    }
    let part = [
        ("atlassian_connect", "valid"),
        ("msgraph", "valid"),
        ("payos", "valid"),
        ("paytm", "valid"),
        ("plivo", "valid_v2"),
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
