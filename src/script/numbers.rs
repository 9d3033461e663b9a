//! Numbers in the input and the result of a script.
//!
//! JavaScript has doubles. A number of the event whose value a double cannot hold is hidden from the script
//! ([`LongNumbers`]): a script that reads it fails, and one that leaves it alone sends all of its digits. A number in
//! the result with the same place and the same value as in the input is written as in the input: `10.00` stays `10.00`.

use std::cell::Cell;
use std::rc::Rc;

use rquickjs::{Ctx, Function};
use serde_json::{Number, Value};

use super::ScriptError;
use crate::payload::Decimal;

/// The script that hides the numbers.
const LONG: &str = include_str!("long.js");
/// The most hidden numbers of an event; a script does not get an event with more of them.
const LONG_NUMBERS_MAX: usize = 1000;
/// The longest pointer to a number; a longer one is cut, because a stranger chose its names.
const POINTER_BYTES_MAX: usize = 256;

/// The treatment of numbers that JavaScript cannot hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Numbers {
    /// A script that reads one of them fails.
    #[default]
    Exact,
    /// The numbers are rounded.
    Lossy,
}

/// The numbers of an event that JavaScript cannot hold.
#[derive(Debug)]
pub(super) struct LongNumbers {
    numbers: Vec<(Vec<Value>, Number)>,
    /// The beginning of a text that stands for a number in the result; a sender does not know it.
    mark: String,
    /// The hidden number that the script read last.
    read: Rc<Cell<Option<usize>>>,
}

impl LongNumbers {
    pub(super) fn of(event: &Value, numbers: Numbers) -> Result<Self, ScriptError> {
        let mark = format!("{:032x}#", rand::random::<u128>());
        let mut long = Self { numbers: Vec::new(), mark, read: Rc::new(Cell::new(None)) };
        match numbers {
            Numbers::Exact => long.gather(event, &mut Vec::new())?,
            Numbers::Lossy => {}
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

    /// Hides the numbers in the event. The returned function is to be called before the result is written.
    pub(super) fn hide<'js>(
        &self,
        ctx: &Ctx<'js>,
        event: &rquickjs::Value<'js>,
    ) -> Result<Option<Function<'js>>, rquickjs::Error> {
        if self.numbers.is_empty() {
            return Ok(None);
        }
        let ways: Value = self.numbers.iter().map(|(way, _)| Value::from(way.as_slice())).collect();
        let ways = ctx.json_parse(ways.to_string())?;
        let read = Rc::clone(&self.read);
        let noted = Function::new(ctx.clone(), move |number: usize| read.set(Some(number)))?;
        let hide: Function<'js> = ctx.eval(LONG)?;
        hide.call((event.clone(), ways, self.mark.as_str(), noted)).map(Some)
    }

    /// Returns the error of a run that failed with `error`. A script that threw after it read a hidden number gets
    /// [`ScriptError::LongNumber`]; any other error stays as it is.
    pub(super) fn blamed(&self, error: ScriptError) -> ScriptError {
        match (self.read.get(), error) {
            (Some(number), ScriptError::Threw { message: _, line }) => self.error(number, line),
            (_, other) => other,
        }
    }

    fn error(&self, number: usize, line: Option<u32>) -> ScriptError {
        let way = self.numbers.get(number).map(|(way, _)| way.as_slice()).unwrap_or_default();
        let step = |step: &Value| match step {
            Value::String(name) => format!("/{}", name.replace('~', "~0").replace('/', "~1")),
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
