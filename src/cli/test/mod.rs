//! `hookgate test`: unit tests of routes, on the real gates, under a frozen clock.
//!
//! Nothing is sent, stored or fetched, and no secret need be here: cases are signed with the secrets by which the rules
//! verify. Parts of conditions that no case made true or false are reported at the end.

mod case;
mod compare;
mod coverage;
mod file;
mod update;

use std::collections::BTreeMap;
use std::io::stdout;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::check::report;
use super::providers::OutputFormat;
use super::{Exit, load, terminal};
use crate::clock::Timestamp;
use crate::config::schema::document_schema;
use crate::config::{document, render};
use crate::server::Setup;
use coverage::Coverage;
use file::File;

/// The limit of files.
const FILES_MAX: usize = 10_000;
const DEPTH_MAX: usize = 16;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 hookgate test\n\
    \x20 hookgate test tests/routes/stripe.yaml --filter invoice\n\
    \x20 hookgate test --require-coverage --format json")]
pub(crate) struct Args {
    /// A folder of case files (`*.yaml`, `*.yml`), or one file.
    #[arg(default_value = "tests/routes", env = "HOOKGATE_TESTS")]
    dir: PathBuf,
    /// The configuration file for case files that name none.
    #[arg(long, value_name = "FILE", default_value = "routes.yaml", env = "HOOKGATE_CONFIG")]
    config: PathBuf,
    /// Only cases with this text in their name.
    #[arg(long, value_name = "TEXT", env = "HOOKGATE_FILTER")]
    filter: Option<String>,
    /// Write the actual results into each case that expects no result or another one.
    #[arg(long, env = "HOOKGATE_UPDATE")]
    update: bool,
    /// Exit with 3 if a route or a part of a condition was never true or never false.
    #[arg(long, env = "HOOKGATE_REQUIRE_COVERAGE")]
    require_coverage: bool,
    /// The format of the output; JSON is one object a case, and one at the end.
    #[arg(long, value_enum, default_value_t, env = "HOOKGATE_FORMAT")]
    format: OutputFormat,
}

#[derive(Debug, Default)]
struct Tally {
    passed: usize,
    failed: usize,
    updated: usize,
    /// The coverage, by configuration.
    coverage: BTreeMap<PathBuf, Coverage>,
}

/// Returns the JSON Schema of a file of cases.
pub(crate) fn schema() -> String {
    document_schema::<File>()
}

pub(crate) fn run(args: &Args) -> Exit {
    match run_all(args) {
        Ok(exit) | Err(exit) => exit,
    }
}

fn run_all(args: &Args) -> Result<Exit, Exit> {
    let mut files = Vec::new();
    find(&args.dir, 0, &mut files).map_err(|error| {
        terminal::tell(format!("hookgate: cannot read {}: {error}", args.dir.display()));
        Exit::Usage
    })?;
    files.sort();
    if files.is_empty() {
        terminal::tell(format!("hookgate: there are no cases (`*.yaml`) in {}", args.dir.display()));
        return Err(Exit::Usage);
    }
    let mut tally = Tally::default();
    for file in &files {
        run_file(args, file, &mut tally)?;
    }
    Ok(sum_up(args, &tally))
}

fn find(path: &Path, depth: usize, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if path.is_file() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in std::fs::read_dir(path)? {
        let path = entry?.path();
        let is_cases = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        if path.is_dir() && depth < DEPTH_MAX {
            find(&path, depth + 1, files)?;
        } else if is_cases && path.is_file() && files.len() < FILES_MAX {
            files.push(path);
        }
    }
    Ok(())
}

fn run_file(args: &Args, path: &Path, tally: &mut Tally) -> Result<(), Exit> {
    let text = load::read_text(path).map_err(|error| {
        terminal::tell(format!("hookgate: cannot read {}: {error}", path.display()));
        Exit::Failed
    })?;
    let (file, spans, problems) = document::<File>(&text, path);
    if !problems.is_empty() {
        let color = terminal::wants_color(&std::io::stderr());
        terminal::tell(render::text(&problems, spans.files(), color).trim_end());
        return Err(Exit::Config);
    }
    let Some(file) = file else { return Err(Exit::Config) };
    let folder = path.parent().unwrap_or(Path::new("."));
    let config = file.config.as_ref().map_or_else(|| args.config.clone(), |config| folder.join(config));
    let now = file.now.map_or(case::NOW, case::moment);
    let setup = setup(&config, &file, now)?;
    // Different paths may lead to the same file.
    let name = std::fs::canonicalize(&config).unwrap_or(config);
    let coverage = tally.coverage.entry(name).or_insert_with(|| Coverage::of(&setup.live.rules));
    let is_json = args.format == OutputFormat::Json;
    if !is_json {
        terminal::say(path.display().to_string());
    }
    let mut changes = Vec::new();
    for (index, case) in file.tests.iter().enumerate() {
        if args.filter.as_ref().is_some_and(|text| !case.name.contains(text)) {
            continue;
        }
        let mut ran = case::run(case, &setup.live, now, folder);
        if let Some(told) = &ran.told {
            coverage.add(told);
            if args.update && (!ran.differences.is_empty() || update::is_empty(&case.expect)) {
                if let Some(change) = update::change((&spans, &text), index, &case.expect, told) {
                    changes.push(change);
                    tally.updated += 1;
                    continue;
                }
                ran.differences.push("not updated: write `given:` and `expect:` on lines of their own".to_owned());
            }
        }
        let redaction = &setup.live.capture.redaction;
        ran.differences.iter_mut().for_each(|difference| redaction.hide_values_in(difference));
        let passed = ran.differences.is_empty();
        *(if passed { &mut tally.passed } else { &mut tally.failed }) += 1;
        if is_json {
            let mut told = json!(ran.told.filter(|_| !passed));
            redaction.hide_values(&mut told);
            let line = json!({ "file": path, "name": case.name, "passed": passed, "differences": ran.differences, "decision": told });
            terminal::say_json(&line);
        } else {
            say_case(&case.name, &ran.differences);
        }
    }
    update::write(path, &text, changes).map_err(|error| {
        terminal::tell(format!("hookgate: cannot write {}: {error}", path.display()));
        Exit::Failed
    })
}

/// Reads the configuration of the cases.
fn setup(config: &Path, file: &File, now: Timestamp) -> Result<Setup, Exit> {
    let env = |name: &str| file.env.get(name).cloned().or_else(|| load::environment(name));
    let read = load::load_to_try(config, &env, now);
    let mut checked = read.map_err(|error| {
        terminal::tell(format!("hookgate: cannot read {}: {error}", config.display()));
        Exit::Config
    })?;
    let setup = checked.setup.take();
    setup.ok_or_else(|| {
        report(&checked);
        Exit::Config
    })
}

fn say_case(name: &str, differences: &[String]) {
    let color = terminal::wants_color(&stdout());
    let paint = |code: &str, text: &str| if color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() };
    let mark = if differences.is_empty() { paint("32", "ok  ") } else { paint("31", "FAIL") };
    terminal::say(format!("  {mark}  {}", terminal::harmless(name)));
    for difference in differences {
        terminal::say(format!("          {}", terminal::harmless(difference)));
    }
}

fn sum_up(args: &Args, tally: &Tally) -> Exit {
    let uncovered: Vec<String> = tally.coverage.values().flat_map(Coverage::missing).collect();
    let (covered, of) =
        tally.coverage.values().map(Coverage::counts).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    if args.format == OutputFormat::Json {
        let line = json!({
            "passed": tally.passed, "failed": tally.failed, "updated": tally.updated,
            "coverage": { "covered": covered, "of": of, "missing": uncovered },
        });
        terminal::say_json(&line);
    } else {
        let updated = if tally.updated > 0 { format!(", {} updated", tally.updated) } else { String::new() };
        terminal::say(format!(
            "\n{} passed, {} failed{updated}; coverage {covered} of {of}",
            tally.passed, tally.failed
        ));
        for line in &uncovered {
            terminal::say(format!("  never tested: {}", terminal::harmless(line)));
        }
    }
    if tally.passed + tally.failed + tally.updated == 0 {
        terminal::tell("hookgate: no case was run");
        return Exit::Usage;
    }
    if tally.failed > 0 || (args.require_coverage && !uncovered.is_empty()) { Exit::Findings } else { Exit::Ok }
}
