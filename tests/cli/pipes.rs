//! Closed pipes and full disks: no command panics.

use std::fs::File;
use std::process::Stdio;

use super::{Folder, good, hookgate, root};

/// Returns commands that print much or little, to stdout or stderr.
fn talkative() -> Vec<Vec<String>> {
    let vectors = root().join("tests/vectors/slack.json").display().to_string();
    let commands: [&[&str]; 8] = [
        &["schema"],
        &["version"],
        &["--help"],
        &["check", "routes.yaml"],
        &["check", "--format", "json", "routes.yaml"],
        &["verify", "--batch", &vectors],
        &["run", "no/such.yaml"],
        &["demo", "--once", "--listen", "127.0.0.1:0"],
    ];
    commands.iter().map(|args| args.iter().map(|arg| (*arg).to_owned()).collect()).collect()
}

#[test]
fn a_reader_that_goes_away_causes_no_panic() {
    for args in talkative() {
        let mut command = hookgate(&args.iter().map(String::as_str).collect::<Vec<_>>());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(
            !stderr.contains("panicked") && output.status.code().is_some_and(|code| code != 101),
            "{args:?}: {stderr}"
        );
    }
}

#[test]
fn full_disks_behind_stdout_and_stderr_cause_no_panic() {
    let full = || File::options().write(true).open("/dev/full").unwrap();
    for args in talkative() {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let output = hookgate(&args).stdout(full()).stderr(Stdio::piped()).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!stderr.contains("panicked"), "{args:?}: {stderr}");
        let status = hookgate(&args).stdout(full()).stderr(full()).status().unwrap();
        assert!(status.code().is_some_and(|code| code != 101), "{args:?}: {status}");
    }
    let folder = Folder::with(&good("127.0.0.1:0").replace("to: orders", "to: oders"));
    let status = hookgate(&["run"]).arg(folder.routes()).stdout(full()).stderr(full()).status().unwrap();
    assert_eq!(status.code(), Some(78));
}
