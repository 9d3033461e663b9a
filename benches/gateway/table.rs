//! The samples of all rounds as one table and two goals.

use std::collections::BTreeMap;
use std::fmt;
use std::io;

use crate::measure::Sample;
use crate::variant::{STORED, STORED_LARGE, STORED_SMALL, VARIANTS, Variant};

const GOAL_STORED_MAX: f64 = 0.7;
const GOAL_SIZE_MAX: f64 = 4.0;

/// The samples by row and round.
#[derive(Debug, Default)]
pub(crate) struct Results {
    samples: BTreeMap<(&'static str, usize), Sample>,
    failures: BTreeMap<&'static str, String>,
    notes: Vec<String>,
}

impl Results {
    pub(crate) fn add(&mut self, variant: &Variant, round: usize, outcome: io::Result<Sample>) {
        match outcome {
            Ok(sample) => {
                if let Some(doubt) = &sample.doubt {
                    self.notes.push(format!("round {round}: {}: {doubt}", variant.name));
                }
                self.samples.insert((variant.name, round), sample);
            }
            Err(error) => {
                self.failures.insert(variant.name, error.to_string());
            }
        }
    }

    pub(crate) fn note(&mut self, text: &str) {
        self.notes.push(text.to_owned());
    }

    /// Checks whether a row has failed before; such a row is not measured again.
    pub(crate) fn has_failed(&self, name: &str) -> bool {
        self.failures.contains_key(name)
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.failures.is_empty()
    }

    fn rounds_of(&self, name: &str) -> impl Iterator<Item = (usize, &Sample)> {
        self.samples.iter().filter(move |((row, _), _)| *row == name).map(|((_, round), sample)| (*round, sample))
    }

    fn spread(&self, name: &str, value: impl Fn(&Sample) -> f64) -> Option<Spread> {
        Spread::of(self.rounds_of(name).map(|(_, sample)| value(sample)).collect())
    }

    /// Returns the ratio of the CPU per event of a row and its unit, over all rounds.
    fn ratio(&self, name: &'static str, unit: &'static str) -> Option<Spread> {
        let ratios = self.rounds_of(name).filter_map(|(round, sample)| {
            let unit = self.samples.get(&(unit, round))?;
            (unit.cpu_us > 0.0).then_some(sample.cpu_us / unit.cpu_us)
        });
        Spread::of(ratios.collect())
    }
}

/// The median and the extremes of one figure over the rounds.
#[derive(Clone, Copy, Debug)]
struct Spread {
    median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let low = values.get(values.len().saturating_sub(1) / 2)?;
        let high = values.get(values.len() / 2)?;
        Some(Self { median: f64::midpoint(*low, *high), least: *values.first()?, most: *values.last()? })
    }
}

impl fmt::Display for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_rows(f)?;
        writeln!(f)?;
        self.fmt_durability(f)?;
        self.fmt_goals(f)?;
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        for (name, failure) in &self.failures {
            writeln!(f, "failed: {name}: {failure}")?;
        }
        Ok(())
    }
}

impl Results {
    fn fmt_rows(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const HEAD: [&str; 7] = ["req/s", "CPU µs/event", "ratio to pass", "min–max", "p50 µs", "p99 µs", "RSS MB"];
        let [rate, cpu, ratio, range, p50, p99, rss] = HEAD;
        let name = "variant";
        writeln!(f, "| {name:<40} | {rate:>7} | {cpu} | {ratio} | {range:>9} | {p50:>6} | {p99:>6} | {rss:>6} |")?;
        writeln!(f, "|{:-<42}|--------:|-------------:|--------------:|----------:|-------:|-------:|-------:|", "")?;
        for variant in VARIANTS {
            self.fmt_row(f, variant)?;
        }
        Ok(())
    }

    fn fmt_row(&self, f: &mut fmt::Formatter<'_>, variant: &Variant) -> fmt::Result {
        let name = variant.name;
        let median = |value: fn(&Sample) -> f64| self.spread(name, value).map_or(f64::NAN, |spread| spread.median);
        if self.rounds_of(name).next().is_none() {
            return writeln!(f, "| {name:<40} | not measured |");
        }
        let unit = VARIANTS.iter().find(|unit| unit.is_unit() && unit.payload == variant.payload);
        let ratio = unit.and_then(|unit| self.ratio(name, unit.name));
        let (middle, range) = ratio.map_or_else(Default::default, |ratio| {
            (format!("{:.2}", ratio.median), format!("{:.2}–{:.2}", ratio.least, ratio.most))
        });
        writeln!(
            f,
            "| {name:<40} | {:>7.0} | {:>12.1} | {middle:>13} | {range:>9} | {:>6.0} | {:>6.0} | {:>6.1} |",
            median(|sample| sample.requests_per_s),
            median(|sample| sample.cpu_us),
            median(|sample| f64::from(sample.p50_us)),
            median(|sample| f64::from(sample.p99_us)),
            median(|sample| sample.rss_mb),
        )
    }

    fn fmt_durability(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = self.spread(STORED, |sample| sample.requests_per_s);
        let batch = Spread::of(self.rounds_of(STORED).filter_map(|(_, sample)| sample.commit_events).collect());
        let Some(rate) = rate else { return Ok(()) };
        write!(f, "durable: {:.0} req/s", rate.median)?;
        match batch {
            Some(batch) => {
                writeln!(f, ", {:.1} events per commit ({:.1}–{:.1})", batch.median, batch.least, batch.most)
            }
            None => writeln!(f, "; the gateway shows no hookgate_buffer_commit_events"),
        }
    }

    fn fmt_goals(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = VARIANTS.iter().find(|variant| variant.is_unit()).map_or("", |unit| unit.name);
        let measured = |ratio: Option<Spread>, goal: f64| match ratio {
            Some(ratio) => {
                let verdict = if ratio.median <= goal { "met" } else { "missed" };
                format!("measured {:.2} ({:.2}–{:.2}): {verdict}", ratio.median, ratio.least, ratio.most)
            }
            None => "not measured".to_owned(),
        };
        let stored = measured(self.ratio(STORED, unit), GOAL_STORED_MAX);
        writeln!(f, "goal: {STORED} ≤ {GOAL_STORED_MAX} of pass-through: {stored}")?;
        let size = measured(self.ratio(STORED_LARGE, STORED_SMALL), GOAL_SIZE_MAX);
        writeln!(f, "goal: {STORED}, 23.6 KB ≤ {GOAL_SIZE_MAX} × 1 KB: {size}")
    }
}
