//! Lists of accepted requests: an empty list, or a word that no request has, would refuse or accept everything.

use super::destination::SHORTEST;
use super::{Checker, path};
use crate::config::problem::Code;
use crate::config::raw;

impl Checker<'_> {
    pub(super) fn what_is_taken(&mut self, name: &str, written: &raw::Source) {
        self.not_zero(&path!["sources", name, "deadline"], written.deadline);
        if written.dedup.as_ref().is_some_and(|dedup| dedup.window.0 < SHORTEST) {
            let message = "no repetition is recognised: what a provider sends again is delivered again";
            let help = "leave `dedup` out for what the provider needs".to_owned();
            self.warning(Code::Misspelt, &path!["sources", name, "dedup", "window"], message, Some(help));
        }
        let lists = [
            ("methods", written.methods.as_ref().is_some_and(Vec::is_empty), "takes no request"),
            ("content_types", written.content_types.as_ref().is_some_and(Vec::is_empty), "takes every type"),
            ("allow_ips", written.allow_ips.as_ref().is_some_and(|list| list.0.is_empty()), "lets every address in"),
        ];
        for (key, is_empty, does) in lists {
            let at = path!["sources", name, key];
            if is_empty && !self.spans.is_broken(&at) {
                let help = format!("name some, or leave `{key}` out");
                self.error(Code::InvalidValue, &at, format!("an empty list {does}"), Some(help));
            }
        }
        for (index, media_type) in written.content_types.iter().flatten().enumerate() {
            let has_type = media_type.split_once('/').is_some_and(|(kind, form)| !kind.is_empty() && !form.is_empty());
            if !has_type || media_type.contains([';', ' ', '*']) {
                let at = path!["sources", name, "content_types", index];
                let help = "write it as `application/json`, without parameters".to_owned();
                self.error(Code::InvalidValue, &at, format!("{} is not a media type", self.quoted(&at)), Some(help));
            }
        }
        if let Some(host) = &written.host
            && (host.is_empty() || host.chars().any(|c| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '.' | '_')))
        {
            let help = "write the name alone, without scheme, port and path: `hooks.example.com`".to_owned();
            let at = path!["sources", name, "host"];
            self.error(Code::InvalidValue, &at, format!("{} is not a host", self.quoted(&at)), Some(help));
        }
    }

    /// Warns of settings that need an event type or a delivery id where no expression gives one.
    pub(super) fn what_needs_keys(&mut self, name: &str, written: &raw::Source, (has_type, has_id): (bool, bool)) {
        let raw = self.raw;
        if written.dedup.is_some() && !has_id {
            let help = "say where the id stands: `event: {id: body.id}`".to_owned();
            let message = "no event id is configured, so no repetition is recognised";
            self.warning(Code::Unused, &path!["sources", name, "dedup"], message, Some(help));
        }
        if let Some(schemas) = &written.schemas
            && schemas.dir.is_none()
            && schemas.events.is_empty()
            && schemas.on_invalid.is_none()
            && !self.spans.is_broken(&path!["sources", name, "schemas"])
        {
            let help = "add `dir: schemas/stripe` or `events: {push: schemas/push.json}`".to_owned();
            self.warning(Code::Unused, &path!["sources", name, "schemas"], "no schema is named", Some(help));
        }
        if has_type {
            return;
        }
        let help = || Some("say where the type stands: `event: {type: body.type}`".to_owned());
        let message = format!("no event type is configured for `{name}`, so no glob matches");
        if written.schemas.as_ref().is_some_and(|schemas| schemas.dir.is_some() || !schemas.events.is_empty()) {
            self.warning(Code::Unused, &path!["sources", name, "schemas"], message.clone(), help());
        }
        let listening = raw.routes.iter().filter(|(_, route)| route.from.0.iter().any(|from| from == name));
        for (route, _) in listening.filter(|(_, route)| route.events.is_some()) {
            self.warning(Code::Unused, &path!["routes", route, "events"], message.clone(), help());
        }
    }
}
