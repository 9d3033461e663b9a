//! Entries that cannot share a place: sources at one path, listeners at one address. The later one in the file is at
//! fault.

use std::net::SocketAddr;

use super::process::ADMIN_LISTEN;
use super::{Checker, path};
use crate::config::problem::{Code, Problem};
use crate::config::spans::Span;
use crate::source::PathPattern;

impl Checker<'_> {
    pub(super) fn sources_at_one_place(&mut self) {
        let raw = self.raw;
        let mut taken = Vec::new();
        for (name, source) in raw.sources.iter().filter(|(_, source)| PathPattern::parse(&source.path).is_ok()) {
            let host = source.host.as_ref().map(|host| host.to_ascii_lowercase());
            let span = self.spans.of(&path!["sources", name, "path"]).unwrap_or(Span::TOP);
            taken.push(((host, plain(&source.path)), span, format!("the source `{name}`")));
        }
        self.report_clashes(taken, |one, other| one == other, "answers at this path");
    }

    pub(super) fn listeners_at_one_address(&mut self) {
        let raw = self.raw;
        let admin = raw.admin.as_ref().and_then(|admin| admin.listen);
        let span = self.spans.of(&path!["admin", "listen"]).unwrap_or(Span::TOP);
        let mut taken = vec![(admin.map_or(ADMIN_LISTEN, |address| address.0), span, "the admin listener".to_owned())];
        for (name, listener) in &raw.listeners {
            let span = self.spans.of(&path!["listeners", name, "address"]).unwrap_or(Span::TOP);
            taken.push((listener.address.0, span, format!("the listener `{name}`")));
        }
        self.report_clashes(taken, is_one_address, "listens at this address");
    }

    fn report_clashes<P>(&mut self, mut taken: Vec<(P, Span, String)>, clash: impl Fn(&P, &P) -> bool, does: &str) {
        taken.sort_by_key(|(_, span, _)| *span);
        for (index, (place, span, _)) in taken.iter().enumerate() {
            let Some((_, first, other)) = taken.iter().take(index).find(|(before, ..)| clash(before, place)) else {
                continue;
            };
            let message = format!("{other} {does} already");
            let problem = Problem::error(Code::SamePlace, self.spans.file_of(*span), *span, message);
            // The admin listener has an address even where none is written.
            let is_written = *first != Span::TOP;
            let first_file = self.spans.file_of(*first);
            self.problems.push(if is_written { problem.second(first_file, *first, "here") } else { problem });
        }
    }
}

/// Returns the path without the names of its parameters: paths that differ in those match the same requests.
fn plain(path: &str) -> String {
    let segments = path.split('/').map(|segment| if segment.starts_with('{') { "{}" } else { segment });
    segments.collect::<Vec<_>>().join("/")
}

/// Returns whether the second address could not be bound: port 0 is always another port, and `0.0.0.0` is every
/// address.
fn is_one_address(one: &SocketAddr, other: &SocketAddr) -> bool {
    let is_every = |address: &SocketAddr| address.ip().is_unspecified();
    let meets = one.ip() == other.ip() || is_every(one) || is_every(other);
    one.port() != 0 && one.port() == other.port() && one.is_ipv4() == other.is_ipv4() && meets
}
