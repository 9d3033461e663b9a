//! An expected redelivery is delivered; every other repetition is not.

use crate::support::{Gateway, Receiver, Request, SOON, Site, eventually, github, header_of, send, text_of};

fn ask(gateway: &Gateway, source: &str, body: &str) -> (u16, serde_json::Value) {
    let request = Request::new("POST", &format!("/api/v1/sources/{source}/redeliveries"), body)
        .with("Host", gateway.admin_address().to_string())
        .with("Content-Type", "application/json");
    let answer = send(gateway.admin_address(), &request).unwrap();
    (answer.status, answer.json())
}

/// Sends a request, and returns whether it was stored as a new event.
fn is_taken(gateway: &Gateway, request: &Request) -> bool {
    let answer = gateway.send(request);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.event_id().is_some()
}

fn id_of(request: &Request) -> String {
    header_of(request, "X-GitHub-Delivery")
}

#[test]
fn a_redelivery_that_was_asked_for_is_delivered_once_and_is_a_new_event() {
    let receiver = Receiver::start();
    let site = Site::plain(&receiver);
    let mut gateway = site.start();
    let request = github("{\"again\":1}");
    let first = gateway.accept(&request);
    assert!(!is_taken(&gateway, &request));
    let (status, granted) = ask(&gateway, "github", &format!("{{\"id\":\"{}\",\"for\":\"10m\"}}", id_of(&request)));
    assert_eq!((status, &granted["source"], &granted["id"]), (200, &"github".into(), &id_of(&request).into()));
    assert!(granted["until"].as_str().unwrap().starts_with("20"), "{granted}");
    // Another event of the same source does not use up the expected redelivery.
    let other = github("{\"other\":1}");
    gateway.accept(&other);
    assert!(!is_taken(&gateway, &other));
    let second = gateway.accept(&request);
    assert_ne!(first, second);
    assert!(!is_taken(&gateway, &request), "once");
    let seen = receiver.wait_for(3);
    let bodies = seen.iter().filter(|seen| seen.body == b"{\"again\":1}").count();
    assert_eq!(bodies, 2);
    gateway.wait_for_outcomes("github", "duplicate", 200, 3);
    gateway.wait_for_metric("hookgate_dedup_entries", &[], 2);
    let is_said = || gateway.log().contains("an expected redelivery was accepted").then_some(());
    eventually("it is said", SOON, is_said);
    // From now on repetitions refer to the redelivery, also in the next process.
    assert!(gateway.stop().success());
    let gateway = site.start();
    assert!(!is_taken(&gateway, &request));
}

#[test]
fn any_redelivery_of_a_source_passes_each_once_and_so_many_in_all() {
    let receiver = Receiver::start();
    let gateway = Site::plain(&receiver).start();
    let sent: Vec<Request> = (0..4).map(|at| github(format!("{{\"at\":{at}}}"))).collect();
    for request in &sent {
        gateway.accept(request);
    }
    assert_eq!(ask(&gateway, "github", "{\"all\":true,\"max\":3,\"for\":\"1m\"}").0, 200);
    assert!(is_taken(&gateway, &sent[0]));
    assert!(!is_taken(&gateway, &sent[0]), "each once");
    // A new event is no redelivery and uses up none.
    gateway.accept(&github("{\"new\":1}"));
    let taken: Vec<bool> = sent[1..].iter().map(|request| is_taken(&gateway, request)).collect();
    assert_eq!(taken, [true, true, false]);
    receiver.wait_for(8);
}

#[test]
fn a_pass_ends_with_its_time_and_with_the_process() {
    let receiver = Receiver::start();
    let site = Site::plain(&receiver);
    let mut gateway = site.start();
    let request = github("{\"late\":1}");
    gateway.accept(&request);
    let (_, granted) = ask(&gateway, "github", "{\"all\":true,\"for\":\"1s\"}");
    let until: jiff::Timestamp = granted["until"].as_str().unwrap().parse().unwrap();
    eventually("it is over", SOON, || (jiff::Timestamp::now() > until).then_some(()));
    assert!(!is_taken(&gateway, &request));
    assert_eq!(ask(&gateway, "github", "{\"all\":true,\"for\":\"24h\"}").0, 200);
    assert!(gateway.stop().success());
    let gateway = site.start();
    assert!(!is_taken(&gateway, &request));
}

#[test]
fn what_is_asked_wrongly_or_by_a_web_page_is_refused() {
    let receiver = Receiver::start();
    let rest = Site::plain_rest(&receiver.url("/app"), "").replace(
        "routes:",
        "  plain: {path: /in/plain, verify: {type: none, reason: tests}}\nroutes:\n  plain: {from: plain, to: app}",
    );
    let gateway = Site::new(&rest).start();
    let status = |source: &str, body: &str| ask(&gateway, source, body).0;
    for body in
        ["", "[]", "{}", "{\"all\":true,\"for\":\"25h\"}", "{\"all\":true,\"max\":10001}", "{\"id\":\"a\",\"x\":1}"]
    {
        assert_eq!(status("github", body), 400, "{body}");
    }
    assert_eq!(status("nobody", "{\"id\":\"a\"}"), 404);
    assert_eq!(status("plain", "{\"id\":\"a\"}"), 409);
    assert_eq!(status("github", "{\"all\":true,\"max\":10000}"), 200);
    assert_eq!(status("github", "{\"id\":\"a\"}"), 429);
    let to = |name: &str, value: &str| {
        let path = "/api/v1/sources/github/redeliveries";
        let request = Request::new("POST", path, "{\"id\":\"a\"}").with("Content-Type", "application/json");
        let request = request.with("Host", "localhost:8900").without(name).with(name, value);
        send(gateway.admin_address(), &request).unwrap().status
    };
    assert_eq!(to("Host", "hooks.example.com"), 403);
    assert_eq!(to("Content-Type", "text/plain"), 415);
    let long = format!("{{\"id\":\"{}\"}}", "x".repeat(20_000));
    let request = Request::new("POST", "/api/v1/sources/github/redeliveries", long);
    let request = request.with("Content-Type", "application/json").with("Host", "localhost:8900");
    assert_eq!(send(gateway.admin_address(), &request).unwrap().status, 413);
}

#[test]
fn off_loopback_the_api_wants_its_token() {
    let receiver = Receiver::start();
    let site = Site::plain(&receiver);
    site.file("token", b"a-token-for-operators");
    let text = std::fs::read_to_string(site.path("routes.yaml")).unwrap();
    let open = "admin: {listen: \"0.0.0.0:0\", token: {file: token}}";
    site.file("routes.yaml", text.replace("admin: {listen: \"127.0.0.1:0\"}", open).as_bytes());
    let gateway = site.start();
    let request = github("{}");
    gateway.accept(&request);
    let here = std::net::SocketAddr::from(([127, 0, 0, 1], gateway.admin_address().port()));
    let get = Request::new("GET", "/api/v1/sources", "");
    let post =
        Request::new("POST", "/api/v1/sources/github/redeliveries", format!("{{\"id\":\"{}\"}}", id_of(&request)))
            .with("Content-Type", "application/json");
    for asked in [&get, &post] {
        assert_eq!(send(here, asked).unwrap().status, 401);
        assert_eq!(send(here, &asked.clone().with("Authorization", "Bearer a-token")).unwrap().status, 401);
    }
    assert!(!is_taken(&gateway, &request));
    // The command takes the token from the file.
    let (url, id) = (format!("http://{here}"), id_of(&request));
    let asked = site.cli(&["redeliver", "github", "--id", &id, "--admin", &url]);
    assert_eq!(asked.status.code(), Some(0), "{}", text_of(&asked.stderr));
    assert!(is_taken(&gateway, &request));
}

#[test]
fn the_command_line_asks_and_says_what_it_was_told() {
    let receiver = Receiver::start();
    let site = Site::plain(&receiver);
    let gateway = site.start();
    let url = format!("http://{}", gateway.admin_address());
    let run = |args: &[&str], code: i32| {
        let ended = site.cli(&[&["redeliver", "github", "--admin", &url], args].concat());
        assert_eq!(ended.status.code(), Some(code), "{}", text_of(&ended.stderr));
        (text_of(&ended.stdout), text_of(&ended.stderr))
    };
    let request = github("{}");
    gateway.accept(&request);
    let (said, told) = run(&["--id", &id_of(&request), "--for", "5m"], 0);
    assert!(
        said.starts_with(&format!("github: the next repetition of {} will be delivered", id_of(&request))),
        "{said}"
    );
    assert!(told.contains("A restart of the gateway forgets this"), "{told}");
    assert!(is_taken(&gateway, &request));
    assert!(run(&["--all", "--max", "7"], 0).0.contains("up to 7 repetitions"));
    assert!(is_taken(&gateway, &request));
    assert!(run(&["--all", "--for", "2d"], 1).1.contains("from `1s` to `24h`"));
    let nobody = site.cli(&["redeliver", "github", "--all", "--admin", "127.0.0.1:1"]);
    assert_eq!(nobody.status.code(), Some(69));
    let unknown = site.cli(&["redeliver", "gihub", "--all", "--admin", &url]);
    assert_eq!((unknown.status.code(), text_of(&unknown.stderr).contains("did you mean `github`?")), (Some(2), true));
}
