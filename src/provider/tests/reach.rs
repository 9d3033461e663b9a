//! The reach of a proof: the parts of a message that are covered, and the verdicts on batches and unusual schemes.

use std::collections::BTreeMap;
use std::path::Path;

use http::{HeaderMap, HeaderValue};

use super::laws::{NOW, headers, label, message, problem, scheme, secret, signed, verifier};
use crate::provider::{Message, SignRequest, Verified, Verifier, batch, builtin};

const PLAIN: &str = "{type: hmac, algorithm: sha256, header: x-s, encoding: hex, signed: '{body}'}";

/// Returns whether the proof covers the body, for a scheme that signs this text and checks nothing else.
fn covers_body(signed_text: &str, extra: &str) -> bool {
    let yaml = format!("{{type: hmac, algorithm: sha256, header: x-s, encoding: hex, signed: '{signed_text}'{extra}}}");
    let gateway = verifier(&yaml, &["k"]);
    let headers = headers(&[("x-digest", "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881")]);
    let request = SignRequest { message: message(&headers, b"x"), id: "", now: NOW };
    let mut all = headers.clone();
    all.extend(gateway.sign(&request).unwrap());
    gateway.verify(&message(&all, b"x"), NOW).unwrap().covers_body()
}

#[test]
fn the_body_is_covered_only_when_nobody_could_have_changed_it() {
    assert!(covers_body("{method}.{body}", ""));
    assert!(covers_body("{body|sha256hex}", ""));
    assert!(!covers_body("{path}", ""));
    assert!(!covers_body("{body|crc32}", ""), "a checksum is easily hit");
    assert!(!covers_body("{body|lower}", ""), "case could be changed");
    assert!(!covers_body("{path}[{header:x-absent}{body}]", ""), "the group may be dropped");
}

#[test]
fn a_digest_covers_the_body_only_where_it_is_signed_itself() {
    let check = ", check: ['{header:x-digest}', '{body|sha256hex}']";
    assert!(covers_body("{header:x-digest}", check));
    assert!(!covers_body("{path}", check), "anyone can write another digest beside another body");
}

#[test]
fn the_fingerprint_is_that_of_the_mac_or_of_the_body() {
    let gateway = verifier(PLAIN, &["k"]);
    let headers = signed(&gateway, b"x", NOW);
    let mac = headers.get("x-s").unwrap().to_str().unwrap().to_owned();
    let fingerprint = gateway.verify(&message(&headers, b"x"), NOW).unwrap().fingerprint(b"x");
    assert_eq!(data_encoding::HEXLOWER.encode(&fingerprint), mac.get(..32).unwrap());
}

#[test]
fn standard_webhooks_sign_their_id() {
    let row = builtin().get("standardwebhooks").unwrap();
    let secrets = vec![secret("a", "whsec_MDEyMzQ1Njc4OWFiY2RlZg==")];
    let gateway = Verifier::new(row.scheme().clone(), secrets, BTreeMap::new()).unwrap();
    let headers = signed(&gateway, b"{}", NOW);
    let id = headers.get("webhook-id").unwrap().as_bytes();
    let signed_id = gateway.verify(&message(&headers, b"{}"), NOW).unwrap().signed_id();
    assert_eq!(signed_id, Some(crate::provider::digest(&[id])));
}

#[test]
fn every_element_carries_its_own_signature_and_there_is_one_at_least() {
    let yaml = r"
type: hmac
algorithm: sha256
each: /items/*
signature: {from: json:/mac}
encoding: hex
signed: '{json:/n}'
";
    let gateway = verifier(yaml, &["k"]);
    let mac =
        |n: &str| signed(&verifier(PLAIN, &["k"]), n.as_bytes(), NOW).get("x-s").unwrap().to_str().unwrap().to_owned();
    let item = |n: u8, mac: &str| format!(r#"{{"n":{n},"mac":"{mac}"}}"#);
    let (one, two) = (item(1, &mac("1")), item(2, &mac("2")));
    let shown = [
        (format!("{{\"items\":[{one},{two}]}}"), "verified"),
        (format!("{{\"items\":[{one},{}]}}", item(3, &mac("2"))), "wrong_secret_or_body"),
        (format!("{{\"items\":[{one},{{\"n\":2}}]}}"), "missing"),
        ("{\"items\":[]}".to_owned(), "missing"),
        ("{\"items\":7}".to_owned(), "missing"),
        ("{}".to_owned(), "missing"),
        ("[".to_owned(), "malformed_header"),
    ];
    for (body, expected) in shown {
        assert_eq!(label(gateway.verify(&message(&HeaderMap::new(), body.as_bytes()), NOW)), expected, "{body}");
    }
}

#[test]
fn paired_signatures_belong_to_the_secret_of_their_number() {
    let yaml = r"
type: hmac
algorithm: sha256
signature: {any_header: [x-one, x-two]}
pair: true
encoding: hex
signed: '{body}'
";
    let gateway = verifier(yaml, &["k1", "k2"]);
    let mac = |key: &str| signed(&verifier(PLAIN, &[key]), b"x", NOW).get("x-s").unwrap().to_str().unwrap().to_owned();
    let shown = [("x-one", "k1", "verified"), ("x-two", "k2", "verified"), ("x-two", "k1", "wrong_secret_or_body")];
    for (name, key, expected) in shown {
        assert_eq!(
            label(gateway.verify(&message(&headers(&[(name, &mac(key))]), b"x"), NOW)),
            expected,
            "{name} {key}"
        );
    }
}

#[test]
fn a_signed_twilio_message_cannot_be_replayed_with_another_or_no_body() {
    let secrets = vec![secret("auth", "12345")];
    let scheme = builtin().get("twilio").unwrap().scheme().clone();
    let gateway = Verifier::new(scheme, secrets, BTreeMap::new()).unwrap();
    let url = "https://a.example/j?bodySHA256=2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
    let plain = "{type: hmac, algorithm: sha1, header: x-twilio-signature, encoding: base64, signed: '{body}'}";
    let signature = signed(&verifier(plain, &["12345"]), url.as_bytes(), NOW);
    let kinds = ["application/json", "application/x-www-form-urlencoded"];
    for (body, kind, expected) in [
        (b"x".as_slice(), kinds[0], "verified"),
        (b"y", kinds[0], "wrong_secret_or_body"),
        (b"", kinds[0], "wrong_secret_or_body"),
        (b"", kinds[1], "wrong_secret_or_body"),
    ] {
        let mut headers = signature.clone();
        headers.insert("content-type", HeaderValue::from_static(kind));
        let message = Message { method: "POST", url, headers: &headers, body };
        let outcome = gateway.verify(&message, NOW);
        assert!(outcome.as_ref().map_or(true, Verified::covers_body));
        assert_eq!(label(outcome), expected, "{kind} {body:?}");
    }
}

#[test]
fn required_headers_have_exactly_the_required_value() {
    let yaml = PLAIN.replace("type:", "require: {x-version: 1}, require_match: {x-cert: 'https://a/[a-z]+'}, type:");
    let gateway = verifier(&yaml, &["k"]);
    for (version, cert, expected) in [
        ("1", "https://a/b", "verified"),
        ("2", "https://a/b", "malformed_header"),
        ("1", "https://a/b?c", "malformed_header"),
        ("1", "xhttps://a/b", "malformed_header"),
    ] {
        let mut headers = signed(&verifier(PLAIN, &["k"]), b"x", NOW);
        headers.extend(self::headers(&[("x-version", version), ("x-cert", cert)]));
        assert_eq!(label(gateway.verify(&message(&headers, b"x"), NOW)), expected, "{version} {cert}");
    }
}

#[test]
fn a_timestamp_that_anyone_could_renew_is_refused() {
    let unsigned = PLAIN.replace("type:", "timestamp: {header: x-time}, type:");
    assert!(problem(&unsigned).contains("with a new time"), "{}", problem(&unsigned));
    let other = unsigned.replace("{body}", "{header:x-other}.{body}");
    assert!(problem(&other).contains("with a new time"));
    assert!(!scheme(&unsigned.replace("{body}", "{header:x-time}.{body}")).needs_public_url());
    assert!(!scheme(&PLAIN.replace("type:", "timestamp: {from: json:/at}, type:")).needs_public_url());
}

#[test]
fn the_url_is_tried_with_and_without_its_default_port_and_never_changed_otherwise() {
    let yaml = "{type: hmac, algorithm: sha256, header: x-s, encoding: hex, signed: '{url}', url_ports: true}";
    let gateway = verifier(yaml, &["k"]);
    let shown = [
        ("https://a.example/x?y=1", "https://a.example:443/x?y=1", "verified"),
        ("https://a.example:443/x", "https://a.example/x", "verified"),
        ("http://a.example", "http://a.example:80", "verified"),
        ("https://[::1]/x", "https://[::1]:443/x", "verified"),
        ("https://a.example:8443/x", "https://a.example/x", "wrong_secret_or_body"),
        ("https://A.example/x", "https://a.example/x", "wrong_secret_or_body"),
        ("http://a.example/x", "https://a.example/x", "wrong_secret_or_body"),
    ];
    for (configured, signed_url, expected) in shown {
        let headers = signed(&verifier(PLAIN, &["k"]), signed_url.as_bytes(), NOW);
        let message = Message { method: "POST", url: configured, headers: &headers, body: b"" };
        assert_eq!(label(gateway.verify(&message, NOW)), expected, "{configured} {signed_url}");
    }
}

#[test]
fn of_several_blocks_the_one_that_came_furthest_explains_the_refusal() {
    let yaml = format!("[{PLAIN}, {{type: token, when: {{header: x-never}}, header: x-token}}]");
    let gateway = verifier(&yaml, &["k"]);
    let mut headers = signed(&verifier(PLAIN, &["other"]), b"x", NOW);
    assert_eq!(label(gateway.verify(&message(&headers, b"x"), NOW)), "wrong_secret_or_body");
    headers.insert("x-never", HeaderValue::from_static("1"));
    headers.insert("x-token", HeaderValue::from_static("k"));
    assert_eq!(label(gateway.verify(&message(&headers, b"x"), NOW)), "verified");
}

#[test]
fn a_scheme_cannot_speak_of_what_is_not_known_yet() {
    let with = |extra: &str| problem(&PLAIN.replace("{type: hmac,", &format!("{{type: hmac, {extra},")));
    assert!(with("check: ['{sig:t}', '{body}']").contains("a place in the message"));
    assert!(with("timestamp: {from: body}").contains("a place in the message"));
    assert!(problem(&PLAIN.replace("{body}", "{sig:t}.{body}")).contains("uses `{sig:…}`"));
    assert!(problem("{type: none, reason: x, check: [a, b]}").contains("has no meaning"));
    assert!(problem("{type: token, from: body}").contains("a place in the message"));
    assert!(scheme(PLAIN).signature_headers().eq(["x-s"]));
}

#[test]
fn a_batch_is_judged_by_what_was_sent_and_not_by_what_is_expected() {
    let case = |provider: &str, token: &str, value: &str| {
        serde_json::json!({
            "provider": provider, "case": "c", "method": "POST", "url": "/", "now_unix": 1_760_000_000,
            "headers": [["X-Gitlab-Token", token]], "body_base64": "", "expect": "valid", "gateway": "valid",
            "secrets": [{"label": "current", "kind": "static_token", "encoding": "utf8", "value": value}],
        })
    };
    let cases = [case("gitlab", "t", "t"), case("gitlab", "u", "t"), case("gitlab", "", ""), case("nobody", "t", "t")];
    let lines = batch(&serde_json::json!(cases).to_string(), Path::new("."), builtin()).unwrap();
    let shown: Vec<_> = lines.iter().map(|line| (line.verdict, line.reason, line.secret.as_str())).collect();
    let expected = [
        ("verified", "", "current"),
        ("failed", "wrong_secret_or_body", ""),
        ("failed", "unknown_key", ""),
        ("failed", "unknown_provider", ""),
    ];
    assert_eq!(shown, expected);
    let line = serde_json::to_string(&lines[0]).unwrap();
    assert_eq!(line, r#"{"provider":"gitlab","case":"c","verdict":"verified","reason":"","secret":"current"}"#);
    assert!(batch("{}", Path::new("."), builtin()).is_err());
}
