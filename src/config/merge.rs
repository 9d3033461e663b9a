//! YAML merge keys: `<<: *base` and `<<: [*a, *b]`.
//!
//! A key written beside `<<` wins over a merged one, and an earlier mapping of the list wins over a later one.
//! Merging is shallow, as YAML defines it; the entries keep the spans of the place where they are written.

use std::collections::BTreeSet;
use std::path::Path;

use super::problem::{Code, Problem, Problems};
use super::spans::Span;
use super::tree::{Body, MappingEntry, Node};

/// The values of `<<` in one mapping.
#[derive(Debug, Default)]
pub(super) struct Merges(Vec<(Node, Span)>);

impl Merges {
    pub(super) fn add(&mut self, value: Node, key_span: Span) {
        self.0.push((value, key_span));
    }

    /// Adds the merged entries to the `entries` written beside `<<`.
    pub(super) fn apply(self, entries: &mut Vec<MappingEntry>, file: &Path, problems: &mut Problems) {
        if self.0.is_empty() {
            return;
        }
        let mut present: BTreeSet<String> = entries.iter().map(|entry| entry.key.clone()).collect();
        for (value, key_span) in self.0 {
            let sources = match value.body {
                Body::Seq(items) => items,
                body => vec![Node { body, ..value }],
            };
            for source in sources {
                let Body::Map(merged) = source.body else {
                    let message = "`<<` merges mappings only, and this is none";
                    let problem = Problem::error(Code::BadMerge, file, source.span, message);
                    problems.push(
                        problem.second(file, key_span, "merged here").help("name an anchored mapping: `<<: *name`"),
                    );
                    continue;
                };
                entries.extend(merged.into_iter().filter(|entry| present.insert(entry.key.clone())));
            }
        }
    }
}
