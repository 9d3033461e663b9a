//! The command line from outside: stdout, stderr and exit codes.
//!
//! Every command runs without environment variables, unless a test sets some.
#![expect(clippy::unwrap_used, clippy::string_slice, reason = "a test may stop at the first surprise")]

mod cases;
mod check;
mod example;
mod examples;
mod gateway;
mod graph;
mod pipes;
mod providers;
mod selftest;
mod verify;

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The exit code and the output of a command.
struct Ended {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Ended {
    /// Checks the exit code.
    #[track_caller]
    fn with(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}stderr:\n{}", self.stdout, self.stderr);
        self
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the command `hookgate` with these arguments, no environment and no stdin.
fn hookgate(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hookgate"));
    command.env_clear().args(args).current_dir(root()).stdin(Stdio::null());
    command
}

#[track_caller]
fn end(command: &mut Command) -> Ended {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (stdout, stderr) = (text(output.stdout), text(output.stderr));
    assert!(!stderr.contains("panicked"), "{stderr}");
    Ended { code: output.status.code().expect("no signal ended it"), stdout, stderr }
}

#[track_caller]
fn run(args: &[&str]) -> Ended {
    end(&mut hookgate(args))
}

/// Runs with `input` on stdin.
#[track_caller]
fn run_with_input(args: &[&str], input: &[u8]) -> Ended {
    let mut command = hookgate(args);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A command may end without reading its input.
    if let Err(error) = child.stdin.take().unwrap().write_all(input) {
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    }
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// A folder with one `routes.yaml`.
struct Folder(tempfile::TempDir);

impl Folder {
    fn with(routes: &str) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        std::fs::write(folder.routes(), routes).unwrap();
        folder
    }

    fn routes(&self) -> PathBuf {
        self.0.path().join("routes.yaml")
    }
}

/// Returns a valid file; its secret is in `SECRET`, its gateway listens at `address`.
fn good(address: &str) -> String {
    format!(
        "version: 1
server: {{data_dir: data}}
admin: {{listen: \"127.0.0.1:0\"}}
listeners: {{public: {{address: \"{address}\"}}}}
sources:
  shop: {{path: /in/shop, provider: github, secrets: [{{env: SECRET}}]}}
routes:
  orders: {{from: shop, to: orders}}
destinations:
  orders: {{url: http://127.0.0.1:9/}}
"
    )
}

#[test]
fn the_version_is_that_of_the_package() {
    let line = concat!("hookgate ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(run(&["version"]).with(0).stdout, line);
    assert_eq!(run(&["--version"]).with(0).stdout, line);
}

#[test]
fn wrong_usage_is_told_on_stderr_and_exits_with_2() {
    for args in [
        &[][..],
        &["no-such-command"],
        &["check", "--no-such-flag"],
        &["check", "--format", "xml"],
        &["verify"],
        &["verify", "--provider", "github"],
        &["verify", "--batch", "a.json", "--provider", "github", "-"],
        &["send"],
        &["send", "shop", "--tamper", "nothing"],
        &["send", "shop", "--rate", "0"],
        &["redeliver", "shop"],
        &["redeliver", "shop", "--id", "a", "--all"],
        &["redeliver", "shop", "--id", "a", "--max", "3"],
        &["redeliver", "shop", "--all", "--max", "10001"],
        &["run", "a.yaml", "b.yaml"],
    ] {
        let ended = run(args).with(2);
        assert!(ended.stdout.is_empty() && !ended.stderr.is_empty(), "{args:?}: {}", ended.stdout);
    }
}

#[test]
fn every_command_has_help_and_every_flag_a_variable() {
    let help = run(&["--help"]).with(0).stdout;
    for command in
        ["run", "check", "demo", "send", "verify", "secrets", "redeliver", "graph", "config", "schema", "version"]
    {
        assert!(help.contains(&format!("\n  {command} ")), "{help}");
        let help = run(&[command, "--help"]).with(0).stdout;
        // Lines with `- ` list the values of an argument.
        let is_flag = |line: &&str| line.starts_with('-') && !line.starts_with("- ");
        let flags = help.lines().map(str::trim).filter(is_flag);
        for flag in flags.filter(|flag| !flag.contains("--help") && !flag.contains("--version")) {
            let at = help.find(flag).unwrap();
            let rest = help[at + flag.len()..].split("\n  -").next().unwrap();
            assert!(flag.contains("[env: HOOKGATE_") || rest.contains("[env: HOOKGATE_"), "{command}: {flag}");
        }
    }
}

#[test]
fn the_schemas_in_the_project_are_those_that_are_printed() {
    for (kind, args) in [("routes", &["schema"][..]), ("tests", &["schema", "tests"])] {
        let file = format!("schemas/{kind}.schema.json");
        let committed = std::fs::read_to_string(root().join(&file)).unwrap_or_default();
        let printed = run(args).with(0).stdout;
        assert!(committed == printed, "stale; run: cargo run -q -- {} > {file}", args.join(" "));
    }
}
