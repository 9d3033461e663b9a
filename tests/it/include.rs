//! Rules in several files: SIGHUP reads all of them again, and an invalid one changes nothing.

use crate::support::{Receiver, SECRET, Site, github};

#[test]
fn a_file_that_appears_in_an_included_folder_is_in_force_after_a_reload() {
    let receiver = Receiver::start();
    let rest = Site::plain_rest(&receiver.url("/app"), "");
    let site = Site::new(&format!("include: [routes.d/*.yaml]\n{rest}"));
    let gateway = site.start();
    assert_eq!(gateway.send(&github("{}").to("/in/more")).status, 404);
    let more = format!(
        "sources:\n  more: {{path: /in/more, provider: github, secrets: [{{file: secrets/more}}]}}\n\
         routes:\n  more: {{from: more, to: more}}\ndestinations:\n  more: {{url: \"{}\"}}\n",
        receiver.url("/more")
    );
    site.file("secrets/more", SECRET.as_bytes());
    site.file("routes.d/more.yaml", more.as_bytes());
    gateway.reload();
    gateway.accept(&github("{}").to("/in/more"));
    assert_eq!(receiver.wait_for(1)[0].target, "/more");
    site.file("routes.d/twice.yaml", b"sources:\n  github: {path: /in/other, provider: github}\n");
    gateway.reload();
    assert_eq!(gateway.metrics().sum("hookgate_config_last_reload_successful", &[]), 0);
    assert!(gateway.log().contains("routes.d/twice.yaml:2:3"), "the log names the place:\n{}", gateway.log());
    gateway.accept(&github("{}"));
    gateway.accept(&github("{}").to("/in/more"));
}
