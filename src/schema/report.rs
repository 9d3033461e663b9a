//! The report on an event that does not match, at a bounded cost and without its values.
//!
//! jsonschema collects all errors before it gives the first one, and for a failed `oneOf` or `anyOf` it copies the
//! instance once for every error of every branch: 1,700 times the cost of a valid event for the schema of all GitHub
//! webhooks. So a choice is only entered where one branch is known to be meant, a choice between many is reported as
//! one problem, and a large event gets one problem only.
//!
//! Texts are masked: an event may hold personal data. Names of properties are shown where they look like names.

use std::collections::BTreeMap;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{ValidationError, Validator};
use serde_json::Value;

/// Most problems that are reported of one event.
pub const PROBLEMS_MAX: usize = 20;
/// Longest message of one problem.
pub const MESSAGE_BYTES_MAX: usize = 300;

/// The most values of an event whose problems are all looked for; a larger one gets one problem.
const VALUES_MAX: usize = 4_000;
/// The most values under a schema with choices inside, of which every branch copies the values.
const VALUES_WITH_CHOICES_MAX: usize = 1_500;

/// The most schemas of a choice that is explained branch by branch.
pub(super) const BRANCHES_MAX: usize = 8;

/// The `oneOf` or `anyOf` that a whole schema consists of.
pub(super) struct Choice {
    pub(super) keyword: &'static str,
    pub(super) count: usize,
    pub(super) by: Option<Discriminator>,
}

/// The property by whose value one branch is chosen, such as `action`.
pub(super) struct Discriminator {
    pub(super) property: String,
    pub(super) branches: BTreeMap<String, Validator>,
}

/// The width of the widest `oneOf` or `anyOf` below the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Choices {
    None,
    Few,
    Many,
}

/// One problem of an event that does not match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaError {
    /// JSON pointer into the event.
    pub instance_path: String,
    /// JSON pointer into the schema.
    pub schema_path: String,
    /// The expectation that is not met there.
    pub message: String,
}

/// Returns the problems, and whether there may be more.
pub(super) fn explained(
    validator: &Validator,
    choice: Option<&Choice>,
    inner: Choices,
    document: &Value,
) -> (Vec<SchemaError>, bool) {
    match choice {
        Some(Choice { keyword, by: Some(by), .. }) => match chosen(by, document) {
            Ok(branch) if !branch.is_valid(document) => below(branch, inner, document),
            // The branch alone accepts it, so something beside the choice does not.
            Ok(_) => (vec![mismatch(keyword)], true),
            Err(unknown) => (vec![unknown], false),
        },
        Some(Choice { keyword, count, by: None }) if *count > BRANCHES_MAX => {
            let message = format!("the event matches none, or more than one, of the {count} alternatives");
            (vec![SchemaError { message, ..mismatch(keyword) }], true)
        }
        Some(_) => below(validator, inner.max(Choices::Few), document),
        None => below(validator, inner, document),
    }
}

fn mismatch(keyword: &str) -> SchemaError {
    let message = "the event does not match the schema".to_owned();
    SchemaError { instance_path: String::new(), schema_path: format!("/{keyword}"), message }
}

fn chosen<'c>(by: &'c Discriminator, document: &Value) -> Result<&'c Validator, SchemaError> {
    let branch = document.get(&by.property).and_then(Value::as_str).and_then(|value| by.branches.get(value));
    branch.ok_or_else(|| SchemaError {
        instance_path: format!("/{}", by.property),
        schema_path: String::new(),
        message: format!("\"{}\" is missing or is none of the values that the alternatives expect", by.property),
    })
}

fn below(validator: &Validator, inner: Choices, document: &Value) -> (Vec<SchemaError>, bool) {
    let small = match inner {
        Choices::None => fewer_values(document, VALUES_MAX),
        Choices::Few => fewer_values(document, VALUES_WITH_CHOICES_MAX),
        Choices::Many => false,
    };
    if small {
        let mut errors = validator.iter_errors(document);
        let problems = errors.by_ref().take(PROBLEMS_MAX).map(|error| masked(&error)).collect();
        return (problems, errors.next().is_some());
    }
    let first = if inner == Choices::None { validator.validate(document).err() } else { None };
    (vec![first.map_or_else(|| mismatch(""), |error| masked(&error))], true)
}

/// Returns whether a document has at most `limit` values; stops counting as soon as the answer is known.
fn fewer_values(document: &Value, limit: usize) -> bool {
    let mut open = vec![document];
    let mut seen = 1;
    while let Some(value) = open.pop() {
        let before = open.len();
        match value {
            Value::Object(members) if seen + members.len() <= limit => open.extend(members.values()),
            Value::Array(items) if seen + items.len() <= limit => open.extend(items),
            Value::Object(_) | Value::Array(_) => return false,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
        seen += open.len() - before;
    }
    true
}

fn masked(error: &ValidationError<'_>) -> SchemaError {
    let message = match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => unexpected_names(unexpected),
        ValidationErrorKind::UnevaluatedItems { unexpected } => format!("{} items are not allowed", unexpected.len()),
        ValidationErrorKind::PropertyNames { error } => {
            format!("the name of a property breaks \"{}\"", error.kind().keyword())
        }
        _ => error.masked().to_string(),
    };
    SchemaError {
        instance_path: cut(error.instance_path().as_str().to_owned()),
        schema_path: cut(error.schema_path().as_str().to_owned()),
        message: cut(message),
    }
}

/// Describes unexpected properties. The keys of a map may be personal data, such as addresses; names that a developer
/// gave are not.
fn unexpected_names(names: &[String]) -> String {
    let plain = |name: &&String| {
        name.len() <= 40
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_uppercase() || b"_-$".contains(&byte))
    };
    let shown: Vec<_> = names.iter().filter(plain).take(5).map(|name| format!("\"{name}\"")).collect();
    match (shown.len(), names.len()) {
        (0, count) => format!("{count} properties are not allowed"),
        (shown_count, count) if shown_count == count => format!("not allowed here: {}", shown.join(", ")),
        (shown_count, count) => format!("not allowed here: {} and {} more", shown.join(", "), count - shown_count),
    }
}

pub(super) fn cut(mut text: String) -> String {
    if text.len() > MESSAGE_BYTES_MAX {
        text.truncate(text.floor_char_boundary(MESSAGE_BYTES_MAX - '…'.len_utf8()));
        text.push('…');
    }
    text
}
