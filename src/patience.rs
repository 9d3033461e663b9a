//! The limit at which a provider gives an endpoint up: a leaf module for the provider's row, which states the limit,
//! and the failure budget, which counts against it.

use std::fmt;
use std::time::Duration;

/// The limit at which a provider gives an endpoint up, and the consequence.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    /// The rule.
    pub rule: Rule,
    /// The consequence for the subscription.
    pub then: String,
}

/// The rule by which a provider gives an endpoint up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// This many failures in a row.
    Consecutive(u32),
    /// This share (0 to 1) of failed requests in a window.
    Share {
        /// The share.
        share: f64,
        /// The window.
        within: Duration,
        /// The least number of requests in the window for the rule to apply.
        at_least: u32,
    },
    /// Failures for this long without a success.
    Lasting(Duration),
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Consecutive(count) => write!(f, "{count} failures in a row"),
            Self::Share { share, within, at_least } => {
                write!(f, "{}% failures within {}", share * 100.0, spelled(*within))?;
                if *at_least > 1 { write!(f, " of at least {at_least} requests") } else { Ok(()) }
            }
            Self::Lasting(lasting) => write!(f, "only failures for {}", spelled(*lasting)),
        }
    }
}

/// Writes a duration as rows do: `5s`, `1250ms`, `4h`.
pub fn spelled(duration: Duration) -> String {
    let ms = duration.as_millis();
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")];
    match units.iter().find(|(size, _)| ms > 0 && ms.is_multiple_of(*size)) {
        Some((size, unit)) => format!("{}{unit}", ms / size),
        None => format!("{ms}ms"),
    }
}
