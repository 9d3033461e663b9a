//! Quantities as the file writes them; `patience::spelled` writes times.

use std::time::Duration;

use serde::Serialize;

use crate::limit::Rate;

/// Returns a size such as `16KiB`, in the largest unit that divides it.
pub(super) fn size(bytes: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    let whole = units.iter().find(|(bits, _)| bytes > 0 && bytes.is_multiple_of(1 << bits));
    whole.map_or_else(|| format!("{bytes}B"), |(bits, unit)| format!("{}{unit}", bytes >> bits))
}

/// Returns a rate such as `200/s` for an interval, if one has exactly this interval.
pub(super) fn rate(rate: Rate) -> Option<String> {
    [("s", 1), ("m", 60), ("h", 3600)].into_iter().find_map(|(unit, seconds)| {
        let period = Duration::from_secs(seconds);
        let count =
            u32::try_from(period.as_nanos().checked_div(rate.interval.as_nanos())?).ok().filter(|count| *count > 0)?;
        (period / count == rate.interval).then(|| format!("{count}/{unit}"))
    })
}

/// Returns the file's word for one of a choice.
pub(super) fn word(choice: impl Serialize) -> Option<String> {
    serde_json::to_value(choice).ok()?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU32;

    #[test]
    fn sizes_have_the_largest_unit_that_fits() {
        for (bytes, text) in [
            (0, "0B"),
            (1, "1B"),
            (1000, "1000B"),
            (1024, "1KiB"),
            (1536, "1536B"),
            (1 << 20, "1MiB"),
            (20 << 30, "20GiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn a_rate_is_found_from_its_interval() {
        for (count, seconds, text) in [(50_000, 1, "50000/s"), (7, 1, "7/s"), (10, 60, "10/m"), (1, 3600, "1/h")] {
            let one = Rate::new(NonZeroU32::new(count).unwrap(), Duration::from_secs(seconds), None);
            assert_eq!(rate(one).as_deref(), Some(text));
        }
        assert_eq!(rate(Rate { interval: Duration::ZERO, burst: NonZeroU32::MIN }), None);
    }
}
