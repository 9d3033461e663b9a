//! Providers: rows of the file itself, and the row that a source names.

use super::source::Providers;
use super::{Checker, path};
use crate::config::problem::Code;
use crate::config::{provider_meant, raw};
use crate::provider::{self, Row, RowProblem, RowSpec, SourceKind};

impl Checker<'_> {
    pub(super) fn providers(&mut self) -> Providers {
        let raw = self.raw;
        let mut rows = Providers::new();
        for name in raw.providers.keys() {
            let at = path!["providers", name];
            let Some(spec) = self.spans.decode::<RowSpec>(&at, &mut self.problems) else { continue };
            // A key that seems to be missing may be misspelt, and that is reported.
            if self.spans.is_broken(&at) {
                continue;
            }
            match Row::of(name.as_str(), spec) {
                Ok(row) => {
                    for (outcome, answer) in row.answers().iter() {
                        let at = path!["providers", name, "answers", outcome.label()];
                        self.check_answer(outcome, answer.status, &at);
                    }
                    rows.insert(name.as_str().to_owned(), row);
                }
                Err(RowProblem::Scheme(problem)) => {
                    self.bad_scheme(&path!["providers", name, "verify"], &problem);
                }
                Err(problem) => self.bad_row(&at, &problem),
            }
        }
        rows
    }

    /// Returns the row that a source names.
    pub(super) fn row(&mut self, name: &str, written: &raw::Source, providers: &Providers) -> Option<Row> {
        let at = path!["sources", name, "provider"];
        let wanted = written.provider.as_deref()?;
        let builtin = provider::builtin();
        if let Some(row) = providers.get(wanted).or_else(|| builtin.get(wanted)) {
            if !matches!(row.proof(), SourceKind::Sdk | SourceKind::Docs) && !providers.contains_key(wanted) {
                let help = "compare it with the provider's own page before you rely on it".to_owned();
                let whence = match row.proof() {
                    SourceKind::Memory => "it is from memory",
                    _ => "it rests on one third-party table",
                };
                let message = format!("the row of {} is not proven: {whence}", self.quoted(&at));
                self.warning(Code::Unproven, &at, message, Some(help));
            }
            return Some(row.clone());
        }
        if self.spans.of(&path!["providers", wanted]).is_none() {
            let help = match provider_meant(wanted, providers.keys().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "spell the scheme out under `verify:`, or add a row under `providers:`".to_owned(),
            };
            self.error(Code::UnknownName, &at, format!("there is no provider {}", self.quoted(&at)), Some(help));
        }
        None
    }
}
