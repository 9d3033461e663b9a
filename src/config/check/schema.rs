//! The schemas of a source: they are compiled, and each problem is reported at the entry that names the file.

use std::path::Path;

use super::{Checker, path};
use crate::config::problem::{Code, Problem};
use crate::config::raw;
use crate::config::spans::Span;
use crate::refusal::OnFailure;
use crate::schema::{Asserted, SchemaParams, SchemaProblem, SchemaSet};

impl Checker<'_> {
    pub(super) fn schemas(&mut self, name: &str, written: &raw::Source) -> Option<SchemaSet> {
        let written = written.schemas.as_ref()?;
        let params = SchemaParams {
            dir: written.dir.as_ref().map(|dir| self.beside(dir)),
            events: written.events.iter().map(|(glob, file)| (glob.clone(), self.beside(file))).collect(),
            on_missing: written.on_missing.unwrap_or(OnFailure::Allow),
            on_invalid: written.on_invalid.unwrap_or(OnFailure::Quarantine),
            root: self.beside(Path::new("schemas")),
            asserted: Asserted {
                format: written.assert.contains(&raw::Assertion::Format),
                content: written.assert.contains(&raw::Assertion::Content),
            },
        };
        // These are the paths that the file gives; the files that are read lie behind all symbolic links.
        for path in [&params.root].into_iter().chain(&params.dir).chain(params.events.iter().map(|(_, file)| file)) {
            (self.world.notice)(path);
        }
        match SchemaSet::compile(params, self.world.read) {
            Ok(set) => {
                for doubt in set.doubts() {
                    let message = doubt.to_string();
                    let at = self.place_of_schema(name, written, &message);
                    let found = Problem::warning(Code::Misspelt, self.spans.file_of(at), at, message);
                    self.problems.push_beside(found);
                }
                Some(set)
            }
            Err(problems) => {
                for problem in problems {
                    let at = self.place_of_schema(name, written, &problem.to_string());
                    let found = Problem::error(Code::InvalidSchema, self.spans.file_of(at), at, problem.to_string());
                    let help = match problem {
                        SchemaProblem::Outside { .. } => "schemas stand in the folder `schemas` beside this file",
                        _ => "",
                    };
                    // One folder may hold many schemas.
                    self.problems.push_beside(found.help(help));
                }
                None
            }
        }
    }

    /// Returns the entry of a schema's problem, by the file that the problem names; the whole section otherwise.
    fn place_of_schema(&self, name: &str, written: &raw::Schemas, problem: &str) -> Span {
        let subject = problem.split(": ").next().unwrap_or_default();
        // A schema is named by its path inside the folder of schemas, with the line where there is one.
        let schema = subject.split(':').next().unwrap_or_default();
        let named = written.events.iter().find(|(glob, file)| {
            let is_path = self.beside(file).as_os_str() == subject;
            is_path || file.ends_with(schema) || problem.contains(&format!("\"{glob}\""))
        });
        let span = match named {
            Some((glob, _)) => self.spans.of(&path!["sources", name, "schemas", "events", glob]),
            None => self.spans.of(&path!["sources", name, "schemas", "dir"]),
        };
        span.or_else(|| self.spans.of(&path!["sources", name, "schemas"])).unwrap_or(Span::TOP)
    }
}
