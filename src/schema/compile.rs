//! The compilation of one schema, and of what explains its failures at a bounded cost.

use std::collections::BTreeMap;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{PatternOptions, ReferencingError, ValidationError, ValidationOptions, Validator};
use serde_json::{Value, json};

use super::load::Library;
use super::problem::SchemaProblem;
use super::report::{self, BRANCHES_MAX, Choice, Choices, Discriminator, SchemaError};
use super::{Asserted, SchemaName, refs};

/// The base of the schemas that hold one branch.
const BRANCH: &str = "hookgate-branch:///";

/// The media types that the validator can parse.
const CONTENT_MEDIA_TYPES: [&str; 1] = ["application/json"];
/// The encodings that the validator can decode.
const CONTENT_ENCODINGS: [&str; 5] = ["base64", "base64url", "base32", "base32hex", "base16"];

const DRAFTS: [&str; 5] =
    ["draft-04/schema", "draft-06/schema", "draft-07/schema", "draft/2019-09/schema", "draft/2020-12/schema"];

pub(super) struct Compiled {
    name: SchemaName,
    validator: Validator,
    choice: Option<Choice>,
    inner: Choices,
}

impl Compiled {
    pub(super) fn new(name: SchemaName, library: &Library, asserted: Asserted) -> Result<Self, Vec<SchemaProblem>> {
        let document = library.document(&name).unwrap_or(&Value::Null);
        check_draft(&name, document).map_err(|problem| vec![problem])?;
        let build = |schema: &Value, base: &str| {
            let options = jsonschema::options().should_validate_formats(asserted.format);
            let options = if asserted.content { options } else { without_content(options) };
            options
                .with_pattern_options(PatternOptions::regex())
                .with_retriever(library.clone())
                .with_base_uri(base)
                .build(schema)
                .map_err(|error| vec![problem_of(&name, error)])
        };
        let validator = build(document, &refs::uri_of(&name))?;
        let (root, pointer) = resolved(document, document);
        let choice = choice_in(root).map(|(keyword, branches)| -> Result<Choice, Vec<SchemaProblem>> {
            let place = format!("{}#{}/{keyword}", refs::uri_of(&name), pointer.unwrap_or_default());
            let by =
                discriminator(document, branches).map(|found| found.compiled(&place, document, &build)).transpose()?;
            Ok(Choice { keyword, count: branches.len(), by })
        });
        let inner = library.documents().map(|(_, document)| widest(document, root)).max().unwrap_or(Choices::None);
        Ok(Self { name, validator, choice: choice.transpose()?, inner })
    }

    pub(super) fn name(&self) -> &SchemaName {
        &self.name
    }

    pub(super) fn is_valid(&self, document: &Value) -> bool {
        self.validator.is_valid(document)
    }

    pub(super) fn report(&self, document: &Value) -> (Vec<SchemaError>, bool) {
        report::explained(&self.validator, self.choice.as_ref(), self.inner, document)
    }
}

impl std::fmt::Debug for Compiled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compiled").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Turns the checks of `contentMediaType` and `contentEncoding` off.
fn without_content(mut options: ValidationOptions<'_>) -> ValidationOptions<'_> {
    for media_type in CONTENT_MEDIA_TYPES {
        options = options.without_content_media_type_support(media_type);
    }
    for encoding in CONTENT_ENCODINGS {
        options = options.without_content_encoding_support(encoding);
    }
    options
}

fn check_draft(name: &SchemaName, document: &Value) -> Result<(), SchemaProblem> {
    let Some(draft) = document.get("$schema").and_then(Value::as_str) else { return Ok(()) };
    let plain = draft.trim_end_matches('#');
    let plain = plain.strip_prefix("http://").or_else(|| plain.strip_prefix("https://")).unwrap_or(plain);
    let known = plain.strip_prefix("json-schema.org/").is_some_and(|path| DRAFTS.contains(&path));
    if known { Ok(()) } else { Err(SchemaProblem::UnknownDraft { schema: name.clone(), draft: draft.to_owned() }) }
}

/// Makes the problem of a schema that does not compile. A schema is no secret, so its own words may be shown.
fn problem_of(name: &SchemaName, error: ValidationError<'static>) -> SchemaProblem {
    let schema = name.clone();
    match error.kind() {
        ValidationErrorKind::Referencing(ReferencingError::Unretrievable { uri, .. }) => {
            SchemaProblem::ForeignRef { schema, reference: uri.clone() }
        }
        ValidationErrorKind::Referencing(error) => SchemaProblem::BrokenRef { schema, message: error.to_string() },
        ValidationErrorKind::Format { format } if format == "regex" => {
            let pattern = error.instance().as_str().unwrap_or_default().to_owned();
            // A meta-schema's complaint has the place in its instance path, the compiler's in its schema path.
            let instance_path = error.instance_path().as_str();
            let at = if instance_path.is_empty() { error.schema_path().as_str() } else { instance_path }.to_owned();
            SchemaProblem::BadPattern { schema, at, pattern }
        }
        _ => {
            let message = report::cut(error.masked_with("the schema").to_string());
            SchemaProblem::BadSchema { schema, at: error.instance_path().as_str().to_owned(), message }
        }
    }
}

/// Follows `{"$ref": "#/…"}` inside one document; returns the schema and its JSON pointer.
fn resolved<'d>(document: &'d Value, schema: &'d Value) -> (&'d Value, Option<&'d str>) {
    let mut found = (schema, None);
    // A circle of references ends here as well.
    for _ in 0..8 {
        let Some(pointer) = found.0.get("$ref").and_then(Value::as_str).and_then(|text| text.strip_prefix('#')) else {
            break;
        };
        let Some(target) = document.pointer(pointer) else { break };
        found = (target, Some(pointer));
    }
    found
}

type Build<'b> = dyn Fn(&Value, &str) -> Result<Validator, Vec<SchemaProblem>> + 'b;

fn choice_in(schema: &Value) -> Option<(&'static str, &[Value])> {
    let choices =
        ["oneOf", "anyOf"].into_iter().filter_map(|keyword| Some((keyword, schema.get(keyword)?.as_array()?)));
    choices.map(|(keyword, branches)| (keyword, branches.as_slice())).find(|(_, branches)| branches.len() > 1)
}

struct Found<'d> {
    property: &'d str,
    /// The branch for each value, by its position.
    values: BTreeMap<&'d str, usize>,
}

/// Finds a required property that has other constant texts in every branch.
fn discriminator<'d>(document: &'d Value, branches: &'d [Value]) -> Option<Found<'d>> {
    let mut first = resolved(document, branches.first()?).0;
    while let Some((_, [inner, ..])) = choice_in(first).filter(|_| first.get("properties").is_none()) {
        first = resolved(document, inner).0;
    }
    first.get("properties")?.as_object()?.keys().find_map(|property| {
        let mut values = BTreeMap::new();
        for (position, branch) in branches.iter().enumerate() {
            for value in constants(document, branch, property)? {
                let other = values.insert(value, position);
                if other.is_some_and(|other| other != position) {
                    return None;
                }
            }
        }
        Some(Found { property, values })
    })
}

/// Returns the values of `property` that a branch asks for; a branch may be a choice itself.
fn constants<'d>(document: &'d Value, branch: &'d Value, property: &str) -> Option<Vec<&'d str>> {
    let branch = resolved(document, branch).0;
    if let Some(inner) = choice_in(branch).map(|(_, inner)| inner).filter(|_| branch.get("properties").is_none()) {
        let constants: Option<Vec<_>> = inner.iter().map(|branch| constants(document, branch, property)).collect();
        return constants.map(|constants| constants.concat());
    }
    let required = branch.get("required")?.as_array()?.iter().any(|name| name == property);
    let schema = branch.get("properties")?.get(property).filter(|_| required)?;
    match (schema.get("const"), schema.get("enum")) {
        (Some(value), _) => Some(vec![value.as_str()?]),
        (None, Some(values)) => values.as_array()?.iter().map(Value::as_str).collect(),
        (None, None) => None,
    }
}

impl Found<'_> {
    /// Compiles each branch by its reference into the document, under a base of its own.
    fn compiled(self, place: &str, document: &Value, build: &Build<'_>) -> Result<Discriminator, Vec<SchemaProblem>> {
        let mut branches = BTreeMap::new();
        for (value, position) in self.values {
            let mut schema = json!({"$ref": format!("{place}/{position}")});
            if let (Some(draft), Some(members)) = (document.get("$schema"), schema.as_object_mut()) {
                members.insert("$schema".to_owned(), draft.clone());
            }
            branches.insert(value.to_owned(), build(&schema, BRANCH)?);
        }
        Ok(Discriminator { property: self.property.to_owned(), branches })
    }
}

fn widest(value: &Value, root: &Value) -> Choices {
    let below = match value {
        Value::Object(members) => members.values().map(|member| widest(member, root)).max(),
        Value::Array(items) => items.iter().map(|item| widest(item, root)).max(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    };
    let own = ["oneOf", "anyOf"].into_iter().filter_map(|keyword| value.get(keyword)?.as_array()).map(Vec::len).max();
    let own = match own {
        Some(count) if !std::ptr::eq(value, root) => {
            if count > BRANCHES_MAX {
                Choices::Many
            } else {
                Choices::Few
            }
        }
        _ => Choices::None,
    };
    own.max(below.unwrap_or(Choices::None))
}
