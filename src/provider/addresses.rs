//! The addresses from which a provider sends, as it publishes them: the list that `allow_ips: github` stands for.
//!
//! A wrong list turns real events away. So a row's ranges are a preset only if their source is the provider's SDK or
//! documentation; ranges from memory or from one third-party table are shown, and not enforced.

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Deserialize;

use super::facts::FactSource;
use super::month::Month;
use super::row::SourceKind;

/// The addresses from which the provider sends.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ips {
    /// The page on which the provider publishes the addresses.
    published: Option<String>,
    /// The ranges, as they were on the day of the source.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    ranges: Vec<IpNet>,
}

impl Ips {
    /// Returns the place at which the provider publishes them.
    pub fn published(&self) -> Option<&str> {
        self.published.as_deref()
    }

    /// Returns the ranges, as they were on the day of the source.
    pub fn ranges(&self) -> &[IpNet] {
        &self.ranges
    }

    pub(super) fn preset(&self, source: Option<&FactSource>) -> Option<Preset<'_>> {
        // A row of the user's own needs no source: its facts are the user's word.
        let is_sourced = source.is_none_or(|source| matches!(source.proof, SourceKind::Sdk | SourceKind::Docs));
        (is_sourced && !self.ranges.is_empty())
            .then_some(Preset { ranges: &self.ranges, read: source.map(|source| source.read) })
    }
}

/// A list of addresses that can be asked for by the provider's name.
#[derive(Clone, Copy, Debug)]
pub struct Preset<'a> {
    /// The addresses on it.
    pub ranges: &'a [IpNet],
    /// The month in which it was read; unknown for a row of the user's own that does not say.
    pub read: Option<Month>,
}
