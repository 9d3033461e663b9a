//! Origins of values.

use std::fmt;

/// The origin of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// A default.
    Default,
    /// The row of this provider.
    Provider(String),
    /// A text of the file.
    Written {
        /// The place of the text.
        place: FilePlace,
        /// The section that the value was taken over from, such as `defaults.destination`; `None` where it stands
        /// itself.
        section: Option<&'static str>,
        /// The variables in the text.
        variables: Vec<String>,
    },
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FilePlace {
    pub(super) file: String,
    pub(super) line: usize,
    pub(super) column: usize,
}

impl Origin {
    /// Returns the name of the origin in JSON.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Provider(_) => "provider",
            Self::Written { variables, .. } if !variables.is_empty() => "variable",
            Self::Written { section: Some(_), .. } => "defaults",
            Self::Written { section: None, .. } => "file",
        }
    }

    /// Returns the origin as taken over from `section`.
    pub(super) fn taken_over_from(self, name: &'static str) -> Self {
        match self {
            Self::Written { place, section: _, variables } => Self::Written { place, section: Some(name), variables },
            other @ (Self::Default | Self::Provider(_)) => other,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (place, section, variables) = match self {
            Self::Default => return f.write_str("default"),
            Self::Provider(name) => return write!(f, "provider {name}"),
            Self::Written { place, section, variables } => (place, section, variables),
        };
        for (index, variable) in variables.iter().enumerate() {
            write!(f, "{}${variable}", if index == 0 { "" } else { ", " })?;
        }
        let at = if variables.is_empty() { "" } else { " at " };
        write!(f, "{at}{}:{}", place.file, place.line)?;
        section.map_or(Ok(()), |section| write!(f, " ({section})"))
    }
}
