//! `{tenant}` in a source's path is `params.tenant` in the expressions of its routes.

use crate::support::{Receiver, Site, github};

#[test]
fn a_parameter_of_the_path_chooses_the_route() {
    let receiver = Receiver::start();
    let rest = Site::plain_rest(&receiver.url("/acme"), "")
        .replace("path: /in/github,", "path: \"/in/github/{tenant}\",")
        .replace("from: github, to: app}", "from: github, to: app, when: params.tenant == 'acme', order_by: params.tenant}")
        .replace("destinations:", &format!("  rest: {{from: github, to: rest, when: \"!(params.tenant in ['acme'])\"}}\ndestinations:\n  rest: {{url: \"{}\"}}", receiver.url("/rest")));
    let gateway = Site::new(&rest).start();
    for tenant in ["acme", "globex", "acme"] {
        gateway.accept(&github("{}").to(&format!("/in/github/{tenant}")));
    }
    gateway.wait_for_metric("hookgate_queue_events", &[], 0);
    let mut seen: Vec<String> = receiver.seen().into_iter().map(|seen| seen.target).collect();
    seen.sort();
    assert_eq!(seen, ["/acme", "/acme", "/rest"]);
    let stored = gateway.admin("/api/v1/events?where=params.tenant%20%3D%3D%20'acme'").json();
    assert_eq!(stored["events"].as_array().map(Vec::len), Some(2), "it is kept with the event: {stored}");
}
