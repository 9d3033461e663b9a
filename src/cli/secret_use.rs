//! The verdict on a secret: from its dates alone, or also from its use by a running gateway.
//!
//! The functions are pure: dates, counts and the time in, one [`Advice`] out. Counts begin with the gateway's start,
//! so "not used" means "not used since the start". A secret can be retired when another one has taken over. A secret
//! that is newer by its dates is never retired for being unused, because its provider may not have switched yet.

use std::fmt;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::secret::{ListedSecret, Validity, in_days};

/// The time without use, while another secret was used, after which that one has taken over.
const TAKEN_OVER_AFTER: Duration = Duration::from_hours(24);
/// The number of requests under another secret that proves as much as a day does.
const TAKEN_OVER_BY: u64 = 100;

/// The use of a secret since the gateway's start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Use {
    pub(super) total: u64,
    pub(super) last: Option<Timestamp>,
}

/// A secret and its use; `None` when the gateway does not know it, or there is no gateway.
#[derive(Clone, Debug)]
pub(super) struct SecretUse {
    pub(super) listed: ListedSecret,
    pub(super) used: Option<Use>,
}

/// The action that a secret needs, in the order of urgency.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Advice {
    /// The secret ends soon, and requests come under it.
    EndsInUse { days: u64 },
    /// The gateway runs with an older file.
    NotLoaded,
    /// The secret has expired.
    Expired,
    /// Another secret has taken over.
    Retire { since: Option<Timestamp>, by: String, count: u64 },
    /// Requests come under the secret.
    InUse,
    /// No request has come under the secret.
    NeverUsed,
    /// The secret is not yet valid.
    NotYet,
}

impl Advice {
    /// Returns the word for programs.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::EndsInUse { .. } => "ends_in_use",
            Self::NotLoaded => "not_loaded",
            Self::Expired => "expired",
            Self::Retire { .. } => "can_be_retired",
            Self::InUse => "in_use",
            Self::NeverUsed => "never_used",
            Self::NotYet => "not_yet_valid",
        }
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EndsInUse { days } => write!(f, "expires {} and is the one in use", in_days(*days)),
            Self::NotLoaded => f.write_str("the gateway does not know it: reload"),
            Self::Expired => f.write_str("expired: take it out of the file"),
            Self::Retire { since: Some(since), by, .. } => {
                write!(f, "can be retired: not used since {since}, `{by}` is")
            }
            Self::Retire { since: None, by, count } => {
                write!(
                    f,
                    "can be retired, unless its provider is yet to switch to it: `{by}` verified {count}, this none"
                )
            }
            Self::InUse => f.write_str("in use"),
            Self::NeverUsed => f.write_str("never used"),
            Self::NotYet => f.write_str("not yet valid"),
        }
    }
}

/// Judges the secret `one` of a source among `all` of its secrets.
pub(super) fn judge(one: &SecretUse, all: &[SecretUse], now: Timestamp) -> Advice {
    let validity = one.listed.validity;
    if validity.until <= now {
        return Advice::Expired;
    }
    if now < validity.from {
        return Advice::NotYet;
    }
    let Some(used) = one.used else { return Advice::NotLoaded };
    let others = all.iter().filter(|other| {
        other.listed.source == one.listed.source
            && other.listed.name != one.listed.name
            && other.listed.validity.holds(now)
    });
    let mut others: Vec<(&SecretUse, Use)> = others.filter_map(|other| Some((other, other.used?))).collect();
    others.sort_by_key(|(_, used)| std::cmp::Reverse(used.last));
    let by = others.into_iter().find(|(other, theirs)| has_taken_over(used, *theirs, validity, other, now));
    match (by, used.last) {
        (Some((other, theirs)), since) => {
            Advice::Retire { since, by: other.listed.name.as_str().to_owned(), count: theirs.total }
        }
        (None, None) => Advice::NeverUsed,
        (None, Some(_)) => validity.days_left(now).map_or(Advice::InUse, |days| Advice::EndsInUse { days }),
    }
}

fn has_taken_over(used: Use, theirs: Use, validity: Validity, other: &SecretUse, now: Timestamp) -> bool {
    match used.last {
        Some(last) => theirs.last > Some(last) && now.since(last) >= TAKEN_OVER_AFTER,
        None => theirs.total >= TAKEN_OVER_BY && !is_newer(validity, other.listed.validity),
    }
}

/// Returns whether the first is newer than the second by its dates.
fn is_newer(one: Validity, other: Validity) -> bool {
    one.from > other.from || one.until > other.until
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SecretName;

    const NOW: Timestamp = Timestamp::from_unix_secs(1_800_000_000);
    const HOUR: u64 = 3600;

    fn before(secs: u64) -> Timestamp {
        Timestamp::from_unix_secs(NOW.unix_secs() - secs)
    }

    fn known(name: &str, total: u64, hours_ago: Option<u64>) -> SecretUse {
        let listed = ListedSecret { source: "s".into(), name: SecretName::new(name), validity: Validity::ALWAYS };
        SecretUse { listed, used: Some(Use { total, last: hours_ago.map(|hours| before(hours * HOUR)) }) }
    }

    fn until(mut known: SecretUse, days: u64) -> SecretUse {
        known.listed.validity.until = NOW.after(Duration::from_hours(24 * days + 1));
        known
    }

    fn verdict(one: &SecretUse, other: &SecretUse) -> &'static str {
        judge(one, &[one.clone(), other.clone()], NOW).label()
    }

    #[test]
    fn a_secret_that_another_has_taken_over_from_can_be_retired() {
        let new = known("new", 7, Some(1));
        assert_eq!(verdict(&known("old", 9, Some(25)), &new), "can_be_retired");
        assert_eq!(verdict(&known("old", 9, Some(23)), &new), "in_use");
        assert_eq!(verdict(&known("old", 9, Some(25)), &known("new", 7, Some(26))), "in_use");
        assert_eq!(verdict(&new, &known("old", 9, Some(25))), "in_use");
        // Nobody took over: the provider is quiet.
        assert_eq!(verdict(&known("only", 1, Some(900)), &known("other", 0, None)), "in_use");
    }

    #[test]
    fn a_secret_unused_since_the_start_can_be_retired_once_another_has_verified_enough() {
        let old = known("old", 0, None);
        assert_eq!(verdict(&old, &known("new", 100, Some(1))), "can_be_retired");
        assert_eq!(verdict(&old, &known("new", 99, Some(1))), "never_used");
        // By its dates it is the next one.
        let next = old;
        assert_eq!(verdict(&next, &until(known("now", 500, Some(1)), 3)), "never_used");
        let mut next = known("next", 0, None);
        next.listed.validity.from = before(HOUR);
        assert_eq!(verdict(&next, &known("now", 500, Some(1))), "never_used");
    }

    #[test]
    fn what_ends_soon_and_is_in_use_is_told_and_what_ends_soon_and_is_not_is_not() {
        let soon = until(known("soon", 5, Some(1)), 5);
        assert_eq!(judge(&soon, std::slice::from_ref(&soon), NOW), Advice::EndsInUse { days: 5 });
        assert_eq!(verdict(&soon, &known("new", 500, Some(0))), "ends_in_use");
        assert_eq!(verdict(&until(known("late", 5, Some(1)), 14), &soon), "in_use");
        assert_eq!(verdict(&until(known("soon", 5, Some(30)), 5), &known("new", 5, Some(1))), "can_be_retired");
        assert_eq!(verdict(&until(known("soon", 0, None), 5), &known("new", 5, Some(1))), "never_used");
    }

    #[test]
    fn dates_and_an_older_file_come_before_use() {
        let mut over = known("over", 500, Some(1));
        over.listed.validity.until = NOW;
        let mut ahead = known("ahead", 0, None);
        ahead.listed.validity.from = NOW.after(Duration::from_secs(1));
        let unknown = SecretUse { used: None, ..known("unknown", 0, None) };
        let verdicts = [&over, &ahead, &unknown].map(|one| verdict(one, &known("other", 500, Some(0))));
        assert_eq!(verdicts, ["expired", "not_yet_valid", "not_loaded"]);
        // An expired secret does not take over.
        assert_eq!(verdict(&known("old", 3, Some(48)), &over), "in_use");
    }
}
