//! Golden files of the second stage, from the file's text to its meaning: `meaning/*.test`.
//!
//! A file begins with lines that describe the environment, followed by the YAML, the line `---- problems`, and the
//! output. The environment has four kinds of lines:
//!
//! ```text
//! env: NAME=value          an environment variable; there are no others
//! file: secrets/shop       a file beside routes.yaml, empty but for
//! | s3cr3t                 its lines
//! files: 300 d/{}.yaml     so many empty files, with numbers for `{}`
//! ```
//! It is 2026-10-01, noon. `UPDATE=1 cargo test --test config` writes what is shown now.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use hookgate::clock::Timestamp;
use hookgate::config::check::{CheckedFile, Environment, Secrets, check};
use hookgate::config::{IncludeFiles, Loaded, Severity, read, render};
use tempfile::TempDir;

use super::golden;

/// 2026-10-01T12:00:00Z.
const NOW: Timestamp = Timestamp::from_unix_secs(1_790_856_000);

/// The environment of a configuration: its folder and its variables.
pub(crate) struct Around {
    folder: TempDir,
    env: BTreeMap<String, String>,
}

impl Around {
    /// Reads the lines of the environment at the head of `text`; returns the rest too.
    pub(crate) fn of(text: &str) -> (Self, &str) {
        let mut around = Self { folder: tempfile::tempdir().unwrap(), env: BTreeMap::new() };
        let mut files: Vec<(&str, String)> = Vec::new();
        let mut rest = text;
        while let Some((line, after)) = rest.split_once('\n') {
            if let Some((name, value)) = line.strip_prefix("env: ").and_then(|line| line.split_once('=')) {
                around.env.insert(name.to_owned(), value.to_owned());
            } else if let Some((count, path)) = line.strip_prefix("files: ").and_then(|line| line.split_once(' ')) {
                let count: usize = count.parse().unwrap();
                (0..count).for_each(|number| around.write(&path.replace("{}", &number.to_string()), b""));
            } else if let Some(path) = line.strip_prefix("file: ") {
                files.push((path, String::new()));
            } else if let Some(content) = line.strip_prefix('|') {
                let (_, file) = files.last_mut().unwrap();
                file.push_str(content.strip_prefix(' ').unwrap_or(content));
                file.push('\n');
            } else {
                break;
            }
            rest = after;
        }
        for (path, content) in files {
            around.write(path, content.as_bytes());
        }
        (around, rest)
    }

    pub(crate) fn write(&self, path: &str, content: &[u8]) {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.env.insert(name.to_owned(), value.to_owned());
    }

    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        self.env.get(name).cloned()
    }

    /// Returns the path of a file; for an empty name that of the folder, with a `/` at its end.
    pub(crate) fn place(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn check(&self, yaml: &str) -> CheckedFile {
        self.checked(yaml, Secrets::Real)
    }

    /// Checks a configuration without reading its secrets.
    pub(crate) fn survey(&self, yaml: &str) -> CheckedFile {
        self.checked(yaml, Secrets::Named)
    }

    fn checked(&self, yaml: &str, secrets: Secrets<'_>) -> CheckedFile {
        let world = Environment {
            env: &|name| self.variable(name),
            read: DISK.read,
            list: DISK.list,
            notice: &|_| {},
            now: NOW,
            processors: 2,
            disk_bytes: &|_| Some(40 << 30),
            secrets,
        };
        check(yaml, &self.folder.path().join("routes.yaml"), &world)
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Runs the front-end alone.
    pub(crate) fn load(&self, yaml: &str) -> Loaded {
        read(yaml, &self.folder.path().join("routes.yaml"), &|name| self.env.get(name).cloned(), DISK)
    }

    /// Returns a text with paths relative to the folder.
    pub(crate) fn shortened(&self, shown: &str) -> String {
        shown.replace(&format!("{}/", self.folder.path().display()), "")
    }
}

/// The real disk.
const DISK: IncludeFiles<'static> = IncludeFiles {
    read: &|path: &Path| fs::read(path),
    list: &|folder: &Path| fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect(),
};

fn shown(text: &str) -> String {
    let (around, yaml) = Around::of(text);
    let checked = around.check(yaml);
    let has_error = checked.problems.iter().any(|problem| problem.severity == Severity::Error);
    assert_eq!(checked.setup.is_none(), has_error, "a file has a meaning, or an error says why not:\n{text}");
    around.shortened(&render::text(&checked.problems, checked.spans.files(), false))
}

#[test]
fn every_golden_file_means_what_it_says() {
    golden("tests/config/meaning", 60, &shown);
}

#[test]
fn no_value_of_the_environment_is_shown() {
    let text = "env: SECRET=whsec_hunter2!\nfile: key\n| hunter2\nversion: 1\nlisteners: {public: {address: 127.0.0.1:1}}\n\
                sources:\n  a: {path: /a, provider: svix, secrets: [{env: SECRET}]}\n  b: {path: /b, provider: discord, secrets: [{file: key}]}\n";
    let shown = shown(text);
    assert!(shown.contains("unusable_secret") && !shown.contains("hunter2"), "{shown}");
}

#[test]
fn a_certificate_with_its_key_is_taken_and_one_with_the_key_of_another_is_not() {
    let [one, other] = ["a.example.com", "b.example.com"].map(|name| {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    });
    let yaml =
        "version: 1\nlisteners: {public: {address: 127.0.0.1:1, tls: {cert: {file: tls.crt}, key: {file: tls.key}}}}\n";
    let (around, _) = Around::of("");
    around.write("tls.crt", one.0.as_bytes());
    around.write("tls.key", one.1.as_bytes());
    assert_eq!(around.check(yaml).problems, []);
    around.write("tls.key", other.1.as_bytes());
    assert_eq!(around.check(yaml).problems.len(), 1);
}
