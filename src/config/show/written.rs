//! The written values, with the variables put in where that is safe.
//!
//! The value of a variable is shown where there is no room for a secret in it: in numbers, quantities, addresses, days
//! and words; in a URL as far as scheme, host and port; and in the few texts that name a file, a host or another entry
//! ([`SHOWN`]). Elsewhere `${…}` stands in its place, which means the same where the variable is set. Such places are
//! the path of a URL, where some services have their only secret; our own paths; conditions; entries that you name;
//! every value that has no type here. A default in the file itself (`${VAR:-default}`) is no secret, and is shown
//! wherever it has a type.

use super::origin::{FilePlace, Origin};
use super::tree::{Leaf, Tree};
use super::types::{Type, Types};
use crate::config::interpolate::{Piece, VariableLookup, pieces};
use crate::config::problem::is_hidden;
use crate::config::secrets::holds_credentials;
use crate::config::spans::{Seg, Spans};
use crate::config::tree::{Body, Node, Scalar, ScalarKind, resolve};

/// The keys of texts that hold no secret.
pub(super) const SHOWN: &[&str] = &["data_dir", "dir", "file", "capture_to", "host", "provider", "from", "to"];

struct Reader<'a> {
    spans: &'a Spans,
    env: VariableLookup<'a>,
    types: &'static Types,
}

/// Returns the tree of all that the file contains.
pub(super) fn tree(spans: &Spans, env: VariableLookup<'_>) -> Tree {
    Reader { spans, env, types: Types::of_the_format() }.tree(&spans.root, &mut Vec::new())
}

impl Reader<'_> {
    fn tree<'n>(&self, node: &'n Node, path: &mut Vec<Seg<'n>>) -> Tree {
        match &node.body {
            Body::Scalar(scalar) => Tree::Leaf(self.leaf(node, scalar, path)),
            Body::Seq(items) => {
                let items = items.iter().enumerate().filter(|(_, item)| !item.dropped);
                Tree::List(items.map(|(index, item)| self.below(Seg::Index(index), item, path)).collect())
            }
            Body::Map(entries) => {
                let entries = entries.iter().filter(|entry| !entry.value.dropped);
                let shown =
                    entries.map(|entry| (entry.key.clone(), self.below(Seg::Key(&entry.key), &entry.value, path)));
                Tree::Map(shown.collect())
            }
        }
    }

    fn below<'n>(&self, seg: Seg<'n>, node: &'n Node, path: &mut Vec<Seg<'n>>) -> Tree {
        path.push(seg);
        let tree = self.tree(node, path);
        path.pop();
        tree
    }

    fn leaf(&self, node: &Node, scalar: &Scalar, path: &[Seg<'_>]) -> Leaf {
        let (place, section) = (self.place(node), None);
        let text = without_credentials(&scalar.text);
        let Some(written) = &scalar.written else {
            let origin = Origin::Written { place, section, variables: Vec::new() };
            return Leaf { text, is_plain: scalar.plain, is_unfilled: false, origin };
        };
        let pieces = pieces(written, self.env).unwrap_or_default();
        let mut variables: Vec<String> = Vec::new();
        for name in pieces.iter().filter_map(|piece| piece.variable) {
            if variables.iter().all(|known| known != name) {
                variables.push(name.to_owned());
            }
        }
        let origin = Origin::Written { place, section, variables };
        let expected = self.types.at(path);
        if !may_be_shown(&pieces, expected, path) {
            let text = without_credentials(written);
            return Leaf { text, is_plain: scalar.plain, is_unfilled: true, origin };
        }
        // The value of a variable is a number only where a number is expected.
        let is_text = matches!(resolve(&text), ScalarKind::Text(_));
        Leaf { is_plain: scalar.plain && (is_text || expected == Type::Number), text, is_unfilled: false, origin }
    }

    /// Returns the place of `node`.
    fn place(&self, node: &Node) -> FilePlace {
        let start = node.span.start;
        let file = self.spans.file_of(node.span).display().to_string().replace(|c| is_hidden(c) || c == '\n', "?");
        FilePlace { file, line: start.line, column: start.column }
    }
}

fn may_be_shown(pieces: &[Piece<'_>], expected: Type, path: &[Seg<'_>]) -> bool {
    match expected {
        Type::Number | Type::Narrow => true,
        Type::Unknown => false,
        Type::Text | Type::Url if pieces.iter().all(|piece| !piece.is_from_outside) => true,
        Type::Url => is_before_path(pieces),
        Type::Text => {
            let key = path.iter().rev().find_map(|seg| if let Seg::Key(key) = seg { Some(key) } else { None });
            key.is_some_and(|key| SHOWN.contains(key))
        }
    }
}

/// Returns whether all text from outside ends before the path of the URL begins.
fn is_before_path(pieces: &[Piece<'_>]) -> bool {
    let path = path_of_url(pieces);
    let mut end = 0;
    let ends = pieces.iter().map(|piece| {
        end += piece.text.len();
        (piece.is_from_outside, end)
    });
    ends.filter(|(is_from_outside, _)| *is_from_outside).all(|(_, end)| end <= path)
}

/// Returns the byte with which the path of the URL begins.
pub(super) fn path_of_url(pieces: &[Piece<'_>]) -> usize {
    let url: String = pieces.iter().map(|piece| &*piece.text).collect();
    let host = url.find("://").map_or(0, |at| at + "://".len());
    let rest = url.get(host..).unwrap_or_default();
    host + rest.find(['/', '?', '#']).unwrap_or(rest.len())
}

/// Hides the user in a URL. URLs of the format have none, but other texts are not checked for that.
fn without_credentials(text: &str) -> String {
    let hidden = || {
        let (scheme, rest) = text.split_once("://")?;
        let (_, rest) = rest.split_once('@')?;
        Some(format!("{scheme}://***@{rest}"))
    };
    if holds_credentials(text) { hidden().unwrap_or_else(|| "***".to_owned()) } else { text.to_owned() }
}
