//! The gates on whole configurations: one test for each finding of a review.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use hookgate::accept::{Accepted, Notes, Receipt, accept, admit};
use hookgate::clock::Timestamp;
use hookgate::config::check::{Environment as Files, check};
use hookgate::event::{Event, KeyHash, OrderKey};
use hookgate::inbound::Head;
use hookgate::limit::{Gatekeeper, Rate};
use hookgate::provider::{KeyRing, Message, NoKeys, SignRequest};
use hookgate::refusal::Refusal;
use hookgate::rules::Rules;

const NOW: Timestamp = Timestamp::from_unix_secs(1_790_000_000);

/// A secret in base64, so that every scheme takes it as a key.
const SECRET: &str = "c2VjcmV0LW9mLWF0LWxlYXN0LXRoaXJ0eS10d28tYnl0ZXM=";

fn checked(sources: &str, more: &str) -> hookgate::config::check::CheckedFile {
    routed(sources, &format!("routes: {{r: {{from: s, to: d}}}}\ndestinations: {{d: {{url: http://d/}}}}\n{more}"))
}

fn routed(sources: &str, rest: &str) -> hookgate::config::check::CheckedFile {
    let text = format!(
        "version: 1\nlisteners: {{p: {{address: 127.0.0.1:1}}}}\nserver: {{public_url: \"https://h.example.com\"}}\n\
         sources:\n{sources}\n{rest}"
    );
    let env = |name: &str| {
        Some(match name {
            "RSA" => RSA.to_owned(),
            "ED" => ED.to_owned(),
            _ => SECRET.to_owned(),
        })
    };
    let read = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
    check(
        &text,
        std::path::Path::new("f.yaml"),
        &Files {
            env: &env,
            read: &read,
            notice: &|_| {},
            list: &|_| Ok(Vec::new()),
            now: NOW,
            processors: 1,
            disk_bytes: &|_| None,
            secrets: hookgate::config::check::Secrets::Real,
        },
    )
}

fn rules(source: &str) -> Rules {
    let checked = checked(&format!("  s: {{path: /in/s, {source}}}"), "");
    checked.setup.unwrap_or_else(|| panic!("{:?}", checked.problems)).live.rules
}

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn send(
    rules: &Rules,
    ring: &dyn KeyRing,
    (method, query): (&str, Option<&str>),
    headers: &HeaderMap,
    body: impl AsRef<[u8]>,
) -> Result<Accepted, Refusal> {
    noted(rules, ring, (method, query, headers), body)?.0
}

fn noted(
    rules: &Rules,
    ring: &dyn KeyRing,
    (method, query, headers): (&str, Option<&str>, &HeaderMap),
    body: impl AsRef<[u8]>,
) -> Result<(Result<Accepted, Refusal>, Notes), Refusal> {
    let body = body.as_ref();
    let rate = || Rate::new(NonZeroU32::new(1000).unwrap(), Duration::from_secs(1), None);
    let head = Head {
        method,
        path: "/in/s",
        query,
        host: "h.example.com",
        headers,
        params: &[],
        content_length: Some(body.len() as u64),
        sender: IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    let gate = Gatekeeper::new(rate(), rate());
    let admitted = admit(rules, &gate, head).map_err(|(_, refusal)| refusal)?;
    let receipt = Receipt { now: NOW, random: [7; 10], keys: ring, spends: true };
    Ok(accept(&admitted, Bytes::copy_from_slice(body), receipt))
}

fn post(rules: &Rules, pairs: &[(&str, &str)], body: impl AsRef<[u8]>) -> Result<Accepted, Refusal> {
    send(rules, &NoKeys, ("POST", None), &headers(pairs), body)
}

fn event(accepted: Result<Accepted, Refusal>) -> Event {
    match accepted {
        Ok(Accepted::Event(event) | Accepted::Quarantined(event)) => *event,
        other => panic!("{other:?}"),
    }
}

fn signed(rules: &Rules, id: &str, body: &str) -> Vec<(String, String)> {
    let headers = HeaderMap::new();
    let message =
        Message { method: "POST", url: "https://h.example.com/in/s", headers: &headers, body: body.as_bytes() };
    let made = rules.lanes[0].verifier.sign(&SignRequest { message, id, now: NOW }).unwrap();
    made.into_iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect()
}

fn borrowed(pairs: &[(String, String)]) -> Vec<(&str, &str)> {
    pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

// Under `enforce: false` Zoom's handshake, which signs any token, must still need a valid signature.
#[test]
fn a_handshake_that_needs_a_signature_is_not_answered_without_one_under_enforce_false() {
    let lax = rules("provider: zoom, enforce: false, secrets: [{env: Z}]");
    let wanted = r#"{\"event\":\"user.deleted\",\"forged\":true}"#;
    let text = format!("v0:{}:{wanted}", NOW.unix_secs());
    let question = format!(r#"{{"event":"endpoint.url_validation","payload":{{"plainToken":"{text}"}}}}"#);
    let json = [("content-type", "application/json")];
    let Ok(Accepted::Handshake(reply)) = post(&lax, &json, &question) else { return };
    // The stranger would have a signature now that an enforcing gateway accepts.
    let reply: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
    let signature = format!("v0={}", reply["encryptedToken"].as_str().unwrap());
    let strict = rules("provider: zoom, secrets: [{env: Z}]");
    let time = NOW.unix_secs().to_string();
    let pairs = [json[0], ("x-zm-signature", signature.as_str()), ("x-zm-request-timestamp", time.as_str())];
    let outcome = post(&strict, &pairs, wanted.replace('\\', ""));
    panic!("an event that nobody signed: {outcome:?}");
}

// X, Smartcar: a handshake's question may also be a body, so signing any question would sign events.
#[test]
fn what_a_handshake_signs_for_strangers_is_no_event() {
    let x = rules("provider: x_twitter, secrets: [{env: X}]");
    for body in ["12345", "true", "null", "a=b"] {
        let query = format!("crc_token={}", body.replace('=', "%3D"));
        let shaken = send(&x, &NoKeys, ("GET", Some(&query)), &HeaderMap::new(), "");
        let Ok(Accepted::Handshake(reply)) = shaken else { panic!("{body}: {shaken:?}") };
        let reply: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
        let signature = reply["response_token"].as_str().unwrap().to_owned();
        let outcome = post(&x, &[("x-twitter-webhooks-signature", &signature)], body);
        assert!(outcome.is_err(), "{body}: {outcome:?}");
    }
}

#[test]
fn what_smartcar_asks_is_no_event() {
    let smartcar = rules("provider: smartcar, secrets: [{env: X}]");
    let json = ("content-type", "application/json");
    let challenge = "3a5c8f72-e6d9-4b1a-9f2e-8c7d6a5b4e3f";
    let question = format!(r#"{{"eventName":"verify","payload":{{"challenge":"{challenge}"}}}}"#);
    let shaken = post(&smartcar, &[json], question);
    let Ok(Accepted::Handshake(reply)) = shaken else { panic!("{shaken:?}") };
    let reply: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
    let signature = reply["challenge"].as_str().unwrap().to_owned();
    let signed = headers(&[json, ("sc-signature", &signature)]);
    let (outcome, notes) = noted(&smartcar, &NoKeys, ("POST", None, &signed), challenge).unwrap();
    assert!(outcome.is_err(), "{outcome:?}");
    assert_eq!(notes.secret, None, "it must count neither as a use of the secret nor as a verified request");
}

#[test]
fn what_braintree_asks_is_no_event() {
    let braintree = rules("provider: braintree, context: {public_key: pk}, secrets: [{env: X}]");
    let challenge = "20f9f8ed05f77439fe955c977e4c8a53";
    let query = format!("bt_challenge={challenge}");
    let shaken = send(&braintree, &NoKeys, ("GET", Some(&query)), &HeaderMap::new(), "");
    let Ok(Accepted::Handshake(reply)) = shaken else { panic!("{shaken:?}") };
    let signature = String::from_utf8(reply.body).unwrap().replace('|', "%7C");
    let form = [("content-type", "application/x-www-form-urlencoded")];
    for padding in [0, 5000] {
        let padding = "9".repeat(padding);
        let body = format!("bt_signature={signature}&bt_payload={challenge}&amount={padding}");
        let outcome = post(&braintree, &form, body);
        assert!(outcome.is_err(), "{outcome:?}");
    }
}

// A delivery id must be the signed one; it is not enough that another id is signed.
#[test]
fn an_id_of_ones_own_choice_does_not_swallow_events_because_another_id_is_signed() {
    let rules = rules("provider: standardwebhooks, event: {id: body.data.id}, secrets: [{env: B}]");
    let keys: Vec<_> = ["created", "updated"]
        .iter()
        .enumerate()
        .map(|(number, kind)| {
            let body = format!(r#"{{"type":"user.{kind}","data":{{"id":"user_1"}}}}"#);
            let signed = signed(&rules, &format!("msg_{number}"), &body);
            event(post(&rules, &borrowed(&signed), &body)).dedup().map(|dedup| dedup.key)
        })
        .collect();
    assert_ne!(keys[0], keys[1], "two events under two signed ids are one to the duplicate check");
}

#[test]
fn an_unsigned_id_beside_the_signed_one_does_not_take_its_place() {
    let rules = rules("provider: svix, secrets: [{env: B}]");
    let body = r#"{"type":"a"}"#;
    let renamed: Vec<_> = signed(&rules, "msg_real", body)
        .into_iter()
        .map(|(name, value)| (name.replace("svix-", "webhook-"), value))
        .collect();
    let mut forged = borrowed(&renamed);
    forged.push(("svix-id", "msg_to_come"));
    let taken = event(post(&rules, &forged, body)).dedup().unwrap();
    let to_come = signed(&rules, "msg_to_come", body);
    let real = event(post(&rules, &borrowed(&to_come), body)).dedup().unwrap();
    assert_ne!(taken.key, real.key, "an event that is yet to come is swallowed");
    let again = event(post(&rules, &borrowed(&renamed), body)).dedup().unwrap();
    assert_eq!((taken.key, taken.body), (again.key, again.body), "the signed id is what tells a repetition");
}

// The `answers` of a row in the file are checked like those of a source.
#[test]
fn a_row_that_answers_2xx_for_what_was_not_stored_is_an_error() {
    let checked = checked(
        "  s: {path: /in/s, provider: own, secrets: [{env: A}]}",
        "providers: {own: {verify: {type: token, header: x}, answers: {buffer_full: {status: 200}}}}\n",
    );
    assert!(checked.setup.is_none() || !checked.problems.is_empty(), "{:?}", checked.problems);
}

#[test]
fn an_unverified_handshake_that_signs_by_digest_needs_a_pattern_too() {
    let checked = checked(
        "  s: {path: /in/s, provider: own, secrets: [{env: A}]}",
        "providers: {own: {verify: {type: digest, algorithm: sha256, header: x, encoding: hex, signed: '{body}{secret}'},
         handshake: {when: {method: GET, present: ['query:c']}, verified: false,
           sign: {type: digest, algorithm: sha256, encoding: hex, over: '{query:c}{secret}'}, reply: {text: '{sign}'}}}}\n",
    );
    assert!(checked.setup.is_none(), "a stranger can have any body signed");
}

// Pinned hosts.
#[test]
fn a_bucket_called_sns_is_not_sns() {
    for url in ["https://sns.s3.amazonaws.com/x.pem", "https://sns.s3-us-west-2.amazonaws.com/x.pem"] {
        assert_eq!(hookgate::provider::subscribe_url(url), None, "anyone with this bucket signs for AWS");
    }
}

// HubSpot v1 has no time and hashes `secret + body`, so a captured signature can be extended (length extension).
#[test]
fn hubspot_v1_cannot_be_continued_by_whoever_saw_one() {
    let hubspot = rules("provider: hubspot, secrets: [{env: H}]");
    let (seen, made) = (
        "be25d94da538a6d0b32246c47b9868c559664566f2ee9957f9e99ad2acfa73ef",
        "4af2c3e0f94655faaa5aa9bee156d16ee5bc64db2a75de6bf5671cf508df2516",
    );
    let headers = |signature| [("x-hubspot-signature-version", "v1"), ("x-hubspot-signature", signature)];
    // `[{"eventId":1}]`, the padding of SHA-256, `,{"forged":true}`: `seen` and the secret's length suffice.
    let forged = data_encoding::HEXLOWER.decode(b"5b7b226576656e744964223a317d5d80000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000001f82c7b22666f72676564223a747275657d").unwrap();
    drop(post(&hubspot, &headers(seen), &forged[..15]));
    let outcome = post(&hubspot, &headers(made), &forged);
    assert!(outcome.is_err(), "{outcome:?}");
}

// Kinde signs its users' access tokens with the same keys.
#[test]
fn an_access_token_of_a_user_is_no_event_of_kinde() {
    let kinde = rules("provider: kinde, context: {domain: x.kinde.com}, secrets: [{env: RSA}]");
    let outcome = post(&kinde, &[("content-type", "application/jwt")], ACCESS_TOKEN);
    assert!(outcome.is_err(), "{outcome:?}");
}

// Providers that sign for all customers with one key: the event's customer has to be compared.
#[test]
fn an_event_of_adobe_for_somebody_else_is_refused() {
    let adobe =
        rules("provider: adobe_io, context: {client_id: ours, recipient_client_id: ours}, secrets: [{env: RSA}]");
    let body = r#"{"recipient_client_id":"strangers_client","event":{"@type":"a"}}"#;
    let outcome = post(
        &adobe,
        &[(
            "x-adobe-digital-signature-1",
            "Ubkl4rafcucEYtPuhEOqur+vExTrVpgUJsVXjhENmxpU+k6EH/VbNlGmqnlmdxGFrYBc7+7jf31bZek/dowQDyHVjIBA2kEYJfegIzMQkaibFj313BiramTBtILFFxQXqnfsIizxaQB7c3oD+9AlgKc51jOEG0tjhBS4hCZIe0sXYPBSDC6QIokouXw9UtMHrMNF72WZ8yPqbfjNKilGacSxoyVaG1Cxsy9ko7HkV8fVb3QfUl8i5hrCIcv3nfkDegEOcPpbXx9I6Zorv8R6mC2NueYumtsHHLdkwKqW/ScsADg03kCCwjZxJws7UmnWTenwI0He3PwrFJ/cYqFlMQ==",
        )],
        body,
    );
    assert!(outcome.is_err(), "{outcome:?}");
}

#[test]
fn what_fal_signs_for_another_user_is_refused() {
    let fal = rules("provider: falai, context: {user_id: ours}, secrets: [{env: ED}]");
    let pairs = [
        (
            "x-fal-webhook-signature",
            "339dc4182f6dc266fe59d9b045410f29c9cd4c4ccf1cff74174eaa54679e15f5454b30ab0e7c483eaa6ab9f36bd1abd44d3ddc650b389f49b76fb69d9635310e",
        ),
        ("x-fal-webhook-request-id", "r"),
        ("x-fal-webhook-user-id", "user_stranger"),
        ("x-fal-webhook-timestamp", "1790000000"),
    ];
    let outcome = post(&fal, &pairs, r#"{"request_id":"r","status":"OK"}"#);
    assert!(outcome.is_err(), "{outcome:?}");
}

const ED: &str = r#"{"kty":"OKP","crv":"Ed25519","x":"1nBFMMtG6e_QtTTqI3tTNrS-YZxyCAP9LHziY-GIb0w"}"#;
const RSA: &str = "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAiKjukNEOK4NSO8l18Gh7\n96jFWYpVJxPjJ094EsZldyi5l+ZFfSq6WXwC7vheZvbVuBltsuiHyw1RHnnk0dn9\nVrlr1hPtFA3BSi0Cosyog+P6LP6W1WKL98FKyTC6zuimhwhwioIRhTTRF98oV62S\n2f61tM50wi0cVrro3yQSe4PYGanpmxltENQTzilmU8qBc52USMAxrHfe8kkPVjwo\nJiNcs4V23kN+ompdMUDQrVhK3DDsXwH99IpOYt9o73L8m7vUNoRUygdTArAuP5BI\nbSNQH4Cv8Pgeu7OThUG0KhmT5cWbT7iWuk3XjuUVkCM0VjVqBij8wZg9QsK8PEdl\ndQIDAQAB\n-----END PUBLIC KEY-----\n";
const ACCESS_TOKEN: &str = "eyJhbGciOiAiUlMyNTYiLCAidHlwIjogIkpXVCIsICJraWQiOiAiYSJ9.eyJhdWQiOiBbImh0dHBzOi8vYXBpLmV4YW1wbGUuY29tIl0sICJhenAiOiAiY2xpZW50IiwgImV4cCI6IDE3OTAwMDM2MDAsICJpYXQiOiAxNzg5OTk5OTAwLCAiaXNzIjogImh0dHBzOi8veC5raW5kZS5jb20iLCAianRpIjogIjEiLCAic2NwIjogWyJvcGVuaWQiXSwgInN1YiI6ICJrcF9hbnlfdXNlciJ9.XHy3gwYCKkqtV6QpzC4ZLbVqwNQX3cyMAlYz8l77scOgWx1NXgE_2NnS6Ur00sJehCe6yS-NPsny6DZ6isjHRfZ4ur9dEBBAZiw8atPrJEIHmGFasX6xUc-bs3--h04J90M8JqHfsC4ynaCEbzjIa6giIr4-sdVyqB8bq5NOd3Ni5Y7MpjjUZ-98OsI6obqGKZw9YgEKrMkQAcPKyatNWHrxyLXOaGhj2KdjsACE8SQcye8DL3RIzF5xyH7bx9XY8iEwN77I79NTQY4QzDw43ZU8UNkumoso1FodUX1yL9ValusvZbwS_J9I9kr0nk9N-brO6P3a5qfGdfXq5t_Avw";

#[test]
fn a_copy_carries_the_keys_of_its_route_and_of_its_destination() {
    let rest = "routes:
  ordered: {from: s, to: [hashed, plain], order_by: body.?repository}
  free: {from: s, to: hashed}
destinations:
  hashed: {targets: [{url: http://a/}, {url: http://b/}], balance: {by: consistent_hash, key: body.?customer}}
  plain: {url: http://c/}
";
    let checked = routed("  s: {path: /in/s, verify: {type: none, reason: a test}}", rest);
    let rules = checked.setup.unwrap_or_else(|| panic!("{:?}", checked.problems)).live.rules;
    let keys = |body: &str| {
        let copies = event(post(&rules, &[("content-type", "application/json")], body)).into_data().copies;
        let mut keys: Vec<_> = copies
            .iter()
            .map(|copy| (format!("{} {}", copy.route, copy.destination), copy.balance, copy.order.clone()))
            .collect();
        keys.sort_by(|one, other| one.0.cmp(&other.0));
        keys
    };
    let (customer, repository) = (Some(KeyHash::of("7")), Some(OrderKey::of("acme/web")));
    let name = str::to_owned;
    assert_eq!(
        keys(r#"{"repository":"acme/web","customer":7}"#),
        [
            (name("free hashed"), customer, None),
            (name("ordered hashed"), customer, repository.clone()),
            (name("ordered plain"), None, repository),
        ]
    );
    let keyless = keys(r#"{"action":"opened"}"#);
    assert!(keyless.iter().all(|(_, balance, order)| balance.is_none() && order.is_none()) && keyless.len() == 3);
    assert_eq!(keys("no JSON").len(), 0, "a key that cannot be told keeps the event back");
}
