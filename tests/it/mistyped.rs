//! Names and ids that a person mistypes or cuts short: told with what exists, or understood.

use crate::support::{Gateway, Receiver, Site, github};
use crate::why::run;

fn forged() -> crate::support::Request {
    github("{}").without("X-Hub-Signature-256").with("X-Hub-Signature-256", format!("sha256={}", "0".repeat(64)))
}

/// Runs the words of `line`; the exit code, stdout and stderr.
fn said(site: &Site, gateway: &Gateway, line: &str) -> (i32, String, String) {
    run(site, gateway, &line.split(' ').collect::<Vec<_>>())
}

#[test]
fn a_mistyped_name_is_told_with_the_nearest_and_those_that_exist() {
    let receiver = Receiver::start();
    let site = Site::plain(&receiver);
    let gateway = site.start();
    let source = "there is no source `githb`; did you mean `github`? Known: github\n";
    for (line, told) in [
        ("events list --source githb", source),
        ("events list --outcome refused --source githb", source),
        ("events replay --source githb --dry-run", source),
        ("dlq list --source githb", source),
        ("dlq replay --source githb --yes", source),
        ("dlq drop --source githb --yes", source),
        ("quarantine list --source githb", source),
        ("quarantine judge --source githb", source),
        ("refused list --source githb", source),
        ("refused admit --source githb", source),
        ("redeliver githb --all", source),
        ("diff routes.yaml routes.yaml --source githb", source),
        ("events list --route al", "there is no route `al`; did you mean `all`? Known: all\n"),
        ("events list --destination ap", "there is no destination `ap`; did you mean `app`? Known: app\n"),
        ("parked list --destination other", "there is no destination `other`; known: app\n"),
        (
            "events replay --since 1h --to ap --dry-run",
            "there is no destination `ap`; did you mean `app`? Known: app\n",
        ),
    ] {
        let (code, out, err) = said(&site, &gateway, line);
        assert_eq!((code, out.as_str()), (2, ""), "{line}: {err}");
        assert_eq!(err, format!("hookgate: {told}"), "{line}");
    }
    let unknown = &gateway.admin("/api/v1/events?source=githb").json()["unknown"];
    assert_eq!(*unknown, serde_json::json!([{"what": "source", "name": "githb", "known": ["github"]}]));
    // A name that exists is no mistake because nothing is there.
    let (code, _, err) = said(&site, &gateway, "events list --source github");
    assert_eq!((code, err.as_str()), (0, "no event found\n"));
    let (code, _, err) = said(&site, &gateway, "refused list --destination app");
    assert!(code == 1 && err.contains("gone nowhere"), "{err}");
}

#[test]
fn one_list_shows_what_was_stored_filtered_and_refused() {
    let receiver = Receiver::start();
    let rest = Site::plain_rest(&receiver.url("/app"), "").replace("to: app}", "to: app, events: [push]}");
    let site = Site::new(&rest);
    let gateway = site.start();
    let stored = gateway.accept(&github("{}"));
    gateway.wait_for_metric("hookgate_deliveries_total", &[("result", "delivered")], 1);
    let star = github("{}").without("X-GitHub-Event").with("X-GitHub-Event", "star");
    assert_eq!((gateway.send(&star).status, gateway.send(&forged()).status), (200, 401));
    let (code, out, err) = said(&site, &gateway, "events list --outcome any");
    let outcomes: Vec<&str> = out.lines().skip(1).filter_map(|line| line.split_whitespace().nth(5)).collect();
    assert_eq!((code, err.as_str()), (0, "3 events\n"), "{out}");
    // The newest come first; the two that were not stored may be of one millisecond.
    assert!(["bad_signature", "filtered"].iter().all(|outcome| outcomes[..2].contains(outcome)), "{out}");
    assert_eq!(outcomes[2..], ["delivered"], "{out}");
    assert!(out.lines().nth(3).unwrap().contains(&stored), "the newest first: {out}");
    let (_, out, err) = said(&site, &gateway, "events list --outcome any --limit 2");
    assert_eq!((out.lines().count(), err.starts_with("2 events; there may be more")), (3, true), "{out}{err}");
}

#[test]
fn what_is_stored_under_a_name_that_a_reload_removed_is_still_found() {
    let receiver = Receiver::start();
    let site = Site::plain(&receiver);
    let gateway = site.start();
    let id = gateway.accept(&github("{}"));
    receiver.wait_for(1);
    site.rewrite(
        &Site::plain_rest(&receiver.url("/app"), "").replace("github:", "hub:").replace("from: github", "from: hub"),
    );
    gateway.reload();
    let (code, out, err) = said(&site, &gateway, "events list --source github");
    assert!(code == 0 && out.contains(&id) && err == "1 event\n", "{out}{err}");
    let (code, _, err) = said(&site, &gateway, "events list --source githu");
    assert!(code == 2 && err.contains("known: hub"), "{err}");
}

#[test]
fn the_beginning_of_an_id_is_enough_where_no_other_id_begins_so() {
    let receiver = Receiver::start();
    let site = Site::plain(&receiver);
    let gateway = site.start();
    let ids = [gateway.accept(&github("{\"n\":1}")), gateway.accept(&github("{\"n\":2}"))];
    gateway.wait_for_metric("hookgate_deliveries_total", &[("result", "delivered")], 2);
    for request in [forged(), github("{}").without("X-Hub-Signature-256")] {
        assert_eq!(gateway.send(&request).status, 401);
    }
    let held = gateway.admin("/api/v1/refused").json();
    let refused = held["refused"][0]["id"].as_str().unwrap();
    let is_shown = |line: &str, wanted: &str| {
        let (code, out, err) = said(&site, &gateway, line);
        assert!(code == 0 && out.contains(wanted), "{line}: {out}{err}");
    };
    for id in &ids {
        for beginning in [&id[..32], &id.replace('-', "")[..30], &id.to_uppercase()[..33]] {
            is_shown(&format!("events show {beginning}"), &format!("event       {id}\n"));
            is_shown(&format!("explain {beginning}"), "verified by the secret `main`");
            is_shown(&format!("events replay {beginning} --dry-run"), "1 delivery would be queued");
        }
    }
    is_shown(&format!("refused show {}", &refused[..32]), refused);
    is_shown(&format!("events show {}", &refused[..32]), refused);
    is_shown(&format!("refused admit {} --dry-run", &refused[..32]), refused);
    let (code, _, err) = said(&site, &gateway, &format!("dlq drop {} --dry-run", &ids[0][..32]));
    assert!(code == 0 && err.contains("no such dead letter"), "{err}");
    // Ids begin with the time, so the first digits are those of all.
    let (code, out, err) = said(&site, &gateway, &format!("events show {}", &ids[0][..4]));
    assert_eq!((code, out.as_str()), (1, ""), "{err}");
    assert!(err.contains(&format!("several ids begin with `{}`, write more of it: ", &ids[0][..4])), "{err}");
    assert!(ids.iter().all(|id| err.contains(id)) && err.contains(refused), "{err}");
    let (_, _, err) = said(&site, &gateway, &format!("refused show {}", &refused[..4]));
    assert!(err.contains(refused) && !ids.iter().any(|id| err.contains(id)), "{err}");
    let (code, _, err) = said(&site, &gateway, "events show ffff");
    assert!(code == 1 && err.contains("there is no such event"), "{err}");
    let answer = gateway.admin(&format!("/api/v1/events/{}", &ids[0][..4]));
    assert_eq!((answer.status, answer.json()["ids"].as_array().unwrap().len()), (409, 4), "{}", answer.text());
}

#[test]
fn what_is_no_id_is_told_what_an_id_looks_like() {
    let receiver = Receiver::start();
    let site = Site::plain(&receiver);
    let gateway = site.start();
    let long = "a".repeat(40);
    let looks = "one looks like 0199f3a1-7c2e-7d40-8a51-3b6c9e0d4f12";
    for nonsense in ["foo", "019", "0199f3a1_7c2e", "-- --", &long] {
        for command in [
            "events show",
            "events replay",
            "dlq replay",
            "dlq drop",
            "refused show",
            "refused admit",
            "quarantine judge --id",
        ] {
            // What begins with a hyphen is no value of a flag.
            if nonsense.starts_with('-') && command.ends_with("--id") {
                continue;
            }
            let (code, out, err) = said(&site, &gateway, &format!("{command} {nonsense}"));
            assert_eq!((code, out.as_str()), (2, ""), "{command} {nonsense}: {err}");
            assert!(nonsense.starts_with('-') || err.contains(looks), "{command} {nonsense}: {err}");
        }
    }
    let (code, _, err) = said(&site, &gateway, "explain foo");
    assert!(code == 1 && err.contains("`foo` is no file") && err.contains(looks), "{err}");
    for path in ["events/foo", "events/foo/explain", "refused/foo", "events/019"] {
        let answer = gateway.admin(&format!("/api/v1/{path}"));
        assert!(answer.status == 400 && answer.text().contains(looks), "{path}: {}", answer.text());
    }
}
