//! The consent of a person before a change of many events.

use crate::cli::{Exit, terminal};

/// Returns `Ok` when consent is given on the command line (`yes`) or now; `doing` completes "say --yes to …".
pub(super) fn consent(yes: bool, doing: &str) -> Result<(), Exit> {
    if yes {
        return Ok(());
    }
    match terminal::ask(&format!("{doing}? [y/N]")) {
        Some(answer) if matches!(answer.to_ascii_lowercase().as_str(), "y" | "yes") => Ok(()),
        Some(_) => {
            terminal::tell("nothing was done");
            Err(Exit::Failed)
        }
        None => {
            terminal::tell(format!("hookgate: stdin is no terminal, so nobody can be asked; say --yes to {doing}"));
            Err(Exit::Usage)
        }
    }
}
