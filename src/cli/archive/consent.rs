//! A person's word before something is done to many events.

use crate::cli::{Exit, terminal};

/// Goes on when `yes` was said on the command line or is said now; `doing` completes "say --yes to …".
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
