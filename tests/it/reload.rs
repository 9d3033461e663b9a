//! New rules by signal, by the API and by command: all of them or none, and no request of that moment fails.

use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::Signal;
use serde_json::json;

use crate::support::{Connection, Gateway, Receiver, Request, SOON, Site, eventually, github, send, text_of};

fn successful(gateway: &Gateway) -> u64 {
    gateway.metrics().sum("hookgate_config_last_reload_successful", &[])
}

#[test]
fn a_good_file_puts_new_sources_routes_and_destinations_in_force() {
    let receiver = Receiver::start();
    let rest = Site::plain_rest(&receiver.url("/app"), "");
    let site = Site::new(&rest);
    let gateway = site.start();
    assert_eq!(gateway.send(&github("{}").to("/in/more")).status, 404);
    let more = rest
        .replace("routes:", "  more: {path: /in/more, provider: github, secrets: [{name: main, env: GITHUB_SECRET}]}\nroutes:\n  more: {from: more, to: more}")
        + &format!("  more: {{url: \"{}\"}}\n", receiver.url("/more"));
    site.rewrite(&more);
    gateway.reload();
    assert_eq!(successful(&gateway), 1);
    let id = gateway.accept(&github("{}").to("/in/more"));
    let seen = receiver.wait_for(1);
    assert_eq!((seen[0].target.as_str(), seen[0].event_id()), ("/more", id));
    // The new rules are removed again.
    site.rewrite(&rest);
    gateway.reload();
    assert_eq!(gateway.send(&github("{}").to("/in/more")).status, 404);
    gateway.accept(&github("{}"));
}

#[test]
fn a_bad_file_changes_nothing_and_says_so() {
    let receiver = Receiver::start();
    let rest = Site::plain_rest(&receiver.url("/app"), "");
    let site = Site::new(&rest);
    let gateway = site.start();
    assert_eq!(successful(&gateway), 1);
    let bad = [
        rest.replace("/in/github", "/in/other").replace("to: app", "to: nobody"),
        rest.replace("/in/github", "/in/other").replace("GITHUB_SECRET", "NOT_SET_ANYWHERE"),
        "sources: [".to_owned(),
    ];
    for (at, bad) in bad.iter().enumerate() {
        site.rewrite(bad);
        gateway.reload();
        assert_eq!(successful(&gateway), 0, "file {at}");
        assert_eq!(gateway.send(&github("{}").to("/in/other")).status, 404, "file {at}");
        gateway.accept(&github("{}"));
        let said = || gateway.log().matches("the old rules stay in force").count() == at + 1;
        eventually("the log says so, once a file", SOON, || said().then_some(()));
    }
    std::fs::remove_file(site.path("routes.yaml")).unwrap();
    gateway.reload();
    assert_eq!((successful(&gateway), gateway.send(&github("{}")).status), (0, 200));
    site.rewrite(&rest.replace("/in/github", "/in/other"));
    gateway.reload();
    assert_eq!(successful(&gateway), 1);
    assert_eq!(gateway.send(&github("{}")).status, 404);
    gateway.accept(&github("{}").to("/in/other"));
    gateway.wait_for_metric("hookgate_config_reloads_total", &[("result", "refused")], 4);
}

#[test]
fn no_request_fails_while_rules_are_replaced() {
    let receiver = Receiver::start();
    let rest = Site::plain_rest(&receiver.url("/app"), "");
    let site = Site::new(&rest);
    let gateway = site.start();
    let stop = AtomicBool::new(false);
    let sent: usize = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut connection = gateway.connect();
                    let mut sent = 0;
                    while !stop.load(Ordering::Relaxed) {
                        let answer = connection.send(&github("{}")).unwrap();
                        assert_eq!(answer.status, 200, "{}", answer.text());
                        sent += 1;
                    }
                    sent
                })
            })
            .collect();
        for round in 0..10 {
            let changed = rest.replace("max_attempts: 1000", &format!("max_attempts: {}", 1000 + round));
            site.rewrite(if round % 3 == 2 { "sources: [" } else { &changed });
            gateway.reload();
        }
        stop.store(true, Ordering::Relaxed);
        senders.into_iter().map(|sender| sender.join().unwrap()).sum()
    });
    receiver.wait_for(sent);
    gateway.wait_for_metric("hookgate_deliveries_total", &[("result", "delivered")], sent as u64);
    assert!(sent >= 30, "{sent}");
}

/// Sends a signed event without its last bytes, and waits until the gateway has its head.
fn begin(gateway: &Gateway, body: &str) -> (Connection, Vec<u8>) {
    let wire = github(body).wire();
    let (head, rest) = wire.split_at(wire.len() - 3);
    let mut connection = gateway.connect();
    connection.write(head).unwrap();
    let in_flight = || gateway.metrics().sum("hookgate_requests_in_flight", &[]) == 1;
    eventually("the request is in flight", SOON, || in_flight().then_some(()));
    (connection, rest.to_vec())
}

#[test]
fn a_request_in_flight_finishes_under_the_rules_it_began_with() {
    let receiver = Receiver::start();
    let rest = Site::plain_rest(&receiver.url("/app"), "");
    let site = Site::new(&rest.replace("env: GITHUB_SECRET", "file: secret"));
    site.file("secret", crate::support::SECRET.as_bytes());
    let gateway = site.start();
    // The source is removed, or gets another secret, before the body is complete.
    for (round, changed) in
        [rest.replace("/in/github", "/in/other"), rest.replace("env: GITHUB_SECRET", "file: other")].iter().enumerate()
    {
        site.file("other", b"another-secret-0123456789");
        let (mut connection, last) = begin(&gateway, &format!("{{\"began\":{round}}}"));
        site.rewrite(changed);
        gateway.reload();
        assert_eq!(successful(&gateway), 1);
        assert_ne!(gateway.send(&github("{}")).status, 200, "the new rules do not take it");
        connection.write(&last).unwrap();
        let answer = connection.answer().unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(receiver.wait_for(round + 1)[round].event_id(), answer.event_id().unwrap());
        site.rewrite(&rest);
        gateway.reload();
    }
}

#[test]
fn a_delivery_in_flight_finishes_and_its_next_try_goes_by_the_new_rules() {
    let receiver = Receiver::start();
    receiver.script("/old", [crate::support::Reply::status(503).after(std::time::Duration::from_millis(500))]);
    let rest = Site::plain_rest(&receiver.url("/old"), "");
    let site = Site::new(&rest);
    let gateway = site.start();
    let id = gateway.accept(&github("{}"));
    gateway.wait_for_metric("hookgate_delivery_in_flight", &[("destination", "app")], 1);
    site.rewrite(&rest.replace("/old", "/new"));
    let answer = gateway.change("POST", "/api/v1/reload", "");
    assert_eq!(answer.status, 200, "{}", answer.text());
    // A worker that was waiting for a delivery must not start one under the old rules.
    let next = gateway.accept(&github("{}"));
    let seen = receiver.wait_for(3);
    let at = |path: &str| seen.iter().filter(|seen| seen.target == path).map(crate::support::Seen::event_id).collect();
    let (old, mut new): (Vec<String>, Vec<String>) = (at("/old"), at("/new"));
    new.sort();
    assert_eq!((old, new), (vec![id.clone()], vec![id, next]));
}

#[test]
fn a_plain_signal_reads_the_secrets_anew() {
    let receiver = Receiver::start();
    let site = Site::new(&Site::plain_rest(&receiver.url("/app"), "").replace("env: GITHUB_SECRET", "file: secret"));
    site.file("secret", b"not-the-right-one-012345");
    let gateway = site.start();
    assert_eq!(gateway.send(&github("{}")).status, 401);
    site.file("secret", crate::support::SECRET.as_bytes());
    assert_eq!(gateway.send(&github("{}")).status, 401, "nobody has said that it changed");
    gateway.reload();
    gateway.accept(&github("{}"));
}

#[test]
fn the_api_and_the_command_say_what_came_of_a_reload() {
    let receiver = Receiver::start();
    let rest = Site::plain_rest(&receiver.url("/app"), "");
    let site = Site::new(&rest);
    let gateway = site.start();
    let admin = format!("http://{}", gateway.admin_address());
    let ask = || gateway.change("POST", "/api/v1/reload", "{}");
    assert_eq!(
        (ask().status, ask().json()),
        (200, json!({"reloaded": true, "changes": [], "warnings": 0, "problems": [], "backlogs": []}))
    );
    // Settings that need a restart are named, and the rest is in force.
    let other = format!("{}  spare: {{url: \"{}\"}}\nbuffer: {{max_size: 2GiB}}\n", rest, receiver.url("/spare"));
    let site = site.listener("limits: {headers: 8KiB}", &other.replace("/in/github", "/in/moved"));
    let answer = ask().json();
    assert_eq!((&answer["changes"], &answer["warnings"]), (&json!(["buffer.max_size", "listeners.public"]), &json!(1)));
    gateway.accept(&github("{}").to("/in/moved"));
    let ended = site.cli(&["reload", "--admin", &admin]);
    let said = (text_of(&ended.stdout), text_of(&ended.stderr));
    assert!(
        said.0.contains("the new rules are in force (1 warning)\nbuffer.max_size changes at the next restart\n"),
        "{said:?}"
    );
    assert!(said.1.contains("warning[unused]: no route sends to this destination"), "{said:?}");
    assert_eq!(ended.status.code(), Some(0));

    site.rewrite(&rest.replace("from: github, to: app", "from: github, to: ap"));
    let refused = ask();
    let problem = refused.json();
    assert_eq!((refused.status, refused.header("content-type")), (422, Some("application/problem+json")));
    assert_eq!((&problem["reloaded"], &problem["problems"][0]["code"]), (&json!(false), &json!("unknown_name")));
    let place = (problem["problems"][0]["line"].as_u64().unwrap(), problem["problems"][0]["column"].as_u64().unwrap());
    let ended = site.cli(&["reload", "--admin", &admin]);
    let said = text_of(&ended.stderr);
    assert!(said.contains(&format!("routes.yaml:{}:{}: error[unknown_name]: ", place.0, place.1)), "{said}");
    assert!(said.contains("help: did you mean `app`?") && said.contains("1 error; the old rules stay"), "{said}");
    assert_eq!((ended.status.code(), text_of(&ended.stdout)), (Some(78), String::new()));
    // One log line has the first problem with its place; stderr has all problems as `check` prints them.
    let (log, line) = eventually("the line is written", SOON, || {
        let log = gateway.log();
        let line = log.lines().find(|line| line.contains("the old rules stay in force"))?;
        Some((log.clone(), serde_json::from_str::<serde_json::Value>(line).unwrap()))
    });
    assert_eq!((&line["level"], &line["problems"]), (&json!("ERROR"), &json!(1)));
    assert!(line["first"].as_str().unwrap().contains(&format!("routes.yaml:{}:{}: ", place.0, place.1)), "{line}");
    assert!(log.contains("error[unknown_name]: ") && log.contains("^^"), "{log}");
    gateway.accept(&github("{}").to("/in/moved"));

    std::fs::remove_file(site.path("routes.yaml")).unwrap();
    let gone = ask();
    assert!(gone.status == 422 && gone.text().contains("cannot read"), "{}", gone.text());
    gateway.wait_for_metric("hookgate_config_reloads_total", &[("result", "applied")], 4);
    gateway.wait_for_metric("hookgate_config_reloads_total", &[("result", "refused")], 3);
    site.rewrite(&rest);
    drop(gateway);
    assert_eq!(site.cli(&["reload", "--admin", &admin]).status.code(), Some(69));
}

#[test]
fn reloads_at_once_are_made_one_after_another() {
    let receiver = Receiver::start();
    let site = Site::plain(&receiver);
    let gateway = site.start();
    std::thread::scope(|scope| {
        let asks: Vec<_> =
            (0..8).map(|_| scope.spawn(|| gateway.change("POST", "/api/v1/reload", "{}").status)).collect();
        assert!(asks.into_iter().all(|ask| ask.join().unwrap() == 200));
    });
    assert_eq!(gateway.metrics().sum("hookgate_config_reloads_total", &[("result", "applied")]), 8);
    assert_eq!(gateway.change("POST", "/api/v1/reload", "{\"file\": \"/etc/passwd\"}").status, 400);
}

#[test]
fn a_gateway_that_is_stopping_takes_no_new_rules() {
    let receiver = Receiver::start();
    let site = Site::plain(&receiver);
    let mut gateway = site.start();
    let (mut connection, last) = begin(&gateway, "{\"began\":1}");
    gateway.signal(Signal::TERM);
    eventually("it stops", SOON, || gateway.log().contains("\"stopping\"").then_some(()));
    let refused = gateway.change("POST", "/api/v1/reload", "{}");
    assert_eq!(refused.status, 503);
    assert!(refused.text().contains("the gateway is stopping and takes no new rules"), "{}", refused.text());
    let ended = site.cli(&["reload", "--admin", &format!("http://{}", gateway.admin_address())]);
    assert_eq!(ended.status.code(), Some(1), "{}", text_of(&ended.stderr));
    gateway.signal(Signal::HUP);
    eventually("the signal is answered", SOON, || gateway.log().contains("is not read anew").then_some(()));
    connection.write(&last).unwrap();
    assert_eq!(connection.answer().unwrap().status, 200, "what has begun is finished");
    assert!(gateway.wait().success());
}

#[test]
fn the_token_of_the_admin_listener_is_read_anew_and_never_lost() {
    let receiver = Receiver::start();
    let site = Site::plain(&receiver);
    let text = std::fs::read_to_string(site.path("routes.yaml")).unwrap();
    let guarded = text.replace("\"127.0.0.1:0\"}\nlisteners", "\"0.0.0.0:0\", token: {file: token}}\nlisteners");
    assert_ne!(guarded, text);
    site.file("routes.yaml", guarded.as_bytes());
    site.file("token", b"the-first-token");
    let gateway = site.start();
    let status = |token: &str, target: &str| {
        let request = Request::new("POST", target, "{}")
            .with("Content-Type", "application/json")
            .with("Authorization", format!("Bearer {token}"));
        send(gateway.admin_address(), &request).unwrap().status
    };
    assert_eq!(status("the-second-token", "/api/v1/reload"), 401);
    site.file("token", b"the-second-token");
    assert_eq!(status("the-first-token", "/api/v1/reload"), 200);
    assert_eq!(status("the-first-token", "/api/v1/reload"), 401);
    // A file without a token needs a listener on loopback; this listener moves there with a restart only.
    site.file("routes.yaml", text.as_bytes());
    assert_eq!(status("the-second-token", "/api/v1/reload"), 200);
    assert_eq!((status("", "/api/v1/reload"), status("the-second-token", "/api/v1/reload")), (401, 200));
}
