//! Configurations read from disk, with the process's own environment.

use std::cell::RefCell;
use std::io::Read;
use std::path::Path;

use super::terminal;
use super::watch::Prints;
use crate::buffer::DiskSpace;
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::config::check::{CheckedFile, Environment, Secrets, check};
use crate::encoding::text_of;

/// The size of the largest file that is read as a configuration.
const FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Returns an environment variable, when it is text.
pub(crate) fn environment(name: &str) -> Option<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the command line is one of the two places that read the environment"
    )]
    std::env::var(name).ok()
}

/// Returns whether the configuration comes from stdin.
pub(crate) fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

/// Reads a file whole, or stdin for `-`.
pub(crate) fn read_text(path: &Path) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    if is_stdin(path) {
        std::io::stdin().lock().take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    } else {
        std::fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    }
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(std::io::Error::other(format!("it is larger than {FILE_BYTES_MAX} bytes")));
    }
    text_of(bytes).map_err(std::io::Error::other)
}

/// Reads and checks a configuration; `env` looks variables up.
pub(crate) fn load_with(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> std::io::Result<CheckedFile> {
    load_in(path, env, &RefCell::default(), (SystemClock.now(), Secrets::Real))
}

/// A secret that replaces those that are not here: plain text for most schemes, and `whsec_…` for those that need it.
const STAND_IN: &str = "whsec_SG9va2dhdGUgdHJpZXMgcnVsZXMgb3V0";

/// Reads and checks a configuration that is only tried out, as of `now`; secrets need not be here.
pub(crate) fn load_to_try(
    path: &Path,
    env: &dyn Fn(&str) -> Option<String>,
    now: Timestamp,
) -> std::io::Result<CheckedFile> {
    load_in(path, env, &RefCell::default(), (now, Secrets::Instead(STAND_IN)))
}

/// Reads and checks a configuration, and takes the fingerprint of every file that it asks for.
fn load_in(
    path: &Path,
    env: &dyn Fn(&str) -> Option<String>,
    prints: &RefCell<Prints>,
    (now, secrets): (Timestamp, Secrets<'_>),
) -> std::io::Result<CheckedFile> {
    let notice = |path: &Path| prints.borrow_mut().take(path);
    notice(path);
    let text = read_text(path)?;
    let world = Environment {
        env,
        read: &|path| {
            notice(path);
            std::fs::read(path)
        },
        notice: &notice,
        list: &|folder| {
            notice(folder);
            std::fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect()
        },
        now,
        processors: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        disk_bytes: &|folder| DiskSpace::under(folder).map(|space| space.total_bytes),
        secrets,
    };
    Ok(check(&text, path, &world))
}

/// Reads and checks a configuration; returns the fingerprints of all files that decide about the result.
pub(crate) fn load_with_prints(path: &Path) -> (std::io::Result<CheckedFile>, Prints) {
    let prints = RefCell::default();
    let checked = load_in(path, &environment, &prints, (SystemClock.now(), Secrets::Real));
    (checked, prints.into_inner())
}

/// Reads and checks a configuration; prints an error when it cannot be read at all.
pub(crate) fn load_or_tell(path: &Path) -> Option<CheckedFile> {
    or_tell(path, load(path))
}

/// Returns the result of a reading; prints an error when it failed.
pub(crate) fn or_tell(path: &Path, read: std::io::Result<CheckedFile>) -> Option<CheckedFile> {
    read.map_err(|error| terminal::tell(format!("hookgate: cannot read {}: {error}", path.display()))).ok()
}

/// Reads and checks a configuration without its secrets, for display; prints its problems.
pub(crate) fn survey_or_tell(path: &Path) -> Option<CheckedFile> {
    let read = load_in(path, &environment, &RefCell::default(), (SystemClock.now(), Secrets::Named));
    let checked = or_tell(path, read)?;
    if checked.setup.is_none() {
        super::check::report(&checked);
    }
    checked.setup.is_some().then_some(checked)
}

/// Reads and checks a configuration in the process's own environment.
pub(crate) fn load(path: &Path) -> std::io::Result<CheckedFile> {
    load_with(path, &environment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_that_decides_about_the_rules_is_noted_be_it_there_or_not() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("schemas/a")).unwrap();
        std::fs::write(at("schemas/a/push.json"), "{\"$ref\": \"shared.json\"}").unwrap();
        std::fs::write(at("schemas/a/shared.json"), "{}").unwrap();
        let text = "version: 1
admin: {listen: 127.0.0.1:0, token: {file: token}}
listeners: {public: {address: 127.0.0.1:0, tls: {cert: {file: tls.crt}, key: {file: tls.key}}}}
sources:
  a: {path: /a, provider: github, secrets: [{file: secret}], schemas: {dir: schemas/a, events: {ping: schemas/ping.json}}}
  b: {path: /b, provider: asana, handshake: {capture_to: handed-over}}
";
        std::fs::write(at("routes.yaml"), text).unwrap();
        let (checked, prints) = load_with_prints(&at("routes.yaml"));
        assert!(checked.unwrap().setup.is_none(), "half of it is not there");
        let noted = prints.paths();
        for name in
            "routes.yaml token tls.crt tls.key secret schemas schemas/a schemas/ping.json handed-over".split(' ')
        {
            assert!(noted.contains(&&*at(name)), "{name} in {noted:?}");
        }
        std::fs::write(at("schemas/ping.json"), "{}").unwrap();
        let (_, prints) = load_with_prints(&at("routes.yaml"));
        for name in ["schemas/a/push.json", "schemas/a/shared.json"] {
            assert!(prints.paths().iter().any(|path| path.ends_with(name)), "{name} in {:?}", prints.paths());
        }
        let (checked, prints) = load_with_prints(&at("absent.yaml"));
        assert!(checked.is_err() && prints.paths() == [at("absent.yaml")]);
    }
}
