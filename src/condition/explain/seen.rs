//! The values that a part of a condition reads: each longest path of fields in it, looked up in the request.

use std::io;

use cel::common::ast::{EntryExpr, Expr, IdedExpr, LiteralValue, operators};
use serde::Serialize;
use serde_json::{Value, json};

use super::super::View;
use super::super::check::VARIABLES;

/// Longest value shown.
pub const SHOWN_CHARS_MAX: usize = 120;

/// A path and its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SeenValue {
    /// The path as it is written: `body.data.id`, `headers["x-a"]`, `body.?customer.name`.
    pub path: String,
    /// The value as JSON, cut to [`SHOWN_CHARS_MAX`]; or `missing`, which is not JSON.
    pub value: String,
    /// The path in steps, the variable first.
    #[serde(skip)]
    pub steps: Vec<String>,
}

pub(super) fn values(tree: &IdedExpr, view: &View<'_>) -> Vec<SeenValue> {
    let mut walk = Walk { view, own_names: Vec::new(), seen: Vec::new() };
    walk.visit(tree);
    walk.seen
}

struct Walk<'e, 'v> {
    view: &'e View<'v>,
    /// The variables of the outer comprehensions.
    own_names: Vec<&'e str>,
    seen: Vec<SeenValue>,
}

/// A variable and the members taken from it.
struct Path<'e> {
    variable: &'e str,
    written: String,
    steps: Vec<Step<'e>>,
}

enum Step<'e> {
    Member(&'e str),
    Element(usize),
}

impl<'e> Walk<'e, '_> {
    fn visit(&mut self, node: &'e IdedExpr) {
        if let Some(path) = self.path(node) {
            if !self.seen.iter().any(|seen| seen.path == path.written) {
                let value = shown(self.view, &path);
                let steps = path.steps.iter().map(|step| match step {
                    Step::Member(name) => (*name).to_owned(),
                    Step::Element(index) => index.to_string(),
                });
                let steps = std::iter::once(path.variable.to_owned()).chain(steps).collect();
                self.seen.push(SeenValue { path: path.written, value, steps });
            }
            return;
        }
        match &node.expr {
            Expr::Select(select) => self.visit(&select.operand),
            Expr::Call(call) => call.target.as_deref().into_iter().chain(&call.args).for_each(|part| self.visit(part)),
            Expr::List(list) => list.elements.iter().for_each(|element| self.visit(element)),
            Expr::Map(map) => {
                for entry in &map.entries {
                    match &entry.expr {
                        EntryExpr::MapEntry(entry) => {
                            self.visit(&entry.key);
                            self.visit(&entry.value);
                        }
                        EntryExpr::StructField(field) => self.visit(&field.value),
                    }
                }
            }
            Expr::Comprehension(loops) => {
                self.visit(&loops.iter_range);
                self.visit(&loops.accu_init);
                let outer = self.own_names.len();
                self.own_names.extend([loops.iter_var.as_str(), loops.accu_var.as_str()]);
                self.own_names.extend(loops.iter_var2.as_deref());
                for part in [&loops.loop_cond, &loops.loop_step, &loops.result] {
                    self.visit(part);
                }
                self.own_names.truncate(outer);
            }
            Expr::Ident(_) | Expr::Literal(_) | Expr::Struct(_) | Expr::Unspecified => {}
        }
    }

    fn path(&self, node: &'e IdedExpr) -> Option<Path<'e>> {
        match &node.expr {
            Expr::Ident(name) => {
                let ours = VARIABLES.contains(&name.as_str()) && !self.own_names.contains(&name.as_str());
                ours.then(|| Path { variable: name, written: name.clone(), steps: Vec::new() })
            }
            Expr::Select(select) => Some(self.path(&select.operand)?.member(".", &select.field)),
            Expr::Call(call) => {
                let [operand, index] = call.args.as_slice() else { return None };
                let Expr::Literal(literal) = &index.expr else { return None };
                let (path, mark) = match call.func_name.as_str() {
                    operators::OPT_SELECT => {
                        let LiteralValue::String(field) = literal else { return None };
                        return Some(self.path(operand)?.member(".?", field.inner()));
                    }
                    operators::INDEX => (self.path(operand)?, ""),
                    operators::OPT_INDEX => (self.path(operand)?, "?"),
                    _ => return None,
                };
                match literal {
                    LiteralValue::String(key) => Some(path.at(mark, &json!(key.inner()), Step::Member(key.inner()))),
                    LiteralValue::Int(index) => Some(path.element(mark, usize::try_from(*index.inner()).ok()?)),
                    LiteralValue::UInt(index) => Some(path.element(mark, usize::try_from(*index.inner()).ok()?)),
                    LiteralValue::Boolean(_)
                    | LiteralValue::Bytes(_)
                    | LiteralValue::Double(_)
                    | LiteralValue::Null => None,
                }
            }
            Expr::List(_)
            | Expr::Map(_)
            | Expr::Comprehension(_)
            | Expr::Literal(_)
            | Expr::Struct(_)
            | Expr::Unspecified => None,
        }
    }
}

impl<'e> Path<'e> {
    fn member(mut self, dot: &str, field: &'e str) -> Self {
        self.written.push_str(dot);
        self.written.push_str(field);
        self.steps.push(Step::Member(field));
        self
    }

    fn element(self, mark: &str, index: usize) -> Self {
        self.at(mark, &json!(index), Step::Element(index))
    }

    fn at(mut self, mark: &str, index: &Value, step: Step<'e>) -> Self {
        self.written.extend(["[", mark, &index.to_string(), "]"]);
        self.steps.push(step);
        self
    }
}

fn shown(view: &View<'_>, path: &Path<'_>) -> String {
    let text = |text: &str| Some(json!(text));
    let whole = match (path.variable, path.steps.as_slice()) {
        ("body", steps) => return short(view.body.and_then(|body| inside(body, steps))),
        ("form", steps) => return short(inside(view.received.form(), steps)),
        ("form_all", steps) => return short(inside(view.received.form_all(), steps)),
        ("headers", [Step::Member(name)]) => {
            view.headers.get(*name).map(|value| json!(String::from_utf8_lossy(value.as_bytes())))
        }
        // Only the names are shown: the values hold secrets that the condition does not read.
        ("headers", []) => Some(view.headers.keys().map(http::HeaderName::as_str).collect()),
        ("event", []) => Some(json!({"type": view.event_type, "id": view.event_id})),
        ("event", [Step::Member("type")]) => text(view.event_type),
        ("event", [Step::Member("id")]) => text(view.event_id),
        ("source", []) => text(view.source),
        ("method", []) => text(view.method),
        ("path", []) => text(view.path),
        ("query", []) => text(view.query),
        ("params", []) => Some(
            view.params
                .iter()
                .map(|(name, value)| (name.clone(), json!(value)))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        ),
        ("params", [Step::Member(name)]) => {
            view.params.iter().find(|(known, _)| known == name).map(|(_, value)| json!(value))
        }
        _ => None,
    };
    short(whole.as_ref())
}

fn inside<'v>(body: &'v Value, steps: &[Step<'_>]) -> Option<&'v Value> {
    steps.iter().try_fold(body, |value, step| match step {
        Step::Member(name) => value.as_object()?.get(*name),
        Step::Element(index) => value.as_array()?.get(*index),
    })
}

fn short(value: Option<&Value>) -> String {
    let Some(value) = value else { return "missing".to_owned() };
    let mut written = Beginning::default();
    let whole = serde_json::to_writer(&mut written, value).is_ok();
    let text = String::from_utf8_lossy(&written.bytes);
    if whole && text.chars().count() <= SHOWN_CHARS_MAX {
        return text.into_owned();
    }
    text.chars().take(SHOWN_CHARS_MAX - 1).chain(['…']).collect()
}

/// A buffer for the first bytes of a value, enough for [`SHOWN_CHARS_MAX`]; it refuses the rest.
#[derive(Debug, Default)]
struct Beginning {
    bytes: Vec<u8>,
}

impl io::Write for Beginning {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = (4 * SHOWN_CHARS_MAX).saturating_sub(self.bytes.len());
        let taken = bytes.get(..room.min(bytes.len())).unwrap_or_default();
        self.bytes.extend_from_slice(taken);
        if taken.is_empty() && !bytes.is_empty() { Err(io::ErrorKind::WriteZero.into()) } else { Ok(taken.len()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
