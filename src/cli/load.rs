//! Reading a configuration from disk, with the process's own environment.

use std::io::Read;
use std::path::Path;

use super::terminal;
use crate::clock::{Clock, SystemClock};
use crate::config::check::{Checked, World, check, survey};

/// A larger file is no configuration.
const FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// An environment variable, when it is text.
pub(crate) fn environment(name: &str) -> Option<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the command line is one of the two places that read the environment"
    )]
    std::env::var(name).ok()
}

/// Reads a file whole, or stdin for `-`.
pub(crate) fn read_text(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    if path == Path::new("-") {
        std::io::stdin().lock().take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    } else {
        std::fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    }
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(std::io::Error::other(format!("it is larger than {FILE_BYTES_MAX} bytes")));
    }
    Ok(text)
}

/// Reads and checks a configuration; `env` looks variables up.
pub(crate) fn load_with(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> std::io::Result<Checked> {
    Ok(check(&read_text(path)?, path, &world(env)))
}

fn world(env: &dyn Fn(&str) -> Option<String>) -> World<'_> {
    World {
        env,
        read: &|path| std::fs::read(path),
        now: SystemClock.now(),
        processors: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
    }
}

/// Reads and checks a configuration; tells when it cannot be read at all.
pub(crate) fn load_or_tell(path: &Path) -> Option<Checked> {
    let read = load(path);
    read.map_err(|error| terminal::tell(format!("hookgate: cannot read {}: {error}", path.display()))).ok()
}

/// Reads and checks a configuration to look at it, without its secrets; tells what is wrong with it.
pub(crate) fn survey_or_tell(path: &Path) -> Option<Checked> {
    let read = read_text(path).map(|text| survey(&text, path, &world(&environment)));
    let checked =
        read.map_err(|error| terminal::tell(format!("hookgate: cannot read {}: {error}", path.display()))).ok()?;
    if checked.setup.is_none() {
        super::check::report(&checked);
    }
    checked.setup.is_some().then_some(checked)
}

/// Reads and checks a configuration in the process's own environment.
pub(crate) fn load(path: &Path) -> std::io::Result<Checked> {
    load_with(path, &environment)
}
