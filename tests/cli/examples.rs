//! The examples at the end of every command's help: each command has some, and each line works on the project's own
//! routes.yaml.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{Ended, end, root, run};

/// Commands that run for long; their examples are only parsed.
const LONG: [&str; 3] = ["run", "demo", "selftest"];
const COLUMNS: usize = 100;

/// A request as GitHub's documentation has it, with the signature that it gives.
const REQUEST: &str = "POST /in/github HTTP/1.1\r\nHost: hooks.example.com\r\nContent-Type: application/json\r\n\
    X-GitHub-Event: push\r\nX-GitHub-Delivery: 72d3162e-cc78-11e3-81ab-4c9367dc0958\r\n\
    X-Hub-Signature-256: sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17\r\n\r\nHello, World!";

/// An event as `hookgate events show ID --format json` prints it.
const EVENT: &str = r#"{"id": "01a1fd76-8a04-7238-9211-740ec6f37b7e", "source": "github", "type": "push", "verified": "a",
"received_at": "2026-11-21T09:00:00Z", "method": "POST", "target": "/in/github", "headers": [["x-github-event", "push"]],
"body": {"text": "{}"}}"#;

/// The help of one command, with the words that call it.
struct Help {
    command: Vec<String>,
    text: String,
}

impl Help {
    /// Returns the lines of the help's last section.
    fn examples(&self) -> Vec<&str> {
        let (_, examples) = self.text.split_once("\nExamples:\n").unwrap_or_default();
        examples.lines().map_while(|line| line.strip_prefix("  ")).collect()
    }

    /// Returns the names of the commands below this one.
    fn inner(&self) -> Vec<&str> {
        let (_, commands) = self.text.split_once("\nCommands:\n").unwrap_or_default();
        let names = commands.lines().take_while(|line| !line.is_empty());
        let names = names.filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
        names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").collect()
    }
}

/// Returns the help of a command and of all commands below it.
fn all_help(command: &[String]) -> Vec<Help> {
    let words: Vec<&str> = command.iter().map(String::as_str).chain(["--help"]).collect();
    let help = Help { command: command.to_vec(), text: run(&words).with(0).stdout };
    let inner: Vec<Vec<String>> =
        help.inner().into_iter().map(|name| [command, &[name.to_owned()][..]].concat()).collect();
    let mut all = vec![help];
    all.extend(inner.iter().flat_map(|command| all_help(command)));
    all
}

#[test]
fn the_help_of_every_command_ends_with_two_or_more_examples_of_it() {
    let all = all_help(&[]);
    assert!(all.len() > 35, "only {} commands were found", all.len());
    for help in &all {
        let (call, examples) =
            (["hookgate"].into_iter().chain(help.command.iter().map(String::as_str)), help.examples());
        let call = call.collect::<Vec<_>>().join(" ");
        assert!(examples.len() >= 2, "`{call} --help` has {} examples", examples.len());
        for example in examples {
            assert!(example.contains(&call) || call == "hookgate version", "{call}: {example}");
            assert!(example.len() <= COLUMNS, "{call}: {} columns: {example}", example.len());
        }
    }
}

/// Makes a folder with the files that the examples name.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let copy = |from: &str, to: &str| fs::copy(root().join(from), folder.path().join(to)).map(drop).unwrap();
    copy("routes.yaml", "routes.yaml");
    copy("routes.yaml", "new.yaml");
    copy("tests/payloads/github/push.json", "push.json");
    copy("tests/vectors/gitlab.json", "cases.json");
    for linked in ["schemas", "tests"] {
        std::os::unix::fs::symlink(root().join(linked), folder.path().join(linked)).unwrap();
    }
    fs::write(folder.path().join("request.http"), REQUEST).unwrap();
    fs::write(folder.path().join("order.json"), r#"{"id": 7, "customer": {"email": "a@example.com"}}"#).unwrap();
    fs::write(folder.path().join("events.json"), EVENT.replace('\n', "")).unwrap();
    folder
}

/// Runs a line as a shell does, where no gateway is.
fn shell(line: &str, folder: &Path) -> Ended {
    let programs = Path::new(env!("CARGO_BIN_EXE_hookgate")).parent().unwrap();
    let mut command = Command::new("sh");
    command.env_clear().env("PATH", format!("{}:/usr/bin:/bin", programs.display())).current_dir(folder);
    command.envs([
        ("GITHUB_WEBHOOK_SECRET", "It's a Secret to Everybody"),
        ("STRIPE_WEBHOOK_SECRET", "whsec_example"),
        ("SHOP_WEBHOOK_SECRET", "an example of a secret"),
        ("HOOKGATE_LISTEN", "127.0.0.1:2"),
        ("HOOKGATE_ADMIN", "127.0.0.1:1"),
    ]);
    end(command.args(["-c", line]).stdin(Stdio::null()))
}

#[test]
fn every_example_works_on_the_projects_own_file() {
    let folder = folder();
    for help in all_help(&[]) {
        for example in help.examples() {
            // Nothing listens on these ports.
            let line = example.replace("127.0.0.1:8900", "127.0.0.1:1").replace("127.0.0.1:8080", "127.0.0.1:2");
            let is_long = LONG.iter().any(|long| line.starts_with(&format!("hookgate {long}")));
            let line = if is_long { line + " --help" } else { line };
            let Ended { code, stdout, stderr } = shell(&line, folder.path());
            // What needs a gateway gets as far as asking for one.
            let is_unanswered =
                code == 69 && (stderr.contains("no gateway answers") || stderr.contains("no answer from"));
            assert!(matches!(code, 0 | 3) || is_unanswered, "{example}: {code}\n{stdout}{stderr}");
        }
    }
}
