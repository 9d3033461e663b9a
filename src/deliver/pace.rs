//! The pace of a destination: how many tries a service is given in a time.
//!
//! Only its parameters yet.

use std::num::NonZeroU32;
use std::time::Duration;

/// So many tries in a time, and so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaceParams {
    /// How many, in the long run…
    pub count: NonZeroU32,
    /// …in this time.
    pub period: Duration,
    /// How many at once.
    pub burst: NonZeroU32,
}
