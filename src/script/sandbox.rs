//! One engine for one run: made, limited, used and dropped.
//!
//! All code of the script runs inside: reading its source, the call, `toJSON` and getters while the result is written,
//! and the accessors of a thrown value.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use rquickjs::atom::PredefinedAtom;
use rquickjs::context::intrinsic::{Date, Eval, Json, MapSet, Promise, RegExp, RegExpCompiler, TypedArrays};
use rquickjs::{Context, Ctx, Error, Function, Module, Runtime, Value};

use super::numbers::{Hiding, LongNumbers, LossyNumbers};
use super::thrown::Thrown;
use super::{RESULT_BYTES_MAX, STACK_BYTES_MAX, Script, ScriptError, ScriptProblem};
use crate::clock::thread_cpu_time;
use crate::payload::{Malformed, Payload};

/// The built-ins of a script: no proxies, no weak references, no fine clock. The engine reads the source with `Eval`;
/// `guard.js` takes it away from the script.
type Intrinsics = (Date, Eval, RegExpCompiler, RegExp, Json, MapSet, TypedArrays, Promise);

const GUARD: &str = include_str!("guard.js");

/// The limits of one run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) cpu_time: Duration,
    pub(super) memory_bytes: usize,
}

/// Checks whether `script` can be used, and its export.
pub(super) fn read(script: &Script, limits: Limits) -> Result<(), ScriptProblem> {
    let sandbox = Sandbox::new(limits).map_err(ScriptProblem::Failed)?;
    sandbox.context.with(|ctx| sandbox.load(&ctx, script).map(drop))
}

/// Returns the script's result for an event, both JSON.
pub(super) fn run(
    script: &Script,
    event: &serde_json::Value,
    numbers: LossyNumbers,
    limits: Limits,
) -> Result<serde_json::Value, ScriptError> {
    let long = LongNumbers::of(event, numbers)?;
    let mut made = read_result(&long.judged(run_text(script, event.to_string(), &long, limits))?)?;
    long.restore(&mut made, event);
    Ok(made)
}

fn run_text(script: &Script, event: String, long: &LongNumbers, limits: Limits) -> Result<String, ScriptError> {
    let sandbox = Sandbox::new(limits)?;
    let text = sandbox.context.with(|ctx| {
        let hiding = long.hiding(&ctx, script).map_err(|error| sandbox.failure(&ctx, &error, &script.name))?;
        let function = sandbox.load(&ctx, script).map_err(|problem| match problem {
            ScriptProblem::Failed(error) => error,
            // The script was read before without a problem; a limit can stop the parser anywhere.
            other => Thrown::plain(&other.to_string()).into(),
        })?;
        call(&ctx, &function, event, hiding).map_err(|stopped| match stopped {
            Stopped::By(error) => sandbox.failure(&ctx, &error, &script.name),
            Stopped::NotJson(what) => ScriptError::NotJson { what },
        })
    })?;
    if text.len() > RESULT_BYTES_MAX {
        return Err(ScriptError::TooLarge);
    }
    Ok(text)
}

fn read_result(text: &str) -> Result<serde_json::Value, ScriptError> {
    Payload::parse(text.as_bytes()).map(Payload::into_value).map_err(|malformed| match malformed {
        Malformed::TooDeep { at: _ } => ScriptError::TooLarge,
        _ => ScriptError::NotJson { what: "a text with half a character" },
    })
}

struct Sandbox {
    context: Context,
    timed_out: Rc<Cell<bool>>,
}

enum Stopped {
    By(Error),
    NotJson(&'static str),
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Self::By(error)
    }
}

impl Sandbox {
    fn new(limits: Limits) -> Result<Self, ScriptError> {
        let began = thread_cpu_time();
        let timed_out = Rc::new(Cell::new(false));
        let noted = Rc::clone(&timed_out);
        let out_of_memory = |_: Error| ScriptError::OutOfMemory;
        let runtime = Runtime::new().map_err(out_of_memory)?;
        runtime.set_max_stack_size(STACK_BYTES_MAX);
        runtime.set_interrupt_handler(Some(Box::new(move || {
            let over = thread_cpu_time().saturating_sub(began) > limits.cpu_time;
            noted.set(noted.get() || over);
            over
        })));
        let context = Context::custom::<Intrinsics>(&runtime).map_err(out_of_memory)?;
        // Not set before: the engine does not survive running out of memory while it is made.
        runtime.set_memory_limit(limits.memory_bytes);
        Ok(Self { context, timed_out })
    }

    /// Returns the script's function.
    fn load<'js>(&self, ctx: &Ctx<'js>, script: &Script) -> Result<Function<'js>, ScriptProblem> {
        let failed = |error: Error| ScriptProblem::Failed(self.failure(ctx, &error, &script.name));
        ctx.eval::<(), _>(GUARD).map_err(failed)?;
        let module = Module::declare(ctx.clone(), script.name.as_str(), script.source.as_str());
        let module = module.map_err(|error| self.unread(ctx, &error, &script.name))?;
        let (module, evaluated) = module.eval().map_err(failed)?;
        evaluated.result::<()>().ok_or(ScriptProblem::Waits)?.map_err(failed)?;
        let default: Option<Value<'_>> = module.get("default").ok();
        let function = default.and_then(Value::into_function).ok_or(ScriptProblem::NoFunction)?;
        // Only asynchronous functions and generators have a tag.
        let tag: Value<'_> = function.get(PredefinedAtom::SymbolToStringTag).map_err(failed)?;
        if tag.is_undefined() { Ok(function) } else { Err(ScriptProblem::NotPlainFunction) }
    }

    /// Returns the reason why the source could not be read.
    fn unread(&self, ctx: &Ctx<'_>, error: &Error, name: &str) -> ScriptProblem {
        if matches!(error, Error::InvalidString(_)) {
            return ScriptProblem::Syntax { line: 1, column: 1, message: "a script has no NUL characters".to_owned() };
        }
        let thrown = Thrown::caught(ctx, name);
        match (thrown.name.as_str(), thrown.place) {
            ("SyntaxError", Some((line, column))) => ScriptProblem::Syntax { line, column, message: thrown.message },
            _ => ScriptProblem::Failed(self.meaning(thrown)),
        }
    }

    fn failure(&self, ctx: &Ctx<'_>, error: &Error, name: &str) -> ScriptError {
        match error {
            Error::Exception => self.meaning(Thrown::caught(ctx, name)),
            Error::Allocation => ScriptError::OutOfMemory,
            other => self.meaning(Thrown::plain(&other.to_string())),
        }
    }

    fn meaning(&self, thrown: Thrown) -> ScriptError {
        if self.timed_out.get() { ScriptError::Timeout } else { thrown.into() }
    }
}

fn call<'js>(
    ctx: &Ctx<'js>,
    function: &Function<'js>,
    event: String,
    hiding: Option<Hiding<'js>>,
) -> Result<String, Stopped> {
    let event = ctx.json_parse(event)?;
    // With a replacer the engine comes by at its clock for every value; without one it writes on after the memory ended.
    let replacer = match hiding {
        Some(hiding) => hiding.hide(ctx, &event)?,
        None => ctx.eval("(name, value) => value")?,
    };
    let result: Value<'_> = function.call((event,))?;
    if let Some(what) = not_json(&result) {
        return Err(Stopped::NotJson(what));
    }
    let text = ctx
        .json_stringify_replacer(result, replacer)?
        .ok_or(Stopped::NotJson("an object whose toJSON() gives nothing"))?;
    Ok(text.to_string()?)
}

fn not_json(value: &Value<'_>) -> Option<&'static str> {
    if value.is_undefined() {
        Some("undefined")
    } else if value.is_function() {
        Some("a function")
    } else if value.is_symbol() {
        Some("a symbol")
    } else if value.is_big_int() {
        Some("a BigInt")
    } else if value.is_promise() {
        Some("a promise")
    } else {
        None
    }
}
