//! Usable settings of bodies that are probably mistakes. These are warnings only: every gate refuses a body that it
//! cannot read. So each warning is about a setting that would refuse all bodies of one kind.

use super::{Checker, path};
use crate::config::problem::Code;
use crate::config::raw;
use crate::provider::{BodySpec, Content, Row};

const FORM: &str = "application/x-www-form-urlencoded";
const MULTIPART: &str = "multipart/form-data";

impl Checker<'_> {
    /// Warns where `body`, `schemas` and `content_types` of a source do not fit the formats that its provider sends, or
    /// do not fit each other.
    pub(super) fn doubts_of_body(&mut self, name: &str, written: &raw::Source, row: Option<&Row>, has_schemas: bool) {
        let own = written.body.as_ref().and_then(raw::Body::spec);
        let spec = own.or_else(|| row.and_then(Row::body)).cloned().unwrap_or_default();
        let sends = |content: Content| row.is_some_and(|row| row.content().contains(&content));
        let title = row.map(Row::title).unwrap_or_default();
        let at = path!["sources", name, if own.is_some() { "body" } else { "schemas" }];
        // The usual format of a provider comes first; its settings may offer others.
        let usually = row.and_then(|row| row.content().first());
        if own == Some(&BodySpec::Json) && usually == Some(&Content::Form) {
            let message = format!("{title} sends forms, and `body: json` takes none: they are malformed");
            self.warning(Code::Mismatch, &at, message, Some(help(row)));
        } else if has_schemas && sends(Content::Form) && spec == BodySpec::Auto {
            let message = format!("{title} sends forms, and schemas cannot check them: they go as `on_invalid` says");
            self.warning(Code::Mismatch, &at, message, Some(help(row)));
        } else if has_schemas && sends(Content::Multipart) {
            let message = format!("{title} may send {MULTIPART}, which is not read: it goes as `on_invalid` says");
            let help = "have it send JSON, or give what comes so a source without schemas".to_owned();
            self.warning(Code::Mismatch, &at, message, Some(help));
        } else if has_schemas && row.is_some_and(|row| is_never_read(row.content())) {
            let message = format!("{title} sends no JSON, so schemas check nothing: all goes as `on_invalid` says");
            let help = "leave `schemas` out".to_owned();
            self.warning(Code::Mismatch, &path!["sources", name, "schemas"], message, Some(help));
        }
        let takes = written.content_types.as_deref().unwrap_or_default();
        let is_form = |kind: &String| kind.eq_ignore_ascii_case(FORM);
        let wants_forms = own.is_some_and(|own| matches!(own, BodySpec::Field { .. }));
        if wants_forms && !takes.is_empty() && !takes.iter().any(is_form) {
            let message = "the JSON is read from a form, and `content_types` lets none in";
            let help = format!("add `{FORM}`");
            self.warning(Code::Mismatch, &path!["sources", name, "content_types"], message, Some(help));
        }
        if has_schemas && spec == BodySpec::Auto && takes.iter().any(is_form) {
            let message = "`content_types` lets forms in, and schemas cannot check them: they go as `on_invalid` says";
            self.warning(Code::Mismatch, &path!["sources", name, "content_types"], message, Some(help(None)));
        }
    }
}

/// Returns whether a provider sends only formats that are never read as JSON or as a form. `false` if its formats are
/// unknown.
fn is_never_read(content: &[Content]) -> bool {
    let is_read = |content: &Content| match content {
        Content::Json | Content::Form | Content::Any => true,
        Content::Multipart | Content::Text | Content::Xml | Content::Jwt => false,
    };
    !content.is_empty() && !content.iter().any(is_read)
}

/// Returns the help text about reading forms: the `body` of the provider's row where it has one, otherwise the choices.
fn help(row: Option<&Row>) -> String {
    match row.and_then(Row::body) {
        Some(spec) => format!("leave `body` out: the provider's row has `body: {spec}`"),
        None => "write `body: {form: FIELD}` where a field holds JSON, or `body: form` to check the fields".to_owned(),
    }
}
