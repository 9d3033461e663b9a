//! Credentials in requests: shown nowhere, and forwarded as `forward_secret` says. Secrets of the configuration:
//! messages about malformed ones, and about values from variables.

use crate::support::{Gateway, Receiver, Request, SECRET as TOKEN, Site, github};
use crate::why::{newest, run};

/// Returns one source with these settings, and destinations at the receiver, each with its name as the path.
fn rest(receiver: &Receiver, source: &str, destinations: &[(&str, &str)]) -> String {
    let names: Vec<&str> = destinations.iter().map(|(name, _)| *name).collect();
    let one = |(name, settings): &(&str, &str)| {
        format!("  {name}: {{url: \"{}\"{settings}}}\n", receiver.url(&format!("/{name}")))
    };
    let listed = destinations.iter().map(one).collect::<Vec<_>>().concat();
    format!(
        "sources:\n  shop: {{path: /in/shop, secrets: [{{name: main, env: GITHUB_SECRET}}], {source}}}\nroutes:\n  all: {{from: shop, \
         to: [{}], when: 'query != \"x\"'}}\ndestinations:\n{listed}",
        names.join(", ")
    )
}

/// Everything that people are shown of one event, and every list and the log.
pub(crate) fn shown(site: &Site, gateway: &Gateway, id: &str) -> Vec<(String, String)> {
    let mut shown = Vec::new();
    for page in [
        &format!("/api/v1/events/{id}"),
        &format!("/api/v1/events/{id}/explain"),
        &format!("/api/v1/refused/{id}"),
        "/api/v1/events",
        "/api/v1/events?outcome=refused",
        "/api/v1/events?outcome=filtered",
        "/api/v1/refused?outcome=refused",
        "/api/v1/dead-letters",
        "/api/v1/quarantine",
        "/api/v1/parked",
        "/api/v1/destinations",
    ] {
        shown.push((page.to_owned(), gateway.admin(page).text()));
    }
    for args in [
        &["events", "show", id][..],
        &["explain", id],
        &["explain", id, "--format", "json"],
        &["events", "show", id, "--curl", "--to", "http://127.0.0.1:9/"],
        &["events", "list"],
        &["events", "list", "--outcome", "refused"],
        &["events", "list", "--format", "json"],
        &["refused", "list"],
        &["refused", "show", id],
        &["dlq", "list"],
        &["quarantine", "list"],
        &["parked", "list"],
    ] {
        let (_, said, told) = run(site, gateway, args);
        shown.push((args.join(" "), said + &told));
    }
    let draft = site.path("routes.yaml");
    let (_, said, told) = run(site, gateway, &["explain", id, "--config", draft.to_str().unwrap()]);
    shown.push(("explain --config".to_owned(), said + &told));
    shown.push(("the log".to_owned(), gateway.log()));
    shown
}

fn shop(target: &str) -> Request {
    Request::new("POST", target, r#"{"type": "sold", "n": 1}"#).with("Content-Type", "application/json")
}

#[test]
fn a_token_in_the_query_is_shown_nowhere_and_not_forwarded() {
    let receiver = Receiver::start();
    let by_token = "verify: {type: token, from: 'query:token'}";
    let destinations = [("app", ""), ("boxed", ", format: envelope"), ("cloud", ", format: cloudevents")];
    let made =
        "  made: {from: shop, to: made, transform: {body: '{\"seen\": query, \"all\": headers}'}}\ndestinations:\n";
    let made = format!("{made}  made: {{url: \"{}\"}}\n", receiver.url("/made"));
    let site = Site::new(&rest(&receiver, by_token, &destinations).replace("destinations:\n", &made));
    let gateway = site.start();
    let id = gateway.accept(&shop(&format!("/in/shop?a=%20b&t%6Fken={TOKEN}&c")));
    gateway.wait_for_metric("hookgate_deliveries_total", &[("result", "delivered")], 4);
    for path in ["/app", "/boxed", "/cloud", "/made"] {
        let seen = &receiver.seen_at(path)[0];
        assert_eq!(seen.target, format!("{path}?a=%20b&c"), "the rest of the query keeps its bytes");
        assert!(!String::from_utf8_lossy(&seen.body).contains(TOKEN), "{path}");
    }
    assert_eq!(receiver.seen_at("/app")[0].body, br#"{"type": "sold", "n": 1}"#, "byte for byte");
    for (what, text) in shown(&site, &gateway, &id) {
        assert!(!text.contains(TOKEN), "{what}: {text}");
    }
    let (_, said, _) = run(&site, &gateway, &["explain", &id]);
    assert!(said.contains("not forwarded: query:token") && said.contains("t%6Fken=[redacted]"), "{said}");
    let (code, command, told) = run(&site, &gateway, &["events", "show", &id, "--curl"]);
    assert!(code == 0 && command.contains("t%6Fken='\"${TOKEN:?}\"'&c'"), "{command}");
    assert!(told.contains("set TOKEN") && !command.contains(TOKEN), "{told}");
    // A replay sends the same as the first attempt, from the stored bytes.
    let (code, _, told) = run(&site, &gateway, &["events", "replay", &id, "--to", "app", "--yes"]);
    assert_eq!(code, 0, "{told}");
    gateway.wait_for_metric("hookgate_deliveries_total", &[("result", "delivered")], 5);
    assert_eq!(receiver.seen_at("/app")[1].target, "/app?a=%20b&c");
    assert!(!gateway.log().contains(TOKEN), "{}", gateway.log());
}

#[test]
fn a_wrong_token_is_not_shown_either() {
    let receiver = Receiver::start();
    let site =
        Site::new(&rest(&receiver, "provider: gitlab, verify: {type: token, from: 'query:token'}", &[("app", "")]));
    let gateway = site.start();
    let wrong = "another-t0ken-that-somebody-uses";
    assert_eq!(gateway.send(&shop(&format!("/in/shop?token={wrong}")).with("X-Gitlab-Token", wrong)).status, 401);
    let refused = newest(&gateway, "bad_signature");
    assert_eq!(
        gateway.send(&shop(&format!("/in/shp?token={wrong}")).with("Authorization", format!("Bearer {wrong}"))).status,
        404
    );
    let lost = newest(&gateway, "not_found");
    for id in [refused, lost] {
        for (what, text) in shown(&site, &gateway, &id) {
            assert!(!text.contains(wrong), "{what}: {text}");
        }
        let hidden = gateway.admin(&format!("/api/v1/events/{id}")).json()["event"]["hidden"].clone();
        assert!(hidden.as_array().unwrap().iter().any(|place| place == "query:token"), "{hidden}");
    }
    assert!(!gateway.log().contains(wrong), "{}", gateway.log());
}

#[test]
fn a_token_in_a_header_goes_on_as_it_came_and_forward_secret_takes_it_out() {
    for (settings, goes_on) in [("", true), (", forward_secret: true", true), (", forward_secret: false", false)] {
        let receiver = Receiver::start();
        let destinations = [("app", ""), ("boxed", ", format: envelope")];
        let site = Site::new(&rest(&receiver, &format!("provider: gitlab{settings}"), &destinations));
        let gateway = site.start();
        let id = gateway.accept(&shop("/in/shop").with("X-Gitlab-Token", TOKEN).with("X-Gitlab-Event", "Push Hook"));
        gateway.wait_for_metric("hookgate_deliveries_total", &[("result", "delivered")], 2);
        assert_eq!(receiver.seen_at("/app")[0].header("x-gitlab-token").is_some(), goes_on, "{settings}");
        let boxed = String::from_utf8_lossy(&receiver.seen_at("/boxed")[0].body).into_owned();
        assert_eq!(boxed.contains(TOKEN), goes_on, "{settings}: {boxed}");
        for (what, text) in shown(&site, &gateway, &id) {
            assert!(!text.contains(TOKEN), "{settings} {what}: {text}");
        }
        let (_, command, _) = run(&site, &gateway, &["events", "show", &id, "--curl"]);
        assert!(command.contains("-H 'x-gitlab-token: '\"${X_GITLAB_TOKEN:?}\""), "{command}");
    }
}

#[test]
fn forward_secret_lets_a_token_in_the_query_go_on_also_while_the_sender_waits() {
    for (settings, target) in
        [("", "/app?a=1".to_owned()), (", forward_secret: true", format!("/app?a=1&token={TOKEN}"))]
    {
        let receiver = Receiver::start();
        let source = format!("verify: {{type: token, from: 'query:token'}}, mode: sync{settings}");
        let site = Site::new(&rest(&receiver, &source, &[("app", "")]));
        let gateway = site.start();
        assert_eq!(gateway.send(&shop(&format!("/in/shop?a=1&token={TOKEN}"))).status, 200);
        assert_eq!(receiver.seen_at("/app")[0].target, target);
    }
}

#[test]
fn a_token_in_the_body_and_a_parameter_that_the_operator_names_are_not_shown() {
    let receiver = Receiver::start();
    let source = "verify: {type: token, from: 'json:/auth/token'}";
    let site = Site::new(&(rest(&receiver, source, &[("app", "")]) + "capture: {redact: [\"query:who\"]}\n"));
    let gateway = site.start();
    let body = format!(r#"{{"auth": {{"token": "{TOKEN}"}}, "n": 1}}"#);
    let sent = Request::new("POST", "/in/shop?who=somebody&b=1", body.clone()).with("Content-Type", "application/json");
    let id = gateway.accept(&sent);
    gateway.wait_for_metric("hookgate_deliveries_total", &[("result", "delivered")], 1);
    assert_eq!(receiver.seen_at("/app")[0].body, body.as_bytes(), "byte for byte");
    assert_eq!(receiver.seen_at("/app")[0].target, "/app?who=somebody&b=1");
    for (what, text) in shown(&site, &gateway, &id) {
        assert!(!text.contains(TOKEN) && !text.contains("somebody"), "{what}: {text}");
    }
}

#[test]
fn a_secret_in_a_wrong_dress_is_told_by_what_it_would_be_right_without() {
    let receiver = Receiver::start();
    let plain = Site::plain_rest(&receiver.url("/app"), "");
    for (dressed, near) in [
        (format!("\"{TOKEN}\""), "it is right without the quotes (the secret `main`)"),
        (format!("HUB={TOKEN}"), "it is right with NAME= removed (the secret `main`)"),
        (format!("export HUB={TOKEN}"), "it is right with NAME= removed (the secret `main`)"),
        (
            format!("{{\n  \"user\": \"hub\",\n  \"secret\": \"{TOKEN}\"\n}}\n"),
            "it is right as one text of the JSON document, without the rest (the secret `main`)",
        ),
        (
            format!("{TOKEN}\r\nof the hub\r\n"),
            "it is right as one of its lines, without the others (the secret `main`)",
        ),
        (
            format!("USER=hub\nSECRET=\"{TOKEN}\"\n"),
            "it is right as one of its lines, without the others, with NAME= removed, without the quotes",
        ),
        (
            format!("\u{feff}{TOKEN}\u{200b}"),
            "it is right without the byte order mark, without the invisible characters",
        ),
        (data_encoding::BASE64.encode(TOKEN.as_bytes()), "it is right base64-decoded"),
    ] {
        let site = Site::new(&plain.replace("env: GITHUB_SECRET", "file: hub"));
        site.file("hub", dressed.as_bytes());
        let gateway = site.start();
        assert_eq!(gateway.send(&github("{}")).status, 401);
        let (_, said, _) = run(&site, &gateway, &["explain", &newest(&gateway, "bad_signature")]);
        assert!(said.contains(near) && !said.contains(TOKEN), "{near}: {said}");
    }
}

#[test]
fn the_url_that_was_judged_is_shown_and_the_one_that_would_be_right() {
    let receiver = Receiver::start();
    let source = "provider: twilio, public_url: 'https://hooks.example.com'";
    let site = Site::new(&rest(&receiver, source, &[("app", "")]));
    let gateway = site.start();
    let signed = b"http://hooks.example.com/in/shopBodyhello";
    let mac = {
        use hmac::{Hmac, KeyInit, Mac};
        let mut mac = Hmac::<sha1::Sha1>::new_from_slice(TOKEN.as_bytes()).unwrap();
        mac.update(signed);
        data_encoding::BASE64.encode(&mac.finalize().into_bytes())
    };
    let sent = Request::new("POST", "/in/shop", "Body=hello")
        .with("Content-Type", "application/x-www-form-urlencoded")
        .with("X-Twilio-Signature", mac);
    assert_eq!(gateway.send(&sent).status, 401);
    let (_, said, _) = run(&site, &gateway, &["explain", &newest(&gateway, "bad_signature")]);
    assert!(said.contains("judged over the URL https://hooks.example.com/in/shop"), "{said}");
    let near = "it is right for the URL http://hooks.example.com/in/shop (http instead of https)";
    assert!(said.contains(near), "{said}");
}

#[test]
fn neither_a_refused_reload_nor_an_explanation_says_the_value_of_a_variable() {
    let receiver = Receiver::start();
    let good = rest(&receiver, "provider: github", &[("app", "")])
        .replace("query != \"x\"", "query != \"x\" && body.type != \"${GITHUB_SECRET}\"");
    let site = Site::new(&good);
    let gateway = site.start();
    let mut sent = github(r#"{"type": "sold"}"#).to("/in/shop");
    sent = sent.without("X-Hub-Signature-256");
    let signature = crate::support::hmac_hex(TOKEN, &sent.body);
    let id = gateway.accept(&sent.with("X-Hub-Signature-256", format!("sha256={signature}")));
    for (what, text) in shown(&site, &gateway, &id) {
        assert!(!text.contains(TOKEN), "{what}: {text}");
    }
    let (_, said, _) = run(&site, &gateway, &["explain", &id]);
    assert!(said.contains("body.type != \"${GITHUB_SECRET}\""), "{said}");
    site.rewrite(&good.replace(&receiver.url("/app"), &receiver.url("/services/${GITHUB_SECRET}")));
    assert_eq!(gateway.change("POST", "/api/v1/reload", "{}").status, 200);
    let listed = gateway.admin("/api/v1/destinations").text();
    assert!(listed.contains("/services/${GITHUB_SECRET}") && !listed.contains(TOKEN), "{listed}");
    let (code, _, told) = run(&site, &gateway, &["events", "show", &id, "--curl"]);
    assert!(code == 2 && told.contains("say where to with --to URL"), "{told}");
    site.rewrite(&good.replace(&receiver.url("/app"), "https://h/services/${GITHUB_SECRET}#x"));
    let refused = gateway.change("POST", "/api/v1/reload", "{}");
    assert_eq!(refused.status, 422);
    assert!(refused.text().contains("https://h/services/${GITHUB_SECRET}#x"), "{}", refused.text());
    let text = refused.text() + &gateway.log();
    assert!(!text.contains(TOKEN), "{text}");
}
