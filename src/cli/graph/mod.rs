//! `hookgate graph`: sources, routes and destinations as a picture.
//!
//! The content (`picture`) and the order (`order`) are the same for all formats; each format has its own file, and its
//! own way to escape text. Secrets are not read, and values that `config show` hides are not drawn either.

mod dot;
mod mermaid;
mod order;
mod picture;
mod svg;

use std::path::PathBuf;

use clap::ValueEnum;

use self::picture::Picture;
use super::{Exit, load, terminal};
use crate::config::show::Shown;

/// The format of the output.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Format {
    /// Mermaid, for Markdown pages.
    #[default]
    Mermaid,
    /// DOT, for Graphviz.
    Dot,
    /// SVG, an image that needs no other tool.
    Svg,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 hookgate graph\n\
    \x20 hookgate graph --format svg > routes.svg")]
pub(crate) struct Args {
    /// The configuration file; `-` is stdin.
    #[arg(default_value = "routes.yaml", env = "HOOKGATE_CONFIG")]
    file: PathBuf,
    /// The format of the output.
    #[arg(long, value_enum, default_value_t, env = "HOOKGATE_GRAPH_FORMAT")]
    format: Format,
}

pub(crate) fn run(args: &Args) -> Exit {
    let Some(checked) = load::survey_or_tell(&args.file) else { return Exit::Config };
    let shown = Shown::of(&checked, &load::environment);
    let (Some(shown), Some(setup)) = (shown, checked.setup) else { return Exit::Config };
    let picture = order::untangled(Picture::of(&shown, &setup.live.destinations));
    let text = match args.format {
        Format::Mermaid => mermaid::text(&picture),
        Format::Dot => dot::text(&picture),
        Format::Svg => svg::text(&picture),
    };
    terminal::write(text.as_bytes());
    Exit::Ok
}
