//! The graph as a Mermaid flowchart, from left to right.
//!
//! Labels stand in quotes, in which only `"` and `#` have a meaning for Mermaid. But Mermaid turns labels into HTML,
//! and reads some as Markdown. So every character that is not plain there is written as its number.

use super::picture::{Picture, PictureColumn, cut};

pub(super) fn text(picture: &Picture) -> String {
    let mut lines = vec!["flowchart LR".to_owned()];
    for (letter, title, column) in columns(picture) {
        if column.is_empty() {
            continue;
        }
        lines.push(format!("  subgraph {title}"));
        for (index, node) in column.iter().enumerate() {
            let label: Vec<String> = node.texts().map(|text| escaped(&cut(text))).collect();
            let class = if node.is_idle.is_some() { ":::idle" } else { "" };
            lines.push(format!("    {letter}{index}[\"{}\"]{class}", label.join("<br/>")));
        }
        lines.push("  end".to_owned());
    }
    lines.extend(picture.heard.iter().map(|(source, route)| format!("  s{source} --> r{route}")));
    lines.extend(picture.sent.iter().map(|(route, destination)| format!("  r{route} --> d{destination}")));
    lines.push("  classDef idle stroke-dasharray: 4 4".to_owned());
    lines.join("\n") + "\n"
}

/// Returns the columns, each with the letter of its nodes and its title.
pub(super) fn columns(picture: &Picture) -> [(char, &'static str, &PictureColumn); 3] {
    let Picture { sources, routes, destinations, heard: _, sent: _ } = picture;
    [('s', "sources", sources), ('r', "routes", routes), ('d', "destinations", destinations)]
}

fn escaped(text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '/' | '.' | ',' | ':' | '-' | '…');
    let one = |c: char| match c {
        c if is_plain(c) => c.to_string(),
        c if c.is_control() => " ".to_owned(),
        // `\n` would end the line, so a character without a width stands between the two.
        '\\' => "#92;#8288;".to_owned(),
        c => format!("#{};", u32::from(c)),
    };
    text.chars().map(one).collect()
}
