//! The laws of the gateway, one by one, on small schemes of their own.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::json;

use crate::clock::Timestamp;
use crate::provider::{
    EventTemplate, Failure, KeyFault, KeyProblem, Message, Scheme, SignRequest, Verified, Verifier, VerifySpec, builtin,
};
use crate::secret::{Secret, SecretName};

pub(super) const NOW: Timestamp = Timestamp::from_unix_secs(1_760_000_000);
const SHOP: &str = r#"
type: hmac
algorithm: sha256
header: X-Shop-Signature
encoding: base64
signed: "{header:X-Shop-Timestamp}.{body}"
timestamp: {header: X-Shop-Timestamp, tolerance: 5m}
"#;

pub(super) fn scheme(yaml: &str) -> Scheme {
    Scheme::compile(&serde_yaml::from_str(yaml).unwrap()).unwrap()
}

pub(super) fn problem(yaml: &str) -> String {
    match serde_yaml::from_str::<VerifySpec>(yaml) {
        Ok(written) => Scheme::compile(&written).unwrap_err().to_string(),
        Err(problem) => problem.to_string(),
    }
}

pub(super) fn secret(name: &str, value: &str) -> Secret {
    Secret::new(SecretName::new(name), value.as_bytes().to_vec()).unwrap()
}

pub(super) fn verifier(yaml: &str, secrets: &[&str]) -> Verifier {
    let secrets = secrets.iter().enumerate().map(|(number, value)| secret(&format!("s{number}"), value)).collect();
    Verifier::new(scheme(yaml), secrets, BTreeMap::new()).unwrap()
}

pub(super) fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let pairs =
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()));
    let mut headers = HeaderMap::new();
    pairs.for_each(|(name, value)| {
        headers.append(name, value);
    });
    headers
}

pub(super) fn message<'a>(headers: &'a HeaderMap, body: &'a [u8]) -> Message<'a> {
    Message { method: "POST", url: "https://hooks.example.com/in/x?a=1", headers, body }
}

/// Returns the headers that the verifier itself would send.
pub(super) fn signed(verifier: &Verifier, body: &[u8], now: Timestamp) -> HeaderMap {
    let empty = HeaderMap::new();
    let request = SignRequest { message: message(&empty, body), id: "msg_1", now };
    verifier.sign(&request).unwrap().into_iter().collect()
}

pub(super) fn label(outcome: Result<Verified, Failure>) -> &'static str {
    outcome.map_or_else(|failure| failure.label(), |_| "verified")
}

#[test]
fn a_signed_message_verifies_and_names_its_secret() {
    let sender = verifier(SHOP, &["new"]);
    let gateway = verifier(SHOP, &["old", "new"]);
    let headers = signed(&sender, b"{}", NOW);
    let verified = gateway.verify(&message(&headers, b"{}"), NOW).unwrap();
    assert_eq!(verified.secret().unwrap().as_str(), "s1");
    assert_eq!(verified.signed_at(), Some(NOW));
    assert!(verified.covers_body());
    assert!(verified.signed_id().is_none());
}

#[test]
fn another_body_or_another_secret_is_refused() {
    let gateway = verifier(SHOP, &["k"]);
    let headers = signed(&gateway, b"{}", NOW);
    assert_eq!(label(gateway.verify(&message(&headers, b"{ }"), NOW)), "wrong_secret_or_body");
    let other = verifier(SHOP, &["l"]);
    assert_eq!(label(other.verify(&message(&headers, b"{}"), NOW)), "wrong_secret_or_body");
}

#[test]
fn a_header_that_is_consulted_may_be_there_once_only() {
    let gateway = verifier(SHOP, &["k"]);
    for name in ["x-shop-signature", "x-shop-timestamp"] {
        let mut headers = signed(&gateway, b"{}", NOW);
        let again = headers.get(name).unwrap().clone();
        headers.append(name, again);
        let failure = gateway.verify(&message(&headers, b"{}"), NOW).unwrap_err();
        assert_eq!(failure.to_string(), format!("header `{name}` is there more than once"));
        assert_eq!(failure.label(), "malformed_header");
    }
}

#[test]
fn what_is_not_there_is_missing_and_the_operator_is_told_what() {
    let gateway = verifier(SHOP, &["k"]);
    let mut headers = signed(&gateway, b"{}", NOW);
    headers.remove("x-shop-timestamp");
    let failure = gateway.verify(&message(&headers, b"{}"), NOW).unwrap_err();
    assert_eq!((failure.label(), failure.to_string().as_str()), ("missing", "header `x-shop-timestamp` is missing"));
}

#[test]
fn the_window_is_symmetric_and_its_edge_is_inside() {
    let gateway = verifier(SHOP, &["k"]);
    let headers = signed(&gateway, b"{}", NOW);
    let at = |seconds: u64| gateway.verify(&message(&headers, b"{}"), Timestamp::from_unix_secs(seconds));
    assert_eq!(label(at(1_760_000_300)), "verified");
    assert_eq!(label(at(1_759_999_700)), "verified");
    assert_eq!(at(1_760_000_301).unwrap_err(), Failure::TooOld { by: Duration::from_secs(1) });
    assert_eq!(at(1_759_999_699).unwrap_err(), Failure::InFuture { by: Duration::from_secs(1) });
}

#[test]
fn a_timestamp_is_plain_digits() {
    let gateway = verifier(SHOP, &["k"]);
    for text in ["-1760000000", "+1760000000", "01760000000", "1760000000s", "1.76e9", "", "176000000000000000000"] {
        let mut headers = signed(&gateway, b"{}", NOW);
        headers.insert("x-shop-timestamp", HeaderValue::from_str(text).unwrap());
        assert_eq!(label(gateway.verify(&message(&headers, b"{}"), NOW)), "malformed_header", "{text}");
    }
}

#[test]
fn a_date_is_believed_with_its_zone_only() {
    let dated = |unit: &str| SHOP.replace("tolerance", &format!("unit: {unit}, tolerance"));
    let times = [
        ("rfc3339", "2025-10-09T08:53:20Z", "wrong_secret_or_body"),
        ("rfc3339", "2025-10-09T10:53:20.000+02:00", "wrong_secret_or_body"),
        ("rfc3339", "2025-10-09T08:53:20", "malformed_header"),
        ("rfc3339", "2025-10-09 08:53:20Z", "malformed_header"),
        ("rfc3339", "2025-10-09T08:53:20Z[UTC]", "malformed_header"),
        ("rfc3339-utc", "2025-10-09T08:53:20", "wrong_secret_or_body"),
        ("rfc3339-utc", "2025-10-09T08:53:20Z", "malformed_header"),
        ("http-date", "Thu, 09 Oct 2025 08:53:20 GMT", "wrong_secret_or_body"),
        ("http-date", "Fri, 09 Oct 2025 08:53:20 GMT", "malformed_header"),
    ];
    for (unit, text, expected) in times {
        let gateway = verifier(&dated(unit), &["k"]);
        let mut headers = signed(&gateway, b"{}", NOW);
        assert_eq!(label(gateway.verify(&message(&headers, b"{}"), NOW)), "verified", "{unit}");
        headers.insert("x-shop-timestamp", HeaderValue::from_str(text).unwrap());
        // Another text than was signed, so that the best that can come of it is a wrong signature.
        let same = headers == signed(&gateway, b"{}", NOW);
        let expected = if same { "verified" } else { expected };
        assert_eq!(label(gateway.verify(&message(&headers, b"{}"), NOW)), expected, "{unit} {text}");
    }
}

#[test]
fn a_list_may_hold_sixteen_signatures_and_any_may_match() {
    let yaml = r#"
type: hmac
algorithm: sha256
header: x-list
list: {separator: ",", assign: "=", field: v1}
encoding: hex
signed: "{body}"
"#;
    let gateway = verifier(yaml, &["k"]);
    let right = signed(&gateway, b"x", NOW).get("x-list").unwrap().to_str().unwrap().to_owned();
    let wrong = format!("v1={}", "00".repeat(32));
    let list = |wrongs: usize| {
        let listed: Vec<&str> = std::iter::repeat_n(wrong.as_str(), wrongs).chain([right.as_str()]).collect();
        headers(&[("x-list", &listed.join(","))])
    };
    assert_eq!(label(gateway.verify(&message(&list(15), b"x"), NOW)), "verified");
    assert_eq!(label(gateway.verify(&message(&list(16), b"x"), NOW)), "malformed_header");
}

#[test]
fn half_a_signature_is_no_signature() {
    let yaml = "{type: hmac, algorithm: sha256, header: x-sig, encoding: hex, signed: '{body}'}";
    let gateway = verifier(yaml, &["k"]);
    let whole = signed(&gateway, b"x", NOW).get("x-sig").unwrap().to_str().unwrap().to_owned();
    for (length, expected) in [(64, "verified"), (32, "malformed_header"), (0, "malformed_header")] {
        let headers = headers(&[("x-sig", whole.get(..length).unwrap())]);
        assert_eq!(label(gateway.verify(&message(&headers, b"x"), NOW)), expected);
    }
    let upper = headers(&[("x-sig", &whole.to_uppercase())]);
    assert_eq!(label(gateway.verify(&message(&upper, b"x"), NOW)), "verified");
}

#[test]
fn a_header_beyond_8_kib_is_not_looked_at() {
    let gateway = verifier(SHOP, &["k"]);
    let mut headers = signed(&gateway, b"{}", NOW);
    headers.insert("x-shop-signature", HeaderValue::from_str(&"a".repeat(8193)).unwrap());
    let failure = gateway.verify(&message(&headers, b"{}"), NOW).unwrap_err();
    assert_eq!(failure.to_string(), "header `x-shop-signature` is longer than 8 KiB");
}

#[test]
fn a_key_is_never_empty_also_after_decoding() {
    let whsec = SHOP.replace("type: hmac", "type: hmac\nkey: whsec");
    let refused = Verifier::new(scheme(&whsec), vec![secret("main", "whsec_")], BTreeMap::new()).unwrap_err();
    assert_eq!(refused, KeyProblem::Secret { name: SecretName::new("main"), fault: KeyFault::Empty });
    assert_eq!(refused.to_string(), "the secret `main` is empty after decoding");
    let none = Verifier::new(scheme(SHOP), Vec::new(), BTreeMap::new()).unwrap_err();
    assert_eq!(none, KeyProblem::NoSecrets);
}

#[test]
fn a_public_key_of_small_order_is_refused() {
    let yaml = "{type: signature, algorithm: ed25519, key: raw-hex, header: x-s, encoding: hex, signed: '{body}'}";
    for hex in ["00".repeat(32), format!("01{}", "00".repeat(31))] {
        let refused = Verifier::new(scheme(yaml), vec![secret("app", &hex)], BTreeMap::new()).unwrap_err();
        assert_eq!(refused.to_string(), "the secret `app` is a weak public key, under which anyone can sign");
    }
}

#[test]
fn an_unverified_source_needs_a_reason() {
    assert!(problem("{type: none}").contains("say why"));
    assert!(problem("{type: none, reason: ' '}").contains("say why"));
    assert!(problem("[{type: none, reason: x}, {type: none, reason: y}]").contains("anyone would pass"));
    let open = Verifier::new(scheme("{type: none, reason: the network is closed}"), Vec::new(), BTreeMap::new());
    let verified = open.unwrap().verify(&message(&HeaderMap::new(), b""), NOW).unwrap();
    assert_eq!((verified.secret(), verified.choice()), (None, Some("the network is closed")));
    assert!(!verified.covers_body());
}

#[test]
fn problems_of_a_written_scheme_say_where_and_how_to_mend_them() {
    let shown = [
        (SHOP.replace("5m", "300"), "timestamp.tolerance: 300 has no unit: write `300s`"),
        (SHOP.replace("sha256", "md4"), "algorithm: unknown variant `md4`"),
        (SHOP.replace("{body}", "{bodi}"), "`signed`: there is no value `{bodi}`"),
        (SHOP.replace("{body}", "{body"), "`signed`: `{` is not closed"),
        (SHOP.replace("encoding: base64", ""), "`encoding` is needed with `type: hmac`"),
        (SHOP.replace("header: X-Shop-Signature", "headr: X"), "unknown field `headr`"),
        (SHOP.replace("{body}", "{id}.{body}"), "`signed` uses `{id}`, which this block does not define"),
        (SHOP.replace("sha256", "ed25519"), "`algorithm` is not an algorithm for `type: hmac`"),
        ("{type: token, header: x, encoding: hex}".to_owned(), "`encoding` has no meaning with `type: token`"),
        ("[]".to_owned(), "at least one item"),
    ];
    for (yaml, expected) in shown {
        let shown = problem(&yaml);
        assert!(shown.contains(expected), "{shown}");
    }
    let deserializer = serde_yaml::Deserializer::from_str("[{type: hmac, signature: {headr: x}}]");
    let located = serde_path_to_error::deserialize::<_, VerifySpec>(deserializer).unwrap_err();
    assert_eq!(located.path().to_string(), "[0].signature.headr");
}

#[test]
fn a_digest_without_its_secret_is_refused() {
    let yaml = "{type: digest, algorithm: sha256, header: x, encoding: hex, signed: '{body}'}";
    assert!(problem(yaml).contains("uses `{secret}`"), "{}", problem(yaml));
}

#[test]
fn a_token_matches_whole_and_says_nothing_of_the_body() {
    let gateway = verifier("{type: token, header: x-token}", &["abc"]);
    for (token, expected) in [("abc", "verified"), ("ab", "wrong_secret_or_body"), ("abcd", "wrong_secret_or_body")] {
        assert_eq!(label(gateway.verify(&message(&headers(&[("x-token", token)]), b"x"), NOW)), expected);
    }
    let headers = headers(&[("x-token", "abc")]);
    let verified = gateway.verify(&message(&headers, b"x"), NOW).unwrap();
    assert!(!verified.covers_body());
    assert_ne!(verified.fingerprint(b"x"), verified.fingerprint(b"y"));
}

#[test]
fn a_group_is_dropped_when_a_value_in_it_is_absent() {
    let yaml = "{type: hmac, algorithm: sha256, header: x-s, encoding: hex, signed: '[id:{header:x-id};]{body}'}";
    let gateway = verifier(yaml, &["k"]);
    let plain = verifier("{type: hmac, algorithm: sha256, header: x-s, encoding: hex, signed: '{body}'}", &["k"]);
    let mut headers = signed(&plain, b"x", NOW);
    assert_eq!(label(gateway.verify(&message(&headers, b"x"), NOW)), "verified");
    headers.insert("x-id", HeaderValue::from_static("1"));
    assert_eq!(label(gateway.verify(&message(&headers, b"x"), NOW)), "wrong_secret_or_body");
    headers = signed(&plain, b"id:1;x", NOW);
    headers.insert("x-id", HeaderValue::from_static("1"));
    assert_eq!(label(gateway.verify(&message(&headers, b"x"), NOW)), "verified");
}

#[test]
fn a_list_of_signed_headers_has_to_name_the_timestamp() {
    let yaml = r#"
type: hmac
algorithm: sha256
header: x-s
encoding: hex
timestamp: {header: x-time}
signed: "{signed_headers:header:x-list;,;:;SEMI}.{body}"
"#;
    let gateway = verifier(yaml, &["k"]);
    for (list, expected) in [("x-time,x-list", "verified"), ("x-list", "malformed_header")] {
        let mac = verifier("{type: hmac, algorithm: sha256, header: x-s, encoding: hex, signed: '{body}'}", &["k"]);
        let text = list.replace("x-time", "x-time:1760000000").replace("x-list", &format!("x-list:{list}"));
        let text = format!("{}.x", text.replace(",x-list:", ";x-list:"));
        let mut headers = signed(&mac, text.as_bytes(), NOW);
        headers.extend(self::headers(&[("x-time", "1760000000"), ("x-list", list)]));
        assert_eq!(label(gateway.verify(&message(&headers, b"x"), NOW)), expected, "{list}");
    }
}

#[test]
fn a_form_is_read_as_one_only_when_it_says_so() {
    let yaml = "{type: hmac, algorithm: sha1, header: x-s, encoding: base64, signed: '{url}{form_sorted}'}";
    assert!(scheme(yaml).needs_public_url());
    let gateway = verifier(yaml, &["k"]);
    let headers = headers(&[("content-type", "application/json"), ("x-s", "RSOYDt4T1cUTdK1PDd93/VVr8B8=")]);
    assert_eq!(label(gateway.verify(&message(&headers, b"{\"a\":1}"), NOW)), "malformed_header");
}

#[test]
fn a_scheme_names_the_headers_to_redact() {
    let svix = builtin().get("svix").unwrap().scheme();
    assert_eq!(svix.signature_headers().collect::<Vec<_>>(), ["svix-signature", "webhook-signature"]);
    let gitlab = builtin().get("gitlab").unwrap().scheme();
    assert_eq!(gitlab.signature_headers().collect::<Vec<_>>(), ["x-gitlab-token"]);
    assert!(builtin().get("discord").unwrap().scheme().takes_public_key());
    assert!(builtin().get("discord").unwrap().scheme().window_is_ours());
    assert!(builtin().get("square").unwrap().scheme().needs_public_url());
    assert!(!builtin().get("stripe").unwrap().scheme().needs_public_url());
}

#[test]
fn neither_failures_nor_debug_show_a_secret() {
    let gateway = verifier(SHOP, &["hunter2"]);
    assert!(!format!("{gateway:?}").contains("hunter2"));
    let token = verifier("{type: token, header: x-token}", &["hunter2"]);
    assert!(!format!("{token:?}").contains("hunter2"));
}

#[test]
fn the_event_type_of_github_has_its_action_when_there_is_one() {
    let event = builtin().get("github").unwrap().event().unwrap();
    assert!(event.needs_json());
    let headers = headers(&[("x-github-event", "pull_request")]);
    let opened = json!({"action": "opened"});
    assert_eq!(event.render(&headers, Some(&opened), (None, b"")).as_deref(), Some("pull_request.opened"));
    assert_eq!(event.render(&headers, Some(&json!({})), (None, b"")).as_deref(), Some("pull_request"));
    assert_eq!(event.render(&headers, None, (None, b"")).as_deref(), Some("pull_request"));
}

#[test]
fn users_may_spell_the_event_as_an_expression_or_a_template() {
    let json = json!({"a": {"b": [{"c": "deep"}]}, "id": 7});
    let headers = headers(&[("x-shop-topic", "orders/paid")]);
    let shown = [
        ("header['x-shop-topic']", Some("orders/paid")),
        ("header[\"X-Shop-Topic\"]", Some("orders/paid")),
        ("body.a.b[0].c", Some("deep")),
        ("body.id", Some("7")),
        ("body['id']", Some("7")),
        ("body.a", None),
        ("body.nothing", None),
        ("{header:x-shop-topic}[#{json:/id}]", Some("orders/paid#7")),
    ];
    for (text, expected) in shown {
        let event = EventTemplate::parse_user(text).unwrap();
        assert_eq!(event.render(&headers, Some(&json), (None, b"")).as_deref(), expected, "{text}");
    }
    for text in ["", "body", "body.", "body.a[x]", "header[x]", "nothing", "{body}", "{secret}", "plain"] {
        assert!(EventTemplate::parse_user(text).is_err(), "{text}");
    }
}

#[test]
fn where_a_provider_sends_no_id_the_hash_of_the_body_may_be_one() {
    let id = EventTemplate::parse_user("{body|sha256hex}").unwrap();
    let render = |body: &[u8]| id.render(&HeaderMap::new(), None, (None, body)).unwrap();
    assert_eq!(render(b"{}").len(), 64);
    assert_ne!(render(b"{}"), render(b"{ }"));
}

#[test]
fn an_event_type_is_short_and_printable() {
    let event = EventTemplate::parse_user("body.t").unwrap();
    let render = |text: &str| event.render(&HeaderMap::new(), Some(&json!({"t": text})), (None, b""));
    assert!(render(&"x".repeat(256)).is_some());
    assert!(render(&"x".repeat(257)).is_none());
    assert!(render("a\nb").is_none());
    assert!(render("").is_none());
}

#[test]
fn the_written_form_has_a_json_schema() {
    let schema = serde_json::to_value(schemars::schema_for!(VerifySpec)).unwrap();
    assert!(schema.to_string().contains("\"tolerance\""), "{schema}");
}
