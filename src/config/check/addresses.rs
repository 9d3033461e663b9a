//! `allow_ips`: ranges, and the lists that providers publish.

use ipnet::IpNet;

use super::source::Providers;
use super::{Checker, path};
use crate::config::problem::Code;
use crate::config::{nearest, raw};
use crate::provider::{self, Month, Preset, Row};

/// The age in months after which a list is to be compared with the provider's current one.
const FRESH_MONTHS: i32 = 12;

impl Checker<'_> {
    /// Returns the ranges that may call `name`; empty for all.
    pub(super) fn addresses(&mut self, name: &str, written: &raw::Source, providers: &Providers) -> Vec<IpNet> {
        let mut ranges = Vec::new();
        for (index, allowed) in written.allow_ips.iter().flat_map(|list| &list.0).enumerate() {
            match allowed {
                raw::Allowed::Range(range) => ranges.push(range.0),
                raw::Allowed::Provider(wanted) => {
                    let Some(preset) = self.preset((name, index), wanted, providers) else { continue };
                    ranges.extend(preset);
                }
            }
        }
        ranges
    }

    fn preset(&mut self, (name, index): (&str, usize), wanted: &str, providers: &Providers) -> Option<Vec<IpNet>> {
        let at = path!["sources", name, "allow_ips", index];
        let own = providers.get(wanted);
        // An unreadable row of the file itself has been reported.
        if own.is_none() && self.spans.of(&path!["providers", wanted]).is_some() {
            return None;
        }
        let row = own.or_else(|| provider::builtin().get(wanted));
        let Some(preset) = row.and_then(Row::preset) else {
            self.no_preset((name, index), wanted, row, providers);
            return None;
        };
        let ranges = preset.ranges.to_vec();
        if let Some((months, read)) = self.age(preset).filter(|(months, _)| *months > FRESH_MONTHS) {
            let place = row.and_then(Row::ips).and_then(|ips| ips.published()).unwrap_or("the provider's page");
            let message = format!("the addresses of {} were read {months} months ago, in {read}", self.quoted(&at));
            let help = if own.is_some() {
                format!("compare `providers.{wanted}.ips` with {place}, and write the month under its `sources`")
            } else {
                format!("upgrade, or compare `hookgate providers {wanted}` with {place} and write the ranges out")
            };
            self.warning(Code::Outdated, &at, message, Some(help));
        }
        Some(ranges)
    }

    fn no_preset(&mut self, (name, index): (&str, usize), wanted: &str, row: Option<&Row>, providers: &Providers) {
        let at = path!["sources", name, "allow_ips", index];
        let rows = provider::builtin().rows().chain(providers.values());
        let known: Vec<&str> = rows.filter(|row| row.preset().is_some()).map(Row::id).collect();
        let listed = format!("write the ranges out, or name one of {}", known.join(", "));
        if let Some(row) = row {
            let place = row.ips().and_then(|ips| ips.published());
            let place = place.map_or_else(String::new, |place| format!("; its own list is at {place}"));
            let message = format!("there is no proven list of addresses for {}", self.quoted(&at));
            self.error(Code::UnknownValue, &at, message, Some(format!("{listed}{place}")));
        } else {
            let near = nearest(wanted, known.iter().copied());
            let help = near.map_or(listed, |near| format!("did you mean `{near}`?"));
            self.error(Code::UnknownName, &at, format!("there is no provider {}", self.quoted(&at)), Some(help));
        }
    }

    fn age(&self, preset: Preset<'_>) -> Option<(i32, Month)> {
        let now = i64::try_from(self.world.now.unix_secs()).ok()?;
        let today = jiff::Timestamp::from_second(now).ok()?.to_zoned(jiff::tz::TimeZone::UTC).date();
        preset.read.map(|read| (read.months_before(Month::of(today)), read))
    }
}
