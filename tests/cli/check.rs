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
    // The default is routes.yaml of the folder, and a variable can name another.
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
    // Without its secrets it says which are missing.
    let ended = run(&["check", "routes.yaml"]).with(78);
    assert_eq!(ended.stdout.matches("error[unusable_secret]").count(), 3, "{}", ended.stdout);
}
