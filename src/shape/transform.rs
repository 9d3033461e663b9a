//! Transforms of a route: a new body, or the received one with places set and removed, and other headers.
//!
//! Unchanged places keep their value digit for digit; members are sorted by name.

use http::{HeaderMap, HeaderName};
use serde_json::{Value, json};

use super::shown::{Audience, SetHeaders, put};
use super::{BodyPlace, ShapeError, Shaped};
use crate::body::Bodies;
use crate::condition::ValueExpression;
use crate::event::EventData;
use crate::script::{LossyNumbers, Script};

const JSON: &str = "application/json";

/// The transform of a route.
#[derive(Debug)]
pub struct Transform {
    /// The source of the body.
    pub making: Making,
    /// The places to set, the outer ones first; the values are computed from the event as received.
    pub set: Vec<(BodyPlace, ValueExpression)>,
    /// The places to remove afterwards.
    pub remove: Vec<BodyPlace>,
    /// The changes of headers.
    pub headers: HeaderEdits,
}

/// The sources of a body.
#[derive(Debug)]
pub enum Making {
    /// The received body.
    Received,
    /// The value of an expression.
    Expression(ValueExpression),
    /// The `body` of a script's result.
    Script(Script, LossyNumbers),
}

/// Headers to set, and headers to remove before.
#[derive(Debug, Default)]
pub struct HeaderEdits {
    /// Those that are set; one that is there is replaced.
    pub set: SetHeaders,
    /// Names.
    pub remove: Vec<HeaderName>,
}

impl Transform {
    pub(super) fn is_heavy(&self) -> bool {
        matches!(self.making, Making::Script(..))
    }

    /// Returns whether the transform has hidden values.
    pub(super) fn is_masked(&self) -> bool {
        let making = if let Making::Expression(expression) = &self.making { expression.is_masked() } else { false };
        let set = &self.headers.set;
        making || set.sent != set.shown || self.set.iter().any(|(_, expression)| expression.is_masked())
    }

    pub(super) fn apply(
        &self,
        (event, bodies): (&EventData, &Bodies),
        (route, reader): (&str, Audience),
        shaped: &mut Shaped,
    ) -> Result<(), ShapeError> {
        if let Some(made) = self.body((event, bodies), (route, reader))? {
            let body = serde_json::to_vec(&made).map_err(|_no_such_value| ShapeError::NotJson)?;
            shaped.replace(body, JSON);
        }
        for name in &self.headers.remove {
            shaped.headers.remove(name);
        }
        put(self.headers.set.of(reader), &mut shaped.headers);
        Ok(())
    }

    /// The new body; `None` where it stays as it was received, byte for byte.
    fn body(
        &self,
        (event, bodies): (&EventData, &Bodies),
        (route, reader): (&str, Audience),
    ) -> Result<Option<Value>, ShapeError> {
        let is_kept = matches!(self.making, Making::Received) && self.set.is_empty() && self.remove.is_empty();
        if is_kept {
            return Ok(None);
        }
        let headers = event.header_map();
        let document = bodies.read(&event.source, &headers, &event.body);
        let received = document.json();
        let view = event.view(&document, &headers);
        let value = |expression: &ValueExpression| match reader {
            Audience::Service => expression.value(&view),
            Audience::Person => expression.value_shown(&view),
        };
        let mut body = match &self.making {
            Making::Received => received.cloned().ok_or(ShapeError::NotJson)?,
            Making::Expression(expression) => {
                value(expression).map_err(|error| ShapeError::Expression("body".to_owned(), error))?
            }
            Making::Script(script, numbers) => {
                // A script gets a form by its fields; of any other body that is not JSON it would see nothing.
                let received = received.or(document.is_form().then_some(&Value::Null)).ok_or(ShapeError::NotJson)?;
                let given = given(event, route, (received, document.fields()), &headers);
                let mut back = script.run(&given, *numbers).map_err(ShapeError::Script)?;
                back.get_mut("body").map(Value::take).ok_or(ShapeError::NoBody)?
            }
        };
        for (place, expression) in &self.set {
            let value =
                value(expression).map_err(|error| ShapeError::Expression(format!("set.{}", place.as_str()), error))?;
            if !place.set(&mut body, value) {
                return Err(ShapeError::NoPlace(place.as_str().to_owned()));
            }
        }
        for place in &self.remove {
            place.remove(&mut body);
        }
        Ok(Some(body))
    }
}

/// Builds the input of a script.
fn given(event: &EventData, route: &str, (body, form): (&Value, &Value), headers: &HeaderMap) -> Value {
    let headers: serde_json::Map<String, Value> = headers
        .keys()
        .filter_map(|name| Some((name.as_str().to_owned(), Value::from(headers.get(name)?.to_str().ok()?))))
        .collect();
    let params: serde_json::Map<String, Value> =
        event.params.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
    let mut given = json!({
        "headers": headers,
        "id": event.id.to_string(),
        "delivery_id": event.delivery_id,
        "type": event.event_type,
        "source": &*event.source,
        "route": route,
        "received_at": event.received_at().to_string(),
        "method": event.method,
        "target": event.target,
        "params": params,
    });
    // `json!` would serialise the value, which writes exponents anew.
    if let Value::Object(members) = &mut given {
        members.insert("body".to_owned(), body.clone());
        members.insert("form".to_owned(), form.clone());
    }
    given
}
