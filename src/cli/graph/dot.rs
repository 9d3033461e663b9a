//! The graph in the DOT language of Graphviz.

use super::mermaid::columns;
use super::picture::{Picture, cut};

pub(super) fn text(picture: &Picture) -> String {
    let mut lines = vec![
        "digraph hookgate {".to_owned(),
        "  rankdir=LR".to_owned(),
        "  node [shape=box, style=rounded, fontname=\"Helvetica,Arial,sans-serif\", fontsize=11]".to_owned(),
    ];
    for (letter, title, column) in columns(picture) {
        lines.push(format!("  subgraph {title} {{\n    rank=same"));
        for (index, node) in column.iter().enumerate() {
            // `\l` ends a line that begins at the left.
            let label: String = node.texts().map(|text| escaped(&cut(text)) + "\\l").collect();
            let style = if node.is_idle.is_some() { ", style=\"rounded,dashed\"" } else { "" };
            lines.push(format!("    {letter}{index} [label=\"{label}\"{style}]"));
        }
        lines.push("  }".to_owned());
    }
    lines.extend(picture.heard.iter().map(|(source, route)| format!("  s{source} -> r{route}")));
    lines.extend(picture.sent.iter().map(|(route, destination)| format!("  r{route} -> d{destination}")));
    lines.push("}".to_owned());
    lines.join("\n") + "\n"
}

/// Escapes a label: a backslash and a quote have a meaning within quotes, and `&lt;` is read as HTML.
fn escaped(text: &str) -> String {
    let one = |c: char| match c {
        '\\' => "\\\\".to_owned(),
        '"' => "\\\"".to_owned(),
        '&' => "&amp;".to_owned(),
        c if c.is_control() => " ".to_owned(),
        c => c.to_string(),
    };
    text.chars().map(one).collect()
}
