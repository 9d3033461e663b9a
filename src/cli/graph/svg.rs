//! The SVG form: three columns, laid out with plain arithmetic, in an image that needs no font, script or file.
//!
//! Text stands in a typewriter's font, so that its width is known: a long text goes on in the next line, and is cut
//! after a few lines. The whole text is the `<title>` of its node, which browsers show under the pointer, as they show
//! both ends of an edge. The colours follow the reader's light or dark mode.

use std::fmt::Write;

use super::picture::{Picture, PictureColumn, PictureNode, wrapped};

const MARGIN: usize = 24;
const NODE_WIDTH: usize = 300;
/// The space between two columns, for the curves.
const GAP_X: usize = 130;
const GAP_Y: usize = 18;
const LINE: usize = 17;
/// The space above the first line and below the last, in a node.
const PADDING: usize = 10;
/// The top of the columns, below their titles.
const TOP: usize = MARGIN + 28;
/// The width of a node in letters of 12 pixels.
const COLUMNS: usize = 38;
/// The limit of lines of one text: most conditions are shown as a whole.
const LINES_MAX: usize = 3;

const STYLE: &str = "\
text{font:12px ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:#57606a}
.paper{fill:#ffffff}.node{fill:#f6f8fa;stroke:#8c959f}.edge{fill:none;stroke:#8c959f}
.name{font-weight:bold;fill:#1f2328}.title{fill:#57606a}.label{fill:#8250df}
.idle .node{stroke-dasharray:5 4}.idle .why{fill:#9a6700}
@media (prefers-color-scheme:dark){text{fill:#9198a1}.paper{fill:#0d1117}.node{fill:#151b23;stroke:#656c76}
.edge{stroke:#656c76}.name{fill:#f0f6fc}.title{fill:#9198a1}.label{fill:#c297ff}.idle .why{fill:#d29922}}";

/// A node with its place.
struct Placed<'p> {
    node: &'p PictureNode,
    x: usize,
    y: usize,
    height: usize,
}

pub(super) fn text(picture: &Picture) -> String {
    let tallest = [&picture.sources, &picture.routes, &picture.destinations].map(height).into_iter().max().unwrap_or(0);
    let x_of = |column: usize| MARGIN + column * (NODE_WIDTH + GAP_X);
    let sources = placed(&picture.sources, x_of(0), tallest);
    let routes = placed(&picture.routes, x_of(1), tallest);
    let destinations = placed(&picture.destinations, x_of(2), tallest);
    let (width, height) = (x_of(3) - GAP_X + MARGIN, TOP + tallest + MARGIN);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"What goes where\">\n<style>\n{STYLE}\n</style>\n<rect class=\"paper\" width=\"{width}\" height=\"{height}\"/>\n"
    );
    for (index, title) in ["sources", "routes", "destinations"].into_iter().enumerate() {
        add(
            &mut out,
            format_args!("<text class=\"title\" x=\"{}\" y=\"{}\">{title}</text>\n", x_of(index), MARGIN + 10),
        );
    }
    edges(&mut out, &sources, &routes, &picture.heard);
    edges(&mut out, &routes, &destinations, &picture.sent);
    for node in sources.iter().chain(&routes).chain(&destinations) {
        draw(&mut out, node);
    }
    out + "</svg>\n"
}

fn add(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _written = out.write_fmt(text);
}

fn height_of(node: &PictureNode) -> usize {
    lines(node).len() * LINE + 2 * PADDING
}

/// Returns the lines of a node, each with its class.
fn lines(node: &PictureNode) -> Vec<(&'static str, String)> {
    let texts = std::iter::once(("name", node.name.as_str()));
    let texts = texts.chain(node.lines.iter().map(|text| ("line", text.as_str())));
    let texts = texts.chain(node.labels.iter().map(|text| ("label", text.as_str())));
    let texts = texts.chain(node.is_idle.map(|text| ("why", text)));
    texts
        .flat_map(|(class, text)| wrapped(text, COLUMNS, LINES_MAX).into_iter().map(move |line| (class, line)))
        .collect()
}

fn height(column: &PictureColumn) -> usize {
    column.iter().map(|node| height_of(node) + GAP_Y).sum::<usize>().saturating_sub(GAP_Y)
}

/// Places nodes one below the other, in the middle of the picture.
fn placed(column: &PictureColumn, x: usize, tallest: usize) -> Vec<Placed<'_>> {
    let mut y = TOP + (tallest - height(column)) / 2;
    let place = |node| {
        let placed = Placed { node, x, y, height: height_of(node) };
        y += placed.height + GAP_Y;
        placed
    };
    column.iter().map(place).collect()
}

/// Draws curves from the right side of one node to the left side of another. The curves of a node leave it one below
/// the other, in the order of their targets.
fn edges(out: &mut String, from: &[Placed<'_>], to: &[Placed<'_>], edges: &[(usize, usize)]) {
    let mut edges = edges.to_vec();
    edges.sort_unstable();
    let leaving = ports(from, edges.iter().copied());
    let arriving = ports(to, edges.iter().map(|(from, to)| (*to, *from)));
    for ((start, goal), (y_start, y_end)) in edges.iter().zip(leaving.into_iter().zip(arriving)) {
        let (Some(start), Some(goal)) = (from.get(*start), to.get(*goal)) else { continue };
        let title = format!("{} to {}", escaped(&start.node.name), escaped(&goal.node.name));
        let x = start.x + NODE_WIDTH;
        let (middle, end) = (x + GAP_X / 2, x + GAP_X);
        add(
            out,
            format_args!(
                "<path class=\"edge\" d=\"M{x} {y_start}C{middle} {y_start} {middle} {y_end} {end} {y_end}\"><title>{title}</title></path>\n"
            ),
        );
    }
}

/// Returns the height at which each edge meets the side of its node; `edges` are (node, other end).
fn ports(nodes: &[Placed<'_>], edges: impl Iterator<Item = (usize, usize)>) -> Vec<usize> {
    let mut by_node: Vec<Vec<(usize, usize)>> = nodes.iter().map(|_| Vec::new()).collect();
    let mut count = 0;
    for (index, (node, other)) in edges.enumerate() {
        count += 1;
        if let Some(ends) = by_node.get_mut(node) {
            ends.push((other, index));
        }
    }
    let mut heights = vec![0; count];
    for (node, mut ends) in nodes.iter().zip(by_node) {
        ends.sort_unstable();
        for (rank, (_, index)) in ends.iter().enumerate() {
            if let Some(height) = heights.get_mut(*index) {
                *height = node.y + node.height * (rank + 1) / (ends.len() + 1);
            }
        }
    }
    heights
}

fn draw(out: &mut String, Placed { node, x, y, height }: &Placed<'_>) {
    let whole: Vec<String> = node.texts().map(escaped).collect();
    let class = if node.is_idle.is_some() { " class=\"idle\"" } else { "" };
    add(out, format_args!("<g{class}><title>{}</title>\n", whole.join("\n")));
    add(
        out,
        format_args!(
            "<rect class=\"node\" x=\"{x}\" y=\"{y}\" width=\"{NODE_WIDTH}\" height=\"{height}\" rx=\"6\"/>\n"
        ),
    );
    for (index, (class, text)) in lines(node).into_iter().enumerate() {
        let text = escaped(&text);
        let (x, y) = (x + 12, y + PADDING + LINE * index + 13);
        add(out, format_args!("<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{text}</text>\n"));
    }
    out.push_str("</g>\n");
}

/// Escapes text for XML, in which control characters cannot be written at all.
fn escaped(text: &str) -> String {
    let one = |c: char| match c {
        '&' => "&amp;".to_owned(),
        '<' => "&lt;".to_owned(),
        '>' => "&gt;".to_owned(),
        '"' => "&quot;".to_owned(),
        c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => " ".to_owned(),
        c => c.to_string(),
    };
    text.chars().map(one).collect()
}
