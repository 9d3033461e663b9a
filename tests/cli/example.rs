//! The project's example with every section: it loads, and it does what its comments say.

use std::fs;

use super::{end, hookgate, root};

const CASES: &str = r#"
config: ../routes.yaml
env: {SLACK_PATH: T0/B0/xyz}
now: 2026-11-21T12:00:00Z
tests:
  - name: a large invoice is told to the team and to the warehouse, and billed
    given:
      source: stripe
      event: invoice.paid
      set: {/data/object/amount_paid: 1000000, /data/object/customer_name: Acme, /livemode: true}
      headers: {Cookie: a=1}
    expect:
      routes: [big-invoices, billing]
      destinations: [billing, slack-alerts, warehouse]
      outgoing:
        slack-alerts: {body: {text: Acme paid 10000}, headers: {X-Team: finance, Cookie: "", Content-Type: application/json}}
        warehouse: {headers: {Content-Type: application/cloudevents+json}}
        billing: {headers: {webhook-timestamp: "1795262400", Cookie: a=1}}
  - name: a small one is billed only
    given: {source: stripe, event: invoice.paid, set: {/data/object/amount_paid: 1, /livemode: true}}
    expect: {routes: [billing]}
  - name: one that breaks its schema is kept back
    given: {source: stripe, event: invoice.paid, set: {/data/object/amount_paid: much}}
    expect: {status: 200, outcome: quarantined, destinations: []}
  - name: a push to a repository of ours goes to CI
    given: {source: github, event: push, set: {/repository/full_name: acme/app}}
    expect: {routes: [ci]}
  - name: a draft does not
    given:
      source: github
      event: pull_request.opened
      set: {/repository/full_name: acme/app, /pull_request/draft: true}
    expect: {outcome: filtered}
  - name: an address that is not GitHub's is turned away
    given: {source: github, event: push, sender: 203.0.113.9}
    expect: {status: 403, outcome: ip_denied}
  - name: an order of a tenant goes through the script
    given: {source: shop, target: /in/shop/acme, headers: {X-Shop-Topic: orders/create}, body: {id: 7, customer: {email: a@b}}}
    expect: {event_type: orders/create, outgoing: {orders: {body: {id: 7, status: new, customer: {email: a@b}}}}}
  - name: Slack's greeting is answered here
    given: {source: slack, body: {type: url_verification, challenge: abc, token: t}}
    expect: {status: 200, outcome: handshake}
"#;

#[test]
fn the_example_of_the_whole_format_does_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("routes.yaml", &fs::read_to_string(root().join("tests/config/example.yaml")).unwrap());
    write("transforms/shop-order.js", "export default (event) => ({...event, body: {...event.body, status: 'new'}});");
    for schema in ["github/push.json", "github/pull_request.json", "stripe/invoice.paid.json"] {
        let name = format!("schemas/{schema}");
        write(&name, &fs::read_to_string(root().join(&name)).unwrap());
    }
    write("cases/all.yaml", CASES);
    let ended = end(hookgate(&["test", "cases"]).current_dir(folder.path())).with(0);
    assert!(ended.stdout.contains("8 passed, 0 failed"), "{}{}", ended.stdout, ended.stderr);
}
