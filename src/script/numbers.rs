//! Numbers in the input and the result of a script.
//!
//! JavaScript has doubles. A number of the event that a double would give back with another value is kept out of the
//! script's reach ([`LongNumbers`]): a run that reads it fails, whether or not the script catches the error, and a run that
//! leaves it alone sends all of its digits.
//! A number that comes out as it went in, at the same place and with the same value, is written as it was: `10.00` stays
//! `10.00`.

use std::cell::Cell;
use std::rc::Rc;

use rquickjs::convert::Coerced;
use rquickjs::{Ctx, Function, Object};
use serde_json::{Number, Value};

use super::thrown::place_in;
use super::{Script, ScriptError};
use crate::payload::{Decimal, escaped};

/// The script that hides the numbers.
const LONG: &str = include_str!("long.js");
/// The most hidden numbers of an event; a script does not get an event with more of them.
const LONG_NUMBERS_MAX: usize = 1000;
/// The longest pointer to a number; a longer one is cut, because a stranger chose its names.
const POINTER_BYTES_MAX: usize = 256;

/// The treatment of numbers that JavaScript cannot hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LossyNumbers {
    /// A script that reads one of them fails.
    #[default]
    Exact,
    /// The numbers are rounded.
    Lossy,
}

/// The number that the script read first, by its index, and the line; `None` while it has read none.
type FirstRead = Option<(usize, Option<u32>)>;

/// The numbers of an event that JavaScript cannot hold.
#[derive(Debug)]
pub(super) struct LongNumbers {
    numbers: Vec<(Vec<Value>, Number)>,
    /// The beginning of a text that stands for a number in the result; a sender does not know it.
    mark: String,
    read: Rc<Cell<FirstRead>>,
}

/// Hides the numbers of one event from one run.
pub(super) struct Hiding<'js> {
    hide: Function<'js>,
    /// The replacer with which the result is written.
    written: Function<'js>,
    ways: String,
}

impl<'js> Hiding<'js> {
    /// Takes the numbers away from `event`. Returns the replacer with which the result is written.
    pub(super) fn hide(self, ctx: &Ctx<'js>, event: &rquickjs::Value<'js>) -> Result<Function<'js>, rquickjs::Error> {
        self.hide.call::<_, ()>((event.clone(), ctx.json_parse(self.ways)?))?;
        Ok(self.written)
    }
}

impl LongNumbers {
    pub(super) fn of(event: &Value, numbers: LossyNumbers) -> Result<Self, ScriptError> {
        let mark = format!("{:032x}#", rand::random::<u128>());
        let mut long = Self { numbers: Vec::new(), mark, read: Rc::new(Cell::new(None)) };
        match numbers {
            LossyNumbers::Exact => long.gather(event, &mut Vec::new())?,
            LossyNumbers::Lossy => {}
        }
        Ok(long)
    }

    fn gather(&mut self, value: &Value, way: &mut Vec<Value>) -> Result<(), ScriptError> {
        let members: &mut dyn Iterator<Item = (Value, &Value)> = match value {
            Value::Number(number) if !Decimal::is_held_by_double(number.as_str()) => {
                self.numbers.push((way.clone(), number.clone()));
                return if self.numbers.len() > LONG_NUMBERS_MAX { Err(self.error(0, None)) } else { Ok(()) };
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return Ok(()),
            Value::Array(items) => &mut items.iter().enumerate().map(|(index, item)| (Value::from(index), item)),
            Value::Object(members) => &mut members.iter().map(|(name, member)| (Value::from(name.as_str()), member)),
        };
        for (step, member) in members {
            way.push(step);
            self.gather(member, way)?;
            way.pop();
        }
        Ok(())
    }

    /// Returns what hides the numbers of an event; `None` when the event has none to hide. Runs before the script is read,
    /// so that no code of the script changes what it works with.
    pub(super) fn hiding<'js>(&self, ctx: &Ctx<'js>, script: &Script) -> Result<Option<Hiding<'js>>, rquickjs::Error> {
        if self.numbers.is_empty() {
            return Ok(None);
        }
        let ways: Value = self.numbers.iter().map(|(way, _)| Value::from(way.as_slice())).collect();
        let (read, name) = (Rc::clone(&self.read), script.name().to_owned());
        let noted = Function::new(ctx.clone(), move |number: usize, stack: Coerced<String>| {
            if read.get().is_none() {
                read.set(Some((number, place_in(&stack.0, &name).map(|(line, _)| line))));
            }
        })?;
        let long: Function<'js> = ctx.eval(LONG)?;
        let made: Object<'js> = long.call((self.mark.as_str(), noted))?;
        Ok(Some(Hiding { hide: made.get("hide")?, written: made.get("written")?, ways: ways.to_string() }))
    }

    /// Returns the outcome of a run that ended with `outcome`: [`ScriptError::LongNumber`] after the script read a hidden
    /// number, caught or not. A limit that was exceeded stays the error.
    pub(super) fn judged<T>(&self, outcome: Result<T, ScriptError>) -> Result<T, ScriptError> {
        match (self.read.get(), outcome) {
            (_, Err(error @ (ScriptError::Timeout | ScriptError::OutOfMemory | ScriptError::StackOverflow))) => {
                Err(error)
            }
            (Some((number, line)), _) => Err(self.error(number, line)),
            (None, outcome) => outcome,
        }
    }

    fn error(&self, number: usize, line: Option<u32>) -> ScriptError {
        let way = self.numbers.get(number).map(|(way, _)| way.as_slice()).unwrap_or_default();
        let step = |step: &Value| match step {
            Value::String(name) => format!("/{}", escaped(name)),
            other => format!("/{other}"),
        };
        let mut pointer: String = way.iter().map(step).collect();
        pointer = pointer.replace(char::is_control, "\u{fffd}");
        if pointer.len() > POINTER_BYTES_MAX {
            pointer.truncate(pointer.floor_char_boundary(POINTER_BYTES_MAX));
            pointer.push('…');
        }
        ScriptError::LongNumber { pointer, line }
    }

    /// Restores digits: those of hidden numbers, and those of numbers with an unchanged value.
    pub(super) fn restore(&self, made: &mut Value, came: &Value) {
        self.restore_hidden(made);
        restore_written(made, came);
    }

    fn restore_hidden(&self, made: &mut Value) {
        match made {
            Value::String(text) => {
                let number = text.strip_prefix(&self.mark).and_then(|number| number.parse::<usize>().ok());
                if let Some((_, number)) = number.and_then(|number| self.numbers.get(number)) {
                    *made = Value::Number(number.clone());
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.restore_hidden(item)),
            Value::Object(members) => members.values_mut().for_each(|member| self.restore_hidden(member)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

fn restore_written(made: &mut Value, came: &Value) {
    match (made, came) {
        (Value::Number(made), Value::Number(came))
            if made != came && Decimal::of(made.as_str()) == Decimal::of(came.as_str()) =>
        {
            made.clone_from(came);
        }
        (Value::Array(made), Value::Array(came)) => {
            made.iter_mut().zip(came).for_each(|(made, came)| restore_written(made, came));
        }
        (Value::Object(made), Value::Object(came)) => {
            for (name, made) in made {
                if let Some(came) = came.get(name) {
                    restore_written(made, came);
                }
            }
        }
        _ => {}
    }
}
