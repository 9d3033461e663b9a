//! `run --watch`: changes on disk are in force without a signal or request to the gateway.

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use crate::support::{Gateway, Receiver, Request, SECRET, SOON, Site, eventually, github, hmac_hex, text_of};

const OTHER: &str = "another-secret-0123456789";

fn watching(site: &Site) -> Gateway {
    site.start_with(vec![("HOOKGATE_WATCH".to_owned(), "true".to_owned())])
}

fn signed(secret: &str) -> Request {
    let request = github("{}").without("X-Hub-Signature-256");
    let signature = format!("sha256={}", hmac_hex(secret, &request.body));
    request.with("X-Hub-Signature-256", signature)
}

/// Waits until a request is answered with this status.
fn wait_for_answer(gateway: &Gateway, request: impl Fn() -> Request, status: u16) {
    eventually(&format!("the answer {status}"), SOON, || (gateway.send(&request()).status == status).then_some(()));
}

fn reloads(gateway: &Gateway, result: &str) -> u64 {
    gateway.metrics().sum("hookgate_config_reloads_total", &[("result", result)])
}

/// A folder as kubelet mounts a ConfigMap or a Secret: links through `..data` to the current version.
struct Mount {
    folder: PathBuf,
    version: u32,
}

impl Mount {
    fn new(folder: PathBuf) -> Self {
        std::fs::create_dir_all(&folder).unwrap();
        Self { folder, version: 0 }
    }

    /// Replaces the version in one step, as kubelet's atomic writer does; the old version is removed.
    fn swap(&mut self, files: &[(&str, &str)]) {
        let at = |name: &str| self.folder.join(name);
        let (old, new) = (format!("..v{}", self.version), format!("..v{}", self.version + 1));
        std::fs::create_dir(at(&new)).unwrap();
        for (name, text) in files {
            std::fs::write(at(&new).join(name), text).unwrap();
        }
        symlink(&new, at("..data_tmp")).unwrap();
        std::fs::rename(at("..data_tmp"), at("..data")).unwrap();
        for (name, _) in files.iter().filter(|(name, _)| !at(name).is_symlink()) {
            symlink(format!("..data/{name}"), at(name)).unwrap();
        }
        if self.version > 0 {
            std::fs::remove_dir_all(at(&old)).unwrap();
        }
        self.version += 1;
    }
}

#[test]
fn a_configmap_and_a_secret_that_kubernetes_swaps_are_in_force_soon() {
    let receiver = Receiver::start();
    let rest = Site::plain_rest(&receiver.url("/app"), "").replace("env: GITHUB_SECRET", "file: secrets/github");
    let site = Site::new(&rest);
    let text = std::fs::read_to_string(site.path("routes.yaml")).unwrap();
    std::fs::remove_file(site.path("routes.yaml")).unwrap();
    let mut rules = Mount::new(site.path("."));
    let mut secrets = Mount::new(site.path("secrets"));
    rules.swap(&[("routes.yaml", &text)]);
    secrets.swap(&[("github", SECRET)]);
    let mut gateway = watching(&site);
    gateway.accept(&github("{}"));
    // Only the secret changes; the text of routes.yaml stays.
    secrets.swap(&[("github", OTHER)]);
    wait_for_answer(&gateway, || signed(OTHER), 200);
    assert_eq!(gateway.send(&github("{}")).status, 401, "the old secret is over");
    rules.swap(&[("routes.yaml", &text.replace("/in/github", "/in/moved"))]);
    wait_for_answer(&gateway, || signed(OTHER).to("/in/moved"), 200);
    assert_eq!(gateway.send(&signed(OTHER)).status, 404);
    assert_eq!((reloads(&gateway, "applied"), reloads(&gateway, "refused")), (2, 0), "once a swap");
    assert!(gateway.stop().success());
}

#[test]
fn a_bad_file_is_refused_and_what_it_waits_for_is_seen_when_it_comes() {
    let receiver = Receiver::start();
    let rest = Site::plain_rest(&receiver.url("/app"), "");
    let site = Site::new(&rest);
    let gateway = watching(&site);
    let successful = || gateway.metrics().sum("hookgate_config_last_reload_successful", &[]);
    assert_eq!(successful(), 1);
    site.rewrite(&rest.replace("env: GITHUB_SECRET", "file: not-there-yet"));
    gateway.wait_for_metric("hookgate_config_reloads_total", &[("result", "refused")], 1);
    assert_eq!(successful(), 0);
    gateway.accept(&github("{}"));
    site.file("not-there-yet", OTHER.as_bytes());
    wait_for_answer(&gateway, || signed(OTHER), 200);
    assert_eq!(successful(), 1);
    // A removed file leaves the rules in force; a file that comes back is loaded.
    std::fs::remove_file(site.path("routes.yaml")).unwrap();
    gateway.wait_for_metric("hookgate_config_reloads_total", &[("result", "refused")], 2);
    gateway.accept(&signed(OTHER));
    site.rewrite(&rest);
    wait_for_answer(&gateway, || github("{}"), 200);
    assert_eq!((reloads(&gateway, "applied"), reloads(&gateway, "refused")), (2, 2));
}

#[test]
fn schemas_are_read_anew_when_one_changes_or_is_added() {
    let receiver = Receiver::start();
    let rest = Site::plain_rest(&receiver.url("/app"), "")
        .replace("provider: github,", "provider: github, schemas: {dir: schemas/github, on_invalid: reject},");
    let site = Site::new(&rest);
    site.file("schemas/github/push.json", b"{\"required\": [\"ref\"]}");
    let gateway = watching(&site);
    let ping = || github("{}").without("X-GitHub-Event").with("X-GitHub-Event", "issues");
    assert_eq!((gateway.send(&github("{}")).status, gateway.send(&ping()).status), (422, 200));
    site.file("schemas/github/push.json", b"{}");
    wait_for_answer(&gateway, || github("{}"), 200);
    site.file("schemas/github/issues.json", b"{\"required\": [\"action\"]}");
    wait_for_answer(&gateway, ping, 422);
}

#[test]
fn stdin_cannot_be_watched() {
    let ended = Site::new("").cli(&["run", "-", "--watch"]);
    assert_eq!(ended.status.code(), Some(2));
    assert!(text_of(&ended.stderr).contains("stdin cannot be watched"), "{}", text_of(&ended.stderr));
}
