//! `hookgate check`, and the example of the project.

use serde_json::Value;

use super::{Folder, end, good, hookgate, root, run, run_with_input};

const ADDRESS: &str = "127.0.0.1:8080";

#[test]
fn a_good_file_is_valid_and_says_so() {
    let folder = Folder::with(&good(ADDRESS));
    let ended = end(hookgate(&["check", "--deny-warnings"]).arg(folder.routes()).env("SECRET", "s")).with(0);
    assert!(ended.stdout.starts_with("valid: 1 source, 1 route, 1 destination; 0 warnings; an accepted event "));
    assert_eq!(ended.stderr, "");
    // The default is the folder's routes.yaml; a variable can name another file.
    end(hookgate(&["check"]).current_dir(folder.0.path()).env("SECRET", "s")).with(0);
    end(hookgate(&["check"]).env("HOOKGATE_CONFIG", folder.routes()).env("SECRET", "s")).with(0);
}

#[test]
fn a_warning_exits_with_3_only_when_that_is_asked_for() {
    let folder = Folder::with(&(good(ADDRESS) + "buffer: {fsync: os}\n"));
    let check = |args: &[&str]| end(hookgate(args).arg(folder.routes()).env("SECRET", "s"));
    assert!(check(&["check"]).with(0).stdout.contains("warning[weak_durability]"));
    assert!(check(&["check", "--deny-warnings"]).with(3).stdout.contains("1 warning;"));
    end(hookgate(&["check"]).arg(folder.routes()).env("SECRET", "s").env("HOOKGATE_DENY_WARNINGS", "true")).with(3);
}

#[test]
fn an_error_exits_with_78_and_every_problem_is_shown() {
    let folder = Folder::with(&good(ADDRESS).replace("to: orders", "to: oders"));
    let ended = end(hookgate(&["check"]).arg(folder.routes())).with(78);
    for text in ["error[unknown_name]", "did you mean `orders`?", "error[unusable_secret]", "`SECRET` is not set"] {
        assert!(ended.stdout.contains(text), "{}", ended.stdout);
    }
    assert!(ended.stdout.ends_with("\n\ninvalid: 2 errors, 0 warnings\n"), "{}", ended.stdout);
}

#[test]
fn json_is_a_list_of_objects_and_an_empty_list_when_all_is_well() {
    let folder = Folder::with(&good(ADDRESS).replace("to: orders", "to: oders"));
    let check = |secret: &str| {
        end(hookgate(&["check", "--format", "json"]).arg(folder.routes()).env("SECRET", secret)).with(78).stdout
    };
    let problems: Vec<Value> = serde_json::from_str(&check("s")).unwrap();
    assert_eq!(problems.len(), 1);
    let problem = problems[0].as_object().unwrap();
    let keys: Vec<&str> = problem.keys().map(String::as_str).collect();
    for key in ["severity", "code", "message", "help", "file", "line", "column"] {
        assert!(keys.contains(&key), "{keys:?}");
    }
    assert_eq!((&problem["code"], &problem["line"]), (&Value::from("unknown_name"), &Value::from(8)));
    let fine = Folder::with(&good(ADDRESS));
    let ended = end(hookgate(&["check", "--format", "json"]).arg(fine.routes()).env("SECRET", "s")).with(0);
    assert_eq!(ended.stdout, "[]\n");
}

#[test]
fn github_gets_one_annotation_a_problem() {
    let folder = Folder::with(&good(ADDRESS).replace("to: orders", "to: oders"));
    let ended = end(hookgate(&["check", "--format", "github"]).arg(folder.routes())).with(78);
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{}", ended.stdout);
    assert!(lines.iter().all(|line| line.starts_with("::error file=") && line.contains(",line=")), "{lines:?}");
    let fine = Folder::with(&good(ADDRESS));
    let ended = end(hookgate(&["check", "--format", "github"]).arg(fine.routes()).env("SECRET", "s")).with(0);
    assert_eq!(ended.stdout, "");
}

#[test]
fn a_dash_is_stdin() {
    let ended = run_with_input(&["check", "-"], b"version: 1\nservr: {}\n").with(78);
    assert!(ended.stdout.contains("unknown key `servr`"), "{}", ended.stdout);
}

#[test]
fn a_file_that_cannot_be_read_is_told_and_exits_with_78() {
    let folder = Folder::with("");
    let ended = run(&["check", "no/such.yaml"]).with(78);
    assert!(ended.stdout.is_empty() && ended.stderr.contains("cannot read no/such.yaml"), "{}", ended.stderr);
    end(hookgate(&["check"]).arg(folder.0.path())).with(78);
    std::fs::write(folder.routes(), b"version: 1 \xff\n").unwrap();
    let ended = end(hookgate(&["check"]).arg(folder.routes())).with(78);
    assert!(ended.stderr.contains("UTF-8"), "{}", ended.stderr);
}

#[test]
fn no_colours_go_into_a_pipe() {
    let folder = Folder::with("version: 1\nservr: {}\n");
    let ended = end(hookgate(&["check"]).arg(folder.routes()).env("TERM", "xterm-256color")).with(78);
    assert!(!ended.stdout.contains('\u{1b}'));
}

#[test]
fn the_example_of_the_project_is_valid_without_a_warning() {
    let mut check = hookgate(&["check", "--deny-warnings", "routes.yaml"]);
    for name in ["GITHUB_WEBHOOK_SECRET", "STRIPE_WEBHOOK_SECRET", "SHOP_WEBHOOK_SECRET"] {
        check.env(name, "secret");
    }
    let ended = end(check.current_dir(root())).with(0);
    assert!(ended.stdout.starts_with("valid: 3 sources, "), "{}", ended.stdout);
    // Without its secrets, `check` names the missing ones.
    let ended = run(&["check", "routes.yaml"]).with(78);
    assert_eq!(ended.stdout.matches("error[unusable_secret]").count(), 3, "{}", ended.stdout);
}

/// Returns files with a variable of a wrong value, each with a part of its message.
fn files_with_a_bad_variable() -> Vec<(String, &'static str)> {
    let of = |from: &str, to: &str| good(ADDRESS).replace(from, to);
    vec![
        (of("http://127.0.0.1:9/", "\"https://h/services/${P}#x\""), "https://h/services/${P}#x"),
        (of("http://127.0.0.1:9/", "\"${BAD_PORT}\""), "`${BAD_PORT}` is not a URL to send to"),
        (
            of("{url: http://127.0.0.1:9/}", "{targets: [{url: \"http://h/${P}\"}, {url: \"http://h/${P}\"}]}"),
            "`http://h/${P}` is listed twice",
        ),
        (of("to: orders", "to: orders, events: [\"${P}[\"]"), "`${P}[` is not a glob"),
        (
            of("to: orders", "to: orders, transform: {headers: {remove: [\"${P} x\"]}}"),
            "`${P} x` is no name of a header",
        ),
        (of("provider: github", "provider: \"${P}\""), "there is no provider `${P}`"),
        (of("provider: github", "provider: github, content_types: [\"${P} x\"]"), "`${P} x` is not a media type"),
        (good(ADDRESS) + "capture: {redact: [\"${P}\"]}\n", "`${P}` cannot be redacted"),
        (good(ADDRESS) + "include: [\"x/${P}/\"]\n", "`x/${P}/` names no file"),
    ]
}

#[test]
fn no_command_says_the_value_of_a_variable() {
    let bad_port = "https://h:0/services/T01/B02/s3cr3t-of-chat";
    for (file, told) in files_with_a_bad_variable() {
        let folder = Folder::with(&file);
        for args in [
            &["check"][..],
            &["check", "--format", "json"],
            &["check", "--format", "github"],
            &["config", "show"],
            &["graph"],
            &["run"],
        ] {
            let mut command = hookgate(args);
            command
                .arg(folder.routes())
                .env("SECRET", "s")
                .env("P", "T01/B02/s3cr3t-of-chat")
                .env("BAD_PORT", bad_port);
            let ended = end(&mut command);
            let shown = ended.stdout + &ended.stderr;
            assert_eq!(ended.code, 78, "{args:?}: {shown}");
            assert!(!shown.contains("s3cr3t-of-chat") && !shown.contains("B02"), "{args:?}: {shown}");
            assert!(shown.contains(told), "{args:?}, {told}: {shown}");
        }
    }
}

#[test]
fn a_known_provider_that_is_open_to_everybody_is_no_clean_file() {
    let open = "provider: github, verify: {type: none, reason: later}";
    let file = good(ADDRESS).replace("provider: github", open).replace(", secrets: [{env: SECRET}]", "");
    assert!(file.contains(open));
    let folder = Folder::with(&file);
    let ended = end(hookgate(&["check"]).arg(folder.routes())).with(0);
    assert!(ended.stdout.contains("warning[too_open]: GitHub proves who it is (hmac sha256)"), "{}", ended.stdout);
    end(hookgate(&["check", "--deny-warnings"]).arg(folder.routes())).with(3);
}
