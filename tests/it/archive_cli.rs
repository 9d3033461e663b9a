//! The commands about stored events, against a real gateway: output, exit codes and effects.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::{Gateway, Receiver, Reply, SOON, Site, eventually, github, header_of, text_of};

/// The exit code and the output of a command.
struct Ended {
    code: i32,
    said: String,
    told: String,
}

impl Ended {
    #[track_caller]
    fn with(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}stderr:\n{}", self.said, self.told);
        self
    }

    fn lines(&self) -> Vec<&str> {
        self.said.lines().collect()
    }

    /// Returns stdout as one JSON object a line.
    fn json(&self) -> Vec<Value> {
        self.said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Runs `hookgate` with these arguments and the gateway's admin listener, with an empty stdin.
fn run(site: &Site, gateway: &Gateway, args: &str) -> Ended {
    let url = format!("http://{}", gateway.admin_address());
    let args: Vec<&str> = args.split(' ').chain(["--admin", &url]).collect();
    let output = site.cli(&args);
    let told = text_of(&output.stderr);
    assert!(!told.contains("panicked"), "{told}");
    Ended { code: output.status.code().unwrap(), said: text_of(&output.stdout), told }
}

fn delivered(gateway: &Gateway, count: u64) {
    gateway.wait_for_metric("hookgate_deliveries_total", &[("result", "delivered")], count);
}

#[test]
fn events_are_listed_as_a_table_or_as_json_lines_and_followed_over_pages() {
    let receiver = Receiver::start();
    let site = Site::plain(&receiver);
    let gateway = site.start();
    let none = run(&site, &gateway, "events list").with(0);
    assert_eq!((none.said.as_str(), none.told.as_str()), ("", "no event found\n"));
    let mut ids: Vec<String> = (0..5).map(|n| gateway.accept(&github(format!("{{\"n\":{n}}}")))).collect();
    delivered(&gateway, 5);
    ids.reverse();
    let table = run(&site, &gateway, "events list").with(0);
    assert_eq!(table.told, "5 events\n");
    assert!(table.lines()[0].starts_with("TIME (UTC)      ID "), "{}", table.said);
    for (line, id) in table.lines()[1..].iter().zip(&ids) {
        let columns: Vec<&str> = line.split_whitespace().skip(2).collect();
        assert_eq!(columns, [id, "github", "push", "delivered", "app:delivered(1)"]);
    }
    let listed = |args: &str| -> (Vec<String>, String) {
        let ended = run(&site, &gateway, &format!("events list --format json {args}")).with(0);
        (ended.json().iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect(), ended.told)
    };
    let (first, told) = listed("--limit 2");
    let cursor = told.trim().strip_prefix("2 events; there may be more: --cursor ").unwrap();
    let (rest, told) = listed(&format!("--cursor {cursor}"));
    assert_eq!(([first, rest].concat(), told.as_str()), (ids.clone(), "3 events\n"));
    assert_eq!(listed("--where body.n>=3 --source github --since 1h --type pu* --outcome delivered").0, &ids[..2]);
    assert!(listed("--outcome dead_lettered").0.is_empty());
    for (args, code, told) in [
        ("--where body.", 1, "does not compile"),
        ("--since yesterday", 1, "`since` is a time"),
        ("--outcome lost", 2, "dead_lettered"),
        ("--limit 0", 2, "--limit"),
        ("--cursor zz", 1, "`cursor`"),
    ] {
        let ended = run(&site, &gateway, &format!("events list {args}")).with(code);
        assert!(ended.told.contains(told) && ended.said.is_empty(), "{args}: {}", ended.told);
    }
    assert_eq!(site.cli(&["events", "list", "--admin", "127.0.0.1:1"]).status.code(), Some(69));
    assert_eq!(site.cli(&["events", "list", "--config", "none.yaml"]).status.code(), Some(78));
}

#[test]
fn no_text_of_a_stranger_reaches_the_terminal_as_a_command() {
    let receiver = Receiver::start();
    receiver.always("/app", Reply::status(400));
    let rest = Site::plain_rest(&receiver.url("/app"), "").replace("to: app}", "to: app, order_by: body.key}");
    let site = Site::new(&rest);
    let gateway = site.start();
    let evil = github("{\"key\":\"\\u001b[2J\\u009b\",\"x\":\"\u{9b}\u{7f}\u{202e}\"}").with("X-Odd", "a\u{9b}2J\tb");
    let id = gateway.accept(&evil);
    gateway.wait_for_metric("hookgate_queue_events", &[("state", "parked")], 1);
    for args in [
        "events list",
        "events list --format json",
        &format!("events show {id}"),
        &format!("events show {id} --format json"),
        &format!("events show {id} --curl --to http://localhost/"),
        "parked list",
        "parked list --format json",
    ] {
        let ended = run(&site, &gateway, args).with(0);
        assert!(!ended.said.is_empty(), "{args}: {}", ended.told);
        let obeyed = (ended.said + &ended.told)
            .chars()
            .find(|letter| *letter == '\u{202e}' || (letter.is_control() && *letter != '\n'));
        assert_eq!(obeyed, None, "{args}");
    }
}

#[test]
fn an_event_is_shown_whole_and_its_body_written_byte_for_byte() {
    let receiver = Receiver::start();
    receiver.script("/app", [Reply::status(500)]);
    let site = Site::plain(&receiver);
    let gateway = site.start();
    let body = "{\"b\":1.0,\"a\":[\"hä\"]}";
    let id = gateway.accept(&github(body).to("/in/github?a=b"));
    delivered(&gateway, 1);
    let shown = run(&site, &gateway, &format!("events show {id}")).with(0).said;
    for part in [
        &format!("event       {id}\n"),
        "request     POST /in/github?a=b, 21 bytes\n",
        "verified    main\n",
        "outcome     delivered\n",
        "\nheaders\n",
        "  x-github-event: push\n",
        "\n  app (route all): delivered, 2 tries, ended ",
        "  http_5xx  status 500  ",
        "\n\n{\n  \"b\": 1.0,\n  \"a\": [\n    \"hä\"\n  ]\n}\n",
    ] {
        assert!(shown.contains(part), "{part:?} in\n{shown}");
    }
    let json = run(&site, &gateway, &format!("events show {id} --format json")).with(0).json();
    assert_eq!((&json[0]["id"], &json[0]["body"]["text"]), (&id.as_str().into(), &body.into()));
    let url = format!("http://{}", gateway.admin_address());
    let written = |id: &str| site.cli(&["events", "show", id, "--body", "--admin", &url]).stdout;
    assert_eq!(written(&id), body.as_bytes());
    let binary: Vec<u8> = (0..=255).collect();
    let kept = gateway.accept(&github(binary.clone()));
    assert_eq!(written(&kept), binary);
    let shown = run(&site, &gateway, &format!("events show {kept}")).with(0).said;
    assert!(shown.ends_with("\nthe body is 256 bytes that are no text; --body writes them\n"), "{shown}");
    assert!(shown.contains("\nproblems\n  /: "), "{shown}");
    let other = "01a1fd3c-da02-7523-bd05-34f2a2598254";
    assert!(run(&site, &gateway, &format!("events show {other}")).with(1).told.contains("no such event"));
    run(&site, &gateway, "events show 7").with(2);
}

#[test]
fn the_curl_of_an_event_sends_the_same_bytes() {
    let receiver = Receiver::start();
    let site = Site::plain(&receiver);
    let gateway = site.start();
    let binary: Vec<u8> = (0..=255).rev().collect();
    let bodies: [&[u8]; 3] = [b"{\"it's\":\"$HOME `id` \\n %s\"}\n", b"{\"a\":\"\tb\r\"}", &binary];
    for (at, body) in bodies.into_iter().enumerate() {
        let request = github(body).to("/in/github?a=[1]&b='c'").with("X-Odd", "it's \"$HOME\" \\ `id`");
        let id = gateway.accept(&request);
        let (args, path) = if at == 0 {
            delivered(&gateway, 1);
            (format!("events show {id} --curl"), "/app".to_owned())
        } else {
            let path = format!("/curl/{at}");
            (format!("events show {id} --curl --to {}", receiver.url(&path)), path)
        };
        let before = receiver.seen_at(&path).len();
        let command = run(&site, &gateway, &args).with(0).said;
        let mut sh = Command::new("sh").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        sh.stdin.take().unwrap().write_all(command.as_bytes()).unwrap();
        assert!(sh.wait().unwrap().success(), "{command}");
        let seen = receiver.seen_at(&path).split_off(before).remove(0);
        assert_eq!((seen.method.as_str(), seen.target), ("POST", format!("{path}?a=[1]&b='c'")));
        assert_eq!(seen.body, body, "{command}");
        for name in ["content-type", "x-github-event", "x-github-delivery", "x-hub-signature-256", "x-odd"] {
            let sent: Vec<String> =
                seen.headers.iter().filter(|(known, _)| known == name).map(|(_, value)| text_of(value)).collect();
            assert_eq!(sent, [header_of(&request, name)], "{name}");
        }
        assert_eq!(seen.headers.len(), 7, "and host and content-length: {:?}", seen.headers);
        if at > 0 {
            let alone = run(&site, &gateway, &format!("events show {id} --curl")).with(1);
            assert!(alone.told.contains("choose a URL with --to"), "{}", alone.told);
        }
    }
}

#[test]
fn one_event_is_delivered_again() {
    let receiver = Receiver::start();
    let site = Site::plain(&receiver);
    let gateway = site.start();
    let id = gateway.accept(&github("{}"));
    delivered(&gateway, 1);
    let dry = run(&site, &gateway, &format!("events replay {id} --dry-run")).with(0);
    assert_eq!(dry.said, "1 delivery would be queued\n  app (route all)\n");
    let done = run(&site, &gateway, &format!("events replay {id} --to app --format json")).with(0);
    assert_eq!(done.json()[0]["queued"], 1);
    delivered(&gateway, 2);
    let ids: Vec<String> = receiver.seen().iter().map(crate::support::Seen::event_id).collect();
    assert_eq!(ids, [id.clone(), id.clone()]);
    assert!(run(&site, &gateway, "events replay").with(2).told.contains("say which"));
    assert!(run(&site, &gateway, &format!("events replay {id} --since 1h")).with(2).told.contains("one event"));
}

#[test]
fn many_events_are_delivered_again_after_a_plan_and_a_word() {
    let receiver = Receiver::start();
    let site = Site::plain(&receiver);
    let gateway = site.start();
    for n in 0..20 {
        gateway.accept(&github(format!("{{\"n\":{n}}}")));
    }
    delivered(&gateway, 20);
    let plan = run(&site, &gateway, "events replay --where body.n<5 --dry-run").with(0);
    assert!(plan.said.starts_with("events: 5, deliveries: 5, "), "{}", plan.said);
    assert_eq!(plan.lines()[1], "  app         5");
    let silent = run(&site, &gateway, "events replay --where body.n<5").with(2);
    assert!(silent.told.starts_with("events: 5, deliveries: 5, ") && silent.told.contains("--yes"), "{}", silent.told);
    assert_eq!((silent.said.as_str(), receiver.count()), ("", 20));
    let done = run(&site, &gateway, "events replay --where body.n<5 --rate 1000/s --yes").with(0);
    assert_eq!(done.said, "r1: events 5, deliveries 5, skipped 0, done\n");
    delivered(&gateway, 25);
    let done = run(&site, &gateway, "events replay --since 1h --max 3 --yes --format json").with(0);
    assert_eq!((&done.json()[0]["deliveries"], &done.json()[0]["state"]), (&3.into(), &"done".into()));
    assert!(done.told.ends_with("of these at most 3 deliveries\n"), "{}", done.told);
    delivered(&gateway, 28);
    let none = run(&site, &gateway, "events replay --source other").with(2);
    assert!(none.told.contains("there is no source `other`; known: github"), "{}", none.told);
    assert!(run(&site, &gateway, "events replay --since 1h --rate 5 --dry-run").with(1).told.contains("`rate`"));
}

#[test]
fn ctrl_c_cancels_the_replay_in_the_gateway() {
    let receiver = Receiver::start();
    let site = Site::plain(&receiver);
    let gateway = site.start();
    for _ in 0..50 {
        gateway.accept(&github("{}"));
    }
    delivered(&gateway, 50);
    // Each flag has a variable.
    let child = Command::new(env!("CARGO_BIN_EXE_hookgate"))
        .args(["events", "replay"])
        .env_clear()
        .env("GITHUB_SECRET", crate::support::SECRET)
        .env("HOOKGATE_ADMIN_URL", format!("http://{}", gateway.admin_address()))
        .env("HOOKGATE_SINCE", "1h")
        .env("HOOKGATE_RATE", "5/s")
        .env("HOOKGATE_YES", "true")
        .current_dir(site.root())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    receiver.wait_for(52);
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = text_of(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}{}", text_of(&output.stderr));
    assert!(said.starts_with("r1: events ") && said.ends_with(", cancelled\n"), "{said}");
    assert_eq!(gateway.admin("/api/v1/replays/r1").json()["replay"]["state"], "cancelled");
}

#[test]
fn dead_letters_are_listed_replayed_and_dropped() {
    let receiver = Receiver::start();
    receiver.always("/app", Reply::status(422));
    let site = Site::plain(&receiver);
    let gateway = site.start();
    let ids: Vec<String> = (0..6).map(|n| gateway.accept(&github(format!("{{\"n\":{n}}}")))).collect();
    let dead = |count| gateway.wait_for_metric("hookgate_dead_letter_events", &[], count);
    dead(6);
    let table = run(&site, &gateway, "dlq list --destination app").with(0);
    assert_eq!((table.told.as_str(), table.lines().len()), ("6 dead letters\n", 7));
    let columns: Vec<&str> = table.lines()[1].split_whitespace().skip(3).collect();
    assert_eq!(columns, ["github/push", "app", "final", "1", "status", "422"]);
    assert!(run(&site, &gateway, "dlq list --type other").with(0).told.starts_with("no dead letter found"));
    receiver.always("/app", Reply::status(200));
    assert_eq!(run(&site, &gateway, &format!("dlq replay {}", ids[0])).with(0).lines()[0], "1 delivery queued");
    dead(5);
    assert!(run(&site, &gateway, &format!("dlq replay {}", ids[0])).with(1).told.contains("no delivery"));
    let done = run(&site, &gateway, "dlq replay --where body.n<2 --yes").with(0);
    assert_eq!(done.said, "r1: events 1, deliveries 1, skipped 0, done\n");
    dead(4);
    assert!(run(&site, &gateway, "dlq drop").with(2).told.contains("select dead letters"));
    assert!(run(&site, &gateway, "dlq drop --all").with(2).told.contains("--yes"));
    let plan = run(&site, &gateway, &format!("dlq drop {} --dry-run", ids[2])).with(0);
    assert_eq!(plan.said, format!("1 dead letter would be dropped\n  such as {}\n", ids[2]));
    assert_eq!(run(&site, &gateway, &format!("dlq drop {} --yes", ids[2])).with(0).said, "1 dead letter dropped\n");
    dead(3);
    let done = run(&site, &gateway, "dlq drop --since 1h --yes --format json").with(0);
    assert_eq!(done.json()[0]["dropped"], 3);
    dead(0);
}

#[test]
fn the_quarantine_is_listed_and_judged() {
    let receiver = Receiver::start();
    let rest = Site::plain_rest(&receiver.url("/app"), "").replace(
        "provider: github,",
        "provider: github, schemas: {events: {push: schemas/push.json}, on_invalid: quarantine},",
    );
    let site = Site::new(&rest);
    site.file("schemas/push.json", br#"{"type":"object","required":["total","sum","all"]}"#);
    let gateway = site.start();
    assert!(run(&site, &gateway, "quarantine list").with(0).told.starts_with("no quarantined event found"));
    let id = gateway.accept(&github("{\"n\":1}"));
    gateway.accept(&github("{\"n\":\"text\"}"));
    let quarantined = |count| gateway.wait_for_metric("hookgate_quarantined_events", &[("source", "github")], count);
    quarantined(2);
    let table = run(&site, &gateway, "quarantine list").with(0);
    assert_eq!(table.told, "2 quarantined events\n");
    assert!(table.lines()[1].contains(&id) && table.said.contains("total"), "{}", table.said);
    assert!(table.said.lines().all(|line| line.chars().count() <= 120), "{}", table.said);
    site.file("schemas/push.json", br#"{"type":"object","properties":{"n":{"type":"integer"}}}"#);
    gateway.reload();
    let dry = run(&site, &gateway, "quarantine judge --dry-run --source github").with(0);
    assert_eq!(dry.lines()[..2], ["SOURCE  ADMITTED  UNWANTED  KEPT", "github  1         0         1"]);
    assert_eq!((dry.told.starts_with("nothing was done"), receiver.count()), (true, 0));
    let unasked = run(&site, &gateway, &format!("quarantine judge --id {id}")).with(2);
    assert!(unasked.told.contains("say --yes to let out what is admitted"), "{}", unasked.told);
    assert_eq!(receiver.count(), 0);
    let done = run(&site, &gateway, &format!("quarantine judge --id {id} --yes")).with(0);
    assert!(done.told.ends_with("deliveries queued: 1\n"), "{}", done.told);
    quarantined(1);
    assert_eq!(receiver.wait_for(1)[0].event_id(), id);
    let done = run(&site, &gateway, "quarantine judge --format json").with(0);
    assert_eq!((&done.json()[0]["kept"], &done.json()[0]["admitted"]), (&1.into(), &0.into()));
}

#[test]
fn parked_keys_are_listed_released_and_skipped_by_a_beginning_of_their_name() {
    let receiver = Receiver::start();
    receiver.script("/app", [Reply::status(400), Reply::status(400)]);
    let rest = Site::plain_rest(&receiver.url("/app"), "").replace("to: app}", "to: app, order_by: body.key}");
    let site = Site::new(&rest);
    let gateway = site.start();
    assert!(run(&site, &gateway, "parked list").with(0).told.starts_with("no parked key found"));
    let heads: Vec<String> = ["a", "b"].map(|key| gateway.accept(&github(format!("{{\"key\":\"{key}\"}}")))).into();
    let listed = || run(&site, &gateway, "parked list --destination app").with(0);
    let table = eventually("two keys are parked", SOON, || Some(listed()).filter(|all| all.lines().len() == 3));
    let key_of = |label: &str| {
        let line =
            table.lines().into_iter().find(|line| line.split_whitespace().nth(2) == Some(label)).unwrap().to_owned();
        assert!(heads.iter().any(|head| line.ends_with(head.as_str())), "{line}");
        line.split_whitespace().next().unwrap().to_owned()
    };
    let (a, b) = (key_of("a"), key_of("b"));
    assert!(run(&site, &gateway, "parked release 0").with(1).told.contains("2 parked keys begin with"));
    assert!(run(&site, &gateway, "parked release ffff").with(1).told.contains("no parked key is"));
    let released = run(&site, &gateway, &format!("parked release {a}")).with(0);
    assert!(released.said.ends_with("(a, 1 waiting for app): queued 1, given up 0\n"), "{}", released.said);
    delivered(&gateway, 1);
    let silent = run(&site, &gateway, &format!("parked skip {b}")).with(2);
    assert!(silent.told.contains(&heads[1]) && silent.told.contains("--yes"), "{}", silent.told);
    let skipped = run(&site, &gateway, &format!("parked skip {b} --yes --format json")).with(0);
    assert_eq!(skipped.json()[0]["ended"], 1);
    assert!(listed().said.is_empty());
}
