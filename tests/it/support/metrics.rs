//! One scrape of `/metrics`.

/// The name, labels and value of a series.
type Series = (String, Vec<(String, String)>, f64);

/// The page, as text.
#[derive(Clone, Debug)]
pub(crate) struct Metrics(pub(crate) String);

impl Metrics {
    /// Returns the sum of all series of `name` that have these labels; zero when there is none.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let of_name = self.series().into_iter().filter(|(known, _, _)| known == name);
        let wanted = of_name.filter(|(_, found, _)| {
            labels.iter().all(|(key, value)| found.iter().any(|(known, is)| known == key && is == value))
        });
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts are small and whole")]
        wanted.map(|(_, _, value)| value as u64).sum()
    }

    /// Returns every value of one label.
    pub(crate) fn values_of(&self, label: &str) -> std::collections::BTreeSet<String> {
        let labels = self.series().into_iter().flat_map(|(_, labels, _)| labels);
        labels.filter(|(name, _)| name == label).map(|(_, value)| value).collect()
    }

    /// Returns every series; fails on an invalid line.
    pub(crate) fn series(&self) -> Vec<Series> {
        let lines = self.0.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.map(|line| series(line).unwrap_or_else(|| panic!("no line of metrics: {line:?}"))).collect()
    }
}

fn series(line: &str) -> Option<Series> {
    let (series, value) = line.rsplit_once(' ')?;
    let value = value.parse().ok()?;
    let Some((name, labels)) = series.split_once('{') else { return Some((series.to_owned(), Vec::new(), value)) };
    let mut found = Vec::new();
    // Configured names and closed enums hold neither quotes nor commas.
    for label in labels.strip_suffix('}')?.split(',') {
        let (name, value) = label.split_once('=')?;
        let value = value.strip_prefix('"')?.strip_suffix('"')?;
        found.push((name.to_owned(), value.to_owned()));
    }
    Some((name.to_owned(), found, value))
}
