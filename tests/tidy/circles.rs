//! Inside a room imports go one way as well: no files import each other in a circle.
//!
//! Imports are read from the text: `use` trees, and paths that begin with `crate::`, `super::` or a child module. A name
//! that an index (`mod.rs`) hands on stands for the file that defines it. An index and the files of its folder may know
//! each other. `impl` blocks in other files are not seen.
#![expect(clippy::indexing_slicing, reason = "a test may stop at the first surprise")]

use std::collections::{BTreeMap, BTreeSet};

use super::{File, nothing, program};

/// Circles that are still there, by the files in them, with the tie of each. Two are meant to stay: the evaluator of
/// conditions, and the batch of the buffer until it is cut with its storage.
const CIRCLES: &[(&[&str], &str)] = &[
    (
        &[
            "admin::api",
            "admin::explained",
            "admin::named",
            "admin::query",
            "admin::redeliveries",
            "admin::refused",
            "admin::reload",
            "admin::replays",
            "admin::stored",
        ],
        "the router and the helpers of its answers are one file",
    ),
    (
        &[
            "buffer::batch",
            "buffer::commands",
            "buffer::committer",
            "buffer::counters",
            "buffer::dedup",
            "buffer::engine",
            "buffer::filters",
            "buffer::generations",
            "buffer::load",
            "buffer::order_queues",
            "buffer::reindex",
            "buffer::scan",
            "buffer::store",
            "buffer::terms",
            "buffer::unverified",
            "buffer::unverified_events",
        ],
        "a batch is one object that each concern of the buffer adds to; the log of its own will cut it",
    ),
    (&["buffer::delivery", "buffer::window"], "a delivery gives its claim back to the window that holds deliveries"),
    (&["buffer::engine::disk", "buffer::engine::salvage"], "the opening repairs, and the repair opens"),
    (
        &["cli::admin", "cli::check", "cli::load", "cli::terminal", "cli::unknown"],
        "reporting, loading and the terminal call each other",
    ),
    (&["cli::sample_request", "cli::send"], "a sample is signed, and what is sent may be a sample"),
    (
        &[
            "condition::check",
            "condition::functions",
            "condition::loops",
            "condition::prepare",
            "condition::problem",
            "condition::truth",
            "condition::value",
            "condition::view",
        ],
        "an evaluator is mutually recursive; error texts name its variables",
    ),
    (
        &[
            "config::columns",
            "config::count",
            "config::explain",
            "config::fault",
            "config::include",
            "config::interpolate",
            "config::known",
            "config::load",
            "config::merge",
            "config::parse",
            "config::problem",
            "config::raw",
            "config::raw::words",
            "config::reader",
            "config::secrets",
            "config::spans",
            "config::syntax",
            "config::tree",
            "config::union",
            "config::units",
        ],
        "places in the text decode values, and values have places",
    ),
    (&["deliver::attempt", "deliver::exchange", "deliver::resolve"], "an attempt and its exchange share their terms"),
    (
        &["provider::addresses", "provider::facts", "provider::row"],
        "a row has facts, and facts say their source in the words of the row",
    ),
    (
        &[
            "provider::algorithm",
            "provider::block",
            "provider::border",
            "provider::event",
            "provider::failure",
            "provider::filter",
            "provider::fingerprint",
            "provider::jws",
            "provider::jwt",
            "provider::key",
            "provider::keys",
            "provider::keyset",
            "provider::location",
            "provider::mac",
            "provider::message",
            "provider::public",
            "provider::scheme",
            "provider::signature",
            "provider::signed",
            "provider::special",
            "provider::template",
            "provider::template_errors",
            "provider::verified",
            "provider::verify",
        ],
        "names of keys and places tie the verifier together",
    ),
    (
        &["provider::compile", "provider::compile_jwt", "provider::problem"],
        "a scheme and its JWT are compiled by each other",
    ),
    (
        &["provider::handshake", "provider::handshake_spec", "provider::reply"],
        "handshake, its written form and its reply share terms",
    ),
];

/// A path to a module, or to an item in one.
type Segments = Vec<String>;

/// The imports of all rooms.
struct Rooms {
    /// The code of each module, by its path.
    modules: BTreeMap<Segments, File>,
    /// The names that each module hands on, with the path behind each.
    handed_on: BTreeMap<Segments, BTreeMap<String, Segments>>,
}

fn segments(text: &str) -> Segments {
    text.split("::").map(str::to_owned).collect()
}

/// Returns the module of a file: `buffer/engine/mod.rs` is `buffer::engine`.
fn module_of(file: &File) -> Segments {
    let inside = file.inside().trim_end_matches(".rs");
    inside.strip_suffix("/mod").unwrap_or(inside).split('/').map(str::to_owned).collect()
}

/// Unfolds a `use` tree into its paths. Spaces are gone already.
fn unfolded(tree: &str) -> Vec<String> {
    let Some((before, rest)) = tree.split_once('{') else { return vec![tree.to_owned()] };
    let (mut depth, mut part, mut paths) = (0, String::new(), Vec::new());
    for letter in rest.chars() {
        match letter {
            '}' | ',' if depth == 0 => {
                if !part.is_empty() {
                    paths.extend(unfolded(&format!("{before}{part}")));
                }
                part.clear();
                continue;
            }
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        part.push(letter);
    }
    paths
}

impl Rooms {
    fn read() -> Self {
        let files = program().into_iter().filter(|file| !["lib", "main"].contains(&file.module()));
        let files = files.filter(|file| !file.code().is_empty() && file.module() != "simulation");
        let mut rooms =
            Self { modules: files.map(|file| (module_of(&file), file)).collect(), handed_on: BTreeMap::new() };
        let mut handed_on: BTreeMap<Segments, BTreeMap<String, Segments>> = BTreeMap::new();
        for (module, file) in &rooms.modules {
            for (is_public, path) in rooms.uses(module, &file.code()) {
                if let Some(name) = path.last().filter(|_| is_public) {
                    handed_on.entry(module.clone()).or_default().insert(name.clone(), path.clone());
                }
            }
        }
        rooms.handed_on = handed_on;
        rooms
    }

    /// Returns the paths of `use` items into this program, each with whether the name is handed on.
    fn uses(&self, module: &Segments, code: &str) -> Vec<(bool, Segments)> {
        let items = code.split(';').filter_map(|item| {
            let (before, tree) = item.rsplit_once("use ")?;
            let line = before.rsplit('\n').next().unwrap_or_default();
            (line.is_empty() || line.starts_with("pub")).then_some((!line.is_empty(), tree))
        });
        let mut found = Vec::new();
        for (is_public, tree) in items {
            // `self` and `as` stand for the module or item before them.
            let tree: String = tree.replace("::self", "").split_whitespace().collect::<Vec<_>>().join(" ");
            let paths = unfolded(&tree.replace(", ", ",").replace("{ ", "{").replace(" }", "}"));
            for path in paths {
                let path = path.split(" as ").next().unwrap().trim_end_matches("::self").to_owned();
                found.extend(self.ours(module, &path).map(|path| (is_public, path)));
            }
        }
        found
    }

    /// Returns the path from the top, if it leads into this program.
    fn ours(&self, module: &Segments, path: &str) -> Option<Segments> {
        let mut rest = segments(path).into_iter().peekable();
        let mut at = match rest.peek()?.as_str() {
            "crate" => Vec::new(),
            "super" | "self" => module.clone(),
            child if self.modules.contains_key(&[module.as_slice(), &[child.to_owned()]].concat()) => module.clone(),
            _ => return None,
        };
        for segment in rest {
            match segment.as_str() {
                "crate" | "self" => {}
                "super" => drop(at.pop()),
                _ => at.push(segment),
            }
        }
        Some(at)
    }

    /// Returns the module that a path leads to, behind all indexes that hand its name on.
    fn resolved(&self, path: &Segments) -> Option<&Segments> {
        let mut path = path.clone();
        for _ in 0..8 {
            let length = (1..=path.len()).rev().find(|length| self.modules.contains_key(&path[..*length]))?;
            let module = &path[..length];
            let behind = path.get(length).and_then(|name| self.handed_on.get(module)?.get(name));
            match behind {
                Some(behind) if *behind != path => {
                    let rest = path.get(length + 1..).unwrap_or_default().to_vec();
                    path = [behind.clone(), rest].concat();
                }
                _ => return self.modules.get_key_value(module).map(|(module, _)| module),
            }
        }
        None
    }

    /// Returns the modules of the same room that a module imports.
    fn imports(&self, module: &Segments) -> BTreeSet<&Segments> {
        let code = self.modules[module].code();
        let mut paths: Vec<Segments> = self.uses(module, &code).into_iter().map(|(_, path)| path).collect();
        let is_path = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == ':';
        for word in code.split(|letter: char| !is_path(letter)).filter(|word| word.contains("::")) {
            paths.extend(self.ours(module, word.trim_matches(':')));
        }
        let found = paths.iter().filter_map(|path| self.resolved(path));
        let knows =
            |one: &Segments, other: &Segments| one != other && !one.starts_with(other) && !other.starts_with(one);
        found.filter(|other| other[0] == module[0] && knows(module, other)).collect()
    }
}

fn reached<'m>(imports: &BTreeMap<&'m Segments, BTreeSet<&'m Segments>>, from: &'m Segments) -> BTreeSet<&'m Segments> {
    let (mut seen, mut waiting) = (BTreeSet::new(), vec![from]);
    while let Some(module) = waiting.pop() {
        waiting.extend(imports[module].iter().copied().filter(|next| seen.insert(*next)));
    }
    seen
}

/// Returns the groups of modules that lead to each other.
fn circles(rooms: &Rooms) -> Vec<Vec<String>> {
    let imports: BTreeMap<&Segments, BTreeSet<&Segments>> =
        rooms.modules.keys().map(|module| (module, rooms.imports(module))).collect();
    assert!(
        imports.values().map(BTreeSet::len).sum::<usize>() > 300,
        "hardly an import was found; the search is broken"
    );
    let reach: BTreeMap<&Segments, BTreeSet<&Segments>> =
        imports.keys().map(|module| (*module, reached(&imports, module))).collect();
    let mut groups = BTreeSet::new();
    for (module, seen) in &reach {
        let group: Vec<&Segments> = seen.iter().copied().filter(|other| reach[other].contains(module)).collect();
        if group.len() > 1 {
            groups.insert(group);
        }
    }
    groups.into_iter().map(|group| group.iter().map(|module| module.join("::")).collect()).collect()
}

#[test]
fn no_files_of_a_room_import_each_other_in_a_circle() {
    let found = circles(&Rooms::read());
    let is_known = |circle: &Vec<String>| CIRCLES.iter().any(|(known, _)| known.iter().eq(circle.iter()));
    let mut findings: Vec<String> = found
        .iter()
        .filter(|circle| !is_known(circle))
        .map(|circle| format!("{}: a circle; move what ties them, or list it in CIRCLES", circle.join(", ")))
        .collect();
    for (known, _) in CIRCLES {
        if !found.iter().any(|circle| known.iter().eq(circle.iter())) {
            findings.push(format!("{}: is no circle any more; take it out of CIRCLES", known.join(", ")));
        }
    }
    nothing(findings);
}
