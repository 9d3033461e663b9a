//! `run`, `send` and `demo`.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use super::{Folder, end, good, hookgate, run};

/// Returns an address at which nobody listens; it was free a moment ago.
fn nobody() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[test]
fn run_with_an_invalid_file_starts_nothing() {
    let folder = Folder::with(&good("127.0.0.1:0").replace("to: orders", "to: oders"));
    let ended = end(hookgate(&["run"]).arg(folder.routes()).env("SECRET", "s")).with(78);
    assert!(ended.stdout.is_empty(), "{}", ended.stdout);
    for text in ["error[unknown_name]", "routes.yaml:8:28", "is invalid; nothing was started"] {
        assert!(ended.stderr.contains(text), "{}", ended.stderr);
    }
    assert!(!folder.0.path().join("data").exists(), "nothing is made on disk");
    assert!(run(&["run", "no/such.yaml"]).with(78).stderr.contains("cannot read no/such.yaml"));
}

#[test]
fn run_fails_when_its_address_is_taken() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = Folder::with(&good(&taken.local_addr().unwrap().to_string()));
    let ended = end(hookgate(&["run"]).arg(folder.routes()).env("SECRET", "s")).with(1);
    assert!(ended.stderr.contains("public"), "{}", ended.stderr);
}

#[test]
fn send_against_nothing_is_unreachable() {
    let folder = Folder::with(&good(&nobody()));
    let send = |args: &[&str]| end(hookgate(args).arg("--config").arg(folder.routes()).env("SECRET", "s"));
    let ended = send(&["send", "shop", "push"]).with(69);
    assert!(ended.stdout.is_empty() && ended.stderr.contains("no answer from 127.0.0.1:"), "{}", ended.stderr);
    send(&["send", "shop", "push", "--to", &format!("http://{}/in/shop", nobody())]).with(69);
}

#[test]
fn send_says_what_it_does_not_know() {
    let folder = Folder::with(&good(&nobody()));
    let send = |args: &[&str], code| {
        end(hookgate(args).arg("--config").arg(folder.routes()).env("SECRET", "s")).with(code).stderr
    };
    assert!(send(&["send", "shp"], 2).contains("there is no source `shp`; did you mean `shop`? Known: shop"));
    assert!(send(&["send", "shop", "no.such"], 1).contains("recorded events: push, "));
    assert!(send(&["send", "shop", "--file", "no/such.json"], 1).contains("cannot read no/such.json"));
    assert!(send(&["send", "shop", "--to", "nowhere"], 1).contains("--to http://host:port/path"));
    let ended = run(&["send", "shop", "--config", "no/such.yaml"]).with(78);
    assert!(ended.stderr.contains("cannot read no/such.yaml"), "{}", ended.stderr);
    assert!(
        end(hookgate(&["send", "shop", "--config"]).arg(folder.routes()))
            .with(78)
            .stderr
            .contains("`SECRET` is not set")
    );
}

/// Runs `hookgate send` with `args` against a service that accepts everything; returns the ids of the events.
fn ids_sent(folder: &Folder, args: &[&str], count: usize) -> Vec<String> {
    let service = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = format!("http://{}/in/shop", service.local_addr().unwrap());
    let taking = std::thread::spawn(move || {
        let taken = service.incoming().take(count).map(|stream| {
            let (mut stream, mut received, mut buffer) = (stream.unwrap(), Vec::new(), [0; 4096]);
            loop {
                let text = String::from_utf8_lossy(&received).into_owned();
                let body = text.split_once("\r\n\r\n").map(|(_, body)| serde_json::from_str(body));
                if let Some(Ok(body)) = body {
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
                    let body: serde_json::Value = body;
                    let of_github = text.lines().find_map(|line| line.strip_prefix("x-github-delivery: "));
                    return of_github.or_else(|| body.get("id")?.as_str()).unwrap().to_owned();
                }
                let read = stream.read(&mut buffer).unwrap();
                assert!(read > 0, "the request ended early: {text}");
                received.extend_from_slice(buffer.get(..read).unwrap());
            }
        });
        taken.collect()
    });
    let mut send = hookgate(&["send", "shop", "--to", &to, "--config"]);
    end(send.arg(folder.routes()).args(args).env("SECRET", "whsec_s")).with(0);
    taking.join().unwrap()
}

#[test]
fn each_recorded_event_is_sent_with_an_id_of_its_own_and_a_file_as_it_is() {
    let folder = Folder::with(&good(&nobody()).replace("provider: github", "provider: stripe"));
    let ids = ids_sent(&folder, &["invoice.paid", "-n", "2"], 2);
    let recorded = "evt_1Hookgate0000000000000001";
    assert!(ids[0] != ids[1] && !ids.contains(&recorded.to_owned()), "{ids:?}");
    assert!(ids.iter().all(|id| id.starts_with("evt_") && id.len() == recorded.len()), "{ids:?}");
    assert_eq!(ids_sent(&folder, &["invoice.paid", "--keep-id"], 1), [recorded]);
    let file = "tests/payloads/stripe/invoice.paid.json";
    assert_eq!(ids_sent(&folder, &["invoice.paid", "--file", file], 1), [recorded]);
    // A provider with the event type in a header.
    let folder = Folder::with(&good(&nobody()));
    let (fresh, kept) =
        (ids_sent(&folder, &["push", "-n", "2"], 2), ids_sent(&folder, &["push", "--keep-id", "-n", "2"], 2));
    assert!(fresh[0] != fresh[1] && kept[0] == kept[1], "{fresh:?} {kept:?}");
    assert_ne!(ids_sent(&folder, &["ping", "--keep-id"], 1)[0], kept[0], "another event");
}

#[test]
fn an_id_that_is_put_together_is_renewed_without_touching_the_type() {
    let recorded = "evt_1Hookgate0000000000000001";
    for event in [
        r#"event: {id: "{json:/type}:{json:/id}"}"#,
        r#"event: {id: "{json:/object}:{json:/id}"}"#,
        r#"event: {type: "{json:/object}", id: "{json:/object}:{json:/id}"}"#,
    ] {
        let source = format!("provider: stripe, {event}");
        let folder = Folder::with(&good(&nobody()).replace("provider: github", &source));
        // Only one place is changed.
        let ids = ids_sent(&folder, &["invoice.paid"], 1);
        assert!(ids[0] != recorded && ids[0].starts_with("evt_"), "{event}: {ids:?}");
    }
}

#[test]
fn the_demo_plays_its_story_and_ends() {
    let ended = end(&mut hookgate(&["demo", "--once", "--listen", "127.0.0.1:0"])).with(0);
    for text in [
        "gateway on http://127.0.0.1:",
        "tampered body",
        "401 bad_signature",
        "401 stale_timestamp",
        "at try 3",
        "answer ",
        "deliveries in ",
    ] {
        assert!(ended.stdout.contains(text), "no `{text}` in:\n{}", ended.stdout);
    }
    assert_eq!(ended.stderr, "");
}

#[test]
fn the_demo_says_when_its_address_is_taken() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let ended = end(hookgate(&["demo", "--once", "--listen"]).arg(taken.local_addr().unwrap().to_string())).with(1);
    assert!(ended.stderr.contains("--listen 127.0.0.1:0"), "{}", ended.stderr);
}
