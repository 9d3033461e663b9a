//! `hookgate schema`: the JSON Schema of routes.yaml, from the types that read it.

use super::{Exit, terminal};

pub(crate) fn run() -> Exit {
    terminal::say(crate::config::schema::schema().trim_end());
    Exit::Ok
}
