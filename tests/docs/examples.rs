//! Sample output on pages is the output that a reader gets who types the commands.
//!
//! `UPDATE=1` writes the output of commands anew where the page leaves nothing out of it.

use std::time::{Duration, Instant};

use super::page::{Command, Step, steps};
use super::session::Session;
use super::terminal::Comparison;
use super::{read, root};

/// The pages whose commands are run, each in a folder of its own.
const PAGES: [&str; 2] = ["README.md", "docs/getting-started.md"];
/// The time for a command that only reads to print what the page shows: deliveries and retries take time.
const PATIENCE: Duration = Duration::from_secs(15);

/// Returns whether the command only reads, so that it may be repeated until it prints what the page shows.
fn looks(line: &str) -> bool {
    ["hookgate events list", "hookgate events show", "hookgate explain", "hookgate diff", "hookgate dlq list", "cat "]
        .iter()
        .any(|start| line.starts_with(start))
}

/// Runs the command until it prints what the page shows; what it printed last, when it never does.
fn run(session: &mut Session, comparison: &mut Comparison, command: &Command) -> Result<(), Vec<String>> {
    let line = comparison.ids.iter().fold(command.line.clone(), |line, (shown, real)| line.replace(shown, real));
    let deadline = Instant::now() + PATIENCE;
    loop {
        let real = session.run(&line);
        if comparison.fits(&command.output, &real) {
            return Ok(());
        }
        if !looks(&line) || Instant::now() > deadline {
            return Err(real);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Runs all commands of a page; returns the page with real outputs, and what differs.
fn play(path: &str) -> (String, Vec<String>) {
    let text = read(path);
    let mut session = Session::begin();
    let mut comparison = Comparison::new();
    let mut differences = Vec::new();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let mut edits = Vec::new();
    let steps = steps(&text);
    assert!(steps.len() > 5, "{path} shows no terminal");
    for step in steps {
        match step {
            Step::File { name, text } => session.write(&name, &text),
            Step::Command(command) => {
                let Err(real) = run(&mut session, &mut comparison, &command) else { continue };
                let shown = command.output.join("\n");
                differences.push(format!("{path}: $ {}\n{}\nand it prints:\n{}", command.line, shown, real.join("\n")));
                if !shown.contains('…') {
                    // Now the ids of the output are known, and later commands can name them.
                    comparison.fits(&real, &real);
                    edits.push((command.at, command.output.len(), real));
                }
            }
        }
    }
    for (at, length, real) in edits.into_iter().rev() {
        lines.splice(at..at + length, real);
    }
    (lines.join("\n") + "\n", differences)
}

#[test]
fn what_pages_show_of_a_terminal_is_what_comes() {
    let mut differences = Vec::new();
    for path in PAGES {
        let (text, differing) = play(path);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(root().join(path), text).unwrap();
        }
        differences.extend(differing);
    }
    assert!(differences.is_empty(), "{}", differences.join("\n\n"));
}

#[test]
fn the_picture_of_the_readme_is_drawn_from_its_file() {
    let session = tempfile::tempdir().unwrap();
    let steps = steps(&read("README.md"));
    let file = steps.iter().find_map(|step| match step {
        Step::File { text, .. } => Some(text),
        Step::Command(_) => None,
    });
    let path = session.path().join("routes.yaml");
    std::fs::write(&path, file.unwrap()).unwrap();
    super::is_current("docs/routes.svg", &super::hookgate(&["graph", "--format", "svg", path.to_str().unwrap()]));
}
