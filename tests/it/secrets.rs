//! `hookgate secrets` and its metrics: which secret is used, ends soon, or can be retired.

use std::process::Output;

use crate::support::{Gateway, Receiver, Site, github, text_of};

fn rest(receiver: &Receiver, secrets: &str) -> String {
    Site::plain_rest(&receiver.url("/app"), "").replace("[{name: main, env: GITHUB_SECRET}]", &format!("[{secrets}]"))
}

const OLD: &str = "{name: old, file: old}";

/// Returns the day `days` days from now.
fn day(days: i64) -> String {
    let day = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * days);
    day.to_string()[..10].to_owned()
}

fn site(receiver: &Receiver, secrets: &str) -> Site {
    let site = Site::new(&rest(receiver, secrets));
    site.file("old", b"the old secret");
    site
}

fn secrets(site: &Site, gateway: &Gateway, args: &[&str]) -> Output {
    let url = format!("http://{}", gateway.admin_address());
    site.cli(&[&["secrets", "--admin", &url], args].concat())
}

/// Returns the lines of the table, with single spaces.
fn rows(output: &Output) -> Vec<String> {
    let text = text_of(&output.stdout);
    text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn a_secret_that_nothing_came_under_can_be_retired_and_its_series_goes_with_it() {
    let receiver = Receiver::start();
    let site = site(&receiver, &format!("{{name: new, env: GITHUB_SECRET}}, {OLD}"));
    let gateway = site.start();
    let series = |name: &str| {
        let series = gateway.metrics().series().into_iter();
        let found = series.filter(|(metric, labels, _)| {
            metric == "hookgate_secret_used_total" && labels.contains(&("secret".to_owned(), name.to_owned()))
        });
        found.map(|(_, _, value)| value).collect::<Vec<_>>()
    };
    assert_eq!((series("new"), series("old")), (vec![0.0], vec![0.0]), "seen before they are used");
    let fresh = secrets(&site, &gateway, &[]);
    assert_eq!(fresh.status.code(), Some(0), "{}", text_of(&fresh.stderr));
    let table = rows(&fresh);
    assert_eq!(table[0], "SOURCE SECRET VALID USES LAST USE VERDICT");
    assert_eq!(table[1..], ["github new no end 0 - never used", "github old no end 0 - never used"]);
    let mut connection = gateway.connect();
    for _ in 0..100 {
        assert_eq!(connection.send(&github("{}")).unwrap().status, 200);
    }
    gateway.wait_for_metric("hookgate_secret_used_total", &[("secret", "new")], 100);
    let table = rows(&secrets(&site, &gateway, &[]));
    assert!(table[1].starts_with("github new no end 100 20") && table[1].ends_with("Z in use"), "{table:?}");
    assert!(table[2].starts_with("github old no end 0 - can be retired, unless"), "{table:?}");
    // A removed secret has no series any more, and the gateway agrees with the file.
    site.rewrite(&rest(&receiver, "{name: new, env: GITHUB_SECRET}"));
    gateway.reload();
    assert_eq!((series("new").len(), series("old").len()), (1, 0));
    // A secret that is in the file and not in force yet.
    site.rewrite(&rest(&receiver, &format!("{{name: new, env: GITHUB_SECRET}}, {OLD}")));
    let table = rows(&secrets(&site, &gateway, &[]));
    assert_eq!(table[2], "github old no end - - the gateway does not know it: reload");
}

#[test]
fn a_secret_that_ends_soon_and_is_in_use_is_told_first_and_is_a_finding() {
    let receiver = Receiver::start();
    let ending = format!("{{name: main, env: GITHUB_SECRET, not_after: {}}}", day(4));
    let site = site(&receiver, &format!("{OLD}, {ending}"));
    let gateway = site.start();
    assert_eq!(secrets(&site, &gateway, &[]).status.code(), Some(0), "it is not in use yet");
    gateway.accept(&github("{}"));
    gateway.wait_for_metric("hookgate_secret_used_total", &[("secret", "main")], 1);
    let told = secrets(&site, &gateway, &[]);
    assert_eq!(told.status.code(), Some(3));
    let table = rows(&told);
    assert!(table[1].starts_with("github main ends in 4 days"), "{table:?}");
    assert!(table[1].ends_with("expires in 4 days and is the one in use"), "{table:?}");
    let json = secrets(&site, &gateway, &["--format", "json"]);
    assert_eq!(json.status.code(), Some(3));
    let all: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    let first = &all[0];
    assert_eq!((&first["source"], &first["secret"]), (&"github".into(), &"main".into()));
    assert_eq!((&first["verdict"], &first["ends_in_days"]), (&"ends_in_use".into(), &4.into()));
    assert_eq!((&first["used_total"], &first["not_after"]), (&1.into(), &day(4).into()));
    assert_eq!((&all[1]["secret"], &all[1]["verdict"]), (&"old".into(), &"never_used".into()));
}

#[test]
fn without_a_gateway_the_file_alone_is_told() {
    let receiver = Receiver::start();
    let expired = format!("{{name: gone, file: old, not_after: {}}}", day(-3));
    let next = format!("{{name: next, file: missing, not_before: {}}}", day(3));
    let site =
        site(&receiver, &format!("{{name: main, env: GITHUB_SECRET, not_after: {}}}, {expired}, {next}", day(9)));
    // Nothing listens at this address.
    let told = site.cli(&["secrets", "--admin", "http://127.0.0.1:1"]);
    let said = text_of(&told.stderr);
    assert_eq!(told.status.code(), Some(0), "{said}");
    assert!(said.contains("no gateway answers at http://127.0.0.1:1") && said.contains("the file alone"), "{said}");
    assert!(said.contains("1 secret cannot be read here"), "{said}");
    let table = rows(&told);
    assert_eq!(table[0], "SOURCE SECRET VALID");
    assert_eq!(table[1], format!("github main ends in 9 days ({})", day(9)));
    assert_eq!(table[2], format!("github gone expired, last day {}", day(-3)));
    assert_eq!(table[3], format!("github next not yet, from {}", day(3)));
    // An invalid file gives no list.
    site.rewrite("sources: [");
    assert_eq!(site.cli(&["secrets"]).status.code(), Some(78));
}
