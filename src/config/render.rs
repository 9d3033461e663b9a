//! The forms in which problems are shown: text with carets, JSON, and annotations of GitHub.
//!
//! The files are handed in, with their secrets masked.

use std::fmt::Write;
use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use serde::Serialize;

use super::files::Files;
use super::problem::{Problem, Second, Severity, is_hidden};
use super::spans::{Position, Span};

/// Returns the problems of `files` as text, in the style of rustc.
pub fn text(problems: &[Problem], files: &Files, color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() }.decor_style(DecorStyle::Ascii);
    let mut out = String::new();
    for problem in problems {
        out.push_str(&one(problem, files, &renderer));
        out.push_str("\n\n");
    }
    out
}

fn one(problem: &Problem, files: &Files, renderer: &Renderer) -> String {
    let level = match problem.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let (text, file) = (files.text(problem.span.file), problem.file.display().to_string());
    let mut snippet = Snippet::source(text)
        .path(file.as_str())
        .annotation(AnnotationKind::Primary.span(byte_range(text, problem.span)));
    let mut elsewhere = None;
    if let Some(Second { file, span, label }) = &problem.second {
        let text = files.text(span.file);
        let annotation = AnnotationKind::Context.span(byte_range(text, *span)).label(label.as_str());
        if span.file == problem.span.file {
            snippet = snippet.annotation(annotation);
        } else {
            elsewhere = Some(Snippet::source(text).path(file.display().to_string()).annotation(annotation));
        }
    }
    let mut group = level.primary_title(problem.message.as_str()).id(problem.code.as_str()).element(snippet);
    if let Some(snippet) = elsewhere {
        group = group.element(snippet);
    }
    if let Some(help) = &problem.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    renderer.render(&[group])
}

/// Returns the bytes of a span; for a span over several lines, those of the first.
fn byte_range(text: &str, span: Span) -> Range<usize> {
    let start = byte_of(text, span.start);
    let line_end = text.get(start..).and_then(|rest| rest.find('\n')).map_or(text.len(), |length| start + length);
    let end = if span.end.line == span.start.line { byte_of(text, span.end).min(line_end) } else { line_end };
    let trimmed = text.get(start..end).unwrap_or_default().trim_end().len();
    start..if trimmed == 0 { end.max(start) } else { start + trimmed }
}

fn byte_of(text: &str, position: Position) -> usize {
    let line_start: usize = text.split_inclusive('\n').take(position.line - 1).map(str::len).sum();
    let line = text.get(line_start..).unwrap_or_default().split_inclusive('\n').next().unwrap_or_default();
    line_start + line.chars().take(position.column - 1).map(char::len_utf8).sum::<usize>()
}

#[derive(Serialize)]
struct Json<'a> {
    severity: &'static str,
    code: &'static str,
    message: &'a str,
    help: Option<&'a str>,
    file: String,
    line: usize,
    column: usize,
    end_line: usize,
    end_column: usize,
    second: Option<JsonSecond<'a>>,
}

#[derive(Serialize)]
struct JsonSecond<'a> {
    message: &'a str,
    file: String,
    line: usize,
    column: usize,
    end_line: usize,
    end_column: usize,
}

impl<'a> JsonSecond<'a> {
    fn of(second: &'a Second) -> Self {
        let Second { file, span, label } = second;
        Self {
            message: label,
            file: file.display().to_string(),
            line: span.start.line,
            column: span.start.column,
            end_line: span.end.line,
            end_column: span.end.column,
        }
    }
}

/// Returns the problems as a JSON array, ending in a newline.
pub fn json(problems: &[Problem]) -> String {
    let rows: Vec<Json<'_>> = rows(problems).collect();
    serde_json::to_string_pretty(&rows).map(|text| text + "\n").unwrap_or_default()
}

/// Returns the problems as a JSON value.
pub fn value(problems: &[Problem]) -> serde_json::Value {
    rows(problems).map(|row| serde_json::to_value(row).unwrap_or_default()).collect()
}

fn rows(problems: &[Problem]) -> impl Iterator<Item = Json<'_>> {
    problems.iter().map(|problem| Json {
        severity: problem.severity.as_str(),
        code: problem.code.as_str(),
        message: &problem.message,
        help: problem.help.as_deref(),
        file: problem.file.display().to_string(),
        line: problem.span.start.line,
        column: problem.span.start.column,
        end_line: problem.span.end.line,
        end_column: problem.span.end.column,
        second: problem.second.as_ref().map(JsonSecond::of),
    })
}

/// Returns the problems as workflow commands of GitHub Actions, a line each.
pub fn github(problems: &[Problem]) -> String {
    let mut out = String::new();
    for problem in problems {
        let second = problem.second.as_ref().map(|second| {
            let Second { file, span: Span { start, .. }, label } = second;
            format!("\n{label}: {}:{}:{}", file.display(), start.line, start.column)
        });
        let help = problem.help.as_deref().map(|help| format!("\n{help}"));
        // Writing to a string does not fail.
        let _written = writeln!(
            out,
            "::{} file={},line={},col={},endLine={},endColumn={},title={}::{}",
            problem.severity.as_str(),
            property(&problem.file.display().to_string()),
            problem.span.start.line,
            problem.span.start.column,
            problem.span.end.line,
            problem.span.end.column,
            problem.code.as_str(),
            data(&[Some(problem.message.clone()), second, help].into_iter().flatten().collect::<String>()),
        );
    }
    out
}

/// Returns text for the part after `::`, by GitHub's rules; hidden characters are escaped, since they could end the
/// line.
fn data(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '%' => out.push_str("%25"),
            '\r' => out.push_str("%0D"),
            '\n' => out.push_str("%0A"),
            c if is_hidden(c) => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Code;
    use crate::config::files::FileId;
    use std::path::Path;

    #[test]
    fn an_annotation_stays_on_its_line() {
        let span =
            Span { file: FileId::MAIN, start: Position { line: 3, column: 5 }, end: Position { line: 3, column: 8 } };
        let problem = Problem::error(Code::UnknownKey, Path::new("a,b:c.yaml"), span, "100%\r\n::x").help("fix");
        assert_eq!(
            github(&[problem]),
            "::error file=a%2Cb%3Ac.yaml,line=3,col=5,endLine=3,endColumn=8,title=unknown_key::100%25%0D%0A::x%0Afix\n"
        );
    }

    #[test]
    fn json_has_the_place_in_lines_and_columns() {
        let problem = Problem::warning(Code::Syntax, Path::new("f.yaml"), Span::TOP, "m");
        let value: serde_json::Value = serde_json::from_str(&json(&[problem])).unwrap();
        assert_eq!(value[0]["severity"], "warning");
        assert_eq!((&value[0]["line"], &value[0]["end_column"]), (&1.into(), &2.into()));
    }
}
