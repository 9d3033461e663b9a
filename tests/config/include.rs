//! Golden files about `include`: `include/*.test`, in the form of those in `meaning/`, checked by the front-end alone.
//! A first line `format: json` or `format: github` chooses the format of the output.

use std::path::Path;

use hookgate::config::{Files, Problem, path, render};

use super::golden;
use super::meaning::Around;

fn shown(text: &str) -> String {
    let (format, text) = match text.strip_prefix("format: ").and_then(|rest| rest.split_once('\n')) {
        Some((format, rest)) => (format, rest),
        None => ("text", text),
    };
    let render = |problems: &[Problem], files: &Files| match format {
        "json" => render::json(problems),
        "github" => render::github(problems),
        _ => render::text(problems, files, false),
    };
    let (around, yaml) = Around::of(text);
    let loaded = around.load(yaml);
    around.shortened(&render(&loaded.problems, loaded.spans.files()))
}

#[test]
fn every_golden_file_of_several_files_shows_what_it_says() {
    golden("tests/config/include", 15, &shown);
}

#[test]
fn what_is_included_is_typed_like_the_main_file_and_knows_where_it_stands() {
    let (around, yaml) = Around::of(
        "env: PORT=9000\nfile: routes.d/b.yaml\n| version: 1\n| destinations:\n|   orders: {url: 'http://orders:${PORT}/'}\n\
         file: routes.d/a.yaml\n| x-t: &t {timeout: 3s}\n| destinations:\n|   billing: {url: 'http://billing/', <<: *t}\n| buffer: {fsync: os}\n\
         file: .hidden.yaml\n| nonsense: 1\nfile: routes.d/.#a.yaml\n| nonsense: 1\nfile: routes.d/note.txt\n| nonsense: 1\n\
         version: 1\ninclude: ['routes.d/*.yaml', './routes.d/b.yaml', 'nowhere/*.yaml', '*.yaml']\ndestinations:\n  mine: {url: 'http://mine/'}\n",
    );
    let loaded = around.load(yaml);
    assert_eq!(loaded.problems, []);
    let raw = loaded.raw.unwrap();
    let names: Vec<&str> = raw.destinations.keys().map(hookgate::config::raw::Name::as_str).collect();
    assert_eq!(names, ["billing", "mine", "orders"]);
    assert_eq!(raw.destinations["orders"].url.as_ref().unwrap().as_str(), "http://orders:9000/");
    assert!(raw.buffer.fsync.is_some());
    let files: Vec<String> =
        loaded.spans.files().paths().map(|path| around.shortened(&path.display().to_string())).collect();
    assert_eq!(files, ["routes.yaml", "routes.d/a.yaml", "routes.d/b.yaml"], "each once, those of a glob by name");
    let origin = |path: &[hookgate::config::Seg<'_>]| {
        let (file, span) = loaded.spans.origin(path).unwrap();
        (around.shortened(&file.display().to_string()), span.start.line)
    };
    assert_eq!(origin(&path!["destinations", "orders", "url"]), ("routes.d/b.yaml".to_owned(), 3));
    assert_eq!(origin(&path!["destinations", "billing", "timeout"]), ("routes.d/a.yaml".to_owned(), 1));
    assert_eq!(origin(&path!["destinations", "mine"]), ("routes.yaml".to_owned(), 4));
    assert_eq!(origin(&path!["buffer", "fsync"]), ("routes.d/a.yaml".to_owned(), 4));
}

#[test]
fn a_file_that_is_no_text_is_named_where_it_is_included() {
    let (around, yaml) = Around::of("version: 1\ninclude: [a.yaml]\n");
    around.write("a.yaml", b"\xff\xfe\0");
    let problems = around.load(yaml).problems;
    assert_eq!((problems.len(), problems[0].code.as_str()), (1, "unusable_file"));
    assert!(problems[0].file.ends_with("routes.yaml") && problems[0].message.contains("it is UTF-16"));
}

#[test]
fn all_files_together_have_one_limit() {
    let (around, yaml) = Around::of("version: 1\ninclude: [a.yaml, b.yaml]\n");
    let comment = "#".repeat(3 << 20);
    around.write("a.yaml", comment.as_bytes());
    assert_eq!(around.load("version: 1\ninclude: [a.yaml]\n").problems, []);
    around.write("b.yaml", comment.as_bytes());
    let problems = around.load(yaml).problems;
    assert_eq!((problems.len(), problems[0].code.as_str()), (1, "limit_exceeded"));
    assert_eq!(problems[0].span.start.column, 19, "the second file is one too many");
}

#[test]
fn aliases_unfold_over_all_files_to_no_more_than_in_one() {
    let (around, _) = Around::of("");
    let laugh = "x-a: &a [1,2,3,4,5,6,7,8,9]\nx-b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nx-c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nx-d: [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n";
    for number in 0..20 {
        around.write(&format!("d/{number}.yaml"), laugh.as_bytes());
    }
    let problems = around.load("version: 1\ninclude: [d/*.yaml]\n").problems;
    assert!(problems.iter().any(|problem| problem.code.as_str() == "limit_exceeded"), "{problems:?}");
    assert!(
        problems.iter().all(|problem| problem.file.parent().is_some_and(|folder| folder.ends_with(Path::new("d"))))
    );
}

#[test]
fn paths_may_be_absolute_and_lead_out_of_the_folder() {
    let (around, _) =
        Around::of("file: a.yaml\n| routes: {a: {from: s, to: d}}\nfile: b.yaml\n| routes: {b: {from: s, to: d}}\n");
    let folder = around.path();
    let name = folder.file_name().unwrap().display();
    let yaml = format!("version: 1\ninclude: ['{}/a.yaml', '../{name}/b*.yaml']\n", folder.display());
    let loaded = around.load(&yaml);
    assert_eq!(loaded.problems, []);
    assert_eq!(loaded.raw.unwrap().routes.len(), 2);
}
